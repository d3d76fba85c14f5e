//! Blocks that more workers are to hold.
//!
//! - Received blocks cannot be made again: two workers hold them.
//! - What combining has left of many records, for the shuffle of a state, is dear to make again and cheap to hold: two
//!   workers hold it. Otherwise a loss would have a part of the input since the last checkpoint read again, and the
//!   interval that runs would wait for that.
//! - What a worker holds that leaves is held by one that stays.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Attempt, BlockId, WorkerId, limits};

use super::{
    Command, Scheduler,
    blocks::{Blocks, Unit},
    outcome::Did,
    placement::Workers,
    retention,
    stage_run::StageRun,
};

/// Units of which there are too few copies, and those that are being copied.
///
/// It says nothing of what is held by enough: that is known from the blocks.
#[derive(Debug, Default)]
pub(super) struct Copies {
    /// To be looked at: there may be too few.
    considered: BTreeSet<Unit>,
    /// To whom it is being copied.
    underway: BTreeMap<Unit, Underway>,
    /// To be held by two, though it can be made again.
    dear: BTreeSet<Unit>,
    /// How often it could not be had.
    failures: BTreeMap<Unit, u32>,
    /// Something has changed since all considered were looked at.
    changed: bool,
}

#[derive(Clone, Copy, Debug)]
struct Underway {
    to: WorkerId,
    /// It was let go meanwhile.
    released: bool,
}

impl Copies {
    pub(super) fn consider(&mut self, unit: Unit) {
        self.changed |= self.considered.insert(unit);
    }

    /// It is dear to make again, and is to be held by two.
    fn hold_twice(&mut self, unit: Unit) {
        self.dear.insert(unit);
        self.consider(unit);
    }

    /// It is held by enough, or is not to be copied any longer.
    fn settle(&mut self, unit: Unit) {
        self.considered.remove(&unit);
        self.failures.remove(&unit);
        self.dear.remove(&unit);
    }

    /// Nothing needs it again, nor the copy that is on its way.
    pub(super) fn released(&mut self, unit: Unit) {
        self.settle(unit);
        if let Some(underway) = self.underway.get_mut(&unit) {
            underway.released = true;
        }
    }

    pub(super) fn failed(&mut self, worker: WorkerId, blocks: &[BlockId]) {
        for unit in blocks.iter().map(Unit::of) {
            if self.underway.get(&unit).is_some_and(|underway| underway.to == worker) {
                let released = self.underway.remove(&unit).is_some_and(|underway| underway.released);
                let failures = self.failures.entry(unit).or_default();
                *failures += 1;
                let again = *failures < limits::COPY_TRIES_MAX;
                if released || !again {
                    self.failures.remove(&unit);
                }
                match unit {
                    _ if released => {}
                    // It may have been considered meanwhile, and passed over since it was being copied.
                    _ if again => {
                        self.considered.insert(unit);
                        self.changed = true;
                    }
                    // It cannot be made again, and is tried once more whenever something else has changed.
                    Unit::Input { .. } => {
                        self.considered.insert(unit);
                    }
                    Unit::Made { .. } => {
                        self.dear.remove(&unit);
                    }
                }
            }
        }
    }

    /// Whether a copy of something that this worker holds is still to be made, by it or by another.
    pub(super) fn wait_for(&self, worker: WorkerId, blocks: &Blocks) -> bool {
        let units = self.considered.iter().chain(self.underway.keys());
        units.copied().any(|unit| blocks.workers(unit).any(|holder| holder == worker))
    }

    pub(super) fn len(&self) -> usize {
        self.considered.len() + self.underway.len() + self.dear.len() + self.failures.len()
    }

    /// How many workers that stay are to hold it.
    fn wanted(&self, unit: Unit, workers: &Workers) -> usize {
        match unit {
            Unit::Made { .. } if !self.dear.contains(&unit) => 1,
            _ => limits::REPLICAS.min(workers.staying().count()),
        }
    }

    /// From whom to whom a unit is to be copied now; `Err` if it need not be, and if nobody can take it.
    fn route(&self, unit: Unit, blocks: &Blocks, workers: &Workers) -> Result<(WorkerId, WorkerId), bool> {
        let holders: Vec<WorkerId> = blocks.workers(unit).collect();
        // What the master holds is there while it lives, and no longer.
        let is_worker = |holder: &&WorkerId| **holder != WorkerId::MASTER && workers.stays(**holder);
        let staying = holders.iter().filter(is_worker).count();
        let from = *holders.first().ok_or(true)?;
        if staying >= self.wanted(unit, workers).max(1) {
            return Err(true);
        }
        let of_same = |worker: &WorkerId| match unit {
            Unit::Input { .. } => 0,
            Unit::Made { dataset, .. } => {
                blocks.made(dataset).and_then(|made| made.by_worker().get(worker)).copied().unwrap_or(0)
            }
        };
        let underway = |worker: &WorkerId| self.underway.values().filter(|copy| copy.to == *worker).count();
        let others = workers.staying().filter(|worker| !holders.contains(worker));
        // So that state is spread evenly, and so is everything else.
        let to = others.min_by_key(|worker| {
            let underway = underway(worker);
            (of_same(worker) as usize + underway, blocks.count(*worker) + underway, *worker)
        });
        Ok((from, to.ok_or(false)?))
    }
}

impl Scheduler {
    /// How many blocks, all pieces of a map partition counted as one, are being copied to more workers or
    /// are to be.
    pub fn copies(&self) -> usize {
        self.copies.considered.len() + self.copies.underway.len()
    }

    /// Begins as many copies as may be on their way at a time.
    pub(super) fn copy_blocks(&mut self) {
        if !std::mem::take(&mut self.copies.changed) {
            return;
        }
        let mut begun = BTreeMap::<(WorkerId, WorkerId), Vec<BlockId>>::new();
        let considered: Vec<Unit> = self.copies.considered.iter().copied().collect();
        for unit in considered {
            if self.copies.underway.len() >= limits::COPIES_MAX {
                break;
            }
            if self.copies.underway.contains_key(&unit) {
                continue;
            }
            let names = self.names_of(unit);
            let route = if names.is_empty() {
                Err(true)
            } else {
                self.copies.route(unit, &self.blocks, &self.workers)
            };
            match route {
                Ok((from, to)) => {
                    self.copies.considered.remove(&unit);
                    self.copies.underway.insert(unit, Underway { to, released: false });
                    begun.entry((from, to)).or_default().extend(names);
                }
                Err(settled) => {
                    if settled {
                        self.copies.settle(unit);
                    }
                }
            }
        }
        for ((from, to), blocks) in begun {
            self.commands.push(Command::CopyBlocks { from, to, blocks });
        }
    }

    /// What an attempt has stored for a shuffle is held by two workers if a state is made from it, if it took a while, and
    /// if it is little beside what was read for it.
    pub(super) fn hold_twice_if_worth(&mut self, attempt: Attempt, took_ms: Option<u64>, did: Did) {
        let is_dear = took_ms.is_some_and(|ms| ms >= limits::DEAR_MS_MIN);
        let is_little = did.combined > 0 && did.combined <= did.read / limits::DEAR_PARTS;
        let Some(run) = self.runs.get(&attempt.stage).filter(|_| is_dear && is_little) else { return };
        let keeps = |run: &StageRun| run.stage.datasets.iter().any(|dataset| dataset.keep);
        if run.dependents.iter().filter_map(|id| self.runs.get(id)).any(keeps) {
            let unit = Unit::Made { dataset: run.stage.target, partition: attempt.partition };
            self.copies.hold_twice(unit);
        }
    }

    /// The blocks of a unit, of which there are none if nobody wants it any longer.
    fn names_of(&self, unit: Unit) -> Vec<BlockId> {
        match unit {
            Unit::Input { source, sequence } => vec![BlockId::Input { source, sequence }],
            Unit::Made { dataset, partition } => {
                let known = self.datasets.get(dataset).ok();
                let mut names = known.map_or_else(Vec::new, |known| retention::names(known, partition));
                names.retain(|block| self.datasets.wants(block));
                names
            }
        }
    }

    /// A worker has copied blocks. Those that nobody wants any longer go at once.
    pub(super) fn blocks_copied(&mut self, worker: WorkerId, blocks: &[BlockId]) {
        if !self.workers.contains(worker) {
            return;
        }
        let mut unwanted = Vec::new();
        let units: BTreeSet<Unit> = blocks.iter().map(Unit::of).collect();
        for unit in units {
            let is_this = |copy: &mut Underway| copy.to == worker;
            let copy = self.copies.underway.extract_if(unit..=unit, |_, copy| is_this(copy)).next();
            self.copies.failures.remove(&unit);
            // One may not be enough.
            self.copies.consider(unit);
            self.copies.changed = true;
            // It may say so twice, once for a master before; who is counted on keeps it.
            let is_counted_on = self.blocks.workers(unit).any(|holder| holder == worker);
            let was_to = copy.is_some_and(|(_, copy)| !copy.released);
            // Another was asked after it, and whoever held it may be lost by now.
            let is_awaited = self.blocks.was_lost(unit);
            if self.names_of(unit).is_empty() || !(was_to || is_counted_on || is_awaited) {
                unwanted.extend(blocks.iter().filter(|block| Unit::of(block) == unit).copied());
            } else {
                self.store(unit, worker);
            }
        }
        if !unwanted.is_empty() {
            self.commands.push(Command::DropBlocks { worker, blocks: unwanted });
        }
    }

    /// The worker is about to be lost: whatever it was to copy others have to, and received blocks that it held
    /// are to be held by another in its place.
    pub(super) fn lose_copies(&mut self, worker: WorkerId) {
        self.draining.remove(&worker);
        // Who copies from it may have it all by now, and says in any case what came of it.
        let ended = self.copies.underway.extract_if(.., |_, copy| copy.to == worker);
        let ended: Vec<Unit> = ended.filter(|(_, copy)| !copy.released).map(|(unit, _)| unit).collect();
        let inputs =
            self.blocks.held_by(worker).into_iter().filter(|unit| matches!(unit, Unit::Input { .. }));
        for unit in ended.into_iter().chain(inputs) {
            self.copies.consider(unit);
        }
        self.copies.changed = true;
    }

    /// Somebody new can hold received blocks that too few hold, or it is known only now that they do.
    pub(super) fn copy_what_few_hold(&mut self) {
        for unit in self.blocks.inputs_held_by_fewer_than(limits::REPLICAS) {
            self.copies.consider(unit);
        }
        self.copies.changed = true;
    }
}
