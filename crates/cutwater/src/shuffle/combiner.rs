use hashbrown::HashTable;

use crate::{Key, placement};

/// Values combined by key in the order in which the keys first came.
///
/// Properties:
/// - keys are kept in order of arrival, so what is read from it is the same on every machine;
/// - a key is hashed once, when it arrives; growing compares and hashes nothing again;
/// - records are looked up a [`BATCH`] at a time.
///
/// It lives inside one task.
pub(crate) struct Combiner<K, V, M: Merge<V>> {
    merge: M,
    index: HashTable<u32>,
    entries: Vec<Entry<K, M::Acc>>,
    waiting: Vec<Waiting<K, V>>,
}

/// How a value is put to those that came before it.
pub(crate) trait Merge<V> {
    /// What is kept for a key.
    type Acc;
    fn first(&self, value: V) -> Self::Acc;
    fn next(&self, acc: Self::Acc, value: V) -> Self::Acc;
}

struct Entry<K, A> {
    hash: u64,
    key: K,
    /// Empty only while a function of the program computes the next value from this one.
    value: Option<A>,
}

struct Waiting<K, V> {
    hash: u64,
    key: K,
    value: V,
    found: u32,
}

/// Looking up a key of a vocabulary larger than the nearest cache means to wait for memory three times
/// in a row (the profile of word count over 10,000 words shows it). Looked up together, records wait at
/// the same time.
const BATCH: usize = 32;

const NOT_FOUND: u32 = u32::MAX;

impl<K: Key, V, M: Merge<V>> Combiner<K, V, M> {
    pub fn new(merge: M) -> Self {
        Self { merge, index: HashTable::new(), entries: Vec::new(), waiting: Vec::with_capacity(BATCH) }
    }

    #[inline]
    pub fn add(&mut self, key: K, value: V) {
        let hash = placement::hash(&key);
        self.waiting.push(Waiting { hash, key, value, found: NOT_FOUND });
        if self.waiting.len() == BATCH {
            self.look_up();
        }
    }

    fn look_up(&mut self) {
        // First by hash alone: nothing here depends on the record before.
        for record in &mut self.waiting {
            let same = |&at: &u32| self.entries[at as usize].hash == record.hash;
            record.found = self.index.find(record.hash, same).copied().unwrap_or(NOT_FOUND);
        }
        for Waiting { hash, key, value, found } in self.waiting.drain(..) {
            // Then by key. What was not found by its hash may have come within the batch; what was
            // found may be another key of the same hash.
            let known = match self.entries.get(found as usize) {
                Some(entry) if entry.key == key => Some(found),
                _ => {
                    let same = |&at: &u32| {
                        let entry = &self.entries[at as usize];
                        entry.hash == hash && entry.key == key
                    };
                    self.index.find(hash, same).copied()
                }
            };
            match known {
                Some(at) => {
                    let slot = &mut self.entries[at as usize].value;
                    *slot = slot.take().map(|old| self.merge.next(old, value));
                }
                None => {
                    let at =
                        u32::try_from(self.entries.len()).expect("a task does not hold 2^32 keys in memory");
                    self.entries.push(Entry { hash, key, value: Some(self.merge.first(value)) });
                    self.index.insert_unique(hash, at, |&at| self.entries[at as usize].hash);
                }
            }
        }
    }

    /// Everything, as (hash, key, value), in order of arrival of the keys.
    pub fn into_entries(mut self) -> impl Iterator<Item = (u64, K, M::Acc)> {
        self.look_up();
        self.entries.into_iter().filter_map(|entry| Some((entry.hash, entry.key, entry.value?)))
    }
}

/// Lists all values of a key.
pub(crate) struct List;

impl<V> Merge<V> for List {
    type Acc = Vec<V>;

    fn first(&self, value: V) -> Vec<V> {
        vec![value]
    }

    fn next(&self, mut list: Vec<V>, value: V) -> Vec<V> {
        list.push(value);
        list
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    /// Keys come back in order of arrival with all their values in order, however they fall into
    /// batches.
    #[test]
    fn nothing_is_lost_between_batches() {
        for n in [0, 1, 31, 32, 33, 1000] {
            let mut combiner = Combiner::new(List);
            let mut expected: (Vec<u64>, HashMap<u64, Vec<u64>>) = Default::default();
            for i in 0..n {
                let key = i * i % 37;
                combiner.add(key, i);
                let list = expected.1.entry(key).or_default();
                if list.is_empty() {
                    expected.0.push(key);
                }
                list.push(i);
            }
            let got: Vec<_> = combiner.into_entries().map(|(_, key, values)| (key, values)).collect();
            let expected: Vec<_> = expected.0.iter().map(|key| (*key, expected.1[key].clone())).collect();
            assert_eq!(got, expected);
        }
    }
}
