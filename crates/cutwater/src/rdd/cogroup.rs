use std::marker::PhantomData;

use cutwater_core::{Parent, PartitionMap};

use crate::{
    Key, Record, placement,
    rdd::{DatasetNode, Partitioner, Rdd},
    shuffle::{Combiner, Merge, split_by_key},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The values of both sides listed by key.
struct Cogroup<K, V, W>(PhantomData<fn(K, V, W)>);

impl<K: Key, V: Record, W: Record> Operator for Cogroup<K, V, W> {
    type Env = ();
    type Out = (K, (Vec<V>, Vec<W>));

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let mut groups = Combiner::new(Sides);
        node.keyed(0, partition, &mut |key: K, value: V| {
            node.call(|| groups.add(key, Side::Left(value)));
            Flow::Continue(())
        })?;
        node.keyed(1, partition, &mut |key: K, value: W| {
            node.call(|| groups.add(key, Side::Right(value)));
            Flow::Continue(())
        })?;
        node.call(|| groups.into_entries()).try_for_each(|(_, key, both)| emit((key, both)))
    }
}

/// A value and where it comes from.
enum Side<V, W> {
    Left(V),
    Right(W),
}

/// Lists the values of each side.
struct Sides;

impl<V, W> Merge<Side<V, W>> for Sides {
    type Acc = (Vec<V>, Vec<W>);

    fn first(&self, value: Side<V, W>) -> Self::Acc {
        self.next((Vec::new(), Vec::new()), value)
    }

    fn next(&self, mut both: Self::Acc, value: Side<V, W>) -> Self::Acc {
        match value {
            Side::Left(value) => both.0.push(value),
            Side::Right(value) => both.1.push(value),
        }
        both
    }
}

/// How two datasets are brought together by key, ready for the datasets of any interval.
#[track_caller]
pub(crate) fn cogrouping<K: Key, V: Record, W: Record>(
    name: &str,
    partitions: u32,
    groups: u32,
) -> impl Fn(&Rdd<(K, V)>, &Rdd<(K, W)>) -> Rdd<(K, (Vec<V>, Vec<W>))> + Send + Sync + 'static {
    let partitions = placement::partitions_asked_for(partitions);
    let left = split_by_key::<K, V>(name, partitions, groups);
    let right = split_by_key::<K, W>(name, partitions, groups);
    let spec = OperatorSpec::new::<Cogroup<K, V, W>>(name, &());
    let target = Partitioner::KeyGroups { partitions };
    move |a, b| {
        let parents = vec![side(a, &left, target), side(b, &right, target)];
        let mut node = DatasetNode::new(a.engine(), partitions, parents, &spec.any);
        node.partitioner = Some(target);
        node.of(&spec)
    }
}

/// One side: as it lies if it is partitioned right, across a shuffle otherwise.
pub(crate) fn side<K: Key, V: Record>(
    rdd: &Rdd<(K, V)>,
    split: &impl Fn(&Rdd<(K, V)>) -> (Rdd<Vec<(K, V)>>, Partitioner),
    target: Partitioner,
) -> (std::sync::Arc<DatasetNode>, Parent) {
    if rdd.partitioner() == Some(target) {
        let dataset = rdd.node().dataset.id;
        return (rdd.node().clone(), Parent::Narrow { dataset, map: PartitionMap::Same });
    }
    let (pieces, _) = split(rdd);
    let dataset = pieces.node().dataset.id;
    (pieces.node().clone(), Parent::Shuffle { dataset })
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// For each key of either side, all its values here and all its values there. Sides that are
    /// partitioned alike are brought together in place.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let ages = ctx.parallelize([("ann".to_owned(), 31)]);
    /// let towns = ctx.parallelize([("ann".to_owned(), 'B'), ("bob".to_owned(), 'C')]);
    /// let both = ages.cogroup(&towns).collect()?;
    /// assert_eq!(both, [("ann".into(), (vec![31], vec!['B'])), ("bob".into(), (vec![], vec!['C']))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, (Vec<V>, Vec<W>))> {
        self.cogroup_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn cogroup_into<W: Record>(
        &self,
        other: &Rdd<(K, W)>,
        partitions: u32,
    ) -> Rdd<(K, (Vec<V>, Vec<W>))> {
        cogrouping("cogroup", partitions, self.engine().key_groups())(self, other)
    }
}
