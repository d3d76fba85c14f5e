use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque},
    fmt,
};

use cutwater_core::{Attempt, BlockId, Event, JobId, WorkerId, limits};

use crate::{
    clients::Clients,
    description::{Reference, blocks_of},
    dice::Dice,
    durable::{Durable, Phase},
    failing::Failing,
    faults::Fault,
    invariants::{Invariants, memory::INTERVALS_BEHIND_MAX},
    log::Log,
    master::{Master, Wanted},
    message::{Between, FromClient, ToClient, ToMaster, ToWorker},
    network::{MasterId, Network, Node},
    program::{Made, Program},
    store::{Answer, Careless, File, Request, Store},
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
    pub(crate) reference: Reference,
    pub(crate) failing: Failing,
    /// Intervals that were set aside.
    pub(crate) aside: BTreeSet<u64>,
    pub(crate) clients: Clients,
    /// The master whose turn it is. The others are among `masters`.
    pub(crate) master: Master,
    pub(crate) masters: BTreeMap<MasterId, Master>,
    pub(crate) next_master: u32,
    pub(crate) claims: u64,
    /// Masters whose processes have ended, and those among them whose machines went down.
    pub(crate) ended: BTreeSet<MasterId>,
    pub(crate) crashed: BTreeSet<MasterId>,
    /// Masters that are stopped, and what waits for them.
    pub(crate) paused: BTreeMap<MasterId, VecDeque<What>>,
    /// The store fails now and then until then.
    pub(crate) store_fails_until_ms: u64,
    /// All masters are on one machine, where it is seen at once that one has ended.
    pub(crate) one_machine: bool,
    /// How far the clocks of masters are before the right one, by their places.
    pub(crate) skews_ms: [u64; MASTERS as usize],
    pub(crate) workers: BTreeMap<WorkerId, Worker>,
    next_worker: u32,
    pub(crate) requests: u64,
    /// How many intervals may run at the same time.
    pub(crate) ahead: u64,
    pub(crate) setting: Setting,
    pub(crate) intervals: u64,
    pub(crate) faults_last: bool,
    /// Workers that will be lost, as nothing gets through to them for long.
    pub(crate) doomed: BTreeSet<WorkerId>,
    pub(crate) invariants: Invariants,
    violation: Option<String>,
}

/// Intervals that what clients hold back fills at most, a batch for each if need be.
const INTERVALS_OF_THE_REST_MAX: u64 = 40;

/// How many masters there are, or would-be ones, where there may be more than one.
const MASTERS: u32 = 2;

/// Something that will happen.
#[derive(Debug)]
pub(crate) enum What {
    ToWorker(MasterId, WorkerId, ToWorker),
    ToMaster(WorkerId, MasterId, ToMaster),
    Between(WorkerId, WorkerId, Between),
    /// Over the connection of that number.
    ToReceiver(u32, WorkerId, u64, FromClient),
    ToClient(WorkerId, u32, u64, ToClient),
    ClientSends(u32),
    ClientConnects(u32),
    /// A worker that was to hold replicas has not answered.
    ConnectLate(WorkerId, u64),
    SeekHolder(WorkerId),
    /// The master hears that a connection has ended.
    Closed(WorkerId, MasterId),
    /// A worker hears it.
    Ended(MasterId, WorkerId),
    /// A master calls a worker of the master before.
    Call(MasterId, WorkerId),
    Ends(WorkerId, Attempt),
    FetchLate(WorkerId, u64),
    Written {
        worker: WorkerId,
        file: File,
        partition: u32,
        value: u64,
    },
    Recorded(u64),
    Receive(u64),
    /// A worker process starts.
    Start,
    /// A worker looks for a master.
    Rejoin(WorkerId),
    /// A process starts that is to be master, or to wait until it can be.
    StartMaster(u32),
    /// A standby looks at the lease.
    Look(MasterId),
    KeepLease(MasterId),
    TakeoverLate(MasterId),
    /// An interval is to be cut.
    Due(MasterId),
    Linger(MasterId),
    /// A request arrives at the store, and the answer at the master.
    Asked(MasterId, u64, Request),
    Answered(MasterId, u64, Answer),
    /// A master that was stopped goes on.
    Continue(MasterId),
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
    /// What the program does is written down, and another master takes over when one is gone. It holds what it has
    /// received, too.
    pub takeovers: bool,
    /// Clients send records to workers.
    pub clients: bool,
    /// What follows from the next interval alone is made while one is run, and workers fetch ahead.
    pub overlaps: bool,
    /// Functions of the program fail in some intervals, which are set aside.
    pub failures: bool,
    /// Something that is done wrong on purpose.
    pub plant: Option<Plant>,
}

/// The kinds of clusters that seeds are run in.
impl Setting {
    /// One master that never fails, and of every received block one holder is left.
    pub const ONE_MASTER: Self = Self {
        master_holds: false,
        takeovers: false,
        clients: false,
        overlaps: false,
        failures: false,
        plant: None,
    };
    /// The same, and the master holds what it has received.
    pub const MASTER_HOLDS: Self = Self { master_holds: true, ..Self::ONE_MASTER };
    /// Masters take over from each other.
    pub const STANDBY: Self = Self { takeovers: true, ..Self::ONE_MASTER };
    /// Intervals overlap.
    pub const OVERLAP: Self = Self { overlaps: true, ..Self::ONE_MASTER };
    /// Both.
    pub const STANDBY_OVERLAP: Self = Self { takeovers: true, ..Self::OVERLAP };
    /// Clients send records to workers.
    pub const CLIENTS: Self = Self { clients: true, ..Self::ONE_MASTER };
    /// The same, where masters take over from each other.
    pub const STANDBY_CLIENTS: Self = Self { takeovers: true, ..Self::CLIENTS };
    /// Intervals overlap and fail, and clients send records.
    pub const FAILURES: Self = Self { overlaps: true, failures: true, ..Self::CLIENTS };
    /// The same, where masters take over from each other.
    pub const STANDBY_FAILURES: Self = Self { takeovers: true, ..Self::FAILURES };
}

/// Something that is done wrong, so that an invariant has something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Plant {
    /// A master whose place in the log is taken writes to the next.
    SkipsTheFence,
    /// An interval runs although its input is written nowhere.
    RunsUnrecorded,
    /// The sink commits for any master.
    SinkForgetsEpochs,
    /// The sink commits an interval as often as it is told to.
    SinkRepeats,
    /// What no checkpoint needs is removed from the log, and with it what the older one needs.
    ForgetsTooMuch,
    /// A standby waits for ever.
    NeverTakesOver,
    /// Claims are removed with the other old entries of the log.
    RemovesClaims,
    /// An entry that was not written to its end is taken for one that was, and is damaged.
    StopsAtTornEntries,
    /// A master claims the log although it has read the claim of a later one.
    ClaimsLate,
    /// Blocks that masters receive are numbered on from the last that was written down, whatever the master before
    /// had received after that.
    SharesBlockNames,
    /// Lease, manifests and inputs of intervals have the same name whoever writes them.
    OneNameForAll,
    /// A master uses the checkpoints that it finds, and not those that the log calls held.
    TakesWhatIsThere,
    /// What an older checkpoint needs is removed before the log says that it is not held any more.
    RemovesUnsaid,
    /// Old entries of the log stay.
    KeepsOldEntries,
    /// A master lets go of what the next interval is made from.
    ForgetsTooEarly,
    /// Now and then a worker says that an attempt has ended, and goes on with it.
    KeepsAttempts,
    /// Received blocks that workers hold from the time with another master stay.
    KeepsWhatNobodyReads,
    /// A worker tells a client that a batch is safe as soon as it has it itself.
    AcknowledgesAtOnce,
    /// What clients send again counts again.
    ForgetsWhatItCounted,
    /// Received blocks that too few hold are not copied to others.
    CopiesNothing,
    /// A worker takes a piece that could not be fetched ahead for an empty one.
    InventsPieces,
    /// An interval is begun early although its input is written nowhere.
    BeginsUnrecorded,
    /// A worker that wants to leave is not asked what it has received.
    LetsGoUnasked,
    /// A worker that was lost comes back with nothing.
    ComesWithNothing,
    /// A lease does not name workers that are lost.
    NamesNoneLost,
    /// What an interval that fails is made from is let go before the log says that it is set aside.
    SetsAsideUnsaid,
    /// A worker does not tell another master what it has reported for workers that were lost.
    ForgetsReports,
}

impl Setting {
    /// Whether the program writes down what it does.
    pub(crate) fn is_durable(&self) -> bool {
        self.takeovers
    }

    pub(crate) fn careless(&self) -> Option<Careless> {
        match self.plant {
            Some(Plant::SinkForgetsEpochs) => Some(Careless::NoEpochs),
            Some(Plant::SinkRepeats) => Some(Careless::Repeats),
            _ => None,
        }
    }
}

/// Batches that were acknowledged, and lost with a worker that no master has found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GivenUp {
    /// Another that has held them had ended before.
    pub with_both: u64,
    /// No other has held them, or all those live and do not any more.
    pub with_one: u64,
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
    /// How many of them failed, and were set aside.
    pub set_aside: u64,
    /// How many things happened.
    pub events: u64,
    /// How many masters there were, one after the other or thinking so.
    pub masters: u64,
    /// How many batches were acknowledged, and lost with workers that no master has found.
    pub given_up: GivenUp,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.violation {
            None => {
                write!(f, "{} intervals, {} events, {} masters", self.intervals, self.events, self.masters)
            }
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
        let program = if setting.clients { program.with_clients() } else { program };
        let (ahead, intervals) = (dice.between(1..4), dice.between(8..20));
        // Two intervals are on their way at most.
        let ahead = if setting.overlaps { limits::INTERVALS_IN_FLIGHT_MAX as u64 - 1 } else { ahead };
        let (ahead, failing) = match setting.failures {
            // The next begins when it is known what became of the one before.
            true => (1, Failing::draw(&mut dice, &program, intervals)),
            false => (ahead, Failing::default()),
        };
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
            reference: Reference::default(),
            failing,
            aside: BTreeSet::new(),
            master: Master::new(MasterId(0), Durable::default(), program.clients),
            clients: Clients::default(),
            program,
            masters: BTreeMap::new(),
            next_master: 1,
            claims: 0,
            ended: BTreeSet::new(),
            crashed: BTreeSet::new(),
            paused: BTreeMap::new(),
            store_fails_until_ms: 0,
            one_machine: false,
            skews_ms: [0; MASTERS as usize],
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
            set_aside: simulation.aside.len() as u64,
            events: simulation.scheduled,
            masters: simulation.claims.max(1),
            given_up: simulation.invariants.records.given_up(),
        }
    }

    fn live(&mut self) {
        if self.setting.takeovers {
            self.start_masters();
        }
        if self.setting.master_holds {
            self.let_master_hold();
        }
        if !self.setting.takeovers {
            self.take_from_clients();
        }
        self.start_clients();
        for _ in 0..self.dice.between(2..5) {
            self.start_worker();
        }
        if !self.setting.takeovers {
            for interval in 0..self.intervals {
                self.at((interval + 1) * INTERVAL_MS, What::Receive(interval));
            }
        }
        self.at(0, What::Tick);
        self.at(0, What::Beat);
        let first_ms = self.dice.between(100..3_000);
        self.at(first_ms, What::Fault);
        let faults_end_ms = self.intervals * INTERVAL_MS + self.dice.below(3_000);
        self.pass(|sim| sim.now_ms >= faults_end_ms);
        self.end_faults();
        self.pass(Self::is_done);
        self.take_the_rest();
        if self.setting.takeovers {
            self.go_on_undisturbed();
        }
        // Then all is quiet: whoever was slow is forgiven, whoever wants to leave has left.
        let quiet_ms = self.now_ms + limits::AVOIDED_MS_MAX + limits::DRAIN_MS_MAX;
        self.pass(|sim| sim.now_ms >= quiet_ms);
        self.all_is_held();
        if self.setting.takeovers {
            self.turn_to_the_last();
        }
        self.use_all_slots();
        self.let_everything_go();
    }

    /// Two processes that want to be master; one will be.
    fn start_masters(&mut self) {
        self.ended.insert(self.master.id);
        self.one_machine = self.dice.one_in(2);
        for place in 0..MASTERS {
            self.skews_ms[place as usize] = self.dice.below(3_000);
            let at_ms = self.dice.below(100);
            self.at(at_ms, What::StartMaster(place));
        }
    }

    /// Whether all intervals are over.
    fn is_done(&self) -> bool {
        if self.setting.takeovers {
            let over = self.aside.last().map_or(0, |last| last + 1);
            return self.store.committed().max(over) >= self.intervals;
        }
        self.master.first_open >= self.intervals
    }

    /// What clients have sent after the last interval is in one more, once whoever was cut off is back.
    fn take_the_rest(&mut self) {
        if self.program.clients.is_none() || self.violation.is_some() {
            return;
        }
        // Without a master workers wait for one, and their clients with them.
        let patience_ms = if self.setting.takeovers { limits::REJOIN_MS_MAX } else { limits::DRAIN_MS_MAX };
        let back_ms = self.now_ms + patience_ms + 2 * limits::SILENCE_MS_MAX;
        self.pass(|sim| sim.now_ms >= back_ms);
        // Clients may wait for room, which there is once what came before is in an interval.
        for _ in 0..INTERVALS_OF_THE_REST_MAX {
            let is_sent = self.clients.all.iter().all(|client| client.pending.is_empty());
            self.one_more_interval();
            if is_sent || self.violation.is_some() {
                return;
            }
        }
    }

    /// So many intervals, one after the other, that the checkpoints which are held are of this time.
    fn go_on_undisturbed(&mut self) {
        // A master may be about to find that it was overtaken, or to take over.
        let settled_ms = self.now_ms + limits::LEASE_LOST_MS + limits::TAKEOVER_MS_MAX;
        self.pass(|sim| sim.now_ms >= settled_ms);
        // Of what the first of them look back at something may be lost.
        for _ in 0..self.program.looks_back() + INTERVALS_BEHIND_MAX {
            self.one_more_interval();
            let next_ms = self.now_ms + INTERVAL_MS;
            self.pass(|sim| sim.now_ms >= next_ms);
        }
    }

    fn one_more_interval(&mut self) {
        self.intervals += 1;
        self.invariants.progress.interval_ended(self.now_ms);
        if !self.setting.takeovers {
            self.at(self.now_ms, What::Receive(self.intervals - 1));
        } else if let Some(master) = self.master_to_join().filter(|id| self.is_running(*id)) {
            self.at(self.now_ms, What::Due(master));
        }
        // A master that is yet to go on looks itself what is due.
        self.pass(Self::is_done);
    }

    fn is_running(&self, master: MasterId) -> bool {
        self.master_of(master).is_some_and(|master| master.durable.phase == Phase::Running)
    }

    /// All that was acknowledged is in an interval, and what may be needed of it is held by two.
    fn all_is_held(&mut self) {
        if self.violation.is_some() {
            return;
        }
        if let Some(client) = self.clients.all.iter().find(|client| !client.pending.is_empty()) {
            self.check(Err(format!("{} waits for ever", client.id())));
        }
        let checked = self.invariants.records.all_counted();
        self.check(checked);
        let runs = if self.setting.takeovers { self.master_to_join() } else { Some(self.master.id) };
        let Some(master) = runs.and_then(|id| self.master_of(id)) else { return };
        let workers: Vec<&Worker> =
            self.workers.iter().filter(|(id, _)| **id != WorkerId::MASTER).map(|it| it.1).collect();
        let blocks: BTreeSet<BlockId> =
            master.received.values().flat_map(|input| blocks_of(input)).copied().collect();
        let mut held = blocks.iter().map(|block| {
            let holders = workers.iter().filter(|worker| worker.blocks.contains_key(block)).count();
            self.invariants.two_hold_it.is_held(block, holders, workers.len())
        });
        let checked = held.find(Result::is_err).filter(|_| !self.invariants.needed.may_be_lost());
        let checked = checked.unwrap_or(Ok(()));
        drop(held);
        self.check(checked);
    }

    /// It is the turn of the master that runs the program in the end.
    fn turn_to_the_last(&mut self) {
        match self.master_to_join() {
            Some(last) => {
                self.turn(last);
                let (masters, looks_back) = (u64::from(self.next_master), self.program.looks_back());
                let checked = self.invariants.memory.store_bounded(self.store.len(), masters, looks_back);
                self.check(checked);
            }
            None => self.check(Err("there is no master in the end".to_owned())),
        }
    }

    /// It is that master's turn, if its process has not ended.
    pub(crate) fn turn(&mut self, id: MasterId) -> bool {
        if self.master.id != id {
            let Some(master) = self.masters.remove(&id) else { return false };
            let before = std::mem::replace(&mut self.master, master);
            if !self.ended.contains(&before.id) {
                self.masters.insert(before.id, before);
            }
        }
        !self.ended.contains(&id)
    }

    /// A master process, unless it has ended long since.
    pub(crate) fn master_of(&self, id: MasterId) -> Option<&Master> {
        if self.master.id == id { Some(&self.master) } else { self.masters.get(&id) }
    }

    /// What `reader` reads from `holder`, if it answers.
    pub(crate) fn held_by(&self, holder: WorkerId, reader: WorkerId) -> Option<&BTreeMap<BlockId, u64>> {
        if holder != WorkerId::MASTER || !self.setting.takeovers {
            return self.workers.get(&holder).map(|worker| &worker.blocks);
        }
        let master = self.workers.get(&reader)?.master?;
        let answers = !self.ended.contains(&master) && !self.paused.contains_key(&master);
        self.master_of(master).filter(|_| answers).map(|master| &master.own)
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
        if let Some(master) = whose_turn(&what) {
            if let Some(waiting) = self.paused.get_mut(&master) {
                waiting.push_back(what);
                return;
            }
            if !self.turn(master) {
                // Nobody is there; whoever wanted to join sees it.
                if let What::ToMaster(id, _, ToMaster::Joined { .. }) = what {
                    self.send(Node::Master(master), Node::Worker(id), What::Ended(master, id));
                }
                return;
            }
        }
        match what {
            What::ToWorker(from, id, message) => self.worker_hears(from, id, message),
            What::ToMaster(id, _, message) => self.master_hears(id, message),
            What::Between(from, to, message) => self.hears_between(from, to, message),
            What::ToReceiver(client, id, nth, message) => self.receiver_hears(client, id, nth, message),
            What::ToClient(_, client, nth, message) => self.client_hears(client, nth, message),
            What::ClientSends(client) => self.client_sends(client),
            What::ClientConnects(client) => self.client_connects(client),
            What::ConnectLate(id, nth) => self.connect_is_late(id, nth),
            What::SeekHolder(id) => self.seek_holder(id),
            What::Closed(id, _) => self.lost(id),
            What::Ended(master, id) => self.connection_ends(master, id),
            What::Call(master, id) => self.called(master, id),
            What::Ends(id, attempt) => self.task_ends(id, attempt),
            What::FetchLate(id, request) => self.fetch_is_late(id, request),
            What::Written { worker, file, partition, value } => self.written(worker, file, partition, value),
            What::Recorded(interval) => self.recorded(interval),
            What::Receive(interval) => self.receive(interval),
            What::Start => self.start_worker(),
            What::Rejoin(id) => self.rejoin(id),
            What::StartMaster(place) => self.start_master(place),
            What::Look(_) => self.look(),
            What::KeepLease(_) => self.keep_lease(),
            What::TakeoverLate(_) => self.takeover_is_late(),
            What::Due(_) => self.due(),
            What::Linger(_) => self.linger(),
            What::Asked(master, nth, request) => self.asked(master, nth, request),
            What::Answered(_, nth, answer) => self.answered(nth, answer),
            What::Continue(master) => self.continues(master),
            What::Tick => {
                self.each_master(Self::tick);
                self.at(self.now_ms + limits::CLOCK_MS, What::Tick);
            }
            What::Beat => self.beat(),
            What::Fault => {
                if self.faults_last {
                    let fault = Fault::draw(&mut self.dice, self.setting);
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

    /// Each master that runs the program, or thinks so, does something in its turn.
    fn each_master(&mut self, does: fn(&mut Self)) {
        if !self.setting.takeovers {
            return does(self);
        }
        let all = self.masters.values().chain([&self.master]);
        let awake = all.filter(|master| {
            master.durable.phase >= Phase::TakingOver
                && !self.paused.contains_key(&master.id)
                && !self.ended.contains(&master.id)
        });
        let ids: BTreeSet<MasterId> = awake.map(|master| master.id).collect();
        for id in ids {
            if self.turn(id) {
                does(self);
            }
        }
    }

    /// A master that was stopped goes on, with all that has come meanwhile.
    pub(crate) fn continues(&mut self, master: MasterId) {
        if let Some(waiting) = self.paused.remove(&master) {
            self.log.say(self.now_ms, format_args!("{master} goes on"));
            for what in waiting {
                self.at(self.now_ms, what);
            }
        }
    }

    fn connection_ends(&mut self, master: MasterId, id: WorkerId) {
        if self.workers.get(&id).is_none_or(|worker| worker.master != Some(master)) {
            return;
        }
        match self.workers_come_back() {
            true => self.loses_master(id, "has lost its master"),
            false => self.ends(id, "has lost its master"),
        }
    }

    /// Whether a worker that has lost its master looks for it, or another one.
    fn workers_come_back(&self) -> bool {
        self.setting.takeovers || self.setting.clients
    }

    pub(crate) fn at(&mut self, at_ms: u64, what: What) {
        self.scheduled += 1;
        self.queue.push(Reverse(Scheduled { at_ms, nth: self.scheduled, what }));
    }

    pub(crate) fn send(&mut self, from: Node, to: Node, what: What) {
        let at_ms = self.network.arrival_ms(from, to, self.now_ms, &mut self.dice);
        self.at(at_ms, what);
    }

    /// The master whose turn it is says something.
    pub(crate) fn tell_worker(&mut self, id: WorkerId, message: ToWorker) {
        let me = self.master.id;
        self.send(Node::Master(me), Node::Worker(id), What::ToWorker(me, id, message));
    }

    /// What became of an attempt may be said twice, if the sender does not know whether it was heard.
    pub(crate) fn tell_master(&mut self, id: WorkerId, message: ToMaster) {
        // Without a master nobody waits for it.
        let Some(master) = self.workers.get(&id).and_then(|worker| worker.master) else { return };
        let (from, to) = (Node::Worker(id), Node::Master(master));
        if self.faults_last && matches!(message, ToMaster::Ran { .. }) && self.dice.one_in(30) {
            self.send(from, to, What::ToMaster(id, master, message.clone()));
        }
        self.send(from, to, What::ToMaster(id, master, message));
    }

    /// What was held back gets through, in its order.
    pub(crate) fn open(&mut self, from: Node, to: Node) {
        self.network.open(from, to);
        for what in self.held_back.remove(&(from, to)).unwrap_or_default() {
            // Before whatever was sent later and is on its way.
            self.happens(what);
        }
    }

    pub(crate) fn new_worker(&mut self) -> WorkerId {
        self.next_worker += 1;
        WorkerId(self.next_worker - 1)
    }

    fn start_worker(&mut self) {
        if self.setting.takeovers && self.master_to_join().is_none() {
            // It tries until there is one.
            return self.at(self.now_ms + 100, What::Start);
        }
        let id = self.new_worker();
        let slots = self.dice.between(1..4) as u32;
        let master = self.master_to_join().unwrap_or(self.master.id);
        self.workers.insert(id, Worker::new(id, slots as usize, master, self.now_ms));
        match self.setting.takeovers {
            true => self.joins(id, master),
            false => self.tell_master(id, ToMaster::Joined { slots, holds: Vec::new() }),
        }
    }

    /// A worker process ends, and another starts in its place.
    pub(crate) fn ends(&mut self, id: WorkerId, why: &str) {
        if let Some(worker) = self.workers.remove(&id) {
            self.log.say(self.now_ms, format_args!("{id} {why}"));
            self.inbox_ends(id, &worker.inbox);
            if let Some(master) = worker.master {
                self.send(Node::Worker(id), Node::Master(master), What::Closed(id, master));
            }
            let later_ms = self.now_ms + self.dice.between(100..3_000);
            self.at(later_ms, What::Start);
        }
    }

    fn beat(&mut self) {
        let now_ms = self.now_ms;
        let silent = |heard_ms: u64| now_ms - heard_ms > limits::SILENCE_MS_MAX;
        let ids: Vec<WorkerId> = self.workers.keys().copied().filter(|id| *id != WorkerId::MASTER).collect();
        self.clients_beat();
        for id in ids {
            if self.setting.clients {
                self.inbox_beats(id);
            }
            let hears = self.workers.get(&id).filter(|worker| worker.master.is_some());
            match hears.map(|worker| silent(worker.heard_ms)) {
                None => {}
                Some(true) if self.workers_come_back() => {
                    self.loses_master(id, "hears nothing from its master")
                }
                Some(true) => self.ends(id, "hears nothing from its master"),
                Some(false) => self.tell_master(id, ToMaster::Ping),
            }
        }
        self.each_master(Self::master_beats);
        let is_some_open = !self.is_done();
        let patience_ms = if self.setting.takeovers { limits::REJOIN_MS_MAX } else { 0 };
        let checked = self.invariants.progress.goes_on(now_ms, is_some_open, patience_ms);
        self.check(checked);
        if !self.setting.takeovers {
            // A checkpoint whose writer was lost is asked for again.
            self.save();
        }
        self.at(now_ms + limits::PING_MS, What::Beat);
    }

    /// The master whose turn it is looks who is silent, and says that it is there.
    fn master_beats(&mut self) {
        let now_ms = self.now_ms;
        let silent = |heard_ms: u64| now_ms - heard_ms > limits::SILENCE_MS_MAX;
        let links = self.master.links.iter().filter(|(id, _)| **id != WorkerId::MASTER);
        let links: Vec<(WorkerId, u64)> = links.map(|(id, link)| (*id, link.heard_ms)).collect();
        let entering: Vec<WorkerId> = self.master.durable.entering.keys().copied().collect();
        entering.into_iter().for_each(|id| self.tell_worker(id, ToWorker::Ping));
        for (id, heard_ms) in links {
            if silent(heard_ms) {
                self.lost(id);
            } else {
                self.tell_worker(id, ToWorker::Ping);
            }
        }
        let size = self.master.scheduler.size();
        let open = self.master.next.max(self.master.begun.map_or(0, |begun| begun + 1));
        let horizon = self.master.jobs.values().map(|wanted| wanted.horizon).min();
        let horizon = horizon.unwrap_or(self.master.horizon).min(open);
        let datasets_max = (open - horizon) as usize * self.program.datasets_max();
        let checked = self.invariants.memory.bounded(&size, datasets_max);
        self.check(checked);
        if self.setting.takeovers {
            self.save();
        }
    }

    fn written(&mut self, id: WorkerId, file: File, partition: u32, value: u64) {
        // Whoever died meanwhile leaves nothing, or the beginning of it.
        let lives = self.workers.contains_key(&id);
        if self.store.write(file, partition, value, &mut self.dice, self.faults_last || !lives) && lives {
            self.tell_master(id, ToMaster::Saved { file, partition });
        }
    }

    fn end_faults(&mut self) {
        self.log.say(self.now_ms, format_args!("faults end"));
        self.faults_last = false;
        self.network.heal();
        let ways: Vec<(Node, Node)> = self.held_back.keys().copied().collect();
        ways.into_iter().for_each(|(from, to)| self.open(from, to));
        self.workers.values_mut().for_each(|worker| worker.slow = 1);
        for master in self.paused.keys().copied().collect::<Vec<_>>() {
            self.continues(master);
        }
        self.invariants.progress.faults_end(self.now_ms);
    }

    /// One more task than there are slots: all are used, and one task waits.
    fn use_all_slots(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let mine = self.workers.values().filter(|worker| worker.master == Some(self.master.id));
        let slots: usize = mine.map(|worker| worker.slots).sum();
        let dataset = self.master.described.plain(slots as u32 + 1);
        let job = JobId(u64::MAX);
        self.invariants.outputs.submitted(self.master.id, job);
        self.master.jobs.insert(job, Wanted { interval: u64::MAX, horizon: 0, target: Made(u64::MAX) });
        let target = dataset.id;
        self.step(Event::JobSubmitted { job, datasets: vec![dataset], target });
        let checked = self.invariants.slots.all_used(self.master.scheduler.size().running, slots);
        self.check(checked);
        let me = self.master.id;
        self.pass(|sim| sim.master_of(me).is_none_or(|master| master.jobs.is_empty()));
        self.turn(me);
        self.step(Event::Forgotten { datasets: vec![target] });
    }

    fn let_everything_go(&mut self) {
        let from = self.master.horizon;
        self.master.horizon = u64::MAX;
        self.let_go(from..self.intervals);
        let (me, later_ms) = (self.master.id, self.now_ms + 10_000);
        self.pass(|sim| sim.now_ms >= later_ms);
        self.turn(me);
        if self.violation.is_none() {
            let left =
                self.workers.iter().find_map(|(id, worker)| Some((*id, *worker.blocks.keys().next()?)));
            let checked = self.invariants.memory.empty(&self.master.scheduler.size(), left);
            self.check(checked);
            let checked = self.invariants.outputs.all_done(self.master.id);
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
        What::ToWorker(master, id, _) | What::Ended(master, id) | What::Call(master, id) => {
            Some((Node::Master(*master), Node::Worker(*id)))
        }
        What::ToMaster(id, master, _) | What::Closed(id, master) => {
            Some((Node::Worker(*id), Node::Master(*master)))
        }
        What::Between(from, to, _) => Some((Node::Worker(*from), Node::Worker(*to))),
        What::ToReceiver(client, id, ..) => Some((Node::Client(*client), Node::Worker(*id))),
        What::ToClient(id, client, ..) => Some((Node::Worker(*id), Node::Client(*client))),
        What::Asked(master, ..) => Some((Node::Master(*master), Node::Store)),
        What::Answered(master, ..) => Some((Node::Store, Node::Master(*master))),
        _ => None,
    }
}

/// The master that has something to do.
fn whose_turn(what: &What) -> Option<MasterId> {
    match what {
        What::ToMaster(_, master, _)
        | What::Closed(_, master)
        | What::Look(master)
        | What::KeepLease(master)
        | What::TakeoverLate(master)
        | What::Due(master)
        | What::Linger(master)
        | What::Answered(master, ..) => Some(*master),
        _ => None,
    }
}
