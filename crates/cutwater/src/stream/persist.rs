use std::sync::Arc;

use crate::{
    DStream, Record,
    collection::Collection,
    rdd::{Packing, Rdd, StorageLevel},
};

impl<T: Record> DStream<T> {
    /// The same stream, whose partitions stay in memory once they are computed, for as long as
    /// somebody may ask for them: [`persist`](Self::persist) at [`StorageLevel::Memory`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let parsed = harness.input([vec!["7".to_owned()]]).map(|s| s.parse::<u32>().unwrap_or(0)).cache();
    /// let (sums, highest) = (harness.watch(&parsed.reduce(|a, b| a + b)), harness.watch(&parsed.reduce(u32::max)));
    /// harness.advance(1)?; // every text is parsed once for both
    /// assert_eq!(sums.all(), highest.all());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "`cache` leaves the stream as it is and returns one that is kept"]
    pub fn cache(&self) -> DStream<T> {
        self.persist(StorageLevel::Memory)
    }

    /// The same stream, whose partitions are kept in the way of `level` once they are computed, for as
    /// long as somebody may ask for them.
    ///
    /// A window is never kept: its records lie in those of the stream it is over, which keeps them as
    /// values whether it is told to or not. To persist a window is to persist nothing more (`api.md`
    /// §4.9).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StorageLevel, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let words = harness.input([vec!["to".to_owned(), "be".to_owned()]]);
    /// let kept = words.persist(StorageLevel::MemorySerialised);
    /// assert_eq!(harness.run(&kept, 1)?, [["to", "be"]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "`persist` leaves the stream as it is and returns one that is kept"]
    pub fn persist(&self, level: StorageLevel) -> DStream<T> {
        if self.node.is_kept_in_parents() {
            return self.clone();
        }
        let Some(packing) = Packing::of(level).map(Arc::new) else { return self.derive("cache", Rdd::cache) };
        // Two streams, so that the one of what is kept can let go of what is behind it.
        let unpacking = packing.clone();
        let packed = self.derive("persist", move |rdd| packing.pack(rdd));
        packed.derive("persist", move |packed| unpacking.unpack(packed))
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use super::*;
    use crate::testing::Harness;

    /// Records are computed once, however many ask and in whichever way they are kept; even those
    /// that take no bytes come back.
    #[test]
    fn what_is_kept_is_computed_once() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        for level in [StorageLevel::Memory, StorageLevel::MemorySerialised, StorageLevel::Disk] {
            CALLS.store(0, Relaxed);
            let harness = Harness::new(Duration::from_secs(1));
            let counted = harness.input([vec![(); 7]]).map(|()| {
                CALLS.fetch_add(1, Relaxed);
            });
            let kept = counted.persist(level);
            let watched = [harness.watch(&kept), harness.watch(&kept.filter(|()| true))];
            harness.advance(1).unwrap();
            for watched in watched {
                assert_eq!(watched.all(), [Some(vec![(); 7])]);
            }
            assert_eq!(CALLS.load(Relaxed), 7, "{level:?}");
        }
    }
}
