use std::marker::PhantomData;

use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// All that a function makes of each value, under the value's key.
pub(super) struct FlatMapValues<K, V, I, E, F>(E, F, PhantomData<fn(K, V) -> I>);

impl<K, V, I, E, F> Operator for FlatMapValues<K, V, I, E, F>
where
    K: Key,
    V: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, V) -> I + Portable,
{
    type Env = E;
    type Out = (K, I::Item);

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let Self(values, f, _) = self;
        node.each::<(K, V)>(0, partition, &mut |(key, value)| {
            let mut all = node.call(|| f(values, value).into_iter());
            // The function may answer with an iterator of its own, which runs its code here.
            while let Some(next) = node.call(|| all.next().map(|next| (key.clone(), next))) {
                emit(next)?;
            }
            Flow::Continue(())
        })
    }
}

impl<K: Key, V: Record, C: Collection<Item = (K, V)>, E: Record> With<C, E> {
    /// [`Rdd::flat_map_values`] with the values handed over.
    #[track_caller]
    pub fn flat_map_values<I, F>(self, _f: F) -> C::Of<(K, I::Item)>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, V) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<FlatMapValues<K, V, I, E, F>>("flat_map_values", &self.values);
        self.of.derive("flat_map_values", move |rdd| rdd.narrow_in_place(&spec))
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// Each value replaced by everything in `f` of it, each under the value's key (`api.md` §12).
    /// Keys stay in their partitions, so what was partitioned by key still is.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let down = ctx.parallelize([('a', 2u32), ('b', 0), ('c', 1)]).flat_map_values(|n| (0..n).rev());
    /// assert_eq!(down.collect()?, [('a', 1), ('a', 0), ('c', 0)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_values<I, F>(&self, f: F) -> Rdd<(K, I::Item)>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(V) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).flat_map_values(move |(), value| f(value))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// Each value replaced by everything in `f` of it, each under the value's key (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let twice = harness.input([vec![('a', 1)], vec![]]).flat_map_values(|v| [v, v + 10]);
    /// assert_eq!(harness.run(&twice, 2)?, [vec![('a', 1), ('a', 11)], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map_values<I, F>(&self, f: F) -> DStream<(K, I::Item)>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(V) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).flat_map_values(move |(), value| f(value))
    }
}
