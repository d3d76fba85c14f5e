//! Intervals whose outputs are done: they are committed, states are written down, and what is behind goes.

use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{limits, progress::News};

use super::Purpose;
use crate::{
    program::Made,
    simulation::{Plant, Simulation},
    store::{Answer, File, Manifest, Name, Object, Request},
};

/// How many manifests are held. If the newest cannot be read, the one before is used.
pub(crate) const MANIFESTS_HELD: usize = 2;

impl Simulation {
    /// Commits the oldest interval that is not, if all of it is there.
    pub(crate) fn commit(&mut self) {
        let interval = self.master.first_open;
        if self.master.durable.committing.is_some()
            || self.master.durable.setting_aside.is_some()
            || interval >= self.master.next
            || self.master.jobs.values().any(|wanted| wanted.interval == interval)
        {
            return;
        }
        let outputs = self.master.accepted.remove(&interval).unwrap_or_default();
        if self.master.failed.remove(&interval) {
            return self.say_aside(interval);
        }
        self.master.durable.committing = Some((interval, outputs));
        self.ask_to_commit(interval, 1);
    }

    /// What an interval that has failed is made from is let go when the log says that it is set aside: if this master dies
    /// before, the next runs it again.
    fn say_aside(&mut self, interval: u64) {
        self.master.durable.setting_aside = Some(interval);
        if self.setting.plant == Some(Plant::SetsAsideUnsaid) {
            self.set_aside(interval);
        }
        self.tell_journal(News::SetAside { number: interval + 1 }, None);
    }

    pub(super) fn said_aside(&mut self, interval: u64) {
        self.master.durable.setting_aside = None;
        if self.setting.plant != Some(Plant::SetsAsideUnsaid) {
            self.set_aside(interval);
        }
        self.master.first_open = interval + 1;
        self.forget();
        self.run_intervals();
        self.commit();
    }

    fn ask_to_commit(&mut self, interval: u64, tries: u32) {
        let Some((_, outputs)) = self.master.durable.committing.clone() else { return };
        let epoch = self.master.durable.epoch;
        self.ask(Purpose::Commit { interval, tries }, Request::Commit { epoch, interval, outputs });
    }

    pub(super) fn committed(&mut self, interval: u64, tries: u32, answer: &Answer) {
        match answer {
            Answer::Done => {}
            Answer::Fenced => return self.master_is_over("may not commit any more"),
            _ if tries < limits::SINK_ATTEMPTS_MAX => return self.ask_to_commit(interval, tries + 1),
            _ => return self.master_is_over("cannot commit"),
        }
        self.master.durable.committing = None;
        self.master.first_open = interval + 1;
        self.completed(interval);
        let is_quiet = self.master.saving.is_none() && self.master.durable.unsaid.is_none();
        if interval >= self.master.next_saved && is_quiet {
            self.begin_saving(self.needed_from(Some(interval)), interval);
        }
        self.forget();
        self.run_intervals();
        self.commit();
    }

    /// All states of the checkpoint are there, and it is to be said so.
    pub(crate) fn write_manifest(&mut self, interval: u64) {
        self.master.saving = None;
        let mut states = BTreeMap::new();
        let (from, epoch) = (self.needed_from(Some(interval)), self.master.durable.epoch);
        for what in (from..=interval).flat_map(|t| self.program.states(t)) {
            let known = self.master.durable.files.get(&what).copied();
            let file = |dataset| File { epoch, dataset };
            let made = self.master.described.get(what).map(|state| (file(state.id), state.partitions));
            states.extend(known.or(made).map(|state| (what, state)));
        }
        let manifest = Manifest { interval, epoch, states };
        let name = self.name_of(&manifest);
        self.master.durable.unsaid = Some(manifest.clone());
        self.ask(Purpose::WriteManifest, Request::Put(name, Object::Manifest(manifest)));
    }

    fn name_of(&self, manifest: &Manifest) -> Name {
        self.name_of_checkpoint(&manifest.checkpoint())
    }

    pub(super) fn wrote_manifest(&mut self, answer: &Answer) {
        if !matches!(answer, Answer::Done) {
            // Those before are held; it is tried again after some intervals. What may be there counts for nothing.
            let failed = self.master.durable.unsaid.take().map(|manifest| self.name_of(&manifest));
            return self.master.durable.spoiled.extend(failed);
        }
        let durable = &self.master.durable;
        let surplus = (durable.manifests.len() + 1).saturating_sub(MANIFESTS_HELD);
        let all = durable.manifests.iter().chain(&durable.unsaid).map(Manifest::checkpoint);
        let news = News::Held { checkpoints: all.skip(surplus).collect() };
        self.tell_journal(news, None);
        if self.setting.plant == Some(Plant::RemovesUnsaid) {
            self.is_held_now();
        }
    }

    /// The log says that the newest checkpoint is held.
    pub(super) fn is_held_now(&mut self) {
        let Some(manifest) = self.master.durable.unsaid.take() else { return };
        self.log.say(self.now_ms, format_args!("checkpoint {} is whole", manifest.interval));
        let new: Vec<Made> = manifest
            .states
            .keys()
            .filter(|what| !self.master.durable.files.contains_key(what))
            .copied()
            .collect();
        for what in new {
            self.is_saved(what);
        }
        self.master.durable.files.extend(&manifest.states);
        self.master.durable.listed.extend(manifest.states.values().map(|(id, _)| *id));
        self.master.checkpoints.insert(manifest.interval);
        self.master.durable.manifests.push(manifest);
        self.forget();
        self.remove_unneeded();
    }

    /// First what refers to files and then the files; and then what only an older manifest needed of the log.
    fn remove_unneeded(&mut self) {
        let surplus = self.master.durable.manifests.len().saturating_sub(MANIFESTS_HELD);
        let old: Vec<Manifest> = self.master.durable.manifests.drain(..surplus).collect();
        let mut names = std::mem::take(&mut self.master.durable.spoiled);
        names.extend(old.iter().map(|manifest| self.name_of(manifest)));
        for name in names {
            self.remove(vec![name]);
        }
        let Some(oldest) = self.master.durable.manifests.first().map(|oldest| oldest.interval) else {
            return;
        };
        let horizon = self.master.jobs.values().map(|wanted| wanted.horizon).min();
        let horizon = horizon.unwrap_or(self.master.horizon).min(self.master.horizon);
        let held = self.master.durable.manifests.iter().flat_map(|manifest| manifest.states.values());
        let held: BTreeSet<File> = held.map(|(id, _)| *id).collect();
        let alive = self.master.durable.files.iter().filter(|(what, _)| what.interval() >= horizon);
        let alive: BTreeSet<File> = alive.map(|(_, (id, _))| *id).collect();
        self.master.durable.files.retain(|what, (id, _)| what.interval() >= horizon || held.contains(id));
        let unneeded: Vec<File> = self
            .master
            .durable
            .listed
            .extract_if(.., |id| !held.contains(id) && !alive.contains(id))
            .collect();
        self.ask(Purpose::Nothing, Request::DeleteStates(unneeded));
        let needed = self.needed_from(Some(oldest));
        let needed = if self.setting.plant == Some(Plant::ForgetsTooMuch) { oldest + 2 } else { needed };
        self.remove_entries_before(needed);
    }

    pub(super) fn remove(&mut self, names: Vec<Name>) {
        self.ask(Purpose::Remove(names.clone()), Request::Delete(names));
    }

    /// What may not have been removed is tried again with the next that go.
    pub(super) fn removed(&mut self, names: Vec<Name>, answer: &Answer) {
        if !matches!(answer, Answer::Done) {
            self.master.durable.spoiled.extend(names);
        }
    }

    /// Lets go of what is behind the newest checkpoint, as far as no open interval is.
    pub(crate) fn forget_what_is_written(&mut self) {
        let last = self.master.checkpoints.range(..=self.master.first_open).next_back().copied();
        let horizon = self.needed_from(last);
        let too_much = u64::from(self.setting.plant == Some(Plant::ForgetsTooEarly) && last.is_some());
        self.forget_before(horizon + too_much);
    }
}
