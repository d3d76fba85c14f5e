use std::{
    collections::{BTreeMap, HashSet},
    io,
    net::SocketAddr,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use cutwater_core::{BlockId, Event, TaskError, Time, WorkerId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    client::Welcome,
    compression::Compression,
    credentials::Credentials,
    message::{self, Introduction, Joined, Ran, ToWorker},
    names::Blocks,
    tls::Role,
};
use tokio::{
    io::split,
    net::{TcpListener, TcpStream},
    runtime::Runtime,
    sync::{Semaphore, mpsc, oneshot},
    time::{sleep, timeout},
};

use super::{
    clocks::{Skew, Watch},
    fetch::dial,
    handshakes::Handshakes,
    identity, network_threads,
    outbox::{receive_some, send_all},
    serve::{answer_all, role_for},
};
use crate::{
    block::{Block, BlockStore},
    context::Settings,
    error::Error,
    runtime::{
        Begins, clock,
        lease::Keeper,
        link::{Away, Link},
        master::ToMaster,
        receive::{Turns, serve_directions, speaks_http},
    },
    task::Outcome,
};

/// The master's door: workers join here.
///
/// Properties:
/// - whoever cannot prove that it belongs here is told why, if it speaks our protocol, and costs one
///   short handshake;
/// - a worker whose connection ends, or that is silent for too long, is lost.
///
/// It lives on the network threads of the master. If the process dies, workers end by themselves.
pub(crate) struct Listener {
    pub address: SocketAddr,
    door: Arc<Door>,
    // Dropped last: connections live on it.
    runtime: Runtime,
}

impl Drop for Listener {
    /// Workers are told that the program is over; without their connections they would think it lost.
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_millis(limits::ENDING_MS_MAX);
        while self.door.connected.load(Ordering::Acquire) > 0 && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
    }
}

/// What a connection needs to know.
struct Door {
    credentials: Credentials,
    program: String,
    run_twice: bool,
    compression: Compression,
    to_master: Sender<ToMaster>,
    next_worker: AtomicU32,
    /// Workers of the master before that may still come with what they hold.
    before: Mutex<HashSet<WorkerId>>,
    /// Of the lease, if another master can take over.
    keeper: Option<Arc<Keeper>>,
    /// Larger than that of any master before; 0 if nothing is written down that another could take over.
    epoch: u64,
    /// Workers whose connections have not ended.
    connected: AtomicUsize,
    handshakes: Handshakes,
    /// Where they are, for clients.
    workers: Mutex<BTreeMap<WorkerId, String>>,
    /// For those who ask for them by HTTP.
    asking: Semaphore,
    /// With which of them the next client begins.
    turns: Turns,
    /// What this process has received, for workers to read.
    received: Arc<BlockStore>,
}

/// Who has come in.
enum Guest {
    Worker(Entered),
    /// One that reads blocks.
    Reader(Channel<TcpStream>),
    /// Somebody with requests of HTTP, who proves itself in each.
    Http(Channel<TcpStream>),
}

impl Listener {
    pub fn open(
        address: SocketAddr,
        credentials: Credentials,
        settings: &Settings,
        begins: &Begins,
        received: Arc<BlockStore>,
        to_master: Sender<ToMaster>,
    ) -> Result<Self, Error> {
        let runtime = network_threads()?;
        // Hashed before anybody knocks, so that no handshake has to wait for it.
        identity::executable()?;
        let listener = runtime.block_on(TcpListener::bind(address)).map_err(|error| {
            Error::external(format_args!("cannot listen on {address}: {error}; is another master running there? `--master ADDRESS:PORT` chooses another"))
        })?;
        let address = listener.local_addr().map_err(Error::external)?;
        let door = Arc::new(Door {
            credentials,
            program: settings.name.clone(),
            run_twice: settings.run_twice,
            compression: settings.compression,
            to_master,
            next_worker: AtomicU32::new(begins.first_worker()),
            before: Mutex::new(begins.workers.here.iter().map(|(worker, _)| *worker).collect()),
            keeper: begins.keeper.clone(),
            epoch: begins.epoch,
            connected: AtomicUsize::new(0),
            handshakes: Handshakes::default(),
            workers: Mutex::default(),
            asking: Semaphore::new(limits::CLIENT_CONNECTIONS_MAX),
            turns: Turns::default(),
            received,
        });
        runtime.spawn(accept_all(listener, door.clone()));
        Ok(Self { address, door, runtime })
    }
}

impl Listener {
    /// Workers of the master before that come from now on are new ones: what they held is others' by now.
    pub fn awaits_nobody(&self) {
        self.door.before().clear();
    }

    /// Has the workers of the master before join this one, which is reached at `address`. They may be stopped, or out of reach:
    /// each is called until it comes, or the lease names it no longer.
    pub fn take_over(&self, begins: &Begins, address: &str) {
        for (worker, at) in begins.workers.all() {
            let (door, worker, at) = (self.door.clone(), *worker, at.clone());
            let (epoch, master) = (begins.epoch, address.to_owned());
            self.runtime.spawn(async move {
                let Ok(executable) = identity::executable() else { return };
                let introduction = Introduction::Takeover { executable, epoch, master };
                let mut said = false;
                loop {
                    match dial(&at, Role::Worker, &door.credentials, &introduction).await {
                        Ok(_) => tracing::info!(%worker, at, "a worker is called"),
                        Err(error) if !std::mem::replace(&mut said, true) => {
                            tracing::warn!(%worker, at, %error, "a worker of the master before is not there");
                        }
                        Err(error) => tracing::debug!(%worker, at, %error, "a worker is still not there"),
                    }
                    sleep(Duration::from_millis(limits::RECONNECT_MS_MAX)).await;
                    let is_here = door.workers().values().any(|here| *here == at);
                    if is_here || !door.keeper.as_ref().is_some_and(|keeper| keeper.names(&at)) {
                        return;
                    }
                }
            });
        }
    }
}

async fn accept_all(listener: TcpListener, door: Arc<Door>) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let door = door.clone();
                tokio::spawn(async move {
                    match door.handshakes.run(door.enter(stream, peer)).await {
                        Ok(Ok(Some(Guest::Reader(stream)))) => {
                            if let Err(error) = answer_all(stream, &door.received, door.compression).await {
                                tracing::debug!(%peer, %error, "a reader is gone");
                            }
                        }
                        Ok(Ok(Some(Guest::Http(stream)))) => {
                            if let Err(error) = door.direct(stream).await {
                                tracing::debug!(%peer, %error, "a client is gone");
                            }
                        }
                        Ok(Ok(Some(Guest::Worker(worker)))) => {
                            door.connected.fetch_add(1, Ordering::AcqRel);
                            let id = worker.id;
                            // Clients may go there before the lease names it. It has heard of no source then, and takes
                            // nothing that whoever takes over could not find.
                            door.workers().insert(id, worker.address.clone());
                            worker.serve(&door.to_master).await;
                            door.workers().remove(&id);
                            door.connected.fetch_sub(1, Ordering::AcqRel);
                        }
                        Ok(Ok(None)) => {}
                        Ok(Err(error)) => tracing::warn!(%peer, %error, "refused a connection"),
                        Err(why) => tracing::warn!(%peer, "{why}"),
                    }
                });
            }
            Err(error) => {
                // Mostly too many open files; it passes, or the log tells.
                tracing::error!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

impl Door {
    fn before(&self) -> MutexGuard<'_, HashSet<WorkerId>> {
        self.before.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn workers(&self) -> MutexGuard<'_, BTreeMap<WorkerId, String>> {
        self.workers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where clients find receivers, in the order in which the one that asks is to try them.
    fn receivers(&self) -> Vec<String> {
        let receivers = self.workers().values().cloned().collect();
        self.turns.next(receivers)
    }

    /// Says by HTTP where receivers are.
    async fn direct(&self, stream: Channel<TcpStream>) -> io::Result<()> {
        match self.asking.try_acquire() {
            Ok(_permit) => serve_directions(stream, &self.credentials, self.receivers()).await,
            Err(_) => Err(io::Error::other("too many clients are connected")),
        }
    }

    /// The handshake; `None` if the other end was sent away, or only wanted to know something.
    async fn enter(&self, stream: TcpStream, peer: SocketAddr) -> Result<Option<Guest>, WireError> {
        stream.set_nodelay(true)?;
        let mut stream = self.credentials.open(stream).await?;
        if speaks_http(&mut stream).await? {
            return Ok(Some(Guest::Http(stream)));
        }
        let roles = [Role::Worker, Role::Client];
        let (mut stream, introduction, accepting) = self.credentials.hear(stream, &roles).await?;
        if let Some(why) = self.credentials.wrong_role(&stream, &[role_for(&introduction)]) {
            accepting.refuse(&mut stream, &why).await?;
            return Err(WireError::Certificate(why));
        }
        if let Introduction::Client { .. } = introduction {
            // Records go to workers; here a client learns where they are.
            let receivers = self.receivers();
            accepting.welcome(&mut stream, &Welcome { takes: false, receivers }).await?;
            return Ok(None);
        }
        if introduction == Introduction::Probe {
            accepting.welcome(&mut stream, &()).await?;
            return Ok(None);
        }
        let Introduction::Worker { executable, slots, memory_bytes, data_address, clock_ms, was } =
            introduction
        else {
            return match introduction {
                Introduction::Reader { executable } if identity::executable().ok() == Some(executable) => {
                    accepting.welcome(&mut stream, &()).await?;
                    Ok(Some(Guest::Reader(stream)))
                }
                _ => {
                    accepting.refuse(&mut stream, "blocks are for workers of the same run").await?;
                    Ok(None)
                }
            };
        };
        let refusal = match identity::executable() {
            Ok(own) if own == executable => {
                let skew = Skew { theirs: Time::from_ms(clock_ms), ours: clock::wall() };
                let fault = skew.fault();
                if fault.is_none() {
                    let skew_ms = skew.ms();
                    tracing::info!(%peer, slots, memory_mb = memory_bytes >> 20, skew_ms, "a worker joins");
                }
                fault
            }
            Ok(own) => Some(format!(
                "the worker runs executable {executable} and the master {own}; start the same file on both"
            )),
            Err(error) => Some(error.to_string()),
        };
        if let Some(why) = refusal {
            tracing::warn!(%peer, %why, "refused a worker");
            accepting.refuse(&mut stream, &why).await?;
            return Ok(None);
        }
        // Others know its blocks by the name that it has, unless they were told that it is lost.
        let is_known = |(id, epoch): &(WorkerId, u64)| *epoch < self.epoch && self.before().contains(id);
        let known = was.filter(is_known).map(|(id, _)| id);
        let id = known.unwrap_or_else(|| WorkerId(self.next_worker.fetch_add(1, Ordering::Relaxed)));
        let is_sure = || self.keeper.as_ref().is_none_or(|keeper| keeper.is_sure());
        if was.is_some() && known.is_none() && !is_sure() {
            // Another master may be about to call it, and need what it holds.
            let why = "another master may have taken the program over; ask again";
            accepting.refuse(&mut stream, why).await?;
            return Ok(None);
        }
        let joined = Joined {
            worker: id,
            program: self.program.clone(),
            run_twice: self.run_twice,
            compression: self.compression,
            epoch: self.epoch,
        };
        let lost = was.filter(|_| known.is_none());
        if let Some((worker, _)) = lost {
            tracing::info!(%worker, %peer, "a worker that is lost is there again, and begins anew");
            // Its connection may not have ended here yet; and it is lost before it joins as another.
            let _ = self.to_master.send(ToMaster::BeginsAnew { worker });
        }
        accepting.welcome(&mut stream, &joined).await?;
        if lost.is_some() {
            return Ok(None);
        }
        // A port alone is on the machine that the connection comes from.
        let address = match data_address.strip_prefix(':') {
            Some(port) => SocketAddr::new(peer.ip(), port.parse().unwrap_or(0)).to_string(),
            None => data_address,
        };
        Ok(Some(Guest::Worker(Entered { id, slots, address, stream })))
    }
}

/// A worker behind the door.
struct Entered {
    id: WorkerId,
    slots: u32,
    address: String,
    stream: Channel<TcpStream>,
}

impl Entered {
    /// Carries messages both ways until the connection ends.
    async fn serve(self, to_master: &Sender<ToMaster>) {
        let Self { id: worker, slots, address, stream } = self;
        let (mut from, to) = split(stream);
        // The master must not wait for a slow connection. What it sends is bounded as `Link` says.
        let (outgoing, messages) = mpsc::unbounded_channel();
        let link = Link::Away(Box::new(Away::new(outgoing)));
        let (tell, untold) = oneshot::channel();
        let writer = tokio::spawn(async move {
            if let Err(error) = send_all(to, messages, || ToWorker::Ping).await {
                let _ = tell.send(error);
            }
        });
        let (mut link, mut bytes, mut watch) = (Some(link), Vec::new(), Watch::default());
        let mut ended = Ok(());
        let mut failed = pin!(failed(untold));
        while ended.is_ok() {
            let received = tokio::select! {
                received = receive_some::<message::ToMaster>(&mut from, &mut bytes) => received,
                error = &mut failed => Err(error),
            };
            ended = match received {
                Ok(Some(messages)) => messages
                    .into_iter()
                    .filter_map(|message| match message {
                        message::ToMaster::Holds(blocks) => {
                            let holds = held(worker, &blocks);
                            let address = Some(address.clone());
                            link.take().map(|link| ToMaster::Joined { worker, slots, link, address, holds })
                        }
                        // It says first what it holds. Whatever else it says is of one that is not here.
                        _ if link.is_some() => None,
                        message::ToMaster::Clock(ms) => {
                            watch.see(
                                worker,
                                &address,
                                Skew { theirs: Time::from_ms(ms), ours: clock::wall() },
                            );
                            None
                        }
                        message => told(worker, message),
                    })
                    .try_for_each(|message| to_master.send(message))
                    .map_err(|_| "the master has stopped".to_owned()),
                Ok(None) => Err("it closed the connection".to_owned()),
                Err(error) => Err(error.to_string()),
            };
        }
        if link.is_none() && to_master.send(ToMaster::Lost { worker }).is_ok() {
            let why = ended.err().unwrap_or_default();
            tracing::info!(%worker, address, %why, "a worker is gone");
        }
        // What is in the queue is still sent, above all that the program is over.
        let _ = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX), writer).await;
    }
}

/// Waits until a worker could not be sent what it was to be told. Whatever it still says, no task reaches it: it is as good
/// as gone.
async fn failed(writer: oneshot::Receiver<WireError>) -> WireError {
    match writer.await {
        Ok(error) => error,
        // Nothing more is to be sent.
        Err(_) => std::future::pending().await,
    }
}

/// What a worker holds when it joins. It has none that cannot be understood: they are of no use.
fn held(worker: WorkerId, blocks: &[Blocks]) -> Vec<BlockId> {
    let blocks = Blocks::long(blocks);
    blocks.inspect_err(|error| tracing::error!(%worker, %error, "what it holds")).unwrap_or_default()
}

/// What became of a copy. Names that cannot be understood are of no copy that was asked for.
fn copied(
    worker: WorkerId,
    blocks: &[Blocks],
    event: impl FnOnce(Vec<BlockId>) -> Event,
) -> Option<ToMaster> {
    let blocks = Blocks::long(blocks);
    let blocks = blocks.inspect_err(|error| tracing::error!(%worker, %error, "blocks that were copied"));
    Some(ToMaster::Event(event(blocks.ok()?)))
}

/// A message of a worker in the words of this process.
fn told(worker: WorkerId, message: message::ToMaster) -> Option<ToMaster> {
    match message {
        message::ToMaster::Holds(_) | message::ToMaster::Ping | message::ToMaster::Clock(_) => None,
        message::ToMaster::Reported(request, report) => Some(ToMaster::Reported { worker, request, report }),
        message::ToMaster::Held(block) => Some(ToMaster::Held { worker, block }),
        message::ToMaster::Copied(blocks) => {
            copied(worker, &blocks, |blocks| Event::BlocksCopied { worker, blocks })
        }
        message::ToMaster::NotCopied(blocks) => {
            copied(worker, &blocks, |blocks| Event::CopyFailed { worker, blocks })
        }
        message::ToMaster::Draining => Some(ToMaster::Draining { worker }),
        message::ToMaster::Read(read) => Some(ToMaster::Event(Event::TasksRead { worker, read })),
        message::ToMaster::Ran(attempt, Err(error)) => {
            Some(ToMaster::Ran { worker, attempt, result: Err(error) })
        }
        message::ToMaster::Ran(attempt, Ok(ran)) => {
            let understood = || -> Result<Outcome, WireError> {
                let Ran { read, combined, fetched_bytes, .. } = ran;
                let (stored, findings) = (Blocks::long(&ran.stored)?, postcard::from_bytes(&ran.findings)?);
                Ok(Outcome {
                    stored,
                    result: ran.result.map(Block::arrived),
                    findings,
                    read,
                    combined,
                    fetched_bytes,
                })
            };
            let result = understood().map_err(|error| {
                TaskError::Internal(format!("what {worker} says of {attempt} cannot be understood: {error}"))
            });
            Some(ToMaster::Ran { worker, attempt, result })
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Shutdown;

    use cutwater_core::{Attempt, StageId};
    use tokio::task::block_in_place;

    use super::*;

    /// Its connection takes nothing more that goes to it, and it says all the time that it is there.
    #[tokio::test(flavor = "multi_thread")]
    async fn failure_3_a_worker_to_which_nothing_can_be_sent_is_lost() {
        const PATIENCE: Duration = Duration::from_secs(30);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let own = listener.accept().await.unwrap().0.into_std().unwrap();
        own.shutdown(Shutdown::Write).unwrap();
        let stream = Channel::Open(TcpStream::from_std(own).unwrap());
        let (says, messages) = mpsc::unbounded_channel();
        says.send(message::ToMaster::Holds(Vec::new())).unwrap();
        tokio::spawn(send_all(peer, messages, || message::ToMaster::Ping));

        let (id, address) = (WorkerId(7), "nowhere".to_owned());
        let (to_master, told) = crossbeam_channel::unbounded();
        let served = async move { Entered { id, slots: 1, address, stream }.serve(&to_master).await };
        let served = tokio::spawn(served);
        let next = || block_in_place(|| told.recv_timeout(PATIENCE).unwrap());
        let ToMaster::Joined { link, .. } = next() else { panic!("it has not joined") };
        link.cancel(Attempt { stage: StageId(1), partition: 0, number: 0 });
        assert!(matches!(next(), ToMaster::Lost { worker } if worker == id));
        served.await.unwrap();
    }
}
