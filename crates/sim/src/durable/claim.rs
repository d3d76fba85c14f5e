//! An epoch, and the progress log.

use cutwater_core::progress::{Claim, Entry, History, News, Outcome};

use super::Purpose;
use crate::{
    description::Description,
    simulation::{Plant, Simulation},
    store::{Folder, Name, Object, Request},
};

impl Simulation {
    pub(super) fn listed_epochs(&mut self, names: &[Name]) {
        let last = names.iter().filter_map(epoch_of).max().unwrap_or(0);
        self.master.durable.ordinal = names.len() as u64;
        let skew_ms = self.skews_ms[self.master.durable.place as usize % self.skews_ms.len()];
        self.create_epoch(last.max(self.now_ms + skew_ms) + 1);
    }

    fn create_epoch(&mut self, epoch: u64) {
        self.ask(Purpose::CreateEpoch(epoch), Request::Create(Name::Epoch(epoch), Object::Nothing));
    }

    pub(super) fn created_epoch(&mut self, epoch: u64, created: bool) {
        if !created {
            return self.create_epoch(epoch + 1);
        }
        self.master.durable.epoch = epoch;
        self.ask(Purpose::ListEpochsAgain, Request::List(Folder::Epochs));
    }

    /// How many there were before is known only now: others may have begun at the same time.
    pub(super) fn listed_epochs_again(&mut self, names: &[Name]) {
        let epochs: Vec<u64> = names.iter().filter_map(epoch_of).collect();
        let durable = &mut self.master.durable;
        if epochs.last() != Some(&durable.epoch) {
            return self.listed_epochs(names);
        }
        durable.ordinal = epochs.len() as u64 - 1;
        self.has_epoch();
    }

    fn has_epoch(&mut self) {
        let ordinal = self.master.durable.ordinal;
        self.log.say(self.now_ms, format_args!("{} has epoch {}", self.master.id, self.master.durable.epoch));
        self.master.described = Description::new(ordinal);
        self.master.scheduler = cutwater_core::Scheduler::new().naming_from(self.master.first_name());
        self.ask(Purpose::ListLog, Request::List(Folder::Log));
    }

    pub(super) fn listed_log(&mut self, names: &[Name]) {
        let position = |name: &Name| if let Name::Entry(position) = name { Some(*position) } else { None };
        let positions: Vec<u64> = names.iter().filter_map(position).collect();
        self.ask(Purpose::ReadLog(positions), Request::Get(names.to_vec()));
    }

    pub(super) fn read_log(&mut self, positions: &[u64], found: Vec<Option<Object>>) {
        let next = positions.last().map_or(0, |last| last + 1);
        let durable = &mut self.master.durable;
        (durable.history, durable.entries) = Default::default();
        let mut is_torn = false;
        for (position, object) in positions.iter().zip(found) {
            match object {
                Some(Object::Entry(entry)) => {
                    if is_torn && !Entry::is_torn_before(Some(&entry)) {
                        return self.check(Err(format!("an entry before {position} was read, and is torn")));
                    }
                    is_torn = false;
                    durable.entries.push((*position, entry.clone()));
                    durable.history.take(entry);
                }
                Some(_) if self.setting.plant == Some(Plant::StopsAtTornEntries) => {
                    return self.master_ends("cannot read the log");
                }
                Some(_) => is_torn = true,
                None => {}
            }
        }
        let durable = &mut self.master.durable;
        let read = match self.setting.plant {
            Some(Plant::ClaimsLate) => History::default(),
            _ => durable.history.clone(),
        };
        match Claim::new(durable.epoch, &read, next) {
            Ok(claim) => {
                durable.claim = Some(claim);
                self.create_claim();
            }
            Err(_) => self.master_ends("comes too late"),
        }
    }

    fn create_claim(&mut self) {
        let durable = &self.master.durable;
        let Some(claim) = &durable.claim else { return };
        let (name, entry) = (Name::Entry(claim.position()), claim.entry(durable.history.completed));
        self.ask(Purpose::Claim, Request::Create(name, Object::Entry(entry)));
    }

    pub(super) fn created_claim(&mut self, created: bool) {
        if created {
            return self.look_for_the_end();
        }
        let Some(claim) = &self.master.durable.claim else { return };
        let name = Name::Entry(claim.position());
        self.ask(Purpose::ReadTaken, Request::Get(vec![name]));
    }

    pub(super) fn read_taken(&mut self, found: Vec<Option<Object>>) {
        let found = found.into_iter().next().flatten();
        let Some(claim) = &mut self.master.durable.claim else { return };
        let position = claim.position();
        let Some(Object::Entry(entry)) = found else {
            claim.taken_by_torn();
            return self.create_claim();
        };
        match claim.taken_by(&entry) {
            Outcome::Written => self.look_for_the_end(),
            Outcome::Again => {
                self.master.durable.entries.push((position, entry.clone()));
                self.master.durable.history.take(entry);
                self.create_claim();
            }
            Outcome::Fenced => self.master_ends("comes too late"),
        }
    }

    /// The claim is there: is it at the end?
    fn look_for_the_end(&mut self) {
        self.ask(Purpose::FindEnd, Request::List(Folder::Log));
    }

    pub(super) fn found_end(&mut self, names: &[Name]) {
        let position = |name: &Name| if let Name::Entry(position) = name { Some(*position) } else { None };
        let last = names.iter().filter_map(position).max().unwrap_or(0);
        let durable = &mut self.master.durable;
        let Some(claim) = durable.claim.take() else { return };
        let entry = (claim.position(), claim.entry(durable.history.completed));
        let Some(writer) = claim.written(last) else { return self.listed_log(names) };
        self.claims += 1;
        durable.entries.push(entry);
        durable.writer = Some(writer);
        (durable.completed, durable.said) = (durable.history.completed, durable.history.completed);
        self.log.say(self.now_ms, format_args!("{} is master", self.master.id));
        self.let_master_hold();
        let (name, lease) = self.lease(None);
        self.ask(Purpose::FirstLease, Request::Put(name, lease));
    }
}

fn epoch_of(name: &Name) -> Option<u64> {
    if let Name::Epoch(epoch) = name { Some(*epoch) } else { None }
}

/// The interval that an entry is about.
pub(super) fn number_of(entry: &Entry) -> Option<u64> {
    match entry.news {
        News::Interval { number, .. } | News::SetAside { number } => Some(number),
        News::Claimed | News::Completed | News::Held { .. } => None,
    }
}
