//! Who holds what.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::RangeInclusive,
};

use crate::{BlockId, DatasetId, Located, WorkerId};

/// Blocks that are written together and are there, or are gone, together.
///
/// All that a map partition wrote counts as one, so that knowing where a shuffle is costs as much
/// as it has map partitions, and not as much as it has pieces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Unit {
    /// A received block.
    Input { source: u32, sequence: u64 },
    /// What the task for one partition of a dataset left behind: a block, or all its pieces.
    Made { dataset: DatasetId, partition: u32 },
}

impl Unit {
    pub(super) fn of(block: &BlockId) -> Self {
        match *block {
            BlockId::Input { source, sequence } => Self::Input { source, sequence },
            BlockId::Partition { dataset, partition } => Self::Made { dataset, partition },
            BlockId::Piece { dataset, map, .. } => Self::Made { dataset, partition: map },
        }
    }

    /// The dataset that it is of, unless it was received.
    pub(super) fn dataset(&self) -> Option<DatasetId> {
        match *self {
            Self::Input { .. } => None,
            Self::Made { dataset, .. } => Some(dataset),
        }
    }
}

/// A worker that holds a unit, since the event of that number.
#[derive(Clone, Copy, Debug)]
struct Holder {
    worker: WorkerId,
    since: u64,
}

/// Sorted by worker, and never empty while it is in a map.
#[derive(Debug, Default)]
struct Holders(Vec<Holder>);

/// What is held of one dataset.
#[derive(Debug, Default)]
pub(super) struct Made {
    partitions: BTreeMap<u32, Holders>,
    by_worker: BTreeMap<WorkerId, u32>,
    /// Partitions whose lowest holder is another than was last [told](Blocks::moved).
    moved: BTreeSet<u32>,
}

impl Made {
    /// How many partitions each worker holds.
    pub(super) fn by_worker(&self) -> &BTreeMap<WorkerId, u32> {
        &self.by_worker
    }

    /// How many partitions anybody holds.
    pub(super) fn held(&self) -> usize {
        self.partitions.len()
    }
}

impl Holders {
    /// The lowest worker that holds it, unless `worker` does.
    fn elsewhere(&self, worker: WorkerId) -> Option<WorkerId> {
        if self.0.iter().any(|holder| holder.worker == worker) {
            return None;
        }
        self.0.first().map(|holder| holder.worker)
    }
}

/// Who holds what, looked up from both ends.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    inputs: HashMap<(u32, u64), Holders>,
    made: HashMap<DatasetId, Made>,
    by_worker: HashMap<WorkerId, HashSet<Unit>>,
    /// Whom a reader could not get a unit from. It is not counted on, but it may well be there,
    /// and has to be deleted with the rest. A received block is nowhere else in the end: when nobody else holds it,
    /// they are counted on again.
    doubted: BTreeSet<(Unit, WorkerId)>,
    awaited: Awaited,
}

/// Received blocks that were held by workers which are lost, and by nobody else. They cannot be made again, and whoever was
/// lost may be there again with what it held: they are waited for until then.
#[derive(Debug, Default)]
struct Awaited {
    until_ms: BTreeMap<Unit, u64>,
    /// All that nobody holds are, until then: there are workers of which it is not known what they hold.
    all_until_ms: Option<u64>,
    /// Some are awaited no longer, or something else is there that makes them needless, since somebody asked.
    news: bool,
}

impl Awaited {
    fn remove(&mut self, unit: Unit) {
        self.news |= self.is_any();
        self.until_ms.remove(&unit);
    }

    fn is_any(&self) -> bool {
        !self.until_ms.is_empty() || self.all_until_ms.is_some()
    }
}

impl Blocks {
    /// From the event `now` on, `worker` holds `unit`.
    pub(super) fn add(&mut self, unit: Unit, worker: WorkerId, now: u64) {
        self.awaited.remove(unit);
        let holders = match unit {
            Unit::Input { source, sequence } => self.inputs.entry((source, sequence)).or_default(),
            Unit::Made { dataset, partition } => {
                self.made.entry(dataset).or_default().partitions.entry(partition).or_default()
            }
        };
        match holders.0.binary_search_by_key(&worker, |holder| holder.worker) {
            Ok(at) => holders.0[at].since = now,
            Err(at) => {
                holders.0.insert(at, Holder { worker, since: now });
                self.by_worker.entry(worker).or_default().insert(unit);
                if let Unit::Made { dataset, partition } = unit {
                    let made = self.made.entry(dataset).or_default();
                    *made.by_worker.entry(worker).or_default() += 1;
                    if at == 0 {
                        made.moved.insert(partition);
                    }
                }
            }
        }
    }

    /// An attempt launched at the event `launched` could not get `unit` from `worker`. Says
    /// whether now nobody holds it, and somebody did before.
    ///
    /// If the worker has stored it anew since then, the failure tells of the copy before, and to
    /// believe it would cost another run of what makes it.
    pub(super) fn doubt(&mut self, unit: Unit, worker: WorkerId, launched: u64, now: u64) -> bool {
        let holds = |holder: &Holder| holder.worker == worker && holder.since <= launched;
        if !self.holders(unit).is_some_and(|holders| holders.0.iter().any(holds)) {
            return false;
        }
        if let Some(units) = self.by_worker.get_mut(&worker) {
            units.remove(&unit);
        }
        let gone = self.remove_holder(unit, worker) && !self.count_on_doubted(unit, now);
        self.doubted.insert((unit, worker));
        gone
    }

    /// The worker is gone. Answers what nobody else holds, in order. Received blocks among it are awaited until then.
    pub(super) fn lose(&mut self, worker: WorkerId, now: u64, until_ms: u64) -> Vec<Unit> {
        self.doubted.retain(|(_, doubted)| *doubted != worker);
        let mut units: Vec<Unit> = self.by_worker.remove(&worker).unwrap_or_default().into_iter().collect();
        units.sort_unstable();
        units.retain(|unit| self.remove_holder(*unit, worker) && !self.count_on_doubted(*unit, now));
        let inputs = units.iter().filter(|unit| matches!(unit, Unit::Input { .. }));
        self.awaited.until_ms.extend(inputs.map(|unit| (*unit, until_ms)));
        units
    }

    /// Nobody can get it from those that hold it: it is awaited as if they were lost.
    pub(super) fn await_reached(&mut self, unit: Unit, until_ms: u64) {
        let holders: Vec<WorkerId> = self.workers(unit).collect();
        for worker in holders {
            if let Some(units) = self.by_worker.get_mut(&worker) {
                units.remove(&unit);
            }
            self.remove_holder(unit, worker);
            self.doubted.insert((unit, worker));
        }
        self.awaited.until_ms.insert(unit, until_ms);
    }

    /// There are workers that have not come, and may hold whatever nobody else does.
    pub(super) fn await_all(&mut self, until_ms: u64) {
        self.awaited.all_until_ms = Some(until_ms);
    }

    /// Whether somebody who is not here may hold the received block, and come with it.
    pub(super) fn is_awaited(&self, unit: Unit) -> bool {
        self.was_lost(unit) || (self.awaited.all_until_ms.is_some() && !self.is_held(unit))
    }

    /// Whether it was held by a worker that is lost, which is awaited.
    pub(super) fn was_lost(&self, unit: Unit) -> bool {
        self.awaited.until_ms.contains_key(&unit)
    }

    /// How many blocks of workers that are lost are awaited.
    pub(super) fn awaited(&self) -> usize {
        self.awaited.until_ms.len()
    }

    pub(super) fn is_any_awaited(&self) -> bool {
        self.awaited.is_any()
    }

    /// Whether who waits for those that are awaited is to look again: something is there that was not when somebody last asked,
    /// or it has taken too long.
    pub(super) fn are_awaited_no_longer(&mut self, now_ms: u64, now: u64) -> bool {
        let is_late = |until_ms: &mut u64| *until_ms <= now_ms;
        let late = self.awaited.until_ms.extract_if(.., |_, until_ms| is_late(until_ms));
        let late: Vec<Unit> = late.map(|(unit, _)| unit).collect();
        late.iter().for_each(|unit| {
            self.count_on_doubted(*unit, now);
        });
        let all_late = self.awaited.all_until_ms.take_if(is_late).is_some();
        std::mem::take(&mut self.awaited.news) || !late.is_empty() || all_late
    }

    /// Nobody holds the unit but those who are doubted. It is theirs again if it cannot be made anew: it may have been the way
    /// to them that was closed. Says whether there are any.
    fn count_on_doubted(&mut self, unit: Unit, now: u64) -> bool {
        if !matches!(unit, Unit::Input { .. }) {
            return false;
        }
        let doubted = self.doubted.extract_if(doubted(unit), |_| true);
        let doubted: Vec<WorkerId> = doubted.map(|(_, worker)| worker).collect();
        doubted.iter().for_each(|worker| self.add(unit, *worker, now));
        !doubted.is_empty()
    }

    /// Whether somebody other than `worker` holds the unit, or is doubted to.
    pub(super) fn may_be_elsewhere(&self, unit: Unit, worker: WorkerId) -> bool {
        let doubted = self.doubted.range(doubted(unit)).map(|(_, worker)| *worker);
        self.workers(unit).chain(doubted).any(|other| other != worker)
    }

    /// Nobody shall hold `unit` any longer. Answers who does, or may.
    pub(super) fn take(&mut self, unit: Unit) -> BTreeSet<WorkerId> {
        self.awaited.remove(unit);
        let mut workers: BTreeSet<WorkerId> =
            self.holders(unit).iter().flat_map(|holders| &holders.0).map(|holder| holder.worker).collect();
        for worker in &workers {
            self.remove_holder(unit, *worker);
            if let Some(units) = self.by_worker.get_mut(worker) {
                units.remove(&unit);
            }
        }
        workers.extend(self.doubted.extract_if(doubted(unit), |_| true).map(|(_, worker)| worker));
        workers
    }

    /// The partitions of a dataset that somebody holds or may hold.
    pub(super) fn partitions(&self, dataset: DatasetId) -> BTreeSet<u32> {
        let unit = |partition| (Unit::Made { dataset, partition }, WorkerId(0));
        let doubted = self.doubted.range(unit(0)..).map_while(|(unit, _)| match unit {
            Unit::Made { dataset: of, partition } if *of == dataset => Some(*partition),
            _ => None,
        });
        let held = self.made.get(&dataset).into_iter().flat_map(|made| made.partitions.keys().copied());
        held.chain(doubted).collect()
    }

    /// What the worker holds, in order.
    pub(super) fn held_by(&self, worker: WorkerId) -> BTreeSet<Unit> {
        self.by_worker.get(&worker).into_iter().flatten().copied().collect()
    }

    /// How many units the worker holds.
    pub(super) fn count(&self, worker: WorkerId) -> usize {
        self.by_worker.get(&worker).map_or(0, HashSet::len)
    }

    /// Received blocks that fewer workers than that hold, in order.
    pub(super) fn inputs_held_by_fewer_than(&self, replicas: usize) -> BTreeSet<Unit> {
        let workers =
            |holders: &Holders| holders.0.iter().filter(|holder| holder.worker != WorkerId::MASTER).count();
        let few = self.inputs.iter().filter(|(_, holders)| workers(holders) < replicas);
        few.map(|((source, sequence), _)| Unit::Input { source: *source, sequence: *sequence }).collect()
    }

    /// How many units there are, each counted once for every worker that holds it or may, or if it is awaited.
    pub(super) fn len(&self) -> usize {
        self.by_worker.values().map(HashSet::len).sum::<usize>() + self.doubted.len() + self.awaited()
    }

    pub(super) fn is_held(&self, unit: Unit) -> bool {
        self.holders(unit).is_some()
    }

    /// The workers that hold `unit`, the lowest first.
    pub(super) fn workers(&self, unit: Unit) -> impl Iterator<Item = WorkerId> {
        self.holders(unit).into_iter().flat_map(|holders| &holders.0).map(|holder| holder.worker)
    }

    /// The lowest worker that holds `unit`, unless `worker` does.
    pub(super) fn elsewhere(&self, unit: Unit, worker: WorkerId) -> Option<WorkerId> {
        self.holders(unit)?.elsewhere(worker)
    }

    /// Where the partitions of a dataset are whose lowest holder has changed since the last call.
    ///
    /// What somebody is told of a shuffle is made of these, so that it costs as much as there was to tell,
    /// and nothing for each task that reads from it.
    pub(super) fn moved(&mut self, dataset: DatasetId) -> Vec<Located> {
        let Some(made) = self.made.get_mut(&dataset) else { return Vec::new() };
        let moved = std::mem::take(&mut made.moved);
        let holder = |partition: u32| Some((partition, made.partitions.get(&partition)?.0.first()?.worker));
        Located::runs(moved.into_iter().filter_map(holder))
    }

    /// What is held of a dataset, if anything is.
    pub(super) fn made(&self, dataset: DatasetId) -> Option<&Made> {
        self.made.get(&dataset)
    }

    /// Whether each of this many partitions of the dataset is held by somebody.
    pub(super) fn is_complete(&self, dataset: DatasetId, partitions: u32) -> bool {
        self.made.get(&dataset).map_or(0, Made::held) >= partitions as usize
    }

    fn holders(&self, unit: Unit) -> Option<&Holders> {
        match unit {
            Unit::Input { source, sequence } => self.inputs.get(&(source, sequence)),
            Unit::Made { dataset, partition } => self.made.get(&dataset)?.partitions.get(&partition),
        }
    }

    /// Says whether now nobody holds it.
    fn remove_holder(&mut self, unit: Unit, worker: WorkerId) -> bool {
        match unit {
            Unit::Input { source, sequence } => {
                let Some(holders) = self.inputs.get_mut(&(source, sequence)) else { return true };
                holders.0.retain(|holder| holder.worker != worker);
                let gone = holders.0.is_empty();
                if gone {
                    self.inputs.remove(&(source, sequence));
                }
                gone
            }
            Unit::Made { dataset, partition } => {
                let Some(made) = self.made.get_mut(&dataset) else { return true };
                let gone = made.remove_holder(partition, worker);
                if made.partitions.is_empty() {
                    self.made.remove(&dataset);
                }
                gone
            }
        }
    }
}

/// All who are doubted to hold the unit.
fn doubted(unit: Unit) -> RangeInclusive<(Unit, WorkerId)> {
    (unit, WorkerId(0))..=(unit, WorkerId(u32::MAX))
}

impl Made {
    fn remove_holder(&mut self, partition: u32, worker: WorkerId) -> bool {
        let Some(holders) = self.partitions.get_mut(&partition) else { return true };
        let before = holders.0.len();
        if holders.0.first().is_some_and(|holder| holder.worker == worker) {
            self.moved.insert(partition);
        }
        holders.0.retain(|holder| holder.worker != worker);
        if holders.0.len() < before
            && let Some(count) = self.by_worker.get_mut(&worker)
        {
            *count -= 1;
            if *count == 0 {
                self.by_worker.remove(&worker);
            }
        }
        let gone = holders.0.is_empty();
        if gone {
            self.partitions.remove(&partition);
        }
        gone
    }
}
