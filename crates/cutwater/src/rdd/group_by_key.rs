use std::marker::PhantomData;

use crate::{
    Key, Record,
    collection::Collection,
    placement,
    rdd::{Partitioner, Rdd},
    shuffle::{Combiner, List, split_by_key},
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Values listed by key. Nothing is combined before the shuffle, since a list is as long as its
/// values are many.
struct Group<K, V>(PhantomData<fn(K, V)>);

impl<K: Key, V: Record> Operator for Group<K, V> {
    type Env = ();
    type Out = (K, Vec<V>);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, Vec<V>)>) -> Flow {
        let mut groups = Combiner::new(List);
        node.keyed(0, partition, &mut |key: K, value: V| {
            node.call(|| groups.add(key, value));
            Flow::Continue(())
        })?;
        node.call(|| groups.into_entries()).try_for_each(|(_, key, values)| emit((key, values)))
    }
}

#[track_caller]
fn grouped<K: Key, V: Record, C: Collection<Item = (K, V)>>(of: &C, partitions: u32) -> C::Of<(K, Vec<V>)> {
    let partitions = placement::partitions_asked_for(partitions);
    let split = split_by_key("group_by_key", partitions, of.key_groups());
    let group = OperatorSpec::new::<Group<K, V>>("group_by_key", &());
    of.derive("group_by_key", move |rdd| {
        if rdd.partitioner() == Some(Partitioner::KeyGroups { partitions }) {
            return rdd.narrow_in_place(&group);
        }
        let (pieces, partitioner) = split(rdd);
        pieces.shuffled(&group, Some(partitioner))
    })
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// One record for each key with all its values, in the order of the partitions they are in.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let groups = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).group_by_key();
    /// assert_eq!(groups.collect()?, [('a', vec![1, 3]), ('b', vec![2])]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> Rdd<(K, Vec<V>)> {
        grouped(self, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn group_by_key_into(&self, partitions: u32) -> Rdd<(K, Vec<V>)> {
        grouped(self, partitions)
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// One record for each key of the interval, with all its values, in the order of the partitions they
    /// are in (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let groups = harness.input([vec![('a', 1), ('a', 2)], vec![('a', 3)]]).group_by_key();
    /// assert_eq!(harness.run(&groups, 2)?, [[('a', vec![1, 2])], [('a', vec![3])]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key(&self) -> DStream<(K, Vec<V>)> {
        grouped(self, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn group_by_key_into(&self, partitions: u32) -> DStream<(K, Vec<V>)> {
        grouped(self, partitions)
    }
}
