//! What the processes of a simulation say to each other: what those of a real cluster do, without records.

use std::sync::Arc;

use cutwater_core::{
    Attempt, BlockId, DatasetId, Task, TaskError, WorkerId,
    clients::{BlocksReport, Entry, Say},
};

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
    /// Pieces that tasks will probably read there, and who holds them.
    Ahead(Vec<(BlockId, WorkerId)>),
    /// Blocks that nobody will read again.
    Drop(Vec<BlockId>),
    /// A partition of state to write to the store.
    Save { dataset: DatasetId, partition: u32, epoch: u64 },
    /// What concerns records of clients.
    Clients(Say),
    /// Other workers there are.
    Peers(Vec<WorkerId>),
    /// Nothing.
    Ping,
    /// The worker may leave.
    Stop,
}

/// From a worker to the master.
#[derive(Clone, Debug)]
pub enum ToMaster {
    /// It holds what it made for another master, or before it was lost.
    Joined {
        slots: u32,
        holds: Vec<BlockId>,
    },
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
    /// What was to be written is not here any more.
    NotSaved {
        dataset: DatasetId,
        partition: u32,
    },
    /// The answer to a request for blocks of clients.
    Reported(u64, BlocksReport),
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
    Fetch {
        request: u64,
        blocks: Vec<BlockId>,
    },
    Fetched {
        request: u64,
        values: Vec<Option<u64>>,
    },
    /// Over the connection of that number, by which one worker has another hold replicas.
    Replicas(u64, Replicas),
}

/// Between a worker that receives and the one that holds replicas.
#[derive(Clone, Debug)]
pub enum Replicas {
    Connect,
    Connected,
    Entry(Entry<u64>),
    Held(u64),
    Ping,
    /// The connection has ended.
    Ended,
}

/// From a client, over the connection of that number.
#[derive(Clone, Debug)]
pub enum FromClient {
    Connect,
    Batch(u64),
    Ping,
}

/// To a client.
#[derive(Clone, Debug)]
pub enum ToClient {
    Welcome,
    /// That batch and all before.
    Acknowledged(u64),
    Ping,
    /// The connection has ended.
    Ended,
}
