use crate::{Key, rdd::Rdd};

impl<T: Key> Rdd<T> {
    /// Each record that is in both datasets, once however often it comes (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let both = ctx.parallelize([1, 2, 3, 3]).intersection(&ctx.parallelize([3, 1, 1, 4]));
    /// assert_eq!(both.collect()?, [1, 3]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn intersection(&self, other: &Rdd<T>) -> Rdd<T> {
        self.intersection_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn intersection_into(&self, other: &Rdd<T>, partitions: u32) -> Rdd<T> {
        // Each side is rid of its duplicates first: they need not travel, and what is distinct into
        // as many partitions lies where the cogroup wants it.
        let (here, there) = (self.map(|record| (record, ())), other.map(|record| (record, ())));
        let here = here.reduce_by_key_into(partitions, |(), ()| ());
        let there = there.reduce_by_key_into(partitions, |(), ()| ());
        here.join_into(&there, partitions).keys()
    }
}
