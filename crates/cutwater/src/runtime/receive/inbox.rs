use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use cutwater_core::{
    BlockId, ClientId, WorkerId,
    clients::{
        BatchReport, BlocksReport, Entry, Held, Holder, InputBlock, Kept, Numbered, Own, OwnerLost, Ready,
        Receive, Refused, Replicas, Settled, Teller,
    },
};
use cutwater_wire::client::{ReplicaHead, new_client};
use tokio::sync::{Notify, watch};

use super::buffers::Buffers;
use crate::block::{Batch, Batches, Block, BlockStore};

/// What a worker has received from clients, and replicas of what others have.
///
/// Properties:
/// - it holds as much as the master has said for each source; then clients wait, and with them whoever sends;
/// - a batch is acknowledged when another worker holds it too, unless there is no other;
/// - each block is reported to the master once, here or, if this worker is lost, by the other; and to another master by
///   whoever holds it.
///
/// Connections put in and wait on the network thread; whoever hears the master asks for reports. If the process
/// dies, everything acknowledged is held elsewhere, and clients send the rest to others.
pub(crate) struct Inbox {
    me: WorkerId,
    blocks: Arc<BlockStore>,
    /// What batches are read into.
    pub(super) buffers: Arc<Buffers>,
    own: Mutex<Own<Bytes>>,
    replicas: Mutex<Replicas<Bytes>>,
    /// Reports to the master.
    answer: Box<Answer>,
    /// The ticket up to which batches are safe.
    acknowledged: watch::Sender<u64>,
    /// Some source has room again, or takes no more.
    room: watch::Sender<()>,
    peers: watch::Sender<Peers>,
    /// There are entries for the holder of replicas.
    pub(super) entries: Notify,
    began: Instant,
    /// In whose name records are taken that come without one.
    nobody: Mutex<Nobody>,
}

/// A client of this worker's own, with the next number for each source.
#[derive(Default)]
struct Nobody {
    id: Option<ClientId>,
    next: BTreeMap<u32, u64>,
}

/// What a worker holds that clients were told is safe, whoever has received it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Keeps {
    pub blocks: usize,
    /// In blocks that take more, or are not reported.
    pub batches: usize,
}

impl Keeps {
    pub fn is_any(&self) -> bool {
        (self.blocks, self.batches) != (0, 0)
    }
}

/// Tells the master the answer to a request.
type Answer = dyn Fn(u64, BlocksReport) + Send + Sync;

/// Where the other workers are.
pub(super) type Peers = Arc<BTreeMap<WorkerId, String>>;

impl Inbox {
    pub fn new(
        me: WorkerId,
        blocks: Arc<BlockStore>,
        answer: impl Fn(u64, BlocksReport) + Send + Sync + 'static,
    ) -> Self {
        Self::of(me, Own::new(me), blocks, answer)
    }

    /// That of a worker which is called `me` from now on, and has what it had under another name.
    pub fn again(
        me: WorkerId,
        kept: Kept<Bytes>,
        blocks: Arc<BlockStore>,
        answer: impl Fn(u64, BlocksReport) + Send + Sync + 'static,
    ) -> Self {
        let (own, readable) = kept.named(me);
        let inbox = Self::of(me, own, blocks, answer);
        readable.into_iter().for_each(|(id, batches)| inbox.store(id, batches));
        inbox
    }

    fn of(
        me: WorkerId,
        own: Own<Bytes>,
        blocks: Arc<BlockStore>,
        answer: impl Fn(u64, BlocksReport) + Send + Sync + 'static,
    ) -> Self {
        Self {
            me,
            blocks,
            buffers: Arc::default(),
            own: Mutex::new(own),
            replicas: Mutex::default(),
            answer: Box::new(answer),
            acknowledged: watch::Sender::new(0),
            room: watch::Sender::new(()),
            peers: watch::Sender::default(),
            entries: Notify::new(),
            began: Instant::now(),
            nobody: Mutex::default(),
        }
    }

    /// What a master may need that this worker holds.
    pub fn keeps(&self) -> Keeps {
        let own = self.own();
        let of_clients = |id: &BlockId| matches!(id, BlockId::Input { source, .. } if own.is_source(*source));
        let blocks = self.blocks.names().into_iter().filter(of_clients).count();
        let batches = own.batches().count();
        drop(own);
        Keeps { blocks, batches: batches + self.replicas().batches().count() }
    }

    pub fn me(&self) -> WorkerId {
        self.me
    }

    /// What it has received that is in no block yet which can be read.
    pub fn kept(&self) -> Kept<Bytes> {
        Kept::of(&self.own(), &self.replicas())
    }

    /// A source takes records from now on, or takes them otherwise than before.
    pub fn receive(&self, receive: Receive) {
        let mut own = self.own();
        if own.source_named(&receive.name).is_none() && own.holder() == Holder::Alone {
            tracing::info!(
                source = receive.name,
                "there is no other worker: records are acknowledged when this one holds them"
            );
        }
        own.receive(receive);
        drop(own);
        self.room.send_replace(());
    }

    /// The master asks for the blocks of a source.
    pub fn report(&self, request: u64, source: u32) {
        let mut own = self.own();
        own.request(request, source);
        self.settle(own);
        self.entries.notify_one();
    }

    /// Another master asks from now on.
    pub fn begin_anew(&self) {
        self.own().begin_anew();
    }

    /// That worker is lost; the master asks for the replicas of its blocks.
    pub fn report_replicas(&self, request: u64, owner: WorkerId) {
        let (report, sealed) = self.replicas().report(owner);
        sealed.into_iter().for_each(|(id, batches)| self.store(id, batches));
        self.peers.send_modify(|peers| {
            Arc::make_mut(peers).remove(&owner);
        });
        (self.answer)(request, report);
    }

    pub fn settled(&self, source: u32, through: u64, keep: &[u64], again: &[u64]) {
        let Settled { useless, counted_on } = self.replicas().settled(source, through, keep, again);
        self.own().copied(&counted_on);
        self.blocks.remove(&useless);
    }

    /// Makes a block from batches that are held in others; answers with its name if all are.
    pub fn make(&self, source: u32, sequence: u64, batches: &[Numbered]) -> Option<BlockId> {
        let named = |batch: &Batch| (batch.report.client, batch.report.sequence);
        let wanted: BTreeSet<Numbered> = batches.iter().copied().collect();
        let mut found = BTreeMap::new();
        let of_source = |id: &BlockId| matches!(id, BlockId::Input { source: of, .. } if *of == source);
        for id in self.blocks.names().into_iter().filter(of_source) {
            let Some(block) = self.blocks.get(id) else { continue };
            // Most are of other batches, and are not taken apart.
            let reports = Batches::reports(&block).unwrap_or_default();
            if reports.iter().any(|report| wanted.contains(&(report.client, report.sequence)))
                && let Ok(Batches(batches)) = block.get()
            {
                let some = batches.iter().filter(|batch| wanted.contains(&named(batch)));
                found.extend(some.map(|batch| (named(batch), batch.clone())));
            }
        }
        let made: Option<Vec<Batch>> = batches.iter().map(|batch| found.get(batch).cloned()).collect();
        let id = BlockId::Input { source, sequence };
        self.blocks.put(id, Block::new(Batches(made?)));
        Some(id)
    }

    /// A master is told that these are held here.
    pub fn told(&self, held: &[BlockId]) {
        self.replicas().told(held);
    }

    /// These were copied here.
    pub fn copied(&self, blocks: &[BlockId]) {
        self.own().copied(blocks);
    }

    pub fn note_peers(&self, addresses: &[(WorkerId, String)]) {
        if addresses.is_empty() {
            return;
        }
        let mut own = self.own();
        if own.holder() == Holder::Alone {
            // From the first moment on nothing is acknowledged that only we hold.
            own.hand_to(Holder::Sought);
        }
        drop(own);
        self.replicas().are_there(addresses.iter().map(|(worker, _)| *worker));
        self.peers.send_modify(|peers| Arc::make_mut(peers).extend(addresses.iter().cloned()));
    }

    pub(super) fn peers(&self) -> watch::Receiver<Peers> {
        self.peers.subscribe()
    }

    /// Which source a client means.
    pub(super) fn source_named(&self, name: &str) -> Result<u32, String> {
        let own = self.own();
        own.source_named(name).ok_or_else(|| match own.names() {
            names if names.is_empty() => "no source takes records from clients yet".to_owned(),
            names => format!("no source is called {name:?}; those that take records are {names:?}"),
        })
    }

    /// Waits until there is room for a batch.
    pub(super) async fn has_room(&self, source: u32) -> Result<(), Refused> {
        let mut changed = self.room.subscribe();
        let mut waited = false;
        loop {
            {
                let mut own = self.own();
                if own.has_room(source)? {
                    return Ok(());
                }
                if !std::mem::replace(&mut waited, true) {
                    own.deferred(source);
                }
            }
            // The sender is our own, so it is there.
            let _ = changed.changed().await;
        }
    }

    /// Whether there is room at this moment.
    pub(super) fn has_room_now(&self, source: u32) -> Result<bool, Refused> {
        self.own().has_room(source)
    }

    /// Takes a batch; answers with the ticket that has to be safe before it is acknowledged.
    pub(super) fn put(&self, source: u32, batch: BatchReport, content: Bytes) -> Result<u64, Refused> {
        let mut own = self.own();
        let ticket = own.put(source, batch, content, self.now_ms())?;
        self.settle(own);
        self.entries.notify_one();
        Ok(ticket)
    }

    /// The same for records that come without the name of a client.
    pub(super) fn put_nobodys(&self, source: u32, records: u32, content: Bytes) -> Result<u64, Refused> {
        let mut nobody = self.nobody.lock().unwrap_or_else(PoisonError::into_inner);
        let client = match nobody.id {
            Some(id) => id,
            // Without random numbers nobody could prove anything here either.
            None => *nobody.id.insert(new_client().map_err(|_| Refused::Closed)?),
        };
        let next = nobody.next.entry(source).or_default();
        // No body is longer than `BATCH_BYTES_MAX`, so nothing is cut off.
        let batch = BatchReport { client, sequence: *next, records, bytes: content.len() as u32 };
        let ticket = self.put(source, batch, content)?;
        *next += 1;
        Ok(ticket)
    }

    pub(super) fn acknowledged(&self) -> watch::Receiver<u64> {
        self.acknowledged.subscribe()
    }

    /// From now on that worker, or nobody, holds replicas.
    pub(super) fn hand_to(&self, holder: Holder) {
        let mut own = self.own();
        if own.holder() != holder || holder != Holder::Sought {
            own.hand_to(holder);
        }
        self.settle(own);
    }

    pub(super) fn entry(&self, sent: u64) -> Option<Entry<Bytes>> {
        self.own().entry(sent)
    }

    pub(super) fn held(&self, count: u64) {
        let mut own = self.own();
        own.held(count);
        self.settle(own);
    }

    /// Another worker is going to tell us what it has received.
    pub(super) fn connected(&self, owner: WorkerId) -> Teller {
        self.replicas().connected(owner)
    }

    /// What it has received and tells us of.
    pub(super) fn replica(
        &self,
        teller: &Teller,
        head: ReplicaHead,
        content: Bytes,
    ) -> Result<(), OwnerLost> {
        match head {
            ReplicaHead::Batch { source, block, batch } => {
                self.replicas().put(teller, source, block, (batch, content))
            }
            ReplicaHead::Sealed { source, block } => {
                let sealed = self.replicas().seal(teller, source, block)?;
                sealed.into_iter().for_each(|(id, batches)| self.store(id, batches));
                Ok(())
            }
            ReplicaHead::Ping => Ok(()),
        }
    }

    /// Says whatever there is to say after something has changed.
    fn settle(&self, mut own: MutexGuard<'_, Own<Bytes>>) {
        let (ready, acknowledged) =
            (own.ready(|source, only| self.readable(source, only)), own.acknowledged());
        let has_room = !ready.is_empty();
        for Ready { request, report, blocks } in ready {
            blocks.into_iter().for_each(|(id, batches)| self.store(id, batches));
            (self.answer)(request, report);
        }
        // Not before: another master may begin meanwhile, whose requests have the same numbers, and to which blocks that
        // are neither here nor there are lost.
        drop(own);
        if has_room {
            self.room.send_replace(());
        }
        self.acknowledged.send_if_modified(|before| {
            let more = acknowledged > *before;
            *before = acknowledged.max(*before);
            more
        });
    }

    /// What can be read here of a source, whoever has received it, unless its receiver is yet to report it; if `only` some
    /// are asked for, those of them.
    fn readable(&self, of: u32, only: Option<&BTreeSet<BlockId>>) -> Held {
        let replicas = self.replicas();
        let names = only.map_or_else(|| self.blocks.names(), |only| only.iter().copied().collect());
        let held = names.into_iter().filter_map(|id| match id {
            BlockId::Input { source, sequence }
                if source == of && !replicas.awaits_report(source, sequence) =>
            {
                let batches = Batches::reports(&self.blocks.get(id)?).ok()?;
                Some(InputBlock { source, sequence, batches })
            }
            _ => None,
        });
        Held { blocks: held.collect(), owners: replicas.owners().into_iter().collect() }
    }

    /// The block can be read from now on.
    fn store(&self, id: BlockId, batches: Vec<(BatchReport, Bytes)>) {
        let batch = |(report, content): (BatchReport, Bytes)| Batch::new(report, content);
        self.blocks.put(id, Block::new(Batches(batches.into_iter().map(batch).collect())));
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn own(&self) -> MutexGuard<'_, Own<Bytes>> {
        // Every change is complete before the lock is let go, so a panic elsewhere spoils nothing.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn replicas(&self) -> MutexGuard<'_, Replicas<Bytes>> {
        self.replicas.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Inbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Inbox({})", self.me)
    }
}

#[cfg(test)]
mod tests;
