use std::{
    collections::{BTreeMap, HashMap, HashSet},
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::{Receiver, Sender, unbounded};
use cutwater_core::{
    BlockId, DatasetId, Event, JobId, TaskError, WorkerId,
    clients::{InputBlock, Receive, Received},
    limits,
};

use super::{
    Begins,
    cluster::{self, Children, Listener, Role, Token, TokenFile},
    lease::Keeper,
    link::Link,
    master::{Master, ToMaster},
    receive::{Door, Inbox},
    unclaimed::{Moved, Unclaimed},
    used::Used,
    worker::{self, Worker},
};
use crate::{
    block::{Batches, Block, BlockStore},
    context::Settings,
    error::Error,
    shared::Accumulators,
    task::{Attempts, Finding, Step},
};

/// A master and its workers: one in this process, joined by channels, or many in others, by sockets.
///
/// Properties:
/// - datasets hold it, and it lives until the last of them is gone;
/// - it names datasets, jobs and received blocks;
/// - a thread that asks for a job waits here; the master's own thread never waits for anyone.
///
/// Any thread may call it. If the process dies, everything in it is gone; a run starts anew.
pub(crate) struct Engine {
    to_master: Sender<ToMaster>,
    workers: Workers,
    slots: u32,
    /// Partitions of a dataset that nobody gave a number, if the program chose one.
    parallelism: Option<u32>,
    key_groups: u32,
    next_dataset: AtomicU64,
    next_job: AtomicU64,
    next_source: AtomicU32,
    /// Blocks that this process receives are numbered from here on.
    first_block: u64,
    /// Held while datasets are described to the master.
    describing: Mutex<Expected>,
    /// Of the lease, if the program can be taken over.
    keeper: Option<Arc<Keeper>>,
    /// It has been.
    overtaken: AtomicBool,
    /// Workers of the master before have come, with what they hold.
    takes_over: bool,
    shared: Arc<Shared>,
    /// The program goes on without received blocks that nobody holds any more.
    may_lose_input: bool,
    clients: ClientSettings,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

/// Whether somebody waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    Now,
    /// It takes slots that nothing else could use.
    Background,
}

/// What the master is told of datasets with a job.
#[derive(Default)]
pub(crate) struct Described {
    /// What it has not heard of, parents first.
    pub steps: Vec<Step>,
    /// What was described [ahead](Engine::expect) of this job, which is the first to need it.
    pub claimed: Vec<DatasetId>,
}

/// Write sides of shuffles of which the master is told with the next job.
type Expected = Option<(JobId, Vec<DatasetId>)>;

/// A job on its way.
pub(crate) struct Submitted {
    target: DatasetId,
    answer: Receiver<Result<Vec<Block>, TaskError>>,
    urgency: Urgency,
}

/// What the master's thread writes for the driver to read.
#[derive(Default)]
pub(super) struct Shared {
    /// Which partitions of each kept dataset are stored. Two tasks may both have stored the same one, so
    /// a count would say too much.
    pub stored: Mutex<HashMap<DatasetId, HashSet<u32>>>,
    /// What tasks found since the driver last asked.
    pub findings: Mutex<Vec<(DatasetId, Finding)>>,
    /// What they found in datasets that no job has needed yet.
    pub unclaimed: Unclaimed,
    pub accumulators: Accumulators,
    /// Kept partitions that were read from another worker since the driver last asked.
    pub moved: AtomicU64,
    /// Bytes of blocks that came to a process from another since the driver last asked.
    pub moved_bytes: AtomicU64,
    /// Received blocks that were found to be lost.
    lost: AtomicU64,
    /// How many blocks are being copied from worker to worker.
    pub copies: AtomicUsize,
    /// How many datasets the master knows how to make.
    #[cfg(test)]
    pub described: AtomicUsize,
    /// The workers there are, and how many slots each has.
    pub joined: Mutex<BTreeMap<WorkerId, u32>>,
}

impl Shared {
    pub fn joined(&self) -> MutexGuard<'_, BTreeMap<WorkerId, u32>> {
        self.joined.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// A job needs these: what was found in them before counts from now on.
    fn claim(&self, datasets: &[DatasetId]) {
        let (found, moved) = self.unclaimed.claim(datasets);
        for (dataset, partition, finding) in found {
            self.found(dataset, partition, finding);
        }
        self.add_moved(moved);
    }

    /// Tasks had to read so much from other workers, for datasets that somebody needs.
    fn add_moved(&self, moved: Moved) {
        self.moved.fetch_add(moved.partitions, Ordering::Relaxed);
        self.moved_bytes.fetch_add(moved.bytes, Ordering::Relaxed);
    }

    /// The same for one dataset, unless it is forgotten.
    pub(super) fn moved(&self, dataset: Option<DatasetId>, moved: Moved) {
        let counts = match dataset {
            Some(dataset) => self.unclaimed.keep_moved(dataset, moved),
            None => Some(moved),
        };
        counts.into_iter().for_each(|moved| self.add_moved(moved));
    }

    /// A task found something, which counts.
    pub(super) fn found(&self, dataset: DatasetId, partition: u32, finding: Finding) {
        if let Finding::Added(added) = finding {
            self.accumulators.note(dataset, partition, added);
        } else {
            self.findings.lock().unwrap_or_else(PoisonError::into_inner).push((dataset, finding));
        }
    }
}

/// Where tasks run.
enum Workers {
    /// On threads of this process, which is called so, has these blocks, and is reached by clients by a door of its own.
    Here { me: WorkerId, blocks: Arc<BlockStore>, inbox: Arc<Inbox>, door: Mutex<Option<Door>> },
    /// In other processes: those we have started, and the door for all of them.
    Away {
        children: Children,
        listener: Listener,
        /// What this process has received, until no interval needs it: workers hold it too, and all of
        /// those may be lost.
        received: Arc<BlockStore>,
        token: Option<Token>,
        token_file: Mutex<Option<TokenFile>>,
        /// Whether another master could prove to them that it is one.
        may_be_left: bool,
    },
}

/// What clients need to know of a program to send records to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAccess {
    /// Where they begin: its worker, or its master, which tells them where the workers are.
    pub address: SocketAddr,
    /// The file with the token by which they are let in, if there is one besides certificates. It goes when the
    /// program ends, unless it was there before.
    pub token_file: Option<PathBuf>,
}

/// What the program says about its door for clients.
struct ClientSettings {
    address: SocketAddr,
    token_file: Option<PathBuf>,
}

impl Engine {
    /// Starts what `settings` ask for. A process that is to be a worker becomes one here, and never
    /// returns.
    pub fn start(settings: &Settings, begins: Option<Begins>) -> Result<Arc<Self>, Error> {
        let begins = begins.unwrap_or_default();
        match &settings.role {
            Role::Embedded => Self::embedded(settings, &begins),
            Role::Master { listen, workers } => Self::master(settings, *listen, *workers, &begins),
            Role::Worker { join } => {
                let token = settings.token_for(join)?;
                cluster::work(join, settings, &settings.network.credentials(token.as_ref())?)
            }
        }
    }

    fn embedded(settings: &Settings, begins: &Begins) -> Result<Arc<Self>, Error> {
        let (blocks, threads) = (Arc::new(BlockStore::default()), settings.threads.max(1));
        // The blocks that it receives are called by it, and the log may name others that a process before has received.
        let me = WorkerId(begins.first_worker());
        // Bounded by what is asked: see `with`, which gets it.
        let (to_master, events) = unbounded();
        let reports = to_master.clone();
        let inbox = Arc::new(Inbox::new(me, blocks.clone(), move |request, report| {
            // The master may be gone already; then nobody waits for the report.
            let _ = reports.send(ToMaster::Reported { worker: me, request, report });
        }));
        let here = Workers::Here { me, blocks: blocks.clone(), inbox: inbox.clone(), door: Mutex::default() };
        let slots = u32::try_from(threads).unwrap_or(u32::MAX);
        let engine = Self::with(here, settings, begins, slots, (to_master, events))?;
        // The channel needs no bound of its own: to a worker go at most as many tasks as it has slots.
        let (to_worker, work) = unbounded();
        let attempts = Arc::new(Attempts::default());
        let worker = Arc::new(Worker { me, blocks, attempts: attempts.clone(), twice: settings.run_twice });
        let to_master = engine.to_master.clone();
        let report = move |attempt, result| {
            // The master may be gone already; then nobody waits for the result.
            let _ = to_master.send(ToMaster::Ran { worker: me, attempt, result });
        };
        engine.threads().extend(worker::start(&worker, threads, &work, report)?);
        let (slots, link) = (engine.slots, Link::Here { work: to_worker, attempts, inbox });
        engine.say(ToMaster::Joined { worker: me, slots, link, address: None, holds: Vec::new() });
        Ok(Arc::new(engine))
    }

    fn master(
        settings: &Settings,
        listen: SocketAddr,
        workers: usize,
        begins: &Begins,
    ) -> Result<Arc<Self>, Error> {
        // Bounded by what is asked: see `with`, which gets it.
        let (to_master, events) = unbounded();
        let network = &settings.network;
        let given = match (&settings.token, &settings.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) if file.exists() => Some(Token::read(file)?),
            (None, _) => None,
        };
        let token = match given.clone() {
            Some(token) => Some(token),
            // Certificates are proof enough, unless the program wants both.
            None if network.tls.is_some() && settings.token_file.is_none() => None,
            None => Some(Token::new()?),
        };
        let credentials = network.credentials(token.as_ref())?;
        let received = Arc::<BlockStore>::default();
        let listener =
            Listener::open(listen, credentials, settings, begins, received.clone(), to_master.clone())?;
        // Who is started by hand has to find it.
        let token_file = match &token {
            Some(token) if given.is_none() && (workers == 0 || settings.token_file.is_some()) => {
                let usual = || Token::usual_file(listener.address);
                Some(token.write(settings.token_file.clone().unwrap_or_else(usual))?)
            }
            _ => None,
        };
        let address = network.reached_at(listener.address);
        cluster::tell_address(&address, settings.checkpoints.url.is_some())?;
        if workers == 0 {
            let token = token_file.as_ref().map(TokenFile::path).or(settings.token_file.as_deref());
            let token = token.map(|file| format!(" --token-file {}", file.display())).unwrap_or_default();
            let tls = if network.tls.is_some() {
                " --tls-authority … --tls-certificate … --tls-key …"
            } else {
                ""
            };
            eprintln!(
                "waiting for workers: start this executable with --worker --join {address}{token}{tls}"
            );
        }
        let takes_over = !begins.workers.here.is_empty();
        let secret = token.clone();
        let start = |count| Children::start(count, &settings.start, &address, secret.as_ref());
        let children = start(if takes_over { 0 } else { workers })?;
        listener.take_over(begins, &address);
        let holder = Link::Holder(received.clone());
        let may_be_left = given.is_some() || settings.token_file.is_some() || token.is_none();
        let token_file = Mutex::new(token_file);
        let away = Workers::Away { children, listener, received, token, token_file, may_be_left };
        // Workers that join have as many slots as they say; this is how many we count on.
        let mut engine = Self::with(away, settings, begins, 0, (to_master, events))?;
        let (worker, holds) = (WorkerId::MASTER, Vec::new());
        engine.say(ToMaster::Joined { worker, slots: 0, link: holder, address: None, holds });
        engine.takes_over = takes_over && engine.wait_for_those_before(&begins.workers.here) > 0;
        if takes_over && !engine.takes_over {
            tracing::warn!("none of the workers of the master before has come; new ones are waited for");
            if let Workers::Away { children, .. } = &mut engine.workers {
                *children = start(workers)?;
            }
        }
        if let Workers::Away { listener, .. } = &engine.workers {
            listener.awaits_nobody();
        }
        let expected: Vec<WorkerId> = begins.workers.all().map(|(worker, _)| *worker).collect();
        if !expected.is_empty() {
            engine.say(ToMaster::NotComing(expected));
        }
        let workers = if takes_over { 1 } else { workers };
        engine.slots =
            engine.wait_for_workers(workers.max(network.min_workers).max(1), settings, &address)?;
        Ok(Arc::new(engine))
    }

    /// Waits until these workers have come, whoever else does, and not for long; says how many have.
    fn wait_for_those_before(&self, workers: &[(WorkerId, String)]) -> usize {
        let until = Instant::now() + Duration::from_millis(limits::TAKEOVER_MS_MAX);
        loop {
            let joined = self.shared.joined();
            let come = workers.iter().filter(|(worker, _)| joined.contains_key(worker)).count();
            drop(joined);
            if come == workers.len() || Instant::now() > until {
                return come;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until there are so many workers and as many slots as are wanted; answers with the slots.
    fn wait_for_workers(&mut self, wanted: usize, settings: &Settings, address: &str) -> Result<u32, Error> {
        let (wait, min_slots) = (settings.network.join_wait, settings.network.min_slots);
        let until = Instant::now() + wait;
        let mut said = (0, 0);
        loop {
            let (joined, slots) = {
                let joined = self.shared.joined();
                (joined.len(), joined.values().sum::<u32>())
            };
            if joined >= wanted && slots >= min_slots {
                return Ok(slots);
            }
            let mut standing = format!("{joined} of {wanted} workers have joined");
            if min_slots > 0 {
                standing += &format!(", with {slots} of {min_slots} slots");
            }
            let started = match &mut self.workers {
                Workers::Away { children, .. } => {
                    if let Some(why) = children.ended() {
                        return Err(Error::external(why));
                    }
                    !children.ids().is_empty()
                }
                Workers::Here { .. } => false,
            };
            // Somebody who starts workers by hand wants to see them come.
            if said != (joined, slots) && !started {
                said = (joined, slots);
                eprintln!("{standing}; waiting for more");
            }
            if Instant::now() > until {
                return Err(Error::external(format_args!(
                    "{standing} within {wait:?}; start more with `--worker --join {address}`, or ask for fewer (min_workers, min_slots)"
                )));
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// The handle, with the master's thread started. The master's channel needs no bound of its own: to
    /// it goes what answers tasks it has launched and blocks it has sent, what waiting threads ask, and a
    /// word for each dataset that is let go, of which there are as many as the program has made.
    fn with(
        workers: Workers,
        settings: &Settings,
        begins: &Begins,
        slots: u32,
        (to_master, events): (Sender<ToMaster>, Receiver<ToMaster>),
    ) -> Result<Self, Error> {
        let shared = Arc::new(Shared::default());
        let master = Master::new(shared.clone(), settings.speculation, begins);
        if let Some(keeper) = &begins.keeper {
            keeper.tell(to_master.clone());
        }
        let thread = worker::spawn("cutwater-master", move || master.run(&events))?;
        Ok(Self {
            to_master,
            workers,
            slots,
            parallelism: settings.parallelism,
            key_groups: limits::KEY_GROUPS,
            next_dataset: AtomicU64::new(begins.first_name()),
            next_job: AtomicU64::new(begins.first_name()),
            next_source: AtomicU32::new(0),
            first_block: begins.first_name(),
            describing: Mutex::default(),
            keeper: begins.keeper.clone(),
            overtaken: AtomicBool::new(false),
            takes_over: false,
            shared,
            may_lose_input: settings.checkpoints.may_lose_input,
            clients: ClientSettings {
                address: settings.clients_address,
                token_file: settings.token_file.clone(),
            },
            threads: Mutex::new(vec![thread]),
        })
    }

    fn threads(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether blocks may be lost while the program goes on.
    pub fn may_lose_blocks(&self) -> bool {
        matches!(self.workers, Workers::Away { .. })
    }

    /// Whether workers of the master before have come, with what they hold.
    pub fn takes_over(&self) -> bool {
        self.takes_over
    }

    /// Where workers join, if they are other processes.
    pub fn master_address(&self) -> Option<SocketAddr> {
        match &self.workers {
            Workers::Here { .. } => None,
            Workers::Away { listener, .. } => Some(listener.address),
        }
    }

    /// The process ids of the workers that were started here.
    pub fn worker_processes(&self) -> Vec<u32> {
        match &self.workers {
            Workers::Here { .. } => Vec::new(),
            Workers::Away { children, .. } => children.ids(),
        }
    }

    /// How many workers there are now.
    pub fn joined(&self) -> usize {
        self.shared.joined().len()
    }

    /// How many blocks are being copied from worker to worker, or are to be.
    pub fn copies(&self) -> usize {
        self.shared.copies.load(Ordering::Relaxed)
    }

    /// The default number of partitions: as many as tasks can run at once, unless the program chose.
    pub fn parallelism(&self) -> u32 {
        self.parallelism.unwrap_or(self.slots)
    }

    /// The default number of partitions if the program chose one.
    pub fn chosen_parallelism(&self) -> Option<u32> {
        self.parallelism
    }

    pub fn key_groups(&self) -> u32 {
        self.key_groups
    }

    pub fn new_dataset(&self) -> DatasetId {
        DatasetId(self.next_dataset.fetch_add(1, Ordering::Relaxed))
    }

    pub fn new_source(&self) -> u32 {
        self.next_source.fetch_add(1, Ordering::Relaxed)
    }

    /// The number of the first block of a source that this process receives: workers may hold blocks that a master before
    /// has received and not written down, and those have other numbers.
    pub fn first_block(&self) -> u64 {
        self.first_block
    }

    /// Has records that came from outside held under their names, by this process or by as many workers
    /// as it takes for one of them to be lost.
    pub fn hold(&self, blocks: Vec<(BlockId, Block)>) -> Result<(), Error> {
        match &self.workers {
            Workers::Here { me, blocks: store, .. } => {
                let ids = blocks.iter().map(|(id, _)| *id).collect();
                for (id, block) in blocks {
                    store.put(id, block);
                }
                self.tell(Event::BlocksHeld { worker: *me, blocks: ids });
                Ok(())
            }
            Workers::Away { received, .. } => {
                let ids = blocks.iter().map(|(id, _)| *id).collect();
                let bytes = |(id, block): (BlockId, Block)| {
                    let bytes = block.to_bytes()?;
                    received.put(id, Block::arrived(bytes.clone()));
                    Ok((id, bytes))
                };
                let blocks = blocks.into_iter().map(bytes).collect::<Result<_, TaskError>>()?;
                self.tell(Event::BlocksHeld { worker: WorkerId::MASTER, blocks: ids });
                let (reply, held) = crossbeam_channel::bounded(1);
                self.say(ToMaster::Hold { blocks, reply });
                held.recv().map_err(|_| Error::stopped())
            }
        }
    }

    /// Has blocks held that were received by a process before this one.
    pub fn hold_again(&self, blocks: Vec<(BlockId, Vec<u8>)>) -> Result<(), Error> {
        self.hold(blocks.into_iter().map(|(id, bytes)| (id, Block::arrived(bytes.into()))).collect())
    }

    /// A block that this process has received and holds.
    pub fn received(&self, id: BlockId) -> Option<Block> {
        match &self.workers {
            Workers::Here { blocks, .. } => blocks.get(id),
            Workers::Away { received, .. } => received.get(id),
        }
    }

    /// Where clients send records to. In one process that opens the door for them.
    pub fn client_access(&self) -> Result<ClientAccess, Error> {
        match &self.workers {
            Workers::Here { blocks, inbox, door, .. } => {
                let mut door = door.lock().unwrap_or_else(PoisonError::into_inner);
                let door = match &mut *door {
                    Some(open) => open,
                    none => {
                        let ClientSettings { address, token_file } = &self.clients;
                        let token_file = token_file.as_deref();
                        none.insert(Door::open(*address, token_file, blocks.clone(), inbox.clone())?)
                    }
                };
                Ok(ClientAccess { address: door.address, token_file: Some(door.token_file().to_owned()) })
            }
            Workers::Away { listener, token, token_file, .. } => {
                let mut file = token_file.lock().unwrap_or_else(PoisonError::into_inner);
                let path = match (&mut *file, &self.clients.token_file, token) {
                    (Some(written), _, _) => Some(written.path().to_owned()),
                    (None, Some(given), _) => Some(given.clone()),
                    (none, None, Some(token)) => {
                        let written = token.write(Token::usual_file(listener.address))?;
                        Some(none.insert(written).path().to_owned())
                    }
                    (None, None, None) => None,
                };
                Ok(ClientAccess { address: listener.address, token_file: path })
            }
        }
    }

    /// Has workers take records from clients for a source, or take them otherwise than before.
    pub fn receive(&self, receive: Receive) {
        self.workers_needed(true);
        self.say(ToMaster::Receive(receive));
    }

    /// Before a source takes records: intervals of the master before have these, which one worker held when they were reported.
    pub fn were_alone(&self, blocks: Vec<InputBlock>) {
        if !blocks.is_empty() {
            self.say(ToMaster::WereAlone(blocks));
        }
    }

    /// Waits for what workers have received for a source since the last time.
    pub fn cut(&self, source: u32) -> Result<Received, Error> {
        let (reply, received) = crossbeam_channel::bounded(1);
        self.say(ToMaster::Cut { source, reply });
        received.recv().map_err(|_| Error::stopped())
    }

    /// Lets the scheduler know.
    pub fn tell(&self, event: Event) {
        self.say(ToMaster::Event(event));
    }

    /// The engine outlives its threads only while it is being dropped, and then nobody needs to know.
    fn say(&self, message: ToMaster) {
        let _ = self.to_master.send(message);
    }

    /// Has every partition of `target` computed. `describe` gives what was never described before.
    pub fn submit(
        &self,
        target: DatasetId,
        urgency: Urgency,
        describe: impl FnOnce(&mut Described),
    ) -> Result<Submitted, Error> {
        let number = self.next_job.fetch_add(1, Ordering::Relaxed);
        let job = match urgency {
            Urgency::Now => JobId(number),
            Urgency::Background => JobId::background(number),
        };
        let (reply, answer) = crossbeam_channel::bounded(1);
        // What one thread has described another may refer to the next moment, and must come later.
        let mut expected = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut described = Described::default();
        describe(&mut described);
        let Described { steps, mut claimed } = described;
        // A kept copy counts as what it is a copy of, and only one of them may have been described ahead.
        claimed.extend(steps.iter().map(|step| step.counts_as));
        self.shared.claim(&claimed);
        let submit = ToMaster::Submit { job, target, steps, reply };
        self.to_master.send(submit).map_err(|_| Error::stopped())?;
        if urgency == Urgency::Now {
            self.tell_expected(&mut expected);
        }
        drop(expected);
        Ok(Submitted { target, answer, urgency })
    }

    /// Has the write sides of shuffles made beside the next job while there is nothing else to do, since jobs to come
    /// will read them: not before it, or it would wait for them. `describe` gives what was never described before. What
    /// their tasks find and add counts as if it were found by the first job that needs them, and for nothing if none
    /// does.
    pub fn expect(&self, targets: Vec<DatasetId>, describe: impl FnOnce(&mut Described)) {
        let urgency = JobId::ahead(self.next_job.fetch_add(1, Ordering::Relaxed));
        let mut expected = self.describing.lock().unwrap_or_else(PoisonError::into_inner);
        // There was no job since.
        self.tell_expected(&mut expected);
        let mut described = Described::default();
        describe(&mut described);
        self.shared.unclaimed.expect(described.steps.iter().map(|step| step.counts_as));
        self.say(ToMaster::Describe(described.steps));
        *expected = Some((urgency, targets));
    }

    fn tell_expected(&self, expected: &mut Expected) {
        if let Some((urgency, targets)) = expected.take() {
            self.tell(Event::Expected { urgency, targets });
        }
    }

    /// Waits for the records of what was submitted, one block a partition.
    pub fn wait_for(&self, submitted: &Submitted) -> Result<Vec<Block>, Error> {
        let mut result = submitted.answer.recv().map_err(|_| Error::stopped())?;
        while let Err(TaskError::InputLost { blocks, .. }) = &result
            && self.may_lose_input
        {
            self.do_without(blocks)?;
            let again = self.submit(submitted.target, submitted.urgency, |_| {})?;
            result = again.answer.recv().map_err(|_| Error::stopped())?;
        }
        let blocks = result.map_err(Error::from);
        if submitted.urgency == Urgency::Background {
            // What its tasks added is for whoever computes next.
            return blocks;
        }
        // What tasks added counts even if the job failed in the end.
        let settled = self.shared.accumulators.settle();
        let blocks = blocks?;
        settled.map(|()| blocks)
    }

    /// Has received blocks that nobody holds any more be blocks without records from now on.
    fn do_without(&self, lost: &[BlockId]) -> Result<(), Error> {
        let first = lost.first().map(ToString::to_string).unwrap_or_default();
        tracing::error!(
            blocks = lost.len(),
            first,
            "received records are lost, and count as none from now on"
        );
        self.shared.lost.fetch_add(lost.len() as u64, Ordering::Relaxed);
        self.hold(lost.iter().map(|id| (*id, Block::new(Batches::default()))).collect())
    }

    /// How many blocks of received records were found to be lost since the last call.
    pub fn take_lost(&self) -> u64 {
        self.shared.lost.swap(0, Ordering::Relaxed)
    }

    pub fn accumulators(&self) -> &Accumulators {
        &self.shared.accumulators
    }

    /// Whether all `partitions` of a kept dataset are stored, so that what is behind them may go.
    pub fn is_stored(&self, dataset: DatasetId, partitions: u32) -> bool {
        let stored = self.shared.stored.lock().unwrap_or_else(PoisonError::into_inner);
        stored.get(&dataset).map_or(0, HashSet::len) >= partitions as usize
    }

    /// Whether workers hold what nobody else has.
    pub fn workers_needed(&self, needed: bool) {
        if let (Some(keeper), Workers::Away { may_be_left, .. }) = (&self.keeper, &self.workers) {
            let is_new = keeper.workers_needed(needed) != needed;
            if is_new && needed && !may_be_left {
                tracing::warn!(
                    "no later master will know the token of this run, and records of clients are lost with this one; name a token that stays (`token_file`)"
                );
            }
        }
    }

    /// This process has nothing more to do, also if the program has not ended: then the next master is to find workers as
    /// they are, with what they hold.
    pub fn leave(&self) {
        if let (Some(keeper), Workers::Away { may_be_left: true, .. }) = (&self.keeper, &self.workers)
            && keeper.leaves_workers()
        {
            self.is_overtaken();
        }
    }

    /// Another master runs the program, and has the workers, or will have them.
    pub fn is_overtaken(&self) {
        self.concede();
        self.say(ToMaster::Overtaken);
        self.overtaken.store(true, Ordering::Release);
    }

    /// Workers that come from now on are sent away with what they hold.
    fn concede(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.concede();
        }
    }

    /// Of what workers of a master before still hold, only this is used.
    pub fn use_only(&self, used: Used) {
        self.say(ToMaster::UseOnly(Box::new(used)));
    }

    /// From now on the dataset is made as `step` says.
    pub fn replace(&self, step: Step) {
        self.say(ToMaster::Replace(step));
    }

    /// How many kept partitions tasks had to read from another worker since the last call.
    pub fn take_moved(&self) -> u64 {
        self.shared.moved.swap(0, Ordering::Relaxed)
    }

    /// How many bytes of blocks came to a process from another since the last call.
    pub fn take_moved_bytes(&self) -> u64 {
        self.shared.moved_bytes.swap(0, Ordering::Relaxed)
    }

    /// What tasks found since the last call, each thing once.
    pub fn take_findings(&self) -> Vec<(DatasetId, Finding)> {
        std::mem::take(&mut *self.shared.findings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // Before the first of them loses its connection.
        self.concede();
        if self.keeper.as_ref().is_some_and(|keeper| keeper.is_overtaken()) {
            self.is_overtaken();
        }
        self.leave();
        if let Workers::Away { children, token_file, .. } = &mut self.workers
            && *self.overtaken.get_mut()
        {
            children.disown();
            let file = token_file.get_mut().unwrap_or_else(PoisonError::into_inner);
            file.take().into_iter().for_each(TokenFile::stays);
        }
        let _ = self.to_master.send(ToMaster::Shutdown);
        for thread in self.threads.get_mut().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has said so; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests;
