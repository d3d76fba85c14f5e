use cutwater_core::PartitionMap;

use super::{refused::refused, union::All};
use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    task::OperatorSpec,
};

impl<T: Record> Rdd<T> {
    /// The same records in at most `partitions` partitions: neighbours are laid together and
    /// nothing is shuffled, so there are never more than before (`api.md` §12).
    ///
    /// # Errors
    /// The action that uses it fails if `partitions` is 0.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(8);
    /// let few = ctx.parallelize(0..8).coalesce(3);
    /// assert_eq!((few.num_partitions(), few.collect()?), (3, (0..8).collect()));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn coalesce(&self, partitions: u32) -> Rdd<T> {
        if partitions == 0 {
            return refused(self.engine(), "coalesce", "records cannot be laid together in no partitions");
        }
        let partitions = partitions.min(self.num_partitions());
        let spec = OperatorSpec::new::<All<T>>("coalesce", &());
        let parents = vec![(self.node().clone(), PartitionMap::Coalesce(partitions))];
        DatasetNode::narrow(self.engine(), partitions, parents, &spec.any).of(&spec)
    }

    /// The same records in exactly `partitions` partitions, fewer or more than before, by a shuffle:
    /// what other engines call coalescing with a shuffle (`api.md` §12). Unlike without one, what is
    /// before it still runs in as many tasks as there were partitions.
    ///
    /// # Errors
    /// The action that uses it fails if `partitions` is 0.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let many = ctx.parallelize(0..8).coalesce_shuffled(5);
    /// assert_eq!((many.num_partitions(), many.count()?), (5, 8));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn coalesce_shuffled(&self, partitions: u32) -> Rdd<T> {
        if partitions == 0 {
            let why = "records cannot be laid together in no partitions";
            return refused(self.engine(), "coalesce_shuffled", why);
        }
        self.repartition(partitions)
    }
}
