//! The keyed table that holds state. Each interval makes a new version of it, which is kept as what it
//! changed.

mod bucket;
mod buckets;
mod convert;
mod diff;
mod flat;
mod iter;
#[cfg(test)]
mod tests;
mod versions;

use std::{
    borrow::Borrow,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use serde::Serialize;

use self::{
    bucket::order_of,
    flat::Flat,
    versions::{Edits, Version},
};
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

/// A map of which any number of versions are held, for little more than one.
///
/// Properties:
/// - A clone is a version of its own: whatever is done to either is never seen in the other.
/// - The newest version lies in memory as it is. Each other one is held as the keys that were written
///   between it and its neighbour, with the values they had. So reading an older version costs more by
///   what was written since, and going on from one first takes that back.
/// - A change waits at its handle until the handle is cloned or read as a whole, and is then carried
///   out with all others that wait. What fails before that has changed nothing.
/// - A batch of changes copies the keys and values that it writes, each once, and nothing else; those of
///   a table of one handle copy nothing at all.
/// - The order of iteration is that of the hashes of the keys, and among keys of one hash that of their
///   bytes. It depends on the content alone and not on how it came about.
/// - [`changes_since`](Self::changes_since) costs by what was written in between and knows exactly
///   which keys were; it needs no `PartialEq` of the values.
/// - Dropping a version frees what no other version needs: the keys it had written.
/// - A pair of `u64` takes at most 26 bytes in a table of some thousands or more, spare room included, beside
///   what the allocator takes.
///
/// The methods take the hash of the key ([`key_hash`]) beside it, since the engine has computed it
/// already to find the partition. The top bits chose the partition and so are alike in one table;
/// the place in the table is found from the low half.
///
/// Threading: any thread reads any version, also while a newer one is made. Versions share a lock, held
/// by a reader for some dozens of pairs and by a writer while waiting changes are carried out; no
/// function of the program runs meanwhile but `Clone`, `Eq` and `Serialize` of keys and values.
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
/// assert_eq!(before.get(key_hash("pier"), "pier"), Some(1));
/// assert_eq!(now.get(key_hash("pier"), "pier"), Some(2));
/// assert_eq!(now.changes_since(&before).collect::<Vec<_>>(), [Change::Put("pier".to_string(), 2)]);
/// ```
pub struct Table<K, V> {
    handle: Mutex<Handle<K, V>>,
    len: usize,
}

/// Locked only so that a clone of `&Table` can carry out what waits; no two threads ever meet on it for
/// long.
struct Handle<K, V> {
    version: Arc<Version<K, V>>,
    /// What was changed since.
    waiting: Edits<K, V>,
}

/// So many keys at most are taken to lie in the cache anyway.
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
        let handle = Handle { version: Arc::new(Version::new()), waiting: Edits::default() };
        Self { handle: Mutex::new(handle), len: 0 }
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

    fn handle(&self) -> MutexGuard<'_, Handle<K, V>> {
        self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn handle_mut(&mut self) -> &mut Handle<K, V> {
        self.handle.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq, V: Clone> Table<K, V> {
    /// Brings into the cache what changes at these hashes are going to touch: some dozens of keys at
    /// a time, just before they are changed. It has no effect but on speed.
    ///
    /// A key of a large table is some cache misses away, and those of many keys can be waited for
    /// together. In a table that fits the cache it does nothing.
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
    /// assert_eq!(table.iter().filter(|(_, value)| *value == 1).count(), 101);
    /// ```
    pub fn warm(&self, hashes: impl IntoIterator<Item = u64>) {
        if self.len >= WARM_LEN_MIN {
            let orders: Vec<u32> = hashes.into_iter().map(order_of).collect();
            self.handle().version.touch(WARM_LEN_MIN, &orders);
        }
    }

    /// The value of a key.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let table = Table::from_iter([("arch".to_string(), 3)]);
    /// assert_eq!(table.get(key_hash("arch"), "arch"), Some(3));
    /// assert_eq!(table.get(key_hash("pier"), "pier"), None);
    /// ```
    pub fn get<Q: Eq + ?Sized>(&self, hash: u64, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (handle, order) = (self.handle(), order_of(hash));
        match handle.waiting.get(order, key) {
            Some(edit) => edit.value.clone(),
            None => handle.version.get(order, key, |_, value| value.clone()),
        }
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Table<K, V> {
    /// All pairs, in the order of the table, as they are now.
    ///
    /// ```
    /// use cutwater::state::Table;
    ///
    /// let up = Table::from_iter((0..1000u64).map(|n| (n, n * n)));
    /// let down = Table::from_iter((0..1000u64).rev().map(|n| (n, n * n)));
    /// assert!(up.iter().eq(down.iter()), "the order is that of the content");
    /// ```
    pub fn iter(&self) -> Iter<K, V> {
        Iter::new(self.version(), self.len)
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
    /// assert_eq!(changes, [Change::Put(3, 1), Change::Removed(4)]);
    /// ```
    pub fn changes_since<'a>(&'a self, older: &'a Self) -> Changes<'a, K, V> {
        Changes::new(self, older)
    }

    /// The keys that were written since `older`, each with what became of it; `None` if neither came from the
    /// other or from a common one.
    pub(crate) fn written_since(&self, older: &Self) -> Option<Vec<(K, Option<V>)>> {
        let (to, from) = (self.version(), older.version());
        to.is_related(&from).then(|| to.edits_since(&from))
    }

    /// The version that this handle holds, with all that waited carried out.
    fn version(&self) -> Arc<Version<K, V>> {
        let mut handle = self.handle();
        if !handle.waiting.is_empty() {
            let waiting = std::mem::take(&mut handle.waiting);
            handle.version = Arc::new(handle.version.derive(waiting));
        }
        Arc::clone(&handle.version)
    }

    /// Carries out what waits, while what it touches is still in the cache.
    pub(crate) fn settle(&self) {
        self.version();
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Handle<K, V> {
    /// The entries themselves, if nobody else sees them.
    fn alone(&mut self) -> Option<&mut Flat<K, V>> {
        if !self.waiting.is_empty() {
            return None;
        }
        Arc::get_mut(&mut self.version)?.alone()
    }

    /// Lets `change` turn the value of a key into another, and returns what it returns. If it panics, nothing
    /// has happened to a key that was not written since the last version.
    fn change<Q: Eq + ?Sized, R>(
        &mut self,
        order: u32,
        key: &Q,
        make_key: impl FnOnce() -> K,
        change: impl FnOnce(&mut Option<V>) -> R,
    ) -> R
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.waiting.get_mut(order, key) {
            return change(value);
        }
        let (known, mut value) = self.version.get(order, key, |k, v| (k.clone(), v.clone())).unzip();
        let result = change(&mut value);
        if known.is_some() || value.is_some() {
            self.waiting.put(order, key, || known.unwrap_or_else(make_key), value);
        }
        result
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
        let (handle, order) = (self.handle_mut(), order_of(hash));
        let before = match handle.alone() {
            Some(flat) => flat.put(order, &key, || key.clone(), value),
            None => handle.change(order, &key, || key.clone(), |slot| slot.replace(value)),
        };
        self.len += usize::from(before.is_none());
        before
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
    /// assert_eq!(counts.get(key_hash("the"), "the"), Some(2));
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
        let (handle, order) = (self.handle_mut(), order_of(hash));
        let is_new = match handle.alone() {
            Some(flat) => match flat.get_mut(order, key) {
                Some(value) => {
                    change(value);
                    false
                }
                None => flat.put(order, key, make_key, insert()).is_none(),
            },
            None => handle.change(order, key, make_key, |slot| match slot {
                Some(value) => {
                    change(value);
                    false
                }
                None => slot.replace(insert()).is_none(),
            }),
        };
        self.len += usize::from(is_new);
    }

    /// Hands the value of a key over, or `None`, and keeps what comes back: a key for which nothing
    /// comes back is dropped. Costs one look-up more than [`upsert`](Self::upsert).
    ///
    /// If `change` panics the key may be gone from this version.
    ///
    /// ```
    /// use cutwater::state::{Table, key_hash};
    ///
    /// let mut table = Table::from_iter([(7u64, 1)]);
    /// let hash = key_hash(&7u64);
    /// table.alter(hash, &7, |count| count.map(|n| n + 1));
    /// assert_eq!(table.get(hash, &7), Some(2));
    /// table.alter(hash, &7, |_| None);
    /// assert_eq!(table.get(hash, &7), None);
    /// ```
    pub fn alter(&mut self, hash: u64, key: &K, change: impl FnOnce(Option<V>) -> Option<V>) {
        let (order, Self { handle, len }) = (order_of(hash), self);
        let handle = handle.get_mut().unwrap_or_else(PoisonError::into_inner);
        let change = |before: Option<V>| {
            // Not counted while it is out, in case `change` panics.
            *len -= usize::from(before.is_some());
            let after = change(before);
            *len += usize::from(after.is_some());
            after
        };
        match handle.alone() {
            Some(flat) => {
                let before = flat.take(order, key).map(|entry| entry.value);
                if let Some(after) = change(before) {
                    flat.put(order, key, || key.clone(), after);
                }
            }
            None => handle.change(order, key, || key.clone(), |slot| *slot = change(slot.take())),
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
        let (handle, order) = (self.handle_mut(), order_of(hash));
        let before = match handle.alone() {
            Some(flat) => flat.take(order, key).map(|entry| entry.value),
            None => {
                let make_key = || unreachable!("only a key that is there has a value to take");
                handle.change(order, key, make_key, Option::take)
            }
        };
        self.len -= usize::from(before.is_some());
        before
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        let handle = Handle { version: self.version(), waiting: Edits::default() };
        Self { handle: Mutex::new(handle), len: self.len }
    }
}
