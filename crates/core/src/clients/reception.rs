use std::collections::{BTreeMap, BTreeSet};

use crate::{BlockId, Event, WorkerId, id::receiver_of};

use super::{BlocksReport, InputBlock, Receive};

/// What workers receive from clients, on its way into intervals.
///
/// Properties:
/// - each worker takes a share of what an interval may take from a source;
/// - when an interval is cut, every worker is asked for its blocks, and whoever waits is answered when all have
///   answered or are lost;
/// - blocks of a worker that is lost are reported by whoever holds replicas of them: they are waited for too, and
///   are in the interval that is cut next;
/// - what was reported is in exactly one interval.
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
    /// Reported, and in no interval.
    fresh: BTreeMap<u32, Received>,
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
        let (sources, requests, asked, cuts, fresh, reported) = Default::default();
        Self { sources, requests, asked, cuts, fresh, reported }
    }
}

/// Each time `workers` are those that clients can reach, and who asked for something is to be told what
/// [is answered](Reception::answered) once what is to be said was said.
impl<R> Reception<R> {
    /// A source takes records, or takes them otherwise than before.
    pub fn receive(&mut self, receive: Receive, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let share = share(&receive, workers.len());
        self.sources.insert(receive.source, receive);
        workers.iter().map(|worker| (*worker, Say::Receive(share.clone()))).collect()
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
        let shares = self.sources.values().map(|receive| share(receive, workers.len()));
        shares
            .flat_map(|share| workers.iter().map(move |worker| (*worker, Say::Receive(share.clone()))))
            .collect()
    }

    /// A worker is gone, and is in `workers` no longer.
    pub fn lost(&mut self, lost: WorkerId, workers: &Workers) -> Vec<(WorkerId, Say)> {
        let mut said = self.joined(workers);
        let unanswered = self.asked.extract_if(.., |_, asked| asked.whom == lost);
        let unanswered: Vec<u64> = unanswered.map(|(request, _)| request).collect();
        for worker in workers {
            let request = self.ask(*worker, None);
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
            None => self.replicas(worker, report.blocks),
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
        if let Some(through) = blocks.last().map(|block| block.sequence) {
            self.reported.insert((source, worker), through);
            let settled = |keep| Say::Settled { source, through, keep };
            let keep = blocks.iter().map(|block| block.sequence).collect();
            consequences.say.extend(replica.map(|replica| (replica, settled(keep))));
            consequences.say.extend(left.into_iter().map(|left| (left, settled(Vec::new()))));
            let held = |worker, blocks: &[InputBlock]| Event::BlocksHeld {
                worker,
                blocks: blocks.iter().map(InputBlock::id).collect(),
            };
            let again = usize::try_from(again).unwrap_or(usize::MAX).min(blocks.len());
            consequences.events.push(held(worker, &blocks));
            consequences.events.extend(replica.map(|replica| held(replica, &blocks[again..])));
            if again > 0 {
                consequences.events.push(Event::HoldersKnown);
            }
        }
        let fresh = self.fresh.entry(source).or_default();
        fresh.deferred += deferred;
        fresh.blocks.extend(blocks);
        consequences
    }

    /// Replicas of blocks of a worker that is lost, and that has not reported them.
    fn replicas(&mut self, worker: WorkerId, blocks: Vec<InputBlock>) -> Consequences {
        let (old, new): (Vec<_>, Vec<_>) = blocks.into_iter().partition(|block| {
            let owner = receiver_of(block.sequence);
            self.reported.get(&(block.source, owner)).is_some_and(|through| block.sequence <= *through)
        });
        // Of those that the lost worker had reported, the worker was told which to keep, or is a holder that the
        // lost one had left.
        let useless = old.iter().map(InputBlock::id).collect();
        let held = Event::BlocksHeld { worker, blocks: new.iter().map(InputBlock::id).collect() };
        // The other holder was the one that is lost.
        let known = (!new.is_empty()).then_some(Event::HoldersKnown);
        for block in new {
            self.fresh.entry(block.source).or_default().blocks.push(block);
        }
        Consequences {
            events: [Some(held), known].into_iter().flatten().collect(),
            say: Vec::new(),
            drop: Some((worker, useless)),
        }
    }

    /// To be called after the consequences were carried out: who is answered may use the blocks at once.
    pub fn is_answered(&mut self, request: u64) -> Vec<(R, Received)> {
        self.cuts.iter_mut().for_each(|cut| {
            cut.waits_for.remove(&request);
        });
        self.answered()
    }

    /// Those who asked for an interval for which there is nothing more to wait for, and what it has.
    pub fn answered(&mut self) -> Vec<(R, Received)> {
        let answered: Vec<_> = self.cuts.extract_if(.., |cut| cut.waits_for.is_empty()).collect();
        let answer = |Cut { source, reply, .. }| {
            let mut received = self.fresh.remove(&source).unwrap_or_default();
            received.blocks.sort_unstable_by_key(|block| block.sequence);
            (reply, received)
        };
        answered.into_iter().map(answer).collect()
    }

    fn ask(&mut self, whom: WorkerId, source: Option<u32>) -> u64 {
        self.requests += 1;
        self.asked.insert(self.requests, Asked { whom, source });
        self.requests
    }
}

/// What one of `workers` workers may take.
fn share(all: &Receive, workers: usize) -> Receive {
    let part = |all: u64| all.div_ceil(workers.max(1) as u64);
    Receive { records_max: part(all.records_max), bytes_max: part(all.bytes_max), ..all.clone() }
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
}
