//! How far a run of a stage is.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use crate::{Attempt, JobId, Stage, StageId, WorkerId};

/// A stage and the partitions of its target that are wanted now.
///
/// Properties:
/// - `stage`, what a task of it computes, and `told`, what workers know of it;
/// - `job`, whose result it computes; without one it writes for a shuffle, for whoever reads it;
/// - `urgency`, the lowest job that needs it;
/// - `todo`, the partitions of which nothing runs and nothing is done;
/// - `waits_for`, the runs that have to end first, and `dependents`, the runs that wait for this;
/// - `tasks`, what became of each wanted partition so far.
#[derive(Debug)]
pub(super) struct StageRun {
    pub(super) stage: Arc<Stage>,
    pub(super) told: Told,
    pub(super) job: Option<JobId>,
    pub(super) urgency: JobId,
    pub(super) todo: BTreeSet<u32>,
    pub(super) waits_for: BTreeSet<StageId>,
    pub(super) dependents: BTreeSet<StageId>,
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
    fetch_failures: u32,
    running: Option<Running>,
    done: bool,
}

#[derive(Debug)]
struct Running {
    attempt: Attempt,
    worker: WorkerId,
    launched: u64,
}

impl StageRun {
    /// A run of which no partition is wanted yet.
    pub(super) fn new(stage: Arc<Stage>, job: Option<JobId>) -> Self {
        Self {
            stage,
            told: Told::Nothing,
            job,
            // The least urgent, until a dependent says otherwise.
            urgency: job.unwrap_or(JobId(u64::MAX)),
            todo: BTreeSet::new(),
            waits_for: BTreeSet::new(),
            dependents: BTreeSet::new(),
            tasks: BTreeMap::new(),
            unfinished: 0,
        }
    }

    /// The tasks that are still to start compute what `stage` says.
    pub(super) fn replace(&mut self, stage: Arc<Stage>) {
        self.stage = stage;
        if self.told == Told::All {
            self.told = Told::Before;
        }
    }

    /// Whether a task could start now.
    pub(super) fn is_ready(&self) -> bool {
        self.waits_for.is_empty() && !self.todo.is_empty()
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
        task.running = Some(Running { attempt, worker, launched: now });
        attempt
    }

    /// Takes note that the attempt is over, and answers at which event it was launched; nothing
    /// if it is not the one that runs there.
    pub(super) fn end(&mut self, attempt: Attempt, worker: WorkerId) -> Option<u64> {
        let running = &mut self.tasks.get_mut(&attempt.partition)?.running;
        running.take_if(|running| running.attempt == attempt && running.worker == worker).map(|r| r.launched)
    }

    /// The partition is there.
    pub(super) fn succeed(&mut self, partition: u32) {
        self.todo.remove(&partition);
        if let Some(task) = self.tasks.get_mut(&partition)
            && !task.done
        {
            task.done = true;
            self.unfinished -= 1;
        }
    }

    /// A task of which no attempt runs any longer is to be done once more.
    pub(super) fn retry(&mut self, partition: u32) {
        self.todo.insert(partition);
    }

    /// Counts a failure and answers how many there were.
    pub(super) fn count_failure(&mut self, partition: u32) -> u32 {
        let task = self.tasks.entry(partition).or_default();
        task.failures += 1;
        task.failures
    }

    /// Counts a block that could not be read and answers how many there were.
    pub(super) fn count_fetch_failure(&mut self, partition: u32) -> u32 {
        let task = self.tasks.entry(partition).or_default();
        task.fetch_failures += 1;
        task.fetch_failures
    }

    /// The attempts that run, in order.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, Attempt)> {
        self.tasks.values().filter_map(|task| task.running.as_ref()).map(|run| (run.worker, run.attempt))
    }
}
