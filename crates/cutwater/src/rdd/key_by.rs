use crate::{
    Key, Record,
    closure::{self, Portable},
    rdd::Rdd,
    stream::DStream,
};

impl<T: Record> Rdd<T> {
    /// Each record with `f` of it as its key.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let keyed = ctx.parallelize(1..=3).key_by(|n| n % 2);
    /// assert_eq!(keyed.collect()?, [(1, 1), (0, 2), (1, 3)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn key_by<K: Key, F: Fn(&T) -> K + Portable>(&self, f: F) -> Rdd<(K, T)> {
        const { closure::captures_nothing::<F>() };
        self.map(move |record| (f(&record), record))
    }
}

impl<T: Record> DStream<T> {
    /// Each record with `f` of it as its key.
    #[track_caller]
    pub fn key_by<K: Key, F: Fn(&T) -> K + Portable>(&self, f: F) -> DStream<(K, T)> {
        const { closure::captures_nothing::<F>() };
        self.map(move |record| (f(&record), record))
    }
}
