use std::marker::PhantomData;

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function applied to every record.
struct Map<A, B, E, F>(E, F, PhantomData<fn(A) -> B>);

impl<A: Record, B: Record, E: Record, F: Fn(&E, A) -> B + Portable> Operator for Map<A, B, E, F> {
    type Env = E;
    type Out = B;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, B>) -> Flow {
        let Self(values, f, _) = self;
        node.each(0, partition, &mut |record| emit(node.call(|| f(values, record))))
    }
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::map`] with the values handed over.
    #[track_caller]
    pub fn map<B, F>(self, _f: F) -> C::Of<B>
    where
        B: Record,
        F: Fn(&E, C::Item) -> B + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<Map<C::Item, B, E, F>>("map", &self.values);
        self.of.derive("map", move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Each record replaced by `f` of it.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let lengths = ctx.parallelize(["a", "bb"].map(String::from)).map(|s| s.len());
    /// assert_eq!(lengths.collect()?, [1, 2]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map<B: Record, F: Fn(T) -> B + Portable>(&self, f: F) -> Rdd<B> {
        const { closure::captures_nothing::<F>() };
        self.with(()).map(move |(), record| f(record))
    }
}

impl<T: Record> DStream<T> {
    /// Each record replaced by `f` of it (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let lengths = harness.input([vec!["a".to_owned(), "bb".to_owned()], vec![]]).map(|s| s.len());
    /// assert_eq!(harness.run(&lengths, 2)?, [vec![1, 2], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map<B: Record, F: Fn(T) -> B + Portable>(&self, f: F) -> DStream<B> {
        const { closure::captures_nothing::<F>() };
        self.with(()).map(move |(), record| f(record))
    }
}
