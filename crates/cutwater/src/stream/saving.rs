use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use cutwater_core::Time;

use super::{AnyStream, StreamNode};
use crate::{
    Record,
    checkpoint::{
        manifest::SavedState,
        saved::{Chain, Saving, Target},
        store::Store,
    },
    error::Error,
    rdd::{DatasetNode, Partitioner, Rdd},
    runtime::Engine,
};

/// The state of a stream at one time, of which the type does not matter.
///
/// The thread that writes checkpoints has it. If the process dies, nothing refers to what it had written.
pub(crate) trait StateAt: Send {
    /// Writes it to files under `folder` and says which they are; waits until all are written.
    fn write(&mut self, stream: &str, target: &Target<'_>, folder: &str) -> Result<SavedState, Error>;

    /// A manifest names the files: from now on lost partitions are read from them, what is behind the state
    /// may go, and the next checkpoint may write what differs from it.
    /// Says which dataset that is, and its files.
    fn settle(self: Box<Self>, store: &Store) -> Result<Option<Settled>, Error>;
}

/// A dataset whose lost partitions are read from these files.
pub(crate) type Settled = (Weak<DatasetNode>, Vec<String>);

/// A state that was saved, and its files.
pub(crate) struct LastSaved<T> {
    time: Time,
    state: Rdd<T>,
    chains: Vec<Chain>,
}

pub(crate) struct StateOf<T> {
    stream: Arc<StreamNode<T>>,
    saving: Saving<T>,
    time: Time,
    state: Option<Rdd<T>>,
    chains: Option<Vec<Chain>>,
}

impl<T: Record> StateOf<T> {
    /// What the stream was at `time` and, where somebody looks further back than to the one before, at the times
    /// before it that are still remembered, the oldest first.
    pub fn until(stream: &Arc<StreamNode<T>>, time: Time) -> Vec<Box<dyn StateAt>> {
        let Some(saving) = stream.saving() else { return Vec::new() };
        let mut generated = stream.generated_until(time);
        if !stream.looks_back() {
            generated.drain(..generated.len().saturating_sub(1));
        }
        let state_at = |(time, state)| {
            let (stream, saving) = (stream.clone(), saving.clone());
            Box::new(Self { stream, saving, time, state, chains: None }) as Box<dyn StateAt>
        };
        generated.into_iter().map(state_at).collect()
    }
}

impl<T: Record> StateAt for StateOf<T> {
    fn write(&mut self, stream: &str, target: &Target<'_>, folder: &str) -> Result<SavedState, Error> {
        let mut saved =
            SavedState { stream: stream.to_owned(), time: self.time, by_key_groups: false, chains: None };
        let Some(state) = &self.state else { return Ok(saved) };
        let last = self.stream.saved();
        // Intervals without a dataset leave a state as it is; and it may be remembered for long.
        let known = last.iter().find(|last| Arc::ptr_eq(last.state.kept_node(), state.kept_node()));
        let chains = match known {
            Some(known) => known.chains.clone(),
            None => {
                let before = last.last().map(|last| (&last.state, &last.chains[..]));
                let name = format!("{folder}/{stream}-{}", self.time.as_ms());
                self.saving.write(state, before, target, &name)?
            }
        };
        drop(last);
        saved.by_key_groups = matches!(state.partitioner(), Some(Partitioner::KeyGroups { .. }));
        saved.chains = Some(chains.clone());
        self.chains = Some(chains);
        Ok(saved)
    }

    fn settle(self: Box<Self>, store: &Store) -> Result<Option<Settled>, Error> {
        let Self { stream, saving, time, state: Some(state), chains: Some(chains) } = *self else {
            return Ok(None);
        };
        let (read, splits) = saving.reading(store, &chains)?;
        state.kept_node().replace_lineage(&read.any, splits);
        let files = chains.iter().flatten().map(|file| file.name.clone()).collect();
        let settled = (Arc::downgrade(state.kept_node()), files);
        let oldest = time - stream.remembered();
        let mut saved = stream.saved();
        saved.retain(|known| !Arc::ptr_eq(known.state.kept_node(), state.kept_node()));
        saved.push(LastSaved { time, state, chains });
        let last = saved.len() - 1;
        // The last is what the next may differ from; those before it are asked for while they are remembered.
        let old: Vec<_> = (0..last).filter(|at| saved[*at].time <= oldest).collect();
        let old: Vec<_> = old.into_iter().rev().map(|at| saved.remove(at)).collect();
        drop(saved);
        // Let go without the lock: the end of a dataset has work to do.
        drop(old);
        Ok(Some(settled))
    }
}

/// Begins `stream` with the state that was saved.
pub(crate) fn restore<T: Record>(
    stream: &StreamNode<T>,
    saved: &SavedState,
    engine: &Arc<Engine>,
    store: &Store,
) -> Result<(), Error> {
    let Some(saving) = stream.saving() else {
        return Err(Error::internal(format_args!("{} has no state to restore", stream.label())));
    };
    let Some(chains) = &saved.chains else {
        stream.put(saved.time, None);
        return Ok(());
    };
    let (read, splits) = saving.reading(store, chains)?;
    let mut node = DatasetNode::source(engine, splits.to_vec(), &read.any);
    if saved.by_key_groups {
        node.partitioner = Some(Partitioner::KeyGroups { partitions: node.dataset.partitions });
    }
    node.dataset_mut().keep = true;
    let mut state = node.of(read);
    stream.rename(saved.time, &mut state);
    stream.put(saved.time, Some(state.clone()));
    stream.saved().push(LastSaved { time: saved.time, state, chains: chains.clone() });
    Ok(())
}

/// The names of streams that stay the same from one start of the program to the next: the one that the user gave,
/// or else the operation and how many of its kind were declared before. Parts of other streams' operations have none.
pub(crate) fn ids(streams: &[Arc<dyn AnyStream>]) -> Vec<String> {
    let mut kinds = HashMap::<String, usize>::new();
    let id = |stream: &Arc<dyn AnyStream>| {
        if stream.is_for_a_shuffle() {
            return String::new();
        }
        let (operation, name) = stream.operation();
        let kind = name.unwrap_or(operation).to_owned();
        let before = kinds.entry(kind.clone()).or_default();
        *before += 1;
        match (name, *before) {
            (Some(_), 1) => kind,
            (_, number) => format!("{kind}-{number}"),
        }
    };
    streams.iter().map(id).collect()
}
