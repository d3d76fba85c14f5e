use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{BlockId, DatasetId, JobId, Stage, TaskError, WorkerId, limits};

use crate::network::MasterId;

/// Nothing that is needed is forgotten: no job fails, since all faults are fair; what was received is not
/// dropped before nothing needs it; no stage is made of datasets that were let go; and who is let go was not the
/// last to hold something that cannot be made again, unless it took too long.
#[derive(Default)]
pub(crate) struct Needed {
    draining_ms: BTreeMap<(MasterId, WorkerId), u64>,
    /// Somebody was let go who was the last to hold something.
    took_too_long: bool,
    let_go: BTreeSet<(MasterId, DatasetId)>,
}

impl Needed {
    pub fn job_failed(&self, job: JobId, error: &TaskError) -> Result<(), String> {
        Err(format!("{job} fails and need not: {error}"))
    }

    pub fn dropped(&self, block: &BlockId, interval: Option<u64>, horizon: u64) -> Result<(), String> {
        match (block, interval) {
            (BlockId::Input { .. }, Some(interval)) if interval >= horizon => {
                Err(format!("{block} is dropped, and interval {interval} may need it"))
            }
            _ => Ok(()),
        }
    }

    /// Whether what was received may be lost all the same, since nobody was there to take it over.
    pub fn may_be_lost(&self) -> bool {
        self.took_too_long
    }

    pub fn let_go(&mut self, master: MasterId, datasets: &[DatasetId]) {
        self.let_go.extend(datasets.iter().map(|id| (master, *id)));
    }

    pub fn defined(&self, master: MasterId, stage: &Stage) -> Result<(), String> {
        let mut named = stage.datasets.iter().map(|dataset| dataset.id).chain(stage.shuffles.iter().copied());
        match named.find(|id| self.let_go.contains(&(master, *id))) {
            Some(id) => Err(format!("{id} was let go, and the stage of {} names it", stage.target)),
            None => Ok(()),
        }
    }

    pub fn drains(&mut self, master: MasterId, id: WorkerId, now_ms: u64) {
        self.draining_ms.entry((master, id)).or_insert(now_ms);
    }

    pub fn released(
        &mut self,
        master: MasterId,
        id: WorkerId,
        holds_alone: bool,
        now_ms: u64,
    ) -> Result<(), String> {
        let since_ms = self.draining_ms.remove(&(master, id));
        match since_ms {
            None => Err(format!("{id} is let go, and did not ask for it")),
            Some(since_ms) if holds_alone && now_ms < since_ms + limits::DRAIN_MS_MAX => {
                Err(format!("{id} is let go, and is the last to hold a received block"))
            }
            Some(_) => {
                self.took_too_long |= holds_alone;
                Ok(())
            }
        }
    }
}
