use std::{iter::FusedIterator, sync::Arc, vec};

use serde::Serialize;

use super::{bucket::Entry, versions::Version};

/// The pairs of a [`Table`](super::Table) in its order: see [`Table::iter`](super::Table::iter).
///
/// It holds the version that it reads, which may change under other handles meanwhile.
///
/// ```
/// use cutwater::state::{Table, key_hash};
///
/// let mut table = Table::from_iter([(1u64, 'a'), (2, 'b')]);
/// let pairs = table.iter();
/// table.remove(key_hash(&1u64), &1);
/// assert_eq!(pairs.len(), 2);
/// ```
pub struct Iter<K, V> {
    version: Arc<Version<K, V>>,
    entries: vec::IntoIter<Entry<K, V>>,
    /// The order from which on to read next.
    next: Option<u32>,
    left: usize,
}

impl<K, V> Iter<K, V> {
    pub(super) fn new(version: Arc<Version<K, V>>, len: usize) -> Self {
        Self { version, entries: Vec::new().into_iter(), next: Some(0), left: len }
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Iterator for Iter<K, V> {
    type Item = (K, V);

    #[inline]
    fn next(&mut self) -> Option<(K, V)> {
        loop {
            if let Some(Entry { key, value }) = self.entries.next() {
                self.left -= 1;
                return Some((key, value));
            }
            // A version with nothing more to read is not held up to its last empty bucket.
            let from = self.next.filter(|_| self.left > 0)?;
            let (read, next) = self.version.read(from);
            self.entries = read.into_sorted().into_iter();
            self.next = next;
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> ExactSizeIterator for Iter<K, V> {}

impl<K: Clone + Eq + Serialize, V: Clone> FusedIterator for Iter<K, V> {}
