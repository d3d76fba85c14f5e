//! One partition of one stage, and how running it can fail.

use std::{fmt, ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use crate::{BlockId, DatasetId, StageId, WorkerId};

/// One run of a task. A task may be run more than once, even at the same time; all its attempts
/// make the same records, and exactly one of them counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Attempt {
    /// The stage that the task belongs to.
    pub stage: StageId,
    /// The partition it computes.
    pub partition: u32,
    /// Counts the attempts of that task from 0.
    pub number: u32,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}#{}", self.stage, self.partition, self.number)
    }
}

/// What a worker is told to run: names only, no records and no code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Which run of which task.
    pub attempt: Attempt,
    /// The dataset of which it computes a partition.
    pub target: DatasetId,
    /// Received blocks and kept partitions that it reads and that are not on the worker it is sent to, and
    /// who holds each.
    pub remote: Vec<(BlockId, WorkerId)>,
    /// Shuffles, and the partitions on their other side of which it reads all pieces. Where those are has
    /// been said before by [`Command::Locate`](crate::Command::Locate), so that a task stays small however
    /// many there are.
    pub pieces: Vec<(DatasetId, Range<u32>)>,
}

/// Why an attempt failed. It keeps its type all the way from the worker to the scheduler, which
/// answers each kind differently.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum TaskError {
    /// A function of the program panicked or refused its input. It would do so again, so the
    /// job fails at once.
    #[error("{operator}: {message}")]
    User {
        /// The operator whose function it was.
        operator: Arc<str>,
        /// What it said.
        message: String,
    },
    /// Something outside failed (a file, a disk, a socket). Tried again, a bounded number of times.
    #[error("{operator}: {message}")]
    External {
        /// The operator that met it.
        operator: Arc<str>,
        /// What failed, with the name of the thing.
        message: String,
    },
    /// A block was not where it was said to be. What makes it is run again first.
    #[error("block {block} could not be read from {worker}")]
    FetchFailed {
        /// The block.
        block: BlockId,
        /// Who was asked for it.
        worker: WorkerId,
    },
    /// Received blocks that it reads are held by nobody any more, and nothing can make them again.
    #[error("{operator}: {}", held_by_nobody(blocks))]
    InputLost {
        /// The operator that reads the first of them.
        operator: Arc<str>,
        /// These, and all others of datasets that are known.
        blocks: Vec<BlockId>,
    },
    /// It was told to stop, since its result does not matter any longer. No failure of anybody.
    #[error("the attempt was cancelled")]
    Cancelled,
    /// The engine broke its own rules; a defect of cutwater.
    #[error("defect in cutwater: {0}")]
    Internal(String),
}

fn held_by_nobody(blocks: &[BlockId]) -> String {
    match blocks {
        [] => "a received block is held by no worker".to_owned(),
        [block] => format!("block {block} is held by no worker"),
        [block, others @ ..] => format!("block {block} and {} more are held by no worker", others.len()),
    }
}
