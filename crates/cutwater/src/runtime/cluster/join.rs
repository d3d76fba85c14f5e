use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use bytes::Bytes;
use cutwater_core::{Attempt, TaskError, WorkerId, clients::Kept, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    message::{Introduction, Ran, ToMaster, ToWorker},
    names::Blocks,
};
use signal_hook::{consts::SIGTERM, iterator::Signals};
use tokio::{
    io::split,
    net::{TcpListener, TcpStream},
    sync::{
        mpsc::{self, UnboundedSender},
        watch,
    },
    time::sleep,
};

use super::{
    ahead::Ahead,
    copier::Copier,
    dialled,
    fetch::Fetcher,
    identity, network_threads,
    outbox::{receive_some, send_all},
    plans::Plans,
    seek::{Found, Seeker, called, introduce, reach},
    serve::{Part, Served, Takeover, serve},
    wanted::Wanted,
};
use crate::{
    block::{Block, BlockStore},
    context::Settings,
    error::Error,
    runtime::{
        clock,
        receive::{Inbox, Keeps, replicate},
        worker::{self, Work, Worker},
    },
    task::{Attempts, Outcome},
};

/// The life of a worker process: joins the master at `master`, does what it is told, and ends with the
/// program. It never returns; the exit status is 0 only if the master said that the program is over.
///
/// A worker that its master has lost, and takes for dead, is nobody's: others make again what it holds, and take its
/// part. It comes back as a new one, with what it holds, since nobody else may have what clients have sent.
pub(crate) fn work(master: &str, settings: &Settings, credentials: &Credentials) -> ! {
    // Ctrl-C reaches every process of a terminal. The master decides what becomes of the program; a
    // worker that ended by itself would take its blocks away from an orderly end.
    let ignored = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default());
    if let Err(error) = ignored {
        tracing::warn!(%error, "Ctrl-C will end this worker");
    }
    let leaving = Arc::new(Leaving::default());
    let (mut place, mut before) = (None, None);
    let lived = loop {
        let lived = match network_threads() {
            // Whatever is connected goes with these threads: nothing more is acknowledged for the one that is dead.
            Ok(threads) => {
                threads.block_on(live(master, settings, credentials, &leaving, (&mut place, &mut before)))
            }
            Err(error) if before.is_some() => {
                tracing::warn!(%error, "this worker cannot join again yet");
                thread::sleep(Duration::from_millis(limits::RECONNECT_MS_MAX));
                continue;
            }
            Err(error) => Err(error),
        };
        match lived {
            Ok(Lived::ToTheEnd) => break Ok(()),
            Ok(Lived::UntilLostBy(master, epoch, left)) => before = Some(left.to(master, epoch)),
            Err(error) => break Err(error),
        }
    };
    match lived {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("cutwater worker: {error}");
            std::process::exit(1);
        }
    }
}

/// How the life of a worker ends, unless it fails.
enum Lived {
    /// The program is over.
    ToTheEnd,
    /// The master that is there, of that epoch, has lost it, and would have it as a new one, with what it has left.
    UntilLostBy(String, u64, Left),
}

/// What a life of a worker has left, of which some threads may still be in use.
struct Left {
    blocks: Arc<BlockStore>,
    inbox: Arc<Inbox>,
}

impl Left {
    /// For the next. Tasks that still run put what they make where nobody looks any more.
    fn to(self, master: String, epoch: u64) -> Before {
        let (kept, keeps) = (self.inbox.kept(), self.inbox.keeps());
        Before { master, epoch, blocks: self.blocks.copied(), kept, keeps }
    }
}

/// What a worker has from before it was lost, and to whom it was.
struct Before {
    master: String,
    epoch: u64,
    blocks: BlockStore,
    kept: Kept<Bytes>,
    keeps: Keeps,
}

/// Where others reach a worker, in all of its lives: a master that has lost it goes on naming that.
struct Place {
    listener: std::net::TcpListener,
    address: String,
}

impl Place {
    /// Unless another was chosen, blocks are served on the address by which the master is reached, `local`, so nothing
    /// listens beyond loopback unless the master does.
    async fn open(settings: &Settings, local: SocketAddr) -> Result<Self, Error> {
        let network = &settings.network;
        let bind = network.bind.unwrap_or(SocketAddr::new(local.ip(), 0));
        let listener = TcpListener::bind(bind).await.map_err(|error| {
            Error::external(format_args!(
                "cannot listen on {bind} to serve blocks: {error}; `--bind` chooses another address of this machine"
            ))
        })?;
        let port = listener.local_addr().map_err(Error::external)?.port();
        let address = match (&network.advertise, network.bind) {
            (Some(host), _) => dialled(host, port),
            (None, Some(bind)) => SocketAddr::new(bind.ip(), port).to_string(),
            (None, None) => format!(":{port}"),
        };
        let reached = network.advertise.clone().unwrap_or_else(|| bind.ip().to_string());
        if network.tls.as_ref().is_some_and(|tls| !tls.is_for(&reached)) {
            return Err(Error::config(&[format!(
                "others reach this worker at {reached}, and its certificate is not for that; make one that is with `cutwater certs`, or say by `--advertise` for what name it is"
            )]));
        }
        Ok(Self { listener: listener.into_std().map_err(Error::external)?, address })
    }

    fn listener(&self) -> Result<TcpListener, Error> {
        self.listener.try_clone().and_then(TcpListener::from_std).map_err(Error::external)
    }
}

/// One life of a worker. Others reach it in the same `place` as `before`, if there was a life before this, and it has what that
/// has left once it has joined.
async fn live(
    first: &str,
    settings: &Settings,
    credentials: &Credentials,
    leaving: &Arc<Leaving>,
    (place, before): (&mut Option<Place>, &mut Option<Before>),
) -> Result<Lived, Error> {
    let (network, threads) = (&settings.network, settings.threads);
    let executable = identity::executable()?;
    let (takeovers, mut takeover) = watch::channel(None);
    let introduction = |data_address: &str, was| Introduction::Worker {
        executable,
        slots: u32::try_from(threads).unwrap_or(u32::MAX),
        memory_bytes: network.memory_bytes.unwrap_or_else(identity::memory_bytes),
        data_address: data_address.to_owned(),
        clock_ms: clock::wall().as_ms(),
        was,
    };
    let (place, (stream, joined, master)) = match (&mut *place, &*before) {
        (Some(place), Some(Before { master, epoch, keeps, .. })) => {
            let served = Served { part: None, takeovers: takeovers.clone() };
            let serving = tokio::spawn(serve(place.listener()?, credentials.clone(), served));
            let lost = "it has lost this worker";
            let seeker = Seeker { last: master, epoch: *epoch, lost, me: None, credentials };
            let says = || introduction(&place.address, None);
            let found = seeker.seek(says, &mut takeover, || *keeps).await?;
            serving.abort();
            match found {
                Found::Joined(stream, joined, at) => (place, (stream, joined, at)),
                // Whoever has no name is no stranger.
                Found::Stranger(at, _) => return Err(Error::internal(format_args!("lost to {at} again"))),
            }
        }
        (place, _) => {
            let (stream, local) = reach(first, network.join_wait).await?;
            let place = place.insert(Place::open(settings, local).await?);
            let (stream, joined) =
                introduce(stream, first, &introduction(&place.address, None), credentials).await?;
            (place, (stream, joined, first.to_owned()))
        }
    };

    // Neither queue needs a bound of its own. The master is sent one answer for each task and each block it has
    // sent; compute threads have as many tasks as the master sends to a worker (`runtime/link.rs`).
    let (to_compute, work) = crossbeam_channel::unbounded();
    // Threads that still run what another life was sent have another to tell.
    let to_master = Arc::new(Current::default());
    let reports = to_master.clone();
    // Without a master there is no interval that the blocks could be in.
    let report = move |request, report| reports.tell(ToMaster::Reported(request, report));
    let (blocks, inbox) = match before.take() {
        Some(Before { blocks, kept, .. }) => {
            let blocks = Arc::new(blocks);
            (blocks.clone(), Inbox::again(joined.worker, kept, blocks, report))
        }
        None => {
            let blocks = Arc::new(BlockStore::default());
            (blocks.clone(), Inbox::new(joined.worker, blocks, report))
        }
    };
    let inbox = Arc::new(inbox);
    let part = Part { blocks: blocks.clone(), inbox: inbox.clone(), compression: joined.compression };
    let served = Served { part: Some(part), takeovers };
    tokio::spawn(serve(place.listener()?, credentials.clone(), served));
    tokio::spawn(replicate(inbox.clone(), credentials.clone()));
    let attempts = Arc::new(Attempts::default());
    let shared = Arc::new(Worker {
        me: joined.worker,
        blocks: blocks.clone(),
        attempts: attempts.clone(),
        twice: joined.run_twice,
    });
    let reports = to_master.clone();
    worker::start(&shared, threads, &work, move |attempt, result| reports.tell(ran(attempt, result)))?;
    leaving.on_sigterm(to_master.clone())?;

    let fetcher = || Arc::new(Fetcher::new(credentials.clone(), &master, limits::FETCH_BYTES_MAX));
    let behind = fetcher();
    let mut hands = Hands {
        me: joined.worker,
        copier: Copier::start(behind.clone(), blocks.clone(), inbox.clone()),
        blocks,
        attempts,
        inbox,
        fetcher: fetcher(),
        behind,
        to_compute,
        // Told anew with each session.
        to_master: mpsc::unbounded_channel().0,
        current: to_master.clone(),
        wanted: Wanted::default(),
        ahead: Arc::new(Ahead::new(limits::AHEAD_BYTES_MAX)),
    };
    let (mut stream, mut epoch, mut master) = (stream, joined.epoch, master);
    loop {
        let why = match session(stream, &mut hands, (&to_master, leaving), &mut takeover, epoch).await {
            Ended::Over => return Ok(Lived::ToTheEnd),
            Ended::Lost(why) => why,
        };
        tracing::warn!(master, why, "lost the master; it, or another one, is looked for");
        to_master.forget();
        hands.begin_anew();
        let seeker = Seeker { last: &master, epoch, lost: &why, me: Some(hands.me), credentials };
        let says = || introduction(&place.address, Some((hands.me, epoch)));
        match seeker.seek(says, &mut takeover, || hands.inbox.keeps()).await? {
            Found::Joined(found, joined, at) => {
                hands.fetcher.follow(&at);
                hands.behind.follow(&at);
                (stream, epoch, master) = (found, joined.epoch, at);
            }
            Found::Stranger(..) if leaving.is_told() && !hands.inbox.keeps().is_any() => {
                return Err(Error::external(format_args!(
                    "lost the master at {master} while leaving: {why}"
                )));
            }
            Found::Stranger(at, epoch) => return Ok(Lived::UntilLostBy(at, epoch, hands.left())),
        }
    }
}

/// How the time with a master ends.
enum Ended {
    /// The program is over.
    Over,
    /// The master is gone, or another has taken over.
    Lost(String),
}

/// The time with one master: does what it says until it is gone, or until one of a later epoch calls.
async fn session(
    stream: Channel<TcpStream>,
    hands: &mut Hands,
    (current, leaving): (&Current, &Leaving),
    takeover: &mut watch::Receiver<Option<Takeover>>,
    epoch: u64,
) -> Ended {
    let (mut from, to) = split(stream);
    let (to_master, messages) = mpsc::unbounded_channel();
    current.follow(to_master.clone(), || {
        let names = hands.blocks.names();
        hands.inbox.told(&names);
        ToMaster::Holds(Blocks::short(&names))
    });
    hands.to_master = to_master.clone();
    if leaving.is_told() {
        // There was no master to ask.
        hands.tell(ToMaster::Draining);
    }
    let writer = tokio::spawn(send_all(to, messages, || ToMaster::Ping));
    let clock = tokio::spawn(tell_time(to_master.clone()));
    let progress = tokio::spawn(tell_progress(to_master, hands.attempts.clone()));
    let (mut plans, mut bytes) = (Plans::default(), Vec::new());
    let ended = loop {
        let messages = tokio::select! {
            received = receive_some(&mut from, &mut bytes) => match received {
                Ok(Some(messages)) => messages,
                Ok(None) => break Ended::Lost("it closed the connection".to_owned()),
                Err(error) => break Ended::Lost(error.to_string()),
            },
            () = called(takeover, epoch) => break Ended::Lost("another has taken over".to_owned()),
        };
        let mut over = false;
        for message in messages {
            match plans.note(message) {
                Some(ToWorker::Stop) => over = true,
                Some(message) => hands.take(message, &plans),
                None => {}
            }
        }
        if over {
            break Ended::Over;
        }
    };
    // One that comes back is not to hear anything that is meant for another.
    writer.abort();
    clock.abort();
    progress.abort();
    ended
}

/// The master of the moment, for whoever has something to tell it: compute threads, signals.
#[derive(Default)]
pub(super) struct Current(Mutex<Option<UnboundedSender<ToMaster>>>);

impl Current {
    /// From now on this one is told, first of all what is held from the time with another. Whoever stores something
    /// meanwhile waits to tell of it.
    pub(super) fn follow(&self, master: UnboundedSender<ToMaster>, holds: impl FnOnce() -> ToMaster) {
        let mut current = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = master.send(holds());
        *current = Some(master);
    }

    fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Without a master nobody waits for it.
    pub fn tell(&self, message: ToMaster) {
        if let Some(master) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = master.send(message);
        }
    }
}

/// Clocks that agreed at first may drift apart, or be set.
async fn tell_time(to_master: UnboundedSender<ToMaster>) {
    loop {
        sleep(Duration::from_millis(limits::CLOCK_CHECK_MS)).await;
        if to_master.send(ToMaster::Clock(clock::wall().as_ms())).is_err() {
            return;
        }
    }
}

/// Of tasks that take their time, so that who merely has more to do is not taken for slow.
async fn tell_progress(to_master: UnboundedSender<ToMaster>, attempts: Arc<Attempts>) {
    loop {
        attempts.any().await;
        sleep(Duration::from_millis(limits::PROGRESS_MS)).await;
        let news = attempts.progress(Duration::from_millis(limits::STRAGGLER_MS_MIN - limits::PROGRESS_MS));
        if !news.is_empty() && to_master.send(ToMaster::Read(news)).is_err() {
            return;
        }
    }
}

fn ran(attempt: Attempt, result: Result<Outcome, TaskError>) -> ToMaster {
    let told = result.and_then(|Outcome { stored, result, findings, read, combined, fetched_bytes }| {
        let findings = postcard::to_allocvec(&findings)
            .map_err(|error| TaskError::Internal(format!("what was found cannot be sent: {error}")))?;
        Ok(Ran {
            stored: Blocks::short(&stored),
            result: result.map(|block| block.to_bytes()).transpose()?,
            findings,
            read,
            combined,
            fetched_bytes,
        })
    });
    ToMaster::Ran(attempt, told)
}

/// Whether this process was told to leave, in whichever of its lives.
#[derive(Default)]
struct Leaving {
    told: AtomicBool,
    /// Whom to ask; nobody listens for signals as long as there is none.
    current: Mutex<Option<Arc<Current>>>,
}

impl Leaving {
    fn is_told(&self) -> bool {
        self.told.load(Ordering::Acquire)
    }

    /// From now on asks this master to let the worker go at the first SIGTERM, and goes on meanwhile; ends it at the second.
    fn on_sigterm(self: &Arc<Self>, to_master: Arc<Current>) -> Result<(), Error> {
        if self.current().replace(to_master).is_some() {
            return Ok(());
        }
        let mut signals = Signals::new([SIGTERM])
            .map_err(|error| Error::external(format_args!("cannot listen for signals: {error}")))?;
        let leaving = self.clone();
        worker::spawn("cutwater-signals", move || {
            for signal in &mut signals {
                if leaving.told.swap(true, Ordering::AcqRel) {
                    eprintln!("stopping at once");
                    // What a shell expects of a process that a signal ended.
                    std::process::exit(128 + signal);
                }
                eprintln!("leaving when others hold what this worker holds; once more to stop at once");
                // Without a master the next one is asked.
                if let Some(current) = &*leaving.current() {
                    current.tell(ToMaster::Draining);
                }
            }
        })?;
        Ok(())
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Current>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a worker does about a message.
struct Hands {
    me: WorkerId,
    blocks: Arc<BlockStore>,
    attempts: Arc<Attempts>,
    inbox: Arc<Inbox>,
    /// For tasks.
    fetcher: Arc<Fetcher>,
    /// For copies, which tasks do not wait for.
    behind: Arc<Fetcher>,
    copier: Copier,
    to_compute: crossbeam_channel::Sender<Work>,
    to_master: UnboundedSender<ToMaster>,
    current: Arc<Current>,
    wanted: Wanted,
    ahead: Arc<Ahead>,
}

impl Hands {
    fn left(&self) -> Left {
        Left { blocks: self.blocks.clone(), inbox: self.inbox.clone() }
    }

    /// What another master had it do is of no use to the next.
    fn begin_anew(&mut self) {
        self.attempts.cancel_all();
        self.inbox.begin_anew();
        self.wanted = Wanted::default();
        self.ahead.clear();
    }

    fn take(&mut self, message: ToWorker, plans: &Plans) {
        match message {
            ToWorker::Run(task) => {
                let plan = match plans.stage(task.attempt.stage) {
                    Ok(plan) => plan,
                    Err(error) => return self.tell(ToMaster::Ran(task.attempt, Err(error))),
                };
                let control = self.attempts.begin(task.attempt);
                let wanted = self.wanted.of(&task, self.me, &self.blocks);
                let claim = match self.ahead.claim(wanted).complete() {
                    Ok(fetched) => return self.compute(Work::Run { plan, task, fetched, control }),
                    Err(claim) => claim,
                };
                let (fetcher, to_compute) = (self.fetcher.clone(), self.to_compute.clone());
                let (attempts, to_master) = (self.attempts.clone(), self.to_master.clone());
                let ahead = self.ahead.clone();
                tokio::spawn(async move {
                    match ahead.complete(claim, &fetcher).await {
                        Ok(fetched) => drop(to_compute.send(Work::Run { plan, task, fetched, control })),
                        Err(error) => {
                            attempts.end(task.attempt);
                            drop(to_master.send(ToMaster::Ran(task.attempt, Err(error))));
                        }
                    }
                });
            }
            ToWorker::Hold(id, bytes) => {
                self.blocks.put(id, Block::arrived(bytes));
                self.tell(ToMaster::Held(id));
            }
            ToWorker::Drop(blocks) => match Blocks::long(&blocks) {
                Ok(blocks) => self.compute(Work::Drop(blocks)),
                Err(error) => tracing::error!(%error, "blocks to drop"),
            },
            ToWorker::Locate(shuffle, located) => self.wanted.locate(shuffle, &located),
            ToWorker::Ahead(shuffle, reduces) => {
                let Some(first) = reduces.first() else { return };
                let maps = self.wanted.maps(shuffle, first.start, self.me, &self.blocks);
                self.ahead.fetch(&self.fetcher, shuffle, reduces, maps);
            }
            ToWorker::ForgetShuffles(shuffles) => {
                self.wanted.forget(&shuffles);
                self.ahead.forget(&shuffles);
            }
            ToWorker::Cancel(attempt) => self.attempts.cancel(attempt),
            ToWorker::Copy(from, names) => self.copier.copy(from, names, self.current.clone()),
            ToWorker::Peers(addresses) => {
                self.inbox.note_peers(&addresses);
                self.fetcher.note(&addresses);
                self.behind.note(&addresses);
            }
            ToWorker::Receive(receive) => self.inbox.receive(receive),
            ToWorker::ReportBlocks(request, source) => self.inbox.report(request, source),
            ToWorker::ReportReplicas(request, lost) => self.inbox.report_replicas(request, lost),
            ToWorker::Settled { source, through, keep, again } => {
                self.inbox.settled(source, through, &keep, &again);
            }
            ToWorker::Make(source, sequence, batches) => {
                self.inbox
                    .make(source, sequence, &batches)
                    .into_iter()
                    .for_each(|id| self.tell(ToMaster::Held(id)));
            }
            ToWorker::Ping => {}
            other => tracing::error!(me = %self.me, ?other, "not for here"),
        }
    }

    fn compute(&self, work: Work) {
        // Compute threads end with the process only.
        let _ = self.to_compute.send(work);
    }

    fn tell(&self, message: ToMaster) {
        let _ = self.to_master.send(message);
    }
}

impl From<WireError> for Error {
    fn from(error: WireError) -> Self {
        Self::external(error)
    }
}

#[cfg(test)]
mod tests;
