use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{BlockId, WorkerId, id::input_sequence, limits};

use super::{BatchReport, BlocksReport, InputBlock, Receive};

/// The blocks that this worker fills with what clients send, until they are reported.
///
/// Properties:
/// - everything that happens to them has a *ticket*, counted from 1: a batch that is put in, a block that is
///   closed. In this order it is told to the worker that holds replicas, if there is to be one;
/// - a batch is acknowledged once that worker holds everything up to its ticket;
/// - when another worker takes over the replicas, it is told of all that is not reported, and blocks get new
///   names: those of the worker before may lack their ends;
/// - blocks are reported once, whole, when the other worker holds all of them. Whatever is not reported is reported
///   by that worker if this one is lost.
///
/// If the process dies, all that was acknowledged is held by the other worker.
///
/// ```
/// use cutwater_core::{ClientId, WorkerId, clients::{BatchReport, Holder, Own, Receive}};
///
/// let mut own = Own::new(WorkerId(1));
/// own.receive(Receive::new(0, "clicks", 100, 1_000));
/// own.hand_to(Holder::Peer(WorkerId(2)));
/// let batch = BatchReport { client: ClientId(7), sequence: 0, records: 10, bytes: 4 };
/// let ticket = own.put(0, batch, "data", 0)?;
/// assert!(own.acknowledged() < ticket, "the other worker does not hold it yet");
/// own.held(1);
/// assert_eq!(own.acknowledged(), ticket);
/// # Ok::<(), cutwater_core::clients::Refused>(())
/// ```
pub struct Own<C> {
    me: WorkerId,
    sources: BTreeMap<u32, Source<C>>,
    /// The last ticket.
    last: u64,
    /// Everything up to this ticket is held by whoever has to hold it now.
    held: u64,
    /// The same, as clients were told: it never goes back.
    acknowledged: u64,
    blocks_named: u64,
    holder: Holder,
    /// What the holder of replicas does not hold, in the order of the tickets.
    queue: VecDeque<(u64, Entry<C>)>,
    /// How many entries have left the queue since it was begun.
    gone: u64,
    requests: VecDeque<Request>,
    /// There was a master before this one.
    had_another: bool,
    /// Blocks that were copied here since the last report.
    copied: BTreeSet<BlockId>,
}

/// What a worker holds, whoever has received it.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Blocks of a source that can be read, and that are nobody's to report yet, in the order of their numbers.
    pub blocks: Vec<InputBlock>,
    /// Of whom there are replicas.
    pub owners: Vec<WorkerId>,
}

/// Who else holds what this worker receives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holder {
    /// There is no other worker.
    Alone,
    /// There is one, and it is yet to be reached.
    Sought,
    /// This one.
    Peer(WorkerId),
}

/// What the holder of replicas is told.
#[derive(Clone, Debug)]
pub enum Entry<C> {
    /// A batch that is in a block now.
    Batch {
        /// The source.
        source: u32,
        /// The block's number.
        block: u64,
        /// What will be reported of the batch.
        report: BatchReport,
        /// Its records.
        content: C,
    },
    /// The block takes no more.
    Sealed {
        /// The source.
        source: u32,
        /// The block's number.
        block: u64,
    },
}

struct Source<C> {
    receive: Receive,
    blocks: Vec<Block<C>>,
    records: u64,
    bytes: u64,
    deferred: u64,
    left: BTreeSet<WorkerId>,
    /// Another master is to hear of all that was reported.
    again: bool,
}

struct Block<C> {
    sequence: u64,
    opened_ms: u64,
    batches: Vec<(u64, BatchReport, C)>,
    bytes: usize,
    sealed: Option<u64>,
}

struct Request {
    number: u64,
    source: u32,
    ticket: u64,
}

/// Blocks that may be reported now.
pub struct Ready<C> {
    /// The number of the request.
    pub request: u64,
    /// The answer.
    pub report: BlocksReport,
    /// Blocks that can be read from now on, and their batches.
    pub blocks: Vec<(BlockId, Vec<(BatchReport, C)>)>,
}

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such source.
    #[error("the source is not there any more")]
    Unknown,
    /// The source takes no more.
    #[error("the program takes no more records")]
    Closed,
}

impl<C: Clone> Own<C> {
    /// Nothing yet, of that worker.
    pub fn new(me: WorkerId) -> Self {
        Self {
            me,
            sources: BTreeMap::new(),
            last: 0,
            held: 0,
            acknowledged: 0,
            blocks_named: 0,
            holder: Holder::Alone,
            queue: VecDeque::new(),
            gone: 0,
            requests: VecDeque::new(),
            had_another: false,
            copied: BTreeSet::new(),
        }
    }

    /// Its blocks are numbered from here on.
    #[must_use]
    pub fn naming_from(mut self, count: u64) -> Self {
        self.blocks_named = count;
        self
    }

    /// A source takes records, or takes them otherwise than before.
    pub fn receive(&mut self, receive: Receive) {
        self.blocks_named = self.blocks_named.max(receive.blocks_from);
        match self.sources.get_mut(&receive.source) {
            Some(source) => source.receive = receive,
            None => {
                let (blocks, left) = Default::default();
                let (records, bytes, deferred) = Default::default();
                let again = self.had_another;
                let source = Source { receive, blocks, records, bytes, deferred, left, again };
                self.sources.insert(source.receive.source, source);
            }
        }
    }

    /// The source that clients mean by that name.
    pub fn source_named(&self, name: &str) -> Option<u32> {
        // Of two programs' worth of sources by one name, clients mean the newest.
        let mut named = self.sources.iter().rev().filter(|(_, source)| source.receive.name == name);
        named.next().map(|(id, _)| *id)
    }

    /// Whether clients send to that source.
    pub fn is_source(&self, source: u32) -> bool {
        self.sources.contains_key(&source)
    }

    /// What sources are called.
    pub fn names(&self) -> Vec<String> {
        self.sources.values().map(|source| source.receive.name.clone()).collect()
    }

    /// Whether there is room for another batch.
    ///
    /// # Errors
    /// The source takes none at all.
    pub fn has_room(&self, source: u32) -> Result<bool, Refused> {
        let source = self.sources.get(&source).ok_or(Refused::Unknown)?;
        let Receive { open, records_max, bytes_max, .. } = source.receive;
        if !open {
            return Err(Refused::Closed);
        }
        Ok(source.records < records_max && source.bytes < bytes_max)
    }

    /// A connection has to wait.
    pub fn deferred(&mut self, source: u32) {
        if let Some(source) = self.sources.get_mut(&source) {
            source.deferred += 1;
        }
    }

    /// Puts a batch into the open block of its source; answers with its ticket.
    ///
    /// # Errors
    /// The source takes none.
    pub fn put(
        &mut self,
        source_id: u32,
        report: BatchReport,
        content: C,
        now_ms: u64,
    ) -> Result<u64, Refused> {
        let source = self.sources.get(&source_id).ok_or(Refused::Unknown)?;
        if !source.receive.open {
            return Err(Refused::Closed);
        }
        let full = source.blocks.last().filter(|block| block.sealed.is_none()).map(|block| {
            block.bytes >= limits::INPUT_BLOCK_BYTES
                || now_ms.saturating_sub(block.opened_ms) >= source.receive.block_ms
        });
        if full == Some(true) {
            self.seal(source_id);
        }
        let sequence = if full == Some(false) { None } else { Some(self.new_name()) };
        self.last += 1;
        let ticket = self.last;
        let source = self.sources.get_mut(&source_id).ok_or(Refused::Unknown)?;
        if let Some(sequence) = sequence {
            let batches = Vec::new();
            source.blocks.push(Block { sequence, opened_ms: now_ms, batches, bytes: 0, sealed: None });
        }
        source.records += u64::from(report.records);
        source.bytes += u64::from(report.bytes);
        if let Some(block) = source.blocks.last_mut() {
            block.bytes += report.bytes as usize;
            block.batches.push((ticket, report, content.clone()));
            let entry = Entry::Batch { source: source_id, block: block.sequence, report, content };
            self.enqueue(ticket, entry);
        }
        Ok(ticket)
    }

    /// The master wants the blocks of a source.
    pub fn request(&mut self, number: u64, source: u32) {
        self.seal(source);
        self.requests.push_back(Request { number, source, ticket: self.last });
    }

    /// Another master asks from now on. It is told of all that is held, whoever has received and reported it: the master
    /// before may not have written it down.
    pub fn begin_anew(&mut self) {
        self.requests.clear();
        self.had_another = true;
        self.sources.values_mut().for_each(|source| source.again = true);
    }

    /// These were copied here. The next report tells what they consist of: whoever was to report them may be lost by then.
    pub fn copied(&mut self, blocks: &[BlockId]) {
        let inputs = blocks.iter().filter(|block| matches!(block, BlockId::Input { .. }));
        self.copied.extend(inputs);
        // Those of other sources are never asked for.
        while self.copied.len() > limits::BLOCKS_KNOWN_MAX {
            self.copied.pop_first();
        }
    }

    /// What can be reported now. `held` tells what is held of a source, or which of some blocks of it are.
    pub fn ready(&mut self, mut held: impl FnMut(u32, Option<&BTreeSet<BlockId>>) -> Held) -> Vec<Ready<C>> {
        let mut ready = Vec::new();
        while let Some(request) = self.requests.pop_front_if(|request| request.ticket <= self.held) {
            ready.push(self.report(&request, &mut held));
        }
        ready
    }

    fn report(
        &mut self,
        request: &Request,
        held: impl FnOnce(u32, Option<&BTreeSet<BlockId>>) -> Held,
    ) -> Ready<C> {
        let replica = match self.holder {
            Holder::Peer(worker) => Some(worker),
            Holder::Alone | Holder::Sought => None,
        };
        let mut report = BlocksReport { replica, ..BlocksReport::default() };
        let mut blocks = Vec::new();
        if let Some(source) = self.sources.get_mut(&request.source) {
            report.left = std::mem::take(&mut source.left).into_iter().collect();
            report.deferred = std::mem::take(&mut source.deferred);
            let done = |block: &mut Block<C>| block.sealed.is_some_and(|ticket| ticket <= request.ticket);
            for Block { sequence, batches, .. } in source.blocks.extract_if(.., done) {
                let (mut reports, mut contents) = (Vec::new(), Vec::new());
                for (_, batch, content) in batches {
                    source.records -= u64::from(batch.records);
                    source.bytes -= u64::from(batch.bytes);
                    reports.push(batch);
                    contents.push((batch, content));
                }
                let block = InputBlock { source: request.source, sequence, batches: reports };
                blocks.push((block.id(), contents));
                report.blocks.push(block);
            }
            let of_source =
                |block: &BlockId| matches!(block, BlockId::Input { source, .. } if *source == request.source);
            let copied: BTreeSet<BlockId> = self.copied.extract_if(.., of_source).collect();
            let of_all = std::mem::take(&mut source.again);
            if of_all || !copied.is_empty() {
                let Held { blocks: held, owners } = held(request.source, (!of_all).then_some(&copied));
                report.owners = if of_all { owners } else { Vec::new() };
                report.again = held.len() as u64;
                report.blocks.splice(..0, held);
            }
        }
        Ready { request: request.number, report, blocks }
    }

    /// From now on `holder` holds replicas; it is told of everything that is not reported.
    pub fn hand_to(&mut self, holder: Holder) {
        self.queue.clear();
        self.gone = 0;
        let before = std::mem::replace(&mut self.holder, holder);
        let mut names = self.blocks_named;
        let mut entries = Vec::new();
        for (id, source) in &mut self.sources {
            if let Holder::Peer(worker) = before
                && !source.blocks.is_empty()
            {
                source.left.insert(worker);
            }
            for block in &mut source.blocks {
                block.sequence = input_sequence(self.me, names);
                names += 1;
                for (ticket, report, content) in &block.batches {
                    let (source, block, content) = (*id, block.sequence, content.clone());
                    entries.push((*ticket, Entry::Batch { source, block, report: *report, content }));
                }
                let sealed = Entry::Sealed { source: *id, block: block.sequence };
                entries.extend(block.sealed.map(|ticket| (ticket, sealed)));
            }
        }
        self.blocks_named = names;
        match holder {
            Holder::Alone => self.note_held(self.last),
            Holder::Sought => self.held = 0,
            Holder::Peer(worker) => {
                // The new one may be one that was left before.
                self.sources.values_mut().for_each(|source| {
                    source.left.remove(&worker);
                });
                entries.sort_unstable_by_key(|(ticket, _)| *ticket);
                self.queue = entries.into();
                self.held = self.queue.front().map_or(self.last, |(ticket, _)| ticket - 1);
            }
        }
    }

    /// Who holds replicas.
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The batches of each block that is not reported, and its source.
    pub fn unreported(&self) -> impl Iterator<Item = (u32, Vec<(BatchReport, C)>)> {
        let batches = |block: &Block<C>| {
            block.batches.iter().map(|(_, report, content)| (*report, content.clone())).collect()
        };
        let blocks =
            self.sources.iter().flat_map(|(id, source)| source.blocks.iter().map(|block| (*id, block)));
        blocks.map(move |(source, block)| (source, batches(block)))
    }

    /// What is not reported.
    pub fn batches(&self) -> impl Iterator<Item = &BatchReport> {
        let blocks = self.sources.values().flat_map(|source| &source.blocks);
        blocks.flat_map(|block| block.batches.iter().map(|(_, report, _)| report))
    }

    /// The entry that follows the first `sent` ones since the holder was handed the replicas.
    pub fn entry(&self, sent: u64) -> Option<Entry<C>> {
        let at = usize::try_from(sent.checked_sub(self.gone)?).ok()?;
        self.queue.get(at).map(|(_, entry)| entry.clone())
    }

    /// The holder holds the first `count` entries.
    pub fn held(&mut self, count: u64) {
        while self.gone < count
            && let Some((ticket, _)) = self.queue.pop_front()
        {
            self.gone += 1;
            self.note_held(ticket);
        }
    }

    /// All up to this ticket may be acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    fn seal(&mut self, source: u32) {
        let last = self.last + 1;
        let open = self.sources.get_mut(&source).and_then(|source| source.blocks.last_mut());
        if let Some(block) = open.filter(|block| block.sealed.is_none()) {
            block.sealed = Some(last);
            let block = block.sequence;
            self.last = last;
            self.enqueue(last, Entry::Sealed { source, block });
        }
    }

    fn enqueue(&mut self, ticket: u64, entry: Entry<C>) {
        match self.holder {
            Holder::Alone => self.note_held(ticket),
            // Whoever is found is told of everything.
            Holder::Sought => {}
            Holder::Peer(_) => self.queue.push_back((ticket, entry)),
        }
    }

    fn note_held(&mut self, ticket: u64) {
        self.held = self.held.max(ticket);
        self.acknowledged = self.acknowledged.max(self.held);
    }

    fn new_name(&mut self) -> u64 {
        let name = input_sequence(self.me, self.blocks_named);
        self.blocks_named += 1;
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, id::receiver_of};

    const ME: WorkerId = WorkerId(1);
    const PEER: WorkerId = WorkerId(2);
    const OTHER: WorkerId = WorkerId(3);

    fn own() -> Own<&'static str> {
        let mut own = Own::new(ME);
        own.receive(receive(true, 100));
        own
    }

    fn receive(open: bool, records_max: u64) -> Receive {
        Receive { open, ..Receive::new(0, "s", records_max, 1_000) }
    }

    fn put(own: &mut Own<&'static str>, sequence: u64, now_ms: u64) -> u64 {
        let report = BatchReport { client: ClientId(9), sequence, records: 10, bytes: 4 };
        own.put(0, report, "data", now_ms).unwrap()
    }

    fn sequences(ready: &Ready<&'static str>) -> Vec<Vec<u64>> {
        let of = |block: &InputBlock| block.batches.iter().map(|batch| batch.sequence).collect();
        ready.report.blocks.iter().map(of).collect()
    }

    #[test]
    fn alone_a_batch_is_held_at_once() {
        let mut own = own();
        let ticket = put(&mut own, 0, 0);
        assert_eq!(own.acknowledged(), ticket);
        own.request(5, 0);
        let ready = own.ready(|_, _| Held::default());
        assert_eq!((ready[0].request, sequences(&ready[0])), (5, vec![vec![0]]));
        assert_eq!(ready[0].report.replica, None);
        assert!(receiver_of(ready[0].report.blocks[0].sequence) == ME);
    }

    #[test]
    fn blocks_are_cut_by_time() {
        let mut own = own();
        for (now_ms, n) in [0, 199, 200, 350, 401].into_iter().zip(0..) {
            put(&mut own, n, now_ms);
        }
        own.request(1, 0);
        assert_eq!(sequences(&own.ready(|_, _| Held::default())[0]), [vec![0, 1], vec![2, 3], vec![4]]);
        own.request(2, 0);
        assert!(own.ready(|_, _| Held::default())[0].report.blocks.is_empty(), "reported once");
    }

    #[test]
    fn with_a_peer_nothing_is_acknowledged_or_reported_before_it_holds_it() {
        let mut own = own();
        own.hand_to(Holder::Peer(PEER));
        let (first, second) = (put(&mut own, 0, 0), put(&mut own, 1, 0));
        assert_eq!(own.acknowledged(), 0);
        own.held(1);
        assert_eq!(own.acknowledged(), first);
        own.request(1, 0);
        own.held(2);
        assert_eq!(own.acknowledged(), second);
        assert!(
            own.ready(|_, _| Held::default()).is_empty(),
            "the peer does not know yet that the block is closed"
        );
        assert!(matches!(own.entry(2), Some(Entry::Sealed { .. })));
        own.held(3);
        let ready = own.ready(|_, _| Held::default());
        assert_eq!((sequences(&ready[0]), ready[0].report.replica), (vec![vec![0, 1]], Some(PEER)));
    }

    #[test]
    fn another_peer_is_told_of_everything_under_new_names() {
        let mut own = own();
        own.hand_to(Holder::Peer(PEER));
        put(&mut own, 0, 0);
        own.held(1);
        put(&mut own, 1, 300);
        let before = own.acknowledged();
        own.hand_to(Holder::Sought);
        put(&mut own, 2, 300);
        own.request(1, 0);
        assert!(
            own.ready(|_, _| Held::default()).is_empty() && own.acknowledged() == before,
            "nobody else holds it"
        );
        own.hand_to(Holder::Peer(OTHER));
        let mut sent = 0;
        let mut told = Vec::new();
        while let Some(entry) = own.entry(sent) {
            sent += 1;
            told.push(match entry {
                Entry::Batch { report, block, .. } => (block & 0xff, Some(report.sequence)),
                Entry::Sealed { block, .. } => (block & 0xff, None),
            });
        }
        let all = [(4, Some(0)), (4, None), (5, Some(1)), (5, Some(2)), (5, None)];
        assert_eq!(told, all, "names 0 to 3 were used before");
        own.held(5);
        let ready = own.ready(|_, _| Held::default());
        assert_eq!(sequences(&ready[0]), [vec![0], vec![1, 2]]);
        assert_eq!((ready[0].report.replica, &*ready[0].report.left), (Some(OTHER), &[PEER][..]));
    }

    /// The master died before it had written down what it heard, of this worker or of one that was lost.
    #[test]
    fn another_master_hears_once_of_all_that_is_held() {
        let mut own = own();
        put(&mut own, 0, 0);
        own.request(1, 0);
        let mut held = own
            .ready(|_, _| panic!("the first master needs no more than what is new"))
            .remove(0)
            .report
            .blocks;
        held.push(InputBlock { source: 0, sequence: input_sequence(OTHER, 5), batches: Vec::new() });
        // The request of a master that is gone is not answered.
        own.request(2, 0);
        own.begin_anew();
        let all = || Held { blocks: held.clone(), owners: vec![OTHER] };
        assert!(own.ready(|_, _| all()).is_empty());
        put(&mut own, 1, 300);
        own.request(1, 0);
        let ready = own.ready(|_, _| all());
        assert_eq!(sequences(&ready[0]), [vec![0], vec![], vec![1]]);
        assert_eq!((&ready[0].report.blocks[..2], ready[0].blocks.len()), (&held[..], 1));
        assert_eq!(ready[0].report.again, 2, "who held replicas of those may be another");
        assert_eq!(ready[0].report.owners, [OTHER]);
        own.request(2, 0);
        assert!(own.ready(|_, _| all())[0].report.blocks.is_empty(), "it has heard it");
    }

    /// Whoever was to report it to this master may be lost by now.
    #[test]
    fn what_is_copied_here_is_told_of_in_the_next_report() {
        let mut own = own();
        let of =
            |count| InputBlock { source: 0, sequence: input_sequence(OTHER, count), batches: Vec::new() };
        let held = |only: Option<&BTreeSet<BlockId>>| {
            let mut blocks = vec![of(1), of(2)];
            blocks.retain(|block| only.is_none_or(|only| only.contains(&block.id())));
            Held { blocks, owners: vec![OTHER] }
        };
        own.copied(&[of(2).id()]);
        own.request(1, 0);
        let report = own.ready(|_, only| held(only)).remove(0).report;
        assert_eq!((report.blocks, report.again, report.owners), (vec![of(2)], 1, Vec::new()));
        own.request(2, 0);
        assert!(own.ready(|_, only| held(only))[0].report.blocks.is_empty(), "it is told of once");
    }

    #[test]
    fn what_is_full_or_closed_takes_no_more() {
        let mut own = own();
        assert_eq!(own.has_room(0), Ok(true));
        for n in 0..10 {
            put(&mut own, n, 0);
        }
        assert_eq!(own.has_room(0), Ok(false));
        own.request(1, 0);
        own.ready(|_, _| Held::default());
        assert_eq!(own.has_room(0), Ok(true), "a reported block makes room");
        own.receive(receive(false, 100));
        assert_eq!(own.has_room(0), Err(Refused::Closed));
        assert_eq!(own.has_room(7), Err(Refused::Unknown));
    }
}
