use crate::{Error, Record, rdd::Rdd};

impl<T: Record> Rdd<T> {
    /// Whether there are no records at all (`api.md` §12). Partitions are computed only until one is
    /// found.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let numbers = ctx.parallelize(0..10);
    /// assert!(!numbers.is_empty()?);
    /// assert!(numbers.filter(|n| *n > 10).is_empty()?);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn is_empty(&self) -> Result<bool, Error> {
        Ok(self.take(1)?.is_empty())
    }
}
