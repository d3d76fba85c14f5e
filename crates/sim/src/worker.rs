//! A worker process: a block store, slots, and tasks that read from other workers first.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
};

use cutwater_core::{Attempt, BlockId, Dataset, DatasetId, Parent, Shape, Task, TaskError, WorkerId};

use crate::{
    clients::{Clients, Inbox},
    description::{Plan, file_of},
    failing::Failing,
    message::{Between, Ran, ToMaster, ToWorker},
    network::{MasterId, Node},
    program,
    simulation::{Plant, Simulation, What},
    store::{File, Store},
};

/// How long a worker waits for blocks of another.
const FETCH_MS: u64 = 3_000;

pub struct Worker {
    pub slots: usize,
    /// How many times longer its tasks take.
    pub slow: u64,
    pub blocks: BTreeMap<BlockId, u64>,
    /// The master that it works for, or else it waits for one of a later epoch.
    pub master: Option<MasterId>,
    /// The epoch of the last.
    pub epoch: u64,
    /// Where the last was: it may be started again there.
    pub place: u32,
    /// What it was called before it was lost.
    pub names_before: BTreeSet<WorkerId>,
    /// When the master was last heard, and since when there is none.
    pub heard_ms: u64,
    pub orphaned_ms: u64,
    /// It was asked to, and has said so.
    pub wants_to_leave: bool,
    orders: BTreeMap<Attempt, Order>,
    /// Attempts that have all they read and no slot.
    ready: VecDeque<Attempt>,
    running: BTreeSet<Attempt>,
    requests: BTreeMap<u64, Request>,
    /// What it receives from clients.
    pub inbox: Inbox,
    /// Pieces that tasks are expected to read, fetched before these come.
    ahead: BTreeMap<BlockId, u64>,
}

struct Order {
    task: Task,
    plan: Arc<Plan>,
    remote: Vec<(BlockId, WorkerId)>,
    fetched: BTreeMap<BlockId, u64>,
    /// Requests that were not answered yet.
    waits_for: usize,
    cancelled: bool,
    /// It was for a master before.
    abandoned: bool,
}

struct Request {
    from: WorkerId,
    blocks: Vec<BlockId>,
    whom: For,
}

/// What blocks are fetched for.
#[derive(Clone, Copy)]
enum For {
    Task(Attempt),
    Copy,
    /// Tasks that may come.
    Ahead,
}

/// Pieces that are held for tasks that may come. The oldest go, which nobody has asked for.
const AHEAD_PIECES_MAX: usize = 48;

impl Worker {
    pub fn new(id: WorkerId, slots: usize, master: MasterId, now_ms: u64) -> Self {
        Self {
            slots,
            slow: 1,
            blocks: BTreeMap::new(),
            master: Some(master),
            epoch: 0,
            place: 0,
            names_before: BTreeSet::new(),
            orphaned_ms: 0,
            wants_to_leave: false,
            heard_ms: now_ms,
            orders: BTreeMap::new(),
            ready: VecDeque::new(),
            running: BTreeSet::new(),
            requests: BTreeMap::new(),
            inbox: Inbox::new(id),
            ahead: BTreeMap::new(),
        }
    }

    /// What another master had it do is of no use to the next. What runs stops at the next records, if it is not over by
    /// then.
    pub fn begin_anew(&mut self) {
        self.ready.clear();
        self.orders.retain(|attempt, _| self.running.contains(attempt));
        self.orders.values_mut().for_each(|order| order.abandoned = true);
        self.inbox.own.begin_anew();
        self.ahead.clear();
    }

    /// What runs on it.
    pub fn running(&self) -> impl Iterator<Item = Attempt> {
        self.running.iter().copied()
    }

    /// How many attempts it was sent and has not reported.
    pub fn occupied(&self) -> usize {
        self.orders.values().filter(|order| !order.abandoned).count()
    }
}

impl Simulation {
    pub(crate) fn worker_hears(&mut self, from: MasterId, id: WorkerId, message: ToWorker) {
        let now_ms = self.now_ms;
        // Connections to masters before are closed.
        let Some(worker) = self.workers.get_mut(&id).filter(|worker| worker.master == Some(from)) else {
            return;
        };
        worker.heard_ms = now_ms;
        match message {
            ToWorker::Ping => {}
            ToWorker::Run { task, plan, remote } => self.take_in(id, task, plan, remote),
            ToWorker::Cancel(attempt) => {
                if let Some(order) = worker.orders.get_mut(&attempt) {
                    order.cancelled = true;
                    if worker.running.contains(&attempt) {
                        // It stops at the next records.
                        self.at(now_ms + 3, What::Ends(id, attempt));
                    }
                }
            }
            ToWorker::Hold(block, value) => {
                worker.blocks.insert(block, value);
                self.tell_master(id, ToMaster::Held(block));
            }
            ToWorker::Copy { from, blocks } => self.fetch(id, from, blocks, For::Copy),
            ToWorker::Ahead(pieces) => self.fetch_ahead(id, pieces),
            ToWorker::Drop(blocks) => worker.blocks.retain(|block, _| !blocks.contains(block)),
            ToWorker::Save { dataset, partition, epoch } => {
                let held = worker.blocks.get(&BlockId::Partition { dataset, partition }).copied();
                let Some(value) = held else {
                    return self.tell_master(id, ToMaster::NotSaved { dataset, partition });
                };
                let took_ms = 5 + self.dice.below(150);
                let file = File { epoch, dataset };
                self.at(now_ms + took_ms, What::Written { worker: id, file, partition, value });
            }
            ToWorker::Clients(say) => self.told_of_clients(id, say),
            ToWorker::Peers(peers) => self.note_peers(id, peers),
            ToWorker::Stop => self.ends(id, "is told that it may leave"),
        }
    }

    fn take_in(&mut self, id: WorkerId, task: Task, plan: Arc<Plan>, remote: Vec<(BlockId, WorkerId)>) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        let attempt = task.attempt;
        let mut by_worker = BTreeMap::<WorkerId, Vec<BlockId>>::new();
        let mut fetched = BTreeMap::new();
        for (block, holder) in &remote {
            if let Some(value) = worker.ahead.remove(block) {
                fetched.insert(*block, value);
            } else if !worker.blocks.contains_key(block) {
                by_worker.entry(*holder).or_default().push(*block);
            }
        }
        // What was said to be here is read here.
        by_worker.remove(&id);
        let waits_for = by_worker.len();
        let (cancelled, abandoned) = Default::default();
        let order = Order { task, plan, remote, fetched, waits_for, cancelled, abandoned };
        worker.orders.insert(attempt, order);
        let checked = self.invariants.slots.occupied(id, worker.occupied(), worker.slots);
        self.check(checked);
        if waits_for == 0 {
            self.is_ready(id, attempt);
        }
        for (holder, blocks) in by_worker {
            self.fetch(id, holder, blocks, For::Task(attempt));
        }
    }

    /// A hint, which may be lost.
    fn fetch_ahead(&mut self, id: WorkerId, pieces: Vec<(BlockId, WorkerId)>) {
        let Some(worker) = self.workers.get(&id).filter(|_| !self.dice.one_in(4)) else { return };
        let mut by_worker = BTreeMap::<WorkerId, Vec<BlockId>>::new();
        for (piece, holder) in pieces {
            if holder != id && !worker.ahead.contains_key(&piece) {
                by_worker.entry(holder).or_default().push(piece);
            }
        }
        for (holder, pieces) in by_worker {
            self.fetch(id, holder, pieces, For::Ahead);
        }
    }

    fn fetched_ahead(&mut self, id: WorkerId, pieces: &[BlockId], values: &[Option<u64>]) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        for (piece, value) in pieces.iter().zip(values) {
            let invented = (self.setting.plant == Some(Plant::InventsPieces)).then_some(0);
            worker.ahead.extend(value.or(invented).map(|value| (*piece, value)));
        }
        while worker.ahead.len() > AHEAD_PIECES_MAX {
            worker.ahead.pop_first();
        }
    }

    fn fetch(&mut self, id: WorkerId, from: WorkerId, blocks: Vec<BlockId>, whom: For) {
        self.requests += 1;
        let request = self.requests;
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.requests.insert(request, Request { from, blocks: blocks.clone(), whom });
            // A process that is gone refuses the connection at once.
            let is_there = from == WorkerId::MASTER || self.workers.contains_key(&from);
            let late_ms = if is_there { FETCH_MS } else { 5 };
            self.at(self.now_ms + late_ms, What::FetchLate(id, request));
            self.send(
                Node::Worker(id),
                Node::Worker(from),
                What::Between(id, from, Between::Fetch { request, blocks }),
            );
        }
    }

    pub(crate) fn hears_between(&mut self, from: WorkerId, id: WorkerId, message: Between) {
        match message {
            Between::Fetch { request, blocks } => {
                let Some(held) = self.held_by(id, from) else { return };
                let values = blocks.iter().map(|block| held.get(block).copied()).collect();
                self.send(
                    Node::Worker(id),
                    Node::Worker(from),
                    What::Between(id, from, Between::Fetched { request, values }),
                );
            }
            Between::Replicas(nth, replicas) => self.hears_of_replicas(from, id, nth, replicas),
            Between::Fetched { request, values } => {
                let Some(worker) = self.workers.get_mut(&id) else { return };
                let Some(Request { from, blocks, whom }) = worker.requests.remove(&request) else { return };
                let missing = blocks.iter().zip(&values).find(|(_, value)| value.is_none());
                match (whom, missing) {
                    (For::Copy, _) => self.copied(id, &blocks, &values),
                    (For::Ahead, _) => self.fetched_ahead(id, &blocks, &values),
                    (For::Task(_), Some((block, _))) => {
                        let block = *block;
                        self.fetch_failed(id, from, block, blocks, whom);
                    }
                    (For::Task(attempt), None) => {
                        let there = blocks.iter().copied().zip(values.into_iter().flatten());
                        let Some(order) = worker.orders.get_mut(&attempt) else { return };
                        order.fetched.extend(there);
                        order.waits_for -= 1;
                        if order.waits_for == 0 {
                            self.is_ready(id, attempt);
                        }
                    }
                }
            }
        }
    }

    /// What a map partition wrote is there or is not, as a whole.
    fn copied(&mut self, id: WorkerId, blocks: &[BlockId], values: &[Option<u64>]) {
        let unit = |block: &BlockId| match *block {
            BlockId::Piece { dataset, map, .. } => BlockId::Piece { dataset, map, reduce: 0 },
            other => other,
        };
        let mut rest: Vec<(BlockId, Option<u64>)> =
            blocks.iter().copied().zip(values.iter().copied()).collect();
        while let Some((first, _)) = rest.first().copied() {
            let some: Vec<_> = rest.extract_if(.., |(block, _)| unit(block) == unit(&first)).collect();
            let names: Vec<BlockId> = some.iter().map(|(block, _)| *block).collect();
            let values: Option<Vec<(BlockId, u64)>> =
                some.iter().map(|(block, value)| Some((*block, (*value)?))).collect();
            let Some(worker) = self.workers.get_mut(&id) else { return };
            match values {
                Some(values) => {
                    worker.blocks.extend(values);
                    worker.inbox.own.copied(&names);
                    self.tell_master(id, ToMaster::Copied(names));
                }
                None => self.tell_master(id, ToMaster::NotCopied(names)),
            }
        }
    }

    pub(crate) fn fetch_is_late(&mut self, id: WorkerId, request: u64) {
        let late = self.workers.get_mut(&id).and_then(|worker| worker.requests.remove(&request));
        if let Some(Request { from, blocks, whom }) = late {
            let block = blocks[0];
            self.fetch_failed(id, from, block, blocks, whom);
        }
    }

    fn fetch_failed(
        &mut self,
        id: WorkerId,
        from: WorkerId,
        block: BlockId,
        blocks: Vec<BlockId>,
        whom: For,
    ) {
        let Some(worker) = self.workers.get_mut(&id) else { return };
        match whom {
            // Whoever needs it misses it then.
            For::Ahead => {}
            For::Copy => self.tell_master(id, ToMaster::NotCopied(blocks)),
            // Another request of the same task may have failed before.
            For::Task(attempt) if worker.orders.remove(&attempt).is_some() => {
                let result = Err(TaskError::FetchFailed { block, worker: from });
                self.tell_master(id, ToMaster::Ran { attempt, result });
            }
            For::Task(_) => {}
        }
    }

    fn is_ready(&mut self, id: WorkerId, attempt: Attempt) {
        if let Some(worker) = self.workers.get_mut(&id) {
            worker.ready.push_back(attempt);
            self.use_slots(id);
        }
    }

    fn use_slots(&mut self, id: WorkerId) {
        loop {
            let Some(worker) = self.workers.get_mut(&id) else { return };
            if worker.running.len() >= worker.slots {
                return;
            }
            let Some(attempt) = worker.ready.pop_front() else { return };
            let Some(order) = worker.orders.get(&attempt) else { continue };
            worker.running.insert(attempt);
            let slow = worker.slow;
            let usual_ms = 20 + order.task.target.0 % 64 * 13 % 90;
            let takes_ms = if order.cancelled { 1 } else { (usual_ms + self.dice.below(10)) * slow };
            self.at(self.now_ms + takes_ms, What::Ends(id, attempt));
        }
    }

    /// A running attempt comes to its end, or to where it notices that it was cancelled.
    pub(crate) fn task_ends(&mut self, id: WorkerId, attempt: Attempt) {
        let fails = self.faults_last && attempt.number == 0 && self.dice.one_in(60);
        let Some(worker) = self.workers.get_mut(&id) else { return };
        // Cancelled, it may have ended before.
        if !worker.running.remove(&attempt) {
            return;
        }
        let Some(order) = worker.orders.remove(&attempt) else { return };
        let result = if order.cancelled || (order.abandoned && self.dice.one_in(2)) {
            Err(TaskError::Cancelled)
        } else if fails {
            Err(TaskError::External { operator: "a task".into(), message: "the disk is on fire".into() })
        } else {
            let (store, clients, failing) = (&self.store, &self.clients, &self.failing);
            let run = Run { id, worker, order: &order, store, clients, failing };
            run.whole().map(|(value, stored, read)| {
                let names = stored.keys().copied().collect();
                worker.blocks.extend(stored);
                Ran { value, stored: names, read }
            })
        };
        if self.setting.plant == Some(Plant::KeepsAttempts) && self.dice.one_in(20) {
            worker.orders.insert(attempt, order);
        }
        self.log.say(self.now_ms, format_args!("{id} ends {attempt}: {result:?}"));
        self.tell_master(id, ToMaster::Ran { attempt, result });
        self.use_slots(id);
    }
}

/// A task while it computes.
struct Run<'a> {
    id: WorkerId,
    worker: &'a Worker,
    order: &'a Order,
    store: &'a Store,
    clients: &'a Clients,
    failing: &'a Failing,
}

type Stored = BTreeMap<BlockId, u64>;

impl Run<'_> {
    fn whole(&self) -> Result<(u64, Stored, u64), TaskError> {
        let (mut stored, mut read) = (Stored::new(), 0);
        let (target, partition) = (self.order.task.target, self.order.task.attempt.partition);
        let value = self.compute(target, partition, &mut stored, &mut read)?;
        let shape = self.order.plan.stage.datasets.iter().find(|dataset| dataset.id == target);
        if let Some(Shape::Pieces(pieces)) = shape.map(|dataset| dataset.shape) {
            for reduce in 0..pieces {
                let piece = BlockId::Piece { dataset: target, map: partition, reduce };
                stored.insert(piece, program::piece(value, reduce));
            }
        }
        Ok((value, stored, read))
    }

    fn compute(
        &self,
        id: DatasetId,
        partition: u32,
        stored: &mut Stored,
        read: &mut u64,
    ) -> Result<u64, TaskError> {
        let Plan { stage, known } = &*self.order.plan;
        let defect = || TaskError::Internal(format!("{id} is not in its stage"));
        let dataset: &Dataset = stage.datasets.iter().find(|dataset| dataset.id == id).ok_or_else(defect)?;
        let own = BlockId::Partition { dataset: id, partition };
        if let Some(value) = stored.get(&own) {
            return Ok(*value);
        }
        let keep = dataset.keep && dataset.shape == Shape::Records;
        if keep && let Some(value) = self.find(own) {
            return Ok(value);
        }
        if stage.held.contains(&id) {
            return Err(self.missing(own));
        }
        let split = dataset.splits.get(partition as usize);
        let value =
            if let Some(split) = split.filter(|split| split.blocks.is_empty() && !split.place.is_empty()) {
                let damaged = || TaskError::Internal(format!("the checkpoint of {own} cannot be read"));
                let file = file_of(&split.place).ok_or_else(damaged)?;
                self.store.read(file, partition).ok_or_else(damaged)?
            } else {
                let mut inputs = Vec::new();
                if let Some(split) = split {
                    for block in &split.blocks {
                        let value = self.find(*block).ok_or_else(|| self.missing(*block))?;
                        inputs.push(self.clients.part(value, &split.place));
                    }
                }
                for parent in &dataset.parents {
                    let from = parent.dataset();
                    let partitions = known.get(&from).map_or(0, |(_, partitions)| *partitions);
                    match parent {
                        Parent::Narrow { map, .. } => {
                            for partition in map.of(partition, partitions) {
                                inputs.push(self.compute(from, partition, stored, read)?);
                            }
                        }
                        Parent::Shuffle { .. } => {
                            for map in 0..partitions {
                                let piece = BlockId::Piece { dataset: from, map, reduce: partition };
                                inputs.push(self.find(piece).ok_or_else(|| self.missing(piece))?);
                            }
                        }
                    }
                }
                *read += inputs.len() as u64 * program::RECORDS;
                let (what, _) = known.get(&id).copied().ok_or_else(defect)?;
                // What an interval that was set aside has no records of has nothing to fail at.
                if !program::is_aside(id) {
                    self.failing.make(what, partition)?;
                }
                program::made(what, partition, &inputs)
            };
        if keep {
            stored.insert(own, value);
        }
        Ok(value)
    }

    fn find(&self, block: BlockId) -> Option<u64> {
        self.worker.blocks.get(&block).or_else(|| self.order.fetched.get(&block)).copied()
    }

    fn missing(&self, block: BlockId) -> TaskError {
        let holder = self.order.remote.iter().find(|(remote, _)| *remote == block);
        TaskError::FetchFailed { block, worker: holder.map_or(self.id, |(_, holder)| *holder) }
    }
}
