//! The keyed table that holds state. Each interval makes a new version of it which shares with the
//! one before whatever did not change.

mod convert;
mod diff;
mod iter;
mod node;
#[cfg(test)]
mod tests;
mod warm;

use std::{
    borrow::Borrow,
    mem,
    num::NonZeroU32,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use serde::Serialize;

use self::node::{Entry, Node};
pub use self::{
    diff::{Change, Changes},
    iter::Iter,
};

/// The hash that the methods of a [`Table`] expect beside a key: the engine's placement hash, which
/// is the same on every machine and in every release.
///
/// ```
/// use cutwater::state::key_hash;
///
/// assert_eq!(key_hash("pier"), key_hash(&String::from("pier")));
/// ```
pub fn key_hash<Q: Serialize + ?Sized>(key: &Q) -> u64 {
    crate::placement::hash(key)
}

/// A map whose versions share structure: a clone costs nothing, and changing it copies only the way
/// to what is changed.
///
/// Properties:
/// - A clone is a version of its own: whatever is done to either is never seen in the other.
/// - A change copies what other versions still hold on its way (a leaf of at most 32 entries and the
///   few branches above it) and changes in place what only this version holds, so that a batch of
///   changes copies each shared node at most once, however many of its keys it touches.
/// - The order of iteration follows the hashes of the keys. It depends on the content alone and not
///   on how it came about, except among keys whose 64 bits of hash are equal: these stand in the
///   order in which they were inserted.
/// - [`changes_since`](Self::changes_since) looks only where two versions differ, and knows exactly
///   which keys were written; it needs no `PartialEq` of the values.
/// - Dropping a version frees the nodes that no other version holds, and goes no further down than
///   these. In a large table that too is a cache miss for each, so drop where nobody waits.
/// - A pair of `u64` takes 25 to 33 bytes, branches and spare room included.
///
/// The methods take the hash of the key ([`key_hash`]) beside it, since the engine has computed it
/// already to find the partition. The top bits chose the partition and so are alike in one table;
/// the place in the table is found from the 32 low bits.
///
/// Threading: any thread reads any version. The task that makes an interval's version is the only
/// one to change it; once it is published in a block it never changes again.
///
/// Failure: it lives in memory alone. If the process dies nothing of it survives but what
/// checkpoints hold.
///
/// ```
/// use cutwater::state::{Change, Table, key_hash};
///
/// let mut before = Table::new();
/// before.insert(key_hash("pier"), "pier".to_string(), 1);
/// before.insert(key_hash("arch"), "arch".to_string(), 1);
///
/// let mut now = before.clone();
/// now.upsert(key_hash("pier"), "pier", || "pier".to_string(), || 1, |count| *count += 1);
///
/// assert_eq!(before.get(key_hash("pier"), "pier"), Some(&1));
/// assert_eq!(now.get(key_hash("pier"), "pier"), Some(&2));
/// assert_eq!(now.changes_since(&before).collect::<Vec<_>>(), [Change::Put(&"pier".to_string(), &2)]);
/// ```
pub struct Table<K, V> {
    root: Node<K, V>,
    len: usize,
    /// What this version stamps the entries it writes with, or `NO_EDITION` before its first write.
    ///
    /// Cloning ends the edition of both sides: were either to go on stamping with a number that the
    /// other's entries carry too, two different values could look like one. Hence an atomic, which
    /// `clone(&self)` can reset; no two threads ever meet on it.
    edition: AtomicU32,
    /// Where the next edition comes from. All versions of one table draw from the same source, so
    /// that an entry's key and stamp name one value among all of them.
    editions: Arc<AtomicU32>,
}

const NO_EDITION: u32 = 0;

/// Editions have run out (a version each 10 ms gets there in 500 days). Entries with this stamp
/// count as written whenever a leaf differs: a checkpoint then holds more than it must, never less.
const LAST_EDITION: NonZeroU32 = NonZeroU32::MAX;

/// Below so many keys a table lies in the cache anyway.
const WARM_LEN_MIN: usize = 1 << 15;

impl<K, V> Table<K, V> {
    /// A table with nothing in it.
    ///
    /// ```
    /// use cutwater::state::Table;
    ///
    /// assert!(Table::<String, u64>::new().is_empty());
    /// ```
    pub fn new() -> Self {
        Self {
            root: Node::default(),
            len: 0,
            edition: AtomicU32::new(NO_EDITION),
            editions: Arc::new(AtomicU32::new(NO_EDITION)),
        }
    }

    /// How many keys there are.
    ///
    /// ```
    /// use cutwater::state::Table;
    ///
    /// let table: Table<u64, char> = [(1, 'a'), (2, 'b'), (1, 'c')].into_iter().collect();
    /// assert_eq!(table.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is no key at all.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::from_iter([(7u64, "seven")]);
    /// assert!(!table.is_empty());
    /// table.remove(key_hash(&7u64), &7);
    /// assert!(table.is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All pairs, in the order of the table.
    ///
    /// ```
    /// use cutwater::state::Table;
    ///
    /// let up = Table::from_iter((0..1000u64).map(|n| (n, n * n)));
    /// let down = Table::from_iter((0..1000u64).rev().map(|n| (n, n * n)));
    /// assert!(up.iter().eq(down.iter()), "the order is that of the content");
    /// ```
    pub fn iter(&self) -> Iter<'_, K, V> {
        Iter::new(&self.root, self.len)
    }

    /// Brings into the cache what changes at these hashes are going to touch: some dozens of keys at
    /// a time, just before they are changed. It has no effect but on speed.
    ///
    /// The way to a key of a large table is a chain of cache misses, each waiting for the one before.
    /// Walking many ways side by side lets them wait together, which makes a batch of changes to ten
    /// million keys up to twice as quick; in a table that fits the cache it does nothing.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::from_iter((0..100_000u64).map(|n| (n, 0)));
    /// let batch: Vec<(u64, u64)> = (0..100_000).step_by(999).map(|key| (key_hash(&key), key)).collect();
    /// for batch in batch.chunks(64) {
    ///     table.warm(batch.iter().map(|(hash, _)| *hash));
    ///     for (hash, key) in batch {
    ///         table.upsert(*hash, key, || *key, || 1, |value| *value += 1);
    ///     }
    /// }
    /// assert_eq!(table.iter().filter(|(_, value)| **value == 1).count(), 101);
    /// ```
    pub fn warm(&self, hashes: impl IntoIterator<Item = u64>) {
        if self.len >= WARM_LEN_MIN {
            warm::warm(&self.root, hashes.into_iter().map(node::path_of));
        }
    }

    /// The number to stamp what is written now with.
    fn stamp(&mut self) -> NonZeroU32 {
        let edition = self.edition.get_mut();
        if *edition == NO_EDITION {
            let next = |last: u32| last.saturating_add(1);
            let last =
                self.editions.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |last| Some(next(last)));
            *edition = last.map_or(u32::MAX, next);
        }
        NonZeroU32::new(*edition).unwrap_or(LAST_EDITION)
    }
}

impl<K: Eq, V> Table<K, V> {
    /// The value of a key.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let table = Table::from_iter([("arch".to_string(), 3)]);
    /// assert_eq!(table.get(key_hash("arch"), "arch"), Some(&3));
    /// assert_eq!(table.get(key_hash("pier"), "pier"), None);
    /// ```
    pub fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.root.get(node::path_of(hash), key)
    }

    /// What has to be done to `older` to make it this version: each key that was written since, with
    /// its value now, and each that is gone. The cost follows what changed and not what there is.
    ///
    /// The two may be any two versions, in either direction. A key counts as written even if its
    /// value was replaced by an equal one. Between two tables neither of which came from the other
    /// or from a common one by `clone`, every key counts as written.
    ///
    /// ```
    /// use cutwater::state::{Change, Table, key_hash};
    ///
    /// let older = Table::from_iter((0..1000u64).map(|n| (n, 0)));
    /// let mut newer = older.clone();
    /// newer.insert(key_hash(&3u64), 3, 1);
    /// newer.remove(key_hash(&4u64), &4);
    ///
    /// let mut changes: Vec<_> = newer.changes_since(&older).collect();
    /// changes.sort_by_key(|change| *change.key());
    /// assert_eq!(changes, [Change::Put(&3, &1), Change::Removed(&4)]);
    /// ```
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> Changes<'a, K, V> {
        Changes::new(&self.root, &older.root, Arc::ptr_eq(&self.editions, &older.editions))
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Table<K, V> {
    /// Gives a key a value, and returns the one it had.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::new();
    /// assert_eq!(table.insert(key_hash(&7u64), 7u64, "seven"), None);
    /// assert_eq!(table.insert(key_hash(&7u64), 7u64, "sept"), Some("seven"));
    /// ```
    pub fn insert(&mut self, hash: u64, key: K, value: V) -> Option<V> {
        let (path, stamp) = (node::path_of(hash), self.stamp());
        let (leaf, level) = self.root.descend(path);
        match node::find(leaf.slots(), path, level, &key) {
            Ok(at) => leaf.slots_mut()[at].as_mut().map(|entry| {
                entry.stamp = stamp;
                mem::replace(&mut entry.value, value)
            }),
            Err(at) => {
                leaf.add(at, level, hash, Entry { path, stamp, key, value });
                self.len += 1;
                None
            }
        }
    }

    /// Changes the value of a key where it lies, or gives it a first one. An owned key is made only
    /// for one that was not there.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut counts = Table::new();
    /// for word in "the pier of the bridge".split(' ') {
    ///     counts.upsert(key_hash(word), word, || word.to_string(), || 1, |count| *count += 1);
    /// }
    /// assert_eq!(counts.get(key_hash("the"), "the"), Some(&2));
    /// ```
    pub fn upsert<Q: Eq + ?Sized>(
        &mut self,
        hash: u64,
        key: &Q,
        make_key: impl FnOnce() -> K,
        insert: impl FnOnce() -> V,
        change: impl FnOnce(&mut V),
    ) where
        K: Borrow<Q>,
    {
        let (path, stamp) = (node::path_of(hash), self.stamp());
        let (leaf, level) = self.root.descend(path);
        match node::find(leaf.slots(), path, level, key) {
            Ok(at) => {
                if let Some(entry) = &mut leaf.slots_mut()[at] {
                    // First, since a change that panics halfway has been a change.
                    entry.stamp = stamp;
                    change(&mut entry.value);
                }
            }
            Err(at) => {
                leaf.add(at, level, hash, Entry { path, stamp, key: make_key(), value: insert() });
                self.len += 1;
            }
        }
    }

    /// Hands the value of a key over, or `None`, and keeps what comes back: a key for which nothing
    /// comes back is dropped. Costs one look-up more than [`upsert`](Self::upsert).
    ///
    /// If `change` panics the key is gone from this version.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::from_iter([(7u64, 1)]);
    /// let hash = key_hash(&7u64);
    /// table.alter(hash, &7, |count| count.map(|n| n + 1));
    /// assert_eq!(table.get(hash, &7), Some(&2));
    /// table.alter(hash, &7, |_| None);
    /// assert_eq!(table.get(hash, &7), None);
    /// ```
    pub fn alter(&mut self, hash: u64, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) {
        let path = node::path_of(hash);
        // Looked up first, so that a key which is not there and stays away copies nothing.
        if self.root.get(path, key).is_none() {
            if let Some(value) = change(None) {
                self.insert(hash, key.clone(), value);
            }
            return;
        }
        let stamp = self.stamp();
        let (leaf, level) = self.root.descend(path);
        let Ok(at) = node::find(leaf.slots(), path, level, key) else { return };
        let Some(Entry { key, value, .. }) = leaf.take(at) else { return };
        // Not counted while it is out, in case `change` panics.
        self.len -= 1;
        match change(Some(value)) {
            Some(value) => {
                leaf.put_back(at, Entry { path, stamp, key, value });
                self.len += 1;
            }
            None => self.root.prune(path),
        }
    }

    /// Takes a key out, and returns the value it had.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::from_iter([(7u64, "seven")]);
    /// assert_eq!(table.remove(key_hash(&7u64), &7), Some("seven"));
    /// assert_eq!(table.remove(key_hash(&7u64), &7), None);
    /// ```
    pub fn remove<Q: Eq + ?Sized>(&mut self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let path = node::path_of(hash);
        // As in `alter`: what is not there is not worth a copy.
        self.root.get(path, key)?;
        let (leaf, level) = self.root.descend(path);
        let at = node::find(leaf.slots(), path, level, key).ok()?;
        let entry = leaf.take(at)?;
        self.len -= 1;
        self.root.prune(path);
        Some(entry.value)
    }
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        self.edition.store(NO_EDITION, Ordering::Relaxed);
        Self {
            root: self.root.clone(),
            len: self.len,
            edition: AtomicU32::new(NO_EDITION),
            editions: Arc::clone(&self.editions),
        }
    }
}
