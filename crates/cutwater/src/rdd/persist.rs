use std::marker::PhantomData;

use serde::{Deserialize, Serialize};

use crate::{
    Record,
    block::Packed,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// How the partitions of a dataset or stream are kept once they are computed (`api.md` §12, "Sharing").
///
/// Whatever the level, a partition is kept by the one worker that computed it, and made again from lineage if
/// that worker is lost; hence there are no levels with replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum StorageLevel {
    /// As values: read at once, at the size that they have in memory. What [`Rdd::cache`] does.
    Memory,
    /// As serialised bytes: often several times smaller, and decoded by every reader.
    MemorySerialised,
    /// As serialised bytes in files of the folder for temporary ones (`TMPDIR`), which go with the dataset:
    /// takes no memory, and is read and decoded by every reader.
    Disk,
}

/// How partitions are brought into the form in which they are kept, and back.
pub(crate) struct Packing<T> {
    pack: OperatorSpec<Packed>,
    unpack: OperatorSpec<T>,
}

impl<T: Record> Packing<T> {
    /// `None` if partitions are kept as they are.
    #[track_caller]
    pub fn of(level: StorageLevel) -> Option<Self> {
        let on_disk = match level {
            StorageLevel::Memory => return None,
            StorageLevel::MemorySerialised => false,
            StorageLevel::Disk => true,
        };
        let pack = OperatorSpec::new::<Pack<T>>("persist", &on_disk);
        Some(Self { pack, unpack: OperatorSpec::new::<Unpack<T>>("persist", &()) })
    }

    pub fn pack(&self, rdd: &Rdd<T>) -> Rdd<Packed> {
        rdd.narrow_in_place(&self.pack).cache()
    }

    pub fn unpack(&self, packed: &Rdd<Packed>) -> Rdd<T> {
        packed.narrow_in_place(&self.unpack)
    }

    /// Both: the records of `rdd`, kept in this form.
    pub fn keep(&self, rdd: &Rdd<T>) -> Rdd<T> {
        let packed = self.pack(rdd);
        let mut unpacked = self.unpack(&packed);
        unpacked.kept_as = Some(packed.node);
        unpacked
    }
}

/// The records of a partition in bytes.
struct Pack<T> {
    on_disk: bool,
    records: PhantomData<fn(T)>,
}

impl<T: Record> Operator for Pack<T> {
    type Env = bool;
    type Out = Packed;

    fn rebuild(on_disk: bool) -> Self {
        Self { on_disk, records: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Packed>) -> Flow {
        let (mut count, mut bytes) = (0, Vec::new());
        node.each::<T>(0, partition, &mut |record| {
            count += 1;
            match postcard::to_extend(&record, std::mem::take(&mut bytes)) {
                Ok(longer) => bytes = longer,
                Err(error) => return node.refuse(format_args!("a record cannot be serialised: {error}")),
            }
            Flow::Continue(())
        })?;
        if !self.on_disk {
            return emit(Packed::in_memory(count, bytes));
        }
        match Packed::on_disk(count, &bytes) {
            Ok(packed) => emit(packed),
            Err(error) => node.external(format_args!("a partition cannot be kept on disk: {error}")),
        }
    }
}

/// And the records again.
struct Unpack<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Unpack<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.each::<Packed>(0, partition, &mut |packed| {
            let bytes = match packed.bytes() {
                Ok(bytes) => bytes,
                Err(error) => {
                    return node.external(format_args!("a partition kept on disk cannot be read: {error}"));
                }
            };
            let mut left = &*bytes;
            for _ in 0..packed.records {
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

impl<T: Record> Rdd<T> {
    /// The same dataset, whose partitions are kept in the way of `level` once they are computed, for as long
    /// as anyone holds it or until it is [unpersisted](Self::unpersist).
    ///
    /// ```
    /// # use cutwater::{Context, StorageLevel};
    /// # let ctx = Context::local(2);
    /// let words = ctx.parallelize(["to", "be", "or"].map(String::from)).map(|word| word.to_uppercase());
    /// let kept = words.persist(StorageLevel::Disk);
    /// assert_eq!(kept.count()?, 3); // computed here, into files
    /// assert_eq!(kept.collect()?, ["TO", "BE", "OR"]); // and read here
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    #[must_use = "`persist` leaves the dataset as it is and returns one that is kept"]
    pub fn persist(&self, level: StorageLevel) -> Rdd<T> {
        Packing::of(level).map_or_else(|| self.cache(), |packing| packing.keep(self))
    }
}
