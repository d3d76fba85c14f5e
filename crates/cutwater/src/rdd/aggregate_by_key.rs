use std::marker::PhantomData;

use super::combine_by_key::{Aggregate, combined};
use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
};

/// Values added to a zero, and what partitions have put together.
pub(crate) struct FromZero<V, A, E, F, G> {
    zero: A,
    values: E,
    add: F,
    merge: G,
    types: PhantomData<fn(V)>,
}

impl<V, A, E, F, G> Aggregate for FromZero<V, A, E, F, G>
where
    V: Record,
    A: Record,
    E: Record,
    F: Fn(&E, A, V) -> A + Portable,
    G: Fn(&E, A, A) -> A + Portable,
{
    type Env = (A, E);
    type Value = V;
    type Acc = A;

    fn rebuild((zero, values): (A, E)) -> Self {
        Self { zero, values, add: closure::conjure(), merge: closure::conjure(), types: PhantomData }
    }

    fn start(&self, value: V) -> A {
        (self.add)(&self.values, self.zero.clone(), value)
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
    /// [`Rdd::aggregate_by_key`] with the values handed over, to both functions.
    #[track_caller]
    pub fn aggregate_by_key<A, F, G>(self, zero: A, add: F, merge: G) -> C::Of<(K, A)>
    where
        A: Record,
        F: Fn(&E, A, V) -> A + Portable,
        G: Fn(&E, A, A) -> A + Portable,
    {
        let partitions = self.of.parallelism();
        self.aggregate_by_key_into(partitions, zero, add, merge)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn aggregate_by_key_into<A, F, G>(self, partitions: u32, zero: A, _add: F, _merge: G) -> C::Of<(K, A)>
    where
        A: Record,
        F: Fn(&E, A, V) -> A + Portable,
        G: Fn(&E, A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        let env = (zero, self.values);
        combined::<K, C, FromZero<V, A, E, F, G>>(&self.of, "aggregate_by_key", env, partitions)
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// One record for each key: its values added to `zero` by `add` within each partition, and then,
    /// in the order of the partitions, what came of that put together by `merge` (`api.md` §12).
    /// `zero` is applied once for each partition a key is in, so it should change nothing.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let words = ctx.parallelize([('a', "ant"), ('b', "bee"), ('a', "adder")].map(|(k, w)| (k, w.to_owned())));
    /// let longest = words.aggregate_by_key(0, |n, word| n.max(word.len()), usize::max);
    /// assert_eq!(longest.collect()?, [('a', 5), ('b', 3)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn aggregate_by_key<A, F, G>(&self, zero: A, add: F, merge: G) -> Rdd<(K, A)>
    where
        A: Record,
        F: Fn(A, V) -> A + Portable,
        G: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        self.with(()).aggregate_by_key(
            zero,
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }
}
