use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::{Attempt, TaskError, WorkerId, limits};
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
        receive::{Inbox, replicate},
        worker::{self, Work, Worker},
    },
    task::{Attempts, Outcome},
};

/// The life of a worker process: joins the master at `master`, does what it is told, and ends with the
/// program. It never returns; the exit status is 0 only if the master said that the program is over.
pub(crate) fn work(master: &str, settings: &Settings, credentials: &Credentials) -> ! {
    // Ctrl-C reaches every process of a terminal. The master decides what becomes of the program; a
    // worker that ended by itself would take its blocks away from an orderly end.
    let ignored = signal_hook::flag::register(signal_hook::consts::SIGINT, Arc::default());
    if let Err(error) = ignored {
        tracing::warn!(%error, "Ctrl-C will end this worker");
    }
    let lived = network_threads().and_then(|threads| threads.block_on(live(master, settings, credentials)));
    match lived {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("cutwater worker: {error}");
            std::process::exit(1);
        }
    }
}

async fn live(master: &str, settings: &Settings, credentials: &Credentials) -> Result<(), Error> {
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
    let blocks = Arc::new(BlockStore::default());
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
    let to_master = Arc::new(Current::default());
    let reports = to_master.clone();
    // Without a master there is no interval that the blocks could be in.
    let report = move |request, report| reports.tell(ToMaster::Reported(request, report));
    let inbox = Arc::new(Inbox::new(joined.worker, blocks.clone(), report));
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
    leave_on_sigterm(to_master.clone())?;

    let fetcher = || Arc::new(Fetcher::new(credentials.clone(), master, limits::FETCH_BYTES_MAX));
    let behind = fetcher();
    let mut hands = Hands {
        me: joined.worker,
        copier: Copier::start(behind.clone(), blocks.clone()),
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
        let why = match session(stream, &mut hands, &to_master, &mut takeover, epoch).await {
            Ended::Over => return Ok(()),
            Ended::Lost(why) => why,
        };
        if epoch == 0 {
            return Err(Error::external(format_args!("lost the master at {master}: {why}")));
        }
        tracing::warn!(master, why, "lost the master; another one is waited for");
        to_master.forget();
        hands.begin_anew();
        let again = introduction(Some(hands.me));
        let (found, joined, at) = rejoin(&master, epoch, &again, credentials, &mut takeover).await?;
        hands.fetcher.follow(&at);
        hands.behind.follow(&at);
        (stream, epoch, master) = (found, joined.epoch, at);
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
    current: &Current,
    takeover: &mut watch::Receiver<Option<Takeover>>,
    epoch: u64,
) -> Ended {
    let (mut from, to) = split(stream);
    let (to_master, messages) = mpsc::unbounded_channel();
    // First, so that whatever is stored from now on is told of, here or there.
    current.follow(to_master.clone());
    let held = hands.blocks.names();
    if !held.is_empty() {
        // From the time with another.
        let _ = to_master.send(ToMaster::Holds(Blocks::short(&held)));
    }
    hands.to_master = to_master.clone();
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

/// Joins whichever master of a later epoch is there first: one that calls, or one that was started again where the
/// last one was.
async fn rejoin(
    last: &str,
    epoch: u64,
    introduction: &Introduction,
    credentials: &Credentials,
    takeover: &mut watch::Receiver<Option<Takeover>>,
) -> Result<(Channel<TcpStream>, Joined, String), Error> {
    let until = Instant::now() + Duration::from_millis(limits::REJOIN_MS_MAX);
    let mut refused = None;
    while Instant::now() < until {
        let caller = takeover.borrow_and_update().clone().filter(|takeover| takeover.epoch > epoch);
        let master = caller.map_or_else(|| last.to_owned(), |takeover| takeover.master);
        if let Ok(stream) = TcpStream::connect(&master).await
            && stream.set_nodelay(true).is_ok()
        {
            match introduce(stream, &master, introduction, credentials).await {
                Ok((stream, joined)) if joined.epoch > epoch => return Ok((stream, joined, master)),
                // It is the one that was lost, which does not know yet that it is over.
                Ok(_) => {}
                Err(error) => refused = Some(error),
            }
        }
        let wait = sleep(Duration::from_millis(limits::RECONNECT_MS_MIN));
        tokio::select! {
            () = wait => {}
            () = called(takeover, epoch) => {}
        }
    }
    Err(refused.unwrap_or_else(|| {
        Error::external(format_args!(
            "lost the master at {last}, and no other has come within {} s",
            limits::REJOIN_MS_MAX / 1000
        ))
    }))
}

/// The master of the moment, for whoever has something to tell it: compute threads, signals.
#[derive(Default)]
pub(super) struct Current(Mutex<Option<UnboundedSender<ToMaster>>>);

impl Current {
    fn follow(&self, master: UnboundedSender<ToMaster>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(master);
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

/// Asks the master to let this worker go at the first SIGTERM, and goes on meanwhile; ends it at the second.
fn leave_on_sigterm(to_master: Arc<Current>) -> Result<(), Error> {
    let mut signals = Signals::new([SIGTERM])
        .map_err(|error| Error::external(format_args!("cannot listen for signals: {error}")))?;
    worker::spawn("cutwater-signals", move || {
        let mut asked = false;
        for signal in &mut signals {
            if std::mem::replace(&mut asked, true) {
                eprintln!("stopping at once");
                // What a shell expects of a process that a signal ended.
                std::process::exit(128 + signal);
            }
            eprintln!("leaving when others hold what this worker holds; once more to stop at once");
            // Without a master the worker ends in any case.
            to_master.tell(ToMaster::Draining);
        }
    })?;
    Ok(())
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
            ToWorker::Settled { source, through, keep } => self.inbox.settled(source, through, &keep),
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
