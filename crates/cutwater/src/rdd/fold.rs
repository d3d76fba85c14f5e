use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::fold`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn fold<F: Fn(&E, T, T) -> T + Portable>(self, zero: T, f: F) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        let values = self.values.clone();
        self.aggregated("fold", zero, f, move |a, b| f(&values, a, b))
    }
}

impl<T: Record> Rdd<T> {
    /// Folds all records by the associative function `f`. `zero` is applied once for each
    /// partition and once more for all of them, so it should change nothing (`api.md` §12).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1, 2, 3]).fold(0, |a, b| a + b)?, 6);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn fold<F: Fn(T, T) -> T + Portable>(&self, zero: T, f: F) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).fold(zero, move |(), a, b| f(a, b))
    }
}
