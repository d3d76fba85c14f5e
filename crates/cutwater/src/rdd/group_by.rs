use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::group_by`] with the values handed over.
    #[track_caller]
    pub fn group_by<K: Key, F: Fn(&E, &T) -> K + Portable>(self, f: F) -> Rdd<(K, Vec<T>)> {
        const { closure::captures_nothing::<F>() };
        let partitions = self.of.default_partitions();
        self.group_by_into(partitions, f)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn group_by_into<K, F>(self, partitions: u32, f: F) -> Rdd<(K, Vec<T>)>
    where
        K: Key,
        F: Fn(&E, &T) -> K + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.map(move |values, record| (f(values, &record), record)).group_by_key_into(partitions)
    }
}

impl<T: Record> Rdd<T> {
    /// The records listed by `f` of them, in the order of the partitions they are in
    /// (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let by_parity = ctx.parallelize(1..=4).group_by(|n| n % 2);
    /// assert_eq!(by_parity.collect()?, [(1, vec![1, 3]), (0, vec![2, 4])]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by<K: Key, F: Fn(&T) -> K + Portable>(&self, f: F) -> Rdd<(K, Vec<T>)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).group_by(move |(), record| f(record))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn group_by_into<K, F>(&self, partitions: u32, f: F) -> Rdd<(K, Vec<T>)>
    where
        K: Key,
        F: Fn(&T) -> K + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).group_by_into(partitions, move |(), record| f(record))
    }
}
