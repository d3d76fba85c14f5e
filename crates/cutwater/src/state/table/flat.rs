//! Entries by key, in parts that grow at different times.

use std::borrow::Borrow;

use serde::Serialize;

use super::{
    bucket::{Bucket, Entry},
    buckets::Buckets,
};

/// The parts are told apart by the first so many bits of the order.
const PART_BITS: u32 = 4;

/// How many entries a bucket of each part has on average. One that comes or goes moves half of its
/// bucket; each bucket costs six words and two allocations.
///
/// In one part all buckets grow to twice their size and are split at about the same time, and leave the
/// blocks of memory of each size half empty behind them. So these go from 32 to nearly 64 in even steps of
/// ratio, and at any time buckets of every size come and go.
const BUCKET_ENTRIES: [usize; 1 << PART_BITS] =
    [32, 33, 35, 36, 38, 40, 41, 43, 45, 47, 49, 52, 54, 56, 59, 61];

/// Entries by key, in the order of the hashes.
///
/// Properties:
/// - a key is found by three loads that depend on each other, however many there are: where its bucket lies,
///   the orders in it, the key;
/// - it grows and shrinks one bucket at a time: no change moves more than two buckets of entries;
/// - the order of iteration is that of the hashes, and among keys of one hash that of their bytes.
///   It depends on the content alone.
///
/// It is plain data, changed by whoever owns it.
pub(super) struct Flat<K, V> {
    /// None while there is no entry, one until it has more entries than a bucket, and then all.
    parts: Vec<Buckets<K, V>>,
    len: usize,
}

impl<K, V> Default for Flat<K, V> {
    /// It allocates nothing.
    fn default() -> Self {
        Self { parts: Vec::new(), len: 0 }
    }
}

impl<K, V> Flat<K, V> {
    fn part_of(&self, order: u32) -> usize {
        if self.parts.len() > 1 { (order >> (u32::BITS - PART_BITS)) as usize } else { 0 }
    }

    /// Makes all parts of the one.
    fn divide(&mut self) {
        let mut rest = Bucket::default();
        for bucket in self.parts.drain(..).flat_map(Buckets::into_buckets) {
            rest.append(bucket);
        }
        for (part, entries) in BUCKET_ENTRIES.into_iter().enumerate().rev() {
            let first = (part as u32) << (u32::BITS - PART_BITS);
            let mut bucket = rest.split_off(first);
            bucket.fit();
            self.parts.push(Buckets::new(first, PART_BITS, entries, bucket));
        }
        self.parts.reverse();
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The last order of which the entries lie in the same bucket as those of this one.
    pub fn bucket_end(&self, order: u32) -> u32 {
        self.parts.get(self.part_of(order)).map_or(u32::MAX, |part| part.bucket_end(order))
    }

    pub fn get<Q: Eq + ?Sized>(&self, order: u32, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        self.parts.get(self.part_of(order))?.get(order, key)
    }

    pub fn get_mut<Q: Eq + ?Sized>(&mut self, order: u32, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.part_of(order);
        self.parts.get_mut(at)?.get_mut(order, key)
    }

    /// The entries of the orders from one to another, both included, each with its order.
    pub fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &Entry<K, V>)> {
        let parts = self.part_of(from)..=self.part_of(to);
        let parts = if self.is_empty() { &[] } else { &self.parts[parts] };
        parts.iter().flat_map(move |part| part.range(from, to))
    }

    /// All buckets, to have values in them changed; in no order of note.
    pub fn buckets_mut(&mut self) -> impl Iterator<Item = &mut Bucket<K, V>> {
        self.parts.iter_mut().flat_map(Buckets::buckets_mut)
    }

    /// All entries, each with its order, in no order of note.
    pub fn into_entries(self) -> impl Iterator<Item = (u32, Entry<K, V>)> {
        self.parts.into_iter().flat_map(Buckets::into_buckets).flat_map(Bucket::into_entries)
    }

    /// Brings into the cache what `get`, `put` or `take` at these orders will look at. No load here
    /// waits for one of another order, so that many are under way at once.
    pub fn touch(&self, orders: &[u32])
    where
        K: Eq,
    {
        if !self.is_empty() {
            orders.iter().for_each(|order| self.parts[self.part_of(*order)].touch_orders(*order));
            orders.iter().for_each(|order| self.parts[self.part_of(*order)].touch_key(*order));
        }
    }

    /// Takes a key out.
    pub fn take<Q: Eq + ?Sized>(&mut self, order: u32, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        let at = self.part_of(order);
        let taken = self.parts.get_mut(at)?.take(order, key)?;
        self.len -= 1;
        if self.len == 0 {
            self.parts = Vec::new();
        }
        Some(taken)
    }
}

impl<K: Serialize, V> Flat<K, V> {
    /// Gives a key a value, and returns the one it had. The key is made only if it was not there.
    pub fn put<Q: Eq + ?Sized>(
        &mut self,
        order: u32,
        key: &Q,
        make_key: impl FnOnce() -> K,
        value: V,
    ) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if self.parts.is_empty() {
            self.parts = vec![Buckets::new(0, 0, BUCKET_ENTRIES[0], Bucket::default())];
        }
        let at = self.part_of(order);
        let before = self.parts[at].put(order, key, make_key, value);
        self.len += usize::from(before.is_none());
        if self.parts.len() == 1 && self.len > BUCKET_ENTRIES[0] {
            self.divide();
        }
        before
    }
}

#[cfg(test)]
impl<K: Serialize, V> Flat<K, V> {
    /// Checks what the comments promise.
    pub fn sound(&self) {
        assert_eq!(self.parts.iter().map(Buckets::len).sum::<usize>(), self.len);
        assert_eq!(self.parts.is_empty(), self.is_empty());
        self.parts.iter().for_each(Buckets::sound);
        assert!(self.range(0, u32::MAX).map(|(order, _)| order).is_sorted());
        assert_eq!(self.range(0, u32::MAX).count(), self.len);
    }

    /// What it has allocated.
    pub fn bytes(&self) -> usize {
        size_of_val(self.parts.as_slice()) + self.parts.iter().map(Buckets::bytes).sum::<usize>()
    }
}
