use crate::{Key, Record, rdd::Rdd};

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// The key of each record, as often as it comes (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let keys = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).keys();
    /// assert_eq!(keys.collect()?, ['a', 'b', 'a']);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn keys(&self) -> Rdd<K> {
        self.map(|(key, _)| key)
    }
}
