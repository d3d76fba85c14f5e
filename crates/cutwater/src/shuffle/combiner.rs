use std::any::Any;

use hashbrown::HashTable;
use serde::Serialize;

use crate::{Key, placement};

/// Values combined by key in the order in which the keys first came.
///
/// Properties:
/// - keys are kept in order of arrival, so what is read from it is the same on every machine;
/// - a key is hashed once, when it arrives; growing compares and hashes nothing again;
/// - records are looked up a [`BATCH`] at a time;
/// - where keys are text, a key that was seen before need not be more than [borrowed](Self::texts).
///
/// It lives inside one task.
pub(crate) struct Combiner<K, V, M: Merge<V>> {
    merge: M,
    table: Table<K, M::Acc>,
    waiting: Vec<(K, V)>,
}

/// How a value is put to those that came before it.
pub(crate) trait Merge<V> {
    /// What is kept for a key.
    type Acc;
    fn first(&self, value: V) -> Self::Acc;
    fn next(&self, acc: Self::Acc, value: V) -> Self::Acc;
}

/// What is kept for each key.
struct Table<K, A> {
    index: HashTable<Place>,
    entries: Vec<Entry<K, A>>,
}

/// Where a key is in the table. The part of its hash keeps the search from looking there in vain.
#[derive(Clone, Copy)]
struct Place {
    tag: u32,
    at: u32,
}

struct Entry<K, A> {
    hash: u64,
    key: K,
    /// Empty only while a function of the program computes the next value from this one.
    value: Option<A>,
}

/// Looking up a key of a vocabulary larger than the nearest cache means to wait for memory three times
/// in a row (the profile of word count over 10,000 words shows it). Looked up together, records wait at
/// the same time.
pub(crate) const BATCH: usize = 32;

const NOT_FOUND: u32 = u32::MAX;

/// Other bits of a hash than those that choose a key's place.
fn tag(hash: u64) -> u32 {
    (hash >> 25) as u32
}

impl<K: Key, A> Table<K, A> {
    /// Takes in all of `pairs`. Their keys may be borrowed: one becomes a `K` only if it is new.
    #[inline]
    fn take_in<Q, V, M>(&mut self, merge: &M, pairs: &mut Vec<(Q, V)>)
    where
        Q: Serialize + Into<K>,
        K: PartialEq<Q>,
        M: Merge<V, Acc = A>,
    {
        while !pairs.is_empty() {
            let count = pairs.len().min(BATCH);
            self.look_up(merge, pairs.drain(..count));
        }
    }

    fn look_up<Q, V, M>(&mut self, merge: &M, pairs: std::vec::Drain<'_, (Q, V)>)
    where
        Q: Serialize + Into<K>,
        K: PartialEq<Q>,
        M: Merge<V, Acc = A>,
    {
        // First by hash alone: nothing here depends on the record before.
        let mut places = [(0, NOT_FOUND); BATCH];
        for (place, (key, _)) in places.iter_mut().zip(pairs.as_slice()) {
            place.0 = placement::hash(key);
        }
        let places = &mut places[..pairs.len()];
        for (hash, found) in &mut *places {
            *found =
                self.index.find(*hash, |place| place.tag == tag(*hash)).map_or(NOT_FOUND, |place| place.at);
        }
        for (hash, found) in &mut *places {
            if self.entries.get(*found as usize).is_none_or(|entry| entry.hash != *hash) {
                *found = NOT_FOUND;
            }
        }
        for ((hash, found), (key, value)) in places.iter().copied().zip(pairs) {
            // Then by key. What was not found by its hash may have come within the batch; what was
            // found may be another key of the same hash.
            let known = match self.entries.get(found as usize) {
                Some(entry) if entry.key == key => Some(found),
                _ => {
                    let same = |place: &Place| {
                        let entry = &self.entries[place.at as usize];
                        entry.hash == hash && entry.key == key
                    };
                    self.index.find(hash, same).map(|place| place.at)
                }
            };
            match known {
                Some(at) => {
                    let slot = &mut self.entries[at as usize].value;
                    *slot = slot.take().map(|old| merge.next(old, value));
                }
                None => {
                    let at =
                        u32::try_from(self.entries.len()).expect("a task does not hold 2^32 keys in memory");
                    self.entries.push(Entry { hash, key: key.into(), value: Some(merge.first(value)) });
                    let place = Place { tag: tag(hash), at };
                    self.index.insert_unique(hash, place, |place| self.entries[place.at as usize].hash);
                }
            }
        }
    }
}

impl<K: Key, V, M: Merge<V>> Combiner<K, V, M> {
    pub fn new(merge: M) -> Self {
        let table = Table { index: HashTable::new(), entries: Vec::new() };
        Self { merge, table, waiting: Vec::with_capacity(BATCH) }
    }

    #[inline]
    pub fn add(&mut self, key: K, value: V) {
        self.waiting.push((key, value));
        if self.waiting.len() == BATCH {
            self.table.take_in(&self.merge, &mut self.waiting);
        }
    }

    /// The way in for pairs with borrowed keys; `None` if keys are not text.
    pub fn texts(&mut self) -> Option<Texts<'_, V, M>>
    where
        M::Acc: 'static,
    {
        // Found out here and not by a bound, so that whoever combines need not know what its keys are.
        let table = (&mut self.table as &mut dyn Any).downcast_mut()?;
        Some(Texts { merge: &self.merge, table })
    }

    /// Everything, as (hash, key, value), in order of arrival of the keys.
    pub fn into_entries(mut self) -> impl Iterator<Item = (u64, K, M::Acc)> {
        self.table.take_in(&self.merge, &mut self.waiting);
        self.table.entries.into_iter().filter_map(|entry| Some((entry.hash, entry.key, entry.value?)))
    }
}

/// A [`Combiner`] whose keys are text.
pub(crate) struct Texts<'c, V, M: Merge<V>> {
    merge: &'c M,
    table: &'c mut Table<String, M::Acc>,
}

impl<V, M: Merge<V>> Texts<'_, V, M> {
    /// Takes in all of `pairs`, best about a [`BATCH`] of them.
    pub fn take_in(&mut self, pairs: &mut Vec<(&str, V)>) {
        self.table.take_in(self.merge, pairs);
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

    /// Borrowed keys find the entries of owned ones, and new ones are kept, however large the batches.
    #[test]
    fn borrowed_keys_are_the_same_keys() {
        let words: Vec<String> = (0..200u32).map(|i| format!("w{}", i * i % 37)).collect();
        for size in [1, 31, 32, 33, 200] {
            let (mut owned, mut mixed) = (Combiner::new(List), Combiner::new(List));
            for (i, words) in words.chunks(size).enumerate() {
                words.iter().for_each(|word| owned.add(word.clone(), i));
                let mut texts = mixed.texts().unwrap();
                texts.take_in(&mut words.iter().map(|word| (word.as_str(), i)).collect());
            }
            assert!(mixed.into_entries().eq(owned.into_entries()), "{size} at a time");
        }
        assert!(Combiner::<u64, u64, _>::new(List).texts().is_none());
    }
}
