use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
};

impl<K: Key, V: Record, C: Collection<Item = (K, V)>, E: Record> With<C, E> {
    /// [`Rdd::fold_by_key`] with the values handed over.
    #[track_caller]
    pub fn fold_by_key<F: Fn(&E, V, V) -> V + Portable>(self, zero: V, f: F) -> C::Of<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.aggregate_by_key(zero, f, f)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn fold_by_key_into<F>(self, partitions: u32, zero: V, f: F) -> C::Of<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.aggregate_by_key_into(partitions, zero, f, f)
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// One record for each key: its values folded by the associative function `f`, from `zero`
    /// (`api.md` §12). `zero` is applied once for each partition a key is in, so it should change
    /// nothing.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let sums = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).fold_by_key(0, |x, y| x + y);
    /// assert_eq!(sums.collect()?, [('a', 4), ('b', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn fold_by_key<F: Fn(V, V) -> V + Portable>(&self, zero: V, f: F) -> Rdd<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).fold_by_key(zero, move |(), a, b| f(a, b))
    }
}
