use crate::{Error, Record, rdd::Rdd};

impl<T: Record + Into<f64>> Rdd<T> {
    /// The sum of all numbers, 0 if there are none (`api.md` §12). Numbers are added within each
    /// partition, and then partition by partition, so the last digits are always the same.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1.5, 2.5, 3.0]).sum()?, 7.0);
    /// assert_eq!(ctx.parallelize(1..=100u32).sum()?, 5050.0);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sum(&self) -> Result<f64, Error> {
        self.aggregate(0.0, |sum, number| sum + number.into(), |sum, other| sum + other)
    }
}
