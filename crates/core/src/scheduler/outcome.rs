//! What a finished, failed or lost attempt changes.

use std::collections::BTreeSet;

use crate::{Attempt, BlockId, DatasetId, Stage, StageId, TaskError, WorkerId, limits};

use super::{Command, Scheduler, blocks::Unit, history::Took, inputs::Inputs};

/// What a task has done, counted in records.
#[derive(Clone, Copy, Debug)]
pub(super) struct Did {
    pub(super) read: u64,
    pub(super) combined: u64,
}

impl Scheduler {
    pub(super) fn task_finished(
        &mut self,
        attempt: Attempt,
        worker: WorkerId,
        stored: Vec<BlockId>,
        did: Did,
    ) {
        if !self.workers.contains(worker) {
            return; // What it stored is gone with it.
        }
        let ms = self.has_run_ms(worker, attempt);
        self.workers.release(worker, attempt);
        self.note_stored(worker, stored);
        // The run may have ended since, and the attempt may be one that was given up.
        let Some(run) = self.runs.get_mut(&attempt.stage) else { return };
        if run.end(attempt, worker).is_none() {
            return;
        }
        let partition = attempt.partition;
        let beaten = run.succeed(partition);
        if let Some(ms) = ms {
            run.took.push((partition, Took { ms, read: did.read }));
            run.shares.took(worker, ms, false);
        }
        match run.job {
            Some(job) => self.commands.push(Command::AcceptResult { job, partition, attempt }),
            None => {
                // Whether or not it named a piece: it may have none to name.
                let unit = Unit::Made { dataset: run.stage.target, partition };
                self.store(unit, worker);
                self.hold_twice_if_worth(attempt, ms, did);
            }
        }
        self.give_up(attempt, &beaten);
        self.note_history(attempt.stage);
        self.finish_if_done(attempt.stage);
    }

    /// Whoever stored a block holds it, however late it says so: blocks are immutable. Only if
    /// nobody will ask for it, it goes.
    fn note_stored(&mut self, worker: WorkerId, stored: Vec<BlockId>) {
        let mut unwanted = Vec::new();
        // Looked at once for all the pieces of a map partition, which come one after the other.
        let mut last = None;
        let mut wanted = false;
        for block in stored {
            let unit = Unit::of(&block);
            if last != Some(unit) {
                last = Some(unit);
                wanted = self.datasets.wants(&block);
                if wanted {
                    self.store(unit, worker);
                }
            }
            if !wanted {
                unwanted.push(block);
            }
        }
        if !unwanted.is_empty() {
            self.commands.push(Command::DropBlocks { worker, blocks: unwanted });
        }
    }

    pub(super) fn task_failed(&mut self, attempt: Attempt, worker: WorkerId, error: TaskError) {
        self.workers.release(worker, attempt);
        let Some(run) = self.runs.get_mut(&attempt.stage) else { return };
        let Some(launched) = run.end(attempt, worker) else { return };
        match error {
            TaskError::User { .. } | TaskError::InputLost { .. } | TaskError::Internal(_) => {
                self.fail_run(attempt.stage, &error);
            }
            // Of those that we have cancelled nobody runs here any longer; this one has stopped all the same.
            TaskError::Cancelled => self.retry(attempt),
            TaskError::External { .. } => {
                if run.count_failure(attempt.partition) >= limits::TASK_ATTEMPTS_MAX {
                    self.fail_run(attempt.stage, &error);
                } else {
                    self.retry(attempt);
                }
            }
            // The attempt was begun before it was known that nobody who can be reached holds it.
            TaskError::FetchFailed { block, .. } if self.blocks.was_lost(Unit::of(&block)) => {
                self.retry(attempt)
            }
            TaskError::FetchFailed { block, worker: holder } => {
                let failures = run.count_fetch_failure(attempt.partition, block);
                let is_input = matches!(block, BlockId::Input { .. });
                if failures == limits::FETCH_ATTEMPTS_MAX && is_input {
                    // It is as good as lost with who is out of reach, or about to be lost.
                    let until_ms = self.now_ms + limits::AWAITED_MS_MAX;
                    self.blocks.await_reached(Unit::of(&block), until_ms);
                    return self.retry(attempt);
                }
                if failures >= limits::FETCH_ATTEMPTS_MAX {
                    let error = unreadable(&run.stage, &error);
                    return self.fail_run(attempt.stage, &error);
                }
                let mut gone = self.suspects(attempt, worker, &block, holder);
                gone.retain(|unit| {
                    if matches!(unit, Unit::Input { .. }) {
                        // It cannot be made again, so the last who holds it is asked again; and if there is
                        // another, that one is asked next, and it has to be held once more.
                        if !self.workers.contains(holder) || !self.blocks.may_be_elsewhere(*unit, holder) {
                            return false;
                        }
                        self.copies.consider(*unit);
                    }
                    self.blocks.doubt(*unit, holder, launched, self.now)
                });
                self.retry(attempt);
                if !gone.is_empty() {
                    self.make_again(&gone);
                }
            }
        }
    }

    /// What `holder` seems not to hold after all, if `block` could not be read there.
    ///
    /// A task that does not find a kept partition on its own worker computes it in place, and may
    /// stumble over something that lies behind it and was never meant to be read. Then it is the
    /// kept partitions counted on there that are in doubt: to count on them again would be to
    /// send the task into the same trap.
    fn suspects(&self, attempt: Attempt, worker: WorkerId, block: &BlockId, holder: WorkerId) -> Vec<Unit> {
        let mut suspects = vec![Unit::of(block)];
        if holder == worker
            && let Some(run) = self.runs.get(&attempt.stage)
            && let Ok(inputs) = Inputs::of(&self.datasets, &self.blocks, run.stage.target, attempt.partition)
            && !inputs.contain(block)
        {
            suspects.extend(inputs.whole());
        }
        suspects
    }

    fn retry(&mut self, attempt: Attempt) {
        if let Some(run) = self.runs.get_mut(&attempt.stage) {
            run.retry(attempt.partition);
            self.queue(attempt.stage);
        }
    }

    /// Nobody is to blame for a loss, so the attempts that ran there count as no failures.
    pub(super) fn worker_lost(&mut self, worker: WorkerId) {
        for attempt in self.workers.remove(worker) {
            if self.runs.get_mut(&attempt.stage).is_some_and(|run| run.end(attempt, worker).is_some()) {
                self.retry(attempt);
            }
        }
        self.lose_copies(worker);
        let gone = self.blocks.lose(worker, self.now, self.now_ms + limits::AWAITED_MS_MAX);
        if !gone.is_empty() {
            self.make_again(&gone);
        }
    }

    /// Nobody holds these any longer. Those that somebody needs are made again; kept partitions
    /// among them are no one's to make, the tasks that want them compute them in place.
    pub(super) fn make_again(&mut self, gone: &[Unit]) {
        // Nobody may count on kept datasets of which something is gone: what is behind those becomes part
        // of the stages that read them, so that it can be computed in place.
        let incomplete: BTreeSet<DatasetId> = gone.iter().filter_map(Unit::dataset).collect();
        self.cut_anew(|stage| incomplete.iter().any(|dataset| stage.held.contains(dataset)));
        // What a run wrote and has lost again while it lasts is wanted, for it lasts only while
        // somebody waits for the whole of it.
        for unit in gone {
            if let Unit::Made { dataset, partition } = unit
                && let Some(run) = self.map_runs.get(dataset).and_then(|id| self.runs.get_mut(id))
            {
                run.want(*partition);
            }
        }
        // Each may lack something now, if only through what it would compute in place. Those
        // that lack nothing are done with after a look at their shuffles.
        let all: Vec<StageId> = self.runs.keys().copied().collect();
        for id in all {
            self.settle(id);
        }
    }
}

fn unreadable(stage: &Stage, error: &TaskError) -> TaskError {
    TaskError::External {
        operator: stage.datasets.last().map_or_else(|| "".into(), |target| target.label.clone()),
        message: format!("{error}; given up after {} tries to make it again", limits::FETCH_ATTEMPTS_MAX),
    }
}
