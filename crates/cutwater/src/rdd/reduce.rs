use crate::{
    Error, Record,
    closure::{self, Portable},
    rdd::Rdd,
};

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
        let both = move |a: Option<T>, b: Option<T>| match (a, b) {
            (Some(a), Some(b)) => Some(f(a, b)),
            (a, b) => a.or(b),
        };
        let add = move |so_far, record| both(so_far, Some(record));
        let reduced = self.aggregated("reduce", None, add, both)?;
        reduced.ok_or_else(|| {
            Error::user("`reduce` of an empty dataset: there is nothing to answer; use `fold`")
        })
    }
}
