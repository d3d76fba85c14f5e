use std::marker::PhantomData;

use cutwater_core::PartitionMap;

use super::refused::refused;
use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The records of two partitions side by side. The second is held in memory.
struct Zip<T, U>(PhantomData<fn(T, U)>);

impl<T: Record, U: Record> Operator for Zip<T, U> {
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
        let (rights, mut lefts) = (right.len(), 0usize);
        let mut right = right.into_iter();
        node.each::<T>(0, partition, &mut |left| {
            lefts += 1;
            right.next().map_or(Flow::Continue(()), |right| emit((left, right)))
        })?;
        if lefts != rights {
            return node.refuse(format_args!(
                "partition {partition} has {lefts} records here and {rights} there; datasets that are zipped have as many in each"
            ));
        }
        Flow::Continue(())
    }
}

impl<T: Record> Rdd<T> {
    /// The first record here with the first there, the second with the second, and so on
    /// (`api.md` §12). It is meant for datasets of which one was made from the other, record by
    /// record.
    ///
    /// # Errors
    /// The action that uses it fails if the datasets differ in their number of partitions, or in the
    /// number of records of a partition.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let words = ctx.parallelize(["a", "bb"].map(String::from));
    /// let sized = words.zip(&words.map(|word| word.len()));
    /// assert_eq!(sized.collect()?, [("a".to_owned(), 1), ("bb".to_owned(), 2)]);
    /// assert!(words.zip(&ctx.parallelize(0..3)).collect().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip<U: Record>(&self, other: &Rdd<U>) -> Rdd<(T, U)> {
        let (left, right) = (self.num_partitions(), other.num_partitions());
        if left != right {
            let why = format_args!(
                "{left} partitions here and {right} there; datasets that are zipped have as many of them"
            );
            return refused(self.engine(), "zip", why);
        }
        let spec = OperatorSpec::new::<Zip<T, U>>("zip", &());
        let parents =
            vec![(self.node().clone(), PartitionMap::Same), (other.node().clone(), PartitionMap::Same)];
        DatasetNode::narrow(self.engine(), left, parents, &spec.any).of(&spec)
    }
}
