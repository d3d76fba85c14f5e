//! The master process: the program, the scheduler, and what is said to workers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use cutwater_core::{
    Attempt, BlockId, Command, Dataset, DatasetId, Event, JobId, Scheduler, Split, StageId, Task, TaskError,
    Whereabouts, WorkerId, limits,
};

use crate::{
    clients::FromClients,
    description::{Description, Plan, blocks_of, reading},
    durable::{Durable, Phase},
    message::{Ran, ToMaster, ToWorker},
    network::{MasterId, Node},
    program::{self, Made, NAMED_APART_BITS, interval_of},
    simulation::{Plant, Simulation, What},
    store::{File, Outputs},
    worker::Worker,
};

/// Blocks that an interval has of one source at most.
pub const BLOCKS: u64 = 16;

/// Intervals between checkpoints.
pub const CHECKPOINT_INTERVALS: u64 = 3;

pub struct Master {
    pub id: MasterId,
    /// What it does beside running intervals, if there may be others.
    pub durable: Durable,
    pub described: Description,
    /// Datasets that were described and that the scheduler was not told of.
    pub untold: Vec<Arc<Dataset>>,
    pub scheduler: Scheduler,
    /// What it has said and what is yet to be done.
    commands: VecDeque<Command>,
    carries_out: bool,
    pub links: BTreeMap<WorkerId, Link>,
    /// Blocks that were received and are not held by as many as they should.
    pub holding: BTreeMap<BlockId, Holding>,
    turn: usize,
    /// What was received of each interval that is not over, source by source.
    pub received: BTreeMap<u64, Vec<Vec<Split>>>,
    /// What it has of clients.
    pub clients: FromClients,
    /// What this process has received itself and holds.
    pub own: BTreeMap<BlockId, u64>,
    /// The next interval to run, and the first that is not over.
    pub next: u64,
    pub first_open: u64,
    /// The interval of which what follows from it alone is being made.
    pub begun: Option<u64>,
    /// Intervals whose input is written down.
    pub recorded: BTreeSet<u64>,
    pub recording: BTreeSet<u64>,
    pub jobs: BTreeMap<JobId, Wanted>,
    /// Intervals of which something has failed.
    pub failed: BTreeSet<u64>,
    /// What was accepted of intervals that are not over.
    pub accepted: BTreeMap<u64, Outputs>,
    results: BTreeMap<Attempt, u64>,
    stages: BTreeMap<StageId, Arc<Plan>>,
    located: BTreeMap<DatasetId, Whereabouts>,
    /// Who holds received blocks and states, as far as was said.
    pub holders: BTreeMap<BlockId, BTreeSet<WorkerId>>,
    /// Partitions that are still to be written, of the checkpoint that is being made.
    pub saving: Option<(u64, BTreeSet<(DatasetId, u32)>)>,
    /// The next is of that interval, or of the first after it that can have one.
    pub next_saved: u64,
    pub checkpoints: BTreeSet<u64>,
    /// What is older is forgotten.
    pub horizon: u64,
}

/// A worker as the master knows it.
#[derive(Default)]
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
    pub target: Made,
}

impl Master {
    pub fn new(id: MasterId, durable: Durable, clients: Option<u32>) -> Self {
        let clients = FromClients::new(clients);
        let (described, untold, scheduler, links, holding) = Default::default();
        let (turn, received, own, next, first_open, recorded, recording) = Default::default();
        let (jobs, accepted, results, stages, located, holders) = Default::default();
        let (saving, next_saved, checkpoints, horizon, begun, commands, carries_out, failed) =
            Default::default();
        Self {
            id,
            durable,
            described,
            untold,
            scheduler,
            commands,
            carries_out,
            links,
            holding,
            turn,
            received,
            clients,
            own,
            next,
            first_open,
            begun,
            recorded,
            recording,
            jobs,
            failed,
            accepted,
            results,
            stages,
            located,
            holders,
            saving,
            next_saved,
            checkpoints,
            horizon,
        }
    }

    /// What it names has names from here on.
    pub fn first_name(&self) -> u64 {
        self.durable.ordinal << NAMED_APART_BITS
    }
}

#[derive(Default)]
pub struct Holding {
    asked: BTreeSet<WorkerId>,
    held: BTreeSet<WorkerId>,
}

impl Simulation {
    /// Tells the scheduler, and does what it says.
    pub(crate) fn step(&mut self, event: Event) {
        if let Event::InputsReleased { blocks } = &event {
            self.master.clients.reception.released(blocks);
        }
        let mut commands = self.master.scheduler.step(Event::Clock { now_ms: self.now_ms });
        commands.extend(self.master.scheduler.step(event));
        if !self.setting.overlaps {
            // As it was when seeds were drawn that have found something.
            return commands.into_iter().for_each(|command| self.carry_out(command));
        }
        // What follows from one of them comes after the others.
        self.master.commands.extend(commands);
        if std::mem::replace(&mut self.master.carries_out, true) {
            return;
        }
        while let Some(command) = self.master.commands.pop_front() {
            self.carry_out(command);
        }
        self.master.carries_out = false;
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
                let checked = self.invariants.needed.defined(self.master.id, &stage);
                self.check(checked);
                let plan = self.master.described.plan(stage);
                self.master.stages.insert(id, Arc::new(plan));
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
                let (wanted_of, target, value) = (wanted.interval, wanted.target, *value);
                // Another may have set aside what this one still runs.
                let right = match self.setting.failures && self.is_overtaken() {
                    true => value,
                    false => self.reference.right(target, partition),
                };
                let checked = self.invariants.outputs.accepted(self.master.id, job, partition, value, right);
                self.check(checked);
                if self.setting.is_durable() {
                    let outputs = self.master.accepted.entry(wanted_of).or_default();
                    outputs.entry(target).or_default().insert(partition, value);
                }
            }
            Command::JobFinished { job } => {
                let Some(wanted) = self.master.jobs.remove(&job) else { return };
                let partitions = self.master.described.get(wanted.target).map_or(0, |it| it.partitions);
                let checked = self.invariants.outputs.finished(self.master.id, job, partitions);
                self.check(checked);
                self.interval_ends(wanted.interval);
            }
            Command::JobFailed { job, error: TaskError::User { .. } } if self.setting.failures => {
                let Some(wanted) = self.master.jobs.remove(&job) else { return };
                self.invariants.outputs.failed(self.master.id, job);
                self.master.failed.insert(wanted.interval);
                let checked = self.is_failing(wanted.interval);
                self.check(checked);
                self.interval_ends(wanted.interval);
            }
            Command::JobFailed { job, error } => {
                if self.setting.is_durable() && self.is_overtaken() {
                    // Another removes what it does not need itself. What is to be said of the interval has no place in the log.
                    return self.master_is_over("lacks what another has removed");
                }
                let checked = self.invariants.needed.job_failed(job, &error);
                self.check(checked);
            }
            Command::DropBlocks { worker, blocks } => {
                for block in &blocks {
                    // Who copies something for a master before may have copied what others hold, and what is written
                    // down with its interval.
                    let mut holders = self.master.holders.get(block).into_iter().flatten();
                    let is_held = self.setting.takeovers
                        && (self.master.durable.phase < Phase::Running
                            || holders.any(|holder| *holder != worker));
                    if self.reference.knows(block) && !is_held {
                        let interval = self.master.clients.interval_of(block);
                        let checked = self.invariants.needed.dropped(block, interval, self.master.horizon);
                        self.check(checked);
                    }
                }
                if worker == WorkerId::MASTER {
                    self.master.own.retain(|block, _| !blocks.contains(block));
                }
                self.tell_worker(worker, ToWorker::Drop(blocks));
            }
            Command::CopyBlocks { to: WorkerId::MASTER, .. } => {
                self.check(Err("the master is to copy blocks, and is no worker".to_owned()));
            }
            Command::CopyBlocks { .. } if self.setting.plant == Some(Plant::CopiesNothing) => {}
            Command::CopyBlocks { from, to, blocks } => self.tell_worker(to, ToWorker::Copy { from, blocks }),
            Command::ReleaseWorker { worker } => {
                // What it has not said that it holds is waited for, and is given to another.
                let alone = self.needed_of(worker).any(|(block, holders)| {
                    holders.iter().eq([&worker]) && !self.is_held_beside(worker, &block)
                });
                let checked = self.invariants.needed.released(self.master.id, worker, alone, self.now_ms);
                self.check(checked);
                self.doomed.insert(worker);
                if let Some(link) = self.master.links.get_mut(&worker) {
                    link.released = true;
                }
                self.tell_worker(worker, ToWorker::Stop);
            }
            Command::FetchAhead { worker, shuffle, reduces } if self.setting.overlaps => {
                let pieces = self.located_pieces(shuffle, &reduces);
                self.tell_worker(worker, ToWorker::Ahead(pieces));
            }
            // Nothing depends on what is fetched ahead.
            Command::LetGo { datasets } => self.invariants.needed.let_go(self.master.id, &datasets),
            Command::FetchAhead { .. } | Command::NoWorkers => {}
        }
    }

    fn launch(&mut self, worker: WorkerId, task: Task) {
        let Some(plan) = self.master.stages.get(&task.attempt.stage).cloned() else {
            return self.check(Err(format!("{} was not defined", task.attempt)));
        };
        let mut remote = task.remote.clone();
        for (shuffle, reduces) in &task.pieces {
            remote.extend(self.located_pieces(*shuffle, std::slice::from_ref(reduces)));
        }
        self.tell_worker(worker, ToWorker::Run { task, plan, remote });
    }

    /// The pieces of a shuffle whose places are known, and who holds them.
    fn located_pieces(
        &self,
        shuffle: DatasetId,
        reduces: &[std::ops::Range<u32>],
    ) -> Vec<(BlockId, WorkerId)> {
        let mut pieces = Vec::new();
        for map in 0..self.master.described.partitions_of(shuffle) {
            if let Some(holder) = self.master.located.get(&shuffle).and_then(|pieces| pieces.holder(map)) {
                let piece = |reduce| (BlockId::Piece { dataset: shuffle, map, reduce }, holder);
                pieces.extend(reduces.iter().cloned().flatten().map(piece));
            }
        }
        pieces
    }

    pub(crate) fn master_hears(&mut self, id: WorkerId, message: ToMaster) {
        let now_ms = self.now_ms;
        if let ToMaster::Joined { slots, holds } = message {
            if !self.setting.is_durable() || self.lets_in(id, slots, &holds) {
                self.enters(id, slots, holds);
            }
            return;
        }
        if let ToMaster::Copied(blocks) | ToMaster::NotCopied(blocks) = &message {
            let what = if matches!(message, ToMaster::Copied(_)) { "has copied" } else { "has not copied" };
            self.log.say(now_ms, format_args!("{id} {what} {blocks:?}"));
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
                let combined = self.combined(attempt, read);
                self.step(Event::TaskFinished { attempt, worker: id, stored, read, combined });
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
            ToMaster::Held(block) if self.master.clients.reception.may_need(&block) == Some(false) => {
                // It has made it for an interval that is over by now.
                self.tell_worker(id, ToWorker::Drop(vec![block]));
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
            ToMaster::Saved { file, partition } => self.saved(file, partition),
            ToMaster::NotSaved { dataset, partition } => {
                let lacks = |(_, lacking): &mut (_, BTreeSet<_>)| lacking.contains(&(dataset, partition));
                self.master.saving.take_if(lacks);
            }
            ToMaster::Reported(request, report) => self.reported(id, request, report),
            ToMaster::Draining => {
                link.leaving = true;
                self.wants_to_leave(id);
                self.drain_ready();
            }
        }
    }

    /// A worker is here, with what it holds from the time with another master.
    pub(crate) fn enters(&mut self, id: WorkerId, slots: u32, holds: Vec<BlockId>) {
        self.log.say(self.now_ms, format_args!("{id} joins {}", self.master.id));
        self.meets_peers(id);
        if let Some(worker) = self.workers.get(&id) {
            self.master.durable.lost.retain(|lost| !worker.names_before.contains(lost));
        }
        self.master.links.insert(id, Link { heard_ms: self.now_ms, ..Link::default() });
        self.share_receiving();
        self.step(Event::WorkerJoined { worker: id, slots });
        if !holds.is_empty() {
            self.still_holds(id, holds);
        }
        self.hold_more();
        self.have_come();
    }

    /// How many records were left of those that an attempt has read: a few, where what it made is combined for a shuffle.
    fn combined(&self, attempt: Attempt, read: u64) -> u64 {
        let target = self.master.stages.get(&attempt.stage).map(|plan| plan.stage.target);
        let what = target.and_then(|target| self.master.described.what(target));
        if what.is_some_and(Made::is_combined) { read / 10 } else { 0 }
    }

    /// The scheduler hears that a worker wants to leave when it knows all that the worker holds.
    pub(crate) fn drain_ready(&mut self) {
        let waits = |id: &WorkerId| self.master.holding.values().any(|holding| holding.asked.contains(id));
        let leaving = self.master.links.iter().filter(|(_, link)| link.leaving && !link.draining);
        let ready: Vec<WorkerId> = leaving.map(|(id, _)| *id).filter(|id| !waits(id)).collect();
        for id in ready {
            if !self.master.clients.reception.may_leave(id) {
                continue;
            }
            if let Some(link) = self.master.links.get_mut(&id) {
                link.draining = true;
            }
            self.invariants.needed.drains(self.master.id, id, self.now_ms);
            self.step(Event::WorkerDraining { worker: id });
        }
    }

    /// Who was to be let go and is asked something else stays until it has answered.
    pub(crate) fn wait_for_asked(&mut self) {
        let Master { links, clients, .. } = &mut self.master;
        let draining = links.iter_mut().filter(|(_, link)| link.draining && !link.released);
        let mut asked = Vec::new();
        for (id, link) in draining.filter(|(id, _)| !clients.reception.may_leave(**id)) {
            link.draining = false;
            asked.push(*id);
        }
        asked.into_iter().for_each(|worker| self.step(Event::WorkerAsked { worker }));
    }

    pub(crate) fn holds(&mut self, id: WorkerId, block: BlockId) {
        // What was let go meanwhile is dropped again.
        let is_wanted = match self.master.clients.interval_of(&block) {
            Some(interval) => interval >= self.master.horizon,
            None => matches!(block, BlockId::Input { .. }),
        };
        if is_wanted {
            self.master.holders.entry(block).or_default().insert(id);
        }
    }

    /// The connection of a worker has ended, or it was silent for too long.
    pub(crate) fn lost(&mut self, id: WorkerId) {
        self.master.durable.entering.remove(&id);
        let Some(link) = self.master.links.remove(&id) else { return };
        // Who was let go is gone.
        if self.setting.takeovers && !link.released {
            self.master.durable.lost.insert(id);
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
        let said = self.ask_for_replicas(id);
        self.step(Event::WorkerLost { worker: id });
        self.say_of_receiver(said);
        self.hold_more();
        // If it lives, it learns that it is not wanted any more.
        let me = self.master.id;
        self.send(Node::Master(me), Node::Worker(id), What::Ended(me, id));
        self.lease_has_news();
    }

    /// The master is one more that holds blocks; it is no worker, and nothing that happens to those happens to it.
    pub(crate) fn let_master_hold(&mut self) {
        if !self.setting.is_durable() {
            self.workers.insert(WorkerId::MASTER, Worker::new(WorkerId::MASTER, 0, self.master.id, 0));
        }
        self.master.links.insert(WorkerId::MASTER, Link::default());
        self.step(Event::WorkerJoined { worker: WorkerId::MASTER, slots: 0 });
    }

    /// Records of the next interval have arrived from outside.
    pub(crate) fn receive(&mut self, interval: u64) {
        if self.cuts_later(interval) {
            return;
        }
        let mut received = Vec::new();
        let first =
            if self.setting.plant == Some(Plant::SharesBlockNames) { 0 } else { self.master.first_name() };
        for source in 0..self.program.sources {
            if Some(source) == self.program.clients {
                received.push(Vec::new());
                continue;
            }
            let blocks = self.dice.below(4);
            let block = |n| BlockId::Input { source, sequence: first + interval * BLOCKS + n };
            let split = |n| Split { blocks: vec![block(n)], ..Split::default() };
            received.push((0..blocks).map(split).collect::<Vec<_>>());
        }
        for block in blocks_of(&received) {
            self.master.holding.insert(*block, Holding::default());
        }
        let by = self.master.id.0;
        let content = |block: &BlockId| (*block, program::received(block, by));
        let contents: Vec<(BlockId, u64)> = blocks_of(&received).map(content).collect();
        self.cut(interval, received);
        self.hold_myself(contents);
        self.hold_more();
    }

    /// The master has these, and is one more who holds them if it is to be.
    pub(crate) fn hold_myself(&mut self, contents: Vec<(BlockId, u64)>) {
        let blocks: Vec<BlockId> = contents.iter().map(|(block, _)| *block).collect();
        if let Some(master) = self.workers.get_mut(&WorkerId::MASTER) {
            master.blocks.extend(contents.iter().copied());
        }
        self.master.own.extend(contents);
        if self.setting.master_holds || self.setting.is_durable() {
            blocks.iter().for_each(|block| self.holds(WorkerId::MASTER, *block));
            self.step(Event::BlocksHeld { worker: WorkerId::MASTER, blocks });
        }
    }

    /// Sends received blocks to as many workers as are to hold them, and runs the intervals that have all theirs.
    pub(crate) fn hold_more(&mut self) {
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
            let Some(value) = self.master.own.get(&block).copied() else { continue };
            self.tell_worker(id, ToWorker::Hold(block, value));
        }
        self.master.holding.retain(|_, holding| !holding.asked.is_empty() || holding.held.is_empty());
        let complete =
            |input: &Vec<Vec<Split>>| blocks_of(input).all(|block| !self.master.holding.contains_key(block));
        let ready: Vec<u64> = self
            .master
            .received
            .iter()
            .filter(|(interval, blocks)| !self.master.recording.contains(interval) && complete(blocks))
            .map(|(interval, _)| *interval)
            .collect();
        for interval in ready {
            // The log tells of one after the other.
            let before = self.master.received.range(..interval);
            if self.setting.is_durable()
                && before.into_iter().any(|(t, _)| !self.master.recording.contains(t))
            {
                break;
            }
            self.master.recording.insert(interval);
            if self.setting.is_durable() {
                self.record(interval);
                continue;
            }
            // It is written down before it runs, and the writing takes its time.
            let takes_ms = 1 + self.dice.below(40);
            self.at(self.now_ms + takes_ms, What::Recorded(interval));
        }
        if self.master.durable.phase == Phase::Running {
            // Of intervals of masters before it is written down already.
            self.run_intervals();
        }
    }

    /// It is, where nothing but the master's own memory could forget it.
    pub(crate) fn recorded(&mut self, interval: u64) {
        let received = self.master.received[&interval].clone();
        let checked = self.invariants.inputs.recorded(interval, &received);
        let counted = self.is_counted(interval, &received);
        self.check(checked.and(counted));
        self.may_run(interval);
    }

    pub(crate) fn may_run(&mut self, interval: u64) {
        self.master.recorded.insert(interval);
        self.run_intervals();
    }

    /// Runs intervals in order, some at the same time.
    pub(crate) fn run_intervals(&mut self) {
        while self.master.recorded.contains(&self.master.next)
            && self.master.next < self.master.first_open + self.ahead
            && self.is_held(self.master.next)
        {
            let interval = self.master.next;
            self.master.next += 1;
            let received = &self.master.received[&interval];
            let checked = self.invariants.inputs.submitted(interval, received);
            if !self.setting.is_durable() {
                let parts = self.clients.parts(received);
                let holding = |block: &BlockId| {
                    parts.get(block).copied().unwrap_or_else(|| program::received(block, 0))
                };
                self.reference.take(&self.program, received, holding);
            }
            let mut datasets = std::mem::take(&mut self.master.untold);
            datasets.extend(self.master.described.describe(&self.program, interval, received));
            self.check(checked);
            let wanted: Vec<Made> = self.program.wanted(interval).collect();
            let job = |n| JobId(self.master.first_name() + interval * BLOCKS + n);
            let jobs: Vec<(JobId, Made)> = (0..).map(job).zip(wanted).collect();
            // All of them first: one of nothing is finished at once.
            let horizon = self.master.horizon;
            let wanted = |what: Made| Wanted { interval, horizon, target: what };
            self.master.jobs.extend(jobs.iter().map(|(job, what)| (*job, wanted(*what))));
            for (job, what) in jobs {
                let target = self.master.described.name(what);
                self.log.say(self.now_ms, format_args!("{job} wants {target}"));
                self.invariants.outputs.submitted(self.master.id, job);
                self.step(Event::JobSubmitted { job, datasets: datasets.clone(), target });
            }
        }
        self.begin_next();
    }

    /// What follows from the next interval alone is made while the one before is run, if its input is fixed and held.
    fn begin_next(&mut self) {
        let next = self.master.next;
        let is_fixed = self.master.recorded.contains(&next)
            || (self.setting.plant == Some(Plant::BeginsUnrecorded)
                && self.master.received.contains_key(&next));
        if !self.setting.overlaps
            || self.master.begun >= Some(next)
            || self.master.jobs.is_empty()
            || !is_fixed
            || !self.is_held(next)
        {
            return;
        }
        self.master.begun = Some(next);
        let received = &self.master.received[&next];
        let checked = self.invariants.inputs.submitted(next, received);
        let (alone, splits) = self.program.begun_early(next);
        let mut datasets = self.master.described.describe(&self.program, next, received);
        let described = &self.master.described;
        datasets.retain(|dataset| {
            described.what(dataset.id).is_some_and(|what| alone.contains(&what) || splits.contains(&what))
        });
        let targets: Vec<DatasetId> = splits.into_iter().map(|what| described.name(what)).collect();
        self.check(checked);
        self.log.say(self.now_ms, format_args!("interval {next} is begun early"));
        self.step(Event::Described { datasets });
        let urgency = JobId::ahead(self.master.first_name() + next);
        self.step(Event::Expected { urgency, targets });
    }

    /// Whether what was received of an interval and of those before is held as it should be. Of those of another master it
    /// may not be yet.
    fn is_held(&self, interval: u64) -> bool {
        let mut blocks = self.master.received.range(..=interval).flat_map(|(_, input)| blocks_of(input));
        blocks.all(|block| !self.master.holding.contains_key(block))
    }

    fn interval_ends(&mut self, interval: u64) {
        let is_last = |wanted: &Wanted| wanted.interval != interval;
        // What is not of the program is of no interval.
        if interval >= self.master.next || !self.master.jobs.values().all(is_last) {
            return;
        }
        self.log.say(self.now_ms, format_args!("interval {interval} is over"));
        if self.setting.is_durable() {
            return self.commit();
        }
        self.invariants.progress.interval_ended(self.now_ms);
        let has_failed = self.master.failed.remove(&interval);
        if has_failed {
            self.is_set_aside(interval);
            self.set_aside(interval);
        }
        let open = self.master.jobs.values().map(|wanted| wanted.interval).min();
        self.master.first_open = open.unwrap_or(self.master.next);
        if open.is_none() {
            // What runs may still read from shuffles that are forgotten, and is not told again where they are.
            let horizon = self.master.horizon;
            self.master.located.retain(|shuffle, _| interval_of(*shuffle) >= horizon);
        }
        if interval >= self.master.next_saved && self.master.saving.is_none() && !has_failed {
            self.begin_saving(interval, interval);
        }
        self.forget();
        self.run_intervals();
    }

    /// Whether something of the interval was to fail.
    pub(crate) fn is_failing(&self, interval: u64) -> Result<(), String> {
        match self.failing.fails(interval) {
            true => Ok(()),
            false => Err(format!("interval {interval} fails and need not")),
        }
    }

    /// An interval is set aside from now on, whoever the master is.
    pub(crate) fn is_set_aside(&mut self, interval: u64) {
        self.invariants.progress.interval_ended(self.now_ms);
        self.aside.insert(interval);
        self.reference.set_aside(&self.program, interval);
    }

    /// The interval failed: for those after it, it had no records.
    pub(crate) fn set_aside(&mut self, interval: u64) {
        self.log.say(self.now_ms, format_args!("interval {interval} is set aside"));
        let datasets = self.master.described.names(interval);
        self.use_no_longer(&datasets);
        self.master.described.set_aside(interval);
        let Master { received, described, untold, .. } = &mut self.master;
        let input = received.entry(interval).or_default();
        let had = input.iter_mut().flat_map(std::mem::take);
        let blocks: Vec<BlockId> = had.flat_map(|split| split.blocks).collect();
        untold.extend(described.describe(&self.program, interval, input));
        self.master.holders.retain(|block, _| !blocks.contains(block));
        self.step(Event::Forgotten { datasets });
        self.step(Event::InputsReleased { blocks });
    }

    /// Begins to write down the states of an interval, and of those from `from` on that are not written yet.
    pub(crate) fn begin_saving(&mut self, from: u64, interval: u64) {
        let mut partitions = BTreeSet::new();
        for what in (from..=interval).flat_map(|t| self.program.states(t)) {
            let state =
                self.master.described.get(what).filter(|_| !self.master.durable.files.contains_key(&what));
            let of =
                |state: &Arc<Dataset>| (0..state.partitions).map(|partition| (state.id, partition)).collect();
            partitions.extend(state.map_or_else(Vec::new, of));
        }
        self.master.saving = Some((interval, partitions));
        self.master.next_saved = (interval + 1).next_multiple_of(CHECKPOINT_INTERVALS);
        self.save();
    }

    /// From now on lost partitions of a state are read from what was written.
    pub(crate) fn is_saved(&mut self, what: Made) {
        let Some(state) = self.master.described.get(what) else { return };
        let file = File { epoch: self.master.durable.epoch, dataset: state.id };
        let splits = reading(file, state.partitions);
        let dataset = Dataset { parents: Vec::new(), splits, ..(**state).clone() };
        self.step(Event::LineageReplaced { dataset: Arc::new(dataset) });
    }

    /// Asks whoever holds them for the partitions that the checkpoint still lacks. It is given up if nobody does.
    pub(crate) fn save(&mut self) {
        let Some((interval, partitions)) = self.master.saving.clone() else { return };
        if partitions.is_empty() {
            if self.setting.is_durable() {
                return self.write_manifest(interval);
            }
            for state in self.program.states(interval).collect::<Vec<_>>() {
                self.is_saved(state);
            }
            self.log.say(self.now_ms, format_args!("checkpoint {interval} is whole"));
            self.master.saving = None;
            self.master.checkpoints.insert(interval);
            return self.forget();
        }
        let epoch = self.master.durable.epoch;
        for (dataset, partition) in partitions {
            let holders = self.master.holders.get(&BlockId::Partition { dataset, partition });
            match holders.and_then(|holders| holders.first().copied()) {
                Some(holder) => self.tell_worker(holder, ToWorker::Save { dataset, partition, epoch }),
                None => {
                    self.master.saving = None;
                    return;
                }
            }
        }
    }

    fn saved(&mut self, File { epoch, dataset }: File, partition: u32) {
        if epoch != self.master.durable.epoch {
            return;
        }
        if let Some((_, partitions)) = &mut self.master.saving
            && partitions.remove(&(dataset, partition))
            && partitions.is_empty()
        {
            self.save();
        }
    }

    /// Lets go of everything that no interval to come can need.
    pub(crate) fn forget(&mut self) {
        if self.setting.is_durable() {
            return self.forget_what_is_written();
        }
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
        self.forget_before(horizon);
    }

    pub(crate) fn forget_before(&mut self, horizon: u64) {
        if horizon <= self.master.horizon {
            return;
        }
        let range = self.master.horizon..horizon;
        self.master.horizon = horizon;
        self.invariants.records.let_go(horizon);
        self.let_go(range);
    }

    pub(crate) fn let_go(&mut self, intervals: std::ops::Range<u64>) {
        let mut datasets: Vec<DatasetId> =
            intervals.clone().flat_map(|interval| self.master.described.names(interval)).collect();
        datasets.extend(self.master.described.called_before(intervals.end));
        let mut blocks = Vec::new();
        for interval in intervals.clone() {
            let received = self.master.received.remove(&interval).unwrap_or_default();
            blocks.extend(blocks_of(&received).copied());
        }
        let Master { holders, clients, .. } = &mut self.master;
        holders.retain(|block, _| {
            clients.interval_of(block).is_none_or(|interval| !intervals.contains(&interval))
        });
        clients.forget(&intervals);
        self.use_no_longer(&datasets);
        self.step(Event::Forgotten { datasets });
        self.step(Event::InputsReleased { blocks });
    }

    /// Who is known to hold each of the received blocks that are needed and that this worker holds.
    pub(crate) fn needed_of(&self, id: WorkerId) -> impl Iterator<Item = (BlockId, BTreeSet<WorkerId>)> {
        let blocks = self.workers.get(&id).into_iter().flat_map(|worker| worker.blocks.keys());
        let needed = |block: &&BlockId| {
            matches!(block, BlockId::Input { .. })
                && self.master.clients.interval_of(block).is_some_and(|it| it >= self.master.horizon)
                // What a master before has received and not written down is in no interval.
                && (!self.setting.takeovers || self.reference.knows(block))
        };
        blocks.filter(needed).map(|block| {
            let mut holders = self.master.holders.get(block).cloned().unwrap_or_default();
            // Whoever could not read it from the master doubts that, and the master knows.
            if self.setting.takeovers && self.master.own.contains_key(block) {
                holders.insert(WorkerId::MASTER);
            }
            (*block, holders)
        })
    }

    /// Whether another worker has it, whoever the master was told of.
    fn is_held_beside(&self, id: WorkerId, block: &BlockId) -> bool {
        let mut others = self.workers.iter().filter(|(other, _)| **other != id);
        others.any(|(_, worker)| worker.blocks.contains_key(block))
    }
}

/// The interval that a received block or a partition is of.
pub fn interval_of_block(block: &BlockId) -> Option<u64> {
    match *block {
        BlockId::Input { sequence, .. } => Some((sequence & ((1 << NAMED_APART_BITS) - 1)) / BLOCKS),
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
