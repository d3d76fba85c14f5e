use crate::{Error, Record, rdd::Rdd};

impl<T: Record + Ord> Rdd<T> {
    /// The greatest record (`api.md` §12). For numbers that are not [`Ord`] see
    /// [`stats`](Self::stats).
    ///
    /// # Errors
    /// The dataset is empty, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([4, 7, 1]).max()?, 7);
    /// assert!(ctx.parallelize(Vec::<i32>::new()).max().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn max(&self) -> Result<T, Error> {
        let greatest = self.aggregate(None, |so_far, record| so_far.max(Some(record)), Option::max)?;
        greatest
            .ok_or_else(|| Error::user("`max` of an empty dataset: there is nothing to answer; use `top(1)`"))
    }
}
