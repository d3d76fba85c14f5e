use std::marker::PhantomData;

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// All that a function makes of each record.
struct FlatMap<A, I, E, F>(E, F, PhantomData<fn(A) -> I>);

impl<A, I, E, F> Operator for FlatMap<A, I, E, F>
where
    A: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, A) -> I + Portable,
{
    type Env = E;
    type Out = I::Item;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, I::Item>) -> Flow {
        let Self(values, f, _) = self;
        node.each(0, partition, &mut |record| {
            let mut all = node.call(|| f(values, record).into_iter());
            // The function may answer with an iterator of its own, which runs its code here.
            while let Some(next) = node.call(|| all.next()) {
                emit(next)?;
            }
            Flow::Continue(())
        })
    }
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::flat_map`] with the values handed over.
    #[track_caller]
    pub fn flat_map<I, F>(self, _f: F) -> C::Of<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, C::Item) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<FlatMap<C::Item, I, E, F>>("flat_map", &self.values);
        self.of.derive("flat_map", move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Each record replaced by everything in `f` of it.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let down = ctx.parallelize([2u32, 3]).flat_map(|n| (0..n).rev());
    /// assert_eq!(down.collect()?, [1, 0, 2, 1, 0]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<I, F>(&self, f: F) -> Rdd<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(T) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).flat_map(move |(), record| f(record))
    }
}

impl<T: Record> DStream<T> {
    /// Each record replaced by everything in `f` of it (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let words = harness
    ///     .input([vec!["to be".to_owned()], vec!["or not".to_owned()]])
    ///     .flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// assert_eq!(harness.run(&words, 2)?, [["to", "be"], ["or", "not"]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<I, F>(&self, f: F) -> DStream<I::Item>
    where
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(T) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).flat_map(move |(), record| f(record))
    }
}
