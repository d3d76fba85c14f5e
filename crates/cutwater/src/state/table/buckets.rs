//! Sorted buckets of entries, of which there are more as there are more entries (linear hashing).

use std::{borrow::Borrow, cmp::Ordering, hint, iter, mem};

use serde::Serialize;

/// A key with its value.
#[derive(Clone)]
pub(super) struct Entry<K, V> {
    /// Where it stands: see [`order_of`].
    pub order: u64,
    pub key: K,
    pub value: V,
}

/// Where a hash stands among others: the hash, mirrored. Buckets are told apart by its lowest bits,
/// since the highest are alike in one table; mirrored, this makes their order that of plain numbers.
pub(super) fn order_of(hash: u64) -> u64 {
    hash.reverse_bits()
}

/// Entries by key of which the first bits of the order are alike: a part of a [`Flat`](super::flat::Flat),
/// which says what it promises.
pub(super) struct Buckets<K, V> {
    /// None, or as many as make `bucket_entries` a bucket. With 2ⁿ + m of them the hashes
    /// are split by their n lowest bits, and those of the first m such parts by one bit more; the
    /// upper halves of these stand at the end.
    buckets: Vec<Vec<Entry<K, V>>>,
    len: usize,
    /// The least order that belongs here, and how many first bits all have in common with it.
    first: u64,
    common_bits: u32,
    /// How many entries a bucket has on average.
    bucket_entries: usize,
}

/// How many values to make room for, if so many are there: as many as fit into what an allocator sets
/// aside for these. Most have four sizes from one power of two to the next.
fn room_for<T>(len: usize) -> usize {
    let bytes = len * size_of::<T>();
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(16)) / size_of::<T>()
}

/// The values in an allocation of their size. Shrinking one leaves it in the block that it has, if that is
/// not more than twice as large.
fn moved<T>(values: Vec<T>) -> Vec<T> {
    let mut own = Vec::with_capacity(room_for::<T>(values.len()));
    own.extend(values);
    own
}

/// About where in a bucket an entry is. Hashes are spread evenly, so what is left of one says how
/// far along.
fn guess(order: u64, bits: u32, len: usize) -> usize {
    let rest = order.checked_shl(bits).unwrap_or(0);
    (((rest >> 32) * len as u64) >> 32) as usize
}

/// Where among sorted entries, whose orders have their first `bits` bits in common, a key is; or
/// else where those of its hash begin.
pub(super) fn find<K, V, Q>(entries: &[Entry<K, V>], bits: u32, order: u64, key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    // This looks at one or two cache lines, where a search by halves looks at four.
    let mut start = guess(order, bits, entries.len());
    while start > 0 && entries[start - 1].order >= order {
        start -= 1;
    }
    while start < entries.len() && entries[start].order < order {
        start += 1;
    }
    let run = entries[start..].iter().take_while(|entry| entry.order == order);
    match run.enumerate().find(|(_, entry)| entry.key.borrow() == key) {
        Some((at, _)) => Ok(start + at),
        None => Err(start),
    }
}

/// Where a key belongs that `find` has not found.
pub(super) fn place<K: Serialize, V>(
    entries: &[Entry<K, V>],
    mut start: usize,
    order: u64,
    key: &K,
) -> usize {
    // Two different keys of one hash are as good as never seen, but may not depend on their history.
    while entries.get(start).is_some_and(|other| other.order == order && by_bytes(&other.key, key).is_lt()) {
        start += 1;
    }
    start
}

fn by_bytes<K: Serialize>(a: &K, b: &K) -> Ordering {
    // A key that cannot be serialised cannot leave the process either; then it is last.
    let bytes = |key| postcard::to_allocvec(key).ok();
    bytes(a).cmp(&bytes(b))
}

impl<K, V> Buckets<K, V> {
    /// It allocates nothing.
    pub fn new(first: u64, common_bits: u32, bucket_entries: usize) -> Self {
        Self { buckets: Vec::new(), len: 0, first, common_bits, bucket_entries }
    }

    /// The bucket of an order, and how many bits the orders in it have in common.
    fn address(&self, order: u64) -> (usize, u32) {
        let Some(bits) = self.buckets.len().checked_ilog2() else { return (0, self.common_bits) };
        let hash = (order.reverse_bits() >> self.common_bits) as usize;
        let coarse = hash & ((1 << bits) - 1);
        if coarse + (1 << bits) < self.buckets.len() {
            (hash & ((2 << bits) - 1), self.common_bits + bits + 1)
        } else {
            (coarse, self.common_bits + bits)
        }
    }

    fn bucket(&self, order: u64) -> (&[Entry<K, V>], u32) {
        let (at, bits) = self.address(order);
        (self.buckets.get(at).map_or(&[], Vec::as_slice), bits)
    }

    /// The last order of which the entries lie in the same bucket as those of this one.
    pub fn bucket_end(&self, order: u64) -> u64 {
        order | u64::MAX.checked_shr(self.address(order).1).unwrap_or(0)
    }

    pub fn get<Q: Eq + ?Sized>(&self, order: u64, key: &Q) -> Option<&Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        let (bucket, bits) = self.bucket(order);
        find(bucket, bits, order, key).ok().map(|at| &bucket[at])
    }

    pub fn get_mut<Q: Eq + ?Sized>(&mut self, order: u64, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        let bucket = self.buckets.get_mut(at)?;
        let at = find(bucket, bits, order, key).ok()?;
        Some(&mut bucket[at].value)
    }

    /// The entries from one order to another, both included.
    pub fn range(&self, from: u64, to: u64) -> impl Iterator<Item = &Entry<K, V>> {
        let to = to.min(self.first | (u64::MAX >> self.common_bits));
        let mut next = (self.len > 0).then_some(from.max(self.first));
        let slices = iter::from_fn(move || {
            let from = next.filter(|from| *from <= to)?;
            let end = self.bucket_end(from);
            next = end.checked_add(1);
            let bucket = self.bucket(from).0;
            let start = bucket.partition_point(|entry| entry.order < from);
            let end = if end <= to { bucket.len() } else { bucket.partition_point(|e| e.order <= to) };
            Some(&bucket[start..end.max(start)])
        });
        slices.flatten()
    }

    /// All entries, a bucket at a time, to have their values changed; in no order of note.
    pub fn buckets_mut(&mut self) -> impl Iterator<Item = &mut [Entry<K, V>]> {
        self.buckets.iter_mut().map(Vec::as_mut_slice)
    }

    /// All entries, in no order of note.
    pub fn into_entries(self) -> impl Iterator<Item = Entry<K, V>> {
        self.buckets.into_iter().flatten()
    }

    /// See [`Flat::touch`](super::flat::Flat::touch).
    #[inline]
    pub fn touch(&self, order: u64) {
        let (bucket, bits) = self.bucket(order);
        let near = guess(order, bits, bucket.len());
        let near = [near.saturating_sub(2), near, near + 2].map(|at| bucket.get(at));
        let seen = near.into_iter().flatten().fold(0, |seen, entry| seen ^ entry.order);
        // The loads are the point, so they may not be optimised away.
        hint::black_box(seen);
    }

    /// Takes a key out.
    pub fn take<Q: Eq + ?Sized>(&mut self, order: u64, key: &Q) -> Option<Entry<K, V>>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        let bucket = self.buckets.get_mut(at)?;
        let at = find(bucket, bits, order, key).ok()?;
        let taken = bucket.remove(at);
        if bucket.capacity() > 2 * bucket.len() + self.bucket_entries / 4 {
            *bucket = moved(mem::take(bucket));
        }
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
            && let Some(mut upper) = self.buckets.pop()
        {
            let lower = self.buckets.len() - (1 << self.buckets.len().ilog2());
            self.buckets[lower].append(&mut upper);
        }
    }
}

impl<K: Serialize, V> Buckets<K, V> {
    /// Gives a key a value, and returns the one it had. The key is made only if it was not there.
    pub fn put<Q: Eq + ?Sized>(
        &mut self,
        order: u64,
        key: &Q,
        make_key: impl FnOnce() -> K,
        value: V,
    ) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let (at, bits) = self.address(order);
        if self.buckets.is_empty() {
            self.buckets.push(Vec::new());
        }
        let bucket = &mut self.buckets[at];
        match find(bucket, bits, order, key) {
            Ok(at) => Some(mem::replace(&mut bucket[at].value, value)),
            Err(start) => {
                let key = make_key();
                debug_assert_eq!(order, order_of(super::key_hash(&key)), "a key comes with its own hash");
                let at = place(bucket, start, order, &key);
                if bucket.len() == bucket.capacity() {
                    // Doubling would leave a quarter of the table's memory unused.
                    bucket.reserve_exact(room_for::<Entry<K, V>>(bucket.len() + 1) - bucket.len());
                }
                bucket.insert(at, Entry { order, key, value });
                self.len += 1;
                self.grow();
                None
            }
        }
    }

    /// One bucket more, if there are too few: the next in turn is split.
    fn grow(&mut self) {
        let n = self.buckets.len();
        if self.len <= n * self.bucket_entries {
            return;
        }
        let bits = n.ilog2();
        let bucket = &mut self.buckets[n - (1 << bits)];
        let half = 1 << (u64::BITS - 1 - self.common_bits - bits);
        let upper = bucket.split_off(bucket.partition_point(|entry| entry.order & half == 0));
        *bucket = moved(mem::take(bucket));
        self.buckets.push(moved(upper));
    }
}

#[cfg(test)]
impl<K: Serialize, V> Buckets<K, V> {
    /// Checks what the comments promise.
    pub fn sound(&self) {
        assert_eq!(self.buckets.iter().map(Vec::len).sum::<usize>(), self.len);
        assert!(self.len <= self.buckets.len() * self.bucket_entries);
        assert!(self.buckets.len() <= 1 + self.len * 2 / self.bucket_entries.min(self.len.max(1)));
        for (at, bucket) in self.buckets.iter().enumerate() {
            for entry in bucket {
                assert_eq!(self.address(entry.order).0, at);
                assert_eq!(entry.order, order_of(super::key_hash(&entry.key)));
            }
            assert!(bucket.is_sorted_by(|a, b| match a.order.cmp(&b.order) {
                Ordering::Equal => by_bytes(&a.key, &b.key).is_lt(),
                unequal => unequal.is_lt(),
            }));
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    /// What it has allocated.
    pub fn bytes(&self) -> usize {
        let entries: usize = self.buckets.iter().map(Vec::capacity).sum();
        entries * size_of::<Entry<K, V>>() + self.buckets.capacity() * size_of::<Vec<Entry<K, V>>>()
    }
}
