//! Workers between two masters.

use std::collections::BTreeSet;

use cutwater_core::{BlockId, DatasetId, Event, WorkerId, limits};

use super::{Durable, Phase, Purpose};
use crate::{
    description::blocks_of,
    message::{ToMaster, ToWorker},
    network::{MasterId, Node},
    simulation::{Plant, Simulation, What},
    store::Request,
};

/// How often a worker without a master looks for one where the last one was.
const RECONNECT_MS: u64 = 200;

impl Simulation {
    /// The master whose turn it is has the log, and calls the workers of the one before.
    pub(super) fn call_workers(&mut self) {
        let (me, now_ms) = (self.master.id, self.now_ms);
        self.master.durable.phase = Phase::TakingOver;
        for id in self.master.durable.expected.clone() {
            self.send(Node::Master(me), Node::Worker(id), What::Call(me, id));
        }
        self.at(now_ms + limits::TAKEOVER_MS_MAX, What::TakeoverLate(me));
        self.at(now_ms + limits::LEASE_BEAT_MS, What::KeepLease(me));
        self.have_come();
    }

    /// A master calls a worker. It goes to it, if it is a later one than its own.
    pub(crate) fn called(&mut self, by: MasterId, id: WorkerId) {
        let Some(epoch) = self.master_of(by).map(|master| master.durable.epoch) else { return };
        if self.workers.get(&id).is_some_and(|worker| worker.epoch < epoch) && !self.ended.contains(&by) {
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
        let (place, epoch, orphaned_ms) = (worker.place, worker.epoch, worker.orphaned_ms);
        if self.now_ms > orphaned_ms + limits::REJOIN_MS_MAX {
            self.give_up_batches_of(id);
            return self.ends(id, "has found no other master");
        }
        let masters = self.masters.values().chain([&self.master]);
        let there = masters.filter(|master| {
            let durable = &master.durable;
            durable.place == place && durable.phase >= Phase::TakingOver && durable.epoch > epoch
        });
        let there = there.map(|master| (master.id, master.durable.known.contains(&id)));
        let there = there.into_iter().find(|(id, _)| !self.ended.contains(id));
        match there.filter(|(master, _)| !self.paused.contains_key(master)) {
            Some((master, true)) => self.joins(id, master),
            Some((master, false)) => {
                self.give_up_batches_of(id);
                let message = What::ToMaster(id, master, ToMaster::BeginsAnew);
                self.send(Node::Worker(id), Node::Master(master), message);
                self.ends(id, "is not known to the next master, and begins anew");
            }
            None => self.at(self.now_ms + RECONNECT_MS, What::Rejoin(id)),
        }
    }

    /// Whether a worker is here from now on. A new one is once the lease names it: whoever takes over finds it then, with what
    /// it has received or copied.
    pub(crate) fn lets_in(&mut self, id: WorkerId, slots: u32) -> bool {
        if self.master.durable.not_coming.contains(&id) {
            // Others count as holders of what it received.
            self.tell_worker(id, ToWorker::Stop);
            return false;
        }
        let is_named = self.master.durable.known.contains(&id);
        if !is_named {
            self.master.durable.entering.insert(id, slots);
            self.lease_has_news();
        }
        is_named
    }

    /// The lease names them, and they are here.
    pub(super) fn let_named_in(&mut self) {
        let Durable { entering, named, .. } = &self.master.durable;
        // One after the other: at each the lease is written anew, and has to name those that are yet to follow.
        for id in entering.keys().filter(|id| named.contains(id)).copied().collect::<Vec<_>>() {
            if let Some(slots) = self.master.durable.entering.remove(&id) {
                self.enters(id, slots, Vec::new());
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
        for id in std::mem::take(&mut self.master.durable.expected) {
            if !self.master.links.contains_key(&id) {
                self.log.say(self.now_ms, format_args!("{id} has not come to {}", self.master.id));
                self.master.durable.not_coming.insert(id);
                self.doomed.insert(id);
                self.receiver_is_lost(id);
            }
        }
        self.step(Event::HoldersKnown);
    }

    /// What a worker holds from the time with another master.
    pub(crate) fn still_holds(&mut self, id: WorkerId, blocks: Vec<BlockId>) {
        blocks.iter().for_each(|block| self.holds(id, *block));
        self.step(Event::BlocksHeld { worker: id, blocks: blocks.clone() });
        self.master.durable.reported.extend(blocks);
        self.drop_unused();
    }

    /// Of what workers still hold, only these datasets are used.
    pub(super) fn use_only(&mut self, datasets: BTreeSet<DatasetId>) {
        self.master.durable.used = Some(datasets);
        self.drop_unused();
    }

    /// What is forgotten is of no use to whoever comes late and holds it.
    pub(crate) fn use_no_longer(&mut self, datasets: &[DatasetId]) {
        if let Some(used) = &mut self.master.durable.used
            && self.setting.plant != Some(Plant::KeepsWhatNobodyReads)
        {
            used.retain(|dataset| !datasets.contains(dataset));
        }
    }

    /// What nobody will ask for was made for jobs of masters before, or received for intervals that are over or never
    /// were.
    fn drop_unused(&mut self) {
        let durable = &mut self.master.durable;
        let Some(used) = &durable.used else { return };
        let received = self.master.received.values();
        let inputs: BTreeSet<BlockId> = received.flat_map(|input| blocks_of(input)).copied().collect();
        let clients = self.program.clients;
        let keeps_inputs = self.setting.plant == Some(Plant::KeepsWhatNobodyReads);
        let is_unused = |block: &BlockId| match block {
            // Its receiver may be yet to report it again.
            BlockId::Input { source, .. } if Some(*source) == clients => false,
            BlockId::Input { .. } => !keeps_inputs && !inputs.contains(block),
            BlockId::Partition { dataset, .. } => !used.contains(dataset),
            BlockId::Piece { .. } => true,
        };
        let blocks: Vec<BlockId> =
            std::mem::take(&mut durable.reported).into_iter().filter(is_unused).collect();
        self.master.holders.retain(|block, _| !blocks.contains(block));
        self.step(Event::InputsReleased { blocks });
    }

    /// Another master runs the program: this one can do nothing any more.
    pub(crate) fn master_is_over(&mut self, why: &str) {
        // Its workers are left alone: they are the other's.
        self.master_ends(why);
    }
}
