use std::collections::BTreeMap;

use crate::{Error, Key, Record, rdd::Rdd};

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// How many records each key has, in order of the keys (`api.md` §12). The answer is held by the
    /// master; for very many keys count with [`reduce_by_key`](Self::reduce_by_key).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let counts = ctx.parallelize([('b', 1), ('a', 2), ('b', 3)]).count_by_key()?;
    /// assert!(counts.into_iter().eq([('a', 1), ('b', 2)]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_key(&self) -> Result<BTreeMap<K, u64>, Error> {
        self.map_values(|_| 1u64).reduce_by_key(|a, b| a + b).collect_as_map()
    }
}
