//! A master and its workers in miniature: what they would compute, without records.
//!
//! A block is a number, made from the numbers it is made from. So a task that reads the wrong
//! block, or too few, or misses one, is found out by its result.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use cutwater_core::{
    Attempt, BlockId, Command, Dataset, DatasetId, Event, JobId, Parent, Scheduler, Shape, Stage, StageId,
    Task, TaskError, Whereabouts, WorkerId, limits,
};

#[derive(Default)]
pub struct World {
    scheduler: Scheduler,
    pub datasets: BTreeMap<DatasetId, Arc<Dataset>>,
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Tasks that were launched and have not reported, those of lost workers among them.
    pub launched: Vec<(WorkerId, Task)>,
    /// Copies that are on their way: from whom, to whom, and what.
    pub copies: Vec<(WorkerId, WorkerId, Vec<BlockId>)>,
    /// Workers that were told that they may leave.
    pub released: BTreeSet<WorkerId>,
    cancelled: BTreeSet<Attempt>,
    pub now_ms: u64,
    pub jobs: BTreeMap<JobId, Job>,
    stages: BTreeMap<StageId, Arc<Stage>>,
    located: HashMap<DatasetId, Whereabouts>,
    /// Of which nobody knows any more how they are made.
    pub let_go: BTreeSet<DatasetId>,
    results: HashMap<Attempt, u64>,
    /// All commands so far.
    pub log: Vec<Command>,
}

#[derive(Default)]
pub struct Worker {
    pub slots: usize,
    pub blocks: BTreeMap<BlockId, u64>,
    running: BTreeSet<Attempt>,
}

pub struct Job {
    target: DatasetId,
    accepted: BTreeSet<u32>,
    pub is_over: bool,
}

/// What an attempt would leave behind.
struct Computed {
    value: u64,
    stored: BTreeMap<BlockId, u64>,
}

impl World {
    pub fn step(&mut self, event: Event) {
        for command in self.scheduler.step(event) {
            self.carry_out(&command);
            self.log.push(command);
        }
    }

    fn carry_out(&mut self, command: &Command) {
        match command {
            Command::DefineStage { id, stage } => {
                let mut named = stage.datasets.iter().map(|dataset| dataset.id).chain(stage.shuffles.clone());
                assert!(named.all(|dataset| !self.let_go.contains(&dataset)), "{id} can be made");
                let before = self.stages.insert(*id, stage.clone());
                assert!(before.is_none_or(|before| before != *stage), "{id} is defined for a reason");
            }
            Command::Locate { shuffle, located } => {
                self.located.entry(*shuffle).or_default().note(located).expect("there are not so many");
            }
            Command::FetchAhead { worker, shuffle, reduces } => {
                assert!(self.workers.contains_key(worker), "hints go to workers that are there");
                assert!(self.located.contains_key(shuffle), "what may be fetched is located");
                assert!(reduces.iter().all(|range| !range.is_empty()) && !reduces.is_empty());
            }
            Command::RetireStage { id } => assert!(self.stages.contains_key(id), "{id} was defined"),
            Command::Launch { worker, task } => {
                assert!(self.stages.contains_key(&task.attempt.stage), "a stage is defined before its tasks");
                let at = self.workers.get_mut(worker).expect("tasks go to workers that are there");
                assert!(at.running.insert(task.attempt), "an attempt is launched once");
                let room = at.slots * (1 + limits::WAITING_PER_SLOT);
                assert!(at.running.len() <= room, "{worker} has no more attempts than room");
                self.launched.push((*worker, task.clone()));
            }
            Command::AcceptResult { job, partition, attempt } => {
                let target = self.jobs[job].target;
                assert_eq!(self.results[attempt], self.right(target, *partition), "{attempt} is right");
                let job = self.jobs.get_mut(job).expect("it was submitted");
                assert!(!job.is_over);
                assert!(job.accepted.insert(*partition), "a partition is accepted once");
            }
            Command::JobFinished { job } => {
                let job = self.jobs.get_mut(job).expect("it was submitted");
                assert_eq!(job.accepted.len(), self.datasets[&job.target].partitions as usize);
                assert!(!std::mem::replace(&mut job.is_over, true), "it ends once");
            }
            Command::JobFailed { job, error } => panic!("{job} need not fail: {error}"),
            Command::DropBlocks { worker, blocks } => {
                let at = self.workers.get_mut(worker).expect("only workers that are there drop blocks");
                at.blocks.retain(|block, _| !blocks.contains(block));
            }
            Command::LetGo { datasets } => {
                for id in datasets {
                    assert!(self.let_go.insert(*id), "{id} is let go once");
                }
            }
            Command::CancelAttempt { worker, attempt } => {
                assert!(self.launched.iter().any(|(at, task)| at == worker && task.attempt == *attempt));
                self.cancelled.insert(*attempt);
            }
            Command::CopyBlocks { from, to, blocks } => {
                assert!(from != to && self.workers.contains_key(from) && self.workers.contains_key(to));
                self.copies.push((*from, *to, blocks.clone()));
            }
            Command::ReleaseWorker { worker } => assert!(self.released.insert(*worker), "it is said once"),
            Command::NoWorkers => {}
        }
    }

    pub fn join(&mut self, worker: WorkerId, slots: u32) {
        self.workers.insert(worker, Worker { slots: slots as usize, ..Worker::default() });
        self.step(Event::WorkerJoined { worker, slots });
    }

    pub fn lose(&mut self, worker: WorkerId) {
        self.workers.remove(&worker);
        self.released.remove(&worker);
        self.step(Event::WorkerLost { worker });
    }

    pub fn hold(&mut self, worker: WorkerId, block: BlockId) {
        self.workers.get_mut(&worker).expect("it joined").blocks.insert(block, hash(&block));
        self.step(Event::BlocksHeld { worker, blocks: vec![block] });
    }

    pub fn submit(&mut self, job: JobId, datasets: Vec<Arc<Dataset>>, target: DatasetId) {
        self.datasets.extend(datasets.iter().map(|dataset| (dataset.id, dataset.clone())));
        self.jobs.insert(job, Job { target, accepted: BTreeSet::new(), is_over: false });
        self.step(Event::JobSubmitted { job, datasets, target });
    }

    pub fn expect(&mut self, urgency: JobId, datasets: Vec<Arc<Dataset>>, targets: Vec<DatasetId>) {
        self.datasets.extend(datasets.iter().map(|dataset| (dataset.id, dataset.clone())));
        self.step(Event::Described { datasets });
        self.step(Event::Expected { urgency, targets });
    }

    /// How many stages are being run.
    pub fn runs(&self) -> usize {
        self.scheduler.size().runs
    }

    pub fn cancel(&mut self, job: JobId) {
        self.jobs.get_mut(&job).expect("it was submitted").is_over = true;
        self.step(Event::JobCancelled { job });
    }

    pub fn pass(&mut self, ms: u64) {
        self.now_ms += ms;
        self.step(Event::Clock { now_ms: self.now_ms });
    }

    /// One of the copies arrives, or cannot be made.
    pub fn copy(&mut self, at: usize, fails: bool) {
        let (from, worker, blocks) = self.copies.swap_remove(at);
        let holder = self.workers.get(&from);
        let there: Option<BTreeMap<BlockId, u64>> =
            blocks.iter().map(|block| Some((*block, *holder?.blocks.get(block)?))).collect();
        let Some(to) = self.workers.get_mut(&worker) else { return };
        match there.filter(|_| !fails) {
            Some(there) => {
                to.blocks.extend(there);
                self.step(Event::BlocksCopied { worker, blocks });
            }
            None => self.step(Event::CopyFailed { worker, blocks }),
        }
    }

    /// One of the launched tasks comes to its end. Reported twice, it must be as if once. If it was
    /// cancelled it `stops`, or is over before it hears of that.
    pub fn complete(&mut self, at: usize, twice: bool, stops: bool) {
        let (worker, task) = self.launched.swap_remove(at);
        let ran = if self.cancelled.contains(&task.attempt) && stops {
            Err(TaskError::Cancelled)
        } else {
            self.run(worker, &task)
        };
        let event = match ran {
            Ok(computed) => {
                self.results.insert(task.attempt, computed.value);
                let stored = computed.stored.keys().copied().collect();
                if let Some(at) = self.workers.get_mut(&worker) {
                    at.blocks.extend(computed.stored);
                }
                Event::TaskFinished { attempt: task.attempt, worker, stored, read: 100, combined: 10 }
            }
            Err(error) => Event::TaskFailed { attempt: task.attempt, worker, error },
        };
        self.report(worker, task.attempt, event, twice);
    }

    /// One of the launched tasks fails for a reason of its own.
    pub fn fail(&mut self, at: usize, error: TaskError) {
        let (worker, task) = self.launched.swap_remove(at);
        self.report(worker, task.attempt, Event::TaskFailed { attempt: task.attempt, worker, error }, false);
    }

    fn report(&mut self, worker: WorkerId, attempt: Attempt, event: Event, twice: bool) {
        if let Some(at) = self.workers.get_mut(&worker) {
            at.running.remove(&attempt);
        }
        let again = twice.then(|| event.clone());
        self.step(event);
        if let Some(event) = again {
            self.step(event);
        }
    }

    fn run(&self, worker: WorkerId, task: &Task) -> Result<Computed, TaskError> {
        let mut computed = Computed { value: 0, stored: BTreeMap::new() };
        let (target, partition) = (task.target, task.attempt.partition);
        computed.value = self.compute(worker, task, target, partition, &mut computed.stored)?;
        if let Shape::Pieces(pieces) = self.datasets[&target].shape {
            for reduce in 0..pieces {
                let piece = BlockId::Piece { dataset: target, map: partition, reduce };
                computed.stored.insert(piece, hash(&(computed.value, reduce)));
            }
        }
        Ok(computed)
    }

    fn compute(
        &self,
        worker: WorkerId,
        task: &Task,
        id: DatasetId,
        partition: u32,
        stored: &mut BTreeMap<BlockId, u64>,
    ) -> Result<u64, TaskError> {
        let stage = &self.stages[&task.attempt.stage];
        let dataset = stage.datasets.iter().find(|dataset| dataset.id == id).expect("the stage has it all");
        let own = BlockId::Partition { dataset: id, partition };
        if let Some(value) = stored.get(&own) {
            return Ok(*value);
        }
        let keep = dataset.keep && dataset.shape == Shape::Records;
        if keep && let Some(value) = self.read(worker, task, own)? {
            return Ok(value);
        }
        let missing = |block| TaskError::FetchFailed { block, worker };
        if stage.held.contains(&id) {
            return Err(missing(own));
        }
        let mut inputs = Vec::new();
        for block in dataset.splits.get(partition as usize).iter().flat_map(|split| &split.blocks) {
            inputs.push(self.read(worker, task, *block)?.ok_or_else(|| missing(*block))?);
        }
        for parent in &dataset.parents {
            let from = parent.dataset();
            let partitions = self.datasets[&from].partitions;
            match parent {
                Parent::Narrow { map, .. } => {
                    for partition in map.of(partition, partitions) {
                        inputs.push(self.compute(worker, task, from, partition, stored)?);
                    }
                }
                Parent::Shuffle { .. } => {
                    for map in 0..partitions {
                        let piece = BlockId::Piece { dataset: from, map, reduce: partition };
                        inputs.push(self.read(worker, task, piece)?.ok_or_else(|| missing(piece))?);
                    }
                }
            }
        }
        let value = hash(&(id, partition, inputs));
        if keep {
            stored.insert(own, value);
        }
        Ok(value)
    }

    /// A block that is here, or where the task says; nothing if the task does not say.
    fn read(&self, worker: WorkerId, task: &Task, block: BlockId) -> Result<Option<u64>, TaskError> {
        if let Some(value) = self.workers.get(&worker).and_then(|worker| worker.blocks.get(&block)) {
            return Ok(Some(*value));
        }
        let Some(holder) = self.holder(task, block) else { return Ok(None) };
        match self.workers.get(&holder).and_then(|holder| holder.blocks.get(&block)) {
            Some(value) => Ok(Some(*value)),
            None => Err(TaskError::FetchFailed { block, worker: holder }),
        }
    }

    /// Who is said to hold a block that the task reads.
    fn holder(&self, task: &Task, block: BlockId) -> Option<WorkerId> {
        match block {
            BlockId::Piece { dataset, map, reduce } => {
                let mut reads = task.pieces.iter();
                reads.find(|(shuffle, reduces)| *shuffle == dataset && reduces.contains(&reduce))?;
                self.located.get(&dataset)?.holder(map)
            }
            whole => task.remote.iter().find(|(block, _)| *block == whole).map(|(_, holder)| *holder),
        }
    }

    /// What a partition is, when nothing ever fails.
    fn right(&self, id: DatasetId, partition: u32) -> u64 {
        let dataset = &self.datasets[&id];
        let mut inputs: Vec<u64> =
            dataset.splits.get(partition as usize).iter().flat_map(|split| &split.blocks).map(hash).collect();
        for parent in &dataset.parents {
            let from = parent.dataset();
            let partitions = self.datasets[&from].partitions;
            match parent {
                Parent::Narrow { map, .. } => {
                    inputs.extend(map.of(partition, partitions).map(|partition| self.right(from, partition)));
                }
                Parent::Shuffle { .. } => {
                    inputs.extend((0..partitions).map(|map| hash(&(self.right(from, map), partition))));
                }
            }
        }
        hash(&(id, partition, inputs))
    }
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
