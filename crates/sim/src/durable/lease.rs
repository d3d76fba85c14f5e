//! Who runs the program.

use std::collections::BTreeSet;

use cutwater_core::{WorkerId, limits};

use super::{Phase, Purpose};
use crate::{
    simulation::{Plant, Simulation, What},
    store::{Answer, Folder, Lease, Name, Object, Request},
};

impl Simulation {
    fn lease_name(&self) -> Name {
        Name::Lease(self.named_by(self.master.durable.epoch))
    }

    /// A standby looks whether somebody runs the program.
    pub(crate) fn look(&mut self) {
        if self.master.durable.phase == Phase::Standby {
            self.ask(Purpose::Look, Request::List(Folder::Leases));
        }
    }

    pub(super) fn looked(&mut self, answer: Answer) {
        match answer {
            // The newest that can be read.
            Answer::Names(names) => self.ask(Purpose::See, Request::Get(names)),
            _ => self.master_ends("cannot read the lease"),
        }
    }

    pub(super) fn saw(&mut self, answer: Answer) {
        let Answer::Found(found) = answer else { return self.master_ends("cannot read the lease") };
        let readable = |object| if let Some(Object::Lease(lease)) = object { Some(lease) } else { None };
        let lease = found.into_iter().rev().find_map(readable);
        let now_ms = self.now_ms;
        let durable = &mut self.master.durable;
        let since_ms = match &durable.seen {
            Some((seen, since_ms)) if *seen == lease => *since_ms,
            _ => now_ms,
        };
        let is_over = lease.as_ref().is_none_or(|lease| {
            // On one machine it is seen at once that a process has ended.
            now_ms - since_ms >= limits::LEASE_LOST_MS
                || (self.one_machine && self.ended.contains(&lease.process))
        });
        durable.seen = Some((lease.clone(), since_ms));
        if !is_over || self.setting.plant == Some(Plant::NeverTakesOver) {
            return self.at(now_ms + limits::LEASE_POLL_MS, What::Look(self.master.id));
        }
        durable.phase = Phase::Claiming;
        self.log.say(now_ms, format_args!("{} wants to be master", self.master.id));
        self.ask(Purpose::ListEpochs, Request::List(Folder::Epochs));
    }

    /// The lease as it is to be written now.
    pub(super) fn lease(&mut self, workers: Option<BTreeSet<WorkerId>>) -> (Name, Object) {
        let name = self.lease_name();
        let durable = &mut self.master.durable;
        if self.setting.plant == Some(Plant::NamesNoneLost) {
            durable.lost.clear();
        }
        durable.beat += 1;
        let (epoch, beat, process, lost) =
            (durable.epoch, durable.beat, self.master.id, durable.lost.clone());
        let lease = Lease { epoch, beat, process, workers, lost };
        (name, Object::Lease(lease))
    }

    /// The master before lets nobody in from now on, since it looks for a later lease when it has named somebody: whom it has
    /// named last are its workers. While they are waited for they are in the lease of this one: whoever takes over next has to
    /// find them.
    pub(super) fn read_leases_before(&mut self, found: Vec<Option<Object>>) {
        let epoch = self.master.durable.epoch;
        let workers = found.into_iter().rev().find_map(|object| match object {
            Some(Object::Lease(lease)) if lease.epoch < epoch => Some((lease.workers?, lease.lost)),
            _ => None,
        });
        let (known, lost) = workers.unwrap_or_default();
        let durable = &mut self.master.durable;
        durable.lost = lost;
        (durable.known, durable.expected) = (known.clone(), known.clone());
        let (name, lease) = self.lease(Some(known));
        self.ask(Purpose::SecondLease, Request::Put(name, lease));
    }

    /// It is time to write the lease again.
    pub(crate) fn keep_lease(&mut self) {
        if self.master.durable.phase < Phase::TakingOver || self.master.durable.naming.is_some() {
            return;
        }
        let durable = &mut self.master.durable;
        durable.lease_news = false;
        let mut workers: BTreeSet<WorkerId> = self.master.links.keys().copied().collect();
        workers.remove(&WorkerId::MASTER);
        workers.extend(&durable.expected);
        workers.extend(durable.entering.keys());
        durable.naming = Some(workers.clone());
        durable.lease_begun_ms = self.now_ms;
        let (name, lease) = self.lease(Some(workers));
        self.ask(Purpose::WriteLease, Request::Put(name, lease));
    }

    /// Who takes over has to find the workers there are.
    pub(crate) fn lease_has_news(&mut self) {
        if self.setting.is_durable() {
            self.master.durable.lease_news = true;
            self.keep_lease();
        }
    }

    /// It was written, or it was not, and is tried again.
    pub(super) fn wrote_lease(&mut self, answer: &Answer) {
        match answer {
            Answer::Done => {
                let durable = &mut self.master.durable;
                durable.standing.beats(durable.lease_begun_ms);
                self.ask(Purpose::ListLeases, Request::List(Folder::Leases));
            }
            _ => self.lease_is_kept(),
        }
    }

    pub(super) fn listed_leases(&mut self, answer: Answer) {
        match answer {
            Answer::Names(names) => self.ask(Purpose::ReadLease, Request::Get(names)),
            _ => self.lease_is_kept(),
        }
    }

    /// A later master either has been found now, or finds whom this one has named.
    pub(super) fn read_lease(&mut self, answer: Answer) {
        if let Answer::Found(found) = answer {
            let epochs = found.into_iter().flatten().filter_map(|object| match object {
                Object::Lease(lease) => Some(lease.epoch),
                _ => None,
            });
            if epochs.max().is_some_and(|epoch| epoch > self.master.durable.epoch) {
                return self.master_is_over("reads that another is master");
            }
            self.master.durable.named = self.master.durable.naming.clone().unwrap_or_default();
        }
        self.lease_is_kept();
        self.let_named_in();
    }

    fn lease_is_kept(&mut self) {
        self.master.durable.naming = None;
        self.at(self.now_ms + limits::LEASE_BEAT_MS, What::KeepLease(self.master.id));
        if self.master.durable.lease_news {
            self.keep_lease();
        }
    }
}
