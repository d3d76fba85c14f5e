use std::marker::PhantomData;

use super::cogroup::cogrouping;
use crate::{
    Key, Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Every value of one side with every value of the other, from what a cogroup listed.
struct Pairs<K, V, W>(PhantomData<fn(K, V, W)>);

impl<K: Key, V: Record, W: Record> Operator for Pairs<K, V, W> {
    type Env = ();
    type Out = (K, (V, W));

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        node.each::<(K, (Vec<V>, Vec<W>))>(0, partition, &mut |(key, (left, right))| {
            for v in left {
                for w in &right {
                    emit(node.call(|| (key.clone(), (v.clone(), w.clone()))))?;
                }
            }
            Flow::Continue(())
        })
    }
}

/// How two datasets are joined, ready for the datasets of any interval.
#[track_caller]
pub(crate) fn joining<K: Key, V: Record, W: Record>(
    partitions: u32,
    groups: u32,
) -> impl Fn(&Rdd<(K, V)>, &Rdd<(K, W)>) -> Rdd<(K, (V, W))> + Send + Sync + 'static {
    let cogroup = cogrouping("join", partitions, groups);
    let spec = OperatorSpec::new::<Pairs<K, V, W>>("join", &());
    move |a, b| cogroup(a, b).narrow_in_place(&spec)
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// For each key of both sides, every value here with every value there.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let prices = ctx.parallelize([('a', 10), ('b', 20)]);
    /// let orders = ctx.parallelize([('a', "x".to_owned()), ('a', "y".to_owned()), ('c', "z".to_owned())]);
    /// let joined = prices.join(&orders).collect()?;
    /// assert_eq!(joined, [('a', (10, "x".to_owned())), ('a', (10, "y".to_owned()))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn join<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, (V, W))> {
        self.join_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn join_into<W: Record>(&self, other: &Rdd<(K, W)>, partitions: u32) -> Rdd<(K, (V, W))> {
        joining(partitions, self.engine().key_groups())(self, other)
    }
}
