use std::marker::PhantomData;

use crate::{
    Key, Record, placement,
    rdd::{Partitioner, Rdd},
    shuffle::split_by_key,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records of all pieces, in the order of the partitions they come from.
pub(crate) struct Gather<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Gather<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.pieces::<Vec<T>>(0, partition, |piece| {
            piece.iter().try_for_each(|record| emit(node.call(|| record.clone())))
        })
    }
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// The same records in `partitions` partitions by key: what joins and reduces by key
    /// afterwards, into as many, finds every key in its place and shuffles nothing.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let placed = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]).partition_by(4);
    /// assert_eq!((placed.num_partitions(), placed.count()?), (4, 3));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn partition_by(&self, partitions: u32) -> Rdd<(K, V)> {
        let partitions = placement::partitions_asked_for(partitions);
        if self.partitioner() == Some(Partitioner::KeyGroups { partitions }) {
            return self.clone();
        }
        let split = split_by_key("partition_by", partitions, self.engine().key_groups());
        let (pieces, partitioner) = split(self);
        pieces.shuffled(&OperatorSpec::new::<Gather<(K, V)>>("partition_by", &()), Some(partitioner))
    }
}
