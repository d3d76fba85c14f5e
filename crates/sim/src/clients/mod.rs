//! Records of clients: numbered batches that workers receive, replicate among themselves, and report to the master when an
//! interval is cut. What decides in it is `cutwater_core::clients`; the rest does what `cutwater`'s runtime does.
//!
//! # Layout, in the order in which a batch goes
//! - `client`: sends batches, and sends again what was not acknowledged, to another worker if one does not answer.
//! - `receiver`: a worker takes them into its blocks.
//! - `replicate`: another worker holds them too.
//! - `cut`: the master makes an interval of what workers report.

mod client;
mod cut;
mod receiver;
mod replicate;

use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{
    BlockId, Split, WorkerId,
    clients::{BatchReport, Held, InputBlock, Replicas},
};

use crate::{program, simulation::Simulation};

pub use client::Client;
pub use cut::FromClients;
pub use receiver::Inbox;

pub use cutwater_core::clients::Numbered;

/// What is known of batches by one who sees all.
#[derive(Default)]
pub struct Clients {
    pub all: Vec<Client>,
    /// What the blocks consist of of which workers hold but the number that stands for all.
    contents: BTreeMap<u64, Vec<(BatchReport, u64)>>,
    /// The batches of the blocks of intervals, as they were reported.
    reported: BTreeMap<BlockId, Vec<Numbered>>,
}

impl Clients {
    /// The number that stands for a block of these batches.
    fn block(&mut self, batches: Vec<(BatchReport, u64)>) -> u64 {
        let value = value(&batches);
        self.contents.insert(value, batches);
        value
    }

    /// What the block consists of for which that number stands.
    fn contents_of(&self, value: u64) -> &[(BatchReport, u64)] {
        self.contents.get(&value).map(Vec::as_slice).unwrap_or_default()
    }

    /// What a worker holds of that source.
    fn held(&self, of: u32, blocks: &BTreeMap<BlockId, u64>, replicas: &Replicas<u64>) -> Held {
        let held = blocks.iter().filter_map(|(block, value)| match *block {
            BlockId::Input { source, sequence }
                if source == of && !replicas.awaits_report(source, sequence) =>
            {
                let batches = self.contents.get(value)?.iter().map(|(report, _)| *report).collect();
                Some(InputBlock { source, sequence, batches })
            }
            _ => None,
        });
        Held { blocks: held.collect(), owners: replicas.owners().into_iter().collect() }
    }

    /// What a task reads of a block, if the split says that some of its batches are left out.
    pub fn part(&self, value: u64, place: &[u8]) -> u64 {
        let (false, Some(batches)) = (place.is_empty(), self.contents.get(&value)) else { return value };
        self::value(&counted(batches, place))
    }

    /// What is to be read of blocks by who reads what was reported.
    pub fn parts(&self, sources: &[Vec<Split>]) -> BTreeMap<BlockId, u64> {
        let part = |(block, batches): (BlockId, Vec<Numbered>)| {
            let values: Vec<u64> =
                batches.iter().map(|(client, sequence)| program::batch(*client, *sequence)).collect();
            (block, program::batches(&values))
        };
        self.counted(sources).map(part).collect()
    }

    /// The batches that count in each block.
    pub fn counted(&self, sources: &[Vec<Split>]) -> impl Iterator<Item = (BlockId, Vec<Numbered>)> {
        let of_clients = sources.iter().flatten().filter(|split| !split.place.is_empty());
        let blocks = of_clients.flat_map(|split| split.blocks.iter().map(|block| (*block, &split.place)));
        blocks.map(|(block, place)| {
            let reported = self.reported.get(&block).map(Vec::as_slice).unwrap_or_default();
            (block, counted(reported, place))
        })
    }

    /// A block was reported. Whoever reports one of that name must mean the same.
    fn note(&mut self, block: &InputBlock) -> Result<(), String> {
        let batches: Vec<Numbered> =
            block.batches.iter().map(|batch| (batch.client, batch.sequence)).collect();
        let known = self.reported.entry(block.id()).or_insert_with(|| batches.clone());
        if *known != batches {
            return Err(format!("{} is reported with {known:?}, and then with {batches:?}", block.id()));
        }
        Ok(())
    }
}

fn value(batches: &[(BatchReport, u64)]) -> u64 {
    let contents: Vec<u64> = batches.iter().map(|(_, content)| *content).collect();
    program::batches(&contents)
}

/// Those that the split does not leave out.
fn counted<T: Clone>(batches: &[T], place: &[u8]) -> Vec<T> {
    let left_out: BTreeSet<u32> = postcard::from_bytes(place).unwrap_or_default();
    let counted = (0..).zip(batches).filter(|(at, _)| !left_out.contains(at));
    counted.map(|(_, batch)| batch.clone()).collect()
}

impl Simulation {
    /// Who holds each batch that was acknowledged and that is still needed. Of one that is of an interval only those count
    /// that hold the block in which it counts.
    pub(crate) fn holders_of_batches(&self) -> BTreeMap<Numbered, BTreeSet<WorkerId>> {
        let records = &self.invariants.records;
        let mut holders: BTreeMap<Numbered, BTreeSet<WorkerId>> =
            records.needed().map(|batch| (batch, BTreeSet::new())).collect();
        for (id, worker) in &self.workers {
            let unreported = worker.inbox.own.batches().chain(worker.inbox.counted_on());
            for batch in unreported.map(|batch| (batch.client, batch.sequence)) {
                if records.counted_in(batch).is_none()
                    && let Some(holders) = holders.get_mut(&batch)
                {
                    holders.insert(*id);
                }
            }
            for block in worker.blocks.keys() {
                for batch in self.clients.reported.get(block).into_iter().flatten() {
                    if records.counted_in(*batch).is_none_or(|counted_in| counted_in == *block)
                        && let Some(holders) = holders.get_mut(batch)
                    {
                        holders.insert(*id);
                    }
                }
            }
        }
        holders
    }

    /// A worker that no master has found is about to end: what only it holds is lost, and known to be.
    pub(crate) fn give_up_batches_of(&mut self, id: WorkerId) {
        for (batch, holders) in self.holders_of_batches() {
            if holders.iter().eq([&id]) {
                self.log.say(self.now_ms, format_args!("{}#{} is lost with {id}", batch.0, batch.1));
                let is_gone = |other: WorkerId| other != id && !self.workers.contains_key(&other);
                self.invariants.records.give_up(batch, is_gone);
            }
        }
    }

    /// Whether every batch that must not be lost, and that the worker holds, is left to somebody else.
    pub(crate) fn clients_may_lose(&self, id: WorkerId, lasts: impl Fn(WorkerId) -> bool) -> bool {
        let is_left =
            |holders: &BTreeSet<WorkerId>| holders.iter().any(|other| *other != id && lasts(*other));
        let mut holders = self.holders_of_batches().into_values();
        self.program.clients.is_none() || holders.all(|holders| !holders.contains(&id) || is_left(&holders))
    }
}
