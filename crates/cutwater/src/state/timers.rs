//! Which keys are to be looked at when: an ordered index of deadlines (D7).

#[cfg(test)]
mod tests;
mod tree;

use cutwater_core::Time;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use self::tree::Tree;
use super::{Table, key_hash};
use crate::{Key, Record};

/// Keys by deadline, each with a value where there is something to keep. A clone costs nothing, and a
/// change copies only the way to what is changed.
///
/// Properties:
/// - adding, removing and moving a key costs the logarithm of the deadlines and of the keys of one;
/// - [`take_due`](Self::take_due) costs by what is due, however many keys are not;
/// - its order is (deadline, order of the table of that deadline's keys), which depends on the content
///   alone, except among keys of equal hash (see [`Table`]);
/// - a key takes about as much room as in a table.
///
/// Keys that share a deadline share a table: in a stream, deadlines are interval times plus a fixed
/// span, so that there are far fewer deadlines than keys, and whole tables of keys fall due at once.
/// The deadlines themselves are the nodes of a search tree.
///
/// Threading and failure: those of a [`Table`].
#[derive(Clone, Debug)]
pub(crate) struct Timers<K: Key, V: Record = ()> {
    tree: Tree<K, V>,
}

impl<K: Key, V: Record> Default for Timers<K, V> {
    fn default() -> Self {
        Self { tree: None }
    }
}

impl<K: Key> Timers<K> {
    /// Puts a key under a deadline. It may stand under others too; which of them count is for the
    /// caller to know.
    pub fn add(&mut self, deadline: Time, hash: u64, key: &K) {
        tree::keys_mut(&mut self.tree, deadline).insert(hash, key.clone(), ());
    }
}

impl<K: Key, V: Record> Timers<K, V> {
    /// Puts under a deadline what `change` makes of the key's value there, if it has one.
    pub fn change(&mut self, deadline: Time, hash: u64, key: &K, change: impl FnOnce(Option<V>) -> V) {
        tree::keys_mut(&mut self.tree, deadline).alter(hash, key, |value| Some(change(value)));
    }

    /// Takes those keys over whose hashes are `here`.
    pub fn take_over(&mut self, from: &Self, here: &dyn Fn(u64) -> bool) {
        for (deadline, keys) in from.all() {
            for (key, value) in keys {
                let hash = key_hash(&key);
                if here(hash) {
                    tree::keys_mut(&mut self.tree, deadline).insert(hash, key, value);
                }
            }
        }
    }

    /// The value of a key under a deadline.
    pub fn get(&self, deadline: Time, hash: u64, key: &K) -> Option<V> {
        tree::find(&self.tree, deadline)?.get(hash, key)
    }

    /// Takes a key away from a deadline; says whether it was there.
    pub fn remove(&mut self, deadline: Time, hash: u64, key: &K) -> bool {
        // Looked up first, so that what is not there copies nothing.
        let found = tree::find(&self.tree, deadline).is_some_and(|keys| keys.get(hash, key).is_some());
        if found {
            tree::remove(&mut self.tree, deadline, hash, key);
        }
        found
    }

    /// Takes every key out whose deadline is strictly before `now`: deadlines in order, each with its
    /// keys.
    pub fn take_due(&mut self, now: Time) -> Vec<(Time, Table<K, V>)> {
        let (due, later) = tree::split(self.tree.take(), now);
        self.tree = later;
        let mut all = Vec::new();
        tree::each(&due, &mut |deadline, keys| all.push((deadline, keys.clone())));
        all
    }

    /// The deadlines after `from` and up to `to` in order, each with its keys. It costs by what there is
    /// in between.
    pub fn between(&self, from: Time, to: Time) -> Vec<(Time, &Table<K, V>)> {
        let mut all = Vec::new();
        tree::between(&self.tree, from, to, &mut |deadline, keys| all.push((deadline, keys)));
        all
    }

    /// All deadlines in order, each with its keys.
    pub fn all(&self) -> Vec<(Time, &Table<K, V>)> {
        let mut all = Vec::new();
        tree::each(&self.tree, &mut |deadline, keys| all.push((deadline, keys)));
        all
    }
}

/// The bytes are those of a sequence of deadlines, each with a sequence of keys.
impl<K: Key, V: Record> Serialize for Timers<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.all())
    }
}

impl<'de, K: Key, V: Record> Deserialize<'de> for Timers<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut timers = Self::default();
        for (deadline, keys) in Vec::<(Time, Table<K, V>)>::deserialize(deserializer)? {
            // Nothing comes of a deadline without keys.
            if !keys.is_empty() {
                *tree::keys_mut(&mut timers.tree, deadline) = keys;
            }
        }
        Ok(timers)
    }
}
