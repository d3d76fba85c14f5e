//! Copies of tasks that take too long.

use crate::{Attempt, StageId, WorkerId, limits};

use super::{
    Command, Scheduler,
    history::{Took, median, percent_of},
    inputs::Inputs,
    placement::Turn,
    stage_run::{Running, StageRun},
};

impl Scheduler {
    pub(super) fn clock(&mut self, now_ms: u64) {
        // Who tells the time may have told a later one already.
        self.now_ms = self.now_ms.max(now_ms);
        self.workers.clock(self.now_ms);
    }

    /// Whether it is time to look for stragglers, which means to look at all tasks that run.
    fn is_time_to_look(&mut self) -> bool {
        let looks = self.speculate && self.now_ms >= self.look_at_ms && self.workers.any_free();
        if looks {
            self.look_at_ms = self.now_ms + limits::CLOCK_MS;
        }
        looks
    }

    /// How long an attempt has had its slot.
    pub(super) fn has_run_ms(&self, worker: WorkerId, attempt: Attempt) -> Option<u64> {
        match self.workers.turn(worker, attempt)? {
            Turn::Runs { since_ms } => Some(self.now_ms.saturating_sub(since_ms)),
            Turn::Waits { .. } => None,
        }
    }

    /// Copies tasks that take much longer than usual to workers that have nothing else to do. All attempts
    /// of a task give the same records, so the first to end counts, whichever it is.
    pub(super) fn copy_stragglers(&mut self) {
        if !self.is_time_to_look() {
            return;
        }
        let mut stragglers = Vec::new();
        for (id, run) in &self.runs {
            let Some(usual) = self.usual(run) else { continue };
            stragglers.extend(run.alone().filter(|at| self.straggles(run, at, usual)).map(|at| (*id, at)));
        }
        for (id, running) in stragglers {
            if !self.workers.any_free() {
                return;
            }
            self.copy(id, running);
        }
    }

    pub(super) fn tasks_read(&mut self, worker: WorkerId, read: &[(Attempt, u64)]) {
        for (attempt, read) in read {
            if let Some(run) = self.runs.get_mut(&attempt.stage) {
                run.reads(*attempt, worker, *read);
            }
        }
    }

    /// What a task of the run usually takes and reads: the median of the run itself when half of it is done, and of
    /// those before it until then.
    fn usual(&self, run: &StageRun) -> Option<Took> {
        if run.took.len() * 2 >= run.wanted() {
            median(run.took.iter().map(|(_, took)| *took))
        } else {
            self.history.usual(kind(run)?)
        }
    }

    fn straggles(&self, run: &StageRun, running: &Running, usual: Took) -> bool {
        let Some(turn) = self.workers.turn(running.worker, running.attempt) else { return false };
        // Who merely has more to do is given more time: who had so the last time, and who has read more already.
        let had = kind(run).map_or(100, |kind| self.history.more_percent(kind, running.attempt.partition));
        let more = percent_of(running.read, usual.read).unwrap_or(100).max(had);
        let slow_ms = usual.ms.saturating_mul(more).saturating_mul(limits::STRAGGLER_PERCENT) / 10_000;
        let slow_ms = slow_ms.max(limits::STRAGGLER_MS_MIN);
        match turn {
            Turn::Runs { since_ms } => self.now_ms.saturating_sub(since_ms) > slow_ms,
            // What it waits for takes its time too.
            Turn::Waits { since_ms, .. } => self.now_ms.saturating_sub(since_ms) > 2 * slow_ms,
        }
    }

    fn copy(&mut self, id: StageId, running: Running) {
        let Some(target) = self.runs.get(&id).map(|run| run.stage.target) else { return };
        let partition = running.attempt.partition;
        // If something that it reads is gone, the attempt that runs will say so, and it is made again.
        let Ok(inputs) = Inputs::of(&self.datasets, &self.blocks, target, partition) else { return };
        if inputs.are_held(&self.datasets, &self.blocks) != Ok(true) {
            return;
        }
        let weights = inputs.weights(&self.blocks);
        if let Some(worker) = self.workers.choose_another(&weights, &[running.worker]) {
            self.launch(id, partition, worker, &inputs);
        }
    }

    /// One attempt has won: the others are cancelled. Who had a copy of its task made that ended first was beaten.
    pub(super) fn give_up(&mut self, winner: Attempt, beaten: &[Running]) {
        for Running { attempt, worker, .. } in beaten.iter().copied() {
            let had_ms = self.has_run_ms(worker, attempt).filter(|_| attempt.number < winner.number);
            if let (Some(ms), Some(run)) = (had_ms, self.runs.get_mut(&attempt.stage)) {
                run.shares.took(worker, ms, true);
            }
            self.commands.push(Command::CancelAttempt { worker, attempt });
        }
    }

    /// Remembers what the tasks of a run took and who was slow, once all of it is done.
    pub(super) fn note_history(&mut self, id: StageId) {
        let Some(run) = self.runs.get(&id).filter(|run| run.is_done()) else { return };
        if let Some(kind) = kind(run) {
            self.history.note(kind, &run.took);
        }
        if let Some(usual) = median(run.took.iter().map(|(_, took)| *took)) {
            for (worker, verdict) in run.shares.verdicts(usual.ms) {
                self.workers.judge(worker, verdict);
            }
        }
    }
}

/// Intervals repeat the same stages under other names; what makes the target stays the same.
fn kind(run: &StageRun) -> Option<crate::OpId> {
    run.stage.datasets.last().map(|target| target.op)
}
