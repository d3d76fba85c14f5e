//! Slots, and who gets a task.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
};

use super::slowness::{Slowness, Verdict};
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
/// Tasks are given to the best class of workers of which there is anybody with slots: those that are slow get
/// none while there are others, and those that want to leave none while there are any who stay.
///
/// A worker may be sent more attempts than it has slots: those wait there for a slot, because their
/// state is there.
///
/// A worker's free slots are not counted but follow from the attempts that it was sent and has
/// not reported: an attempt reported twice or never sent cannot free a slot.
#[derive(Debug, Default)]
pub(super) struct Workers {
    workers: BTreeMap<WorkerId, Worker>,
    /// Workers of the best class with a free slot. The last has most of them, and the lowest id among such.
    free: BTreeSet<(usize, Reverse<WorkerId>)>,
    /// The best class of which there is anybody with slots.
    best: Option<Class>,
    /// The slots of that class.
    slots: usize,
    /// Whether somebody is to be given another chance in time; else nobody has to be looked at for that.
    any_slow: bool,
    now_ms: u64,
}

/// How gladly a worker is given tasks, the gladdest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Class {
    Usual,
    /// It was slow again and again.
    Slow,
    /// It wants to leave.
    Draining,
    /// It was told that it may.
    Released,
}

#[derive(Debug)]
struct Worker {
    slots: usize,
    class: Class,
    slowness: Slowness,
    running: BTreeMap<Attempt, Turn>,
    /// Those of them that nobody waits for. They take no room from the others, whose state is here.
    background: BTreeSet<Attempt>,
    sent: u64,
}

/// How far an attempt that was sent to a worker is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Turn {
    /// It has had a slot since then.
    Runs { since_ms: u64 },
    /// It is the `nth` that was sent there, and waits for a slot since then.
    Waits { since_ms: u64, nth: u64 },
}

impl Worker {
    fn free(&self) -> usize {
        self.slots.saturating_sub(self.running.len())
    }

    /// How many attempts may still be sent to it that wait for a slot there.
    fn room(&self, background: bool) -> usize {
        let taken = match background {
            true => self.background.len(),
            false => self.running.len() - self.background.len(),
        };
        (self.slots * (1 + limits::WAITING_PER_SLOT)).saturating_sub(taken)
    }

    /// Takes in an attempt, which has a slot at once if there is one.
    fn begin(&mut self, attempt: Attempt, background: bool, now_ms: u64) {
        self.sent += 1;
        if background {
            self.background.insert(attempt);
        }
        let turn = if self.free() > 0 {
            Turn::Runs { since_ms: now_ms }
        } else {
            Turn::Waits { since_ms: now_ms, nth: self.sent }
        };
        self.running.insert(attempt, turn);
    }

    /// An attempt is over: the slot that it had goes to who has waited for longest.
    fn end(&mut self, attempt: Attempt, now_ms: u64) {
        self.background.remove(&attempt);
        if !matches!(self.running.remove(&attempt), Some(Turn::Runs { .. })) {
            return;
        }
        let waiting = self.running.values_mut().filter_map(|turn| match *turn {
            Turn::Waits { nth, .. } => Some((nth, turn)),
            Turn::Runs { .. } => None,
        });
        if let Some((_, turn)) = waiting.min_by_key(|(nth, _)| *nth) {
            *turn = Turn::Runs { since_ms: now_ms };
        }
    }
}

impl Workers {
    pub(super) fn add(&mut self, id: WorkerId, slots: u32) {
        let (slowness, running, background) = Default::default();
        let (slots, class) = (slots as usize, Class::Usual);
        let worker = Worker { slots, class, slowness, running, background, sent: 0 };
        self.workers.insert(id, worker);
        self.classify();
    }

    /// Answers what ran there, in order.
    pub(super) fn remove(&mut self, id: WorkerId) -> Vec<Attempt> {
        let Some(worker) = self.workers.remove(&id) else { return Vec::new() };
        self.classify();
        worker.running.into_keys().collect()
    }

    pub(super) fn contains(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id)
    }

    pub(super) fn len(&self) -> usize {
        self.workers.len()
    }

    /// Whether anybody could ever run a task; a worker without slots only holds blocks.
    pub(super) fn can_work(&self) -> bool {
        self.slots > 0
    }

    /// The slots of those who are given tasks.
    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// The slots of one worker, if it is given tasks.
    pub(super) fn slots_of(&self, id: WorkerId) -> usize {
        self.workers
            .get(&id)
            .filter(|worker| Some(worker.class) == self.best)
            .map_or(0, |worker| worker.slots)
    }

    /// Says whether that is news.
    pub(super) fn drain(&mut self, id: WorkerId) -> bool {
        self.put_into(id, Class::Draining)
    }

    pub(super) fn release_worker(&mut self, id: WorkerId) {
        self.put_into(id, Class::Released);
    }

    fn put_into(&mut self, id: WorkerId, class: Class) -> bool {
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.class < class) else {
            return false;
        };
        worker.class = class;
        self.classify();
        true
    }

    /// The workers that stay, in order; the master is none.
    pub(super) fn staying(&self) -> impl Iterator<Item = WorkerId> {
        let staying = self.workers.iter().filter(|(_, worker)| worker.class < Class::Draining);
        staying.map(|(id, _)| *id).filter(|id| *id != WorkerId::MASTER)
    }

    pub(super) fn stays(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_some_and(|worker| worker.class < Class::Draining)
    }

    pub(super) fn is_idle(&self, id: WorkerId) -> bool {
        self.workers.get(&id).is_none_or(|worker| worker.running.is_empty())
    }

    /// What a run says of a worker. One that is slow again and again is avoided, but never more than half of all: then
    /// it is not they who are slow.
    pub(super) fn judge(&mut self, id: WorkerId, verdict: Verdict) {
        let of = |class| self.workers.values().filter(|w| w.slots > 0 && w.class == class).count();
        let (usual, slow) = (of(Class::Usual), of(Class::Slow));
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let is_slow = match verdict {
            Verdict::Slow => worker.slowness.strike(self.now_ms),
            Verdict::AsFastAsOthers => {
                worker.slowness.clear();
                false
            }
        };
        if is_slow && worker.class == Class::Usual && slow < (usual + slow) / 2 {
            worker.class = Class::Slow;
            self.any_slow = true;
            self.classify();
        }
    }

    /// It is that late: whoever was slow is given another chance in time.
    pub(super) fn clock(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        if !self.any_slow {
            return;
        }
        self.any_slow = false;
        let mut changed = false;
        for worker in self.workers.values_mut().filter(|worker| worker.class == Class::Slow) {
            if worker.slowness.is_avoided(now_ms) {
                self.any_slow = true;
            } else {
                worker.class = Class::Usual;
                changed = true;
            }
        }
        if changed {
            self.classify();
        }
    }

    /// Finds who is given tasks, after workers or their classes have changed.
    fn classify(&mut self) {
        let working = || self.workers.iter().filter(|(_, w)| w.slots > 0 && w.class < Class::Released);
        self.best = working().map(|(_, worker)| worker.class).min();
        let best = || working().filter(|(_, worker)| Some(worker.class) == self.best);
        self.slots = best().map(|(_, worker)| worker.slots).sum();
        let free = best().map(|(id, worker)| (worker.free(), Reverse(*id)));
        self.free = free.filter(|(free, _)| *free > 0).collect();
    }

    /// Among the workers that hold most of the task's input, one with a free slot; failing that, one
    /// where the task can wait for a slot, if it `may_wait`; failing that, any other with a free slot.
    /// Where there is a choice, the one with most free slots, and then the lowest id.
    ///
    /// A task in the `background` waits behind others of its kind only, and takes no room from the rest.
    pub(super) fn choose(
        &self,
        weights: &BTreeMap<WorkerId, Weight>,
        may_wait: bool,
        background: bool,
    ) -> Option<WorkerId> {
        let at_work = || {
            let at_work =
                weights.iter().filter_map(|(id, weight)| Some((*id, weight, self.workers.get(id)?)));
            at_work.filter(|(_, _, worker)| Some(worker.class) == self.best)
        };
        let most = at_work().map(|(_, weight, _)| weight).max();
        let preferred = || at_work().filter(|(_, weight, _)| Some(*weight) == most);
        let best = |places: &mut dyn Iterator<Item = (usize, WorkerId)>| {
            places.filter(|(places, _)| *places > 0).map(|(places, id)| (places, Reverse(id))).max()
        };
        best(&mut preferred().map(|(id, _, worker)| (worker.free(), id)))
            .or_else(|| {
                best(&mut preferred().filter(|_| may_wait).map(|(id, _, w)| (w.room(background), id)))
            })
            .or_else(|| self.free.last().copied())
            .map(|(_, Reverse(id))| id)
    }

    /// Who alone holds most of what a task reads whole, so that it is [chosen](Self::choose) if it has room.
    pub(super) fn home(&self, weights: &BTreeMap<WorkerId, Weight>) -> Option<WorkerId> {
        let at_work = || weights.iter().filter(|(id, _)| self.slots_of(**id) > 0);
        let most = at_work().map(|(_, weight)| weight.whole).max().filter(|most| *most > 0)?;
        let mut holders = at_work().filter(|(_, weight)| weight.whole == most).map(|(id, _)| *id);
        holders.next().filter(|_| holders.next().is_none())
    }

    /// All slots of those who are given tasks, in the order in which tasks that might go anywhere take them if
    /// all are free.
    pub(super) fn all_slots(&self) -> impl Iterator<Item = WorkerId> {
        let places = self.workers.keys().map(|id| (self.slots_of(*id), Reverse(*id)));
        let mut places: BTreeSet<(usize, Reverse<WorkerId>)> =
            places.filter(|(slots, _)| *slots > 0).collect();
        std::iter::from_fn(move || {
            let (slots, id) = places.pop_last()?;
            if slots > 1 {
                places.insert((slots - 1, id));
            }
            Some(id.0)
        })
    }

    /// For a second attempt of a task: one with a free slot on which none runs, that with most of its input.
    pub(super) fn choose_another(
        &self,
        weights: &BTreeMap<WorkerId, Weight>,
        taken: &[WorkerId],
    ) -> Option<WorkerId> {
        let others = self.free.iter().filter(|(_, Reverse(id))| !taken.contains(id));
        others.max_by_key(|(free, id)| (weights.get(&id.0), *free, *id)).map(|(_, Reverse(id))| *id)
    }

    pub(super) fn any_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// Those with a free slot, who has most of them first.
    pub(super) fn free(&self) -> impl Iterator<Item = WorkerId> {
        self.free.iter().rev().map(|(_, Reverse(id))| *id)
    }

    /// How far an attempt is that was sent there.
    pub(super) fn turn(&self, id: WorkerId, attempt: Attempt) -> Option<Turn> {
        self.workers.get(&id)?.running.get(&attempt).copied()
    }

    /// How many attempts there are that were sent to somebody and not reported.
    pub(super) fn running(&self) -> usize {
        self.workers.values().map(|worker| worker.running.len()).sum()
    }

    /// The attempt occupies a slot of a worker that has a free one, or waits for one there.
    pub(super) fn occupy(&mut self, id: WorkerId, attempt: Attempt, background: bool) {
        self.change(id, |worker, now_ms| worker.begin(attempt, background, now_ms));
    }

    /// The attempt, if it was there at all, is over.
    pub(super) fn release(&mut self, id: WorkerId, attempt: Attempt) {
        self.change(id, |worker, now_ms| worker.end(attempt, now_ms));
    }

    fn change(&mut self, id: WorkerId, change: impl FnOnce(&mut Worker, u64)) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        self.free.remove(&(worker.free(), Reverse(id)));
        change(worker, self.now_ms);
        let most = worker.slots * (1 + limits::WAITING_PER_SLOT);
        let others = worker.running.len() - worker.background.len();
        assert!(
            others <= most && worker.background.len() <= most,
            "{id} was given more attempts than it has room for"
        );
        if worker.free() > 0 && Some(worker.class) == self.best {
            self.free.insert((worker.free(), Reverse(id)));
        }
    }
}
