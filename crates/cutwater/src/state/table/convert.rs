//! A table from pairs, and back: the traits of the standard library and of serde.

use std::{fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{SeqAccess, Visitor},
};

use super::{Iter, Table, key_hash};

/// How many pairs `extend` takes at a time.
const EXTEND_PAIRS: usize = 64;

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K, V> fmt::Debug for Table<K, V>
where
    K: Clone + Eq + Serialize + fmt::Debug,
    V: Clone + fmt::Debug,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Extend<(K, V)> for Table<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, pairs: I) {
        let mut pairs = pairs.into_iter().map(|(key, value)| (key_hash(&key), key, value));
        let mut batch = Vec::new();
        loop {
            batch.extend(pairs.by_ref().take(EXTEND_PAIRS));
            if batch.is_empty() {
                return;
            }
            self.warm(batch.iter().map(|(hash, ..)| *hash));
            for (hash, key, value) in batch.drain(..) {
                self.insert(hash, key, value);
            }
        }
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> FromIterator<(K, V)> for Table<K, V> {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut table = Self::new();
        table.extend(pairs);
        table
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> IntoIterator for &Table<K, V> {
    type Item = (K, V);
    type IntoIter = Iter<K, V>;

    fn into_iter(self) -> Iter<K, V> {
        self.iter()
    }
}

/// The bytes are those of a sequence of pairs in the order of the table. Nothing of how it
/// lies in memory is written down, so that this may change from release to release.
impl<K: Clone + Eq + Serialize, V: Clone + Serialize> Serialize for Table<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de, K, V> Deserialize<'de> for Table<K, V>
where
    K: Clone + Eq + Serialize + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Pairs(PhantomData))
    }
}

struct Pairs<K, V>(PhantomData<(K, V)>);

impl<'de, K, V> Visitor<'de> for Pairs<K, V>
where
    K: Clone + Eq + Serialize + Deserialize<'de>,
    V: Clone + Deserialize<'de>,
{
    type Value = Table<K, V>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a sequence of keys with their values")
    }

    /// The length that the input claims is not believed: memory is taken only for pairs that came.
    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<Self::Value, A::Error> {
        let mut table = Table::new();
        while let Some((key, value)) = pairs.next_element::<(K, V)>()? {
            table.insert(key_hash(&key), key, value);
        }
        Ok(table)
    }
}
