use std::marker::PhantomData;

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// What a function makes of the records for which it has an answer.
struct FilterMap<A, B, E, F>(E, F, PhantomData<fn(A) -> B>);

impl<A: Record, B: Record, E: Record, F> Operator for FilterMap<A, B, E, F>
where
    F: Fn(&E, A) -> Option<B> + Portable,
{
    type Env = E;
    type Out = B;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, B>) -> Flow {
        let Self(values, f, _) = self;
        node.each(0, partition, &mut |record| match node.call(|| f(values, record)) {
            Some(answer) => emit(answer),
            None => Flow::Continue(()),
        })
    }
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::filter_map`] with the values handed over.
    #[track_caller]
    pub fn filter_map<B, F>(self, _f: F) -> C::Of<B>
    where
        B: Record,
        F: Fn(&E, C::Item) -> Option<B> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<FilterMap<C::Item, B, E, F>>("filter_map", &self.values);
        self.of.derive("filter_map", move |rdd| rdd.narrow(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Each record replaced by `f` of it where `f` has an answer, and left out where it has none:
    /// `collect` with a partial function in other engines (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let numbers = ctx.parallelize(["1", "two", "3"].map(String::from)).filter_map(|s| s.parse::<u32>().ok());
    /// assert_eq!(numbers.collect()?, [1, 3]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<B: Record, F: Fn(T) -> Option<B> + Portable>(&self, f: F) -> Rdd<B> {
        const { closure::captures_nothing::<F>() };
        self.with(()).filter_map(move |(), record| f(record))
    }
}

impl<T: Record> DStream<T> {
    /// Each record replaced by `f` of it where `f` has an answer, and left out where it has none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let texts = harness.input([vec!["1".to_owned(), "two".to_owned()], vec!["3".to_owned()]]);
    /// let numbers = texts.filter_map(|text| text.parse::<u32>().ok());
    /// assert_eq!(harness.run(&numbers, 2)?, [[1], [3]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_map<B: Record, F: Fn(T) -> Option<B> + Portable>(&self, f: F) -> DStream<B> {
        const { closure::captures_nothing::<F>() };
        self.with(()).filter_map(move |(), record| f(record))
    }
}
