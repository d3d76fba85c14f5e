use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
};

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::key_by`] with the values handed over.
    #[track_caller]
    pub fn key_by<K: Key, F: Fn(&E, &C::Item) -> K + Portable>(self, f: F) -> C::Of<(K, C::Item)> {
        const { closure::captures_nothing::<F>() };
        self.map(move |values, record| (f(values, &record), record))
    }
}

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
    /// Each record with `f` of it as its key (`api.md` §12 has it for datasets).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let keyed = harness.input([vec![1, 2], vec![3]]).key_by(|n| n % 2);
    /// assert_eq!(harness.run(&keyed, 2)?, [vec![(1, 1), (0, 2)], vec![(1, 3)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn key_by<K: Key, F: Fn(&T) -> K + Portable>(&self, f: F) -> DStream<(K, T)> {
        const { closure::captures_nothing::<F>() };
        self.map(move |record| (f(&record), record))
    }
}
