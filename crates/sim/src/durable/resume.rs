//! Going on where the program was.

use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::{
    BlockId, DatasetId, Event,
    progress::{Checkpoint, Interval},
};

use super::{Phase, Purpose, journal::understood};
use crate::{
    description::blocks_of,
    master::CHECKPOINT_INTERVALS,
    program::Made,
    simulation::{Plant, Simulation, What},
    store::{File, Folder, Manifest, Name, Object, Request},
};

impl Simulation {
    pub(super) fn opened_sink(&mut self, committed: u64) {
        self.master.durable.committed_before = committed;
        self.ask(Purpose::ListManifests, Request::List(Folder::Manifests));
    }

    /// Which of them count is not told by what is there: a master that was overtaken may have left some, and one that died
    /// before the log said so.
    pub(super) fn listed_manifests(&mut self, names: Vec<Name>) {
        let mut held = self.master.durable.history.held.clone();
        if self.setting.plant == Some(Plant::TakesWhatIsThere) {
            let checkpoint = |name: &Name| match *name {
                Name::Manifest { interval, epoch } => Some(Checkpoint { number: interval + 1, epoch }),
                _ => None,
            };
            held = names.iter().filter_map(checkpoint).collect();
        }
        let named: Vec<Name> = held.iter().map(|checkpoint| self.name_of_checkpoint(checkpoint)).collect();
        let others = names.into_iter().filter(|name| !named.contains(name));
        self.master.durable.spoiled = others.collect();
        self.ask(Purpose::ReadManifests(held), Request::Get(named));
    }

    pub(super) fn read_manifests(&mut self, held: &[Checkpoint], found: Vec<Option<Object>>) {
        let manifest =
            |object| if let Some(Object::Manifest(manifest)) = object { Some(manifest) } else { None };
        self.master.durable.manifests = found.into_iter().filter_map(manifest).collect();
        if self.master.durable.manifests.len() < held.len() {
            return self.lacks_checkpoint(&format!("a manifest of {held:?}"));
        }
        self.ask(Purpose::ListStates, Request::ListStates);
    }

    /// The log says that it is held.
    fn lacks_checkpoint(&mut self, what: &str) {
        if self.is_overtaken() {
            return self.master_is_over("lacks what another has removed");
        }
        let checked = self.invariants.held.lacks(what);
        self.check(checked);
    }

    /// Of what the log calls held all is there. The newest is used.
    pub(super) fn listed_states(&mut self, listed: BTreeSet<File>) {
        let durable = &mut self.master.durable;
        let files = |manifest: &Manifest| manifest.states.values().map(|(id, _)| *id).collect::<Vec<_>>();
        let lacking = durable.manifests.iter().flat_map(files).find(|id| !listed.contains(id));
        durable.listed = listed;
        let used = durable.manifests.last().cloned();
        if let Some(file) = lacking {
            return self.lacks_checkpoint(&format!("{file:?}"));
        }
        for (what, (file, partitions)) in used.iter().flat_map(|manifest| &manifest.states) {
            self.master.described.read_from(*what, *file, *partitions);
        }
        durable.files = used.as_ref().map(|manifest| manifest.states.clone()).unwrap_or_default();
        self.master.checkpoints.extend(used.as_ref().map(|manifest| manifest.interval));
        self.master.horizon = self.needed_from(used.map(|manifest| manifest.interval));
        let mut inputs = Vec::new();
        let intervals = self.master.durable.history.intervals.iter();
        inputs.extend(intervals.map(|interval| (interval.number - 1, interval.epoch)));
        inputs.retain(|(interval, _)| *interval >= self.master.horizon);
        let name = |(interval, epoch): &(u64, u64)| Name::Input {
            interval: *interval,
            epoch: self.named_by(*epoch),
        };
        let names = inputs.iter().map(name).collect();
        self.ask(Purpose::ReadInputs(inputs), Request::Get(names));
    }

    /// The first interval that anything after a checkpoint looks back at.
    pub(super) fn needed_from(&self, checkpoint: Option<u64>) -> u64 {
        // A state is made from the one before it.
        checkpoint.map_or(0, |at| (at + 2).saturating_sub(self.program.looks_back()).min(at))
    }

    /// Whether another master has claimed the log since this one did, which it will find out.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.invariants.no_two_masters_commit.claimed() > self.master.durable.epoch
    }

    /// What this process is to hold again of what masters before have received.
    pub(super) fn read_inputs(&mut self, intervals: &[(u64, u64)], found: Vec<Option<Object>>) {
        let mut contents = BTreeMap::new();
        for object in found {
            let Some(Object::Input(blocks)) = object else {
                if self.is_overtaken() {
                    return self.master_is_over("lacks what another has removed");
                }
                let checked = self.invariants.inputs.lacks(&format!("{intervals:?}"));
                return self.check(checked);
            };
            contents.extend(blocks);
        }
        self.resume(contents);
    }

    fn resume(&mut self, contents: BTreeMap<BlockId, u64>) {
        let durable = &self.master.durable;
        let start = durable.completed.max(durable.committed_before);
        let horizon = self.master.horizon;
        let mut old = Vec::new();
        let mut known = Vec::new();
        for Interval { number, input, .. } in durable.history.intervals.clone() {
            let (interval, mut input) = (number - 1, understood(&input));
            if self.master.durable.history.aside.contains(&number) {
                // The master before may not have come to let them go.
                old.extend(input.sources.iter_mut().flat_map(std::mem::take).flat_map(|split| split.blocks));
                self.master.described.set_aside(interval);
            }
            for (what, name) in input.kept {
                if Made(what).interval() >= horizon {
                    self.master.described.call(Made(what), name);
                }
            }
            if interval < horizon {
                old.extend(blocks_of(&input.sources).copied());
            } else {
                known.push((interval, input.sources));
            }
            self.master.clients.counted = input.counted;
        }
        let checked =
            self.invariants.inputs.resumes(horizon, start, known.iter().map(|(interval, _)| *interval));
        if !self.is_overtaken() {
            self.check(checked);
        }
        self.step(Event::InputsReleased { blocks: old });
        let last = known.last().map(|(interval, _)| *interval);
        for (interval, sources) in known {
            let held: Vec<(BlockId, u64)> =
                blocks_of(&sources).filter_map(|block| Some((*block, *contents.get(block)?))).collect();
            self.replay_clients(interval, &sources);
            for (block, _) in &held {
                self.master.holding.insert(*block, Default::default());
            }
            self.hold_myself(held);
            self.master.recording.insert(interval);
            self.master.recorded.insert(interval);
            if interval < start {
                let datasets = self.master.described.describe(&self.program, interval, &sources);
                self.master.untold.extend(datasets);
            }
            self.master.received.insert(interval, sources);
        }
        (self.master.next, self.master.first_open) = (start, start);
        self.master.next_saved = start.next_multiple_of(CHECKPOINT_INTERVALS);
        self.master.durable.next_cut = last.map_or(start, |last| (last + 1).max(start));
        let called: BTreeSet<DatasetId> = self.master.described.called().collect();
        self.use_only(called);
        self.log.say(self.now_ms, format_args!("{} goes on with interval {start}", self.master.id));
        self.master.durable.phase = Phase::Running;
        self.take_from_clients();
        self.hold_more();
        self.run_intervals();
        self.at(self.now_ms, What::Due(self.master.id));
    }

    /// An interval may be due.
    pub(crate) fn due(&mut self) {
        let interval = self.master.durable.next_cut;
        let due_ms = (interval + 1) * crate::simulation::INTERVAL_MS;
        if interval >= self.intervals {
            return;
        }
        // Not many before those that run.
        // Nor before the one before is written down, where it is asked for.
        if self.now_ms >= due_ms
            && interval < self.master.first_open + self.ahead + u64::from(self.setting.overlaps)
            && self.may_cut(interval)
        {
            self.master.durable.next_cut += 1;
            self.receive(interval);
            return self.at(self.now_ms + 1, What::Due(self.master.id));
        }
        self.at(due_ms.max(self.now_ms + 20), What::Due(self.master.id));
    }
}
