use std::marker::PhantomData;

use super::zip_partitions::{whole, zipped};
use crate::{
    Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A function applied to a whole partition of each of four parents.
struct ZipPartitions4<T, U, V, W, I, E, F>(E, F, PhantomData<fn(T, U, V, W) -> I>);

impl<T, U, V, W, I, E, F> Operator for ZipPartitions4<T, U, V, W, I, E, F>
where
    T: Record,
    U: Record,
    V: Record,
    W: Record,
    I: IntoIterator<Item: Record> + 'static,
    E: Record,
    F: Fn(&E, Vec<T>, Vec<U>, Vec<V>, Vec<W>) -> I + Portable,
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
        let fourth = whole(node, 3, partition)?;
        let mut all = node.call(|| f(values, first, second, third, fourth).into_iter());
        while let Some(next) = node.call(|| all.next()) {
            emit(next)?;
        }
        Flow::Continue(())
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::zip_partitions4`] with the values handed over.
    #[track_caller]
    pub fn zip_partitions4<U, V, W, I, F>(
        self,
        second: &Rdd<U>,
        third: &Rdd<V>,
        fourth: &Rdd<W>,
        _f: F,
    ) -> Rdd<I::Item>
    where
        U: Record,
        V: Record,
        W: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(&E, Vec<T>, Vec<U>, Vec<V>, Vec<W>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let name = "zip_partitions4";
        let spec = OperatorSpec::new::<ZipPartitions4<T, U, V, W, I, E, F>>(name, &self.values);
        zipped(name, &spec, &[self.of.node(), second.node(), third.node(), fourth.node()])
    }
}

impl<T: Record> Rdd<T> {
    /// [`zip_partitions`](Self::zip_partitions) of four datasets (`api.md` §12).
    ///
    /// # Errors
    /// The action that uses it fails if the datasets differ in their number of partitions.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let (a, b) = (ctx.parallelize([1, 2]), ctx.parallelize(['x', 'y']));
    /// let (c, d) = (ctx.parallelize([true, false]), ctx.parallelize(0..4));
    /// let sizes = a.zip_partitions4(&b, &c, &d, |a, b, c, d| [a.len() + b.len() + c.len() + d.len()]);
    /// assert_eq!(sizes.collect()?, [5, 5]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_partitions4<U, V, W, I, F>(
        &self,
        second: &Rdd<U>,
        third: &Rdd<V>,
        fourth: &Rdd<W>,
        f: F,
    ) -> Rdd<I::Item>
    where
        U: Record,
        V: Record,
        W: Record,
        I: IntoIterator<Item: Record> + 'static,
        F: Fn(Vec<T>, Vec<U>, Vec<V>, Vec<W>) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).zip_partitions4(second, third, fourth, move |(), a, b, c, d| f(a, b, c, d))
    }
}
