use std::sync::Arc;

use cutwater_core::operators::{Operator, Operators};

use super::{file::Kind, store::Store};
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

/// Compares the program with the one that has written to the store, and refuses it if a state would be lost that may
/// not be `dropped`. Nothing is changed, so a program that runs there is not disturbed.
pub(crate) fn check(graph: &Graph, store: &Store, dropped: &[String]) -> Result<(), Error> {
    let Some(newest) = store.list(FOLDER)?.pop() else { return Ok(()) };
    let damaged =
        |why: String| Error::external(format_args!("cannot use {newest} of {}: {why}", store.url()));
    // One that another master has removed by now has a newer one in its place, which is its own.
    let Some(file) = store.get(&newest)? else { return Ok(()) };
    let before: Operators = OPERATORS.open_value(&file).map_err(damaged)?;
    let changes = before.compare(&of(graph));
    if !changes.is_allowed(|name| dropped.iter().any(|allowed| allowed == name)) {
        let drop: String = changes.dropped.iter().map(|name| format!(" --allow-drop {name}")).collect();
        let mend = match (changes.dropped.is_empty(), changes.incompatible.is_empty()) {
            (false, true) => format!("if those states are to be dropped, start it with{drop}"),
            _ => {
                "give a state of another kind another name, with `named`, and allow the old one to be dropped"
                    .to_owned()
            }
        };
        return Err(Error::config(&[format!(
            "the program was changed, and does not fit the states in {}: {mend}\n{changes}",
            store.url()
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
