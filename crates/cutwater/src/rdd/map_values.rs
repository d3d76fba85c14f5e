use std::marker::PhantomData;

use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function applied to every value; keys stay as and where they are.
struct MapValues<K, V, W, E, F>(E, F, PhantomData<fn(K, V) -> W>);

impl<K, V, W, E, F> Operator for MapValues<K, V, W, E, F>
where
    K: Key,
    V: Record,
    W: Record,
    E: Record,
    F: Fn(&E, V) -> W + Portable,
{
    type Env = E;
    type Out = (K, W);

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, W)>) -> Flow {
        let Self(values, f, _) = self;
        node.each::<(K, V)>(0, partition, &mut |(key, value)| emit((key, node.call(|| f(values, value)))))
    }
}

impl<K: Key, V: Record, C: Collection<Item = (K, V)>, E: Record> With<C, E> {
    /// [`Rdd::map_values`] with the values handed over.
    #[track_caller]
    pub fn map_values<W, F>(self, _f: F) -> C::Of<(K, W)>
    where
        W: Record,
        F: Fn(&E, V) -> W + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<MapValues<K, V, W, E, F>>("map_values", &self.values);
        self.of.derive("map_values", move |rdd| rdd.narrow_in_place(&spec))
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// Each value replaced by `f` of it. Keys stay in their partitions, so what was partitioned by
    /// key still is.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let doubled = ctx.parallelize([('a', 1), ('b', 2)]).map_values(|v| v * 2);
    /// assert_eq!(doubled.collect()?, [('a', 2), ('b', 4)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_values<W: Record, F: Fn(V) -> W + Portable>(&self, f: F) -> Rdd<(K, W)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_values(move |(), value| f(value))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// Each value replaced by `f` of it (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let tens = harness.input([vec![('a', 1)], vec![('b', 2)]]).map_values(|n| n * 10);
    /// assert_eq!(harness.run(&tens, 2)?, [[('a', 10)], [('b', 20)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_values<W: Record, F: Fn(V) -> W + Portable>(&self, f: F) -> DStream<(K, W)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_values(move |(), value| f(value))
    }
}
