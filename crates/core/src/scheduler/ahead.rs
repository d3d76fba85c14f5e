//! What workers may fetch before the tasks that read it are launched.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

use crate::{DatasetId, StageId, WorkerId, limits};

use super::{Command, Scheduler, inputs::Inputs, placement::Workers, stage_run::StageRun};

/// Where the tasks of a run are expected to be sent once all that they wait for is there.
///
/// A guess, made once from where states are. A wrong one costs what was fetched for nothing, and changes
/// nothing else: a task is placed when it is launched, and fetches whatever it then lacks.
#[derive(Debug, Default)]
pub(super) struct Homes {
    /// Tasks that read nothing but pieces are best anywhere; these were given a place.
    places: BTreeMap<u32, WorkerId>,
    reads: BTreeMap<(DatasetId, WorkerId), Reads>,
}

/// What a worker is expected to read from a shuffle.
#[derive(Debug, Default)]
struct Reads {
    reduces: BTreeSet<u32>,
    /// How many map partitions that others hold it was told of.
    told: usize,
}

impl Homes {
    /// Where the task was given a place, if it might go anywhere.
    pub(super) fn place(&self, partition: u32) -> Option<WorkerId> {
        self.places.get(&partition).copied()
    }

    fn expect(&mut self, inputs: &Inputs, worker: WorkerId) {
        for (shuffle, reduce) in inputs.reduces() {
            let reduces = &mut self.reads.entry((shuffle, worker)).or_default().reduces;
            if reduces.len() < limits::AHEAD_REDUCES_MAX {
                reduces.insert(reduce);
            }
        }
    }

    /// Whether all of them are still given tasks.
    fn are_there(&self, workers: &Workers) -> bool {
        self.reads.keys().all(|(_, worker)| workers.slots_of(*worker) > 0)
    }
}

impl Scheduler {
    /// Tells workers that they may fetch what has been written so far of shuffles that are not finished.
    ///
    /// It is looked at a bounded number of times a second, and of each shuffle a worker hears only when another
    /// part of it is there. Nobody hears of what it holds itself.
    pub(super) fn fetch_ahead(&mut self) {
        if self.now_ms < self.ahead_at_ms || self.workers.len() < 2 {
            return;
        }
        self.ahead_at_ms = self.now_ms + limits::CLOCK_MS;
        let news: Vec<StageId> =
            self.runs.iter().filter(|(_, run)| self.has_more_for_readers(run)).map(|(id, _)| *id).collect();
        for id in news {
            self.tell_readers(id);
        }
    }

    fn has_more_for_readers(&self, run: &StageRun) -> bool {
        let (None, Some(launched_ms)) = (run.job, run.launched_ms) else { return false };
        if run.dependents.is_empty() || self.now_ms < launched_ms + limits::AHEAD_MS_MIN {
            return false;
        }
        let Ok(dataset) = self.datasets.get(run.stage.target) else { return false };
        let held = self.blocks.made(dataset.id).map_or(0, |made| made.held());
        held.saturating_sub(run.told_ahead) * limits::AHEAD_PARTS >= dataset.partitions as usize
    }

    /// Whoever is expected to read from the shuffle that the run writes for is told that there is more of it.
    fn tell_readers(&mut self, id: StageId) {
        let Some(run) = self.runs.get_mut(&id) else { return };
        let (shuffle, readers) = (run.stage.target, run.dependents.clone());
        let Some(made) = self.blocks.made(shuffle) else { return };
        run.told_ahead = made.held();
        let mut told = Vec::new();
        for reader in readers {
            self.find_homes(reader);
            let Some(made) = self.blocks.made(shuffle) else { return };
            let Some(homes) = self.runs.get_mut(&reader).and_then(|run| run.homes.as_mut()) else { continue };
            let of_shuffle = (shuffle, WorkerId(0))..=(shuffle, WorkerId(u32::MAX));
            for ((_, worker), reads) in homes.reads.range_mut(of_shuffle) {
                let own = made.by_worker().get(worker).copied().unwrap_or(0);
                let elsewhere = made.held() - own as usize;
                if elsewhere > reads.told {
                    reads.told = elsewhere;
                    let reduces = ranges(&reads.reduces);
                    told.push(Command::FetchAhead { worker: *worker, shuffle, reduces });
                }
            }
        }
        if !told.is_empty() {
            self.locate(shuffle);
            self.commands.extend(told);
        }
    }

    /// Once for a run, unless a worker on which tasks were expected is gone.
    fn find_homes(&mut self, id: StageId) {
        let Some(run) = self.runs.get(&id) else { return };
        if run.homes.as_ref().is_none_or(|homes| !homes.are_there(&self.workers)) {
            let homes = self.homes_of(run);
            if let Some(run) = self.runs.get_mut(&id) {
                run.homes = Some(homes);
            }
        }
    }

    /// Where the first tasks are expected, as many as workers take at a time. A task goes where its state is. Those
    /// without any take all slots there are, if they are enough for that; fewer go where most of their pieces
    /// will be, which is not known yet.
    fn homes_of(&self, run: &StageRun) -> Homes {
        let mut homes = Homes::default();
        if run.urgency.is_background() {
            return homes;
        }
        let slots = self.workers.slots();
        let mut anywhere = Vec::new();
        for partition in run.todo.iter().take(slots * (1 + limits::WAITING_PER_SLOT)) {
            // What is wrong with it the task finds out for itself.
            let inputs = Inputs::of(&self.datasets, &self.blocks, run.stage.target, *partition);
            let Ok(inputs) = inputs else { continue };
            if inputs.whole().next().is_none() {
                anywhere.push((*partition, inputs));
            } else if let Some(home) = self.workers.home(&inputs.weights(&self.blocks)) {
                homes.expect(&inputs, home);
            }
        }
        if anywhere.len() >= slots && homes.reads.is_empty() {
            for ((partition, inputs), worker) in anywhere.iter().zip(self.workers.all_slots()) {
                homes.places.insert(*partition, worker);
                homes.expect(inputs, worker);
            }
        }
        homes
    }
}

/// Numbers in as few words as possible.
fn ranges(numbers: &BTreeSet<u32>) -> Vec<Range<u32>> {
    let mut ranges: Vec<Range<u32>> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some(last) if last.end == *number => last.end += 1,
            _ => ranges.push(*number..number + 1),
        }
    }
    ranges
}
