use std::{collections::BTreeMap, sync::Arc};

use cutwater_core::operators::{Operator, Operators};

use super::{file::Kind, manifest::Manifest, store::Store};
use crate::{
    context::Graph,
    error::Error,
    stream::{AnyStream, ids},
};

const OPERATORS: Kind = Kind::new(b"op", 1, "list of operators");
const FOLDER: &str = "operators";

/// The operators of a program that have state.
fn of(graph: &Graph) -> Operators {
    let named = ids(&graph.streams).into_iter().zip(&graph.streams);
    let operator = |(name, stream): (String, &Arc<dyn AnyStream>)| {
        let (kind, types) = (stream.operation().0.to_owned(), stream.types().to_owned());
        (name, Operator { kind, types })
    };
    Operators(named.filter(|(_, stream)| stream.has_state()).map(operator).collect())
}

/// Files of a state up to this size say little of its type.
const TELLING_BYTES: u64 = 256;

/// Which streams have states of types that are called as they were and are others: what one of their files holds is not
/// what the program would write. Of each state one file is looked at.
fn misfits(graph: &Graph, store: &Store, states: &Manifest) -> Result<BTreeMap<String, String>, Error> {
    let mut misfits = BTreeMap::new();
    for (name, stream) in ids(&graph.streams).into_iter().zip(&graph.streams) {
        let saved = states.states.iter().filter(|saved| stream.has_state() && saved.stream == name);
        let mut whole: Vec<_> =
            saved.flat_map(|saved| saved.chains.iter().flatten()).filter_map(|it| it.first()).collect();
        whole.sort_by_key(|file| file.bytes);
        let telling = whole.iter().find(|file| file.bytes > TELLING_BYTES).or(whole.last());
        // One that is not there is noticed when states are read.
        let Some(file) = telling.map(|file| store.get(&file.name)).transpose()?.flatten() else { continue };
        if let Err(why) = stream.fits(&file) {
            misfits.insert(name, why);
        }
    }
    Ok(misfits)
}

/// Compares the program with the one that has written to the store, and refuses it if a state would be lost that may
/// not be `dropped`; or if a type is another, as far as the newest `states` tell. Nothing is changed, so a program that
/// runs there is not disturbed.
pub(crate) fn check(
    graph: &Graph,
    store: &Store,
    dropped: &[String],
    states: Option<&Manifest>,
) -> Result<(), Error> {
    let Some(newest) = store.list(FOLDER)?.pop() else { return Ok(()) };
    let damaged =
        |why: String| Error::external(format_args!("cannot use {newest} of {}: {why}", store.url()));
    // One that another master has removed by now has a newer one in its place, which is its own.
    let Some(file) = store.get(&newest)? else { return Ok(()) };
    let before: Operators = OPERATORS.open_value(&file).map_err(damaged)?;
    let mut changes = before.compare(&of(graph));
    let mut misfits = match states {
        Some(states) => misfits(graph, store, states)?,
        None => BTreeMap::new(),
    };
    misfits.retain(|name, _| changes.kept.contains(name));
    changes.kept.retain(|name| !misfits.contains_key(name));
    let is_allowed = changes.is_allowed(|name| dropped.iter().any(|allowed| allowed == name));
    if !is_allowed || !misfits.is_empty() {
        let drop: String = changes.dropped.iter().map(|name| format!(" --allow-drop {name}")).collect();
        let fits = changes.incompatible.is_empty() && misfits.is_empty();
        let mend = match (changes.dropped.is_empty(), fits) {
            (false, true) => format!("if those states are to be dropped, start it with{drop}"),
            _ => {
                "give a state of another kind another name, with `named`, and allow the old one to be dropped"
                    .to_owned()
            }
        };
        let misfits = misfits.iter().map(|(name, why)| {
            let types = &before.0[name].types;
            format!(
                "\nincompatible  {name}: its types, {types}, are called as they were and are others: {why}"
            )
        });
        return Err(Error::config(&[format!(
            "the program was changed, and does not fit the states in {}: {mend}\n{changes}{}",
            store.url(),
            misfits.collect::<String>()
        )]));
    }
    if before != of(graph) {
        tracing::info!(store = store.url(), "the program was changed:\n{changes}");
    }
    Ok(())
}

/// Writes down what the program is, as the master of that epoch runs it, before it writes any state. That of a later
/// master stays what is compared with.
pub(crate) fn write(graph: &Graph, store: &Store, epoch: u64) -> Result<(), Error> {
    let name = format!("{FOLDER}/{epoch:020}");
    store.put(&name, OPERATORS.seal_value(&of(graph)).map_err(Error::internal)?)?;
    let older = store.list(FOLDER)?.into_iter().filter(|other| *other < name);
    older.into_iter().try_for_each(|older| store.delete(&older))
}
