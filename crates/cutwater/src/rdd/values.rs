use crate::{Key, Record, rdd::Rdd};

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// The value of each record without its key (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let values = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).values();
    /// assert_eq!(values.collect()?, [1, 2, 3]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn values(&self) -> Rdd<V> {
        self.map(|(_, value)| value)
    }
}
