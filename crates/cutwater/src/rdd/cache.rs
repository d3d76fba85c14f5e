use std::sync::Arc;

use super::DatasetNode;
use crate::{Record, rdd::Rdd};

impl<T: Record> Rdd<T> {
    /// The same dataset, whose partitions stay in memory once they are computed.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let parsed = ctx.parallelize(["1", "2"].map(String::from)).map(|s| s.len()).cache();
    /// assert_eq!(parsed.count()?, 2); // computed here
    /// assert_eq!(parsed.collect()?, [1, 1]); // and read here
    /// parsed.unpersist();
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use = "`cache` leaves the dataset as it is and returns one that is kept"]
    pub fn cache(&self) -> Rdd<T> {
        // What was received lies in memory already, for as long as anyone holds the dataset.
        if self.node.dataset.keep || self.node.is_received() {
            return self.clone();
        }
        self.node.kept().of(&self.spec)
    }

    /// Lets go of the partitions of a [cached](Self::cache) or [persisted](Self::persist) dataset. Whoever
    /// asks for it again computes it again (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let squares = ctx.parallelize(1..=3).map(|n| n * n).cache();
    /// assert_eq!(squares.count()?, 3); // computed here
    /// squares.unpersist();
    /// assert_eq!(squares.collect()?, [1, 4, 9]); // and once more here
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn unpersist(&self) {
        self.kept_node().unpersist();
    }

    /// The dataset that has the partitions that are kept, if any are.
    pub(crate) fn kept_node(&self) -> &Arc<DatasetNode> {
        self.kept_as.as_ref().unwrap_or(&self.node)
    }

    /// The same dataset, kept in whichever way it is or else as values.
    pub(crate) fn kept(&self) -> Self {
        if self.kept_as.is_some() { self.clone() } else { self.cache() }
    }
}
