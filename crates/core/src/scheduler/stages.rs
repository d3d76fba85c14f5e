//! Which runs of stages there are, and which of them wait for which.

use std::collections::VecDeque;

use crate::{DatasetId, Stage, StageId, TaskError};

use super::{
    Command, Scheduler,
    blocks::Unit,
    inputs::{self, Unreadable},
    stage_run::{StageRun, Told},
};

impl Scheduler {
    pub(super) fn add_run(&mut self, run: StageRun) -> StageId {
        let id = StageId(self.stages_named);
        self.stages_named += 1;
        self.runs.insert(id, run);
        id
    }

    /// Finds what the tasks of a run that are still to do lack, and has it made first: by runs
    /// there are already or by new ones, whose tasks may lack something in their turn.
    ///
    /// A queue and no recursion, since after a loss the way back through the shuffles of many
    /// intervals may be long.
    pub(super) fn settle(&mut self, first: StageId) {
        let mut unsettled = VecDeque::from([first]);
        while let Some(id) = unsettled.pop_front() {
            match self.wait_for_lacking(id) {
                Ok(grown) => unsettled.extend(grown),
                Err(why) => self.cannot_read(id, why),
            }
            self.queue(id);
        }
    }

    /// The run cannot read something: it waits for who may come back with it, or has failed.
    pub(super) fn cannot_read(&mut self, id: StageId, why: Unreadable) {
        match why {
            Unreadable::Never(error) => self.fail_run(id, &error),
            Unreadable::Awaited => {
                if let Some(run) = self.runs.get_mut(&id) {
                    run.awaits = true;
                }
                self.queue(id);
            }
        }
    }

    /// Something is there, or is awaited no longer: whoever waits for such looks again.
    pub(super) fn look_for_awaited(&mut self) {
        if !self.blocks.are_awaited_no_longer(self.now_ms, self.now) {
            return;
        }
        let mut waiting = Vec::new();
        for (id, run) in &mut self.runs {
            if std::mem::take(&mut run.awaits) {
                waiting.push(*id);
            }
        }
        waiting.into_iter().for_each(|id| self.settle(id));
    }

    /// Makes the run wait for whoever makes what it lacks. Answers the runs that have more to do
    /// because of it.
    fn wait_for_lacking(&mut self, id: StageId) -> Result<Vec<StageId>, Unreadable> {
        let mut grown = Vec::new();
        // It may have failed since it was found to be unsettled.
        let Some(run) = self.runs.get(&id) else { return Ok(grown) };
        for dataset in inputs::lacking(&self.datasets, &self.blocks, run)? {
            let partitions = self.datasets.get(dataset)?.partitions;
            let parent = self.map_run(dataset)?;
            let mut more = false;
            if let Some(run) = self.runs.get_mut(&parent) {
                let unheld =
                    |partition: &u32| !self.blocks.is_held(Unit::Made { dataset, partition: *partition });
                for partition in (0..partitions).filter(unheld) {
                    more |= run.want(partition);
                }
                run.dependents.insert(id);
            }
            if let Some(run) = self.runs.get_mut(&id) {
                run.waits_for.insert(parent);
            }
            self.rank(parent);
            self.queue(parent);
            if more {
                grown.push(parent);
            }
        }
        Ok(grown)
    }

    /// The run that writes `dataset` for a shuffle: there is never more than one.
    pub(super) fn map_run(&mut self, dataset: DatasetId) -> Result<StageId, TaskError> {
        if let Some(id) = self.map_runs.get(&dataset) {
            return Ok(*id);
        }
        let run = StageRun::new(self.datasets.stage(dataset, &self.blocks)?, None);
        let id = self.add_run(run);
        self.map_runs.insert(dataset, id);
        Ok(id)
    }

    /// Cuts the stages that what happened concerns as they are to be now, for the tasks that are still to
    /// start. Those that run find out for themselves what is gone.
    pub(super) fn cut_anew(&mut self, is_concerned: impl Fn(&Stage) -> bool) {
        let (mut cut, mut failed) = (Vec::new(), Vec::new());
        for (id, run) in &mut self.runs {
            if is_concerned(&run.stage) {
                match self.datasets.stage(run.stage.target, &self.blocks) {
                    Ok(stage) => {
                        run.replace(stage);
                        cut.push((*id, std::mem::take(&mut run.awaits)));
                    }
                    Err(error) => failed.push((*id, error)),
                }
            }
        }
        for (id, awaited) in cut {
            self.wait_for_needed_only(id);
            if awaited {
                self.settle(id);
            }
        }
        for (id, error) in failed {
            self.fail_run(id, &error);
        }
    }

    /// What the run waits for and reads no longer is not waited for: what it is made from may be let go the next
    /// moment.
    fn wait_for_needed_only(&mut self, id: StageId) {
        let Some(run) = self.runs.get(&id) else { return };
        let is_needed = |parent: &StageId| {
            self.runs.get(parent).is_some_and(|parent| run.stage.shuffles.contains(&parent.stage.target))
        };
        let needless: Vec<StageId> = run.waits_for.iter().filter(|run| !is_needed(run)).copied().collect();
        for parent in &needless {
            if let Some(run) = self.runs.get_mut(&id) {
                run.waits_for.remove(parent);
            }
            self.leave(id, *parent);
        }
        if !needless.is_empty() && self.runs.get(&id).is_some_and(|run| run.waits_for.is_empty()) {
            self.settle(id);
        }
    }

    /// A run no longer waits for another, which is ended if nobody does.
    fn leave(&mut self, id: StageId, parent: StageId) {
        let Some(waited_for) = self.runs.get_mut(&parent) else { return };
        waited_for.dependents.remove(&id);
        if waited_for.is_needless() {
            self.abandon(parent);
        } else {
            self.rank(parent);
        }
    }

    /// The run is as urgent as the most urgent of its dependents; so then is what it waits for.
    pub(super) fn rank(&mut self, id: StageId) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let Some(run) = self.runs.get(&id) else { continue };
            let dependents = run.dependents.iter().filter_map(|id| self.runs.get(id));
            let urgency = dependents.map(|run| run.urgency).chain(run.ahead).min();
            let Some(urgency) = urgency.filter(|urgency| *urgency != run.urgency) else { continue };
            self.ready.remove(&(run.urgency, id));
            if let Some(run) = self.runs.get_mut(&id) {
                run.urgency = urgency;
                stack.extend(&run.waits_for);
            }
            self.queue(id);
        }
    }

    /// Puts the run among the ready ones or takes it out, whichever is right now.
    pub(super) fn queue(&mut self, id: StageId) {
        if let Some(run) = self.runs.get(&id) {
            let entry = (run.urgency, id);
            if run.is_ready() {
                self.ready.insert(entry);
            } else {
                self.ready.remove(&entry);
            }
        }
    }

    /// Ends the run if it has done all that was wanted of it, and wakes who waited for it.
    pub(super) fn finish_if_done(&mut self, id: StageId) {
        let Some(run) = self.runs.get(&id).filter(|run| run.is_done()) else { return self.queue(id) };
        if let Some(job) = run.job {
            return self.finish_job(job);
        }
        let Some(run) = self.remove_run(id) else { return };
        if run.dependents.is_empty() {
            // Something that it was made from may have been forgotten meanwhile.
            self.drop_forgotten();
        }
        for dependent in run.dependents {
            let Some(waiting) = self.runs.get_mut(&dependent) else { continue };
            waiting.waits_for.remove(&id);
            if waiting.waits_for.is_empty() {
                // While it waited, something else that it needs may have been lost.
                self.settle(dependent);
            }
        }
    }

    /// Nobody waits for the run any longer: it is ended, and so is what was run for it alone.
    pub(super) fn abandon(&mut self, id: StageId) {
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            let Some(run) = self.remove_run(id) else { continue };
            for parent in run.waits_for {
                let Some(waited_for) = self.runs.get_mut(&parent) else { continue };
                waited_for.dependents.remove(&id);
                if waited_for.is_needless() {
                    stack.push(parent);
                } else {
                    self.rank(parent);
                }
            }
        }
    }

    /// Takes the run out, cancelling whatever of it still runs.
    fn remove_run(&mut self, id: StageId) -> Option<StageRun> {
        let run = self.runs.remove(&id)?;
        self.may_let_go = true;
        self.ready.remove(&(run.urgency, id));
        if run.job.is_none() {
            self.map_runs.remove(&run.stage.target);
        }
        let cancel = |(worker, attempt)| Command::CancelAttempt { worker, attempt };
        self.commands.extend(run.running().map(cancel));
        if run.told != Told::Nothing {
            self.commands.push(Command::RetireStage { id });
        }
        Some(run)
    }
}
