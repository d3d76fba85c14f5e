use std::{
    sync::Arc,
    thread::{Builder, JoinHandle},
};

use crossbeam_channel::Receiver;
use cutwater_core::{Attempt, BlockId, Task, TaskError, WorkerId};

use crate::{
    block::BlockStore,
    error::Error,
    task::{Attempts, Control, Fetched, Outcome, Plan, TaskRun},
};

/// What the compute threads of a worker are told.
pub(crate) enum Work {
    /// Run this and report. What it reads from other workers has been fetched.
    Run { plan: Arc<Plan>, task: Task, fetched: Fetched, control: Control },
    /// Nobody will read these blocks again.
    Drop(Vec<BlockId>),
}

/// What all compute threads of a worker share.
pub(super) struct Worker {
    pub me: WorkerId,
    pub blocks: Arc<BlockStore>,
    pub attempts: Arc<Attempts>,
    /// Run every task twice and compare what it gives.
    pub twice: bool,
}

/// Starts the compute threads of a worker. They are plain threads, one for each slot, so that a slow
/// function of the program delays nothing but its own task.
pub(super) fn start(
    worker: &Arc<Worker>,
    threads: usize,
    work: &Receiver<Work>,
    report: impl Fn(Attempt, Result<Outcome, TaskError>) + Clone + Send + 'static,
) -> Result<Vec<JoinHandle<()>>, Error> {
    let start_one = |n| {
        let (worker, work, report) = (worker.clone(), work.clone(), report.clone());
        spawn(&format!("cutwater-compute-{n}"), move || {
            let Worker { me, blocks, attempts, twice } = &*worker;
            for message in work {
                match message {
                    Work::Run { plan, task, fetched, control } => {
                        let ran = TaskRun::run(&plan, blocks, &fetched, *me, &task, &control, *twice);
                        attempts.end(task.attempt);
                        report(task.attempt, ran);
                    }
                    Work::Drop(ids) => blocks.remove(&ids),
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
