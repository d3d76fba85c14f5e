use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::JobId;

use crate::{description::Reference, network::MasterId, program::Program, store};

/// Each partition of each output counts once, and is what it is when nothing ever fails.
#[derive(Default)]
pub(crate) struct Outputs {
    accepted: BTreeMap<(MasterId, JobId), BTreeSet<u32>>,
    finished: BTreeSet<(MasterId, JobId)>,
    /// How many intervals are in the sink.
    committed: u64,
}

impl Outputs {
    pub fn submitted(&mut self, master: MasterId, job: JobId) {
        self.accepted.entry((master, job)).or_default();
    }

    pub fn accepted(
        &mut self,
        master: MasterId,
        job: JobId,
        partition: u32,
        value: u64,
        right: u64,
    ) -> Result<(), String> {
        if value != right {
            return Err(format!("{job}[{partition}] is {value:x}, and should be {right:x}"));
        }
        match self.accepted.get_mut(&(master, job)).map(|partitions| partitions.insert(partition)) {
            Some(true) => Ok(()),
            Some(false) => Err(format!("{job}[{partition}] is accepted twice")),
            None => Err(format!("{job}[{partition}] is accepted, and nobody asked for it")),
        }
    }

    pub fn finished(&mut self, master: MasterId, job: JobId, partitions: u32) -> Result<(), String> {
        let accepted = self.accepted.get(&(master, job)).map_or(0, BTreeSet::len);
        if accepted != partitions as usize {
            return Err(format!("{job} is finished with {accepted} of its {partitions} partitions"));
        }
        if !self.finished.insert((master, job)) {
            return Err(format!("{job} is finished twice"));
        }
        Ok(())
    }

    /// An interval becomes visible: the next one, whole and right.
    pub fn committed(
        &mut self,
        interval: u64,
        outputs: &store::Outputs,
        reference: &mut Reference,
        program: &Program,
        aside: &BTreeSet<u64>,
    ) -> Result<(), String> {
        let next = (self.committed..).find(|interval| !aside.contains(interval));
        if Some(interval) != next {
            return Err(format!("interval {interval} is committed after {} others", self.committed));
        }
        self.committed = interval + 1;
        for what in program.wanted(interval) {
            for partition in 0..reference.partitions(what) {
                let right = reference.right(what, partition);
                let found = outputs.get(&what).and_then(|partitions| partitions.get(&partition));
                if found != Some(&right) {
                    return Err(format!(
                        "{what:?}[{partition}] of interval {interval} is {found:x?}, and should be {right:x}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// A function of the program has failed, and with it the job.
    pub fn failed(&mut self, master: MasterId, job: JobId) {
        self.finished.insert((master, job));
    }

    pub fn all_done(&self, master: MasterId) -> Result<(), String> {
        let mut jobs = self.accepted.keys().filter(|(of, _)| *of == master);
        match jobs.find(|job| !self.finished.contains(job)) {
            Some((_, job)) => Err(format!("{job} is never finished")),
            None => Ok(()),
        }
    }
}
