//! What will be wanted, and is made while there is nothing else to do.

use std::sync::Arc;

use crate::{Dataset, DatasetId, JobId, StageId, TaskError};

use super::{Scheduler, blocks::Unit, datasets::is_pieces};

impl Scheduler {
    /// Whoever needs what cannot be understood of them is told then.
    pub(super) fn described(&mut self, datasets: Vec<Arc<Dataset>>) {
        let _ = self.datasets.add(datasets);
    }

    /// What cannot be made is nobody's concern before somebody asks for it, and is then told to him. What is not known
    /// any more will not be asked for.
    pub(super) fn expected(&mut self, urgency: JobId, targets: &[DatasetId]) {
        for target in targets {
            if let Ok(Some(run)) = self.expect(urgency, *target) {
                self.rank(run);
                self.settle(run);
            }
        }
    }

    /// The run that makes it, unless all of it is held.
    fn expect(&mut self, urgency: JobId, target: DatasetId) -> Result<Option<StageId>, TaskError> {
        let dataset = self.datasets.get(target)?;
        let partitions = dataset.partitions;
        if !is_pieces(dataset) || self.blocks.is_complete(target, partitions) {
            return Ok(None);
        }
        let id = self.map_run(target)?;
        let Some(run) = self.runs.get_mut(&id) else { return Ok(None) };
        run.ahead.get_or_insert(urgency);
        let blocks = &self.blocks;
        let unheld = |partition: &u32| !blocks.is_held(Unit::Made { dataset: target, partition: *partition });
        for partition in (0..partitions).filter(unheld) {
            run.want(partition);
        }
        Ok(Some(id))
    }

    /// Nobody will ask for these any more: what makes one for nobody else is ended.
    pub(super) fn expect_no_longer(&mut self, datasets: &[DatasetId]) {
        for dataset in datasets {
            let Some(id) = self.map_runs.get(dataset).copied() else { continue };
            if let Some(run) = self.runs.get_mut(&id).filter(|run| run.ahead.is_some()) {
                run.ahead = None;
                if run.is_needless() {
                    self.abandon(id);
                } else {
                    self.rank(id);
                }
            }
        }
    }
}
