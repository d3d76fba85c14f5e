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
    message::{Introduction, Joined, Ran, ToMaster, ToWorker},
    names::Blocks,
    tls::Role,
};
use signal_hook::{consts::SIGTERM, iterator::Signals};
use tokio::{
    io::split,
    net::{TcpListener, TcpStream},
    sync::{
        mpsc::{self, UnboundedSender},
        watch,
    },
    time::{Instant, sleep, timeout},
};

use super::{
    ahead::Ahead,
    copier::Copier,
    dialled,
    fetch::Fetcher,
    host_of, identity, network_threads,
    outbox::{receive_some, send_all},
    plans::Plans,
    serve::{Served, Takeover, serve},
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
    let (mut master, leaving) = (master.to_owned(), Arc::new(Leaving::default()));
    let (mut comes_with, mut until) = (None, Instant::now());
    let lived = loop {
        let lived = network_threads()
            // Whatever is connected goes with these threads: nothing more is acknowledged for the one that is dead.
            .and_then(|threads| {
                threads.block_on(live(&master, settings, credentials, &leaving, &mut comes_with))
            });
        match lived {
            Ok(Lived::ToTheEnd) => break Ok(()),
            Ok(Lived::UntilLostBy(again, left)) => {
                (master, comes_with) = (again, Some(left.again()));
                until = Instant::now() + Duration::from_millis(limits::REJOIN_MS_MAX);
            }
            // It has not come to join anybody with what it holds.
            Err(error) if comes_with.is_some() && Instant::now() < until => {
                tracing::warn!(%error, "this worker cannot join again yet");
                thread::sleep(Duration::from_millis(limits::RECONNECT_MS_MIN));
            }
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
    /// The master that is there has lost it, and would have it as a new one, with what it has left.
    UntilLostBy(String, Left),
}

/// What a life of a worker has left, of which some threads may still be in use.
struct Left {
    blocks: Arc<BlockStore>,
    inbox: Arc<Inbox>,
}

impl Left {
    /// For the next. Tasks that still run put what they make where nobody looks any more.
    fn again(self) -> ComesWith {
        ComesWith { blocks: self.blocks.copied(), kept: self.inbox.kept() }
    }
}

/// What a worker has from before it was lost.
struct ComesWith {
    blocks: BlockStore,
    kept: Kept<Bytes>,
}

/// One life of a worker, to which it `comes_with` what the one before has left, once it has joined.
async fn live(
    master: &str,
    settings: &Settings,
    credentials: &Credentials,
    leaving: &Arc<Leaving>,
    comes_with: &mut Option<ComesWith>,
) -> Result<Lived, Error> {
    let (network, threads) = (&settings.network, settings.threads);
    let executable = identity::executable()?;
    let (stream, local) = reach(master, network.join_wait).await?;
    let beyond = stream.peer_addr().is_ok_and(|peer| !peer.ip().is_loopback());
    if beyond && !credentials.has_tls() {
        return Err(Error::config(&[format!(
            "the master at {master} is on another machine; a worker runs whatever its master hands over, so beyond loopback there are only encrypted connections: make certificates with `cutwater certs` and name them in [tls], on both machines"
        )]));
    }
    // Unless another was chosen, blocks are served on the address by which the master is reached, so nothing
    // listens beyond loopback unless the master does.
    let bind = network.bind.unwrap_or(SocketAddr::new(local.ip(), 0));
    let listener = TcpListener::bind(bind).await.map_err(|error| {
        Error::external(format_args!(
            "cannot listen on {bind} to serve blocks: {error}; `--bind` chooses another address of this machine"
        ))
    })?;
    let port = listener.local_addr().map_err(Error::external)?.port();
    let data_address = match (&network.advertise, network.bind) {
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
    let (takeovers, mut takeover) = watch::channel(None);
    let introduction = |was| Introduction::Worker {
        executable,
        slots: u32::try_from(threads).unwrap_or(u32::MAX),
        memory_bytes: network.memory_bytes.unwrap_or_else(identity::memory_bytes),
        data_address: data_address.clone(),
        clock_ms: clock::wall().as_ms(),
        was,
    };
    let (stream, joined) = introduce(stream, master, &introduction(None), credentials).await?;

    // Neither queue needs a bound of its own. The master is sent one answer for each task and each block it has
    // sent; compute threads have as many tasks as the master sends to a worker (`runtime/link.rs`).
    let (to_compute, work) = crossbeam_channel::unbounded();
    // Threads that still run what another life was sent have another to tell.
    let to_master = Arc::new(Current::default());
    let reports = to_master.clone();
    // Without a master there is no interval that the blocks could be in.
    let report = move |request, report| reports.tell(ToMaster::Reported(request, report));
    let (blocks, inbox) = match comes_with.take() {
        Some(ComesWith { blocks, kept }) => {
            let blocks = Arc::new(blocks);
            (blocks.clone(), Inbox::again(joined.worker, kept, blocks, report))
        }
        None => {
            let blocks = Arc::new(BlockStore::default());
            (blocks.clone(), Inbox::new(joined.worker, blocks, report))
        }
    };
    let inbox = Arc::new(inbox);
    let served =
        Served { blocks: blocks.clone(), inbox: inbox.clone(), compression: joined.compression, takeovers };
    tokio::spawn(serve(listener, credentials.clone(), served));
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

    let fetcher = || Arc::new(Fetcher::new(credentials.clone(), master, limits::FETCH_BYTES_MAX));
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
    let (mut stream, mut epoch, mut master) = (stream, joined.epoch, master.to_owned());
    loop {
        let why = match session(stream, &mut hands, (&to_master, leaving), &mut takeover, epoch).await {
            Ended::Over => return Ok(Lived::ToTheEnd),
            Ended::Lost(why) => why,
        };
        tracing::warn!(master, why, "lost the master; it, or another one, is looked for");
        to_master.forget();
        hands.begin_anew();
        // It tells the time, each time.
        let again = || introduction(Some((hands.me, epoch)));
        let keeps = || hands.inbox.keeps();
        match rejoin((&master, &why), (hands.me, epoch), again, credentials, &mut takeover, keeps).await? {
            Found::Another(found, joined, at) => {
                hands.fetcher.follow(&at);
                hands.behind.follow(&at);
                (stream, epoch, master) = (found, joined.epoch, at);
            }
            Found::Stranger(_) if leaving.is_told() => {
                return Err(Error::external(format_args!(
                    "lost the master at {master} while leaving: {why}"
                )));
            }
            Found::Stranger(master) => return Ok(Lived::UntilLostBy(master, hands.left())),
        }
    }
}

/// Says who this is to the master at the other end.
async fn introduce(
    stream: TcpStream,
    master: &str,
    introduction: &Introduction,
    credentials: &Credentials,
) -> Result<(Channel<TcpStream>, Joined), Error> {
    let joining = timeout(
        Duration::from_millis(limits::HANDSHAKE_MS_MAX),
        credentials.connect(stream, host_of(master), Role::Master, introduction),
    );
    match joining.await {
        Ok(joined) => joined.map_err(|error| Error::external(format_args!("cannot join {master}: {error}"))),
        Err(_) => Err(Error::external(format_args!("cannot join {master}: no answer"))),
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
    let clock = tokio::spawn(tell_time(to_master));
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
    ended
}

/// Waits until a master of a later epoch calls.
async fn called(takeover: &mut watch::Receiver<Option<Takeover>>, epoch: u64) {
    let is_later = |takeover: &Option<Takeover>| takeover.as_ref().is_some_and(|it| it.epoch > epoch);
    if takeover.wait_for(is_later).await.is_err() {
        // Nobody can call any more.
        std::future::pending().await
    }
}

/// Whom a worker finds that has lost its master.
enum Found {
    /// One of a later epoch, which it has joined, and where that is.
    Another(Channel<TcpStream>, Joined, String),
    /// One to which it is lost, and where that is: mostly the one that it had.
    Stranger(String),
}

/// Looks for a master, and joins one of a later epoch that knows it: one that calls, or one that was started again
/// where the last one was. A program of which nothing is written down ends with its master. Who `keeps` what clients were
/// told is safe waits without end; the others do not wait for long.
async fn rejoin(
    (last, lost): (&str, &str),
    (me, epoch): (WorkerId, u64),
    introduction: impl Fn() -> Introduction,
    credentials: &Credentials,
    takeover: &mut watch::Receiver<Option<Takeover>>,
    keeps: impl Fn() -> Keeps,
) -> Result<Found, Error> {
    let patience = Duration::from_millis(limits::REJOIN_MS_MAX);
    let (mut until, mut refused) = (Instant::now() + patience, None);
    loop {
        if Instant::now() >= until {
            let Keeps { blocks, batches } = keeps();
            if (blocks, batches) == (0, 0) {
                break;
            }
            let refused = refused.as_ref().map(|error: &Error| error.to_string()).unwrap_or_default();
            tracing::warn!(
                blocks,
                batches,
                master = last,
                refused,
                "no master has come, and this worker holds records that were acknowledged: start the same executable as the program's master again, with the same checkpoints; a second SIGTERM ends this worker, and what it holds is lost"
            );
            until = Instant::now() + patience;
        }
        let caller = takeover.borrow_and_update().clone().filter(|takeover| takeover.epoch > epoch);
        let (master, known) =
            caller.map_or_else(|| (last.to_owned(), epoch), |takeover| (takeover.master, takeover.epoch));
        let says = introduction();
        // A machine that is gone does not answer, and must not keep us from one that calls.
        let answer = tokio::select! {
            answer = knock(&master, &says, credentials) => answer,
            () = called(takeover, known) => continue,
        };
        match answer {
            // One that was overtaken, and does not know yet that it is over.
            Ok((_, joined)) if joined.epoch < epoch => {}
            Ok((stream, joined)) if joined.worker == me => return Ok(Found::Another(stream, joined, master)),
            Ok(_) => return Ok(Found::Stranger(master)),
            Err(Unheard::Refused(_) | Unheard::Nobody) if epoch == 0 => {
                return Err(Error::external(format_args!("lost the master at {last}: {lost}")));
            }
            Err(Unheard::Refused(error)) => refused = Some(error),
            Err(Unheard::Nobody | Unheard::Silent) => {}
        }
        let wait = sleep(Duration::from_millis(limits::RECONNECT_MS_MIN));
        tokio::select! {
            () = wait => {}
            () = called(takeover, known) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        Error::external(format_args!(
            "lost the master at {last}, and no other has come within {} s",
            limits::REJOIN_MS_MAX / 1000
        ))
    }))
}

/// Why no master has answered.
enum Unheard {
    /// Nobody listens there.
    Nobody,
    /// Somebody may, and has said nothing in time.
    Silent,
    Refused(Error),
}

async fn knock(
    master: &str,
    introduction: &Introduction,
    credentials: &Credentials,
) -> Result<(Channel<TcpStream>, Joined), Unheard> {
    let joining = async {
        let stream = TcpStream::connect(master).await.map_err(|_| Unheard::Nobody)?;
        stream.set_nodelay(true).map_err(|_| Unheard::Nobody)?;
        introduce(stream, master, introduction, credentials).await.map_err(Unheard::Refused)
    };
    // Before whoever introduces itself gives up by itself.
    let joining = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX / 2), joining);
    joining.await.unwrap_or(Err(Unheard::Silent))
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

/// Connects to the master, which may be about to start; answers with our own address too.
async fn reach(master: &str, wait: Duration) -> Result<(TcpStream, SocketAddr), Error> {
    let until = Instant::now() + wait;
    loop {
        let failed = match TcpStream::connect(master).await {
            Ok(stream) => match stream.set_nodelay(true).and_then(|()| stream.local_addr()) {
                Ok(local) => return Ok((stream, local)),
                Err(error) => error,
            },
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(Error::external(format_args!(
                "no master at {master} after {wait:?}: {failed}; is it running, and is `--join` its address?"
            )));
        }
        sleep(Duration::from_millis(limits::RECONNECT_MS_MIN)).await;
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
                let cancel = self.attempts.begin(task.attempt);
                let wanted = self.wanted.of(&task, self.me, &self.blocks);
                let claim = match self.ahead.claim(wanted).complete() {
                    Ok(fetched) => return self.compute(Work::Run { plan, task, fetched, cancel }),
                    Err(claim) => claim,
                };
                let (fetcher, to_compute) = (self.fetcher.clone(), self.to_compute.clone());
                let (attempts, to_master) = (self.attempts.clone(), self.to_master.clone());
                let ahead = self.ahead.clone();
                tokio::spawn(async move {
                    match ahead.complete(claim, &fetcher).await {
                        Ok(fetched) => drop(to_compute.send(Work::Run { plan, task, fetched, cancel })),
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
