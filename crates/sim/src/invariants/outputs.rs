use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::JobId;

/// Each partition of each output counts once, and is what it is when nothing ever fails.
#[derive(Default)]
pub(crate) struct Outputs {
    accepted: BTreeMap<JobId, BTreeSet<u32>>,
    finished: BTreeSet<JobId>,
}

impl Outputs {
    pub fn submitted(&mut self, job: JobId) {
        self.accepted.entry(job).or_default();
    }

    pub fn accepted(&mut self, job: JobId, partition: u32, value: u64, right: u64) -> Result<(), String> {
        if value != right {
            return Err(format!("{job}[{partition}] is {value:x}, and should be {right:x}"));
        }
        match self.accepted.get_mut(&job).map(|partitions| partitions.insert(partition)) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("{job}[{partition}] is accepted twice")),
            None => Err(format!("{job}[{partition}] is accepted, and nobody asked for it")),
        }
    }

    pub fn finished(&mut self, job: JobId, partitions: u32) -> Result<(), String> {
        let accepted = self.accepted.get(&job).map_or(0, BTreeSet::len);
        if accepted != partitions as usize {
            return Err(format!("{job} is finished with {accepted} of its {partitions} partitions"));
        }
        if !self.finished.insert(job) {
            return Err(format!("{job} is finished twice"));
        }
        Ok(())
    }

    pub fn all_done(&self) -> Result<(), String> {
        match self.accepted.keys().find(|job| !self.finished.contains(job)) {
            Some(job) => Err(format!("{job} is never finished")),
            None => Ok(()),
        }
    }
}
