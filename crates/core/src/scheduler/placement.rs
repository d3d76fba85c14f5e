//! Slots, and who gets a task.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use crate::{Attempt, WorkerId, limits};

/// How much of a task's input a worker holds. The greater, the better.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Weight {
    /// Kept partitions and received blocks.
    pub(super) whole: u32,
    /// Pieces; they decide between workers with as many whole blocks.
    pub(super) pieces: u32,
}

/// The workers there are, and what runs on each.
///
/// A worker may be sent more attempts than it has slots: those wait there for a slot, because their
/// state is there.
///
/// A worker's free slots are not counted but follow from the attempts that it was sent and has
/// not reported: an attempt reported twice or never sent cannot free a slot.
#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers with a free slot. The last has most of them, and the lowest id among such.
    free: BTreeSet<(usize, Reverse<WorkerId>)>,
    slots: usize,
}

#[derive(Debug)]
struct Worker {
    slots: usize,
    running: BTreeSet<Attempt>,
}

impl Worker {
    fn free(&self) -> usize {
        self.slots.saturating_sub(self.running.len())
    }

    /// How many attempts may still be sent to it that wait for a slot there.
    fn room(&self) -> usize {
        (self.slots * (1 + limits::WAITING_PER_SLOT)).saturating_sub(self.running.len())
    }
}

impl Workers {
    pub(super) fn add(&mut self, id: WorkerId, slots: u32) {
        self.workers.insert(id, Worker { slots: slots as usize, running: BTreeSet::new() });
        self.slots += slots as usize;
        self.note_free(id);
    }

    /// Answers what ran there, in order.
    pub(super) fn remove(&mut self, id: WorkerId) -> BTreeSet<Attempt> {
        let Some(worker) = self.workers.remove(&id) else { return BTreeSet::new() };
        self.free.remove(&(worker.free(), Reverse(id)));
        self.slots -= worker.slots;
        worker.running
    }

    pub(super) fn contains(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id)
    }

    /// Whether anybody could ever run a task; a worker without slots only holds blocks.
    pub(super) fn can_work(&self) -> bool {
        self.slots > 0
    }

    /// Among the workers that hold most of the task's input, one with a free slot; failing that, one
    /// where the task can wait for a slot, if it `may_wait`; failing that, any other with a free slot.
    /// Where there is a choice, the one with most free slots, and then the lowest id.
    pub(super) fn choose(&self, weights: &BTreeMap<WorkerId, Weight>, may_wait: bool) -> Option<WorkerId> {
        let most = weights.values().max();
        let preferred = || {
            let most = weights.iter().filter(|(_, weight)| Some(*weight) == most);
            most.filter_map(|(id, _)| Some((*id, self.workers.get(id)?)))
        };
        let best = |places: &mut dyn Iterator<Item = (usize, WorkerId)>| {
            places.filter(|(places, _)| *places > 0).map(|(places, id)| (places, Reverse(id))).max()
        };
        best(&mut preferred().map(|(id, worker)| (worker.free(), id)))
            .or_else(|| best(&mut preferred().filter(|_| may_wait).map(|(id, worker)| (worker.room(), id))))
            .or_else(|| self.free.last().copied())
            .map(|(_, Reverse(id))| id)
    }

    pub(super) fn any_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The attempt occupies a slot of a worker that has a free one, or waits for one there.
    pub(super) fn occupy(&mut self, id: WorkerId, attempt: Attempt) {
        self.change(id, |running| running.insert(attempt));
    }

    /// The attempt, if it was there at all, is over.
    pub(super) fn release(&mut self, id: WorkerId, attempt: Attempt) {
        self.change(id, |running| running.remove(&attempt));
    }

    fn change(&mut self, id: WorkerId, change: impl FnOnce(&mut BTreeSet<Attempt>) -> bool) {
        if let Some(worker) = self.workers.get_mut(&id) {
            self.free.remove(&(worker.free(), Reverse(id)));
            change(&mut worker.running);
            let most = worker.slots * (1 + limits::WAITING_PER_SLOT);
            assert!(worker.running.len() <= most, "{id} was given more attempts than it has room for");
            self.note_free(id);
        }
    }

    fn note_free(&mut self, id: WorkerId) {
        if let Some(free) = self.workers.get(&id).map(Worker::free).filter(|free| *free > 0) {
            self.free.insert((free, Reverse(id)));
        }
    }
}
