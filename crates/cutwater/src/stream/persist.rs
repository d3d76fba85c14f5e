use std::sync::{Arc, Mutex, PoisonError};

use super::StreamNode;
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
    /// A window is never kept: its records lie in those of the stream it is over, which are kept once for
    /// all windows over it, as values unless it was persisted itself in another way. To persist a window
    /// returns the same window and says how the records of that stream are kept for all of them (`api.md`
    /// §4.9); what is said last counts.
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
        if let Some(keep) = self.node.keep() {
            *keep.lock().unwrap_or_else(PoisonError::into_inner) = keeping(level);
            return self.clone();
        }
        let Some(packing) = Packing::of(level).map(Arc::new) else { return self.derive("cache", Rdd::cache) };
        // Two streams, so that the one of what is kept can let go of what is behind it.
        let unpacking = packing.clone();
        let packed = self.derive("persist", move |rdd| packing.pack(rdd));
        packed.derive("persist", move |packed| unpacking.unpack(packed))
    }

    /// The same stream kept for the windows over it, which all share it.
    #[track_caller]
    pub(super) fn kept(&self) -> Arc<StreamNode<T>> {
        if self.node.keep().is_some() {
            return self.node.clone();
        }
        if let Some(kept) = self.node.kept() {
            return kept;
        }
        let as_it_is: Keep<T> = Arc::new(Rdd::kept);
        let keep = Arc::new(Mutex::new(as_it_is));
        let how = keep.clone();
        let kept = self.derive("cache", move |rdd| {
            let keep = how.lock().unwrap_or_else(PoisonError::into_inner).clone();
            keep(rdd)
        });
        kept.node.keep_as(keep);
        self.node.set_kept(&kept.node);
        kept.node
    }
}

/// What makes a dataset one whose partitions are kept.
pub(crate) type Keep<T> = Arc<dyn Fn(&Rdd<T>) -> Rdd<T> + Send + Sync>;

#[track_caller]
fn keeping<T: Record>(level: StorageLevel) -> Keep<T> {
    match Packing::of(level) {
        None => Arc::new(Rdd::cache),
        Some(packing) => Arc::new(move |rdd| packing.keep(rdd)),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering::Relaxed},
        time::Duration,
    };

    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::*;
    use crate::{Context, testing::Harness};

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

    /// Two windows over one plain stream compute and keep its records once.
    #[test]
    fn windows_over_one_stream_share_what_is_kept() {
        static CALLS: AtomicU32 = AtomicU32::new(0);
        const SECOND: Duration = Duration::from_secs(1);
        let harness = Harness::with(Context::builder("test").interval(SECOND).threads(1), 1);
        let counted = harness.input((0..4).map(|n| vec![n])).map(|n| {
            CALLS.fetch_add(1, Relaxed);
            n
        });
        let pairs = harness.watch(&counted.window(2 * SECOND, SECOND));
        let triples = harness.watch(&counted.window(3 * SECOND, SECOND));
        harness.advance(4).unwrap();
        assert_eq!(pairs.all().last().unwrap(), &Some(vec![2, 3]));
        assert_eq!(triples.all().last().unwrap(), &Some(vec![1, 2, 3]));
        assert_eq!(CALLS.load(Relaxed), 4);
    }

    /// A record that counts how often it was serialised.
    #[derive(Clone, PartialEq, Debug)]
    struct Counted(u8);

    static SERIALISED: AtomicU32 = AtomicU32::new(0);

    impl Serialize for Counted {
        fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            SERIALISED.fetch_add(1, Relaxed);
            to.serialize_u8(self.0)
        }
    }

    impl<'de> Deserialize<'de> for Counted {
        fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
            u8::deserialize(from).map(Self)
        }
    }

    /// The table of `window/008`: what is said of a window holds for the stream it is over, through a window
    /// of windows too, and what is said last counts.
    #[test]
    fn the_level_of_a_window_is_that_of_the_stream_it_is_over() {
        use StorageLevel::{Disk, Memory, MemorySerialised};
        const SECOND: Duration = Duration::from_secs(1);
        for (persisted, levels, serialised) in [
            (None, &[][..], 0),
            (None, &[MemorySerialised], 3),
            (None, &[Disk], 3),
            (None, &[Disk, Memory], 0),
            // What was persisted by itself is not kept again, unless a window says otherwise.
            (Some(Disk), &[], 3),
            (Some(Memory), &[Disk], 3),
        ] {
            SERIALISED.store(0, Relaxed);
            let harness = Harness::with(Context::builder("test").interval(SECOND).threads(1), 1);
            let stream = harness.input([vec![1], vec![2], vec![3]]).map(Counted);
            let stream = persisted.map_or_else(|| stream.clone(), |level| stream.persist(level));
            let mut window = stream.window(2 * SECOND, SECOND).window(SECOND, SECOND);
            for level in levels {
                window = window.persist(*level);
            }
            let other = harness.watch(&stream.window(SECOND, SECOND).map(|n| n.0));
            let window = harness.watch(&window.map(|n| n.0));
            harness.advance(3).unwrap();
            assert_eq!(window.all(), [vec![1], vec![1, 2], vec![2, 3]].map(Some));
            assert_eq!(other.all(), [vec![1], vec![2], vec![3]].map(Some));
            assert_eq!(SERIALISED.load(Relaxed), serialised, "{persisted:?}, {levels:?}");
        }
    }
}
