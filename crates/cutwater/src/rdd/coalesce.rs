use cutwater_core::PartitionMap;

use super::union::All;
use crate::{
    Record,
    rdd::{DatasetNode, Rdd},
    task::OperatorSpec,
};

impl<T: Record> Rdd<T> {
    /// The same records in at most `partitions` partitions: neighbours are laid together and
    /// nothing is shuffled, so there are never more than before (`api.md` §12).
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
        let partitions = partitions.max(1).min(self.num_partitions());
        let spec = OperatorSpec::new::<All<T>>("coalesce", &());
        let parents = vec![(self.node().clone(), PartitionMap::Coalesce(partitions))];
        DatasetNode::narrow(self.engine(), partitions, parents, &spec.any).of(&spec)
    }
}
