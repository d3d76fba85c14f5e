//! The names of things. Each is a type of its own, so that one cannot be taken for another.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($int:ty) $prefix:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
    )*};
}

ids! {
    /// A dataset of one interval: the partitions that one operator makes at one time.
    DatasetId(u64) "d";
    /// An operator: code and the values handed to it. Many datasets are made by one operator.
    OpId(u64) "op";
    /// A request to compute every partition of one dataset. Jobs run in the order of their ids.
    JobId(u64) "j";
    /// A run of one stage for some job.
    StageId(u64) "s";
    /// A process that holds blocks and runs tasks.
    WorkerId(u32) "w";
}

impl WorkerId {
    /// The master, as one that holds blocks: those it has received itself. It runs no tasks.
    pub const MASTER: Self = Self(u32::MAX);
}

/// An immutable piece of data. Whoever holds a block of this name holds the same records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BlockId {
    /// Records that came from outside, numbered by who received them.
    Input {
        /// The source within the program.
        source: u32,
        /// Counts the blocks of that source from 0.
        sequence: u64,
    },
    /// A partition of a dataset that is kept.
    Partition {
        /// The dataset.
        dataset: DatasetId,
        /// The partition, from 0.
        partition: u32,
    },
    /// What one map partition has for one reduce partition.
    Piece {
        /// The dataset that splits records for the shuffle (its shape is [`Shape::Pieces`]).
        ///
        /// [`Shape::Pieces`]: crate::Shape::Pieces
        dataset: DatasetId,
        /// The partition that wrote it.
        map: u32,
        /// The partition that will read it.
        reduce: u32,
    },
}

impl fmt::Debug for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for BlockId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input { source, sequence } => write!(f, "input{source}/{sequence}"),
            Self::Partition { dataset, partition } => write!(f, "{dataset}[{partition}]"),
            Self::Piece { dataset, map, reduce } => write!(f, "{dataset}[{map}→{reduce}]"),
        }
    }
}
