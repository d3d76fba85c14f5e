use std::ops::{Bound, RangeBounds};

use crate::{Key, Record, rdd::Rdd};

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// Only the records whose key lies in `range` (`api.md` §12). Keys stay in their partitions, and
    /// sorted records stay sorted.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let letters = ctx.parallelize([('d', 4), ('a', 1), ('c', 3), ('b', 2)]);
    /// assert_eq!(letters.filter_by_range('b'..='c').collect()?, [('c', 3), ('b', 2)]);
    /// assert_eq!(letters.sort_by_key()?.filter_by_range('c'..).collect()?, [('c', 3), ('d', 4)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter_by_range(&self, range: impl RangeBounds<K>) -> Rdd<(K, V)> {
        let bounds: (Bound<K>, Bound<K>) = (range.start_bound().cloned(), range.end_bound().cloned());
        self.with(bounds).filter(|bounds, (key, _)| bounds.contains(key))
    }
}
