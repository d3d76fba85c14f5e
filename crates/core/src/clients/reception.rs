use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{BlockId, Event, WorkerId, id::receiver_of, limits};

use super::{BlocksReport, InputBlock, Receive};

/// What workers receive from clients, on its way into intervals.
///
/// Properties:
/// - each worker takes a share of what an interval may take from a source;
/// - when an interval is cut, every worker is asked for its blocks, and whoever waits is answered when all have
///   answered or are lost;
/// - blocks of a worker that is lost are reported by whoever holds replicas of them: they are waited for too, and
///   are in the interval that is cut next;
/// - who wants to leave and is asked for such replicas stays until it has answered;
/// - what was reported is in exactly one interval, unless all that hold it are lost before that is cut: what is in it may
///   be in another block, too.
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
/// let [(for_whom, received)] = &reception.is_answered(1)[..] else { panic!("all have answered") };
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
}

/// What workers have received for an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// Blocks that are held, in the order of their numbers.
    pub blocks: Vec<InputBlock>,
    /// Connections that had to wait.
    pub deferred: u64,
}

#[derive(Debug, Default)]
struct Fresh {
    /// With those that hold them.
    blocks: Vec<(InputBlock, Workers)>,
    /// Those whose last holder is lost, the oldest first: a copy of one may have been made, of which nobody has told yet.
    unheld: VecDeque<InputBlock>,
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
        let (sources, requests, asked, cuts, fresh, leaving, reported) = Default::default();
        Self { sources, requests, asked, cuts, fresh, leaving, reported }
    }
}

/// Each time `workers` are those that clients can reach, and who asked for something is to be told what
/// [is answered](Reception::answered) once what is to be said was said.
impl<R> Reception<R> {
    /// A source takes records, or takes them otherwise than before.
    pub fn receive(&mut self, receive: Receive, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let source = receive.source;
        self.sources.insert(source, receive);
        workers.iter().filter_map(|worker| self.share(source, *worker, workers)).collect()
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

    /// Whether a worker that wants to leave has said what it holds.
    pub fn may_leave(&self, worker: WorkerId) -> bool {
        self.leaving.get(&worker).is_none_or(BTreeSet::is_empty)
    }

    /// A worker is gone, and is in `workers` no longer.
    pub fn lost(&mut self, lost: WorkerId, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let mut said = self.joined(workers);
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
        self.fresh.values_mut().for_each(|fresh| fresh.lose(lost));
        said
    }

    /// A worker holds these from now on, too.
    pub fn copied(&mut self, worker: WorkerId, blocks: &[BlockId]) {
        for fresh in self.fresh.values_mut() {
            let found: Vec<usize> =
                (0..fresh.unheld.len()).rev().filter(|at| blocks.contains(&fresh.unheld[*at].id())).collect();
            for at in found {
                fresh.blocks.extend(fresh.unheld.remove(at).map(|block| (block, Workers::new())));
            }
            for (_, holders) in fresh.blocks.iter_mut().filter(|(block, _)| blocks.contains(&block.id())) {
                holders.insert(worker);
            }
        }
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
        let BlocksReport { blocks, again, replica, left, deferred } = report;
        let mut consequences = Consequences::default();
        let replica = replica.filter(|replica| workers.contains(replica));
        let again = usize::try_from(again).unwrap_or(usize::MAX).min(blocks.len());
        let own = |block: &&InputBlock| receiver_of(block.sequence) == worker;
        if let Some(through) = blocks.iter().filter(own).map(|block| block.sequence).max() {
            self.reported.insert((source, worker), through);
            let settled = |keep| Say::Settled { source, through, keep };
            let keep: Vec<u64> = blocks.iter().filter(own).map(|block| block.sequence).collect();
            // Of what a master before was told only it knew who held replicas.
            let others = workers.iter().copied().filter(|other| *other != worker && again > 0);
            let told: Workers = replica.into_iter().chain(others).collect();
            consequences.say.extend(told.into_iter().map(|other| (other, settled(keep.clone()))));
            consequences.say.extend(left.into_iter().map(|left| (left, settled(Vec::new()))));
        }
        if !blocks.is_empty() {
            let held = |worker, blocks: &[InputBlock]| Event::BlocksHeld {
                worker,
                blocks: blocks.iter().map(InputBlock::id).collect(),
            };
            consequences.events.push(held(worker, &blocks));
            consequences.events.extend(replica.map(|replica| held(replica, &blocks[again..])));
            // There may be others by now who can hold what only the worker does.
            if again > 0 || replica.is_none() {
                consequences.events.push(Event::HoldersKnown);
            }
        }
        let fresh = self.fresh.entry(source).or_default();
        fresh.deferred += deferred;
        for (at, block) in blocks.into_iter().enumerate() {
            let holders = replica.filter(|_| at >= again).into_iter().chain([worker]).collect();
            fresh.take(block, holders);
        }
        consequences
    }

    /// Replicas of blocks of a worker that is lost. It had told this master nothing of them, or has left them.
    fn replicas(&mut self, worker: WorkerId, report: BlocksReport) -> Consequences {
        let (mut new, mut useless) = (Vec::new(), Vec::new());
        for block in report.blocks {
            let through = self.reported.get(&(block.source, receiver_of(block.sequence)));
            match through.is_some_and(|through| block.sequence <= *through) {
                true => useless.push(block.id()),
                false => new.push(block),
            }
        }
        let held = Event::BlocksHeld { worker, blocks: new.iter().map(InputBlock::id).collect() };
        // The other holder was the one that is lost.
        let known = (!new.is_empty()).then_some(Event::HoldersKnown);
        for block in new {
            self.fresh.entry(block.source).or_default().take(block, Workers::from([worker]));
        }
        Consequences {
            events: [Some(held), known].into_iter().flatten().collect(),
            say: Vec::new(),
            drop: Some((worker, useless)),
        }
    }

    /// To be called after the consequences were carried out: who is answered may use the blocks at once.
    pub fn is_answered(&mut self, request: u64) -> Vec<(R, Received)> {
        for waits_for in self.leaving.values_mut().chain(self.cuts.iter_mut().map(|cut| &mut cut.waits_for)) {
            waits_for.remove(&request);
        }
        self.answered()
    }

    /// Those who asked for an interval for which there is nothing more to wait for, and what it has.
    pub fn answered(&mut self) -> Vec<(R, Received)> {
        let answered: Vec<_> = self.cuts.extract_if(.., |cut| cut.waits_for.is_empty()).collect();
        let answer = |Cut { source, reply, .. }| {
            let fresh = self.fresh.entry(source).or_default();
            let deferred = std::mem::take(&mut fresh.deferred);
            let mut blocks: Vec<InputBlock> = fresh.blocks.drain(..).map(|(block, _)| block).collect();
            blocks.sort_unstable_by_key(|block| block.sequence);
            (reply, Received { blocks, deferred })
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
    /// A block was reported: for a master that takes over by more than one, perhaps.
    fn take(&mut self, block: InputBlock, holders: Workers) {
        match self.blocks.iter_mut().find(|(known, _)| known.sequence == block.sequence) {
            Some((_, known)) => known.extend(holders),
            None => {
                self.unheld.retain(|unheld| unheld.sequence != block.sequence);
                self.blocks.push((block, holders));
            }
        }
    }

    /// What nobody else holds is in no interval, until somebody says that it is copied.
    fn lose(&mut self, lost: WorkerId) {
        self.blocks.iter_mut().for_each(|(_, holders)| {
            holders.remove(&lost);
        });
        let unheld = self.blocks.extract_if(.., |(_, holders)| holders.is_empty());
        self.unheld.extend(unheld.map(|(block, _)| block));
        // No more are being copied at a time.
        self.unheld.drain(..self.unheld.len().saturating_sub(limits::COPIES_MAX));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::input_sequence;

    const OWNER: WorkerId = WorkerId(4);
    const OTHER: WorkerId = WorkerId(5);

    fn block(count: u64) -> InputBlock {
        InputBlock { source: 0, sequence: input_sequence(OWNER, count), batches: Vec::new() }
    }

    /// The worker that held replicas of what was reported to the master before may be lost by now.
    #[test]
    fn of_what_is_reported_again_only_who_says_so_is_a_holder() {
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
        let events = reception.reported(OWNER, 1, report, &workers).events;
        let held = |worker, blocks: &[InputBlock]| Event::BlocksHeld {
            worker,
            blocks: blocks.iter().map(InputBlock::id).collect(),
        };
        assert_eq!(events, [held(OWNER, &blocks), held(OTHER, &blocks[2..]), Event::HoldersKnown]);
        assert!(reception.is_answered(1).is_empty(), "the other is still to answer");
        reception.reported(OTHER, 2, BlocksReport::default(), &workers);
        assert_eq!(reception.is_answered(2), [((), Received { blocks, deferred: 0 })]);
    }

    /// Of two that held replicas of a lost worker one is lost, too, before the interval is cut.
    #[test]
    fn what_nobody_holds_any_more_is_in_no_interval() {
        let third = WorkerId(6);
        let mut workers = Workers::from([OTHER, third]);
        let mut reception = Reception::default();
        reception.lost(OWNER, &workers);
        for (request, worker) in [(1, OTHER), (2, third)] {
            let report = BlocksReport { blocks: vec![block(request)], ..BlocksReport::default() };
            reception.reported(worker, request, report, &workers);
        }
        workers.remove(&OTHER);
        reception.lost(OTHER, &workers);
        reception.reported(third, 3, BlocksReport::default(), &workers);
        reception.cut(0, (), &workers);
        reception.reported(third, 4, BlocksReport::default(), &workers);
        let received = Received { blocks: vec![block(2)], deferred: 0 };
        assert_eq!(reception.is_answered(4), [((), received)]);
    }

    /// It may be that only a worker that nobody has heard of yet holds it.
    #[test]
    fn a_copy_of_which_is_told_when_the_others_are_lost_is_in_the_next_interval() {
        let mut workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::default();
        reception.cut(0, "first", &workers);
        let report = BlocksReport { blocks: vec![block(1)], ..BlocksReport::default() };
        reception.reported(OWNER, 1, report, &workers);
        reception.is_answered(1);
        workers.remove(&OWNER);
        reception.lost(OWNER, &workers);
        for request in [2, 3] {
            reception.reported(OTHER, request, BlocksReport::default(), &workers);
        }
        reception.is_answered(2);
        assert_eq!(reception.is_answered(3), [("first", Received::default())]);
        reception.copied(OTHER, &[block(1).id()]);
        reception.cut(0, "second", &workers);
        reception.reported(OTHER, 4, BlocksReport::default(), &workers);
        let received = Received { blocks: vec![block(1)], deferred: 0 };
        assert_eq!(reception.is_answered(4), [("second", received)]);
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
        reception.is_answered(1);
        assert!(reception.may_leave(OTHER));
    }

    /// Those whose clients it would have acknowledged next are told to go elsewhere before it says what it holds.
    #[test]
    fn who_wants_to_leave_says_what_it_holds_and_takes_nothing_more() {
        let workers = Workers::from([OWNER, OTHER]);
        let mut reception = Reception::<()>::default();
        let (name, records_max, bytes_max) = ("s".to_owned(), 10, 10);
        let receive =
            Receive { source: 0, name, open: true, records_max, bytes_max, blocks_from: 0, block_ms: 200 };
        reception.receive(receive.clone(), &workers);
        let share = |open| Say::Receive(Receive { open, records_max: 5, bytes_max: 5, ..receive.clone() });
        let asked = Say::ReportBlocks { request: 1, source: 0 };
        assert_eq!(reception.leaves(OWNER, &workers), [(OWNER, share(false)), (OWNER, asked)]);
        assert!(!reception.may_leave(OWNER) && reception.may_leave(OTHER));
        let report = BlocksReport { blocks: vec![block(1)], ..BlocksReport::default() };
        let events = reception.reported(OWNER, 1, report, &workers).events;
        assert!(events.contains(&Event::HoldersKnown), "nobody else holds it: {events:?}");
        reception.is_answered(1);
        assert!(reception.may_leave(OWNER));
        assert_eq!(reception.joined(&workers), [(OWNER, share(false)), (OTHER, share(true))]);
    }
}
