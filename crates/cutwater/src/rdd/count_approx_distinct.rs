use super::sketch::Sketch;
use crate::{Error, Record, rdd::Rdd};

/// What to say when no sketch is as exact as asked.
pub(super) fn no_such_error(operation: &str, error: f64) -> String {
    format!("`{operation}` with an error of {error}: give one between 0.0021 and 1, such as 0.05")
}

impl<T: Record> Rdd<T> {
    /// About how many different records there are (`api.md` §12): HyperLogLog, over the bytes that
    /// records serialise to.
    ///
    /// `error` is the relative standard error: two answers of three are within it, and 19 of 20 within
    /// twice as much. Each partition sends 2^⌈log₂ (1.04/`error`)²⌉ bytes, 512 for an error of 5 %,
    /// however many records it has. The same records always give the same answer.
    ///
    /// # Errors
    /// `error` is not between 0.0021 and 1, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let about = ctx.parallelize(0..10_000).map(|n| n % 1000).count_approx_distinct(0.02)?;
    /// assert!((940..1060).contains(&about), "{about}");
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_approx_distinct(&self, error: f64) -> Result<u64, Error> {
        let empty = Sketch::with_error(error)
            .ok_or_else(|| Error::user(no_such_error("count_approx_distinct", error)))?;
        let add = |mut sketch: Sketch, record: T| {
            sketch.add(&record);
            sketch
        };
        Ok(self.aggregate(empty, add, |sketch, other| sketch.merge(&other))?.estimate())
    }
}
