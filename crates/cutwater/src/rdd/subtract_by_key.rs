use crate::{Key, Record, rdd::Rdd};

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// The records whose key is not a key of `other`, duplicates and all (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let seen = ctx.parallelize([('a', 1), ('b', 2), ('a', 1)]);
    /// let rest = seen.subtract_by_key(&ctx.parallelize([('b', "known".to_owned())]));
    /// assert_eq!(rest.collect()?, [('a', 1), ('a', 1)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn subtract_by_key<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, V)> {
        // Not the larger of both: the answer is part of this dataset, however large the other is.
        self.subtract_by_key_into(other, self.default_partitions())
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn subtract_by_key_into<W: Record>(&self, other: &Rdd<(K, W)>, partitions: u32) -> Rdd<(K, V)> {
        // Of the other side only the keys matter, and each once.
        let keys = other.map_values(|_| ()).reduce_by_key_into(partitions, |(), ()| ());
        self.cogroup_into(&keys, partitions)
            .flat_map_values(|(here, there)| if there.is_empty() { here } else { Vec::new() })
    }
}
