//! Ready tasks on free slots.

use crate::{BlockId, DatasetId, JobId, StageId, TaskError, WorkerId};

use super::{
    Command, Scheduler,
    blocks::Unit,
    inputs::{Inputs, Unreadable},
    stage_run::{StageRun, Told},
};

impl Scheduler {
    /// Uses every free slot for which there is a ready task.
    pub(super) fn launch_ready(&mut self) {
        while self.workers.any_free()
            && let Some((_, id)) = self.ready.pop_first()
        {
            if let Err(why) = self.launch_next(id) {
                self.cannot_read(id, why);
            }
        }
        if !self.ready.is_empty() && !self.workers.can_work() && !self.no_workers_said {
            self.no_workers_said = true;
            self.commands.push(Command::NoWorkers);
        }
    }

    /// Launches the first task of a run that was ready, or finds that it has to wait after all.
    /// If it then still is, it is put back.
    fn launch_next(&mut self, id: StageId) -> Result<(), Unreadable> {
        let Some(run) = self.runs.get_mut(&id) else { return Ok(()) };
        let Some(partition) = run.todo.first().copied() else { return Ok(()) };
        let target = run.stage.target;
        if run.job.is_none() && self.blocks.is_held(Unit::Made { dataset: target, partition }) {
            // A cancelled attempt, or a worker that came back, had it after all.
            run.succeed(partition);
            self.finish_if_done(id);
            return Ok(());
        }
        // Only now is it looked up what the task reads: before, it could still have changed.
        let inputs = Inputs::of(&self.datasets, &self.blocks, target, partition)?;
        if !inputs.are_held(&self.datasets, &self.blocks)? {
            self.settle(id);
            // To try it again at once would be to try it for ever.
            let still_ready = self.runs.get(&id).is_some_and(StageRun::is_ready);
            return if still_ready { Err(nobody_makes_inputs(id).into()) } else { Ok(()) };
        }
        let mut weights = inputs.weights(&self.blocks);
        if let Some(place) = self.runs.get(&id).and_then(|run| run.homes.as_ref()?.place(partition)) {
            // It has been fetching the pieces, and so counts as if it held them all.
            weights.entry(place).or_default().pieces = u32::MAX;
        }
        let urgency = self.runs.get(&id).map_or(JobId(0), |run| run.urgency);
        let newcomer = self.newcomer(id, &inputs);
        // What nobody has asked for yet waits nowhere: what is asked for would wait behind it.
        let may_wait = inputs.has_kept() && !urgency.is_ahead();
        let worker = newcomer.or_else(|| self.workers.choose(&weights, may_wait, urgency.is_background()));
        if let Some(worker) = worker {
            self.launch(id, partition, worker, &inputs);
        }
        self.queue(id);
        Ok(())
    }

    /// Has one more attempt of a task run there.
    pub(super) fn launch(&mut self, id: StageId, partition: u32, worker: WorkerId, inputs: &Inputs) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        if run.told != Told::All {
            run.told = Told::All;
            self.commands.push(Command::DefineStage { id, stage: run.stage.clone() });
        }
        inputs.shuffles().for_each(|shuffle| self.locate(shuffle));
        let Some(run) = self.runs.get_mut(&id) else { return };
        run.launched_ms.get_or_insert(self.now_ms);
        let attempt = run.start(id, partition, worker, self.now);
        let background = run.urgency.is_background();
        let target = run.stage.target;
        self.workers.occupy(worker, attempt, background);
        let task = inputs.task(attempt, target, worker, &self.blocks);
        self.commands.push(Command::Launch { worker, task });
    }

    /// Says where the pieces of a shuffle are, as far as that is news.
    pub(super) fn locate(&mut self, shuffle: DatasetId) {
        let located = self.blocks.moved(shuffle);
        if !located.is_empty() {
            self.commands.push(Command::Locate { shuffle, located });
        }
    }

    pub(super) fn worker_joined(&mut self, worker: WorkerId, slots: u32) {
        // Who joins twice has begun anew, and what its former self held and ran is gone.
        self.worker_lost(worker);
        self.workers.add(worker, slots);
        self.no_workers_said = false;
        self.copy_what_few_hold();
    }

    /// Who is not here cannot hold anything: such a message was overtaken by the loss.
    pub(super) fn blocks_held(&mut self, worker: WorkerId, blocks: &[BlockId]) {
        if self.workers.contains(worker) {
            for block in blocks {
                self.store(Unit::of(block), worker);
            }
        }
    }

    /// From now on the worker holds it; if it wants to leave, others have to hold it too.
    pub(super) fn store(&mut self, unit: Unit, worker: WorkerId) {
        self.blocks.add(unit, worker, self.now);
        if !self.workers.stays(worker) {
            self.copies.consider(unit);
        }
    }
}

fn nobody_makes_inputs(id: StageId) -> TaskError {
    TaskError::Internal(format!("stage {id} lacks pieces and waits for nobody to make them"))
}
