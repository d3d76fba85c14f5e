use std::marker::PhantomData;

use super::cogroup::side;
use crate::{
    Key, Record, placement,
    rdd::{DatasetNode, Partitioner, Rdd},
    shuffle::{Combiner, Merge, split_by_key},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The values of four sides listed by key.
struct Cogroup4<K, V, W, X, Y>(PhantomData<fn(K, V, W, X, Y)>);

impl<K: Key, V: Record, W: Record, X: Record, Y: Record> Operator for Cogroup4<K, V, W, X, Y> {
    type Env = ();
    type Out = (K, (Vec<V>, Vec<W>, Vec<X>, Vec<Y>));

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
        node.keyed(3, partition, &mut |key: K, value: Y| {
            node.call(|| groups.add(key, Side::Fourth(value)));
            Flow::Continue(())
        })?;
        node.call(|| groups.into_entries()).try_for_each(|(_, key, all)| emit((key, all)))
    }
}

/// A value and where it comes from.
enum Side<V, W, X, Y> {
    First(V),
    Second(W),
    Third(X),
    Fourth(Y),
}

/// Lists the values of each side.
struct Sides;

impl<V, W, X, Y> Merge<Side<V, W, X, Y>> for Sides {
    type Acc = (Vec<V>, Vec<W>, Vec<X>, Vec<Y>);

    fn first(&self, value: Side<V, W, X, Y>) -> Self::Acc {
        self.next((Vec::new(), Vec::new(), Vec::new(), Vec::new()), value)
    }

    fn next(&self, mut all: Self::Acc, value: Side<V, W, X, Y>) -> Self::Acc {
        match value {
            Side::First(value) => all.0.push(value),
            Side::Second(value) => all.1.push(value),
            Side::Third(value) => all.2.push(value),
            Side::Fourth(value) => all.3.push(value),
        }
        all
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// For each key of any of four sides, all its values in each of them (`api.md` §12). Sides that
    /// are partitioned right already are not shuffled again.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let (ages, towns) = (ctx.parallelize([('a', 31)]), ctx.parallelize([('a', 'X'), ('b', 'Y')]));
    /// let (cats, dogs) = (ctx.parallelize([('b', true)]), ctx.parallelize([('a', 2)]));
    /// let all = ages.cogroup4(&towns, &cats, &dogs).collect()?;
    /// assert_eq!(all[0], ('a', (vec![31], vec!['X'], vec![], vec![2])));
    /// assert_eq!(all[1], ('b', (vec![], vec!['Y'], vec![true], vec![])));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup4<W: Record, X: Record, Y: Record>(
        &self,
        second: &Rdd<(K, W)>,
        third: &Rdd<(K, X)>,
        fourth: &Rdd<(K, Y)>,
    ) -> Rdd<(K, (Vec<V>, Vec<W>, Vec<X>, Vec<Y>))> {
        let partitions = self.larger_of(second).max(third.larger_of(fourth));
        self.cogroup4_into(second, third, fourth, partitions)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn cogroup4_into<W: Record, X: Record, Y: Record>(
        &self,
        second: &Rdd<(K, W)>,
        third: &Rdd<(K, X)>,
        fourth: &Rdd<(K, Y)>,
        partitions: u32,
    ) -> Rdd<(K, (Vec<V>, Vec<W>, Vec<X>, Vec<Y>))> {
        let (name, engine) = ("cogroup4", self.engine());
        let (partitions, groups) = (placement::partitions_asked_for(partitions), engine.key_groups());
        let target = Partitioner::KeyGroups { partitions };
        let parents = vec![
            side(self, &split_by_key(name, partitions, groups), target),
            side(second, &split_by_key(name, partitions, groups), target),
            side(third, &split_by_key(name, partitions, groups), target),
            side(fourth, &split_by_key(name, partitions, groups), target),
        ];
        let spec = OperatorSpec::new::<Cogroup4<K, V, W, X, Y>>(name, &());
        let mut node = DatasetNode::new(engine, partitions, parents, &spec.any);
        node.partitioner = Some(target);
        node.of(&spec)
    }
}
