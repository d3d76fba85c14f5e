use std::sync::Arc;

use cutwater_core::{BlockId, TaskError, WorkerId, limits};
use cutwater_wire::{message::ToMaster, names::Blocks};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::{Instant, sleep},
};

use super::{fetch::Fetcher, join::Current};
use crate::{block::BlockStore, runtime::receive::Inbox};

/// Copies blocks that other workers hold to this one, so that there are more who do.
///
/// It must not hold up intervals, least of all when a worker was lost: then there is most to copy and most to make
/// again. So it has connections of its own, copies one thing at a time, and between two pauses for longer than the
/// last took.
///
/// A task on the network thread. If the process dies, the scheduler has others copy what it was to.
pub(super) struct Copier {
    /// Bounded by how many copies the scheduler has on their way at a time.
    to_do: UnboundedSender<Copies>,
}

struct Copies {
    from: WorkerId,
    names: Vec<Blocks>,
    /// Whom to tell: if it is another by then than the one that asked, it has to know what is held here.
    current: Arc<Current>,
}

impl Copier {
    /// One that copies by `fetcher` into `blocks`; `inbox` tells what those of clients consist of.
    pub fn start(fetcher: Arc<Fetcher>, blocks: Arc<BlockStore>, inbox: Arc<Inbox>) -> Self {
        let (to_do, copies) = mpsc::unbounded_channel();
        tokio::spawn(copy_all(copies, fetcher, blocks, inbox));
        Self { to_do }
    }

    pub fn copy(&self, from: WorkerId, names: Vec<Blocks>, current: Arc<Current>) {
        // It ends with this value only.
        let _ = self.to_do.send(Copies { from, names, current });
    }
}

async fn copy_all(
    mut copies: UnboundedReceiver<Copies>,
    fetcher: Arc<Fetcher>,
    blocks: Arc<BlockStore>,
    inbox: Arc<Inbox>,
) {
    let to = (&*blocks, &*inbox);
    while let Some(Copies { from, names, current }) = copies.recv().await {
        for some in together(&names) {
            if copy(&fetcher, to, from, some, &current).await.is_ok() {
                continue;
            }
            // Each by itself, if only some cannot be had.
            for one in some.chunks(1) {
                if let Err(error) = copy(&fetcher, to, from, one, &current).await {
                    tracing::warn!(%from, %error, "a block cannot be copied");
                    current.tell(ToMaster::NotCopied(one.to_vec()));
                }
            }
        }
    }
}

/// What is asked for at once: a received block is large, other things may be tiny.
fn together(names: &[Blocks]) -> impl Iterator<Item = &[Blocks]> {
    const TOGETHER: usize = 16;
    let is_received = |names: &Blocks| matches!(names, Blocks::One(BlockId::Input { .. }));
    let alike = names.chunk_by(move |one, next| !is_received(one) && !is_received(next));
    alike.flat_map(|alike| alike.chunks(TOGETHER))
}

async fn copy(
    fetcher: &Fetcher,
    (blocks, inbox): (&BlockStore, &Inbox),
    from: WorkerId,
    names: &[Blocks],
    current: &Current,
) -> Result<(), TaskError> {
    let began = Instant::now();
    let mut copied = Vec::new();
    for (id, block) in fetcher.ask(from, names.to_vec()).await? {
        blocks.put(id, block);
        copied.push(id);
    }
    inbox.copied(&copied);
    current.tell(ToMaster::Copied(names.to_vec()));
    sleep(began.elapsed() * limits::COPY_PAUSE).await;
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use cutwater_core::{
        ClientId, DatasetId,
        clients::{BatchReport, InputBlock, Receive},
        id::input_sequence,
    };
    use cutwater_wire::{credentials::Credentials, handshake::Secret};
    use tokio::net::TcpListener;

    use super::{
        super::{Served, network_threads, serve},
        *,
    };
    use crate::block::{Batch, Batches, Block};

    #[test]
    fn received_blocks_are_copied_one_by_one_and_others_together() {
        let input = |sequence| Blocks::One(BlockId::Input { source: 0, sequence });
        let made = |map| Blocks::Pieces { dataset: DatasetId(1), map, reduce: 0, count: 4 };
        let names: Vec<_> =
            [input(0), input(1)].into_iter().chain((0..20).map(made)).chain([input(2)]).collect();
        let lengths: Vec<_> = together(&names).map(<[_]>::len).collect();
        assert_eq!(lengths, [1, 1, 16, 4, 1]);
    }

    /// The master counts on it from then on, and whoever has reported it to that one may be lost before the next.
    #[test]
    fn what_is_copied_is_told_of_from_when_it_is_said_that_it_is_held() {
        let (me, other) = (WorkerId(1), WorkerId(2));
        let batch = BatchReport { client: ClientId(9), sequence: 0, records: 1, bytes: 4 };
        let block = InputBlock { source: 0, sequence: input_sequence(other, 0), batches: vec![batch] };
        let (theirs, own) = (Arc::<BlockStore>::default(), Arc::<BlockStore>::default());
        let batches = Batches(vec![Batch::new(batch, Bytes::from_static(b"data"))]);
        theirs.put(block.id(), Block::new(batches));
        let (answers, reports) = crossbeam_channel::unbounded();
        let answer = move |_, report| answers.send(report).unwrap();
        let inbox = Arc::new(Inbox::new(me, own.clone(), answer));
        inbox.receive(Receive::new(0, "s", 100, 1_000));
        network_threads().unwrap().block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            let credentials = Credentials::new(Secret::new().unwrap(), None);
            let inbox_there = Arc::new(Inbox::new(other, theirs.clone(), |_, _| {}));
            tokio::spawn(serve(listener, credentials.clone(), Served::by_master(theirs, inbox_there)));
            let fetcher = Arc::new(Fetcher::new(credentials, &address, limits::FETCH_BYTES_MAX));
            fetcher.note(&[(other, address)]);
            let (to, mut told) = mpsc::unbounded_channel();
            let current = Arc::new(Current::default());
            current.follow(to, || ToMaster::Ping);
            let copier = Copier::start(fetcher, own, inbox.clone());
            copier.copy(other, Blocks::short(&[block.id()]), current);
            while !matches!(told.recv().await.unwrap(), ToMaster::Copied(_)) {}
        });
        inbox.report(1, 0);
        assert_eq!(reports.try_recv().unwrap().blocks, [block]);
    }
}
