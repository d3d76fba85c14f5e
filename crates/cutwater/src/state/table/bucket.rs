//! Entries that lie together, sorted.

use std::{borrow::Borrow, cmp::Ordering, hint};

use serde::Serialize;

use super::key_hash;

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry<K, V> {
    pub key: K,
    pub value: V,
}

/// Where a hash stands among others, but for those of the same low half: this half, mirrored. Buckets are
/// told apart by its lowest bits, since the highest of a hash are alike in one table; mirrored, this makes
/// their order that of plain numbers.
pub(super) fn order_of(hash: u64) -> u32 {
    (hash as u32).reverse_bits()
}

/// Entries of which the first bits of the order are alike, in the order of the table.
///
/// Orders lie apart from the entries, where they would take the room of a word each, and looking for one
/// loads no keys.
#[derive(Clone)]
pub(super) struct Bucket<K, V> {
    orders: Vec<u32>,
    entries: Vec<Entry<K, V>>,
}

impl<K, V> Default for Bucket<K, V> {
    /// It allocates nothing.
    fn default() -> Self {
        Self { orders: Vec::new(), entries: Vec::new() }
    }
}

/// How many values to make room for, if so many are there: as many as fit into what an allocator sets
/// aside for these. Most have four sizes from one power of two to the next.
fn room_for<T>(len: usize) -> usize {
    let bytes = len * size_of::<T>();
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(16)) / size_of::<T>().max(1)
}

/// Makes room for one more. Doubling would leave a quarter of the table's memory unused.
fn make_room<T>(values: &mut Vec<T>) {
    if values.len() == values.capacity() {
        values.reserve_exact(room_for::<T>(values.len() + 1) - values.len());
    }
}

/// The values in an allocation of their size. Shrinking one leaves it in the block that it has, if that is
/// not more than twice as large.
fn moved<T>(values: &mut Vec<T>) {
    let mut own = Vec::with_capacity(room_for::<T>(values.len()));
    own.append(values);
    *values = own;
}

/// About where among so many an order is, if their first `bits` bits are alike. Hashes are spread evenly,
/// so what is left of one says how far along.
fn guess(order: u32, bits: u32, len: usize) -> usize {
    let rest = order.checked_shl(bits).unwrap_or(0);
    ((u64::from(rest) * len as u64) >> 32) as usize
}

/// How two keys of one order stand.
fn compare<K: Serialize>(a: &K, b: &K) -> Ordering {
    let place = |key| key_hash(key).reverse_bits();
    // A key that cannot be serialised cannot leave the process either; then it is first.
    let bytes = |key| postcard::to_allocvec(key).ok();
    // Two different keys of one hash are as good as never seen, but may not depend on their history.
    place(a).cmp(&place(b)).then_with(|| bytes(a).cmp(&bytes(b)))
}

impl<K, V> Bucket<K, V> {
    pub fn len(&self) -> usize {
        self.orders.len()
    }

    /// Where an order begins, or would. The first `bits` bits of all of them are alike.
    fn start(&self, bits: u32, order: u32) -> usize {
        let orders = self.orders.as_slice();
        // This looks at one or two cache lines, where a search by halves looks at four.
        let mut start = guess(order, bits, orders.len());
        while start > 0 && orders[start - 1] >= order {
            start -= 1;
        }
        while start < orders.len() && orders[start] < order {
            start += 1;
        }
        start
    }

    /// Where a key is; or else where those of its order begin. The first `bits` bits of all orders are alike.
    pub fn find<Q: Eq + ?Sized>(&self, bits: u32, order: u32, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        let start = self.start(bits, order);
        let run = self.orders[start..].iter().zip(&self.entries[start..]);
        let mut run = run.take_while(|(other, _)| **other == order);
        run.position(|(_, entry)| entry.key.borrow() == key).map(|at| start + at).ok_or(start)
    }

    pub fn entry(&self, at: usize) -> &Entry<K, V> {
        &self.entries[at]
    }

    pub fn value_mut(&mut self, at: usize) -> &mut V {
        &mut self.entries[at].value
    }

    /// The entries of the orders from one to another, both included, each with its order.
    pub fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &Entry<K, V>)> {
        let start = self.orders.partition_point(|order| *order < from);
        let end = self.orders.partition_point(|order| *order <= to).max(start);
        self.orders[start..end].iter().copied().zip(&self.entries[start..end])
    }

    /// All entries and their orders.
    pub fn parts_mut(&mut self) -> (&[u32], &mut [Entry<K, V>]) {
        (&self.orders, &mut self.entries)
    }

    pub fn into_entries(self) -> impl Iterator<Item = (u32, Entry<K, V>)> {
        self.orders.into_iter().zip(self.entries)
    }

    pub fn into_sorted(self) -> Vec<Entry<K, V>> {
        self.entries
    }

    /// Loads the orders that `find` will look at. The loads are the point, so they may not be optimised away.
    pub fn touch_orders(&self, bits: u32, order: u32) {
        hint::black_box(self.orders.get(guess(order, bits, self.len())).copied());
    }

    /// Loads the key that `find` will look at.
    pub fn touch_key(&self, bits: u32, order: u32)
    where
        K: Eq,
    {
        if let Some(Entry { key, .. }) = self.entries.get(self.start(bits, order)) {
            hint::black_box(*hint::black_box(key) == *key);
        }
    }

    pub fn remove(&mut self, at: usize) -> Entry<K, V> {
        self.orders.remove(at);
        self.entries.remove(at)
    }

    /// Takes out all from an order on.
    pub fn split_off(&mut self, order: u32) -> Self {
        let at = self.orders.partition_point(|other| *other < order);
        Self { orders: self.orders.split_off(at), entries: self.entries.split_off(at) }
    }

    /// Adds what belongs after all that is here.
    pub fn append(&mut self, mut upper: Self) {
        self.orders.append(&mut upper.orders);
        self.entries.append(&mut upper.entries);
    }

    /// Adds copies of what belongs after all that is here.
    pub fn extend<'a>(&mut self, upper: impl Iterator<Item = (u32, &'a Entry<K, V>)>)
    where
        K: Clone + 'a,
        V: Clone + 'a,
    {
        let (at_least, _) = upper.size_hint();
        self.orders.reserve(at_least);
        self.entries.reserve(at_least);
        for (order, entry) in upper {
            self.orders.push(order);
            self.entries.push(entry.clone());
        }
    }

    /// Gives back the room for so many more than half of what there is.
    pub fn trim(&mut self, spare: usize) {
        if self.entries.capacity() > 2 * self.entries.len() + spare {
            self.fit();
        }
    }

    /// Moves all into memory of their size.
    pub fn fit(&mut self) {
        moved(&mut self.orders);
        moved(&mut self.entries);
    }
}

impl<K: Serialize, V> Bucket<K, V> {
    /// Puts a key where it belongs, which `find` has not found; those of its order begin at `start`.
    pub fn insert(&mut self, start: usize, order: u32, key: K, value: V) {
        debug_assert_eq!(order, order_of(key_hash(&key)), "a key comes with its own hash");
        let same = self.orders[start..].iter().take_while(|other| **other == order);
        let less =
            same.zip(&self.entries[start..]).take_while(|(_, other)| compare(&other.key, &key).is_lt());
        let at = start + less.count();
        make_room(&mut self.orders);
        self.orders.insert(at, order);
        make_room(&mut self.entries);
        self.entries.insert(at, Entry { key, value });
    }
}

#[cfg(test)]
impl<K: Serialize, V> Bucket<K, V> {
    /// Checks what the comments promise.
    pub fn sound(&self) {
        assert_eq!(self.orders.len(), self.entries.len());
        for (order, entry) in self.orders.iter().zip(&self.entries) {
            assert_eq!(*order, order_of(key_hash(&entry.key)));
        }
        assert!(self.orders.is_sorted());
        let place = |key| key_hash(key).reverse_bits();
        assert!(self.entries.is_sorted_by(|a, b| match place(&a.key).cmp(&place(&b.key)) {
            Ordering::Equal => compare(&a.key, &b.key).is_lt(),
            unequal => unequal.is_lt(),
        }));
    }

    /// What it has allocated.
    pub fn bytes(&self) -> usize {
        self.orders.capacity() * size_of::<u32>() + self.entries.capacity() * size_of::<Entry<K, V>>()
    }
}
