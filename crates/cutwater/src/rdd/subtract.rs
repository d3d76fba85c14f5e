use crate::{Key, rdd::Rdd};

impl<T: Key> Rdd<T> {
    /// The records that are not in `other`, duplicates and all (`api.md` §12). Whole records are
    /// compared; for pairs see [`subtract_by_key`](Self::subtract_by_key).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let rest = ctx.parallelize([1, 1, 2, 3]).subtract(&ctx.parallelize([2, 3, 4]));
    /// assert_eq!(rest.collect()?, [1, 1]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn subtract(&self, other: &Rdd<T>) -> Rdd<T> {
        self.subtract_into(other, self.default_partitions())
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn subtract_into(&self, other: &Rdd<T>, partitions: u32) -> Rdd<T> {
        let (here, there) = (self.map(|record| (record, ())), other.map(|record| (record, ())));
        here.subtract_by_key_into(&there, partitions).keys()
    }
}
