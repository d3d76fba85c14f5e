//! Sorted buckets of entries, of which there are more as there are more entries (linear hashing).

use std::{borrow::Borrow, iter, mem};

use serde::Serialize;

use super::bucket::{Bucket, Entry};

/// Entries by key of which the first bits of the order are alike: a part of a [`Flat`](super::flat::Flat),
/// which says what it promises.
pub(super) struct Buckets<K, V> {
    /// None, or as many as make `bucket_entries` a bucket. With 2ⁿ + m of them the hashes
    /// are split by their n lowest bits, and those of the first m such parts by one bit more; the
    /// upper halves of these stand at the end.
    buckets: Vec<Bucket<K, V>>,
    len: usize,
    /// The least order that belongs here, and how many first bits all have in common with it.
    first: u32,
    common_bits: u32,
    /// How many entries a bucket has on average.
    bucket_entries: usize,
}

impl<K, V> Buckets<K, V> {
    /// With what belongs here in one bucket.
    pub fn new(first: u32, common_bits: u32, bucket_entries: usize, bucket: Bucket<K, V>) -> Self {
        let len = bucket.len();
        let buckets = if len > 0 { vec![bucket] } else { Vec::new() };
        Self { buckets, len, first, common_bits, bucket_entries }
    }

    /// The bucket of an order, and how many bits the orders in it have in common.
    fn address(&self, order: u32) -> (usize, u32) {
        let Some(bits) = self.buckets.len().checked_ilog2() else { return (0, self.common_bits) };
        let hash = (order.reverse_bits() >> self.common_bits) as usize;
        let coarse = hash & ((1 << bits) - 1);
        if coarse + (1 << bits) < self.buckets.len() {
            (hash & ((2 << bits) - 1), self.common_bits + bits + 1)
        } else {
            (coarse, self.common_bits + bits)
        }
    }

    /// The last order of which the entries lie in the same bucket as those of this one.
    pub fn bucket_end(&self, order: u32) -> u32 {
        order | u32::MAX.checked_shr(self.address(order).1).unwrap_or(0)
    }

    pub fn get<Q: Eq + ?Sized>(&self, order: u32, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        let bucket = self.buckets.get(at)?;
        bucket.find(bits, order, key).ok().map(|at| bucket.entry(at))
    }

    pub fn get_mut<Q: Eq + ?Sized>(&mut self, order: u32, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        let bucket = self.buckets.get_mut(at)?;
        let at = bucket.find(bits, order, key).ok()?;
        Some(bucket.value_mut(at))
    }

    /// The entries of the orders from one to another, both included, each with its order.
    pub fn range(&self, from: u32, to: u32) -> impl Iterator<Item = (u32, &Entry<K, V>)> {
        let to = to.min(self.first | (u32::MAX >> self.common_bits));
        let mut next = (self.len > 0).then_some(from.max(self.first));
        let buckets = iter::from_fn(move || {
            let from = next.filter(|from| *from <= to)?;
            next = self.bucket_end(from).checked_add(1);
            Some(self.buckets[self.address(from).0].range(from, to))
        });
        buckets.flatten()
    }

    /// All buckets, to have values in them changed; in no order of note.
    pub fn buckets_mut(&mut self) -> impl Iterator<Item = &mut Bucket<K, V>> {
        self.buckets.iter_mut()
    }

    /// All buckets, in no order of note.
    pub fn into_buckets(self) -> impl Iterator<Item = Bucket<K, V>> {
        self.buckets.into_iter()
    }

    /// See [`Bucket::touch_orders`].
    pub fn touch_orders(&self, order: u32) {
        let (at, bits) = self.address(order);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.touch_orders(bits, order);
        }
    }

    /// See [`Bucket::touch_key`].
    pub fn touch_key(&self, order: u32)
    where
        K: Eq,
    {
        let (at, bits) = self.address(order);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.touch_key(bits, order);
        }
    }

    /// Takes a key out.
    pub fn take<Q: Eq + ?Sized>(&mut self, order: u32, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        let bucket = self.buckets.get_mut(at)?;
        let taken = bucket.remove(bucket.find(bits, order, key).ok()?);
        bucket.trim(self.bucket_entries / 4);
        self.len -= 1;
        self.shrink();
        Some(taken)
    }

    /// One bucket less, if there are too many: the last goes back to the one it was split from.
    fn shrink(&mut self) {
        if self.len == 0 {
            self.buckets = Vec::new();
        // At half of what makes it grow, so that a key which comes and goes does not split and merge.
        } else if self.len < self.buckets.len() * self.bucket_entries / 2
            && self.buckets.len() > 1
            && let Some(upper) = self.buckets.pop()
        {
            let lower = self.buckets.len() - (1 << self.buckets.len().ilog2());
            self.buckets[lower].append(upper);
        }
    }

    /// One bucket more, if there are too few: the next in turn is split.
    fn grow(&mut self) {
        let n = self.buckets.len();
        if self.len <= n * self.bucket_entries {
            return;
        }
        let bits = n.ilog2();
        // Buckets told apart by all bits of the order stay as they are: that is a thousand gigabytes of them.
        let Some(half) = (1u32 << 31).checked_shr(self.common_bits + bits) else { return };
        let lower = n - (1 << bits);
        let first = self.first | ((lower as u32).reverse_bits() >> self.common_bits);
        let mut upper = self.buckets[lower].split_off(first | half);
        upper.fit();
        self.buckets[lower].fit();
        self.buckets.push(upper);
    }
}

impl<K: Serialize, V> Buckets<K, V> {
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
        let (at, bits) = self.address(order);
        if self.buckets.is_empty() {
            self.buckets = vec![Bucket::default()];
        }
        let bucket = &mut self.buckets[at];
        match bucket.find(bits, order, key) {
            Ok(at) => Some(mem::replace(bucket.value_mut(at), value)),
            Err(start) => {
                bucket.insert(start, order, make_key(), value);
                self.len += 1;
                self.grow();
                None
            }
        }
    }
}

#[cfg(test)]
impl<K: Serialize, V> Buckets<K, V> {
    /// Checks what the comments promise.
    pub fn sound(&self) {
        assert_eq!(self.buckets.iter().map(Bucket::len).sum::<usize>(), self.len);
        assert!(self.len <= self.buckets.len() * self.bucket_entries);
        assert!(self.buckets.len() <= 1 + self.len * 2 / self.bucket_entries.min(self.len.max(1)));
        for (at, bucket) in self.buckets.iter().enumerate() {
            bucket.sound();
            assert!(bucket.range(0, u32::MAX).all(|(order, _)| self.address(order).0 == at));
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// What it has allocated.
    pub fn bytes(&self) -> usize {
        let buckets: usize = self.buckets.iter().map(Bucket::bytes).sum();
        buckets + self.buckets.capacity() * size_of::<Bucket<K, V>>()
    }
}
