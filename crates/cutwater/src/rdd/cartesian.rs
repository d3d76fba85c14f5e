use std::marker::PhantomData;

use cutwater_core::PartitionMap;

use super::refused::refused;
use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Every record of a partition of the first parent with every record of one of the second, which
/// is held in memory.
struct Cartesian<T, U>(PhantomData<fn(T, U)>);

impl<T: Record, U: Record> Operator for Cartesian<T, U> {
    type Env = ();
    type Out = (T, U);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (T, U)>) -> Flow {
        let mut right: Vec<U> = Vec::new();
        node.each(1, partition, &mut |record| {
            right.push(record);
            Flow::Continue(())
        })?;
        node.each::<T>(0, partition, &mut |left| {
            right.iter().try_for_each(|right| emit(node.call(|| (left.clone(), right.clone()))))
        })
    }
}

impl<T: Record> Rdd<T> {
    /// Every record here with every record there, in a partition for each pair of partitions
    /// (`api.md` §12). Nothing is shuffled, but both datasets are computed again for each partition
    /// of the other: [cache](Self::cache) what is dear.
    ///
    /// # Errors
    /// The action that uses it fails if there would be more than 2³² partitions.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let pairs = ctx.parallelize([1, 2]).cartesian(&ctx.parallelize(['a', 'b']));
    /// assert_eq!(pairs.collect()?, [(1, 'a'), (1, 'b'), (2, 'a'), (2, 'b')]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn cartesian<U: Record>(&self, other: &Rdd<U>) -> Rdd<(T, U)> {
        let (left, right) = (self.num_partitions(), other.num_partitions());
        let Some(partitions) = left.checked_mul(right) else {
            let why = format_args!("{left} times {right} partitions are too many; coalesce one side");
            return refused(self.engine(), "cartesian", why);
        };
        let spec = OperatorSpec::new::<Cartesian<T, U>>("cartesian", &());
        let parents = vec![
            (self.node().clone(), PartitionMap::Divide(right)),
            (other.node().clone(), PartitionMap::Modulo(right)),
        ];
        DatasetNode::narrow(self.engine(), partitions, parents, &spec.any).of(&spec)
    }
}
