//! Who runs the program.

use cutwater_core::limits;

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
        durable.before = lease;
        durable.phase = Phase::Claiming;
        self.log.say(now_ms, format_args!("{} wants to be master", self.master.id));
        self.ask(Purpose::ListEpochs, Request::List(Folder::Epochs));
    }

    /// The lease as it is to be written now. While workers are waited for they are in it: whoever takes over next has to
    /// find them.
    pub(super) fn lease(&mut self) -> (Name, Object) {
        let name = self.lease_name();
        let durable = &mut self.master.durable;
        durable.beat += 1;
        let mut workers: std::collections::BTreeSet<_> = self.master.links.keys().copied().collect();
        workers.remove(&cutwater_core::WorkerId::MASTER);
        workers.extend(&durable.expected);
        let lease = Lease { epoch: durable.epoch, beat: durable.beat, process: self.master.id, workers };
        (name, Object::Lease(lease))
    }

    /// It is time to write the lease again.
    pub(crate) fn keep_lease(&mut self) {
        if self.master.durable.phase >= Phase::TakingOver && !self.master.durable.beating {
            self.master.durable.beating = true;
            self.ask(Purpose::ListLeases, Request::List(Folder::Leases));
        }
    }

    /// Who takes over has to find the workers there are.
    pub(crate) fn lease_has_news(&mut self) {
        if self.setting.is_durable() {
            self.keep_lease();
        }
    }

    pub(super) fn listed_leases(&mut self, answer: Answer) {
        match answer {
            Answer::Names(names) => self.ask(Purpose::ReadLease, Request::Get(names)),
            _ => self.wrote_lease(),
        }
    }

    pub(super) fn read_lease(&mut self, answer: Answer) {
        if let Answer::Found(found) = answer {
            let epochs = found.into_iter().flatten().filter_map(|object| match object {
                Object::Lease(lease) => Some(lease.epoch),
                _ => None,
            });
            if epochs.max().is_some_and(|epoch| epoch > self.master.durable.epoch) {
                return self.master_is_over("reads that another is master");
            }
        }
        let (name, lease) = self.lease();
        self.ask(Purpose::WriteLease, Request::Put(name, lease));
    }

    /// It was written, or it was not, and is tried again.
    pub(super) fn wrote_lease(&mut self) {
        self.master.durable.beating = false;
        self.at(self.now_ms + limits::LEASE_BEAT_MS, What::KeepLease(self.master.id));
    }
}
