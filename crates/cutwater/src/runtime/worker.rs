use std::{
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::{Receiver, Sender};
use cutwater_core::{BlockId, Task, WorkerId};

use super::master::ToMaster;
use crate::{
    block::BlockStore,
    error::Error,
    task::{Plan, TaskRun},
};

/// What a worker is told.
pub(crate) enum ToWorker {
    /// Run this and report.
    Run { plan: Arc<Plan>, task: Task },
    /// Nobody will read these blocks again.
    Drop(Vec<BlockId>),
}

/// Starts the compute threads of a worker. They are plain threads, one for each slot, so that a slow
/// function of the program delays nothing but its own task.
pub(super) fn start(
    me: WorkerId,
    threads: usize,
    work: &Receiver<ToWorker>,
    to_master: &Sender<ToMaster>,
    blocks: &Arc<BlockStore>,
    twice: bool,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let start_one = |n| {
        let (work, to_master, blocks) = (work.clone(), to_master.clone(), blocks.clone());
        spawn(&format!("cutwater-compute-{n}"), move || {
            for message in work {
                match message {
                    ToWorker::Run { plan, task } => {
                        let result = TaskRun::run(&plan, &blocks, me, &task, twice);
                        // The master may be gone already; then nobody waits for the result.
                        let _ = to_master.send(ToMaster::Ran { worker: me, attempt: task.attempt, result });
                    }
                    ToWorker::Drop(ids) => blocks.remove(&ids),
                }
            }
        })
    };
    (0..threads).map(start_one).collect()
}

/// Starts a thread with a name, by which debuggers and `top -H` show it.
pub(super) fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, Error> {
    Builder::new()
        .name(name.to_owned())
        .spawn(body)
        .map_err(|error| Error::external(format_args!("cannot start thread {name}: {error}")))
}
