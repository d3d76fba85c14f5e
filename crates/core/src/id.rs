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

impl JobId {
    const KINDS: u64 = 0b11 << 62;
    const BACKGROUND: u64 = 0b10 << 62;
    const AHEAD: u64 = 0b11 << 62;

    /// The job of that number among those that nobody waits for: they come after all others.
    pub fn background(number: u64) -> Self {
        Self(Self::BACKGROUND | number)
    }

    /// The work of that number for jobs that are still to come: it comes after all jobs. Those of the background are
    /// among them, which would never be done if a program that is behind went ahead of them.
    pub fn ahead(number: u64) -> Self {
        Self(Self::AHEAD | number)
    }

    /// Whether nobody waits for it.
    pub fn is_background(self) -> bool {
        self.0 & Self::KINDS == Self::BACKGROUND
    }

    /// Whether nobody has asked for it yet.
    pub fn is_ahead(self) -> bool {
        self.0 & Self::KINDS == Self::AHEAD
    }
}

impl WorkerId {
    /// The master, as one that holds blocks: those it has received itself. It runs no tasks.
    pub const MASTER: Self = Self(u32::MAX);
}

/// A client that sends records to one source: a random number that it keeps wherever it goes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ClientId(pub u128);

impl fmt::Display for ClientId {
    /// The first digits are enough to tell two apart.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {:08x}", self.0 >> 96)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An immutable piece of data. Whoever holds a block of this name holds the same records.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum BlockId {
    /// Records that came from outside, numbered by who received them.
    Input {
        /// The source within the program.
        source: u32,
        /// Counts the blocks of that source: if the master received them, from a number on that no master before has
        /// come to, and else from the worker's [own number](input_sequence) on.
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

/// Bits of a block's sequence that count. At a block every millisecond they are enough for a life.
const COUNT_BITS: u32 = 40;

/// The sequence of block number `count` of those that `worker` received, unique over all workers.
///
/// ```
/// use cutwater_core::{WorkerId, id::{count_of, input_sequence, receiver_of}};
///
/// let sequence = input_sequence(WorkerId(3), 7);
/// assert_ne!(sequence, input_sequence(WorkerId(4), 7));
/// assert_eq!((receiver_of(sequence), count_of(sequence)), (WorkerId(3), 7));
/// ```
pub const fn input_sequence(worker: WorkerId, count: u64) -> u64 {
    ((worker.0 as u64) << COUNT_BITS) | (count & ((1 << COUNT_BITS) - 1))
}

/// The number of the block of this sequence among those of its worker.
pub const fn count_of(sequence: u64) -> u64 {
    sequence & ((1 << COUNT_BITS) - 1)
}

/// The worker that received the block of this sequence.
pub const fn receiver_of(sequence: u64) -> WorkerId {
    // What is left after the shift of a worker's number fits: only its low bits can be lost.
    WorkerId((sequence >> COUNT_BITS) as u32)
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
