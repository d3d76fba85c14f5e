//! What the scheduler knows of a dataset: how many partitions it has and what each is made from.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{BlockId, DatasetId, OpId};

/// An immutable partitioned dataset, described by how it is made and not by what it holds.
///
/// Properties:
/// - `id`, its name, and `op`, the operator that makes it;
/// - `partitions`, how many there are;
/// - `parents`, what they are made from: none for a source;
/// - `splits`, for a source, what each partition reads;
/// - `shape`, whether a partition is one block or one piece for each reader of a shuffle;
/// - `keep`, whether a computed partition stays on its worker for later jobs.
///
/// Built by the program on the master, read by the scheduler. It holds no records: if the master
/// dies, the program describes it again, under the same name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Its name, unique in a run of the program.
    pub id: DatasetId,
    /// The operator that computes a partition.
    pub op: OpId,
    /// How many partitions it has; 0 is allowed, and then a job on it is done at once.
    pub partitions: u32,
    /// What its partitions are made from, in the order in which the operator asks for them.
    pub parents: Vec<Parent>,
    /// For a source: what partition `i` reads. For an operator that has to know its interval: which one
    /// it is. Empty for everything else.
    pub splits: Arc<[Split]>,
    /// What one task leaves behind.
    pub shape: Shape,
    /// A computed partition is stored under its name and not computed again while it is there.
    pub keep: bool,
    /// What people call the operator: its name and where the program says it.
    pub label: Arc<str>,
}

/// What one partition of a dataset consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Shape {
    /// One block of records.
    Records,
    /// One block for each of this many partitions on the other side of a shuffle. Always stored.
    Pieces(u32),
}

/// An edge of the lineage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parent {
    /// Each partition needs a few known partitions of the parent; both run in one task.
    Narrow {
        /// The parent.
        dataset: DatasetId,
        /// Which of its partitions.
        map: PartitionMap,
    },
    /// Each partition needs one piece of every partition of the parent, whose shape is
    /// [`Shape::Pieces`]. Here stages are cut.
    Shuffle {
        /// The parent.
        dataset: DatasetId,
    },
}

impl Parent {
    /// The dataset at the other end of the edge.
    pub fn dataset(&self) -> DatasetId {
        match self {
            Self::Narrow { dataset, .. } | Self::Shuffle { dataset } => *dataset,
        }
    }
}

/// Which partitions of a narrow parent a partition is made from.
///
/// ```
/// use cutwater_core::PartitionMap;
///
/// assert_eq!(PartitionMap::Same.of(3, 8), 3..4);
/// // The second half of a union: its partitions 2.. are the parent's 0..
/// assert_eq!(PartitionMap::Shift(2).of(3, 8), 1..2);
/// assert!(PartitionMap::Shift(2).of(1, 8).is_empty());
/// // Eight partitions coalesced into three.
/// assert_eq!(PartitionMap::Coalesce(3).of(0, 8), 0..2);
/// assert_eq!(PartitionMap::Coalesce(3).of(2, 8), 5..8);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum PartitionMap {
    /// Partition `i` from the parent's `i`.
    Same,
    /// Partition `i` from the parent's `i - n`, if it has one (`union`).
    Shift(u32),
    /// Partition `i` from the parent's `i + n`: all but the first `n` (`take`).
    Skip(u32),
    /// `n` groups of neighbouring partitions of the parent (`coalesce`).
    Coalesce(u32),
    /// All partitions of the parent.
    All,
    /// Partition `i` from the parent's `i / n` (the left side of a cartesian product).
    Divide(u32),
    /// Partition `i` from the parent's `i mod n` (the right side).
    Modulo(u32),
}

impl PartitionMap {
    /// The partitions that `child` is made from, of a parent that has `parents` of them.
    pub fn of(self, child: u32, parents: u32) -> Range<u32> {
        let one = |p: u32| if p < parents { p..p + 1 } else { 0..0 };
        match self {
            Self::Same => one(child),
            Self::Shift(n) => child.checked_sub(n).map_or(0..0, one),
            Self::Skip(n) => child.checked_add(n).map_or(0..0, one),
            Self::Coalesce(n) => {
                let at = |i: u32| (u64::from(i) * u64::from(parents) / u64::from(n.max(1))) as u32;
                at(child)..at(child + 1)
            }
            Self::All => 0..parents,
            Self::Divide(n) => one(child / n.max(1)),
            Self::Modulo(n) => one(child % n.max(1)),
        }
    }
}

/// What one partition of a source reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Split {
    /// Blocks that were received and are held by workers.
    pub blocks: Vec<BlockId>,
    /// Whatever else the operator needs to find its records (a path and a range of bytes),
    /// encoded by the one who made the split and understood by the operator alone.
    pub place: Arc<[u8]>,
}
