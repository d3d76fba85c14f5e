use std::cmp::Reverse;

use crate::{Error, Key, Record, rdd::Rdd};

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// All records sorted by key, the lowest first; records of a key stay in order (`api.md` §12).
    /// Like [`sort_by`](Self::sort_by) it takes a sample of the keys at once.
    ///
    /// # Errors
    /// Those of [`sort_by`](Self::sort_by).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sorted = ctx.parallelize([('b', 1), ('c', 2), ('a', 3), ('b', 0)]).sort_by_key()?;
    /// assert_eq!(sorted.collect()?, [('a', 3), ('b', 1), ('b', 0), ('c', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sort_by_key(&self) -> Result<Rdd<(K, V)>, Error> {
        self.sort_by_key_into(self.default_partitions())
    }

    /// The same into at most the given number of partitions.
    ///
    /// # Errors
    /// Those of [`sort_by`](Self::sort_by).
    #[track_caller]
    pub fn sort_by_key_into(&self, partitions: u32) -> Result<Rdd<(K, V)>, Error> {
        self.sort_by_into(partitions, |(key, _)| key.clone())
    }

    /// All records sorted by key, the highest first; records of a key stay in order (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`sort_by`](Self::sort_by).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sorted = ctx.parallelize([('b', 1), ('c', 2), ('a', 3)]).sort_by_key_descending()?;
    /// assert_eq!(sorted.collect()?, [('c', 2), ('b', 1), ('a', 3)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sort_by_key_descending(&self) -> Result<Rdd<(K, V)>, Error> {
        self.sort_by_key_descending_into(self.default_partitions())
    }

    /// The same into at most the given number of partitions.
    ///
    /// # Errors
    /// Those of [`sort_by`](Self::sort_by).
    #[track_caller]
    pub fn sort_by_key_descending_into(&self, partitions: u32) -> Result<Rdd<(K, V)>, Error> {
        self.sort_by_into(partitions, |(key, _)| Reverse(key.clone()))
    }
}
