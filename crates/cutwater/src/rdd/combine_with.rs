//! `combine_by_key`: values combined by three functions of the program. The machinery is in
//! [`combine_by_key`](super::combine_by_key).

use std::marker::PhantomData;

use super::combine_by_key::{Aggregate, combined};
use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
};

/// Values combined by functions of the program: the first of a key, one more, and two partitions.
struct ByFunctions<V, A, E, F, G, H> {
    values: E,
    start: F,
    add: G,
    merge: H,
    types: PhantomData<fn(V) -> A>,
}

impl<V, A, E, F, G, H> Aggregate for ByFunctions<V, A, E, F, G, H>
where
    V: Record,
    A: Record,
    E: Record,
    F: Fn(&E, V) -> A + Portable,
    G: Fn(&E, A, V) -> A + Portable,
    H: Fn(&E, A, A) -> A + Portable,
{
    type Env = E;
    type Value = V;
    type Acc = A;

    fn rebuild(values: E) -> Self {
        let (start, add, merge) = (closure::conjure(), closure::conjure(), closure::conjure());
        Self { values, start, add, merge, types: PhantomData }
    }

    fn start(&self, value: V) -> A {
        (self.start)(&self.values, value)
    }

    #[inline]
    fn add(&self, acc: A, value: V) -> A {
        (self.add)(&self.values, acc, value)
    }

    fn merge(&self, acc: A, other: A) -> A {
        (self.merge)(&self.values, acc, other)
    }
}

impl<K: Key, V: Record, C: Collection<Item = (K, V)>, E: Record> With<C, E> {
    /// [`Rdd::combine_by_key`] with the values handed over, to all three functions.
    #[track_caller]
    pub fn combine_by_key<A, F, G, H>(self, start: F, add: G, merge: H) -> C::Of<(K, A)>
    where
        A: Record,
        F: Fn(&E, V) -> A + Portable,
        G: Fn(&E, A, V) -> A + Portable,
        H: Fn(&E, A, A) -> A + Portable,
    {
        let partitions = self.of.parallelism();
        self.combine_by_key_into(partitions, start, add, merge)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn combine_by_key_into<A, F, G, H>(
        self,
        partitions: u32,
        _start: F,
        _add: G,
        _merge: H,
    ) -> C::Of<(K, A)>
    where
        A: Record,
        F: Fn(&E, V) -> A + Portable,
        G: Fn(&E, A, V) -> A + Portable,
        H: Fn(&E, A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        const { closure::captures_nothing::<H>() };
        combined::<K, C, ByFunctions<V, A, E, F, G, H>>(&self.of, "combine_by_key", self.values, partitions)
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// One record for each key: its values combined within each partition, `start` making something
    /// of the first and `add` adding each other to it, and then, in the order of the partitions, what
    /// they made put together by `merge` (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let times = ctx.parallelize([('a', 3.0), ('b', 2.0), ('a', 5.0)]);
    /// let sums = times.combine_by_key(
    ///     |t| (t, 1),
    ///     |(sum, n), t| (sum + t, n + 1),
    ///     |(sum, n), (more, m)| (sum + more, n + m),
    /// );
    /// let means = sums.map_values(|(sum, n)| sum / f64::from(n));
    /// assert_eq!(means.collect()?, [('a', 4.0), ('b', 2.0)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn combine_by_key<A, F, G, H>(&self, start: F, add: G, merge: H) -> Rdd<(K, A)>
    where
        A: Record,
        F: Fn(V) -> A + Portable,
        G: Fn(A, V) -> A + Portable,
        H: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        const { closure::captures_nothing::<H>() };
        self.with(()).combine_by_key(
            move |(), value| start(value),
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn combine_by_key_into<A, F, G, H>(&self, partitions: u32, start: F, add: G, merge: H) -> Rdd<(K, A)>
    where
        A: Record,
        F: Fn(V) -> A + Portable,
        G: Fn(A, V) -> A + Portable,
        H: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        const { closure::captures_nothing::<H>() };
        self.with(()).combine_by_key_into(
            partitions,
            move |(), value| start(value),
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// One record for each key of the interval: its values combined within each partition, `start`
    /// making something of the first and `add` adding each other to it, and then, in the order of the
    /// partitions, what they made put together by `merge` (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let lists = harness.input([vec![('a', 3), ('a', 5)], vec![('a', 7)]]).combine_by_key(
    ///     |v| v.to_string(),
    ///     |text, v| format!("{text},{v}"),
    ///     |text, other| format!("{text};{other}"),
    /// );
    /// assert_eq!(harness.run(&lists, 2)?, [[('a', "3;5".to_owned())], [('a', "7".to_owned())]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn combine_by_key<A, F, G, H>(&self, start: F, add: G, merge: H) -> DStream<(K, A)>
    where
        A: Record,
        F: Fn(V) -> A + Portable,
        G: Fn(A, V) -> A + Portable,
        H: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        const { closure::captures_nothing::<H>() };
        self.with(()).combine_by_key(
            move |(), value| start(value),
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn combine_by_key_into<A, F, G, H>(
        &self,
        partitions: u32,
        start: F,
        add: G,
        merge: H,
    ) -> DStream<(K, A)>
    where
        A: Record,
        F: Fn(V) -> A + Portable,
        G: Fn(A, V) -> A + Portable,
        H: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        const { closure::captures_nothing::<H>() };
        self.with(()).combine_by_key_into(
            partitions,
            move |(), value| start(value),
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }
}
