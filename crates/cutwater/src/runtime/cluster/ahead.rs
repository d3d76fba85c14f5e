use std::{
    collections::{BTreeMap, HashMap, HashSet},
    mem,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cutwater_core::{BlockId, DatasetId, TaskError, WorkerId, limits};
use cutwater_wire::names::Blocks;
use tokio::sync::{Notify, Semaphore};

use super::{fetch::Fetcher, wanted::ByWorker};
use crate::{block::Block, task::Fetched};

/// Pieces that are brought before the tasks that read them come.
///
/// Properties:
/// - a piece is a function of its name, so what was brought early is what the task would have been brought,
///   whatever has become of its holder since;
/// - who takes a piece has it, and here it is no longer. What nobody takes goes with its shuffle, with the master
///   that spoke of it, or when a later shuffle needs the room;
/// - what cannot be had is not here, and nobody hears of it: the task that reads it finds out;
/// - tasks come first: their pieces are asked for by themselves unless they are on their way, and what is brought
///   ahead takes few requests at a time, each of a few pieces.
///
/// The thread that hears the master and the network threads touch it. If the process dies, its successor is told
/// anew.
pub(super) struct Ahead {
    held: Mutex<Held>,
    /// Pieces have come, or will not.
    news: Notify,
    requests: Semaphore,
    bytes_max: usize,
}

#[derive(Default)]
struct Held {
    /// The oldest have the lowest names.
    shuffles: BTreeMap<DatasetId, Shuffle>,
    bytes: usize,
}

#[derive(Default)]
struct Shuffle {
    /// By map partition and reduce partition.
    pieces: HashMap<(u32, u32), Piece>,
    /// Reduce partitions whose tasks have come and fetch for themselves.
    came: HashSet<u32>,
}

enum Piece {
    Coming(WorkerId),
    Here(Block),
}

/// What a task reads from other workers.
#[derive(Default)]
pub(super) struct Claim {
    /// What was here.
    fetched: Fetched,
    /// What is on its way, from whom.
    coming: Vec<(BlockId, WorkerId)>,
    /// What is not.
    rest: ByWorker,
}

impl Claim {
    /// All of it, if nothing has to be waited for.
    pub fn complete(self) -> Result<Fetched, Self> {
        if self.coming.is_empty() && self.rest.is_empty() { Ok(self.fetched) } else { Err(self) }
    }
}

impl Ahead {
    /// There is room for `bytes_max` bytes.
    pub fn new(bytes_max: usize) -> Self {
        let requests = Semaphore::new(limits::AHEAD_FETCHES_MAX);
        Self { held: Mutex::default(), news: Notify::new(), requests, bytes_max }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has the pieces of these map partitions for `reduces` brought by who holds them, as far as they are neither
    /// here nor on their way.
    pub fn fetch(
        self: &Arc<Self>,
        fetcher: &Arc<Fetcher>,
        shuffle: DatasetId,
        reduces: Vec<Range<u32>>,
        maps: BTreeMap<WorkerId, Vec<u32>>,
    ) {
        if !is_understood(&reduces) {
            return tracing::error!(%shuffle, "more is to be fetched ahead than there can be");
        }
        self.held().expect(shuffle, &reduces);
        let reduces: Arc<[Range<u32>]> = reduces.into();
        for (holder, maps) in maps {
            let (ahead, fetcher, reduces) = (self.clone(), fetcher.clone(), reduces.clone());
            tokio::spawn(async move { ahead.fetch_from(&fetcher, holder, shuffle, &maps, &reduces).await });
        }
    }

    async fn fetch_from(
        &self,
        fetcher: &Fetcher,
        holder: WorkerId,
        shuffle: DatasetId,
        maps: &[u32],
        reduces: &[Range<u32>],
    ) {
        for maps in maps.chunks(limits::AHEAD_TOGETHER) {
            let Ok(_permit) = self.requests.acquire().await else { return };
            let names = self.held().begin(shuffle, holder, maps, reduces, self.bytes_max);
            if names.is_empty() {
                continue;
            }
            let arrived = fetcher.ask(holder, Blocks::short(&names)).await;
            let failed = arrived.is_err();
            self.held().arrived(&names, arrived.unwrap_or_default(), self.bytes_max);
            self.news.notify_waiters();
            if failed {
                return;
            }
        }
    }

    /// Takes what a task reads, as far as it is here. The task has come, so no more is brought for it.
    pub fn claim(&self, wanted: ByWorker) -> Claim {
        let Held { shuffles, bytes } = &mut *self.held();
        let mut claim = Claim::default();
        for (holder, names) in wanted {
            let mut rest = Vec::new();
            for names in names {
                let Blocks::Pieces { dataset, map, reduce, count } = names else {
                    rest.push(names);
                    continue;
                };
                let Some(shuffle) = shuffles.get_mut(&dataset) else {
                    rest.push(names);
                    continue;
                };
                let mut absent = Vec::new();
                for reduce in reduce..reduce.saturating_add(count) {
                    let block = BlockId::Piece { dataset, map, reduce };
                    shuffle.came.insert(reduce);
                    match shuffle.pieces.get(&(map, reduce)) {
                        Some(Piece::Here(_)) => {
                            claim.fetched.extend(shuffle.take(map, reduce, bytes).map(|it| (block, it)));
                        }
                        // From anybody else it may never come.
                        Some(Piece::Coming(from)) if *from == holder => claim.coming.push((block, holder)),
                        _ => absent.push(block),
                    }
                }
                rest.extend(Blocks::short(&absent));
            }
            if !rest.is_empty() {
                claim.rest.insert(holder, rest);
            }
        }
        claim
    }

    /// All that a task reads: what it was given, what comes, and what it has to ask for itself.
    pub async fn complete(&self, claim: Claim, fetcher: &Arc<Fetcher>) -> Result<Fetched, TaskError> {
        let Claim { mut fetched, coming, rest } = claim;
        fetched.extend(fetcher.fetch(rest).await?);
        let missing = self.wait(coming, &mut fetched).await;
        fetched.extend(fetcher.fetch(missing).await?);
        Ok(fetched)
    }

    /// Waits for what is on its way. Answers what has not come.
    async fn wait(&self, mut coming: Vec<(BlockId, WorkerId)>, fetched: &mut Fetched) -> ByWorker {
        let mut missing = ByWorker::new();
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            // What happens from here on is heard of.
            news.as_mut().enable();
            coming.retain(|(block, holder)| match self.held().look(*block) {
                Look::Coming => true,
                Look::Here(piece) => {
                    fetched.insert(*block, piece);
                    false
                }
                Look::Absent => {
                    missing.entry(*holder).or_default().push(Blocks::One(*block));
                    false
                }
            });
            if coming.is_empty() {
                return missing;
            }
            news.await;
        }
    }

    /// No task will read from these shuffles again.
    pub fn forget(&self, shuffles: &[DatasetId]) {
        let mut held = self.held();
        let gone: Vec<_> = shuffles.iter().map(|shuffle| held.remove(*shuffle)).collect();
        drop(held);
        // Blocks are let go after the lock, since dropping a large one takes a while.
        drop(gone);
        self.news.notify_waiters();
    }

    /// Another master speaks of other things.
    pub fn clear(&self) {
        let gone = mem::take(&mut *self.held());
        drop(gone);
        self.news.notify_waiters();
    }
}

/// Whether as many partitions are meant as a hint may speak of.
fn is_understood(reduces: &[Range<u32>]) -> bool {
    let count = reduces.iter().map(|range| u64::from(range.end.saturating_sub(range.start))).sum::<u64>();
    count <= limits::AHEAD_REDUCES_MAX as u64
}

/// What has become of a piece that was on its way.
enum Look {
    Coming,
    Here(Block),
    Absent,
}

impl Held {
    /// Tasks of these partitions are to come, if others came before them.
    fn expect(&mut self, dataset: DatasetId, reduces: &[Range<u32>]) {
        let came = &mut self.shuffles.entry(dataset).or_default().came;
        came.retain(|reduce| !reduces.iter().any(|range| range.contains(reduce)));
    }

    /// Pieces that are to be asked for now, and count as on their way; none if there is no room, or if their
    /// shuffle is forgotten.
    fn begin(
        &mut self,
        dataset: DatasetId,
        holder: WorkerId,
        maps: &[u32],
        reduces: &[Range<u32>],
        bytes_max: usize,
    ) -> Vec<BlockId> {
        self.make_room(dataset, 0, bytes_max);
        let Some(shuffle) = self.shuffles.get_mut(&dataset) else { return Vec::new() };
        let mut names = Vec::new();
        for map in maps {
            for reduce in reduces.iter().cloned().flatten() {
                let has_room = self.bytes + Piece::COSTS_BYTES <= bytes_max;
                let key = (*map, reduce);
                if has_room && !shuffle.came.contains(&reduce) && !shuffle.pieces.contains_key(&key) {
                    shuffle.pieces.insert(key, Piece::Coming(holder));
                    self.bytes += Piece::COSTS_BYTES;
                    names.push(BlockId::Piece { dataset, map: *map, reduce });
                }
            }
        }
        names
    }

    /// Of what was asked for, this has come.
    fn arrived(&mut self, asked: &[BlockId], arrived: Vec<(BlockId, Block)>, bytes_max: usize) {
        let mut arrived: HashMap<BlockId, Block> = arrived.into_iter().collect();
        for name in asked {
            let BlockId::Piece { dataset, map, reduce } = *name else { continue };
            let came = arrived.remove(name);
            let length = came.as_ref().map_or(0, |block| block.arrived_bytes() as usize);
            let has_room = self.make_room(dataset, length, bytes_max);
            // It may have been forgotten meanwhile, or for want of room.
            let Some(shuffle) = self.shuffles.get_mut(&dataset) else { continue };
            match (shuffle.pieces.get_mut(&(map, reduce)), came) {
                (Some(piece @ Piece::Coming(_)), Some(block)) if has_room => {
                    *piece = Piece::Here(block);
                    self.bytes += length;
                }
                (Some(Piece::Coming(_)), _) => drop(shuffle.take(map, reduce, &mut self.bytes)),
                _ => {}
            }
        }
    }

    /// Lets older shuffles go than that one until there is room for so many bytes more. Says whether there is.
    fn make_room(&mut self, dataset: DatasetId, bytes: usize, bytes_max: usize) -> bool {
        while self.bytes + bytes > bytes_max {
            let Some(oldest) = self.shuffles.keys().next().copied().filter(|oldest| *oldest < dataset) else {
                return false;
            };
            drop(self.remove(oldest));
        }
        true
    }

    fn remove(&mut self, dataset: DatasetId) -> Option<Shuffle> {
        let shuffle = self.shuffles.remove(&dataset)?;
        self.bytes -= shuffle.pieces.values().map(Piece::bytes).sum::<usize>();
        Some(shuffle)
    }

    fn look(&mut self, block: BlockId) -> Look {
        let BlockId::Piece { dataset, map, reduce } = block else { return Look::Absent };
        let Some(shuffle) = self.shuffles.get_mut(&dataset) else { return Look::Absent };
        match shuffle.pieces.get(&(map, reduce)) {
            Some(Piece::Coming(_)) => Look::Coming,
            _ => shuffle.take(map, reduce, &mut self.bytes).map_or(Look::Absent, Look::Here),
        }
    }
}

impl Shuffle {
    /// Takes a piece out, and answers with it if it was here.
    fn take(&mut self, map: u32, reduce: u32, bytes: &mut usize) -> Option<Block> {
        let piece = self.pieces.remove(&(map, reduce))?;
        *bytes -= piece.bytes();
        match piece {
            Piece::Here(block) => Some(block),
            Piece::Coming(_) => None,
        }
    }
}

impl Piece {
    /// What a piece costs besides its content, about.
    const COSTS_BYTES: usize = 128;

    fn bytes(&self) -> usize {
        let content = match self {
            Self::Coming(_) => 0,
            Self::Here(block) => block.arrived_bytes() as usize,
        };
        content + Self::COSTS_BYTES
    }
}

#[cfg(test)]
mod tests {
    use cutwater_wire::compression::Compression;

    use super::*;
    use crate::runtime::cluster::fetch::tests::{HOLDER, piece, workers};

    const SHUFFLE: DatasetId = DatasetId(1);

    /// Pieces of the only map partition there is, as a task reads them.
    fn wanted(reduces: Range<u32>) -> ByWorker {
        let (reduce, count) = (reduces.start, reduces.end - reduces.start);
        ByWorker::from([(HOLDER, vec![Blocks::Pieces { dataset: SHUFFLE, map: 0, reduce, count }])])
    }

    fn one(range: Range<u32>) -> [Range<u32>; 1] {
        [range]
    }

    fn one_map() -> BTreeMap<WorkerId, Vec<u32>> {
        BTreeMap::from([(HOLDER, vec![0])])
    }

    fn here(ahead: &Ahead, shuffle: DatasetId) -> usize {
        let held = ahead.held();
        let pieces = held.shuffles.get(&shuffle).map(|shuffle| shuffle.pieces.values());
        pieces.into_iter().flatten().filter(|piece| matches!(piece, Piece::Here(_))).count()
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_task_takes_what_was_brought_and_asks_for_the_rest() {
        let fetcher = workers(4, b"abc", Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(10_000));
        ahead.fetch(&fetcher, SHUFFLE, one(0..2).into(), one_map());
        while here(&ahead, SHUFFLE) < 2 {
            tokio::task::yield_now().await;
        }
        let Err(claim) = ahead.claim(wanted(1..4)).complete() else { panic!("two pieces are not here") };
        assert_eq!(claim.fetched.keys().collect::<Vec<_>>(), [&piece(1)]);
        assert_eq!(claim.rest, wanted(2..4));
        let fetched = ahead.complete(claim, &fetcher).await.unwrap();
        assert_eq!(fetched.len(), 3);
        assert!(fetched.values().all(|block| block.arrived_bytes() == 4));
        // What was taken is asked for by whoever wants it again; what was not is here.
        assert!(ahead.claim(wanted(0..1)).complete().is_ok());
        assert_eq!(ahead.claim(wanted(0..2)).rest, wanted(0..2));
        assert_eq!(ahead.held().bytes, 0, "room is given back");
    }

    /// The task comes before what was asked for has come, and then nothing more is brought for it.
    #[tokio::test(flavor = "current_thread")]
    async fn a_task_waits_for_what_is_on_its_way_and_not_for_what_others_were_to_send() {
        let fetcher = workers(2, b"abc", Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(10_000));
        ahead.held().expect(SHUFFLE, &one(0..2));
        let names = ahead.held().begin(SHUFFLE, HOLDER, &[0], &one(0..1), 10_000);
        let claim = ahead.claim(wanted(0..2));
        assert_eq!((claim.coming.as_slice(), &claim.rest), (&[(piece(0), HOLDER)][..], &wanted(1..2)));
        assert!(ahead.held().begin(SHUFFLE, HOLDER, &[0], &one(0..2), 10_000).is_empty(), "it has come");
        let waits = ahead.complete(claim, &fetcher);
        let arrives = async {
            tokio::task::yield_now().await;
            ahead.held().arrived(&names, vec![(piece(0), Block::arrived(vec![7].into()))], 10_000);
            ahead.news.notify_waiters();
        };
        let (fetched, ()) = tokio::join!(waits, arrives);
        assert_eq!(fetched.unwrap()[&piece(0)].arrived_bytes(), 1, "what came was taken");

        let ahead = Arc::new(Ahead::new(10_000));
        ahead.held().expect(SHUFFLE, &one(0..2));
        let names = ahead.held().begin(SHUFFLE, WorkerId(9), &[0], &one(0..2), 10_000);
        let claim = ahead.claim(wanted(0..1));
        assert_eq!(claim.rest, wanted(0..1), "another holds it now");
        assert_eq!(ahead.complete(claim, &fetcher).await.unwrap().len(), 1);
        // That one has nothing. Whoever waited would ask for itself.
        ahead.held().arrived(&names, Vec::new(), 10_000);
        assert_eq!(ahead.held().bytes, 0);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_cannot_be_had_fails_the_task_that_reads_it_and_nobody_else() {
        let fetcher = workers(1, b"abc", Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(10_000));
        ahead.held().expect(SHUFFLE, &one(0..2));
        ahead.fetch_from(&fetcher, HOLDER, SHUFFLE, &[0], &one(0..2)).await;
        ahead.fetch_from(&fetcher, WorkerId(7), SHUFFLE, &[1], &one(0..2)).await;
        assert_eq!((here(&ahead, SHUFFLE), ahead.held().bytes), (0, 0));
        let failed = ahead.complete(ahead.claim(wanted(0..2)), &fetcher).await.unwrap_err();
        assert_eq!(failed, TaskError::FetchFailed { block: piece(1), worker: HOLDER });
    }

    #[tokio::test(flavor = "current_thread")]
    async fn older_shuffles_make_room_and_what_there_is_no_room_for_is_left() {
        let fetcher = workers(4, &[7; 1000], Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(2_500));
        let older = DatasetId(0);
        ahead.held().expect(older, &one(0..1));
        let piece = BlockId::Piece { dataset: older, map: 0, reduce: 0 };
        let names = ahead.held().begin(older, HOLDER, &[0], &one(0..1), 2_500);
        ahead.held().arrived(&names, vec![(piece, Block::arrived(vec![0; 1_000].into()))], 2_500);
        assert_eq!((names.as_slice(), here(&ahead, older)), (&[piece][..], 1));
        ahead.held().expect(SHUFFLE, &one(0..4));
        ahead.fetch_from(&fetcher, HOLDER, SHUFFLE, &[0], &one(0..4)).await;
        assert_eq!((here(&ahead, older), here(&ahead, SHUFFLE)), (0, 2));
        assert!(ahead.held().bytes <= 2_500);
        assert_eq!(ahead.complete(ahead.claim(wanted(0..4)), &fetcher).await.unwrap().len(), 4);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_arrives_after_it_was_forgotten_is_not_kept() {
        let fetcher = workers(2, b"abc", Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(10_000));
        for forget in [|ahead: &Ahead| ahead.forget(&[SHUFFLE]), Ahead::clear] {
            ahead.held().expect(SHUFFLE, &one(0..2));
            let names = ahead.held().begin(SHUFFLE, HOLDER, &[0], &one(0..2), 10_000);
            let claim = ahead.claim(wanted(0..1));
            forget(&ahead);
            ahead.held().arrived(&names, vec![(piece(0), Block::arrived(vec![7].into()))], 10_000);
            assert!(ahead.held().shuffles.is_empty());
            assert_eq!(ahead.held().bytes, 0);
            // Whoever waited for it asks.
            let fetched = ahead.complete(claim, &fetcher).await.unwrap();
            assert_eq!(fetched[&piece(0)].arrived_bytes(), 4);
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_word_about_more_than_there_can_be_is_refused_before_it_costs_memory() {
        let fetcher = workers(1, b"abc", Compression::Off, 10_000).await;
        let ahead = Arc::new(Ahead::new(10_000));
        for reduces in [one(0..u32::MAX).into(), vec![0..4_000; 1_000], vec![0..4_000, 1_000_000..1_000_097]]
        {
            ahead.fetch(&fetcher, SHUFFLE, reduces, one_map());
            assert!(ahead.held().shuffles.is_empty());
        }
    }
}
