use std::marker::PhantomData;

use cutwater_core::PartitionMap;

use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Look, Node, Operator, OperatorSpec},
};

/// The records of all parents as they come.
pub(crate) struct All<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for All<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        (0..node.parents()).try_for_each(|parent| node.each(parent, partition, emit))
    }

    fn lend(&self, node: Node<'_>, partition: u32, look: &mut Look<'_, T>) -> Flow {
        (0..node.parents()).try_for_each(|parent| node.lent(parent, partition, look))
    }

    fn lends(&self, node: Node<'_>) -> bool {
        (0..node.parents()).all(|parent| node.lends(parent))
    }
}

impl<T: Record> Rdd<T> {
    /// The partitions of this dataset and then those of `other`, duplicates and all. Where both are
    /// partitioned by key in the same way, so is the union: each partition has the records of theirs.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let all = ctx.parallelize([1, 2]).union(&ctx.parallelize([2, 3]));
    /// assert_eq!((all.collect()?, all.num_partitions()), (vec![1, 2, 2, 3], 4));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn union(&self, other: &Rdd<T>) -> Rdd<T> {
        union_of(&OperatorSpec::new::<All<T>>("union", &()), &[self.clone(), other.clone()])
    }
}

/// All partitions of `rdds`, of which there is at least one. Where all are partitioned by key in
/// the same way, partitions of the same keys are laid together, so that the union still is.
pub(crate) fn union_of<T: Record>(spec: &OperatorSpec<T>, rdds: &[Rdd<T>]) -> Rdd<T> {
    let first = &rdds[0];
    let shared = first.partitioner().filter(|p| rdds.iter().all(|rdd| rdd.partitioner() == Some(*p)));
    let mut parents = Vec::with_capacity(rdds.len());
    let mut partitions = 0;
    for rdd in rdds {
        let map = if shared.is_some() { PartitionMap::Same } else { PartitionMap::Shift(partitions) };
        parents.push((rdd.node().clone(), map));
        partitions += rdd.num_partitions();
    }
    let partitions = if shared.is_some() { first.num_partitions() } else { partitions };
    let mut node = DatasetNode::narrow(first.engine(), partitions, parents, &spec.any);
    node.partitioner = shared;
    node.of(spec)
}
