use std::marker::PhantomData;

use super::cogroup::side;
use crate::{
    Key, Record, placement,
    rdd::{DatasetNode, Partitioner, Rdd},
    shuffle::{Combiner, Merge, split_by_key},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The values of three sides listed by key.
struct Cogroup3<K, V, W, X>(PhantomData<fn(K, V, W, X)>);

impl<K: Key, V: Record, W: Record, X: Record> Operator for Cogroup3<K, V, W, X> {
    type Env = ();
    type Out = (K, (Vec<V>, Vec<W>, Vec<X>));

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let mut groups = Combiner::new(Sides);
        node.keyed(0, partition, &mut |key: K, value: V| {
            node.call(|| groups.add(key, Side::First(value)));
            Flow::Continue(())
        })?;
        node.keyed(1, partition, &mut |key: K, value: W| {
            node.call(|| groups.add(key, Side::Second(value)));
            Flow::Continue(())
        })?;
        node.keyed(2, partition, &mut |key: K, value: X| {
            node.call(|| groups.add(key, Side::Third(value)));
            Flow::Continue(())
        })?;
        node.call(|| groups.into_entries()).try_for_each(|(_, key, all)| emit((key, all)))
    }
}

/// A value and where it comes from.
enum Side<V, W, X> {
    First(V),
    Second(W),
    Third(X),
}

/// Lists the values of each side.
struct Sides;

impl<V, W, X> Merge<Side<V, W, X>> for Sides {
    type Acc = (Vec<V>, Vec<W>, Vec<X>);

    fn first(&self, value: Side<V, W, X>) -> Self::Acc {
        self.next((Vec::new(), Vec::new(), Vec::new()), value)
    }

    fn next(&self, mut all: Self::Acc, value: Side<V, W, X>) -> Self::Acc {
        match value {
            Side::First(value) => all.0.push(value),
            Side::Second(value) => all.1.push(value),
            Side::Third(value) => all.2.push(value),
        }
        all
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// For each key of any of three sides, all its values in each of them (`api.md` §12). Sides that
    /// are partitioned right already are not shuffled again.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let ages = ctx.parallelize([('a', 31)]);
    /// let (towns, cats) = (ctx.parallelize([('a', 'X'), ('b', 'Y')]), ctx.parallelize([('b', true)]));
    /// let all = ages.cogroup3(&towns, &cats).collect()?;
    /// assert_eq!(all, [('a', (vec![31], vec!['X'], vec![])), ('b', (vec![], vec!['Y'], vec![true]))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup3<W: Record, X: Record>(
        &self,
        second: &Rdd<(K, W)>,
        third: &Rdd<(K, X)>,
    ) -> Rdd<(K, (Vec<V>, Vec<W>, Vec<X>))> {
        self.cogroup3_into(second, third, self.larger_of(second).max(third.default_partitions()))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn cogroup3_into<W: Record, X: Record>(
        &self,
        second: &Rdd<(K, W)>,
        third: &Rdd<(K, X)>,
        partitions: u32,
    ) -> Rdd<(K, (Vec<V>, Vec<W>, Vec<X>))> {
        let (name, engine) = ("cogroup3", self.engine());
        let (partitions, groups) = (placement::partitions_asked_for(partitions), engine.key_groups());
        let target = Partitioner::KeyGroups { partitions };
        let parents = vec![
            side(self, &split_by_key(name, partitions, groups), target),
            side(second, &split_by_key(name, partitions, groups), target),
            side(third, &split_by_key(name, partitions, groups), target),
        ];
        let spec = OperatorSpec::new::<Cogroup3<K, V, W, X>>(name, &());
        let mut node = DatasetNode::new(engine, partitions, parents, &spec.any);
        node.partitioner = Some(target);
        node.of(&spec)
    }
}
