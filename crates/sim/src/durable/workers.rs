//! Workers between two masters.

use std::collections::BTreeSet;

use cutwater_core::{BlockId, DatasetId, Event, WorkerId, clients::Kept, limits, standing::Standing};

use super::{Durable, Phase, Purpose};
use crate::{
    clients::Inbox,
    description::blocks_of,
    master::Master,
    message::ToMaster,
    network::{MasterId, Node},
    simulation::{Plant, Simulation, What},
    store::Request,
    worker::Worker,
};

/// How often a worker without a master looks for one where the last one was.
const RECONNECT_MS: u64 = 200;

impl Simulation {
    /// The master whose turn it is has the log, and calls the workers of the one before.
    pub(super) fn call_workers(&mut self) {
        let (me, now_ms) = (self.master.id, self.now_ms);
        self.master.durable.phase = Phase::TakingOver;
        self.master.durable.standing = Standing::new(now_ms);
        for id in &self.master.durable.expected | &self.master.durable.lost {
            self.send(Node::Master(me), Node::Worker(id), What::Call(me, id));
        }
        self.at(now_ms + limits::TAKEOVER_MS_MAX, What::TakeoverLate(me));
        self.at(now_ms + limits::LEASE_BEAT_MS, What::KeepLease(me));
        self.have_come();
    }

    /// A master calls a worker. It goes to it, if it is a later one than its own; one that has had another name since is where
    /// it was.
    pub(crate) fn called(&mut self, by: MasterId, id: WorkerId) {
        let Some(epoch) = self.master_of(by).map(|master| master.durable.epoch) else { return };
        let is_there = |(me, worker): &(&WorkerId, &Worker)| **me == id || worker.names_before.contains(&id);
        let Some((id, worker)) = self.workers.iter().find(is_there) else { return };
        let id = *id;
        if worker.epoch < epoch && !self.ended.contains(&by) {
            self.loses_master(id, "is called by another master");
            self.joins(id, by);
        }
    }

    pub(crate) fn joins(&mut self, id: WorkerId, master: MasterId) {
        let Some(durable) = self.master_of(master).map(|master| &master.durable) else { return };
        let (epoch, place) = (durable.epoch, durable.place);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        (worker.master, worker.epoch, worker.place, worker.heard_ms) =
            (Some(master), epoch, place, self.now_ms);
        let (slots, holds) = (worker.slots as u32, worker.blocks.keys().copied().collect::<Vec<_>>());
        worker.inbox.replicas.told(&holds);
        self.tell_master(id, ToMaster::Joined { slots, holds });
    }

    /// A worker is without a master, and waits for another one.
    pub(crate) fn loses_master(&mut self, id: WorkerId, why: &str) {
        let now_ms = self.now_ms;
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let Some(before) = worker.master.take() else { return };
        worker.begin_anew();
        worker.orphaned_ms = now_ms;
        let running: Vec<_> = worker.running().collect();
        self.log.say(now_ms, format_args!("{id} {why}"));
        self.send(Node::Worker(id), Node::Master(before), What::Closed(id, before));
        for attempt in running {
            // It stops at the next records, or has none any more.
            if self.dice.one_in(2) {
                self.at(now_ms + 3, What::Ends(id, attempt));
            }
        }
        self.at(now_ms + RECONNECT_MS, What::Rejoin(id));
    }

    /// A worker without a master looks where the last one was.
    pub(crate) fn rejoin(&mut self, id: WorkerId) {
        let Some(worker) = self.workers.get(&id).filter(|worker| worker.master.is_none()) else { return };
        if self.now_ms > worker.orphaned_ms + limits::REJOIN_MS_MAX {
            self.give_up_batches_of(id);
            return self.ends(id, "has found no other master");
        }
        match self.answers(worker, id) {
            Some((master, true)) => self.joins(id, master),
            Some((master, false)) => {
                // It hears of the loss before the worker hears that it counts as lost.
                if self.turn(master) {
                    self.begins_anew(id);
                }
                self.comes_again(id, master);
            }
            None => self.at(self.now_ms + RECONNECT_MS, What::Rejoin(id)),
        }
    }

    /// The master that answers a worker which has lost the one that it had, and whether it is known to that.
    fn answers(&self, worker: &Worker, id: WorkerId) -> Option<(MasterId, bool)> {
        let masters = self.masters.values().chain([&self.master]);
        let there = masters.filter(|master| {
            let durable = &master.durable;
            let is_begun = !self.setting.takeovers || durable.phase >= Phase::TakingOver;
            durable.place == worker.place
                && is_begun
                && durable.epoch >= worker.epoch
                && !self.ended.contains(&master.id)
        });
        let there = there.into_iter().find(|master| !self.paused.contains_key(&master.id))?;
        let is_known = there.durable.epoch > worker.epoch && there.durable.known.contains(&id);
        let (here, way) = (Node::Worker(id), Node::Master(there.id));
        let is_reached = !self.network.is_closed(here, way) && !self.network.is_closed(way, here);
        let is_sure = !self.setting.takeovers || there.durable.standing.is_sure(self.now_ms);
        // Another master may be about to call it, and need what it holds.
        (is_known || (is_reached && is_sure)).then_some((there.id, is_known))
    }

    /// A worker that is lost to the master that is there comes under another name, with what it holds.
    pub(crate) fn comes_again(&mut self, id: WorkerId, master: MasterId) {
        let Some(worker) = self.workers.remove(&id) else { return };
        let me = self.new_worker();
        self.log.say(self.now_ms, format_args!("{id} counts as lost, and comes again as {me}"));
        self.inbox_ends(id, &worker.inbox);
        let kept = Kept::of(&worker.inbox.own, &worker.inbox.replicas);
        let (own, readable) = kept.named(me);
        let mut again = Worker::new(me, worker.slots, master, self.now_ms);
        again.slow = worker.slow;
        again.names_before = worker.names_before;
        again.names_before.insert(id);
        again.inbox = Inbox::of(me, own);
        if self.setting.plant != Some(Plant::ComesWithNothing) {
            again.blocks = worker.blocks;
        }
        self.workers.insert(me, again);
        if self.setting.plant != Some(Plant::ComesWithNothing) {
            readable.into_iter().for_each(|(block, batches)| self.store_received(me, block, batches));
        }
        self.joins(me, master);
    }

    /// Whether a worker is here from now on. A new one is once the lease names it: whoever takes over finds it then, with what
    /// it has received or copied.
    pub(crate) fn lets_in(&mut self, id: WorkerId, slots: u32, holds: &[BlockId]) -> bool {
        let Durable { not_coming, lost, .. } = &self.master.durable;
        if not_coming.contains(&id) || lost.contains(&id) {
            // Others count as holders of what it received. It comes back as a new one.
            let me = self.master.id;
            self.send(Node::Master(me), Node::Worker(id), What::Ended(me, id));
            return false;
        }
        let is_named = self.master.durable.known.contains(&id);
        if !is_named {
            self.master.durable.entering.insert(id, (slots, holds.to_vec()));
            self.lease_has_news();
        }
        is_named
    }

    /// The lease names them, and they are here.
    pub(super) fn let_named_in(&mut self) {
        let Durable { entering, named, .. } = &self.master.durable;
        // One after the other: at each the lease is written anew, and has to name those that are yet to follow.
        for id in entering.keys().filter(|id| named.contains(id)).copied().collect::<Vec<_>>() {
            if let Some((slots, holds)) = self.master.durable.entering.remove(&id) {
                self.enters(id, slots, holds);
            }
        }
    }

    /// A worker that no master knows any more, and that comes back as a new one.
    pub(crate) fn begins_anew(&mut self, id: WorkerId) {
        match self.master.links.contains_key(&id) {
            true => self.lost(id),
            false => self.receiver_is_lost(id),
        }
    }

    /// A worker has come, or is lost: perhaps all have come that are waited for.
    pub(crate) fn have_come(&mut self) {
        self.lease_has_news();
        let links = &self.master.links;
        let durable = &self.master.durable;
        if durable.phase == Phase::TakingOver && durable.expected.iter().all(|id| links.contains_key(id)) {
            self.wait_no_longer();
        }
        let is_there = self.master.links.keys().any(|id| *id != WorkerId::MASTER);
        if self.master.durable.all_came && self.master.durable.phase == Phase::TakingOver && is_there {
            self.master.durable.phase = Phase::Resuming;
            let epoch = self.master.durable.epoch;
            self.ask(Purpose::OpenSink, Request::Open { epoch });
        }
    }

    pub(crate) fn takeover_is_late(&mut self) {
        if self.master.durable.phase == Phase::TakingOver {
            self.wait_no_longer();
            self.have_come();
        }
    }

    /// Whoever has not come counts as lost.
    fn wait_no_longer(&mut self) {
        if std::mem::replace(&mut self.master.durable.all_came, true) {
            return;
        }
        let Durable { expected, lost, .. } = &mut self.master.durable;
        let all = &*expected | &*lost;
        for id in std::mem::take(expected) {
            if !self.master.links.contains_key(&id) {
                lost.insert(id);
            }
        }
        for id in all {
            if !self.master.links.contains_key(&id) {
                self.log.say(self.now_ms, format_args!("{id} has not come to {}", self.master.id));
                self.master.durable.not_coming.insert(id);
                self.doom(id);
                self.receiver_is_lost(id);
                self.step(Event::HoldersMissing);
            }
        }
        self.step(Event::HoldersKnown);
    }

    /// What a worker holds from the time with another master, or from before it was lost.
    pub(crate) fn still_holds(&mut self, id: WorkerId, blocks: Vec<BlockId>) {
        // What is used of the time with another master may not be known yet.
        let is_known = self.master.durable.used.is_some() || self.master.durable.known.is_empty();
        let mut unwanted = blocks.clone();
        unwanted.retain(|block| is_known && !self.wants(block));
        blocks.iter().for_each(|block| self.holds(id, *block));
        self.step(Event::BlocksHeld { worker: id, blocks: blocks.clone() });
        if is_known {
            self.let_go_of(unwanted);
            self.step(Event::HoldersKnown);
            self.comes_back(id);
        } else {
            self.master.durable.reported.extend(blocks);
        }
    }

    /// Whether somebody may ask for a block that a worker comes with.
    fn wants(&self, block: &BlockId) -> bool {
        let Master { scheduler, clients, .. } = &self.master;
        clients.reception.may_need(block).unwrap_or_else(|| scheduler.wants(block) || self.is_used(block))
    }

    fn is_used(&self, block: &BlockId) -> bool {
        let keeps_inputs = self.setting.plant == Some(Plant::KeepsWhatNobodyReads);
        let mut inputs = self.master.received.values().flat_map(|input| blocks_of(input));
        match block {
            // Its receiver may be yet to report it again.
            BlockId::Input { source, .. } if Some(*source) == self.program.clients => true,
            BlockId::Input { .. } => keeps_inputs || inputs.any(|input| input == block),
            BlockId::Partition { dataset, .. } => {
                self.master.durable.used.as_ref().is_some_and(|used| used.contains(dataset))
            }
            BlockId::Piece { .. } => false,
        }
    }

    fn let_go_of(&mut self, blocks: Vec<BlockId>) {
        self.master.holders.retain(|block, _| !blocks.contains(block));
        self.step(Event::InputsReleased { blocks });
    }

    /// Of what workers still hold, only these datasets are used. What nobody will ask for was made for jobs of masters before,
    /// or received for intervals that are over or never were.
    pub(super) fn use_only(&mut self, datasets: BTreeSet<DatasetId>) {
        self.master.durable.used = Some(datasets);
        let mut blocks = std::mem::take(&mut self.master.durable.reported);
        blocks.retain(|block| !self.is_used(block));
        self.let_go_of(blocks);
    }

    /// What is forgotten is of no use to whoever comes late and holds it.
    pub(crate) fn use_no_longer(&mut self, datasets: &[DatasetId]) {
        if let Some(used) = &mut self.master.durable.used
            && self.setting.plant != Some(Plant::KeepsWhatNobodyReads)
        {
            used.retain(|dataset| !datasets.contains(dataset));
        }
    }

    /// Another master runs the program: this one can do nothing any more.
    pub(crate) fn master_is_over(&mut self, why: &str) {
        // Its workers are left alone: they are the other's.
        self.master_ends(why);
    }
}
