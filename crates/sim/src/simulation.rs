use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    fmt,
};

use cutwater_core::{Attempt, DatasetId, Event, JobId, WorkerId, limits};

use crate::{
    dice::Dice,
    faults::Fault,
    invariants::Invariants,
    log::Log,
    master::{Master, Wanted},
    message::{Between, ToMaster, ToWorker},
    network::{Network, Node},
    program::Program,
    store::Store,
    worker::Worker,
};

/// How long an interval is.
pub(crate) const INTERVAL_MS: u64 = 500;

/// A master and its workers, a network and a store, with a clock of their own.
///
/// Properties:
/// - all that happens follows from the seed: the program, how long things take, and what fails when;
/// - the scheduler is the real one, everything around it is as simple as it can be and still fail in every way
///   that the real thing does;
/// - faults are fair: of every received block that is needed one holder is left, since what a sender was told
///   is safe must be safe from any one loss only;
/// - what must always hold is looked at all the time, and the first thing that does not ends the run.
pub struct Simulation {
    pub(crate) dice: Dice,
    pub(crate) now_ms: u64,
    queue: BinaryHeap<Reverse<Scheduled>>,
    scheduled: u64,
    pub(crate) log: Log,
    pub(crate) network: Network,
    /// Messages that wait until their way is open.
    held_back: BTreeMap<(Node, Node), VecDeque<What>>,
    pub(crate) store: Store,
    pub(crate) program: Program,
    pub(crate) master: Master,
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    next_worker: u32,
    pub(crate) requests: u64,
    /// How many intervals may run at the same time.
    pub(crate) ahead: u64,
    pub(crate) setting: Setting,
    intervals: u64,
    pub(crate) faults_last: bool,
    /// Workers that will be lost, as nothing gets through to them for long.
    pub(crate) doomed: BTreeSet<WorkerId>,
    pub(crate) invariants: Invariants,
    violation: Option<String>,
}

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum What {
    ToWorker(WorkerId, ToWorker),
    ToMaster(WorkerId, ToMaster),
    Between(WorkerId, WorkerId, Between),
    /// The master hears that a connection has ended.
    Closed(WorkerId),
    /// A worker hears it.
    Ended(WorkerId),
    Ends(WorkerId, Attempt),
    FetchLate(WorkerId, u64),
    Written {
        worker: WorkerId,
        dataset: DatasetId,
        partition: u32,
        value: u64,
    },
    Recorded(u64),
    Receive(u64),
    /// A worker process starts.
    Start,
    /// The scheduler may be told the time.
    Tick,
    /// Whoever is alive says so.
    Beat,
    Fault,
    Open(Vec<(Node, Node)>),
    Calm(WorkerId),
}

struct Scheduled {
    at_ms: u64,
    nth: u64,
    what: What,
}

impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.nth).cmp(&(other.at_ms, other.nth))
    }
}

impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at_ms, self.nth) == (other.at_ms, other.nth)
    }
}

impl Eq for Scheduled {}

/// How a cluster is set up, beside what follows from the seed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setting {
    /// The master holds what it has received itself, besides two workers: then all workers may be lost.
    pub master_holds: bool,
}

/// What came of a seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What did not hold, if something did not.
    pub violation: Option<String>,
    /// A digest of everything that happened.
    pub digest: u64,
    /// How many intervals were run.
    pub intervals: u64,
    /// How many things happened.
    pub events: u64,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            None => write!(f, "{} intervals, {} events", self.intervals, self.events),
            Some(violation) => write!(f, "{violation}"),
        }
    }
}

impl Simulation {
    /// Runs `seed` to its end, printing what happens if `print` is set.
    pub fn run(seed: u64, print: bool) -> Outcome {
        Self::run_in(Setting::default(), seed, print)
    }

    /// The same in a cluster that is set up in another way.
    pub fn run_in(setting: Setting, seed: u64, print: bool) -> Outcome {
        let mut dice = Dice::new(seed);
        let program = Program::draw(&mut dice);
        let (ahead, intervals) = (dice.between(1..4), dice.between(8..20));
        let log = Log::new(print);
        let mut simulation = Self {
            dice,
            now_ms: 0,
            queue: BinaryHeap::new(),
            scheduled: 0,
            log,
            network: Network::default(),
            held_back: BTreeMap::new(),
            store: Store::default(),
            program,
            master: Master::default(),
            workers: BTreeMap::new(),
            next_worker: 1,
            requests: 0,
            ahead,
            setting,
            intervals,
            faults_last: true,
            doomed: BTreeSet::new(),
            invariants: Invariants::default(),
            violation: None,
        };
        simulation.log.say(0, format_args!("{:?}", simulation.program));
        simulation.live();
        Outcome {
            violation: simulation.violation,
            digest: simulation.log.digest(),
            intervals,
            events: simulation.scheduled,
        }
    }

    fn live(&mut self) {
        if self.setting.master_holds {
            self.let_master_hold();
        }
        for _ in 0..self.dice.between(2..5) {
            self.start_worker();
        }
        for interval in 0..self.intervals {
            self.at((interval + 1) * INTERVAL_MS, What::Receive(interval));
        }
        self.at(0, What::Tick);
        self.at(0, What::Beat);
        let first_ms = self.dice.between(100..3_000);
        self.at(first_ms, What::Fault);
        let faults_end_ms = self.intervals * INTERVAL_MS + self.dice.below(3_000);
        self.pass(|sim| sim.now_ms >= faults_end_ms);
        self.end_faults();
        self.pass(|sim| sim.master.first_open >= sim.intervals);
        // Then all is quiet: whoever was slow is forgiven, whoever wants to leave has left.
        let quiet_ms = self.now_ms + limits::AVOIDED_MS_MAX + limits::DRAIN_MS_MAX;
        self.pass(|sim| sim.now_ms >= quiet_ms);
        self.use_all_slots();
        self.let_everything_go();
    }

    /// Lets things happen until it `is_enough`, or something is wrong.
    fn pass(&mut self, is_enough: impl Fn(&Self) -> bool) {
        while self.violation.is_none() && !is_enough(self) {
            let Some(Reverse(Scheduled { at_ms, what, .. })) = self.queue.pop() else { return };
            self.now_ms = at_ms;
            self.happens(what);
        }
    }

    fn happens(&mut self, what: What) {
        if let Some(way) = way(&what)
            && self.network.is_closed(way.0, way.1)
        {
            self.held_back.entry(way).or_default().push_back(what);
            return;
        }
        match what {
            What::ToWorker(id, message) => self.worker_hears(id, message),
            What::ToMaster(id, message) => self.master_hears(id, message),
            What::Between(from, to, message) => self.hears_between(from, to, message),
            What::Closed(id) => self.lost(id),
            What::Ended(id) => self.ends(id, "has lost its master"),
            What::Ends(id, attempt) => self.task_ends(id, attempt),
            What::FetchLate(id, request) => self.fetch_is_late(id, request),
            What::Written { worker, dataset, partition, value } => {
                self.written(worker, dataset, partition, value);
            }
            What::Recorded(interval) => self.recorded(interval),
            What::Receive(interval) => self.receive(interval),
            What::Start => self.start_worker(),
            What::Tick => {
                self.tick();
                self.at(self.now_ms + limits::CLOCK_MS, What::Tick);
            }
            What::Beat => self.beat(),
            What::Fault => {
                if self.faults_last {
                    let fault = Fault::draw(&mut self.dice);
                    self.strike(fault);
                    let next_ms = self.now_ms + self.dice.between(100..900);
                    self.at(next_ms, What::Fault);
                }
            }
            What::Open(ways) => ways.into_iter().for_each(|(from, to)| self.open(from, to)),
            What::Calm(id) => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.slow = 1;
                }
            }
        }
    }

    pub(crate) fn at(&mut self, at_ms: u64, what: What) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at_ms, nth: self.scheduled, what }));
    }

    pub(crate) fn send(&mut self, from: Node, to: Node, what: What) {
        let at_ms = self.network.arrival_ms(from, to, self.now_ms, &mut self.dice);
        self.at(at_ms, what);
    }

    pub(crate) fn tell_worker(&mut self, id: WorkerId, message: ToWorker) {
        self.send(Node::Master, Node::Worker(id), What::ToWorker(id, message));
    }

    /// What became of an attempt may be said twice, if the sender does not know whether it was heard.
    pub(crate) fn tell_master(&mut self, id: WorkerId, message: ToMaster) {
        if self.faults_last && matches!(message, ToMaster::Ran { .. }) && self.dice.one_in(30) {
            self.send(Node::Worker(id), Node::Master, What::ToMaster(id, message.clone()));
        }
        self.send(Node::Worker(id), Node::Master, What::ToMaster(id, message));
    }

    /// What was held back gets through, in its order.
    pub(crate) fn open(&mut self, from: Node, to: Node) {
        self.network.open(from, to);
        for what in self.held_back.remove(&(from, to)).unwrap_or_default() {
            self.send(from, to, what);
        }
    }

    fn start_worker(&mut self) {
        let id = WorkerId(self.next_worker);
        self.next_worker += 1;
        let slots = self.dice.between(1..4) as u32;
        self.workers.insert(id, Worker::new(slots as usize, self.now_ms));
        self.tell_master(id, ToMaster::Joined { slots });
    }

    /// A worker process ends, and another starts in its place.
    pub(crate) fn ends(&mut self, id: WorkerId, why: &str) {
        if self.workers.remove(&id).is_some() {
            self.log.say(self.now_ms, format_args!("{id} {why}"));
            self.send(Node::Worker(id), Node::Master, What::Closed(id));
            let later_ms = self.now_ms + self.dice.between(100..3_000);
            self.at(later_ms, What::Start);
        }
    }

    fn beat(&mut self) {
        let now_ms = self.now_ms;
        let silent = |heard_ms: u64| now_ms - heard_ms > limits::SILENCE_MS_MAX;
        let ids: Vec<WorkerId> = self.workers.keys().copied().filter(|id| *id != WorkerId::MASTER).collect();
        for id in ids {
            if self.workers.get(&id).is_some_and(|worker| silent(worker.heard_ms)) {
                self.ends(id, "hears nothing from its master");
            } else {
                self.tell_master(id, ToMaster::Ping);
            }
        }
        let links = self.master.links.iter().filter(|(id, _)| **id != WorkerId::MASTER);
        let links: Vec<(WorkerId, u64)> = links.map(|(id, link)| (*id, link.heard_ms)).collect();
        for (id, heard_ms) in links {
            if silent(heard_ms) {
                self.lost(id);
            } else {
                self.tell_worker(id, ToWorker::Ping);
            }
        }
        let size = self.master.scheduler.size();
        let open = self.master.next;
        let horizon = self.master.jobs.values().map(|wanted| wanted.horizon).min();
        let horizon = horizon.unwrap_or(self.master.horizon).min(open);
        let datasets_max = (open - horizon) as usize * self.program.datasets_max();
        let checked = self.invariants.memory.bounded(&size, datasets_max);
        self.check(checked);
        let checked = self.invariants.progress.goes_on(now_ms, self.master.first_open < self.intervals);
        self.check(checked);
        // A checkpoint whose writer was lost is asked for again.
        self.save();
        self.at(now_ms + limits::PING_MS, What::Beat);
    }

    fn written(&mut self, id: WorkerId, dataset: DatasetId, partition: u32, value: u64) {
        // Whoever died meanwhile leaves nothing, or the beginning of it.
        let lives = self.workers.contains_key(&id);
        if self.store.write(dataset, partition, value, &mut self.dice, self.faults_last || !lives) && lives {
            self.tell_master(id, ToMaster::Saved { dataset, partition });
        }
    }

    fn end_faults(&mut self) {
        self.log.say(self.now_ms, format_args!("faults end"));
        self.faults_last = false;
        self.network.heal();
        let ways: Vec<(Node, Node)> = self.held_back.keys().copied().collect();
        ways.into_iter().for_each(|(from, to)| self.open(from, to));
        self.workers.values_mut().for_each(|worker| worker.slow = 1);
        self.invariants.progress.faults_end(self.now_ms);
    }

    /// One more task than there are slots: all are used, and one task waits.
    fn use_all_slots(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let slots: usize = self.workers.values().map(|worker| worker.slots).sum();
        let dataset = self.program.plain(slots as u32 + 1);
        let job = JobId(u64::MAX);
        self.invariants.outputs.submitted(job);
        self.master.jobs.insert(job, Wanted { interval: u64::MAX, horizon: 0, target: dataset.id });
        let target = dataset.id;
        self.step(Event::JobSubmitted { job, datasets: vec![dataset], target });
        let checked = self.invariants.slots.all_used(self.master.scheduler.size().running, slots);
        self.check(checked);
        self.pass(|sim| sim.master.jobs.is_empty());
        self.step(Event::Forgotten { datasets: vec![target] });
    }

    fn let_everything_go(&mut self) {
        let from = self.master.horizon;
        self.master.horizon = u64::MAX;
        self.let_go(from..self.intervals);
        let later_ms = self.now_ms + 10_000;
        self.pass(|sim| sim.now_ms >= later_ms);
        if self.violation.is_none() {
            let left =
                self.workers.iter().find_map(|(id, worker)| Some((*id, *worker.blocks.keys().next()?)));
            let checked = self.invariants.memory.empty(&self.master.scheduler.size(), left);
            self.check(checked);
            let checked = self.invariants.outputs.all_done();
            self.check(checked);
        }
    }

    /// Takes note of the first thing that does not hold.
    pub(crate) fn check(&mut self, checked: Result<(), String>) {
        if let Err(violation) = checked
            && self.violation.is_none()
        {
            self.log.say(self.now_ms, format_args!("VIOLATION: {violation}"));
            self.violation = Some(violation);
        }
    }
}

/// Over which way something comes.
fn way(what: &What) -> Option<(Node, Node)> {
    match what {
        What::ToWorker(id, _) | What::Ended(id) => Some((Node::Master, Node::Worker(*id))),
        What::ToMaster(id, _) | What::Closed(id) => Some((Node::Worker(*id), Node::Master)),
        What::Between(from, to, _) => Some((Node::Worker(*from), Node::Worker(*to))),
        _ => None,
    }
}
