use std::{ops::Range, sync::Arc};

use crate::{Attempt, BlockId, DatasetId, JobId, Located, Stage, StageId, Task, TaskError, WorkerId};

/// What is to be done. The runtime does it in the order given and reports back by events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Tasks of this stage follow. Said before the first of them, and again under the same name when what
    /// it reads has been lost and its tasks have to compute more than before; running tasks stay as they are.
    DefineStage {
        /// Its name.
        id: StageId,
        /// What a task of it computes.
        stage: Arc<Stage>,
    },
    /// No task of this stage will be launched again.
    RetireStage {
        /// Its name.
        id: StageId,
    },
    /// Tasks that read from this shuffle may follow, and this is where its pieces are, as far as that was not
    /// said before. What is said of a map partition replaces what was said of it earlier.
    Locate {
        /// The dataset that was split for the shuffle.
        shuffle: DatasetId,
        /// Who holds what its partitions wrote.
        located: Vec<Located>,
    },
    /// Tasks that read these partitions of a shuffle will probably be launched there when the rest of it is
    /// written. Of what is [located](Command::Locate) by now the worker may fetch ahead what it does not hold. A
    /// hint and no more: nobody counts on it, and nobody hears what became of it.
    FetchAhead {
        /// Who.
        worker: WorkerId,
        /// The dataset that was split for the shuffle.
        shuffle: DatasetId,
        /// Which partitions on its other side.
        reduces: Vec<Range<u32>>,
    },
    /// Run this task there.
    Launch {
        /// Where.
        worker: WorkerId,
        /// What.
        task: Task,
    },
    /// The result of this attempt does not matter any longer. It stops at the next records and is reported
    /// as [cancelled](TaskError::Cancelled), or as what else became of it if it was over by then.
    CancelAttempt {
        /// Where it runs.
        worker: WorkerId,
        /// Which.
        attempt: Attempt,
    },
    /// This attempt's records are the job's records of that partition. Said once for each
    /// partition of the job's target.
    AcceptResult {
        /// For whom.
        job: JobId,
        /// Which partition of the target.
        partition: u32,
        /// Whose result it is.
        attempt: Attempt,
    },
    /// Every partition of the job is accepted.
    JobFinished {
        /// Which.
        job: JobId,
    },
    /// The job will not be finished. Other jobs go on.
    JobFailed {
        /// Which.
        job: JobId,
        /// Why.
        error: TaskError,
    },
    /// The worker may delete these blocks.
    DropBlocks {
        /// Who.
        worker: WorkerId,
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// Nobody will ask for these datasets again, and no stage that is defined, or will be, computes or reads them: what
    /// is known of how they are made may go. Of each that was [forgotten](crate::Event::Forgotten) it is said once.
    LetGo {
        /// Which, in order.
        datasets: Vec<DatasetId>,
    },
    /// Copies of these blocks are wanted on `to`, which reports of each whether it [is
    /// copied](crate::Event::BlocksCopied) or [could not be got](crate::Event::CopyFailed).
    CopyBlocks {
        /// Who holds them.
        from: WorkerId,
        /// Who is to hold them too.
        to: WorkerId,
        /// Which.
        blocks: Vec<BlockId>,
    },
    /// The worker that wanted to leave may: nothing that is needed is held by it alone, or it has taken too
    /// long.
    ReleaseWorker {
        /// Who.
        worker: WorkerId,
    },
    /// There is work and nobody to do it. Said once until a worker joins.
    NoWorkers,
}
