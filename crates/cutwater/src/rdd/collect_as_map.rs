use std::collections::BTreeMap;

use crate::{
    Error, Key, Record,
    rdd::Rdd,
    task::{labelled, on_master},
};

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// All records as a map, brought to the master; of a key that comes more than once, the last
    /// value (`api.md` §12). The map is sorted, so that what the program makes of it is the same
    /// whenever it runs.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let map = ctx.parallelize([('b', 1), ('a', 2), ('b', 3)]).collect_as_map()?;
    /// assert!(map.into_iter().eq([('a', 2), ('b', 3)]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn collect_as_map(&self) -> Result<BTreeMap<K, V>, Error> {
        let records = self.collect()?;
        // Keys are compared here, which is the program's own code.
        on_master(|| Ok(records.into_iter().collect())).map_err(|error| error.at(labelled("collect_as_map")))
    }
}
