//! How far a run of a stage is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use super::{ahead::Homes, balance::Moves, history::Took, slowness::Shares};
use crate::{Attempt, BlockId, JobId, Stage, StageId, WorkerId};

/// A stage and the partitions of its target that are wanted now.
///
/// Properties:
/// - `stage`, what a task of it computes, and `told`, what workers know of it;
/// - `job`, whose result it computes; without one it writes for a shuffle, for whoever reads it;
/// - `ahead`, how urgent it is for those who will read what it writes and have not asked yet, if there are any;
/// - `urgency`, the lowest job that needs it;
/// - `todo`, the partitions of which nothing runs and nothing is done;
/// - `waits_for`, the runs that have to end first, and `dependents`, the runs that wait for this;
/// - `awaits`, whether it reads what nobody holds who is here, and somebody may who comes back;
/// - `tasks`, what became of each wanted partition so far, `took`, how long those took that are done, and `shares`, who
///   did them;
/// - `moves`, whose state other workers are given so that all have their share;
/// - `launched_ms`, when its first task was launched, `told_ahead`, how many of its partitions were there when
///   readers were last told of them ahead, and `homes`, where its own tasks are expected.
#[derive(Debug)]
pub(super) struct StageRun {
    pub(super) stage: Arc<Stage>,
    pub(super) told: Told,
    pub(super) job: Option<JobId>,
    pub(super) ahead: Option<JobId>,
    pub(super) urgency: JobId,
    pub(super) todo: BTreeSet<u32>,
    pub(super) waits_for: BTreeSet<StageId>,
    pub(super) dependents: BTreeSet<StageId>,
    pub(super) awaits: bool,
    pub(super) took: Vec<(u32, Took)>,
    pub(super) shares: Shares,
    pub(super) moves: Moves,
    pub(super) launched_ms: Option<u64>,
    pub(super) told_ahead: usize,
    pub(super) homes: Option<Homes>,
    tasks: BTreeMap<u32, TaskRun>,
    unfinished: usize,
}

/// What workers know of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Told {
    Nothing,
    /// As it is.
    All,
    /// As it was before something that it reads was lost.
    Before,
}

/// One wanted partition. Its failures are counted over all its attempts.
#[derive(Debug, Default)]
struct TaskRun {
    attempts: u32,
    failures: u32,
    /// By block: who is out of reach holds many, each of which is found out by itself.
    fetch_failures: BTreeMap<BlockId, u32>,
    /// In the order in which they were launched: one, and perhaps a copy.
    running: Vec<Running>,
    done: bool,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Running {
    pub(super) attempt: Attempt,
    pub(super) worker: WorkerId,
    launched: u64,
    /// What it has read, as far as it has said so.
    pub(super) read: u64,
}

impl StageRun {
    /// A run of which no partition is wanted yet.
    pub(super) fn new(stage: Arc<Stage>, job: Option<JobId>) -> Self {
        Self {
            stage,
            told: Told::Nothing,
            job,
            ahead: None,
            // The least urgent, until a dependent says otherwise.
            urgency: job.unwrap_or(JobId(u64::MAX)),
            todo: BTreeSet::new(),
            waits_for: BTreeSet::new(),
            dependents: BTreeSet::new(),
            awaits: false,
            took: Vec::new(),
            shares: Shares::default(),
            moves: Moves::default(),
            launched_ms: None,
            told_ahead: 0,
            homes: None,
            tasks: BTreeMap::new(),
            unfinished: 0,
        }
    }

    /// The tasks that are still to start compute what `stage` says.
    pub(super) fn replace(&mut self, stage: Arc<Stage>) {
        self.stage = stage;
        self.homes = None;
        if self.told == Told::All {
            self.told = Told::Before;
        }
    }

    /// Whether a task could start now.
    pub(super) fn is_ready(&self) -> bool {
        self.waits_for.is_empty() && !self.awaits && !self.todo.is_empty()
    }

    /// Whether nobody waits for it, and nobody is expected to.
    pub(super) fn is_needless(&self) -> bool {
        self.job.is_none() && self.ahead.is_none() && self.dependents.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.unfinished == 0
    }

    /// The partition is wanted, and if it was done it is wanted again. Says whether that makes a
    /// new task to do.
    pub(super) fn want(&mut self, partition: u32) -> bool {
        let is_new = !self.tasks.contains_key(&partition);
        let task = self.tasks.entry(partition).or_default();
        if !is_new && !task.done {
            return false;
        }
        task.done = false;
        self.unfinished += 1;
        self.todo.insert(partition)
    }

    /// Names the next attempt of a task and takes note that it runs.
    pub(super) fn start(&mut self, id: StageId, partition: u32, worker: WorkerId, now: u64) -> Attempt {
        self.todo.remove(&partition);
        let task = self.tasks.entry(partition).or_default();
        let attempt = Attempt { stage: id, partition, number: task.attempts };
        task.attempts += 1;
        task.running.push(Running { attempt, worker, launched: now, read: 0 });
        attempt
    }

    /// Takes note that the attempt is over, and answers at which event it was launched; nothing
    /// if it is not one that runs there.
    pub(super) fn end(&mut self, attempt: Attempt, worker: WorkerId) -> Option<u64> {
        let running = &mut self.tasks.get_mut(&attempt.partition)?.running;
        let at = running.iter().position(|running| running.attempt == attempt && running.worker == worker)?;
        Some(running.remove(at).launched)
    }

    /// The attempt has read so many records up to now.
    pub(super) fn reads(&mut self, attempt: Attempt, worker: WorkerId, read: u64) {
        let task = self.tasks.get_mut(&attempt.partition);
        let mut running = task.into_iter().flat_map(|task| &mut task.running);
        if let Some(running) = running.find(|running| running.attempt == attempt && running.worker == worker)
        {
            running.read = read;
        }
    }

    /// The partition is there. Answers the attempts that compute it for nothing now, and that count no longer.
    pub(super) fn succeed(&mut self, partition: u32) -> Vec<Running> {
        self.todo.remove(&partition);
        let Some(task) = self.tasks.get_mut(&partition).filter(|task| !task.done) else { return Vec::new() };
        task.done = true;
        self.unfinished -= 1;
        std::mem::take(&mut task.running)
    }

    /// A task of which an attempt has ended is to be done once more, unless another attempt of it runs.
    pub(super) fn retry(&mut self, partition: u32) {
        if self.tasks.get(&partition).is_none_or(|task| task.running.is_empty()) {
            self.todo.insert(partition);
        }
    }

    /// Counts a failure and answers how many there were.
    pub(super) fn count_failure(&mut self, partition: u32) -> u32 {
        let task = self.tasks.entry(partition).or_default();
        task.failures += 1;
        task.failures
    }

    /// Counts a block that could not be read and answers how often that was so.
    pub(super) fn count_fetch_failure(&mut self, partition: u32, block: BlockId) -> u32 {
        let failures = self.tasks.entry(partition).or_default().fetch_failures.entry(block).or_default();
        *failures += 1;
        *failures
    }

    /// The attempts that run, in order.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, Attempt)> {
        self.tasks.values().flat_map(|task| &task.running).map(|run| (run.worker, run.attempt))
    }

    /// The attempts of which there is no copy, in order.
    pub(super) fn alone(&self) -> impl Iterator<Item = Running> {
        self.tasks.values().filter_map(|task| match *task.running.as_slice() {
            [running] => Some(running),
            _ => None,
        })
    }

    /// How many partitions are wanted, done or not.
    pub(super) fn wanted(&self) -> usize {
        self.tasks.len()
    }
}
