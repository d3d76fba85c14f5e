//! What is wanted, and how it ends.

use std::{collections::BTreeSet, sync::Arc};

use crate::{Dataset, DatasetId, JobId, StageId, TaskError};

use super::{Command, Scheduler, datasets::is_pieces, stage_run::StageRun};

impl Scheduler {
    /// A job that is being run already is not begun again.
    pub(super) fn job_submitted(&mut self, job: JobId, datasets: Vec<Arc<Dataset>>, target: DatasetId) {
        if self.jobs.contains_key(&job) {
            return;
        }
        match self.begin_job(job, datasets, target) {
            Ok(None) => self.commands.push(Command::JobFinished { job }),
            Ok(Some(run)) => self.settle(run),
            Err(error) => self.commands.push(Command::JobFailed { job, error }),
        }
    }

    fn begin_job(
        &mut self,
        job: JobId,
        datasets: Vec<Arc<Dataset>>,
        target: DatasetId,
    ) -> Result<Option<StageId>, TaskError> {
        self.datasets.add(datasets)?;
        let dataset = self.datasets.get(target)?;
        if is_pieces(dataset) {
            return Err(TaskError::Internal(format!(
                "job {job} wants {target}, which is split for a shuffle"
            )));
        }
        let partitions = dataset.partitions;
        if partitions == 0 {
            return Ok(None);
        }
        let mut run = StageRun::new(self.datasets.stage(target, &self.blocks)?, Some(job));
        for partition in 0..partitions {
            run.want(partition);
        }
        let id = self.add_run(run);
        self.jobs.insert(job, id);
        Ok(Some(id))
    }

    pub(super) fn job_cancelled(&mut self, job: JobId) {
        if let Some(run) = self.jobs.remove(&job) {
            self.abandon(run);
            self.drop_forgotten();
        }
    }

    /// Every partition of the job's target is accepted.
    pub(super) fn finish_job(&mut self, job: JobId) {
        self.commands.push(Command::JobFinished { job });
        // Nothing of it runs any longer, so that to abandon it cancels nothing.
        self.job_cancelled(job);
    }

    /// The run cannot be finished, and so none of the jobs that need it can.
    pub(super) fn fail_run(&mut self, id: StageId, error: &TaskError) {
        let mut jobs = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut stack = vec![id];
        while let Some(id) = stack.pop() {
            if let Some(run) = self.runs.get_mut(&id).filter(|_| seen.insert(id)) {
                // Whoever asks for it finds out for himself.
                run.ahead = None;
                jobs.extend(run.job);
                stack.extend(&run.dependents);
            }
        }
        for job in jobs {
            self.commands.push(Command::JobFailed { job, error: error.clone() });
            self.job_cancelled(job);
        }
        for id in seen {
            if self.runs.get(&id).is_some_and(StageRun::is_needless) {
                self.abandon(id);
                self.drop_forgotten();
            }
        }
    }
}
