use super::union::All;
use crate::{
    Error, Key, Record, placement,
    rdd::{Partitioner, Rdd},
    task::OperatorSpec,
};

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// All values of a key, in order (`api.md` §12). Of a dataset that is partitioned by key, only
    /// the partition where the key lives is computed.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let pairs = ctx.parallelize([('a', 1), ('b', 2), ('a', 3)]);
    /// assert_eq!(pairs.lookup(&'a')?, [1, 3]);
    /// assert!(pairs.partition_by(8).lookup(&'c')?.is_empty());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn lookup(&self, key: &K) -> Result<Vec<V>, Error> {
        let searched = match self.partitioner() {
            Some(Partitioner::KeyGroups { partitions }) => {
                let home = placement::partition(placement::hash(key), self.engine().key_groups(), partitions);
                self.some_partitions(home, 1, &OperatorSpec::new::<All<(K, V)>>("lookup", &()))
            }
            _ => self.clone(),
        };
        searched
            .with(key.clone())
            .filter_map(|wanted, (key, value)| (key == *wanted).then_some(value))
            .collect()
    }
}
