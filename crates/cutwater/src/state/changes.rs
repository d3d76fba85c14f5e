//! What a table differs by from an earlier version, for checkpoints.

use serde::{Serialize, de::DeserializeOwned};

use super::{Table, key_hash};
use crate::checkpoint::{saved::Incremental, spread::Spread};

/// The keys that were written, each with what became of it.
pub(crate) type Written<K, V> = Vec<(K, Option<V>)>;

/// Tables are written as the keys that were written.
pub(crate) struct ByKey;

/// What makes `before` the table `now`; `None` if the one does not come from the other, or if more than half
/// of the keys were written: then the whole is hardly more, and begins a new chain.
pub(crate) fn between<K, V>(before: &Table<K, V>, now: &Table<K, V>) -> Option<Written<K, V>>
where
    K: Clone + Eq + Serialize,
    V: Clone,
{
    let written = now.written_since(before)?;
    (written.len() <= now.len() / 2).then_some(written)
}

/// Carries out what was written.
pub(crate) fn apply<K: Clone + Eq + Serialize, V: Clone>(table: &mut Table<K, V>, written: Written<K, V>) {
    for (key, value) in written {
        let hash = key_hash(&key);
        match value {
            Some(value) => drop(table.insert(hash, key, value)),
            None => drop(table.remove(hash, &key)),
        }
    }
}

impl<K, V> Incremental<Table<K, V>> for ByKey
where
    K: Clone + Eq + Serialize + DeserializeOwned,
    V: Clone + Serialize + DeserializeOwned,
{
    fn between(before: &Table<K, V>, now: &Table<K, V>) -> Option<Result<Vec<u8>, postcard::Error>> {
        between(before, now).map(|written| postcard::to_allocvec(&written))
    }

    fn apply(to: &mut Table<K, V>, changes: &[u8]) -> Result<(), postcard::Error> {
        apply(to, postcard::from_bytes::<Written<K, V>>(changes)?);
        Ok(())
    }
}

impl<K, V> Spread for Table<K, V>
where
    K: Clone + Eq + Serialize,
    V: Clone,
{
    fn take_over(&mut self, from: Self, here: &dyn Fn(u64) -> bool, _: bool) {
        let keys = from.iter().map(|(key, value)| (key_hash(&key), key, value));
        keys.filter(|(hash, ..)| here(*hash))
            .for_each(|(hash, key, value)| drop(self.insert(hash, key, value)));
    }
}
