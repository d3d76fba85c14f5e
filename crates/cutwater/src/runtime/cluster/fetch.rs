use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::{BlockId, TaskError, WorkerId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    frame,
    message::{Fetch, Fetched, Introduction},
    names::Blocks,
    tls::Role,
};
use tokio::{
    io::BufReader,
    net::TcpStream,
    sync::{Mutex as AsyncMutex, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{host_of, identity, wanted::ByWorker};
use crate::{block::Block, task};

/// Brings blocks from other workers: one connection to each, used by one request after the other.
///
/// The network threads of a worker use it. If the process dies, so do its connections.
pub(super) struct Fetcher {
    credentials: Credentials,
    peers: Mutex<HashMap<WorkerId, Arc<Peer>>>,
    /// Requests that are on their way at a time.
    requests: Semaphore,
}

type Connection = BufReader<Channel<TcpStream>>;

struct Peer {
    address: String,
    connection: AsyncMutex<Option<Connection>>,
}

impl Fetcher {
    /// Blocks that the master holds are read where the worker has joined it.
    pub fn new(credentials: Credentials, master: &str) -> Self {
        let master = Peer { address: master.to_owned(), connection: AsyncMutex::new(None) };
        let peers = Mutex::new(HashMap::from([(WorkerId::MASTER, Arc::new(master))]));
        Self { credentials, peers, requests: Semaphore::new(limits::FETCHES_MAX) }
    }

    pub fn note(&self, addresses: Vec<(WorkerId, String)>) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.extend(addresses.into_iter().map(|(worker, address)| {
            (worker, Arc::new(Peer { address, connection: AsyncMutex::new(None) }))
        }));
    }

    /// Everything that is `wanted`, asked of all who have some of it at the same time.
    pub async fn fetch(self: &Arc<Self>, wanted: ByWorker) -> Result<task::Fetched, TaskError> {
        let mut asked = JoinSet::new();
        for (worker, blocks) in wanted {
            let fetcher = self.clone();
            asked.spawn(async move { fetcher.ask(worker, blocks).await });
        }
        let mut fetched = task::Fetched::new();
        while let Some(answer) = asked.join_next().await {
            let answer = answer.map_err(|error| TaskError::Internal(format!("fetching ended: {error}")))?;
            fetched.extend(answer?);
        }
        Ok(fetched)
    }

    /// These blocks of one worker, or what is wrong with the first that cannot be had.
    pub async fn ask(
        &self,
        worker: WorkerId,
        names: Vec<Blocks>,
    ) -> Result<Vec<(BlockId, Block)>, TaskError> {
        let wanted = Blocks::long(&names).map_err(|error| TaskError::Internal(error.to_string()))?;
        let first = wanted.first().copied();
        let failed = |block: Option<BlockId>| match block.or(first) {
            Some(block) => TaskError::FetchFailed { block, worker },
            None => TaskError::Internal("nothing was to be fetched".to_owned()),
        };
        let peer = self.peers.lock().unwrap_or_else(PoisonError::into_inner).get(&worker).cloned();
        let Some(peer) = peer else { return Err(failed(None)) };
        let _permit = self.requests.acquire().await.map_err(|_| failed(None))?;
        let mut connection = peer.connection.lock().await;
        // A connection that broke since it was last used is made anew, once.
        for fresh in [false, true] {
            if fresh || connection.is_none() {
                *connection = match connect(&peer.address, role_of(worker), &self.credentials).await {
                    Ok(stream) => Some(stream),
                    Err(error) => {
                        tracing::warn!(%worker, address = peer.address, %error, "cannot reach a worker");
                        return Err(failed(None));
                    }
                };
            }
            let Some(mut stream) = connection.take() else { continue };
            match request(&mut stream, &names, wanted.len()).await {
                Ok(blocks) => {
                    *connection = Some(stream);
                    return wanted
                        .into_iter()
                        .zip(blocks)
                        .map(|(id, bytes)| Ok((id, Block::arrived(bytes.ok_or_else(|| failed(Some(id)))?))))
                        .collect();
                }
                Err(error) => tracing::debug!(%worker, %error, "reading blocks failed"),
            }
        }
        Err(failed(None))
    }
}

fn role_of(worker: WorkerId) -> Role {
    if worker == WorkerId::MASTER { Role::Master } else { Role::Worker }
}

async fn connect(address: &str, role: Role, credentials: &Credentials) -> Result<Connection, WireError> {
    let wait = Duration::from_millis(limits::HANDSHAKE_MS_MAX);
    let connected = timeout(wait, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let executable = identity::executable().map_err(std::io::Error::other)?;
        let introduction = Introduction::Reader { executable };
        let (stream, ()) = credentials.connect(stream, host_of(address), role, &introduction).await?;
        Ok(BufReader::new(stream))
    });
    connected.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

async fn request(
    stream: &mut Connection,
    names: &[Blocks],
    wanted: usize,
) -> Result<Vec<Option<Vec<u8>>>, WireError> {
    frame::send(stream, &Fetch(names.to_vec())).await?;
    let mut blocks = Vec::with_capacity(wanted);
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    while blocks.len() < wanted {
        let message = timeout(silence, frame::receive::<Fetched>(stream, frame::MESSAGE_BYTES_MAX)).await;
        let message = message.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        let Fetched(some) = message.ok_or(WireError::NotCutwater)?;
        if some.is_empty() || blocks.len() + some.len() > wanted {
            return Err(WireError::NotCutwater);
        }
        blocks.extend(some);
    }
    Ok(blocks)
}
