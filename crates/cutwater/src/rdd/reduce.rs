use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::reduce`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`Rdd::reduce`].
    #[track_caller]
    pub fn reduce<F: Fn(&E, T, T) -> T + Portable>(self, f: F) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        let both = move |values: &E, a: Option<T>, b: Option<T>| match (a, b) {
            (Some(a), Some(b)) => Some(f(values, a, b)),
            (a, b) => a.or(b),
        };
        let add = move |values: &E, so_far: Option<T>, record| both(values, so_far, Some(record));
        let values = self.values.clone();
        let reduced = self.aggregated("reduce", None, add, move |a, b| both(&values, a, b))?;
        reduced.ok_or_else(|| {
            Error::user("`reduce` of an empty dataset: there is nothing to answer; use `fold`")
        })
    }
}

impl<T: Record> Rdd<T> {
    /// All records reduced by the associative function `f`, in order.
    ///
    /// # Errors
    /// The dataset is empty, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([4, 7, 1]).reduce(i32::max)?, 7);
    /// assert!(ctx.parallelize(Vec::<i32>::new()).reduce(i32::max).is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce<F: Fn(T, T) -> T + Portable>(&self, f: F) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce(move |(), a, b| f(a, b))
    }
}
