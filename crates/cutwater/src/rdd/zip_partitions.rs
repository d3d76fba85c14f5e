use std::{marker::PhantomData, ops::ControlFlow, sync::Arc};

use cutwater_core::PartitionMap;

use super::refused::refused;
use crate::{
    Record,
    closure::{self, Portable},
    collection::With,
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop},
};

/// A function applied to a whole partition of each parent.
struct ZipPartitions<T, U, I, E, F>(E, F, PhantomData<fn(T, U) -> I>);

impl<T, U, I, E, F> Operator for ZipPartitions<T, U, I, E, F>
where
    T: Record,
    U: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, Vec<T>, Vec<U>) -> I + Portable,
{
    type Env = E;
    type Out = I::Item;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, I::Item>) -> Flow {
        let Self(values, f, _) = self;
        let (left, right) = (whole(node, 0, partition)?, whole(node, 1, partition)?);
        let mut all = node.call(|| f(values, left, right).into_iter());
        while let Some(next) = node.call(|| all.next()) {
            emit(next)?;
        }
        Flow::Continue(())
    }
}

/// All records of a partition of a parent.
pub(super) fn whole<T: Record>(node: Node<'_>, parent: usize, partition: u32) -> ControlFlow<Stop, Vec<T>> {
    let mut records = Vec::new();
    node.each(parent, partition, &mut |record| {
        records.push(record);
        Flow::Continue(())
    })?;
    ControlFlow::Continue(records)
}

/// What `spec` makes of the same partition of each of `parents`, if they have as many.
#[track_caller]
pub(super) fn zipped<B: Record>(name: &str, spec: &OperatorSpec<B>, parents: &[&Arc<DatasetNode>]) -> Rdd<B> {
    let (engine, here) = (&parents[0].engine, parents[0].dataset.partitions);
    if let Some(other) = parents.iter().find(|parent| parent.dataset.partitions != here) {
        let there = other.dataset.partitions;
        let why = format_args!(
            "{here} partitions here and {there} there; datasets that are zipped have as many of them"
        );
        return refused(engine, name, why);
    }
    let parents = parents.iter().map(|&parent| (parent.clone(), PartitionMap::Same)).collect();
    DatasetNode::narrow(engine, here, parents, &spec.any).of(spec)
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::zip_partitions`] with the values handed over.
    #[track_caller]
    pub fn zip_partitions<U, I, F>(self, other: &Rdd<U>, _f: F) -> Rdd<I::Item>
    where
        U: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, Vec<T>, Vec<U>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<ZipPartitions<T, U, I, E, F>>("zip_partitions", &self.values);
        zipped("zip_partitions", &spec, &[self.of.node(), other.node()])
    }
}

impl<T: Record> Rdd<T> {
    /// For each partition, everything in `f` of its records here and its records there
    /// (`api.md` §12). Both are held in memory, and need not be as many.
    ///
    /// # Errors
    /// The action that uses it fails if the datasets differ in their number of partitions.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let (ones, tens) = (ctx.parallelize(0..4), ctx.parallelize([10, 20]));
    /// let sums = ones.zip_partitions(&tens, |a, b| [a.iter().sum::<i32>() + b.iter().sum::<i32>()]);
    /// assert_eq!(sums.collect()?, [11, 25]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_partitions<U, I, F>(&self, other: &Rdd<U>, f: F) -> Rdd<I::Item>
    where
        U: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(Vec<T>, Vec<U>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).zip_partitions(other, move |(), left, right| f(left, right))
    }
}
