use std::marker::PhantomData;

use crate::{
    DStream, Record,
    collection::Collection,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// How the partitions of a stream are kept once they are computed (`api.md` §12, "Sharing").
///
/// Either way a partition is kept by the one worker that computed it, and made again from lineage if
/// that worker is lost. There is no level on disk and none with replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StorageLevel {
    /// As values: read at once, at the size that they have in memory. What [`DStream::cache`] does.
    Memory,
    /// As serialised bytes: often several times smaller, and decoded by every reader.
    MemorySerialised,
}

/// The records of a partition in bytes, and how many there are.
struct Encode<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Encode<T> {
    type Env = ();
    type Out = (u64, Vec<u8>);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let (mut count, mut bytes) = (0, Vec::new());
        node.each::<T>(0, partition, &mut |record| {
            count += 1;
            match postcard::to_extend(&record, std::mem::take(&mut bytes)) {
                Ok(longer) => bytes = longer,
                Err(error) => return node.refuse(format_args!("a record cannot be serialised: {error}")),
            }
            Flow::Continue(())
        })?;
        // What growing reserved would be kept for as long as the partition.
        bytes.shrink_to_fit();
        emit((count, bytes))
    }
}

/// And the records again.
struct Decode<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Decode<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.each::<(u64, Vec<u8>)>(0, partition, &mut |(count, bytes)| {
            let mut left = &bytes[..];
            for _ in 0..count {
                match postcard::take_from_bytes(left) {
                    Ok((record, rest)) => {
                        left = rest;
                        emit(record)?;
                    }
                    Err(error) => {
                        return node.refuse(format_args!(
                            "a record cannot be read back from what it was serialised to: {error}"
                        ));
                    }
                }
            }
            Flow::Continue(())
        })
    }
}

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
        match level {
            StorageLevel::Memory => self.derive("cache", Rdd::cache),
            StorageLevel::MemorySerialised => {
                let encode = OperatorSpec::new::<Encode<T>>("persist", &());
                let decode = OperatorSpec::new::<Decode<T>>("persist", &());
                let bytes = self.derive("persist", move |rdd| rdd.narrow_in_place(&encode).cache());
                bytes.derive("persist", move |bytes| bytes.narrow_in_place(&decode))
            }
        }
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
        for level in [StorageLevel::Memory, StorageLevel::MemorySerialised] {
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
