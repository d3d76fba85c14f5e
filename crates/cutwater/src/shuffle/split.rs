use std::marker::PhantomData;

use crate::{
    Key, Record, placement,
    rdd::{Partitioner, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Keyed records dealt out to partitions by key group, in the order in which they come.
pub(crate) struct SplitByKey<K, V> {
    partitions: u32,
    groups: u32,
    types: PhantomData<fn(K, V)>,
}

impl<K: Key, V: Record> Operator for SplitByKey<K, V> {
    type Env = (u32, u32);
    type Out = Vec<(K, V)>;

    fn rebuild((partitions, groups): (u32, u32)) -> Self {
        Self { partitions, groups, types: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<(K, V)>>) -> Flow {
        let mut pieces: Vec<Vec<(K, V)>> = (0..self.partitions).map(|_| Vec::new()).collect();
        node.each::<(K, V)>(0, partition, &mut |(key, value)| {
            let hash = node.call(|| placement::hash(&key));
            pieces[placement::partition(hash, self.groups, self.partitions) as usize].push((key, value));
            Flow::Continue(())
        })?;
        pieces.into_iter().try_for_each(emit)
    }
}

/// The pieces of `rdd` for a shuffle into `partitions` ranges of key groups, and how what reads
/// them is partitioned.
#[track_caller]
pub(crate) fn split_by_key<K: Key, V: Record>(
    name: &str,
    partitions: u32,
    groups: u32,
) -> impl Fn(&Rdd<(K, V)>) -> (Rdd<Vec<(K, V)>>, Partitioner) + Clone + Send + Sync + 'static {
    let partitions = placement::partitions_asked_for(partitions);
    let spec = OperatorSpec::new::<SplitByKey<K, V>>(name, &(partitions, groups));
    move |rdd| (rdd.pieces(&spec, partitions), Partitioner::KeyGroups { partitions })
}
