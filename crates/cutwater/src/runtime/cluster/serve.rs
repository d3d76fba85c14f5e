use std::{net::SocketAddr, sync::Arc, time::Duration};

use cutwater_core::{BlockId, ClientId, WorkerId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    compression::Compression,
    credentials::Credentials,
    fetched::Fetched,
    frame,
    handshake::Accepting,
    message::{Fetch, Introduction},
    names::Blocks,
    tls::Role,
};
use tokio::{
    io::{AsyncWriteExt, BufReader, BufWriter, split},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::spawn_blocking,
    time::sleep,
};

use super::{handshakes::Handshakes, identity};
use crate::{
    block::{BlockStore, Parts},
    runtime::receive::{Inbox, serve_client, serve_http, serve_receiver, speaks_http},
};

/// Who comes to a worker's door, and for what.
#[derive(Clone)]
pub(crate) struct Served {
    /// What others come for, if the worker has a part in the program.
    pub part: Option<Part>,
    /// Where masters say that they have taken the program over.
    pub takeovers: watch::Sender<Option<Takeover>>,
}

/// What a worker has that others come for.
#[derive(Clone)]
pub(crate) struct Part {
    /// Blocks that other workers read.
    pub blocks: Arc<BlockStore>,
    /// Where clients bring records, and other workers what they have received.
    pub inbox: Arc<Inbox>,
    /// Whether blocks are compressed for who reads them.
    pub compression: Compression,
}

impl Served {
    /// In the master's own process nobody else can be its master.
    pub fn by_master(blocks: Arc<BlockStore>, inbox: Arc<Inbox>) -> Self {
        let part = Part { blocks, inbox, compression: Compression::Off };
        Self { part: Some(part), takeovers: watch::channel(None).0 }
    }
}

/// The role that whoever introduces itself so has to have: who may send records may not therefore read blocks, nor
/// the other way.
pub(super) fn role_for(introduction: &Introduction) -> Role {
    match introduction {
        Introduction::Client { .. } => Role::Client,
        _ => Role::Worker,
    }
}

/// Lets other workers of the run, and clients, in at this worker's door.
pub(crate) async fn serve(listener: TcpListener, credentials: Credentials, served: Served) {
    let handshakes = Handshakes::default();
    let clients = Arc::new(Semaphore::new(limits::CLIENT_CONNECTIONS_MAX));
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                let (credentials, served, clients) = (credentials.clone(), served.clone(), clients.clone());
                let handshakes = handshakes.clone();
                tokio::spawn(async move {
                    let served = match handshakes.run(enter(stream, &credentials)).await {
                        Ok(Ok(entered)) => entered.serve(&served, &clients, &credentials).await,
                        Ok(Err(error)) => Err(error),
                        Err(why) => return tracing::warn!(%peer, "{why}"),
                    };
                    if let Err(error) = served {
                        log_end(peer, &error);
                    }
                });
            }
            Err(error) => {
                tracing::error!(%error, "cannot accept a connection");
                sleep(Duration::from_millis(limits::ACCEPT_RETRY_MS)).await;
            }
        }
    }
}

fn log_end(peer: SocketAddr, error: &WireError) {
    match error {
        // A reader that is gone is the master's business.
        WireError::Io(error) => tracing::debug!(%peer, %error, "a connection is gone"),
        other => tracing::warn!(%peer, error = %other, "refused a connection"),
    }
}

/// A master that has taken the program over.
#[derive(Clone, Debug)]
pub(crate) struct Takeover {
    pub epoch: u64,
    /// Where it is joined.
    pub master: String,
}

impl Takeover {
    /// Takes the place of one that was known, if that is of an earlier epoch.
    fn replaces(self, known: &mut Option<Self>) -> bool {
        let is_later = known.as_ref().is_none_or(|known| known.epoch < self.epoch);
        if is_later {
            *known = Some(self);
        }
        is_later
    }
}

/// Who is behind the door.
enum Entered {
    /// Somebody with requests of HTTP, who proves itself in each.
    Http(Channel<TcpStream>),
    /// A master that wants to be joined.
    Master(Takeover),
    /// Another worker, or the master, that reads blocks.
    Reader(Channel<TcpStream>),
    /// Another worker, of which this one is to hold replicas.
    Receiver(WorkerId, Channel<TcpStream>),
    /// Somebody who wanted to know whether this worker answers, and has heard.
    Nobody,
    /// A client, which was not answered yet.
    Client { client: ClientId, source: String, stream: Channel<TcpStream>, accepting: Accepting },
}

async fn enter(stream: TcpStream, credentials: &Credentials) -> Result<Entered, WireError> {
    stream.set_nodelay(true)?;
    let mut stream = credentials.open(stream).await?;
    if speaks_http(&mut stream).await? {
        return Ok(Entered::Http(stream));
    }
    let roles = [Role::Worker, Role::Client];
    let (mut stream, introduction, accepting) = credentials.hear(stream, &roles).await?;
    let own = identity::executable().ok();
    if let Some(why) = credentials.wrong_role(&stream, &[role_for(&introduction)]) {
        accepting.refuse(&mut stream, &why).await?;
        return Err(WireError::Certificate(why));
    }
    match introduction {
        Introduction::Client { client, source } => Ok(Entered::Client { client, source, stream, accepting }),
        Introduction::Reader { executable } if Some(executable) == own => {
            accepting.welcome(&mut stream, &()).await?;
            Ok(Entered::Reader(stream))
        }
        Introduction::Receiver { executable, worker } if Some(executable) == own => {
            accepting.welcome(&mut stream, &()).await?;
            Ok(Entered::Receiver(worker, stream))
        }
        Introduction::Probe => {
            accepting.welcome(&mut stream, &()).await?;
            Ok(Entered::Nobody)
        }
        // It hands nothing over: whoever answers where it leads to has to prove that it is a master.
        Introduction::Takeover { executable, epoch, master } if Some(executable) == own => {
            accepting.welcome(&mut stream, &()).await?;
            Ok(Entered::Master(Takeover { epoch, master }))
        }
        _ => {
            let why = "blocks are for workers of the same run";
            accepting.refuse(&mut stream, why).await?;
            Err(WireError::Refused(why.to_owned()))
        }
    }
}

impl Entered {
    async fn serve(
        self,
        served: &Served,
        clients: &Semaphore,
        credentials: &Credentials,
    ) -> Result<(), WireError> {
        if let Self::Master(takeover) = self {
            served.takeovers.send_if_modified(|known| takeover.replaces(known));
            return Ok(());
        }
        // Whoever comes too early looks elsewhere, as if nobody listened.
        let Some(Part { blocks, inbox, compression }) = &served.part else { return Ok(()) };
        match self {
            Self::Http(stream) => match clients.try_acquire() {
                Ok(_permit) => Ok(serve_http(stream, credentials, inbox).await?),
                Err(_) => Err(std::io::Error::other("too many clients are connected").into()),
            },
            Self::Reader(stream) => answer_all(stream, blocks, *compression).await,
            Self::Receiver(worker, stream) => serve_receiver(stream, worker, inbox).await,
            Self::Master(_) | Self::Nobody => Ok(()),
            Self::Client { client, source, mut stream, accepting } => match clients.try_acquire() {
                Ok(_permit) => serve_client(stream, accepting, (client, &source), inbox).await,
                Err(_) => {
                    let why = format!("{} clients are connected", limits::CLIENT_CONNECTIONS_MAX);
                    accepting.refuse(&mut stream, &format!("{why} here; try another worker")).await
                }
            },
        }
    }
}

/// Answers each request with its blocks in order, in as many messages as it takes: small blocks
/// together, so that they share a frame, large ones alone, so that only one is in memory as bytes.
pub(super) async fn answer_all(
    stream: Channel<TcpStream>,
    blocks: &Arc<BlockStore>,
    compression: Compression,
) -> Result<(), WireError> {
    let may_compress = compression.applies(is_same_machine(stream.get_ref())?);
    let (from, to) = split(stream);
    let (mut from, mut to) = (BufReader::new(from), BufWriter::new(to));
    while let Some(Fetch(names)) = frame::receive::<Fetch>(&mut from, frame::MESSAGE_BYTES_MAX).await? {
        let mut rest = Blocks::long(&names)?;
        while !rest.is_empty() {
            let blocks = blocks.clone();
            // Turning records into bytes is work, and must not hold up other connections.
            let gathered = spawn_blocking(move || {
                let (lengths, parts) = gather(&rest, &blocks);
                let left = rest.split_off(lengths.len());
                (Fetched::new(lengths, parts.finish(), may_compress), left)
            });
            let ((fetched, payload), left) = gathered.await.map_err(std::io::Error::other)?;
            frame::write(&mut to, &[postcard::to_allocvec(&fetched)?]).await?;
            frame::write(&mut to, &payload).await?;
            to.flush().await?;
            rest = left;
        }
    }
    Ok(())
}

fn is_same_machine(stream: &TcpStream) -> std::io::Result<bool> {
    let (here, there) = (stream.local_addr()?.ip(), stream.peer_addr()?.ip());
    Ok(there.is_loopback() || here == there)
}

/// The first of the wanted blocks, as many as go into one message: how long each is, and their bytes.
fn gather(wanted: &[BlockId], blocks: &BlockStore) -> (Vec<Option<u32>>, Parts) {
    let (mut lengths, mut bytes) = (Vec::new(), Parts::default());
    for id in wanted {
        let before = bytes.len();
        // A block that cannot be turned into bytes is as good as none; whoever wants it makes it anew
        // and meets the error in its own name.
        let block = blocks.get(*id).and_then(|block| {
            let appended = block.append_to(&mut bytes);
            appended.inspect_err(|error| tracing::error!(block = %id, %error, "cannot be sent")).ok()
        });
        match block.map(u32::try_from) {
            Some(Ok(length)) if bytes.len() <= limits::MESSAGE_BYTES_MAX => lengths.push(Some(length)),
            Some(_) if lengths.is_empty() => {
                let max = limits::MESSAGE_BYTES_MAX;
                tracing::error!(block = %id, "a block of more than {max} bytes cannot be sent");
                bytes.truncate(0);
                lengths.push(None);
            }
            // Alone it may be sent, with the next message.
            Some(_) => {
                bytes.truncate(before);
                break;
            }
            None => lengths.push(None),
        }
        if bytes.len() >= limits::GATHER_BYTES {
            break;
        }
    }
    (lengths, bytes)
}
