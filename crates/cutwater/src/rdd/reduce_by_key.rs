use super::combine_by_key::reduced;
use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
};

impl<K: Key, V: Record, C: Collection<Item = (K, V)>, E: Record> With<C, E> {
    /// [`Rdd::reduce_by_key`] with the values handed over.
    #[track_caller]
    pub fn reduce_by_key<F>(self, f: F) -> C::Of<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        let partitions = self.of.parallelism();
        self.reduce_by_key_into(partitions, f)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_into<F>(self, partitions: u32, f: F) -> C::Of<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        reduced(&self.of, "reduce_by_key", self.values, partitions, f)
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// One record for each key: its values reduced by the associative function `f`, in the order
    /// of the partitions they are in.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sums = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).reduce_by_key(|x, y| x + y);
    /// let mut all = sums.collect()?;
    /// all.sort();
    /// assert_eq!(all, [('a', 4), ('b', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key<F: Fn(V, V) -> V + Portable>(&self, f: F) -> Rdd<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key(move |(), a, b| f(a, b))
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_into<F: Fn(V, V) -> V + Portable>(&self, partitions: u32, f: F) -> Rdd<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key_into(partitions, move |(), a, b| f(a, b))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// One record for each key of the interval: its values reduced by the associative function `f`
    /// (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sums = harness.input([vec![('a', 1), ('a', 2)], vec![('a', 5)]]).reduce_by_key(|x, y| x + y);
    /// assert_eq!(harness.run(&sums, 2)?, [[('a', 3)], [('a', 5)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key<F: Fn(V, V) -> V + Portable>(&self, f: F) -> DStream<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key(move |(), a, b| f(a, b))
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_into<F: Fn(V, V) -> V + Portable>(&self, partitions: u32, f: F) -> DStream<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key_into(partitions, move |(), a, b| f(a, b))
    }
}
