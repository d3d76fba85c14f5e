use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{BlockId, WorkerId, limits};

use crate::{clients::Numbered, simulation::GivenUp};

/// Every record that a client was told is safe is in exactly one interval, however often it was sent; and it is told so
/// when two workers hold it, or the only one there is.
#[derive(Default)]
pub(crate) struct Records {
    /// Who has ever held it.
    held: BTreeMap<Numbered, BTreeSet<WorkerId>>,
    /// A worker has told the client that it is safe, who may hear that late or not at all.
    told: BTreeSet<Numbered>,
    acknowledged: BTreeSet<Numbered>,
    /// The block and the interval in which it counts.
    counted: BTreeMap<Numbered, (BlockId, u64)>,
    given_up: GivenUp,
    /// Nothing from before this interval is needed.
    needed_from: u64,
}

impl Records {
    pub fn held(&mut self, batch: Numbered, id: WorkerId) {
        self.held.entry(batch).or_default().insert(id);
    }

    /// A worker is about to say that it is safe.
    pub fn acknowledges(&mut self, batch: Numbered, is_alone: bool) -> Result<(), String> {
        self.told.insert(batch);
        let holders = self.held.get(&batch).map_or(0, BTreeSet::len);
        if holders < limits::REPLICAS && !is_alone {
            return Err(format!("{batch:?} is acknowledged, and {holders} workers have held it"));
        }
        Ok(())
    }

    /// The client has heard it.
    pub fn acknowledged(&mut self, batch: Numbered) {
        if self.told.contains(&batch) {
            self.acknowledged.insert(batch);
        }
    }

    pub fn counted(&mut self, batch: Numbered, block: BlockId, interval: u64) -> Result<(), String> {
        match self.counted.insert(batch, (block, interval)) {
            Some((_, before)) if before != interval => {
                Err(format!("{batch:?} is counted in interval {before}, and in interval {interval}"))
            }
            _ => Ok(()),
        }
    }

    pub fn counted_in(&self, batch: Numbered) -> Option<BlockId> {
        self.counted.get(&batch).map(|(block, _)| *block)
    }

    /// No interval to come needs anything from before that one: what it follows from is written down.
    pub fn let_go(&mut self, needed_from: u64) {
        self.needed_from = self.needed_from.max(needed_from);
    }

    /// Those that must not be lost.
    pub fn needed(&self) -> impl Iterator<Item = Numbered> {
        let is_needed = |batch: &&Numbered| {
            self.counted.get(batch).is_none_or(|(_, interval)| *interval >= self.needed_from)
        };
        self.told.iter().filter(is_needed).copied()
    }

    /// It is lost with the last who holds it. Whoever else has held it may be gone by then, which a worker is that has ended.
    pub fn give_up(&mut self, batch: Numbered, is_gone: impl Fn(WorkerId) -> bool) {
        self.told.remove(&batch);
        if self.acknowledged.remove(&batch) {
            let mut held = self.held.get(&batch).into_iter().flatten();
            match held.any(|worker| is_gone(*worker)) {
                true => self.given_up.with_both += 1,
                false => self.given_up.with_one += 1,
            }
        }
    }

    /// How many were.
    pub fn given_up(&self) -> GivenUp {
        self.given_up
    }

    /// All that was to be counted is.
    pub fn all_counted(&self) -> Result<(), String> {
        match self.acknowledged.iter().find(|batch| !self.counted.contains_key(batch)) {
            Some(batch) => Err(format!("{batch:?} was acknowledged, and is in no interval")),
            None => Ok(()),
        }
    }
}
