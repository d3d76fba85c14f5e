use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::tree_reduce`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`Rdd::tree_reduce`].
    #[track_caller]
    pub fn tree_reduce<F: Fn(&E, T, T) -> T + Portable>(self, f: F, depth: u32) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        let both = move |values: &E, a: Option<T>, b: Option<T>| match (a, b) {
            (Some(a), Some(b)) => Some(f(values, a, b)),
            (a, b) => a.or(b),
        };
        let add = move |values: &E, so_far, record| both(values, so_far, Some(record));
        let reduced = self.tree_aggregate(None, add, both, depth)?;
        reduced.ok_or_else(|| {
            Error::user("`tree_reduce` of an empty dataset: there is nothing to answer; use `tree_aggregate`")
        })
    }
}

impl<T: Record> Rdd<T> {
    /// As [`reduce`](Self::reduce), with the results of partitions put together on the workers first,
    /// in a tree of about `depth` levels (`api.md` §12); see
    /// [`tree_aggregate`](Self::tree_aggregate).
    ///
    /// # Errors
    /// The dataset is empty or `depth` is 0, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize_into(20, 1..=100u64).tree_reduce(|a, b| a + b, 3)?, 5050);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn tree_reduce<F: Fn(T, T) -> T + Portable>(&self, f: F, depth: u32) -> Result<T, Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).tree_reduce(move |(), a, b| f(a, b), depth)
    }
}
