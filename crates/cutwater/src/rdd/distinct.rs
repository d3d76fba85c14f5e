use crate::{Key, rdd::Rdd};

impl<T: Key> Rdd<T> {
    /// Each record once, however often it comes (`api.md` §12). Duplicates within a partition are
    /// dropped before anything is shuffled.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let once = ctx.parallelize([3, 1, 3, 2, 1]).distinct();
    /// assert_eq!(once.collect()?, [3, 1, 2]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn distinct(&self) -> Rdd<T> {
        self.distinct_into(self.default_partitions())
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn distinct_into(&self, partitions: u32) -> Rdd<T> {
        self.map(|record| (record, ())).reduce_by_key_into(partitions, |(), ()| ()).keys()
    }
}
