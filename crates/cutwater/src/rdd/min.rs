use crate::{Error, Record, rdd::Rdd};

impl<T: Record + Ord> Rdd<T> {
    /// The least record (`api.md` §12). For numbers that are not [`Ord`] see
    /// [`stats`](Self::stats).
    ///
    /// # Errors
    /// The dataset is empty, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([4, 7, 1]).min()?, 1);
    /// assert!(ctx.parallelize(Vec::<i32>::new()).min().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn min(&self) -> Result<T, Error> {
        // `None` is less than everything, so unlike in `max` it has to be kept out.
        let lesser = |a: Option<T>, b: Option<T>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        let least = self.aggregate(None, move |so_far, record| lesser(so_far, Some(record)), lesser)?;
        least.ok_or_else(|| {
            Error::user("`min` of an empty dataset: there is nothing to answer; use `take_ordered(1)`")
        })
    }
}
