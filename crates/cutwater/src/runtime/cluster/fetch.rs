use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use cutwater_core::{BlockId, TaskError, WorkerId, limits};
use cutwater_wire::{
    WireError,
    channel::Channel,
    credentials::Credentials,
    fetched::Fetched,
    frame::{self, Read},
    message::{Fetch, Introduction},
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
    /// Bytes that have been announced and not been handed over.
    bytes: Semaphore,
    bytes_max: usize,
}

type Connection = BufReader<Channel<TcpStream>>;

struct Peer {
    address: String,
    connection: AsyncMutex<Option<Connection>>,
}

impl Fetcher {
    /// Blocks that the master holds are read where the worker has joined it. There is room for `bytes_max` bytes
    /// on their way, of which there are fewer than 2^32.
    pub fn new(credentials: Credentials, master: &str, bytes_max: usize) -> Self {
        let master = Peer { address: master.to_owned(), connection: AsyncMutex::new(None) };
        Self {
            credentials,
            peers: Mutex::new(HashMap::from([(WorkerId::MASTER, Arc::new(master))])),
            requests: Semaphore::new(limits::FETCHES_MAX),
            bytes: Semaphore::new(bytes_max),
            bytes_max,
        }
    }

    /// Another master is joined, there.
    pub fn follow(&self, master: &str) {
        self.note(&[(WorkerId::MASTER, master.to_owned())]);
    }

    pub fn note(&self, addresses: &[(WorkerId, String)]) {
        let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
        peers.extend(addresses.iter().map(|(worker, address)| {
            let address = address.clone();
            (*worker, Arc::new(Peer { address, connection: AsyncMutex::new(None) }))
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
            match self.request(&mut stream, &names, wanted.len()).await {
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
    let executable = identity::executable().map_err(std::io::Error::other)?;
    dial(address, role, credentials, &Introduction::Reader { executable }).await.map(BufReader::new)
}

/// A connection to who accepts such as bear this introduction.
pub(super) async fn dial(
    address: &str,
    role: Role,
    credentials: &Credentials,
    introduction: &Introduction,
) -> Result<Channel<TcpStream>, WireError> {
    let wait = Duration::from_millis(limits::HANDSHAKE_MS_MAX);
    let connected = timeout(wait, async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (stream, ()) = credentials.connect(stream, host_of(address), role, introduction).await?;
        Ok(stream)
    });
    connected.await.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

impl Fetcher {
    /// Asks for blocks and waits for all of them.
    async fn request(
        &self,
        stream: &mut Connection,
        names: &[Blocks],
        wanted: usize,
    ) -> Result<Vec<Option<Bytes>>, WireError> {
        frame::send(stream, &Fetch(names.to_vec())).await?;
        let mut blocks = Vec::new();
        while blocks.len() < wanted {
            let fetched = unless_silent(frame::receive::<Fetched>(stream, frame::MESSAGE_BYTES_MAX)).await?;
            let fetched = fetched.ok_or(WireError::NotCutwater)?;
            if fetched.count() == 0 || blocks.len() + fetched.count() > wanted {
                return Err(WireError::NotCutwater);
            }
            // What there is no room for is not read, so that its sender waits. Whoever has room waits for
            // nobody else, so it will be given back.
            let bytes = fetched.bytes()?.min(self.bytes_max);
            let _room = self.bytes.acquire_many(bytes as u32).await.map_err(std::io::Error::other)?;
            // Memory that grows is memory twice over, all of it to be cleared by the system first.
            let mut payload = Vec::with_capacity(bytes);
            loop {
                match unless_silent(frame::read_frame(stream, frame::MESSAGE_BYTES_MAX, &mut payload)).await?
                {
                    Read::Nothing => return Err(WireError::NotCutwater),
                    Read::Some => {}
                    Read::All => break,
                }
            }
            blocks.extend(fetched.blocks(payload)?);
        }
        Ok(blocks)
    }
}

/// What the other end says, unless it says nothing for too long.
async fn unless_silent<R>(hear: impl Future<Output = Result<R, WireError>>) -> Result<R, WireError> {
    let heard = timeout(Duration::from_millis(limits::SILENCE_MS_MAX), hear).await;
    heard.unwrap_or_else(|_| Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()))
}

#[cfg(test)]
pub(super) mod tests {
    use cutwater_core::DatasetId;
    use cutwater_wire::{compression::Compression, handshake::Secret};
    use tokio::net::TcpListener;

    use super::*;
    use crate::{block::BlockStore, runtime::cluster::serve::answer_all};

    pub const HOLDER: WorkerId = WorkerId(1);

    pub fn piece(reduce: u32) -> BlockId {
        BlockId::Piece { dataset: DatasetId(1), map: 0, reduce }
    }

    /// A worker with `count` blocks, each of the bytes `content`, and who fetches from it.
    pub async fn workers(
        count: u32,
        content: &[u8],
        compression: Compression,
        bytes_max: usize,
    ) -> Arc<Fetcher> {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let blocks = BlockStore::default();
        for reduce in 0..count {
            blocks.put(piece(reduce), Block::new(content.to_vec()));
        }
        let credentials = Credentials::new(Secret::of("of the test"), None);
        let blocks = Arc::new(blocks);
        let secured = credentials.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (secured, blocks) = (secured.clone(), blocks.clone());
                tokio::spawn(async move {
                    let (mut stream, _, accepting) =
                        secured.accept::<_, Introduction>(stream, &[Role::Worker]).await.unwrap();
                    accepting.welcome(&mut stream, &()).await.unwrap();
                    answer_all(stream, &blocks, compression).await
                });
            }
        });
        let fetcher = Arc::new(Fetcher::new(credentials, "", bytes_max));
        fetcher.note(&[(HOLDER, address)]);
        fetcher
    }

    fn all(count: u32) -> ByWorker {
        let pieces = Blocks::Pieces { dataset: DatasetId(1), map: 0, reduce: 0, count };
        ByWorker::from([(HOLDER, vec![pieces])])
    }

    /// Small blocks and large ones, compressed and not, many more bytes than may be on their way at a time.
    #[tokio::test(flavor = "current_thread")]
    async fn more_than_there_is_room_for_arrives_all_the_same() {
        for (count, length) in [(3000, 100), (20, 100_000)] {
            let content: Vec<u8> = (0..length).map(|i| (i / 50 % 251) as u8).collect();
            for compression in [Compression::On, Compression::Off] {
                let fetcher = workers(count, &content, compression, 10_000).await;
                let (one, two) = tokio::join!(fetcher.fetch(all(count)), fetcher.fetch(all(count)));
                for fetched in [one.unwrap(), two.unwrap()] {
                    assert_eq!(fetched.len(), count as usize);
                    assert!(fetched.values().all(|block| block.get::<Vec<u8>>().unwrap() == &content));
                }
                assert_eq!(fetcher.bytes.available_permits(), 10_000, "room is given back");
            }
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_block_that_is_not_there_is_named() {
        let fetcher = workers(3, b"abc", Compression::Auto, 10_000).await;
        let failed = fetcher.fetch(all(4)).await.unwrap_err();
        assert_eq!(failed, TaskError::FetchFailed { block: piece(3), worker: HOLDER });
    }

    /// What is compressed is so on the wire: asked for by hand, fewer bytes come than there are.
    #[tokio::test(flavor = "current_thread")]
    async fn fewer_bytes_travel_if_compression_is_on() {
        for (compression, fewer) in [(Compression::On, true), (Compression::Auto, false)] {
            let fetcher = workers(1, &[7; 100_000], compression, 10_000).await;
            let address = fetcher.peers.lock().unwrap()[&HOLDER].address.clone();
            let mut stream = connect(&address, Role::Worker, &fetcher.credentials).await.unwrap();
            frame::send(&mut stream, &Fetch(vec![Blocks::One(piece(0))])).await.unwrap();
            let fetched: Fetched = frame::receive(&mut stream, 1000).await.unwrap().unwrap();
            let mut payload = Vec::new();
            assert!(frame::read(&mut stream, frame::MESSAGE_BYTES_MAX, &mut payload).await.unwrap());
            assert_eq!(payload.len() < fetched.bytes().unwrap() / 2, fewer, "{compression}");
        }
    }
}
