use std::{
    collections::HashMap,
    ops::AddAssign,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cutwater_core::DatasetId;

use crate::task::Finding;

/// What tasks found in datasets that were described ahead of the jobs that need them.
///
/// It counts when a job needs the dataset, so that whatever the program reads of an interval is what it would have
/// read had nothing been done ahead.
///
/// The master's thread puts in, whoever submits a job takes out.
#[derive(Default)]
pub(super) struct Unclaimed(Mutex<HashMap<DatasetId, Found>>);

#[derive(Default)]
struct Found {
    findings: Vec<(u32, Finding)>,
    moved: Moved,
}

/// What tasks had to read from other workers.
#[derive(Clone, Copy, Default)]
pub(super) struct Moved {
    /// Kept partitions.
    pub partitions: u64,
    /// Of all that they read.
    pub bytes: u64,
}

impl AddAssign for Moved {
    fn add_assign(&mut self, other: Self) {
        self.partitions += other.partitions;
        self.bytes += other.bytes;
    }
}

impl Unclaimed {
    /// No job has needed these yet.
    pub fn expect(&self, datasets: impl Iterator<Item = DatasetId>) {
        let mut all = self.lock();
        for dataset in datasets {
            all.entry(dataset).or_default();
        }
    }

    /// Keeps what was found in a dataset that no job has needed yet, and gives back what counts.
    pub fn keep(&self, dataset: DatasetId, partition: u32, finding: Finding) -> Option<Finding> {
        match self.lock().get_mut(&dataset) {
            Some(unclaimed) => {
                unclaimed.findings.push((partition, finding));
                None
            }
            None => Some(finding),
        }
    }

    /// The same for what tasks had to read for one.
    pub fn keep_moved(&self, dataset: DatasetId, moved: Moved) -> Option<Moved> {
        match self.lock().get_mut(&dataset) {
            Some(unclaimed) => {
                unclaimed.moved += moved;
                None
            }
            None => Some(moved),
        }
    }

    /// A job needs these. Answers what counts from now on.
    pub fn claim(&self, datasets: &[DatasetId]) -> (Vec<(DatasetId, u32, Finding)>, Moved) {
        let (mut found, mut moved) = (Vec::new(), Moved::default());
        let mut all = self.lock();
        for dataset in datasets {
            if let Some(unclaimed) = all.remove(dataset) {
                found.extend(unclaimed.findings.into_iter().map(|(at, finding)| (*dataset, at, finding)));
                moved += unclaimed.moved;
            }
        }
        (found, moved)
    }

    /// No job will need it.
    pub fn forget(&self, dataset: DatasetId) {
        self.lock().remove(&dataset);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<DatasetId, Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
