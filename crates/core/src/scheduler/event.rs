use std::sync::Arc;

use crate::{Attempt, BlockId, Dataset, DatasetId, JobId, TaskError, WorkerId};

/// What happened. Every way to learn of a thing leads to the same event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A worker is ready to run tasks.
    WorkerJoined {
        /// Who.
        worker: WorkerId,
        /// How many tasks it runs at a time.
        slots: u32,
    },
    /// A worker is gone, with its blocks and whatever it was running.
    WorkerLost {
        /// Who.
        worker: WorkerId,
    },
    /// A worker wants to leave: it gets no more tasks, what only it holds is copied to others, and then it
    /// is [let go](crate::Command::ReleaseWorker).
    WorkerDraining {
        /// Who.
        worker: WorkerId,
    },
    /// A worker that is [draining](Event::WorkerDraining) is asked for what it holds of another, that is lost. It is not
    /// let go before it is said once more that it is draining, unless it takes too long.
    WorkerAsked {
        /// Who.
        worker: WorkerId,
    },
    /// A worker holds these blocks, which no task of ours made: received records, or what it
    /// still had when it joined.
    BlocksHeld {
        /// Who.
        worker: WorkerId,
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// Whoever holds something has said so: workers that a master takes over, or those that held replicas for one
    /// that is lost. Of received blocks that too few hold there are to be copies, as if another holder were lost.
    HoldersKnown,
    /// Workers of the master before have not come, and may yet: received blocks that nobody holds are awaited, as those of
    /// workers that are lost.
    HoldersMissing,
    /// A worker holds blocks that it was [to copy](crate::Command::CopyBlocks), all pieces of a map partition
    /// together.
    BlocksCopied {
        /// Who.
        worker: WorkerId,
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// A worker could not get blocks that it was to copy. Of the others of the same command it says that it
    /// has copied them.
    CopyFailed {
        /// Who was to hold them.
        worker: WorkerId,
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// What time it is: told before whatever happened then, and now and then while tasks run.
    Clock {
        /// Milliseconds since any fixed moment.
        now_ms: u64,
    },
    /// Every partition of `target` is wanted.
    JobSubmitted {
        /// Names the job. Ids grow; a lower one goes first.
        job: JobId,
        /// Datasets that the scheduler may not know yet, parents before children.
        datasets: Vec<Arc<Dataset>>,
        /// What is wanted.
        target: DatasetId,
    },
    /// Datasets that jobs to come will need.
    Described {
        /// The datasets, parents before children.
        datasets: Vec<Arc<Dataset>>,
    },
    /// Jobs to come will read the `targets`, which are split for shuffles: they are made by slots for which nothing
    /// else is ready. Whatever comes of it, nobody is told; a job that needs them finds them made, being made, or
    /// makes them.
    Expected {
        /// Its urgency, one that [comes after all jobs](JobId::ahead).
        urgency: JobId,
        /// What will be read.
        targets: Vec<DatasetId>,
    },
    /// Nobody waits for the job any longer.
    JobCancelled {
        /// Which.
        job: JobId,
    },
    /// Attempts that run have read so many records up to now. Those of which it is said now and then are given the time that
    /// they take; those of which it never is are taken to read what others do.
    TasksRead {
        /// Where they run.
        worker: WorkerId,
        /// Which, and how many.
        read: Vec<(Attempt, u64)>,
    },
    /// An attempt is done.
    TaskFinished {
        /// Which.
        attempt: Attempt,
        /// Where it ran.
        worker: WorkerId,
        /// Blocks it stored there: its pieces, of which one stands for all, and partitions that
        /// are kept.
        stored: Vec<BlockId>,
        /// Records that it read, so that who takes long is not mistaken for who has much to do. 0 if that is
        /// not known.
        read: u64,
        /// How many records were left of them when they were combined by key for a shuffle. 0 if they were not.
        combined: u64,
    },
    /// An attempt failed.
    TaskFailed {
        /// Which.
        attempt: Attempt,
        /// Where it ran.
        worker: WorkerId,
        /// Why.
        error: TaskError,
    },
    /// Nothing will ask for these datasets again: their blocks may go, and their lineage.
    Forgotten {
        /// Which.
        datasets: Vec<DatasetId>,
    },
    /// The blocks of a kept dataset are not wanted any longer; they can be made again.
    Unpersisted {
        /// Which.
        dataset: DatasetId,
    },
    /// Received blocks that no interval needs again.
    InputsReleased {
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// All partitions of this dataset are safe: what is behind it will not be needed for it.
    LineageCut {
        /// Which.
        dataset: DatasetId,
    },
    /// From now on a dataset is made as this says, under the name that it has: it was checkpointed, and
    /// whoever lacks a partition reads it from there. What was behind it will not be needed for it.
    LineageReplaced {
        /// The dataset as it is described now.
        dataset: Arc<Dataset>,
    },
}
