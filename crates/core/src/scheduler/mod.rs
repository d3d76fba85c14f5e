//! Events in, commands out.
//!
//! # Layout, in the order of the flow
//! - `event`: what happened. `job`: what is wanted, and how it ends. `expected`: what will be wanted.
//! - `datasets`: the lineage as it is now. `blocks`: who holds what.
//! - `inputs`: what a task reads, found by walking the lineage until something is held.
//! - `stage_run`: how far a run of a stage is. `stages`: which runs wait for which.
//! - `placement`: slots. `launch`: ready tasks on free slots. `balance`: state for newcomers.
//! - `ahead`: what workers may fetch before the tasks that read it are launched.
//! - `outcome`: what a finished, failed or lost attempt changes.
//! - `history`: how long tasks usually take. `speculation`: copies of those that take longer.
//!   `slowness`: workers that are slow again and again.
//! - `copies`: blocks that more workers are to hold. `draining`: workers that want to leave.
//! - `retention`: what may go. `command`: what is to be done. `size`: how much is remembered.

mod ahead;
mod balance;
mod blocks;
mod command;
mod copies;
mod datasets;
mod draining;
mod event;
mod expected;
mod history;
mod inputs;
mod job;
mod launch;
mod outcome;
mod placement;
mod retention;
mod size;
mod slowness;
mod speculation;
mod stage_run;
mod stages;

use std::collections::{BTreeMap, BTreeSet, HashMap};

pub use command::Command;
pub use event::Event;
pub use size::Size;

use crate::{BlockId, DatasetId, JobId, StageId, WorkerId, limits};
use blocks::{Blocks, Unit};
use copies::Copies;
use datasets::Datasets;
use history::History;
use outcome::Did;
use placement::Workers;
use stage_run::StageRun;

/// Decides which task runs where, and what to do when one fails.
///
/// Properties:
/// - `datasets`, the lineage, and `blocks`, who holds what: together they say what a task reads;
/// - `workers`, their slots and what runs in them;
/// - `jobs`, the datasets that are wanted, each with the stage run that computes it;
/// - `runs`, the stages that are being run, which of them wait for which, and `map_runs`, those
///   among them that write for a shuffle;
/// - `ready`, the runs of which a task could start now, in the order in which they may;
/// - `forgotten`, datasets that nobody will ask for again but that a job still needs, and `dropped`, those that none
///   needs any more, of which the runtime has not been told yet, since a stage that is being run names them;
/// - `history`, what tasks of earlier intervals took: those that take longer are copied to other workers,
///   unless it does not `speculate`;
/// - `copies`, blocks on their way to more workers, and `draining`, the workers that want to leave, each
///   with the time at which it does.
///
/// Invariants:
/// - The scheduler never waits: a step ends with every free slot used or no task ready. A task whose
///   state is on a worker without a free slot is sent there all the same and waits there, if few do.
/// - A run is in `ready` exactly if it has tasks to do and waits for no other run.
/// - What a run waits for is itself being run; what nobody waits for any longer, nor expects to, is ended.
/// - An attempt occupies a slot, or waits for one, from its launch until its worker reports it or is lost, whatever
///   has become of its job in between. So slots are neither lost nor made.
/// - The same events give the same commands: hash maps are for looking things up, and whatever
///   is gone through is in order.
///
/// An event costs time in proportion to what it tells of, and not to all the tasks there are. Only
/// after a loss do the runs that lack something look for it from all their tasks again.
///
/// It is touched by one thread, the master's. If the master dies all of it is gone, and nothing
/// is lost: the program submits again the jobs that were not recorded as done, and the workers
/// say which blocks they hold.
#[derive(Debug)]
pub struct Scheduler {
    datasets: Datasets,
    blocks: Blocks,
    workers: Workers,
    jobs: BTreeMap<JobId, StageId>,
    runs: BTreeMap<StageId, StageRun>,
    map_runs: HashMap<DatasetId, StageId>,
    ready: BTreeSet<(JobId, StageId)>,
    forgotten: BTreeSet<DatasetId>,
    dropped: BTreeSet<DatasetId>,
    /// Some that are dropped may be named by no stage now.
    may_let_go: bool,
    history: History,
    speculate: bool,
    copies: Copies,
    draining: BTreeMap<WorkerId, draining::Draining>,
    stages_named: u64,
    /// Counts the events, so that what was said before another thing is known to be older.
    now: u64,
    /// What time it is, as the last that was told.
    now_ms: u64,
    /// When to look for stragglers next.
    look_at_ms: u64,
    /// When to look next for what may be fetched ahead.
    ahead_at_ms: u64,
    no_workers_said: bool,
    commands: Vec<Command>,
}

impl Default for Scheduler {
    fn default() -> Self {
        Self::new()
    }
}

impl Scheduler {
    /// A scheduler that knows no worker and no dataset.
    pub fn new() -> Self {
        let (datasets, blocks, workers, jobs, runs, map_runs) = Default::default();
        let (ready, forgotten, dropped, history, copies, draining, commands) = Default::default();
        Self {
            datasets,
            blocks,
            workers,
            jobs,
            runs,
            map_runs,
            ready,
            forgotten,
            dropped,
            may_let_go: false,
            history,
            speculate: true,
            copies,
            draining,
            stages_named: 0,
            now: 0,
            now_ms: 0,
            look_at_ms: 0,
            ahead_at_ms: 0,
            no_workers_said: false,
            commands,
        }
    }

    /// Names stages from `first` on, so that no attempt bears the name of one that a master before has launched.
    #[must_use]
    pub fn naming_from(mut self, first: u64) -> Self {
        self.stages_named = first;
        self
    }

    /// Whether tasks that take too long are copied to other workers. They are if nothing is said, and if the
    /// scheduler is [told the time](Event::Clock).
    #[must_use]
    pub fn speculate(mut self, on: bool) -> Self {
        self.speculate = on;
        self
    }

    /// Whether something that may be to do depends on the time, so that it should be [told](Event::Clock) now
    /// and then even if nothing happens.
    pub fn watches_time(&self) -> bool {
        // Tasks may be copied, and pieces fetched ahead.
        let has_others = self.workers.len() > 1 && !self.runs.is_empty();
        has_others || !self.draining.is_empty() || self.blocks.is_any_awaited()
    }

    /// How many received blocks nobody holds but workers that are lost, and may come back.
    pub fn awaited(&self) -> usize {
        self.blocks.awaited()
    }

    /// Whether a block that a worker comes back with is used: somebody may ask for it.
    pub fn wants(&self, block: &BlockId) -> bool {
        match block {
            BlockId::Input { .. } => self.is_held(block) || self.blocks.was_lost(Unit::of(block)),
            made => self.datasets.wants(made),
        }
    }

    /// Whether somebody is known to hold the block.
    pub fn is_held(&self, block: &BlockId) -> bool {
        self.blocks.is_held(Unit::of(block))
    }

    /// Takes note of what happened and says what is to be done now, in order.
    pub fn step(&mut self, event: Event) -> Vec<Command> {
        self.now += 1;
        match event {
            Event::WorkerJoined { worker, slots } => self.worker_joined(worker, slots),
            Event::WorkerLost { worker } => self.worker_lost(worker),
            Event::WorkerDraining { worker } => self.worker_draining(worker),
            Event::WorkerAsked { worker } => self.worker_asked(worker),
            Event::BlocksHeld { worker, blocks } => self.blocks_held(worker, &blocks),
            Event::HoldersKnown => self.copy_what_few_hold(),
            Event::HoldersMissing => self.blocks.await_all(self.now_ms + limits::AWAITED_MS_MAX),
            Event::BlocksCopied { worker, blocks } => self.blocks_copied(worker, &blocks),
            Event::CopyFailed { worker, blocks } => self.copies.failed(worker, &blocks),
            Event::Clock { now_ms } => self.clock(now_ms),
            Event::JobSubmitted { job, datasets, target } => self.job_submitted(job, datasets, target),
            Event::Described { datasets } => self.described(datasets),
            Event::Expected { urgency, targets } => self.expected(urgency, &targets),
            Event::JobCancelled { job } => self.job_cancelled(job),
            Event::TasksRead { worker, read } => self.tasks_read(worker, &read),
            Event::TaskFinished { attempt, worker, stored, read, combined } => {
                self.task_finished(attempt, worker, stored, Did { read, combined });
            }
            Event::TaskFailed { attempt, worker, error } => self.task_failed(attempt, worker, error),
            Event::Forgotten { datasets } => self.forgotten(datasets),
            Event::Unpersisted { dataset } => self.unpersisted(dataset),
            Event::InputsReleased { blocks } => self.inputs_released(blocks),
            Event::LineageCut { dataset } => self.lineage_cut(dataset),
            Event::LineageReplaced { dataset } => self.lineage_replaced(dataset),
        }
        self.look_for_awaited();
        self.launch_ready();
        self.fetch_ahead();
        self.copy_stragglers();
        self.copy_blocks();
        self.let_go_drained();
        self.let_go_dropped();
        std::mem::take(&mut self.commands)
    }
}
