use std::marker::PhantomData;

use super::zip_partitions::{whole, zipped};
use crate::{
    Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function applied to a whole partition of each of three parents.
struct ZipPartitions3<T, U, V, I, E, F>(E, F, PhantomData<fn(T, U, V) -> I>);

impl<T, U, V, I, E, F> Operator for ZipPartitions3<T, U, V, I, E, F>
where
    T: Record,
    U: Record,
    V: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, Vec<T>, Vec<U>, Vec<V>) -> I + Portable,
{
    type Env = E;
    type Out = I::Item;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, I::Item>) -> Flow {
        let Self(values, f, _) = self;
        let first = whole(node, 0, partition)?;
        let second = whole(node, 1, partition)?;
        let third = whole(node, 2, partition)?;
        let mut all = node.call(|| f(values, first, second, third).into_iter());
        while let Some(next) = node.call(|| all.next()) {
            emit(next)?;
        }
        Flow::Continue(())
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::zip_partitions3`] with the values handed over.
    #[track_caller]
    pub fn zip_partitions3<U, V, I, F>(self, second: &Rdd<U>, third: &Rdd<V>, _f: F) -> Rdd<I::Item>
    where
        U: Record,
        V: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, Vec<T>, Vec<U>, Vec<V>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let name = "zip_partitions3";
        let spec = OperatorSpec::new::<ZipPartitions3<T, U, V, I, E, F>>(name, &self.values);
        zipped(name, &spec, &[self.of.node(), second.node(), third.node()])
    }
}

impl<T: Record> Rdd<T> {
    /// [`zip_partitions`](Self::zip_partitions) of three datasets (`api.md` §12).
    ///
    /// # Errors
    /// The action that uses it fails if the datasets differ in their number of partitions.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let (ones, tens, more) = (ctx.parallelize(0..4), ctx.parallelize([10, 20]), ctx.parallelize([1, 2]));
    /// let sums = ones.zip_partitions3(&tens, &more, |a, b, c| {
    ///     [a.iter().sum::<i32>() + b.iter().sum::<i32>() * c.iter().sum::<i32>()]
    /// });
    /// assert_eq!(sums.collect()?, [11, 45]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_partitions3<U, V, I, F>(&self, second: &Rdd<U>, third: &Rdd<V>, f: F) -> Rdd<I::Item>
    where
        U: Record,
        V: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(Vec<T>, Vec<U>, Vec<V>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).zip_partitions3(second, third, move |(), a, b, c| f(a, b, c))
    }
}
