use std::{io, ops::Bound, sync::Arc, time::Duration};

use cutwater_core::{
    WorkerId,
    clients::{Entry, Holder},
    limits,
};
use cutwater_wire::{
    WireError,
    channel::Channel,
    client::{REPLICA_MESSAGE_BYTES_MAX, ReplicaHead, ToOwner},
    credentials::Credentials,
    frame,
    message::Introduction,
    tls::Role,
};
use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt, BufReader, BufWriter, split},
    net::TcpStream,
    sync::watch,
    time::{sleep, timeout},
};

use super::{Inbox, inbox::Peers};
use crate::runtime::cluster::{host_of, identity};

type Connection = Channel<TcpStream>;

/// Has another worker hold what this one receives: the next by number, and the one after it when that one is
/// gone. It never ends.
///
/// When somebody joins in between it is that one from then on, so that all have as much to hold: those who join one by one
/// would otherwise all have the first of them hold it, and be lost with that one.
pub(crate) async fn replicate(inbox: Arc<Inbox>, credentials: Credentials) {
    let mut peers = inbox.peers();
    let mut turn = inbox.me();
    loop {
        let known = peers.borrow_and_update().clone();
        let nearest = next_to(inbox.me(), &known);
        let next = next_to(turn, &known).and_then(|worker| Some((worker, known.get(&worker)?.clone())));
        let Some((worker, address)) = next else {
            inbox.hand_to(Holder::Alone);
            if peers.changed().await.is_err() {
                return;
            }
            continue;
        };
        inbox.hand_to(Holder::Sought);
        match connect(&address, &credentials, inbox.me()).await {
            Ok(connection) => {
                tracing::info!(me = %inbox.me(), %worker, address, "another worker holds replicas");
                inbox.hand_to(Holder::Peer(worker));
                let ended = tokio::select! {
                    ended = stream(connection, &inbox) => ended,
                    () = is_gone(worker, &mut peers) => Ok(()),
                    () = is_nearer(inbox.me(), nearest, worker, inbox.peers()) => {
                        turn = inbox.me();
                        continue;
                    }
                };
                inbox.hand_to(Holder::Sought);
                let why = ended.err().map(|error| error.to_string()).unwrap_or_default();
                tracing::info!(%worker, address, %why, "a worker holds replicas no longer");
            }
            Err(error) => {
                tracing::warn!(%worker, address, %error, "cannot have a worker hold replicas");
                // Meanwhile we may be told that it is gone.
                tokio::select! {
                    _ = peers.changed() => {}
                    () = sleep(Duration::from_millis(limits::RECONNECT_MS_MIN)) => {}
                }
            }
        }
        turn = worker;
    }
}

/// The next by number after `worker`, and after the highest the lowest.
fn next_to(worker: WorkerId, peers: &Peers) -> Option<WorkerId> {
    let above = peers.range((Bound::Excluded(worker), Bound::Unbounded)).next();
    above.or_else(|| peers.first_key_value()).map(|(next, _)| *next)
}

/// Waits until somebody has joined who is nearer than the one that holds replicas. The nearest that there was when that one
/// was chosen may be out of reach.
async fn is_nearer(
    me: WorkerId,
    nearest: Option<WorkerId>,
    holder: WorkerId,
    mut peers: watch::Receiver<Peers>,
) {
    let has_joined = |peers: &Peers| {
        let next = next_to(me, peers);
        next != nearest && next != Some(holder)
    };
    let _ = peers.wait_for(has_joined).await;
}

async fn is_gone(worker: WorkerId, peers: &mut watch::Receiver<Peers>) {
    // The sender is the inbox's, which is there as long as this runs.
    let _ = peers.wait_for(|peers| !peers.contains_key(&worker)).await;
}

async fn connect(
    address: &str,
    credentials: &Credentials,
    worker: WorkerId,
) -> Result<Connection, WireError> {
    let connected = timeout(Duration::from_millis(limits::HANDSHAKE_MS_MAX), async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let executable = identity::executable().map_err(io::Error::other)?;
        let introduction = Introduction::Receiver { executable, worker };
        let (stream, ()) = credentials.connect(stream, host_of(address), Role::Worker, &introduction).await?;
        Ok(stream)
    });
    connected.await.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut).into()))
}

/// Tells the holder of everything, and hears what it holds, until one of them fails.
async fn stream(connection: Connection, inbox: &Inbox) -> Result<(), WireError> {
    let (from, to) = split(connection);
    tokio::select! {
        ended = tell(BufWriter::with_capacity(limits::GATHER_BYTES, to), inbox) => ended,
        ended = hear(BufReader::new(from), inbox) => ended,
    }
}

async fn tell(mut to: impl AsyncWrite + Unpin, inbox: &Inbox) -> Result<(), WireError> {
    let mut sent = 0;
    loop {
        let Some(entry) = inbox.entry(sent) else {
            to.flush().await?;
            tokio::select! {
                () = inbox.entries.notified() => {}
                () = sleep(Duration::from_millis(limits::PING_MS)) => {
                    frame::send_parts(&mut to, &ReplicaHead::Ping.encode()?, &[]).await?;
                }
            }
            continue;
        };
        sent += 1;
        match entry {
            Entry::Batch { source, block, report, content } => {
                let head = ReplicaHead::Batch { source, block, batch: report }.encode()?;
                frame::send_parts(&mut to, &head, &content).await?;
            }
            Entry::Sealed { source, block } => {
                let head = ReplicaHead::Sealed { source, block }.encode()?;
                frame::send_parts(&mut to, &head, &[]).await?;
            }
        }
    }
}

async fn hear(mut from: impl AsyncRead + Unpin, inbox: &Inbox) -> Result<(), WireError> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    loop {
        let heard = timeout(silence, frame::receive(&mut from, frame::FRAME_BYTES_MAX)).await;
        match heard.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??.ok_or(WireError::NotCutwater)? {
            ToOwner::Held(count) => inbox.held(count),
            ToOwner::Ping => {}
        }
    }
}

/// Holds replicas of what the worker at the other end receives, until it is gone.
pub(crate) async fn serve_receiver(
    connection: Connection,
    owner: WorkerId,
    inbox: &Inbox,
) -> Result<(), WireError> {
    let (from, to) = split(connection);
    let (held, counts) = watch::channel(0);
    tokio::select! {
        ended = hold(BufReader::with_capacity(limits::GATHER_BYTES, from), owner, inbox, &held) => ended,
        ended = count(to, counts) => ended,
    }
}

async fn hold(
    mut from: impl AsyncRead + Unpin,
    owner: WorkerId,
    inbox: &Inbox,
    held: &watch::Sender<u64>,
) -> Result<(), WireError> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    let teller = inbox.connected(owner);
    loop {
        // A batch stays where it was read to.
        let read = frame::read_with(&mut from, REPLICA_MESSAGE_BYTES_MAX, |bytes| inbox.buffers.take(bytes));
        let read = timeout(silence, read).await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
        let Some(message) = read? else { return Ok(()) };
        let (head, begin) = ReplicaHead::split(&message)?;
        let content = inbox.buffers.keep(message).split_off(begin);
        let lost = |_| WireError::Refused(format!("{owner} counts as lost"));
        inbox.replica(&teller, head, content).map_err(lost)?;
        if head != ReplicaHead::Ping {
            held.send_modify(|count| *count += 1);
        }
    }
}

/// Says how much is held, whenever that has changed: not for each entry, if they come quickly.
async fn count(mut to: impl AsyncWrite + Unpin, mut counts: watch::Receiver<u64>) -> Result<(), WireError> {
    loop {
        let told = tokio::select! {
            changed = counts.changed() => match changed {
                Ok(()) => ToOwner::Held(*counts.borrow_and_update()),
                Err(_) => return Ok(()),
            },
            () = sleep(Duration::from_millis(limits::PING_MS)) => ToOwner::Ping,
        };
        frame::send(&mut to, &told).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use cutwater_core::{ClientId, clients::BatchReport, id::input_sequence};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{block::BlockStore, runtime::cluster::network_threads};

    const OWNER: WorkerId = WorkerId(4);

    /// Tells of a batch of a block that is called so.
    async fn tell(to: &mut TcpStream, count: u64) {
        let batch = BatchReport { client: ClientId(9), sequence: count, records: 1, bytes: 4 };
        let head = ReplicaHead::Batch { source: 0, block: input_sequence(OWNER, count), batch };
        frame::send_parts(to, &head.encode().unwrap(), b"data").await.unwrap();
    }

    async fn hear(from: TcpStream, inbox: &Inbox, held: &watch::Sender<u64>) -> Result<(), WireError> {
        hold(BufReader::new(from), OWNER, inbox, held).await
    }

    /// A master has lost the owner, and the next counts on it: what is still on its way is of blocks that were reported.
    #[test]
    fn what_an_owner_said_before_it_was_lost_comes_too_late_although_another_master_counts_on_it() {
        let (answers, reports) = crossbeam_channel::unbounded();
        let answer = move |_, report| answers.send(report).unwrap();
        let inbox = Inbox::new(WorkerId(1), Arc::<BlockStore>::default(), answer);
        let held_of_owner = || {
            inbox.report_replicas(1, OWNER);
            let report: cutwater_core::clients::BlocksReport = reports.try_recv().unwrap();
            report.blocks.iter().map(|block| block.sequence).collect::<Vec<_>>()
        };
        network_threads().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let connected = async || {
                let (to, from) = tokio::join!(TcpStream::connect(address), listener.accept());
                (to.unwrap(), from.unwrap().0)
            };
            let ((mut to, from), (held, mut counts)) = (connected().await, watch::channel(0));
            let mut before = pin!(hear(from, &inbox, &held));
            tell(&mut to, 0).await;
            tokio::select! {
                ended = &mut before => panic!("{ended:?}"),
                counted = counts.wait_for(|count| *count == 1) => drop(counted.unwrap()),
            }
            assert_eq!(held_of_owner(), [input_sequence(OWNER, 0)]);
            inbox.note_peers(&[(OWNER, address.to_string())]);
            tell(&mut to, 1).await;
            tokio::select! {
                ended = &mut before => assert!(matches!(ended, Err(WireError::Refused(_))), "{ended:?}"),
                _ = counts.wait_for(|count| *count == 2) => panic!("it is taken"),
            }
            let ((mut to, from), (held, mut counts)) = (connected().await, watch::channel(0));
            tell(&mut to, 2).await;
            tokio::select! {
                ended = hear(from, &inbox, &held) => panic!("{ended:?}"),
                counted = counts.wait_for(|count| *count == 1) => drop(counted.unwrap()),
            }
            assert_eq!(held_of_owner(), [input_sequence(OWNER, 2)], "it has connected since");
        });
    }
}
