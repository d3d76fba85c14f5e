//! The master process: the program, the scheduler, and what is said to workers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use cutwater_core::{
    Attempt, BlockId, Command, Dataset, DatasetId, Event, JobId, Scheduler, Split, Stage, StageId, Task,
    TaskError, Whereabouts, WorkerId, limits,
};

use crate::{
    message::{Ran, ToMaster, ToWorker},
    network::Node,
    program::{self, interval_of},
    simulation::{Simulation, What},
    worker::Worker,
};

/// Blocks that an interval has of one source at most.
const BLOCKS: u64 = 16;

/// Intervals between checkpoints.
const CHECKPOINT_INTERVALS: u64 = 3;

#[derive(Default)]
pub struct Master {
    pub scheduler: Scheduler,
    pub links: BTreeMap<WorkerId, Link>,
    /// Blocks that were received and are not held by as many as they should.
    holding: BTreeMap<BlockId, Holding>,
    turn: usize,
    /// What was received of each interval that is not over, source by source.
    received: BTreeMap<u64, Vec<Vec<BlockId>>>,
    /// The next interval to run, and the first that is not over.
    pub next: u64,
    pub first_open: u64,
    /// Intervals whose input is written down.
    recorded: BTreeSet<u64>,
    recording: BTreeSet<u64>,
    pub jobs: BTreeMap<JobId, Wanted>,
    results: BTreeMap<Attempt, u64>,
    stages: BTreeMap<StageId, Arc<Stage>>,
    located: BTreeMap<DatasetId, Whereabouts>,
    /// Who holds received blocks and states, as far as was said.
    pub holders: BTreeMap<BlockId, BTreeSet<WorkerId>>,
    /// Partitions that are still to be written, of the checkpoint that is being made.
    saving: Option<(u64, BTreeSet<(DatasetId, u32)>)>,
    checkpoints: BTreeSet<u64>,
    /// What is older is forgotten.
    pub horizon: u64,
}

/// A worker as the master knows it.
pub struct Link {
    pub heard_ms: u64,
    pub leaving: bool,
    /// The scheduler has heard of it.
    draining: bool,
    /// It was told that it may.
    released: bool,
}

pub struct Wanted {
    pub interval: u64,
    /// What was not forgotten when it was asked for, and may be needed by what runs for it.
    pub horizon: u64,
    pub target: DatasetId,
}

#[derive(Default)]
struct Holding {
    asked: BTreeSet<WorkerId>,
    held: BTreeSet<WorkerId>,
}

impl Simulation {
    /// Tells the scheduler, and does what it says.
    pub(crate) fn step(&mut self, event: Event) {
        let mut commands = self.master.scheduler.step(Event::Clock { now_ms: self.now_ms });
        commands.extend(self.master.scheduler.step(event));
        for command in commands {
            self.carry_out(command);
        }
    }

    pub(crate) fn tick(&mut self) {
        if self.master.scheduler.watches_time() {
            for command in self.master.scheduler.step(Event::Clock { now_ms: self.now_ms }) {
                self.carry_out(command);
            }
        }
    }

    fn carry_out(&mut self, command: Command) {
        self.log.say(self.now_ms, format_args!("{}", shown(&command)));
        match command {
            Command::DefineStage { id, stage } => {
                self.master.stages.insert(id, stage);
            }
            Command::RetireStage { id } => {
                self.master.stages.remove(&id);
            }
            Command::Locate { shuffle, located } => {
                let noted = self.master.located.entry(shuffle).or_default().note(&located);
                self.check(noted.map_err(|error| error.to_string()));
            }
            Command::Launch { worker, task } => self.launch(worker, task),
            Command::CancelAttempt { worker, attempt } => self.tell_worker(worker, ToWorker::Cancel(attempt)),
            Command::AcceptResult { job, partition, attempt } => {
                let (Some(wanted), Some(value)) =
                    (self.master.jobs.get(&job), self.master.results.get(&attempt))
                else {
                    return self.check(Err(format!("{attempt} is accepted for {job} and is unknown")));
                };
                let right = self.program.right(wanted.target, partition);
                let checked = self.invariants.outputs.accepted(job, partition, *value, right);
                self.check(checked);
            }
            Command::JobFinished { job } => {
                let Some(wanted) = self.master.jobs.remove(&job) else { return };
                let partitions = self.program.dataset(wanted.target).partitions;
                let checked = self.invariants.outputs.finished(job, partitions);
                self.check(checked);
                self.interval_ends(wanted.interval);
            }
            Command::JobFailed { job, error } => {
                let checked = self.invariants.needed.job_failed(job, &error);
                self.check(checked);
            }
            Command::DropBlocks { worker, blocks } => {
                for block in &blocks {
                    let checked = self.invariants.needed.dropped(block, self.master.horizon);
                    self.check(checked);
                }
                self.tell_worker(worker, ToWorker::Drop(blocks));
            }
            Command::CopyBlocks { to: WorkerId::MASTER, .. } => {
                self.check(Err("the master is to copy blocks, and is no worker".to_owned()));
            }
            Command::CopyBlocks { from, to, blocks } => self.tell_worker(to, ToWorker::Copy { from, blocks }),
            Command::ReleaseWorker { worker } => {
                // What it has not said that it holds is waited for, and is given to another.
                let alone = self.needed_of(worker).any(|holders| holders.iter().eq([&worker]));
                let checked = self.invariants.needed.released(worker, alone, self.now_ms);
                self.check(checked);
                self.doomed.insert(worker);
                if let Some(link) = self.master.links.get_mut(&worker) {
                    link.released = true;
                }
                self.tell_worker(worker, ToWorker::Stop);
            }
            // Nothing depends on what is fetched ahead.
            Command::FetchAhead { .. } | Command::NoWorkers => {}
        }
    }

    fn launch(&mut self, worker: WorkerId, task: Task) {
        let Some(stage) = self.master.stages.get(&task.attempt.stage).cloned() else {
            return self.check(Err(format!("{} was not defined", task.attempt)));
        };
        let mut remote = task.remote.clone();
        for (shuffle, reduces) in &task.pieces {
            for map in 0..self.program.dataset(*shuffle).partitions {
                if let Some(holder) = self.master.located.get(shuffle).and_then(|pieces| pieces.holder(map)) {
                    let piece = |reduce| (BlockId::Piece { dataset: *shuffle, map, reduce }, holder);
                    remote.extend(reduces.clone().map(piece));
                }
            }
        }
        self.tell_worker(worker, ToWorker::Run { task, stage, remote });
    }

    pub(crate) fn master_hears(&mut self, id: WorkerId, message: ToMaster) {
        let now_ms = self.now_ms;
        if let ToMaster::Joined { slots } = message {
            self.log.say(now_ms, format_args!("{id} joins"));
            self.master
                .links
                .insert(id, Link { heard_ms: now_ms, leaving: false, draining: false, released: false });
            self.step(Event::WorkerJoined { worker: id, slots });
            return self.hold_more();
        }
        // Whoever is lost is not heard any more, whatever is still on its way.
        let Some(link) = self.master.links.get_mut(&id) else { return };
        link.heard_ms = now_ms;
        match message {
            ToMaster::Joined { .. } | ToMaster::Ping => {}
            ToMaster::Ran { attempt, result: Ok(Ran { value, stored, read }) } => {
                for block in stored.iter().filter(|block| matches!(block, BlockId::Partition { .. })) {
                    self.master.holders.entry(*block).or_default().insert(id);
                }
                self.master.results.insert(attempt, value);
                self.step(Event::TaskFinished { attempt, worker: id, stored, read });
                self.master.results.remove(&attempt);
            }
            ToMaster::Ran { attempt, result: Err(error) } => {
                if let TaskError::FetchFailed { block, worker } = &error
                    && let Some(holders) = self.master.holders.get_mut(block)
                    && holders.len() > 1
                {
                    // The scheduler counts on that one no longer.
                    holders.remove(worker);
                }
                self.step(Event::TaskFailed { attempt, worker: id, error });
            }
            ToMaster::Held(block) => {
                self.holds(id, block);
                self.step(Event::BlocksHeld { worker: id, blocks: vec![block] });
                let is_released = self.master.links.get(&id).is_none_or(|link| link.released);
                if let Some(holding) = self.master.holding.get_mut(&block).filter(|_| !is_released) {
                    holding.asked.remove(&id);
                    holding.held.insert(id);
                }
                self.hold_more();
                self.drain_ready();
            }
            ToMaster::Copied(blocks) => {
                blocks.iter().for_each(|block| self.holds(id, *block));
                self.step(Event::BlocksCopied { worker: id, blocks });
            }
            ToMaster::NotCopied(blocks) => self.step(Event::CopyFailed { worker: id, blocks }),
            ToMaster::Saved { dataset, partition } => self.saved(dataset, partition),
            ToMaster::Draining => {
                link.leaving = true;
                self.drain_ready();
            }
        }
    }

    /// The scheduler hears that a worker wants to leave when it knows all that the worker holds.
    fn drain_ready(&mut self) {
        let waits = |id: &WorkerId| self.master.holding.values().any(|holding| holding.asked.contains(id));
        let leaving = self.master.links.iter().filter(|(_, link)| link.leaving && !link.draining);
        let ready: Vec<WorkerId> = leaving.map(|(id, _)| *id).filter(|id| !waits(id)).collect();
        for id in ready {
            if let Some(link) = self.master.links.get_mut(&id) {
                link.draining = true;
            }
            self.invariants.needed.drains(id, self.now_ms);
            self.step(Event::WorkerDraining { worker: id });
        }
    }

    fn holds(&mut self, id: WorkerId, block: BlockId) {
        // What was let go meanwhile is dropped again.
        if interval_of_block(&block).is_some_and(|interval| interval >= self.master.horizon) {
            self.master.holders.entry(block).or_default().insert(id);
        }
    }

    /// The connection of a worker has ended, or it was silent for too long.
    pub(crate) fn lost(&mut self, id: WorkerId) {
        if self.master.links.remove(&id).is_none() {
            return;
        }
        self.log.say(self.now_ms, format_args!("{id} is lost"));
        self.master.holders.retain(|_, holders| {
            holders.remove(&id);
            !holders.is_empty()
        });
        for holding in self.master.holding.values_mut() {
            holding.asked.remove(&id);
            holding.held.remove(&id);
        }
        self.step(Event::WorkerLost { worker: id });
        self.hold_more();
        // If it lives, it learns that it is not wanted any more.
        self.send(Node::Master, Node::Worker(id), What::Ended(id));
    }

    /// The master is one more that holds blocks; it is no worker, and nothing that happens to those happens to it.
    pub(crate) fn let_master_hold(&mut self) {
        self.workers.insert(WorkerId::MASTER, Worker::new(0, 0));
        let link = Link { heard_ms: 0, leaving: false, draining: false, released: false };
        self.master.links.insert(WorkerId::MASTER, link);
        self.step(Event::WorkerJoined { worker: WorkerId::MASTER, slots: 0 });
    }

    /// Records of the next interval have arrived from outside.
    pub(crate) fn receive(&mut self, interval: u64) {
        let mut received = Vec::new();
        for source in 0..self.program.sources {
            let blocks = self.dice.below(4);
            let block = |n| BlockId::Input { source, sequence: interval * BLOCKS + n };
            received.push((0..blocks).map(block).collect::<Vec<_>>());
        }
        for block in received.iter().flatten() {
            self.master.holding.insert(*block, Holding::default());
        }
        if self.setting.master_holds {
            let blocks: Vec<BlockId> = received.iter().flatten().copied().collect();
            if let Some(master) = self.workers.get_mut(&WorkerId::MASTER) {
                master.blocks.extend(blocks.iter().map(|block| (*block, program::received(block))));
            }
            blocks.iter().for_each(|block| self.holds(WorkerId::MASTER, *block));
            self.step(Event::BlocksHeld { worker: WorkerId::MASTER, blocks });
        }
        self.master.received.insert(interval, received);
        self.hold_more();
    }

    /// Sends received blocks to as many workers as are to hold them, and runs the intervals that have all theirs.
    fn hold_more(&mut self) {
        let links = || self.master.links.iter().filter(|(id, _)| **id != WorkerId::MASTER);
        let all: Vec<WorkerId> = links().filter(|(_, link)| !link.released).map(|(id, _)| *id).collect();
        let staying: Vec<WorkerId> = links().filter(|(_, link)| !link.leaving).map(|(id, _)| *id).collect();
        let workers = if staying.is_empty() { &all } else { &staying };
        let mut told = Vec::new();
        for (block, holding) in &mut self.master.holding {
            let candidates =
                workers.iter().filter(|id| !holding.asked.contains(id) && !holding.held.contains(id));
            let candidates: Vec<WorkerId> = candidates.copied().collect();
            let missing = limits::REPLICAS.saturating_sub(holding.asked.len() + holding.held.len());
            self.master.turn += 1;
            let begin = self.master.turn % candidates.len().max(1);
            for id in candidates.iter().cycle().skip(begin).take(missing.min(candidates.len())) {
                holding.asked.insert(*id);
                told.push((*id, *block));
            }
        }
        for (id, block) in told {
            self.tell_worker(id, ToWorker::Hold(block));
        }
        self.master.holding.retain(|_, holding| !holding.asked.is_empty() || holding.held.is_empty());
        let complete = |blocks: &Vec<Vec<BlockId>>| {
            blocks.iter().flatten().all(|block| !self.master.holding.contains_key(block))
        };
        let ready: Vec<u64> = self
            .master
            .received
            .iter()
            .filter(|(interval, blocks)| !self.master.recording.contains(interval) && complete(blocks))
            .map(|(interval, _)| *interval)
            .collect();
        for interval in ready {
            self.master.recording.insert(interval);
            // It is written down before it runs, and the writing takes its time.
            let takes_ms = 1 + self.dice.below(40);
            self.at(self.now_ms + takes_ms, What::Recorded(interval));
        }
    }

    pub(crate) fn recorded(&mut self, interval: u64) {
        self.invariants.inputs.recorded(interval);
        self.master.recorded.insert(interval);
        self.run_intervals();
    }

    /// Runs intervals in order, some at the same time.
    fn run_intervals(&mut self) {
        while self.master.recorded.contains(&self.master.next)
            && self.master.next < self.master.first_open + self.ahead
        {
            let interval = self.master.next;
            self.master.next += 1;
            let datasets = self.program.describe(interval, &self.master.received[&interval]);
            for (n, target) in self.program.wanted(interval).into_iter().enumerate() {
                let job = JobId(interval * BLOCKS + n as u64);
                self.log.say(self.now_ms, format_args!("{job} wants {target}"));
                let checked = self.invariants.inputs.submitted(interval);
                self.check(checked);
                self.invariants.outputs.submitted(job);
                let horizon = self.master.horizon;
                self.master.jobs.insert(job, Wanted { interval, horizon, target });
                self.step(Event::JobSubmitted { job, datasets: datasets.clone(), target });
            }
        }
    }

    fn interval_ends(&mut self, interval: u64) {
        let is_last = |wanted: &Wanted| wanted.interval != interval;
        // What is not of the program is of no interval.
        if interval >= self.master.next || !self.master.jobs.values().all(is_last) {
            return;
        }
        self.log.say(self.now_ms, format_args!("interval {interval} is over"));
        self.invariants.progress.interval_ended(self.now_ms);
        let open = self.master.jobs.values().map(|wanted| wanted.interval).min();
        self.master.first_open = open.unwrap_or(self.master.next);
        if open.is_none() {
            // What runs may still read from shuffles that are forgotten, and is not told again where they are.
            let horizon = self.master.horizon;
            self.master.located.retain(|shuffle, _| interval_of(*shuffle) >= horizon);
        }
        if interval.is_multiple_of(CHECKPOINT_INTERVALS) && self.master.saving.is_none() {
            let mut partitions = BTreeSet::new();
            for state in self.program.states(interval) {
                partitions.extend((0..state.partitions).map(|partition| (state.id, partition)));
            }
            self.master.saving = Some((interval, partitions));
            self.save();
        }
        self.forget();
        self.run_intervals();
    }

    /// Asks whoever holds them for the partitions that the checkpoint still lacks. It is given up if nobody does.
    pub(crate) fn save(&mut self) {
        let Some((interval, partitions)) = self.master.saving.clone() else { return };
        if partitions.is_empty() {
            for state in self.program.states(interval) {
                self.store.write_manifest(state.id);
                let split = Split { blocks: Vec::new(), place: Arc::from(&b"checkpoint"[..]) };
                let splits = vec![split; state.partitions as usize].into();
                let dataset = Dataset { parents: Vec::new(), splits, ..(*state).clone() };
                self.step(Event::LineageReplaced { dataset: Arc::new(dataset) });
            }
            self.log.say(self.now_ms, format_args!("checkpoint {interval} is whole"));
            self.master.saving = None;
            self.master.checkpoints.insert(interval);
            return self.forget();
        }
        for (dataset, partition) in partitions {
            let holders = self.master.holders.get(&BlockId::Partition { dataset, partition });
            match holders.and_then(|holders| holders.first().copied()) {
                Some(holder) => self.tell_worker(holder, ToWorker::Save { dataset, partition }),
                None => {
                    self.master.saving = None;
                    return;
                }
            }
        }
    }

    fn saved(&mut self, dataset: DatasetId, partition: u32) {
        if let Some((_, partitions)) = &mut self.master.saving
            && partitions.remove(&(dataset, partition))
            && partitions.is_empty()
        {
            self.save();
        }
    }

    /// Lets go of everything that no interval to come can need.
    fn forget(&mut self) {
        // Whatever is after the last checkpoint that no open interval is before may have to be made again, with
        // all that it looks back at. That may be states, each made again from the checkpoint before it, and
        // they look back in their turn.
        let last = self.master.checkpoints.range(..=self.master.first_open).next_back().copied().unwrap_or(0);
        let behind = |checkpoint: u64| {
            let reach = (checkpoint + 2).saturating_sub(self.program.looks_back()).min(checkpoint);
            self.master.checkpoints.range(..=reach).next_back()
        };
        let whole = behind(behind(last).copied().unwrap_or(0));
        let horizon = whole.copied().unwrap_or(0);
        if horizon <= self.master.horizon {
            return;
        }
        let range = self.master.horizon..horizon;
        self.master.horizon = horizon;
        self.let_go(range);
    }

    pub(crate) fn let_go(&mut self, intervals: std::ops::Range<u64>) {
        let datasets: Vec<DatasetId> =
            intervals.clone().flat_map(|interval| self.program.names(interval)).collect();
        let mut blocks = Vec::new();
        for interval in intervals.clone() {
            blocks.extend(self.master.received.remove(&interval).into_iter().flatten().flatten());
        }
        self.master.holders.retain(|block, _| {
            interval_of_block(block).is_none_or(|interval| !intervals.contains(&interval))
        });
        self.step(Event::Forgotten { datasets });
        self.step(Event::InputsReleased { blocks });
    }

    /// Who is known to hold each of the received blocks that are needed and that this worker holds.
    pub(crate) fn needed_of(&self, id: WorkerId) -> impl Iterator<Item = BTreeSet<WorkerId>> {
        let blocks = self.workers.get(&id).into_iter().flat_map(|worker| worker.blocks.keys());
        let needed = |block: &&BlockId| {
            matches!(block, BlockId::Input { .. })
                && interval_of_block(block).is_some_and(|interval| interval >= self.master.horizon)
        };
        blocks.filter(needed).map(|block| self.master.holders.get(block).cloned().unwrap_or_default())
    }
}

/// The interval that a received block or a partition is of.
pub fn interval_of_block(block: &BlockId) -> Option<u64> {
    match *block {
        BlockId::Input { sequence, .. } => Some(sequence / BLOCKS),
        BlockId::Partition { dataset, .. } => Some(interval_of(dataset)),
        BlockId::Piece { .. } => None,
    }
}

fn shown(command: &Command) -> String {
    match command {
        Command::DefineStage { id, stage } => format!("define {id} for {}", stage.target),
        Command::Launch { worker, task } => {
            format!("{worker} runs {} for {} {:?}", task.attempt, task.target, task.remote)
        }
        other => format!("{other:?}"),
    }
}
