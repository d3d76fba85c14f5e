use std::marker::PhantomData;

use crate::{
    Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Look, Node, Operator, OperatorSpec},
};

/// The records for which a function says yes.
struct Filter<A, E, F>(E, F, PhantomData<fn(A)>);

impl<A: Record, E: Record, F: Fn(&E, &A) -> bool + Portable> Operator for Filter<A, E, F> {
    type Env = E;
    type Out = A;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, A>) -> Flow {
        let Self(values, f, _) = self;
        if node.lends(0) {
            // What does not pass need not be made.
            return self.lend(node, partition, &mut |records| {
                records.iter().try_for_each(|record| emit(node.call(|| record.clone())))
            });
        }
        node.each(0, partition, &mut |record| {
            if node.call(|| f(values, &record)) { emit(record) } else { Flow::Continue(()) }
        })
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, A>) -> Flow {
        let Self(values, f, _) = self;
        node.lent(0, partition, &mut |records| {
            // Neighbours that pass are handed on together.
            let mut from = 0;
            for (at, record) in records.iter().enumerate() {
                if !node.call(|| f(values, record)) {
                    if from < at {
                        look(&records[from..at])?;
                    }
                    from = at + 1;
                }
            }
            if from < records.len() { look(&records[from..]) } else { Flow::Continue(()) }
        })
    }

    fn lends(&self, node: Node<'_>) -> bool {
        node.lends(0)
    }
}

impl<C: Collection, E: Record> With<C, E> {
    /// [`Rdd::filter`] with the values handed over.
    #[track_caller]
    pub fn filter<F>(self, _f: F) -> C::Of<C::Item>
    where
        F: Fn(&E, &C::Item) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<Filter<C::Item, E, F>>("filter", &self.values);
        self.of.derive("filter", move |rdd| rdd.narrow_in_place(&spec))
    }
}

impl<T: Record> Rdd<T> {
    /// Only the records for which `f` holds. Keys stay in their partitions.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let even = ctx.parallelize(0..6).filter(|n| n % 2 == 0);
    /// assert_eq!(even.collect()?, [0, 2, 4]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F: Fn(&T) -> bool + Portable>(&self, f: F) -> Rdd<T> {
        const { closure::captures_nothing::<F>() };
        self.with(()).filter(move |(), record| f(record))
    }
}

impl<T: Record> DStream<T> {
    /// Only the records for which `f` holds (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let even = harness.input([vec![1, 2, 4], vec![3]]).filter(|n| n % 2 == 0);
    /// assert_eq!(harness.run(&even, 2)?, [vec![2, 4], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F: Fn(&T) -> bool + Portable>(&self, f: F) -> DStream<T> {
        const { closure::captures_nothing::<F>() };
        self.with(()).filter(move |(), record| f(record))
    }
}
