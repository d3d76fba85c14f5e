use std::marker::PhantomData;

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function applied to whole partitions.
struct MapPartitions<A, I, E, F>(E, F, PhantomData<fn(A) -> I>);

impl<A, I, E, F> Operator for MapPartitions<A, I, E, F>
where
    A: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, Vec<A>) -> I + Portable,
{
    type Env = E;
    type Out = I::Item;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, I::Item>) -> Flow {
        let Self(values, f, _) = self;
        let mut records = Vec::new();
        node.each(0, partition, &mut |record| {
            records.push(record);
            Flow::Continue(())
        })?;
        let mut all = node.call(|| f(values, records).into_iter());
        while let Some(next) = node.call(|| all.next()) {
            emit(next)?;
        }
        Flow::Continue(())
    }
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::map_partitions`] with the values handed over.
    #[track_caller]
    pub fn map_partitions<I, F>(self, _f: F) -> C::Of<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, Vec<C::Item>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<MapPartitions<C::Item, I, E, F>>("map_partitions", &self.values);
        self.of.derive("map_partitions", move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Each partition replaced by everything in `f` of its records, for work that is worth doing
    /// once for many of them. The partition is held in memory.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sums = ctx.parallelize(1..=4).map_partitions(|part| [part.iter().sum::<i32>()]);
    /// assert_eq!(sums.collect()?, [3, 7]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions<I, F>(&self, f: F) -> Rdd<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(Vec<T>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_partitions(move |(), records| f(records))
    }
}

impl<T: Record> DStream<T> {
    /// Each partition of each interval replaced by everything in `f` of its records (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1)); // inputs are in two partitions
    /// let sums = harness.input([vec![1, 2, 3, 4]]).map_partitions(|part| [part.iter().sum::<i32>()]);
    /// assert_eq!(harness.run(&sums, 1)?, [[3, 7]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map_partitions<I, F>(&self, f: F) -> DStream<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(Vec<T>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).map_partitions(move |(), records| f(records))
    }
}
