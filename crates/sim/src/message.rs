//! What the processes of a simulation say to each other: what those of a real cluster do, without records.

use std::sync::Arc;

use cutwater_core::{Attempt, BlockId, DatasetId, Task, TaskError, WorkerId};

use crate::{description::Plan, store::File};

/// From the master to a worker.
#[derive(Clone, Debug)]
pub enum ToWorker {
    /// A task, its stage, and where everything is that it reads.
    Run { task: Task, plan: Arc<Plan>, remote: Vec<(BlockId, WorkerId)> },
    /// The result does not matter any longer.
    Cancel(Attempt),
    /// A received block to hold, and what is in it.
    Hold(BlockId, u64),
    /// Blocks to hold too.
    Copy { from: WorkerId, blocks: Vec<BlockId> },
    /// Blocks that nobody will read again.
    Drop(Vec<BlockId>),
    /// A partition of state to write to the store.
    Save { dataset: DatasetId, partition: u32, epoch: u64 },
    /// Nothing.
    Ping,
    /// The worker may leave.
    Stop,
}

/// From a worker to the master.
#[derive(Clone, Debug)]
pub enum ToMaster {
    Joined {
        slots: u32,
    },
    /// It holds these from the time with another master.
    Holds(Vec<BlockId>),
    Ran {
        attempt: Attempt,
        result: Result<Ran, TaskError>,
    },
    Held(BlockId),
    Copied(Vec<BlockId>),
    NotCopied(Vec<BlockId>),
    Saved {
        file: File,
        partition: u32,
    },
    Draining,
    Ping,
}

/// What an attempt left behind.
#[derive(Clone, Debug)]
pub struct Ran {
    pub value: u64,
    pub stored: Vec<BlockId>,
    pub read: u64,
}

/// Between workers.
#[derive(Clone, Debug)]
pub enum Between {
    Fetch { request: u64, blocks: Vec<BlockId> },
    Fetched { request: u64, values: Vec<Option<u64>> },
}
