use hashbrown::HashTable;

use crate::{Key, placement};

/// Values combined by key in the order in which the keys first came.
///
/// Properties:
/// - keys are kept in order of arrival, so what is read from it is the same on every machine;
/// - a key is hashed once, when it arrives; growing compares and hashes nothing again.
///
/// It lives inside one task.
pub(crate) struct Combiner<K, A> {
    index: HashTable<u32>,
    entries: Vec<Entry<K, A>>,
}

struct Entry<K, A> {
    hash: u64,
    key: K,
    /// Empty only while a function of the program computes the next value from this one.
    value: Option<A>,
}

impl<K: Key, A> Combiner<K, A> {
    pub fn new() -> Self {
        Self { index: HashTable::new(), entries: Vec::new() }
    }

    /// Puts `start` under a new key, or `next` of what is there and of `value` under a known one.
    #[inline]
    pub fn add<V>(&mut self, key: K, value: V, start: impl FnOnce(V) -> A, next: impl FnOnce(A, V) -> A) {
        let hash = placement::hash(&key);
        match self.find(hash, &key) {
            Some(at) => {
                let slot = &mut self.entries[at].value;
                if let Some(old) = slot.take() {
                    *slot = Some(next(old, value));
                }
            }
            None => self.insert(hash, key, start(value)),
        }
    }

    #[inline]
    fn find(&self, hash: u64, key: &K) -> Option<usize> {
        let same = |&at: &u32| {
            let entry = &self.entries[at as usize];
            entry.hash == hash && entry.key == *key
        };
        self.index.find(hash, same).map(|&at| at as usize)
    }

    fn insert(&mut self, hash: u64, key: K, value: A) {
        let at = u32::try_from(self.entries.len()).expect("a task does not hold 2^32 keys in memory");
        self.entries.push(Entry { hash, key, value: Some(value) });
        self.index.insert_unique(hash, at, |&at| self.entries[at as usize].hash);
    }

    /// Everything, as (hash, key, value), in order of arrival of the keys.
    pub fn into_entries(self) -> impl Iterator<Item = (u64, K, A)> {
        self.entries.into_iter().filter_map(|entry| Some((entry.hash, entry.key, entry.value?)))
    }
}
