#[cfg(test)]
mod tests;

use std::time::Duration;

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{
    Table,
    changes::{self, Written},
    key_hash,
    key_state::{Stage, State},
    timers::Timers,
};
use crate::{Key, Record};

/// What is kept beside each state: when it was last touched (`Time`), or nothing (`()`) where states
/// never time out, so that a program without timeouts does not pay for them.
pub(crate) trait Mark: Record + Copy {
    fn at(now: Time) -> Self;
    fn time(self) -> Option<Time>;
}

impl Mark for () {
    fn at(_: Time) -> Self {}

    fn time(self) -> Option<Time> {
        None
    }
}

impl Mark for Time {
    fn at(now: Time) -> Self {
        now
    }

    fn time(self) -> Option<Time> {
        Some(self)
    }
}

/// The states of the keys of a partition, and which of them time out when.
///
/// Properties:
/// - its versions differ by what was written, so that an interval costs by the keys that it touches and
///   those that time out, however many there are;
/// - with a timeout, every key stands among the timers exactly once, under the moment it was last
///   touched plus the timeout;
/// - its order depends on the content alone (see [`Table`]).
///
/// Threading and failure: those of a [`Table`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Tracked<K: Key, S: Record, T: Mark> {
    table: Table<K, Marked<S, T>>,
    timers: Timers<K>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub(crate) struct Marked<S: Record, T: Mark> {
    state: S,
    mark: T,
}

/// When states are visited, and for how long they may lie untouched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Visit {
    pub now: Time,
    pub timeout: Option<Duration>,
}

impl Visit {
    fn deadline(&self, mark: impl Mark) -> Option<Time> {
        Some(mark.time()? + self.timeout?)
    }
}

impl<K: Key, S: Record, T: Mark> Default for Tracked<K, S, T> {
    fn default() -> Self {
        Self { table: Table::new(), timers: Timers::default() }
    }
}

/// How many keys that time out are fetched from memory together.
const DUE_BATCH: usize = 64;

/// What became of the keys that were written between two versions.
pub(crate) type WrittenStates<K, S, T> = Written<K, Marked<S, T>>;

impl<K: Key, S: Record, T: Mark> Tracked<K, S, T> {
    /// See [`changes::between`].
    pub fn written_since(&self, before: &Self) -> Option<WrittenStates<K, S, T>> {
        changes::between(&before.table, &self.table)
    }

    /// Carries out what was written to states that time out after `timeout`.
    pub fn apply(&mut self, written: WrittenStates<K, S, T>, timeout: Option<Duration>) {
        let deadline = |marked: &Marked<S, T>| Some(marked.mark.time()? + timeout?);
        for (key, now) in &written {
            let hash = key_hash(key);
            if let Some(before) = self.table.get(hash, key).as_ref().and_then(deadline) {
                self.timers.remove(before, hash, key);
            }
            if let Some(now) = now.as_ref().and_then(deadline) {
                self.timers.add(now, hash, key);
            }
        }
        changes::apply(&mut self.table, written);
    }

    /// Takes those keys over whose hashes are `here`, which time out after `timeout`.
    pub fn take_over(&mut self, from: &Self, here: &dyn Fn(u64) -> bool, timeout: Option<Duration>) {
        let keys = from.table.iter().filter(|(key, _)| here(key_hash(key)));
        self.apply(keys.map(|(key, marked)| (key, Some(marked))).collect(), timeout);
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// All keys with their states, in the order of the table.
    pub fn iter(&self) -> impl Iterator<Item = (K, S)> + use<K, S, T> {
        self.table.iter().map(|(key, marked)| (key, marked.state))
    }

    /// Brings into the cache what visits of these keys are going to touch: see [`Table::warm`].
    pub fn warm(&self, hashes: impl IntoIterator<Item = u64>) {
        self.table.warm(hashes);
    }

    /// See [`Table::settle`].
    pub fn settle(&self) {
        self.table.settle();
    }

    /// Gives a key a state, whatever it had before.
    pub fn put(&mut self, visit: Visit, hash: u64, key: &K, state: S) {
        self.visit(visit, hash, key, |handle| handle.update(state));
    }

    /// Calls `f` with the state of a key, and keeps what it leaves. With a timeout, a state that is
    /// only looked at counts as touched too (`api.md` §5).
    pub fn visit<R>(&mut self, visit: Visit, hash: u64, key: &K, f: impl FnOnce(&mut State<S>) -> R) -> R {
        let (mut before, mut after, mut result) = (None, None, None);
        self.table.alter(hash, key, |found| {
            let mark = found.as_ref().map(|marked| marked.mark);
            let mut state = State::found(found.map(|marked| marked.state));
            result = Some(f(&mut state));
            before = mark;
            let touched = state.stage() == Stage::Updated || visit.timeout.is_some();
            let left = state.take()?;
            let mark = mark.filter(|_| !touched).unwrap_or_else(|| T::at(visit.now));
            after = Some(mark);
            Some(Marked { state: left, mark })
        });
        let (before, after) = (before.and_then(|m| visit.deadline(m)), after.and_then(|m| visit.deadline(m)));
        if before != after {
            if let Some(deadline) = before {
                self.timers.remove(deadline, hash, key);
            }
            if let Some(deadline) = after {
                self.timers.add(deadline, hash, key);
            }
        }
        result.expect("a table calls what changes a key once")
    }

    /// Takes out every key that was last touched strictly more than the timeout ago, and calls `f` with
    /// it: by deadline, and keys of one deadline in the order of the table.
    pub fn expire(&mut self, visit: Visit, mut f: impl FnMut(&K, &mut State<S>)) {
        for (_, keys) in self.timers.take_due(visit.now) {
            let keys: Vec<(u64, K)> = keys.iter().map(|(key, ())| (key_hash(&key), key)).collect();
            for batch in keys.chunks(DUE_BATCH) {
                self.table.warm(batch.iter().map(|(hash, _)| *hash));
                for (hash, key) in batch {
                    if let Some(marked) = self.table.remove(*hash, key) {
                        f(key, &mut State::timing_out(marked.state));
                    }
                }
            }
        }
    }
}
