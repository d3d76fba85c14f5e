use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cutwater_core::{
    BlockId, Event, Split, WorkerId,
    clients::{BlocksReport, Consequences, InputBlock, Receive, Received, Reception, Say, cut},
    counted::Counted,
    id::count_of,
};

use crate::{
    description::blocks_of,
    master::{Master, interval_of_block},
    message::ToWorker,
    simulation::{Plant, Simulation},
};

/// How many records of clients an interval takes at most, so that clients wait now and then.
const RECORDS_MAX: u64 = 600;

/// What a master has of clients.
#[derive(Default)]
pub struct FromClients {
    source: Option<u32>,
    pub reception: Reception<u64>,
    pub counted: Counted,
    /// Blocks of intervals that were before it was master.
    known: cut::Known,
    blocks_from: u64,
    /// The interval that is being cut, and what its other sources gave.
    pub cutting: Option<(u64, Vec<Vec<Split>>)>,
    /// Those that are to be cut after it.
    to_cut: VecDeque<u64>,
    /// The intervals that blocks are of.
    intervals: BTreeMap<BlockId, u64>,
}

impl FromClients {
    pub fn new(source: Option<u32>) -> Self {
        Self { source, ..Self::default() }
    }

    /// The interval that a received block or a partition is of. Those of clients are of none before it is cut.
    pub fn interval_of(&self, block: &BlockId) -> Option<u64> {
        match block {
            BlockId::Input { source, .. } if Some(*source) == self.source => {
                self.intervals.get(block).copied()
            }
            other => interval_of_block(other),
        }
    }

    pub fn forget(&mut self, intervals: &std::ops::Range<u64>) {
        self.intervals.retain(|_, interval| !intervals.contains(interval));
    }
}

impl Simulation {
    /// The master whose turn it is has workers take records from now on.
    pub(crate) fn take_from_clients(&mut self) {
        let Some(source) = self.program.clients else { return };
        let (name, records_max, bytes_max) = ("clients".to_owned(), RECORDS_MAX, u64::MAX);
        let (open, blocks_from, block_ms) = (true, self.master.clients.blocks_from, 200);
        let receive = Receive { source, name, open, records_max, bytes_max, blocks_from, block_ms };
        let receivers = self.receivers();
        let said = self.master.clients.reception.receive(receive, &receivers);
        self.say_of_clients(said);
    }

    /// An interval of a master before has these.
    pub(crate) fn replay_clients(&mut self, interval: u64, sources: &[Vec<Split>]) {
        let clients = &mut self.master.clients;
        for split in sources.iter().flatten().filter(|split| !split.place.is_empty()) {
            let Ok(cut::Place { alone, .. }) = postcard::from_bytes(&split.place) else { continue };
            if let [BlockId::Input { source, sequence }] = split.blocks[..]
                && !alone.is_empty()
            {
                clients.reception.were_alone(&[InputBlock { source, sequence, batches: alone }]);
            }
        }
        for block in blocks_of(sources) {
            if let BlockId::Input { source, sequence } = *block
                && Some(source) == clients.source
            {
                clients.blocks_from = clients.blocks_from.max(count_of(sequence) + 1);
                clients.known.insert(sequence);
                clients.intervals.insert(*block, interval);
            }
        }
    }

    /// Whether the interval may be cut: workers remember only so much of what they have reported.
    pub(crate) fn may_cut(&self, interval: u64) -> bool {
        let before = interval.checked_sub(1).filter(|before| self.master.received.contains_key(before));
        self.program.clients.is_none()
            || (self.master.clients.cutting.is_none()
                && before.is_none_or(|before| self.master.recorded.contains(&before)))
    }

    /// The interval comes after the one that is being cut, if one is.
    pub(crate) fn cuts_later(&mut self, interval: u64) -> bool {
        let waits = self.master.clients.cutting.is_some();
        if waits {
            self.master.clients.to_cut.push_back(interval);
        }
        waits
    }

    /// The interval is to have what there is of clients, beside what the other sources gave.
    pub(crate) fn cut(&mut self, interval: u64, sources: Vec<Vec<Split>>) {
        let Some(source) = self.program.clients else {
            self.master.received.insert(interval, sources);
            return;
        };
        self.master.clients.cutting = Some((interval, sources));
        let receivers = self.receivers();
        let said = self.master.clients.reception.cut(source, interval, &receivers);
        self.say_of_clients(said);
        let answered = self.answered_cuts();
        self.are_cut(answered);
    }

    pub(crate) fn reported(&mut self, id: WorkerId, request: u64, report: BlocksReport) {
        for block in &report.blocks {
            let shown = Shown(block);
            self.log
                .say(self.now_ms, format_args!("{id} reports {} to {}: {shown}", block.id(), self.master.id));
        }
        let receivers = self.receivers();
        let reported = self.master.clients.reception.reported(id, request, report, &receivers);
        let Consequences { events, say, drop } = reported;
        for event in events {
            if let Event::BlocksHeld { worker, blocks } = &event {
                blocks.iter().for_each(|block| self.holds(*worker, *block));
            }
            self.step(event);
        }
        self.wait_for_asked();
        self.say_of_clients(say);
        if let Some((worker, blocks)) = drop.filter(|(_, blocks)| !blocks.is_empty()) {
            self.tell_worker(worker, ToWorker::Drop(blocks));
        }
        let Master { clients, scheduler, .. } = &mut self.master;
        let answered = clients.reception.is_answered(request, |block| scheduler.is_held(block));
        self.are_cut(answered);
        self.drain_ready();
    }

    /// A worker is asked what it has received before it may leave.
    pub(crate) fn wants_to_leave(&mut self, id: WorkerId) {
        if self.setting.plant != Some(Plant::LetsGoUnasked) {
            let receivers = self.receivers();
            let said = self.master.clients.reception.leaves(id, &receivers);
            self.say_of_clients(said);
        }
    }

    fn answered_cuts(&mut self) -> Vec<(u64, Received)> {
        let Master { clients, scheduler, .. } = &mut self.master;
        clients.reception.answered(|block| scheduler.is_held(block))
    }

    fn are_cut(&mut self, answered: Vec<(u64, Received)>) {
        for (interval, received) in answered {
            let Some((_, mut sources)) = self.master.clients.cutting.take() else { continue };
            let clients = &mut self.master.clients;
            if self.setting.plant == Some(Plant::ForgetsWhatItCounted) {
                clients.counted = Counted::default();
            }
            let cut = cut::take(&received.blocks, &mut clients.known, &mut clients.counted);
            let splits = cut.parts.into_iter().map(|part| Split {
                blocks: vec![part.block],
                // What consists of numbers can be encoded.
                place: postcard::to_allocvec(&cut::Place {
                    left_out: part.left_out,
                    alone: received.alone.get(&part.block).cloned().unwrap_or_default(),
                })
                .unwrap_or_default()
                .into(),
            });
            let splits: Vec<Split> = splits.collect();
            let blocks = splits.iter().flat_map(|split| &split.blocks);
            clients.intervals.extend(blocks.map(|block| (*block, interval)));
            if let Some(of_clients) = clients.source.and_then(|source| sources.get_mut(source as usize)) {
                *of_clients = splits;
            }
            self.master.holders.retain(|block, _| !cut.useless.contains(block));
            if !cut.useless.is_empty() {
                self.step(Event::InputsReleased { blocks: cut.useless });
            }
            self.master.received.insert(interval, sources);
            self.hold_more();
            if let Some(next) = self.master.clients.to_cut.pop_front() {
                self.receive(next);
            }
        }
    }

    /// What a lost worker had received and not reported is reported by whoever holds replicas.
    pub(crate) fn receiver_is_lost(&mut self, id: WorkerId) {
        let said = self.ask_for_replicas(id);
        self.say_of_receiver(said);
    }

    /// The same; to be said once the scheduler knows that nobody who is asked may leave.
    pub(crate) fn ask_for_replicas(&mut self, lost: WorkerId) -> Vec<(WorkerId, Say)> {
        if self.program.clients.is_none() {
            return Vec::new();
        }
        let receivers = self.receivers();
        let said = self.master.clients.reception.lost(lost, &receivers);
        self.wait_for_asked();
        said
    }

    pub(crate) fn say_of_receiver(&mut self, said: Vec<(WorkerId, Say)>) {
        self.say_of_clients(said);
        let answered = self.answered_cuts();
        self.are_cut(answered);
    }

    /// A worker is here that holds something from before.
    pub(crate) fn comes_back(&mut self, id: WorkerId) {
        let asked = self.master.clients.reception.comes_back(id);
        self.say_of_clients(asked);
    }

    /// A worker is about to be one of those of this master.
    pub(crate) fn meets_peers(&mut self, id: WorkerId) {
        if self.program.clients.is_none() {
            return;
        }
        let others = self.receivers();
        self.tell_worker(id, ToWorker::Peers(others.iter().copied().collect()));
        others.into_iter().for_each(|other| self.tell_worker(other, ToWorker::Peers(vec![id])));
    }

    pub(crate) fn share_receiving(&mut self) {
        let shares = self.master.clients.reception.joined(&self.receivers());
        self.say_of_clients(shares);
    }

    fn receivers(&self) -> BTreeSet<WorkerId> {
        self.master.links.keys().copied().filter(|id| *id != WorkerId::MASTER).collect()
    }

    fn say_of_clients(&mut self, said: Vec<(WorkerId, Say)>) {
        for (worker, what) in said {
            self.tell_worker(worker, ToWorker::Clients(what));
        }
    }

    /// What the intervals consist of counts.
    pub(crate) fn is_counted(&mut self, interval: u64, sources: &[Vec<Split>]) -> Result<(), String> {
        let mut counted = self.clients.counted(sources).collect::<Vec<_>>().into_iter();
        counted.try_for_each(|(block, batches)| {
            batches.into_iter().try_for_each(|batch| self.invariants.records.counted(batch, block, interval))
        })
    }
}

/// The batches of a block.
struct Shown<'a>(&'a InputBlock);

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.batches.iter().try_for_each(|batch| write!(f, "{}#{} ", batch.client, batch.sequence))
    }
}
