use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, hash_map::Entry},
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender};
use cutwater_core::{
    Attempt, BlockId, Command, Dataset, DatasetId, Event, JobId, Scheduler, StageId, TaskError, WorkerId,
    clients::{BlocksReport, Consequences, InputBlock, Receive, Received, Reception, Say},
    limits,
};
use cutwater_wire::{message::ToWorker, names::Blocks};

use super::{
    Begins,
    engine::Shared,
    holding::Holding,
    lease::{Keeper, Lost, Workers},
    link::{Addresses, Defined, Link, LocatedShuffles},
    unclaimed::Moved,
    used::Used,
};
use crate::{
    block::Block,
    task::{Findings, Outcome, Plan, Step},
};

/// What the master is told.
pub(crate) enum ToMaster {
    /// Something the scheduler should know.
    Event(Event),
    /// A thread waits for these partitions.
    Submit {
        job: JobId,
        target: DatasetId,
        /// Datasets that were never sent before, parents first.
        steps: Vec<Step>,
        reply: Sender<Result<Vec<Block>, TaskError>>,
    },
    /// Datasets that were never sent before, parents first, of which no job needs any yet.
    Describe(Vec<Step>),
    /// A thread waits until these blocks are held by workers in other processes.
    Hold { blocks: Vec<(BlockId, Bytes)>, reply: Sender<()> },
    /// A worker holds a block that it was sent.
    Held { worker: WorkerId, block: BlockId },
    /// A dataset is made in this way from now on.
    Replace(Step),
    /// Workers are to take records from clients for a source.
    Receive(Receive),
    /// These are in intervals of the master before, and only one worker held each when it was reported.
    WereAlone(Vec<InputBlock>),
    /// A thread waits for what workers have received for a source.
    Cut { source: u32, reply: Sender<Received> },
    /// A worker answers a request for blocks.
    Reported { worker: WorkerId, request: u64, report: BlocksReport },
    /// An attempt has ended.
    Ran { worker: WorkerId, attempt: Attempt, result: Result<Outcome, TaskError> },
    /// A worker can be reached by `link`; in another process, its blocks are at `address`. If it worked for another
    /// master before, it holds what it made then: whoever counts on that worker may count on that, too.
    Joined { worker: WorkerId, slots: u32, link: Link, address: Option<String>, holds: Vec<BlockId> },
    /// Of what was held before this master began, only this is used.
    UseOnly(Box<Used>),
    /// A worker wants to leave.
    Draining { worker: WorkerId },
    /// A worker cannot be reached any more.
    Lost { worker: WorkerId },
    /// A worker that was called so is nobody's any more. It comes back under another name, with what it holds.
    BeginsAnew { worker: WorkerId },
    /// The lease names these workers, and whoever takes over finds them.
    Named(BTreeSet<WorkerId>),
    /// Until then no other master had taken over, as the lease's keeper counts milliseconds.
    SureUntil(u64),
    /// Those of these workers of the master before that have not come count as lost, if they did not before.
    NotComing(Vec<WorkerId>),
    /// Another master runs the program now, or is to run it, and has the workers.
    Overtaken,
    /// Nobody will ask for anything.
    Shutdown,
}

impl ToMaster {
    /// Whose word it is, if a worker has said it.
    fn said_by(&self) -> Option<WorkerId> {
        match self {
            Self::Held { worker, .. }
            | Self::Reported { worker, .. }
            | Self::Ran { worker, .. }
            | Self::Draining { worker }
            | Self::Event(
                Event::BlocksCopied { worker, .. }
                | Event::CopyFailed { worker, .. }
                | Event::TasksRead { worker, .. },
            ) => Some(*worker),
            _ => None,
        }
    }
}

/// Feeds the scheduler and carries out its commands.
///
/// Properties:
/// - it is the only one to touch the scheduler;
/// - it holds the operators of all datasets that are not forgotten, and results nobody fetched yet;
/// - it never waits for anything but the next message, wherever its workers are.
///
/// It lives on a thread of its own. If the process dies, waiting threads die with it.
pub(super) struct Master {
    scheduler: Scheduler,
    /// Since when the scheduler counts its milliseconds, and which of them it was told last.
    began: Instant,
    told_ms: u64,
    links: BTreeMap<WorkerId, Link>,
    addresses: Addresses,
    holding: Holding,
    reception: Reception<Sender<Received>>,
    shared: Arc<Shared>,
    steps: HashMap<DatasetId, Step>,
    stages: HashMap<StageId, Defined>,
    located: LocatedShuffles,
    jobs: HashMap<JobId, Waiting>,
    /// Results of attempts of which the scheduler has not said yet whether they count.
    results: HashMap<Attempt, Block>,
    /// Partitions whose findings have been counted, by the dataset they are counted as.
    counted: HashMap<DatasetId, Counted>,
    /// To be told where the workers are, for who takes over.
    keeper: Option<Arc<Keeper>>,
    /// What was held before this master began and is used; not known at first.
    used: Option<Used>,
    is_overtaken: bool,
    /// Targets of jobs that nobody waits for.
    background: HashSet<DatasetId>,
    /// Workers of the master before that count as lost.
    not_coming: BTreeSet<WorkerId>,
    /// Those that are still waited for, and where they are: whoever takes over next has to find them.
    awaited: BTreeMap<WorkerId, String>,
    /// All that the master before counted on, which the lease names.
    known: BTreeSet<WorkerId>,
    /// Those that are lost, here or to the master before, and where they were: they may be there all the same, and whoever takes
    /// over next has to find them.
    lost: Lost,
    /// Those that have come and are not named by the lease yet: they are here, and are relied on, once whoever takes over
    /// would find them.
    entering: BTreeMap<WorkerId, Entering>,
    /// What those held that have come, while it is not known what is used.
    reported: Vec<BlockId>,
    /// What is to be asked about workers that were lost while another master may have taken over, and when that was.
    doubtful: Vec<(u64, WorkerId, Say)>,
    /// It was said that there is no worker for what there is to do, and none has come since.
    no_workers_said: bool,
}

/// A worker that has come, as [`ToMaster::Joined`] says.
struct Entering {
    slots: u32,
    link: Link,
    address: Option<String>,
    holds: Vec<BlockId>,
}

#[derive(Default)]
struct Counted {
    partitions: HashSet<u32>,
    /// How many datasets that are not forgotten count as this one: itself and its kept copies.
    datasets: usize,
}

struct Waiting {
    blocks: Vec<Option<Block>>,
    reply: Sender<Result<Vec<Block>, TaskError>>,
}

impl Master {
    pub fn new(shared: Arc<Shared>, speculation: bool, begins: &Begins) -> Self {
        Self {
            scheduler: Scheduler::new().speculate(speculation).naming_from(begins.first_name()),
            began: Instant::now(),
            told_ms: 0,
            links: BTreeMap::new(),
            addresses: Addresses::new(),
            holding: Holding::default(),
            reception: Reception::default(),
            shared,
            steps: HashMap::new(),
            stages: HashMap::new(),
            located: LocatedShuffles::new(),
            jobs: HashMap::new(),
            results: HashMap::new(),
            counted: HashMap::new(),
            keeper: begins.keeper.clone(),
            used: None,
            is_overtaken: false,
            background: HashSet::new(),
            not_coming: BTreeSet::new(),
            awaited: begins.workers.here.iter().cloned().collect(),
            known: begins.workers.here.iter().map(|(worker, _)| *worker).collect(),
            lost: begins.workers.lost.clone(),
            entering: BTreeMap::new(),
            reported: Vec::new(),
            doubtful: Vec::new(),
            no_workers_said: false,
        }
    }

    pub fn run(mut self, messages: &Receiver<ToMaster>) {
        while let Some(message) = self.next(messages) {
            // The connection of one that is lost may not have ended: it comes back by another meanwhile.
            if message.said_by().is_some_and(|worker| !self.links.contains_key(&worker)) {
                continue;
            }
            match message {
                ToMaster::Shutdown => {
                    // Who is overtaken, or ends before its program, leaves the workers to the other.
                    if !self.is_overtaken {
                        let entering = self.entering.values().map(|entering| &entering.link);
                        self.links.values().chain(entering).for_each(|link| link.tell_away(ToWorker::Stop));
                        if let Some(keeper) = &self.keeper {
                            keeper.workers(Workers { here: Vec::new(), lost: self.lost });
                        }
                    }
                    return;
                }
                ToMaster::Overtaken => self.overtaken(),
                ToMaster::NotComing(workers) => self.not_coming(&workers),
                ToMaster::Submit { job, target, steps, reply } => self.submit(job, target, steps, reply),
                // The workers are the other's: nothing is asked of them, and above all nothing that they hold is let go.
                // Whoever waits hears that nobody answers.
                _ if self.is_overtaken => {}
                ToMaster::Named(workers) => self.named(&workers),
                ToMaster::SureUntil(until_ms) => self.sure_until(until_ms),
                ToMaster::Event(event) => {
                    if let Some(used) = &mut self.used {
                        used.note(&event);
                    }
                    self.step(event);
                }
                ToMaster::Replace(step) => self.replace(step),
                ToMaster::Describe(steps) => {
                    let datasets = self.take_in(steps);
                    self.step(Event::Described { datasets });
                }
                ToMaster::Hold { blocks, reply } => {
                    self.holding.begin(blocks, reply, &self.links);
                    self.say_if_blocks_wait();
                }
                ToMaster::Held { worker, block } if self.reception.may_need(&block) == Some(false) => {
                    // It has made it for an interval that is over by now.
                    if let Some(link) = self.links.get_mut(&worker) {
                        link.drop_blocks(vec![block]);
                    }
                }
                ToMaster::Held { worker, block } => {
                    // The scheduler first: who waits for the block may submit a job the next moment.
                    self.step(Event::BlocksHeld { worker, blocks: vec![block] });
                    let bytes = self.holding.held(worker, block);
                    self.shared.moved_bytes.fetch_add(bytes, Ordering::Relaxed);
                    self.drain_ready();
                }
                ToMaster::Receive(receive) => {
                    let said = self.reception.receive(receive, &self.receivers());
                    self.say(said);
                }
                ToMaster::WereAlone(blocks) => self.reception.were_alone(&blocks),
                ToMaster::Cut { source, reply } => {
                    let said = self.reception.cut(source, reply, &self.receivers());
                    self.say(said);
                    self.answer_cuts();
                }
                ToMaster::Reported { worker, request, report } => self.reported(worker, request, report),
                ToMaster::Ran { worker, attempt, result } => self.ran(worker, attempt, result),
                ToMaster::Joined { worker, slots, link, address, holds } => {
                    self.joined(worker, Entering { slots, link, address, holds });
                }
                ToMaster::Draining { worker } => {
                    tracing::info!(%worker, "a worker wants to leave");
                    self.holding.leaves(worker);
                    let said = self.reception.leaves(worker, &self.receivers());
                    self.say(said);
                    self.drain_ready();
                }
                ToMaster::UseOnly(used) => self.use_only(*used),
                ToMaster::Lost { worker } => self.lost(worker),
                ToMaster::BeginsAnew { worker } if self.links.contains_key(&worker) => self.lost(worker),
                // The master before may have had it for a moment: what it has received others hold.
                ToMaster::BeginsAnew { worker } => self.receiver_is_lost(worker),
            }
            #[cfg(test)]
            self.shared.described.store(self.steps.len(), Ordering::SeqCst);
        }
    }

    /// Waits for the next message; while something depends on the time, the scheduler hears of it meanwhile.
    fn next(&mut self, messages: &Receiver<ToMaster>) -> Option<ToMaster> {
        while self.scheduler.watches_time() {
            match messages.recv_timeout(Duration::from_millis(limits::CLOCK_MS)) {
                Ok(message) => return Some(message),
                Err(RecvTimeoutError::Timeout) => self.tell_time(),
                Err(RecvTimeoutError::Disconnected) => return None,
            }
        }
        messages.recv().ok()
    }

    fn tell_time(&mut self) {
        let now_ms = self.began.elapsed().as_millis() as u64;
        if now_ms != self.told_ms {
            self.told_ms = now_ms;
            self.carry_out_all(Event::Clock { now_ms });
        }
    }

    /// What they had received and not reported is reported by whoever holds replicas.
    fn not_coming(&mut self, workers: &[WorkerId]) {
        for worker in workers {
            if self.links.contains_key(worker) {
                continue;
            }
            if let Some(address) = self.awaited.remove(worker) {
                tracing::warn!(%worker, "a worker of the master before has not come, and counts as lost");
                self.lost.put(*worker, address);
            }
            self.not_coming.insert(*worker);
            self.receiver_is_lost(*worker);
            self.step(Event::HoldersMissing);
        }
        self.awaited.clear();
        self.tell_keeper();
        // What those held that do not come others are to hold.
        self.step(Event::HoldersKnown);
    }

    /// Nothing that anyone waits for will come.
    fn overtaken(&mut self) {
        self.is_overtaken = true;
        for (_, Waiting { reply, .. }) in self.jobs.drain() {
            let _ = reply.send(Err(overtaken()));
        }
        self.holding = Holding::default();
        self.reception = Reception::default();
        self.doubtful.clear();
    }

    fn joined(&mut self, worker: WorkerId, entering: Entering) {
        if self.not_coming.contains(&worker) {
            // Others count for it, and take nothing from it any more. Without its link its connection ends, and it
            // comes back as a new one.
            tracing::warn!(%worker, "a worker of the master before has come too late");
            return;
        }
        if entering.address.is_some() && self.keeper.is_some() && !self.known.contains(&worker) {
            self.entering.insert(worker, entering);
            self.tell_keeper();
        } else {
            self.enter(worker, entering);
        }
    }

    /// Whoever takes over finds these workers, with what they receive and copy from now on.
    fn named(&mut self, workers: &BTreeSet<WorkerId>) {
        // One after the other: at each the lease is told anew, and has to name those that are yet to follow.
        for worker in workers {
            if let Some(entering) = self.entering.remove(worker) {
                self.enter(*worker, entering);
            }
        }
    }

    fn enter(&mut self, worker: WorkerId, Entering { slots, link, address, holds }: Entering) {
        // A program that is written down says what is used of the time before once it has read that.
        let is_known = self.used.is_some() || (self.keeper.is_none() && self.known.is_empty());
        let unwanted: Vec<BlockId> =
            holds.iter().filter(|block| is_known && !self.wants(block)).copied().collect();
        if let Some(address) = address {
            // Everyone knows where everyone is before the first task that reads from another.
            link.tell_away(ToWorker::Peers(self.addresses.clone().into_iter().collect()));
            let news = ToWorker::Peers(vec![(worker, address.clone())]);
            self.links.values().for_each(|link| link.tell_away(news.clone()));
            self.awaited.remove(&worker);
            self.lost.come(&address);
            self.addresses.insert(worker, address);
            self.tell_keeper();
        }
        let is_worker = link.is_worker();
        self.links.insert(worker, link);
        self.no_workers_said &= !is_worker;
        self.holding.joined(&self.links);
        let shares = self.reception.joined(&self.receivers());
        self.say(shares);
        self.step(Event::WorkerJoined { worker, slots });
        if !holds.is_empty() {
            self.note_stored(&holds);
            self.step(Event::BlocksHeld { worker, blocks: holds.clone() });
            if is_known {
                self.release(unwanted);
                self.step(Event::HoldersKnown);
                let asked = self.reception.comes_back(worker);
                self.say(asked);
            } else {
                self.reported.extend(holds);
            }
        }
        if is_worker {
            // Whoever sees that it is here may ask for what it holds.
            self.count(worker, Some(slots));
        }
    }

    /// The scheduler hears that a worker wants to leave when it knows all that the worker holds.
    fn drain_ready(&mut self) {
        for worker in self.holding.ready_to_leave(|worker| self.reception.may_leave(worker)) {
            self.step(Event::WorkerDraining { worker });
        }
    }

    fn lost(&mut self, worker: WorkerId) {
        if self.entering.remove(&worker).is_some() {
            self.tell_keeper();
        }
        if self.links.remove(&worker).is_some() {
            // Who was let go is gone.
            let address = self.addresses.remove(&worker).filter(|_| !self.holding.is_released(worker));
            address.into_iter().for_each(|address| self.lost.put(worker, address));
            self.tell_keeper();
            self.holding.lost(worker, &self.links);
            let said = self.ask_for_replicas(worker);
            if let Some(other) = self.reception.lost_with(worker) {
                tracing::error!(
                    %worker, %other,
                    "two workers are lost, of which one held what the other had received: with them all is lost that they had acknowledged since the last interval was cut"
                );
            }
            let awaited = self.scheduler.awaited();
            self.step(Event::WorkerLost { worker });
            self.say_if_blocks_wait();
            let awaited = self.scheduler.awaited().saturating_sub(awaited);
            if awaited > 0 {
                let for_s = limits::AWAITED_MS_MAX / 1000;
                tracing::warn!(
                    %worker,
                    "{awaited} received blocks are held by nobody else; what needs them waits {for_s} s for it to come back"
                );
            }
            self.say(said);
            self.answer_cuts();
            // Whoever sees that it is gone sees what follows from it.
            self.count(worker, None);
        }
    }

    fn reported(&mut self, worker: WorkerId, request: u64, report: BlocksReport) {
        let Consequences { events, say, drop } =
            self.reception.reported(worker, request, report, &self.receivers());
        // The scheduler first: who waits for the blocks may submit a job the next moment.
        events.into_iter().for_each(|event| self.step(event));
        self.wait_for_asked();
        self.say(say);
        if let Some((worker, blocks)) = drop.filter(|(_, blocks)| !blocks.is_empty())
            && let Some(link) = self.links.get_mut(&worker)
        {
            link.drop_blocks(blocks);
        }
        answer(self.reception.is_answered(request, |block| self.scheduler.is_held(block)));
        // It may be what one has said who wants to leave.
        self.drain_ready();
    }

    /// What it had received and not reported is reported by whoever holds replicas.
    fn receiver_is_lost(&mut self, worker: WorkerId) {
        let said = self.ask_for_replicas(worker);
        self.say(said);
        self.answer_cuts();
    }

    /// The same; to be said once the scheduler knows that nobody who is asked may leave.
    fn ask_for_replicas(&mut self, lost: WorkerId) -> Vec<(WorkerId, Say)> {
        let said = self.reception.lost(lost, &self.receivers());
        self.wait_for_asked();
        said
    }

    /// Who was to be let go and is asked something else stays until it has answered.
    fn wait_for_asked(&mut self) {
        for worker in self.holding.wait_again(|worker| self.reception.may_leave(worker)) {
            self.step(Event::WorkerAsked { worker });
        }
    }

    fn answer_cuts(&mut self) {
        answer(self.reception.answered(|block| self.scheduler.is_held(block)));
    }

    /// Those that clients can reach.
    fn receivers(&self) -> BTreeSet<WorkerId> {
        self.links.iter().filter(|(_, link)| link.is_worker()).map(|(worker, _)| *worker).collect()
    }

    /// Whoever is asked what it holds of a lost worker hands nothing to that one any more, and acknowledges alone what it
    /// receives if it knows no other. Workers that are lost here may be with a master that has taken over. So while one may
    /// have, nobody is asked, until it is certain that none had when the worker was lost; intervals that are cut wait for the
    /// answers.
    fn say(&mut self, said: Vec<(WorkerId, Say)>) {
        for (worker, what) in said {
            let doubt = match &what {
                Say::ReportReplicas { .. } => self.keeper.as_ref().and_then(|keeper| keeper.doubts()),
                _ => None,
            };
            match doubt {
                Some(since_ms) => self.doubtful.push((since_ms, worker, what)),
                None => self.tell(worker, what),
            }
        }
    }

    fn sure_until(&mut self, until_ms: u64) {
        let asked = self.doubtful.extract_if(.., |(since_ms, ..)| *since_ms <= until_ms);
        for (_, worker, what) in asked.collect::<Vec<_>>() {
            self.tell(worker, what);
        }
    }

    fn tell(&self, worker: WorkerId, what: Say) {
        if let Some(link) = self.links.get(&worker) {
            link.say(what);
        }
    }

    fn tell_keeper(&self) {
        if let Some(keeper) = &self.keeper {
            let entering = self
                .entering
                .iter()
                .filter_map(|(worker, entering)| Some((worker, entering.address.as_ref()?)));
            let all = self.awaited.iter().chain(&self.addresses).chain(entering);
            let here = all.map(|(worker, address)| (*worker, address.clone())).collect();
            keeper.workers(Workers { here, lost: self.lost.clone() });
        }
    }

    /// What nobody will ask for was made for jobs of the master before, or received for an interval that it has not
    /// written down.
    fn use_only(&mut self, used: Used) {
        let mut blocks = std::mem::take(&mut self.reported);
        blocks.retain(|block| !used.contains(block));
        self.used = Some(used);
        self.release(blocks);
    }

    /// Whether somebody may ask for a block that a worker comes with: one of the master before, or one that was lost.
    fn wants(&self, block: &BlockId) -> bool {
        let is_used = || self.used.as_ref().is_some_and(|used| used.contains(block));
        let may_need = self.reception.may_need(block);
        may_need.unwrap_or_else(|| self.scheduler.wants(block) || is_used())
    }

    /// Whoever holds these need not any more.
    fn release(&mut self, blocks: Vec<BlockId>) {
        self.note_dropped(&blocks);
        self.step(Event::InputsReleased { blocks });
    }

    /// How many there are to compute, for whoever wants to know.
    fn count(&self, worker: WorkerId, slots: Option<u32>) {
        let mut joined = self.shared.joined();
        match slots {
            Some(slots) => joined.insert(worker, slots),
            None => joined.remove(&worker),
        };
    }

    fn submit(
        &mut self,
        job: JobId,
        target: DatasetId,
        steps: Vec<Step>,
        reply: Sender<Result<Vec<Block>, TaskError>>,
    ) {
        if self.is_overtaken {
            let _ = reply.send(Err(overtaken()));
            return;
        }
        let datasets = self.take_in(steps);
        if job.is_background() {
            self.background.insert(target);
        }
        let partitions = self.steps.get(&target).map_or(0, |step| step.dataset.partitions);
        self.jobs.insert(job, Waiting { blocks: vec![None; partitions as usize], reply });
        self.step(Event::JobSubmitted { job, datasets, target });
    }

    /// How datasets are made, for whatever tasks compute them.
    fn take_in(&mut self, steps: Vec<Step>) -> Vec<Arc<Dataset>> {
        let datasets = steps.iter().map(|step| step.dataset.clone()).collect();
        for step in steps {
            self.counted.entry(step.counts_as).or_default().datasets += 1;
            self.steps.insert(step.dataset.id, step);
        }
        datasets
    }

    fn replace(&mut self, step: Step) {
        // It may have been forgotten since.
        if let Some(known) = self.steps.get_mut(&step.dataset.id) {
            let dataset = step.dataset.clone();
            *known = step;
            self.step(Event::LineageReplaced { dataset });
        }
    }

    fn ran(&mut self, worker: WorkerId, attempt: Attempt, result: Result<Outcome, TaskError>) {
        match result {
            Ok(Outcome { stored, result, findings, read, combined, fetched_bytes }) => {
                let target = self.stages.get(&attempt.stage).map(|defined| defined.stage.target);
                self.shared.moved(target, Moved { partitions: 0, bytes: fetched_bytes });
                self.note_stored(&stored);
                self.note_findings(findings);
                self.results.extend(result.map(|block| (attempt, block)));
                self.step(Event::TaskFinished { attempt, worker, stored, read, combined });
                // Whatever was not accepted now never will be.
                self.results.remove(&attempt);
            }
            Err(error) => self.step(Event::TaskFailed { attempt, worker, error }),
        }
    }

    fn step(&mut self, event: Event) {
        self.tell_time();
        self.carry_out_all(event);
    }

    fn carry_out_all(&mut self, event: Event) {
        if let Event::InputsReleased { blocks } = &event {
            self.reception.released(blocks);
        }
        let commands = self.scheduler.step(event);
        self.shared.copies.store(self.scheduler.copies(), Ordering::Relaxed);
        for command in commands {
            self.carry_out(command);
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::DefineStage { id, stage } => match Plan::new(&stage, |id| self.steps.get(&id)) {
                Ok(plan) => {
                    let before = self.stages.insert(id, Defined { stage, plan: Arc::new(plan) });
                    if before.is_some() {
                        self.links.values_mut().for_each(|link| link.redefine(id));
                    }
                }
                Err(error) => tracing::error!(stage = %id, %error, "stage cannot be planned"),
            },
            Command::RetireStage { id } => {
                self.stages.remove(&id);
                self.links.values_mut().for_each(|link| link.retire(id));
            }
            Command::Locate { shuffle, located } => {
                self.located.entry(shuffle).or_default().push(located.into());
            }
            Command::FetchAhead { worker, shuffle, reduces } => {
                if let Some(link) = self.links.get_mut(&worker) {
                    link.fetch_ahead(&self.located, shuffle, reduces);
                }
            }
            Command::Launch { worker, task } => {
                let attempt = task.attempt;
                // To write a state down moves nothing.
                let is_counted = !self.background.contains(&task.target);
                let moved = task.remote.iter();
                let moved = moved.filter(|(id, _)| is_counted && matches!(id, BlockId::Partition { .. }));
                let moved = Moved { partitions: moved.count() as u64, bytes: 0 };
                self.shared.moved(Some(task.target), moved);
                let launched = match (self.stages.get(&attempt.stage), self.links.get_mut(&worker)) {
                    (Some(defined), Some(link)) => link.run(defined, &self.located, task),
                    // Without a plan the stage was refused above; its jobs must not wait for ever.
                    (None, _) => Err(TaskError::Internal(format!("no plan for {attempt}"))),
                    // The scheduler is about to hear that it is lost, and what ran there with it.
                    (_, None) => Ok(()),
                };
                if let Err(error) = launched {
                    self.step(Event::TaskFailed { attempt, worker, error });
                }
            }
            // The slot comes back when the worker says that the attempt has stopped.
            Command::CancelAttempt { worker, attempt } => {
                if let Some(link) = self.links.get(&worker) {
                    link.cancel(attempt);
                }
            }
            Command::CopyBlocks { from, to, blocks } => {
                if let Some(link) = self.links.get(&to) {
                    link.tell_away(ToWorker::Copy(from, Blocks::short(&blocks)));
                }
            }
            Command::ReleaseWorker { worker } => {
                tracing::info!(%worker, "a worker leaves");
                self.holding.released(worker);
                if let Some(link) = self.links.get(&worker) {
                    link.tell_away(ToWorker::Stop);
                }
            }
            Command::AcceptResult { job, partition, attempt } => {
                if let (Some(waiting), Some(block)) = (self.jobs.get_mut(&job), self.results.get(&attempt))
                    && let Some(place) = waiting.blocks.get_mut(partition as usize)
                {
                    *place = Some(block.clone());
                }
            }
            Command::JobFinished { job } => {
                let missing = || TaskError::Internal(format!("{job} finished without all its results"));
                self.answer(job, |blocks| blocks.into_iter().collect::<Option<_>>().ok_or_else(missing));
            }
            Command::JobFailed { job, error } => self.answer(job, |_| Err(error)),
            Command::DropBlocks { worker, blocks } => {
                self.note_dropped(&blocks);
                if let Some(link) = self.links.get_mut(&worker) {
                    link.drop_blocks(blocks);
                }
            }
            Command::LetGo { datasets } => self.let_go(datasets),
            Command::NoWorkers => self.say_that_workers_lack(),
        }
    }

    /// What an interval takes in has to be held by workers before there is a job for it.
    fn say_if_blocks_wait(&mut self) {
        if self.holding.lacks_workers() {
            self.say_that_workers_lack();
        }
    }

    /// Once, until there is one.
    fn say_that_workers_lack(&mut self) {
        if !std::mem::replace(&mut self.no_workers_said, true) {
            tracing::warn!("there is work and no worker; waiting for one to join");
        }
    }

    fn answer(
        &mut self,
        job: JobId,
        result: impl FnOnce(Vec<Option<Block>>) -> Result<Vec<Block>, TaskError>,
    ) {
        if let Some(Waiting { blocks, reply }) = self.jobs.remove(&job) {
            // Whoever asked may have given up.
            let _ = reply.send(result(blocks));
        }
    }

    fn note_stored(&self, stored: &[BlockId]) {
        let mut partitions = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for block in stored {
            if let BlockId::Partition { dataset, partition } = block {
                partitions.entry(*dataset).or_default().insert(*partition);
            }
        }
    }

    fn note_dropped(&self, blocks: &[BlockId]) {
        let mut partitions = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner);
        for block in blocks {
            if let BlockId::Partition { dataset, .. } = block {
                partitions.remove(dataset);
            }
        }
    }

    /// A partition may be computed more than once; what it found counts the first time.
    fn note_findings(&mut self, findings: Findings) {
        let mut fresh = HashSet::new();
        for (dataset, partition, finding) in findings {
            // A kept copy counts as what it is a copy of.
            let dataset = self.steps.get(&dataset).map_or(dataset, |step| step.counts_as);
            if self.counted.get_mut(&dataset).is_some_and(|counted| counted.partitions.insert(partition)) {
                fresh.insert((dataset, partition));
            }
            if !fresh.contains(&(dataset, partition)) {
                continue;
            }
            if let Some(finding) = self.shared.unclaimed.keep(dataset, partition, finding) {
                self.shared.found(dataset, partition, finding);
            }
        }
    }

    /// No task needs what is known of how these datasets are made.
    fn let_go(&mut self, datasets: Vec<DatasetId>) {
        let mut shuffles = Vec::new();
        for dataset in datasets {
            shuffles.extend(self.located.remove(&dataset).map(|_| dataset));
            self.background.remove(&dataset);
            let Some(step) = self.steps.remove(&dataset) else { continue };
            if let Entry::Occupied(mut counted) = self.counted.entry(step.counts_as) {
                counted.get_mut().datasets -= 1;
                if counted.get().datasets == 0 {
                    counted.remove();
                    self.shared.unclaimed.forget(step.counts_as);
                }
            }
        }
        if !shuffles.is_empty() {
            self.links.values_mut().for_each(|link| link.forget_shuffles(&shuffles));
        }
    }
}

fn answer(answered: Vec<(Sender<Received>, Received)>) {
    for (reply, received) in answered {
        // Whoever waited may have given up.
        let _ = reply.send(received);
    }
}

fn overtaken() -> TaskError {
    let message = "another master has taken the program over, or is to".to_owned();
    TaskError::External { operator: "the master".into(), message }
}

#[cfg(test)]
mod tests;
