use std::collections::{BTreeMap, BTreeSet};

use crate::{BlockId, Event, WorkerId, id::receiver_of, limits};

use super::{BatchReport, BlocksReport, InputBlock, Numbered, Receive, Remembered};

/// What workers receive from clients, on its way into intervals.
///
/// Properties:
/// - each worker takes a share of what an interval may take from a source;
/// - when an interval is cut, every worker is asked for its blocks, and whoever waits is answered when all have
///   answered or are lost;
/// - blocks of a worker that is lost are reported by whoever holds replicas of them: they are waited for too, and
///   are in the interval that is cut next;
/// - who wants to leave and is asked for such replicas stays until it has answered;
/// - what was reported is in exactly one interval: the next that is cut when somebody holds it. What is in it may be in
///   another block, too.
/// - a master that takes over asks for replicas of those of whom it hears only that there are some: the one before may have
///   lost them, or never had them for more than a moment.
///
/// `R` is how whoever cuts an interval is answered. If the process dies, what was reported and is in no interval is still
/// held by workers.
///
/// ```
/// use std::collections::BTreeSet;
///
/// use cutwater_core::{WorkerId, clients::{BlocksReport, InputBlock, Reception, Say}};
///
/// let (mut reception, workers) = (Reception::default(), BTreeSet::from([WorkerId(1)]));
/// let said = reception.cut(0, "the first interval", &workers);
/// assert_eq!(said, [(WorkerId(1), Say::ReportBlocks { request: 1, source: 0 })]);
/// let blocks = vec![InputBlock { source: 0, sequence: 5, batches: Vec::new() }];
/// let report = BlocksReport { blocks: blocks.clone(), ..BlocksReport::default() };
/// let _ = reception.reported(WorkerId(1), 1, report, &workers);
/// let [(for_whom, received)] = &reception.is_answered(1, |_| true)[..] else { panic!("all have answered") };
/// assert_eq!((*for_whom, &received.blocks), ("the first interval", &blocks));
/// ```
#[derive(Debug)]
pub struct Reception<R> {
    /// What the program asks for, for all workers together.
    sources: BTreeMap<u32, Receive>,
    requests: u64,
    /// Requests that were not answered.
    asked: BTreeMap<u64, Asked>,
    cuts: Vec<Cut<R>>,
    /// Reported, and in no interval, by source.
    fresh: BTreeMap<u32, Fresh>,
    /// Workers that want to leave, and what they have not answered since.
    leaving: BTreeMap<WorkerId, BTreeSet<u64>>,
    /// The last block of each worker that it has reported itself.
    reported: BTreeMap<(u32, WorkerId), u64>,
    /// Of whom replicas were asked for.
    lost: Workers,
    /// Who held replicas of what a worker received when it last reported: until that one has told of them, if it is lost.
    partners: BTreeMap<WorkerId, WorkerId>,
    /// Blocks that no interval needs again, the last that were let go.
    released: Remembered<BlockId>,
    /// What those consist of that only one worker held when they were reported: another that holds all that is in one, in other
    /// blocks, can make it, and may be the last that does.
    alone: BTreeMap<BlockId, Vec<BatchReport>>,
}

/// What workers have received for an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Blocks that are held, in the order of their numbers.
    pub blocks: Vec<InputBlock>,
    /// What those of them consist of that only one worker held when they were reported.
    pub alone: BTreeMap<BlockId, Vec<BatchReport>>,
    /// Connections that had to wait.
    pub deferred: u64,
}

#[derive(Debug, Default)]
struct Fresh {
    blocks: Vec<InputBlock>,
    deferred: u64,
}

#[derive(Debug)]
struct Asked {
    whom: WorkerId,
    /// Of the blocks of this source, or else of a lost worker's.
    source: Option<u32>,
}

#[derive(Debug)]
struct Cut<R> {
    source: u32,
    waits_for: BTreeSet<u64>,
    reply: R,
}

/// What a worker is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Say {
    /// How it is to take records for a source.
    Receive(Receive),
    /// It is asked for the blocks that it has received.
    ReportBlocks {
        /// The number of the request.
        request: u64,
        /// The source.
        source: u32,
    },
    /// It is asked for its replicas of the blocks of a worker that is lost.
    ReportReplicas {
        /// The number of the request.
        request: u64,
        /// Who is lost.
        lost: WorkerId,
    },
    /// The worker that received the block `through` has reported it and all before.
    Settled {
        /// The source.
        source: u32,
        /// The last block that was reported.
        through: u64,
        /// Those of them that whoever is told is to go on holding.
        keep: Vec<u64>,
        /// Those of them that it is to go on holding if the master knows that it does.
        again: Vec<u64>,
    },
    /// It holds all batches of a block in others: it is to make it from those, and to say that it holds it.
    Make {
        /// The source.
        source: u32,
        /// The block's number.
        sequence: u64,
        /// What is in it, in order.
        batches: Vec<Numbered>,
    },
}

/// What a report means for others, in the order in which it is to be carried out.
#[derive(Debug, Default)]
pub struct Consequences {
    /// For the scheduler.
    pub events: Vec<Event>,
    /// For workers.
    pub say: Vec<(WorkerId, Say)>,
    /// Blocks that nobody needs, and who holds them.
    pub drop: Option<(WorkerId, Vec<BlockId>)>,
}

type Workers = BTreeSet<WorkerId>;

impl<R> Default for Reception<R> {
    fn default() -> Self {
        let (sources, requests, asked, cuts, fresh) = Default::default();
        let (leaving, reported, lost, partners, released, alone) = Default::default();
        Self { sources, requests, asked, cuts, fresh, leaving, reported, lost, partners, released, alone }
    }
}

/// Each time `workers` are those that clients can reach, and who asked for something is to be told what
/// [is answered](Reception::answered) once what is to be said was said.
impl<R> Reception<R> {
    /// A source takes records, or takes them otherwise than before.
    pub fn receive(&mut self, receive: Receive, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let source = receive.source;
        let is_new = self.sources.insert(source, receive).is_none();
        let mut said: Vec<_> =
            workers.iter().filter_map(|worker| self.share(source, *worker, workers)).collect();
        let is_of = |block: &BlockId| matches!(block, BlockId::Input { source: of, .. } if *of == source);
        if is_new && self.alone.keys().any(is_of) {
            // They may hold what an interval waits for that is run before the next is cut.
            for worker in workers {
                said.push((*worker, Say::ReportBlocks { request: self.ask(*worker, Some(source)), source }));
            }
        }
        said
    }

    /// The master before had these in intervals, and only one worker held each when it was reported. To be said before their
    /// source takes records.
    pub fn were_alone(&mut self, blocks: &[InputBlock]) {
        self.note_alone(blocks);
    }

    /// No interval needs these again.
    pub fn released(&mut self, blocks: &[BlockId]) {
        for block in blocks.iter().filter(|block| matches!(block, BlockId::Input { .. })) {
            self.alone.remove(block);
            self.released.insert(*block);
        }
    }

    /// Whether a block that a worker comes back with, which was lost, may be needed: it may be in an interval, or of those
    /// that nobody has reported. Nothing if it is not of a source of clients.
    pub fn may_need(&self, block: &BlockId) -> Option<bool> {
        match block {
            BlockId::Input { source, .. } if self.sources.contains_key(source) => {
                Some(!self.released.contains(block))
            }
            _ => None,
        }
    }

    /// An interval is to have what there is of a source.
    pub fn cut(&mut self, source: u32, reply: R, workers: &Workers) -> Vec<(WorkerId, Say)> {
        // Whoever is asked about a lost worker may still have something for this interval.
        let mut waits_for: BTreeSet<u64> = self.asked.keys().copied().collect();
        let mut said = Vec::new();
        for worker in workers {
            let request = self.ask(*worker, Some(source));
            waits_for.insert(request);
            said.push((*worker, Say::ReportBlocks { request, source }));
        }
        self.cuts.push(Cut { source, waits_for, reply });
        said
    }

    /// There are other workers than before, each of which has another share now.
    pub fn joined(&self, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let shares = |source: &u32| {
            let source = *source;
            workers.iter().filter_map(move |worker| self.share(source, *worker, workers))
        };
        self.sources.keys().flat_map(shares).collect()
    }

    /// A worker wants to leave: it takes nothing more from clients, and is asked for its blocks, so that it is known what
    /// others are to hold first.
    pub fn leaves(&mut self, worker: WorkerId, workers: &Workers) -> Vec<(WorkerId, Say)> {
        self.leaving.entry(worker).or_default();
        let mut said = Vec::new();
        for source in self.sources.keys().copied().collect::<Vec<_>>() {
            said.extend(self.share(source, worker, workers));
            let request = self.ask(worker, Some(source));
            self.leaving.entry(worker).or_default().insert(request);
            said.push((worker, Say::ReportBlocks { request, source }));
        }
        said
    }

    /// A worker is here that holds something from before: it is asked at once what that consists of, since an interval that is
    /// being run may wait for it.
    pub fn comes_back(&mut self, worker: WorkerId) -> Vec<(WorkerId, Say)> {
        let sources: Vec<u32> = self.sources.keys().copied().collect();
        let ask = |source| (worker, Say::ReportBlocks { request: self.ask(worker, Some(source)), source });
        sources.into_iter().map(ask).collect()
    }

    /// Whether a worker that wants to leave has said what it holds.
    pub fn may_leave(&self, worker: WorkerId) -> bool {
        self.leaving.get(&worker).is_none_or(BTreeSet::is_empty)
    }

    /// A worker is gone, and is in `workers` no longer.
    pub fn lost(&mut self, lost: WorkerId, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let mut said = self.joined(workers);
        self.lost.insert(lost);
        self.leaving.remove(&lost);
        let unanswered = self.asked.extract_if(.., |_, asked| asked.whom == lost);
        let unanswered: Vec<u64> = unanswered.map(|(request, _)| request).collect();
        for worker in workers {
            let request = self.ask(*worker, None);
            self.leaving.entry(*worker).and_modify(|unanswered| {
                unanswered.insert(request);
            });
            self.cuts.iter_mut().for_each(|cut| {
                cut.waits_for.insert(request);
            });
            said.push((*worker, Say::ReportReplicas { request, lost }));
        }
        for cut in &mut self.cuts {
            cut.waits_for.retain(|request| !unanswered.contains(request));
        }
        said
    }

    /// Who was lost together with that one and either held what it received or had it hold what it received itself, as far as
    /// is known. Nobody else can tell of what they acknowledged and had not reported.
    pub fn lost_with(&self, lost: WorkerId) -> Option<WorkerId> {
        let is_lost = |other: &WorkerId| *other != lost && self.lost.contains(other);
        let partner = self.partners.get(&lost).filter(|partner| is_lost(partner));
        let of_whom = || self.partners.iter().find(|(owner, partner)| **partner == lost && is_lost(owner));
        partner.or_else(|| of_whom().map(|(owner, _)| owner)).copied()
    }

    /// What a worker answers.
    pub fn reported(
        &mut self,
        worker: WorkerId,
        request: u64,
        report: BlocksReport,
        workers: &Workers,
    ) -> Consequences {
        // A worker that is lost has said so too late: others were asked.
        let Some(asked) = self.asked.remove(&request).filter(|_| workers.contains(&worker)) else {
            return Consequences::default();
        };
        match asked.source {
            Some(source) => self.own(worker, source, report, workers),
            None => self.replicas(worker, report),
        }
    }

    fn own(
        &mut self,
        worker: WorkerId,
        source: u32,
        report: BlocksReport,
        workers: &Workers,
    ) -> Consequences {
        let BlocksReport { blocks, again, replica, owners, left, deferred } = report;
        let mut consequences = Consequences::default();
        match replica {
            Some(replica) => self.partners.insert(worker, replica),
            None => self.partners.remove(&worker),
        };
        let replica = replica.filter(|replica| workers.contains(replica));
        let again = usize::try_from(again).unwrap_or(usize::MAX).min(blocks.len());
        let own = |block: &&InputBlock| receiver_of(block.sequence) == worker;
        if let Some(through) = blocks.iter().filter(own).map(|block| block.sequence).max() {
            self.reported.insert((source, worker), through);
            let settled = |keep, again| Say::Settled { source, through, keep, again };
            let own = |blocks: &[InputBlock]| -> Vec<u64> {
                blocks.iter().filter(own).map(|block| block.sequence).collect()
            };
            let (again, new) = (own(&blocks[..again]), own(&blocks[again..]));
            // Of what a master before was told only it knew who held replicas.
            let others = workers.iter().copied().filter(|other| *other != worker && !again.is_empty());
            let told: Workers = replica.into_iter().chain(others).collect();
            for other in told {
                let keep = if Some(other) == replica { new.clone() } else { Vec::new() };
                consequences.say.push((other, settled(keep, again.clone())));
            }
            consequences.say.extend(left.into_iter().map(|left| (left, settled(Vec::new(), Vec::new()))));
        }
        let new = &blocks[again..];
        if !new.is_empty() {
            let held =
                |worker| Event::BlocksHeld { worker, blocks: new.iter().map(InputBlock::id).collect() };
            consequences.events.push(held(worker));
            consequences.events.extend(replica.map(held));
        }
        // There may be others by now who can hold what only the worker does.
        if !blocks.is_empty() && (again > 0 || replica.is_none()) {
            consequences.events.push(Event::HoldersKnown);
        }
        if again > 0 {
            consequences.say.extend(self.to_make(source, &blocks).into_iter().map(|make| (worker, make)));
        }
        if replica.is_none() {
            self.note_alone(new);
        }
        let fresh = self.fresh.entry(source).or_default();
        fresh.deferred += deferred;
        // It may tell of one that it is about to let go.
        let released = &self.released;
        blocks
            .into_iter()
            .filter(|block| !released.contains(&block.id()))
            .for_each(|block| fresh.take(block));
        for owner in owners {
            if !workers.contains(&owner) && !self.lost.contains(&owner) {
                let asked = self.lost(owner, workers);
                consequences.say.extend(asked);
            }
        }
        consequences
    }

    /// Replicas of blocks of a worker that is lost. It had told this master nothing of them, or has left them.
    fn replicas(&mut self, worker: WorkerId, report: BlocksReport) -> Consequences {
        // It has told all that it holds of those who are lost.
        let lost = &self.lost;
        self.partners.retain(|owner, partner| *partner != worker || !lost.contains(owner));
        let (mut new, mut useless) = (Vec::new(), Vec::new());
        for block in report.blocks {
            let through = self.reported.get(&(block.source, receiver_of(block.sequence)));
            match through.is_some_and(|through| block.sequence <= *through) {
                true => useless.push(block.id()),
                false => new.push(block),
            }
        }
        let held = Event::BlocksHeld { worker, blocks: new.iter().map(InputBlock::id).collect() };
        // Clients may have sent to the one that is lost what another had in a block that nobody holds by now.
        let sources: BTreeSet<u32> = new.iter().map(|block| block.source).collect();
        let made = sources.into_iter().flat_map(|source| self.to_make(source, &new));
        let say = made.map(|make| (worker, make)).collect();
        self.note_alone(&new);
        // The other holder was the one that is lost.
        let known = (!new.is_empty()).then_some(Event::HoldersKnown);
        for block in new {
            self.fresh.entry(block.source).or_default().take(block);
        }
        Consequences {
            events: [Some(held), known].into_iter().flatten().collect(),
            say,
            drop: Some((worker, useless)),
        }
    }

    fn note_alone(&mut self, blocks: &[InputBlock]) {
        self.alone.extend(blocks.iter().map(|block| (block.id(), block.batches.clone())));
        while self.alone.len() > limits::BLOCKS_KNOWN_MAX {
            self.alone.pop_first();
        }
    }

    /// The blocks that few hold, and that a worker can make from those which it has reported.
    fn to_make(&self, of: u32, reported: &[InputBlock]) -> Vec<Say> {
        if self.alone.is_empty() {
            // As mostly, and what is reported may be all that a worker holds.
            return Vec::new();
        }
        let named = |batch: &BatchReport| (batch.client, batch.sequence);
        let names: BTreeSet<BlockId> = reported.iter().map(InputBlock::id).collect();
        let there: BTreeSet<Numbered> =
            reported.iter().flat_map(|block| block.batches.iter().map(named)).collect();
        let made = self.alone.iter().filter_map(|(block, batches)| match *block {
            BlockId::Input { source, sequence } if source == of && !names.contains(block) => {
                let batches: Vec<Numbered> = batches.iter().map(named).collect();
                let can = batches.iter().all(|batch| there.contains(batch));
                can.then_some(Say::Make { source, sequence, batches })
            }
            _ => None,
        });
        made.collect()
    }

    /// To be called after the consequences were carried out: who is answered may use the blocks at once. What nobody
    /// holds, as the scheduler knows it, is in no interval before somebody says that it is copied.
    pub fn is_answered(&mut self, request: u64, is_held: impl Fn(&BlockId) -> bool) -> Vec<(R, Received)> {
        for waits_for in self.leaving.values_mut().chain(self.cuts.iter_mut().map(|cut| &mut cut.waits_for)) {
            waits_for.remove(&request);
        }
        self.answered(is_held)
    }

    /// Those who asked for an interval for which there is nothing more to wait for, and what it has.
    pub fn answered(&mut self, is_held: impl Fn(&BlockId) -> bool) -> Vec<(R, Received)> {
        let answered: Vec<_> = self.cuts.extract_if(.., |cut| cut.waits_for.is_empty()).collect();
        let answer = |Cut { source, reply, .. }| {
            let fresh = self.fresh.entry(source).or_default();
            let deferred = std::mem::take(&mut fresh.deferred);
            let mut blocks: Vec<InputBlock> =
                fresh.blocks.extract_if(.., |block| is_held(&block.id())).collect();
            // No more are being copied at a time.
            fresh.blocks.drain(..fresh.blocks.len().saturating_sub(limits::COPIES_MAX));
            blocks.sort_unstable_by_key(|block| block.sequence);
            let alone = blocks.iter().filter_map(|block| self.alone.get_key_value(&block.id()));
            let alone = alone.map(|(block, batches)| (*block, batches.clone())).collect();
            (reply, Received { blocks, alone, deferred })
        };
        answered.into_iter().map(answer).collect()
    }

    /// What one of the workers may take of a source.
    fn share(&self, source: u32, worker: WorkerId, workers: &Workers) -> Option<(WorkerId, Say)> {
        let all = self.sources.get(&source)?;
        let part = |all: u64| all.div_ceil(workers.len().max(1) as u64);
        let open = all.open && !self.leaving.contains_key(&worker);
        let (records_max, bytes_max) = (part(all.records_max), part(all.bytes_max));
        Some((worker, Say::Receive(Receive { open, records_max, bytes_max, ..all.clone() })))
    }

    fn ask(&mut self, whom: WorkerId, source: Option<u32>) -> u64 {
        self.requests += 1;
        self.asked.insert(self.requests, Asked { whom, source });
        self.requests
    }
}

impl Fresh {
    /// A block was reported: by more than one, perhaps.
    fn take(&mut self, block: InputBlock) {
        if self.blocks.iter().all(|known| known.sequence != block.sequence) {
            self.blocks.push(block);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ClientId, id::input_sequence};

    const OWNER: WorkerId = WorkerId(4);
    const OTHER: WorkerId = WorkerId(5);

    fn block(count: u64) -> InputBlock {
        InputBlock { source: 0, sequence: input_sequence(OWNER, count), batches: Vec::new() }
    }

    /// Who says that it holds something holds it: whoever held replicas for the master before may be lost by now, and who has
    /// copied something may have been told to drop it.
    #[test]
    fn of_what_is_reported_again_it_is_told_what_it_consists_of_and_not_who_holds_it() {
        let workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::default();
        reception.cut(0, (), &workers);
        let blocks = vec![block(1), block(2), block(3)];
        let report = BlocksReport {
            blocks: blocks.clone(),
            again: 2,
            replica: Some(OTHER),
            ..BlocksReport::default()
        };
        let Consequences { events, say, .. } = reception.reported(OWNER, 1, report, &workers);
        let held = |worker| Event::BlocksHeld { worker, blocks: vec![blocks[2].id()] };
        assert_eq!(events, [held(OWNER), held(OTHER), Event::HoldersKnown]);
        let keep = vec![blocks[2].sequence];
        let again = blocks[..2].iter().map(|block| block.sequence).collect();
        let settled = Say::Settled { source: 0, through: blocks[2].sequence, keep, again };
        assert_eq!(say, [(OTHER, settled)], "it knows itself which of them it holds");
        assert!(reception.is_answered(1, |_| true).is_empty(), "the other is still to answer");
        reception.reported(OTHER, 2, BlocksReport::default(), &workers);
        assert_eq!(reception.is_answered(2, |_| true), [((), Received { blocks, ..Received::default() })]);
    }

    /// The master before had lost its owner, and was gone before it could ask all for replicas.
    #[test]
    fn who_hears_of_replicas_of_somebody_who_is_not_there_asks_for_them() {
        let workers = Workers::from([OTHER]);
        let mut reception = Reception::default();
        reception.cut(0, (), &workers);
        let report = BlocksReport { owners: vec![OWNER, OTHER], ..BlocksReport::default() };
        let say = reception.reported(OTHER, 1, report.clone(), &workers).say;
        assert_eq!(say, [(OTHER, Say::ReportReplicas { request: 2, lost: OWNER })]);
        assert!(reception.is_answered(1, |_| true).is_empty(), "they are waited for");
        let replicas = BlocksReport { blocks: vec![block(1)], ..BlocksReport::default() };
        reception.reported(OTHER, 2, replicas, &workers);
        let received = Received {
            blocks: vec![block(1)],
            alone: BTreeMap::from([(block(1).id(), Vec::new())]),
            deferred: 0,
        };
        assert_eq!(reception.is_answered(2, |_| true), [((), received)]);
        reception.cut(0, (), &workers);
        assert!(reception.reported(OTHER, 3, report, &workers).say.is_empty(), "they were asked for");
    }

    /// The only holder may be gone by then, and no interval waits for another block.
    #[test]
    fn who_comes_back_with_all_batches_of_a_block_that_one_held_makes_it() {
        let batch = |sequence| BatchReport { client: ClientId(1), sequence, records: 1, bytes: 4 };
        let of = |sequence, batches: &[u64]| InputBlock {
            source: 0,
            sequence,
            batches: batches.iter().map(|sequence| batch(*sequence)).collect(),
        };
        let workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::<()>::default();
        reception.receive(Receive::new(0, "s", 10, 10), &workers);
        let told = |reception: &mut Reception<()>, worker, report| {
            let [(_, Say::ReportBlocks { request, .. })] = reception.comes_back(worker)[..] else {
                panic!("it is asked")
            };
            let say = reception.reported(worker, request, report, &workers).say;
            say.into_iter().filter(|(_, say)| matches!(say, Say::Make { .. })).collect::<Vec<_>>()
        };
        let (whole, part) = (of(input_sequence(OWNER, 1), &[1, 2]), of(input_sequence(OWNER, 2), &[3, 4]));
        let alone = BlocksReport { blocks: vec![whole.clone(), part], ..BlocksReport::default() };
        assert_eq!(told(&mut reception, OWNER, alone), []);
        let blocks = vec![of(input_sequence(OTHER, 0), &[0, 1]), of(input_sequence(OTHER, 1), &[2, 3])];
        let back = || BlocksReport { blocks: blocks.clone(), again: 2, ..BlocksReport::default() };
        let batches = vec![(ClientId(1), 1), (ClientId(1), 2)];
        let make = Say::Make { source: 0, sequence: whole.sequence, batches };
        assert_eq!(told(&mut reception, OTHER, back()), [(OTHER, make)]);
        reception.released(&[whole.id()]);
        assert_eq!(told(&mut reception, OTHER, back()), []);
        assert_eq!(
            (reception.may_need(&whole.id()), reception.may_need(&blocks[0].id())),
            (Some(false), Some(true))
        );
    }

    /// The simulator found it: who alone held a block was lost when an interval had it, and what it consists of was in a block of
    /// that worker, too, which another held.
    #[test]
    fn who_reports_for_a_lost_worker_all_batches_of_a_block_that_one_held_makes_it() {
        let batch = |sequence| BatchReport { client: ClientId(1), sequence, records: 1, bytes: 4 };
        let of = |count, batches: &[u64]| InputBlock {
            source: 0,
            sequence: input_sequence(OWNER, count),
            batches: batches.iter().map(|sequence| batch(*sequence)).collect(),
        };
        let (workers, first) = (Workers::from([OWNER, OTHER]), WorkerId(3));
        let mut reception = Reception::<()>::default();
        reception.receive(Receive::new(0, "s", 10, 10), &workers);
        let report = |block| BlocksReport { blocks: vec![block], ..BlocksReport::default() };
        let request = |said: &[(WorkerId, Say)], whom| {
            let mut requests = said.iter().filter_map(|(worker, say)| match say {
                Say::ReportReplicas { request, .. } if *worker == whom => Some(*request),
                _ => None,
            });
            requests.next().expect("it is asked")
        };
        let block = InputBlock { sequence: input_sequence(first, 7), ..of(0, &[1, 2]) };
        let asked = request(&reception.lost(first, &workers), OWNER);
        reception.reported(OWNER, asked, report(block.clone()), &workers);
        let workers = Workers::from([OTHER]);
        let asked = request(&reception.lost(OWNER, &workers), OTHER);
        let said = reception.reported(OTHER, asked, report(of(1, &[0, 1, 2])), &workers).say;
        let batches = vec![(ClientId(1), 1), (ClientId(1), 2)];
        assert_eq!(said, [(OTHER, Say::Make { source: 0, sequence: block.sequence, batches })]);
    }

    /// Whoever reported it is lost with the master, and an interval that is run again waits for it before another is cut.
    #[test]
    fn what_one_worker_held_when_a_master_before_cut_it_is_made_by_another_that_has_all_of_it() {
        let batch = |sequence| BatchReport { client: ClientId(1), sequence, records: 1, bytes: 1 };
        let of = |owner, sequences: &[u64]| InputBlock {
            sequence: input_sequence(owner, 7),
            batches: sequences.iter().map(|sequence| batch(*sequence)).collect(),
            ..block(0)
        };
        let (lost, cut, workers) = (of(OWNER, &[1, 2]), Receive::new(0, "s", 10, 10), Workers::from([OTHER]));
        let mut before = Reception::default();
        before.cut(0, (), &Workers::from([OWNER]));
        let report = BlocksReport { blocks: vec![lost.clone()], ..BlocksReport::default() };
        before.reported(OWNER, 1, report, &Workers::from([OWNER]));
        let [((), received)] = &before.is_answered(1, |_| true)[..] else { panic!("all have answered") };
        let written = received.alone[&lost.id()].clone();
        let mut reception = Reception::<()>::default();
        reception.were_alone(&[InputBlock { batches: written, ..lost.clone() }]);
        let said = reception.receive(cut, &workers);
        assert_eq!(said.last(), Some(&(OTHER, Say::ReportBlocks { request: 1, source: 0 })));
        let report =
            BlocksReport { blocks: vec![of(OTHER, &[0, 1, 2])], again: 1, ..BlocksReport::default() };
        let said = reception.reported(OTHER, 1, report, &workers).say;
        let batches = vec![(ClientId(1), 1), (ClientId(1), 2)];
        assert_eq!(said, [(OTHER, Say::Make { source: 0, sequence: lost.sequence, batches })]);
    }

    /// It may be that only a worker that nobody has heard of yet holds it.
    #[test]
    fn what_nobody_holds_is_in_the_interval_that_is_cut_when_somebody_says_that_it_does() {
        let workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::default();
        reception.cut(0, "first", &workers);
        let report = BlocksReport { blocks: vec![block(1)], ..BlocksReport::default() };
        reception.reported(OWNER, 1, report, &workers);
        reception.is_answered(1, |_| false);
        reception.reported(OTHER, 2, BlocksReport::default(), &workers);
        assert_eq!(reception.is_answered(2, |_| false), [("first", Received::default())]);
        reception.cut(0, "second", &Workers::from([OTHER]));
        reception.reported(OTHER, 3, BlocksReport::default(), &workers);
        let received = Received {
            blocks: vec![block(1)],
            alone: BTreeMap::from([(block(1).id(), Vec::new())]),
            deferred: 0,
        };
        assert_eq!(reception.is_answered(3, |_| true), [("second", received)]);
    }

    #[test]
    fn whoever_is_lost_with_the_one_that_held_what_it_received_is_named() {
        let third = WorkerId(6);
        let reported = |reception: &mut Reception<()>, replica| {
            let workers = Workers::from([OWNER, OTHER, third]);
            reception.cut(0, (), &workers);
            let report = BlocksReport { replica: Some(replica), ..BlocksReport::default() };
            reception.reported(OWNER, reception.requests - 2, report, &workers);
        };
        for (first, second) in [(OWNER, OTHER), (OTHER, OWNER)] {
            let mut reception = Reception::default();
            reported(&mut reception, OTHER);
            reception.lost(first, &Workers::from([second, third]));
            assert_eq!(reception.lost_with(first), None, "the other tells of it");
            reception.lost(second, &Workers::from([third]));
            assert_eq!(reception.lost_with(second), Some(first));
        }
        let mut reception = Reception::default();
        reported(&mut reception, OTHER);
        reception.lost(OWNER, &Workers::from([OTHER, third]));
        let asked = reception.requests - 1;
        reception.reported(OTHER, asked, BlocksReport::default(), &Workers::from([OTHER, third]));
        reception.lost(OTHER, &Workers::from([third]));
        assert_eq!(reception.lost_with(OTHER), None, "it had told of it");
        let mut reception = Reception::default();
        reported(&mut reception, OTHER);
        reception.lost(OTHER, &Workers::from([OWNER, third]));
        reported(&mut reception, third);
        reception.lost(OWNER, &Workers::from([third]));
        assert_eq!(reception.lost_with(OWNER), None, "the third holds it");
    }

    /// It may hold what only the lost one had beside it.
    #[test]
    fn who_wants_to_leave_says_first_what_it_holds_of_who_is_lost() {
        let workers = Workers::from([OTHER]);
        let mut reception = Reception::<()>::default();
        reception.leaves(OTHER, &workers);
        assert!(reception.may_leave(OTHER), "no source is there to ask for");
        reception.lost(OWNER, &workers);
        assert!(!reception.may_leave(OTHER));
        reception.reported(OTHER, 1, BlocksReport::default(), &workers);
        reception.is_answered(1, |_| true);
        assert!(reception.may_leave(OTHER));
    }

    /// Those whose clients it would have acknowledged next are told to go elsewhere before it says what it holds.
    #[test]
    fn who_wants_to_leave_says_what_it_holds_and_takes_nothing_more() {
        let workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::<()>::default();
        let receive = Receive::new(0, "s", 10, 10);
        reception.receive(receive.clone(), &workers);
        let share = |open| Say::Receive(Receive { open, records_max: 5, bytes_max: 5, ..receive.clone() });
        let asked = Say::ReportBlocks { request: 1, source: 0 };
        assert_eq!(reception.leaves(OWNER, &workers), [(OWNER, share(false)), (OWNER, asked)]);
        assert!(!reception.may_leave(OWNER) && reception.may_leave(OTHER));
        let report = BlocksReport { blocks: vec![block(1)], ..BlocksReport::default() };
        let events = reception.reported(OWNER, 1, report, &workers).events;
        assert!(events.contains(&Event::HoldersKnown), "nobody else holds it: {events:?}");
        reception.is_answered(1, |_| true);
        assert!(reception.may_leave(OWNER));
        assert_eq!(reception.joined(&workers), [(OWNER, share(false)), (OTHER, share(true))]);
    }
}
