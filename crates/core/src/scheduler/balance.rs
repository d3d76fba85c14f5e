//! State for newcomers.

use std::collections::BTreeMap;

use crate::{BlockId, StageId, WorkerId};

use super::{Scheduler, blocks::Unit, inputs::Inputs};

/// The state that a run gives to other workers than those who hold it.
#[derive(Debug, Default)]
pub(super) struct Moves {
    /// How many partitions more each worker has by now.
    gained: BTreeMap<WorkerId, u32>,
    /// And how many fewer.
    given: BTreeMap<WorkerId, u32>,
    /// Nobody lacks any more.
    settled: bool,
}

impl Scheduler {
    /// Who is to have the state that a task reads from now on, because it has less than its share and who
    /// holds it has more. In a steady state there is nobody, and a state that has moved stays where it is.
    ///
    /// A share is rounded down, so that a partition is moved only if that evens things out.
    pub(super) fn newcomer(&mut self, id: StageId, inputs: &Inputs) -> Option<WorkerId> {
        let (state, run) = (inputs.state()?, self.runs.get_mut(&id)?);
        let BlockId::Partition { dataset, .. } = state else { return None };
        if run.moves.settled {
            return None;
        }
        // What two hold is free to go to either of them as it is.
        let mut holders = self.blocks.workers(Unit::of(&state));
        let (Some(holder), None) = (holders.next(), holders.next()) else { return None };
        let partitions = self.datasets.get(dataset).ok()?.partitions as usize;
        let held = self.blocks.made(dataset)?.by_worker();
        let (workers, moves) = (&self.workers, &mut run.moves);
        let count = |of: &BTreeMap<WorkerId, u32>, worker| of.get(&worker).copied().unwrap_or(0) as usize;
        let share = |worker| partitions * workers.slots_of(worker) / workers.slots().max(1);
        if count(held, holder) <= share(holder) + count(&moves.given, holder) {
            return None;
        }
        let lacks = |worker: &WorkerId| count(held, *worker) + count(&moves.gained, *worker) < share(*worker);
        let Some(newcomer) = workers.free().find(lacks) else {
            moves.settled = true;
            return None;
        };
        *moves.gained.entry(newcomer).or_default() += 1;
        *moves.given.entry(holder).or_default() += 1;
        Some(newcomer)
    }
}
