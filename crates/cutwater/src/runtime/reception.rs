use std::collections::{BTreeMap, BTreeSet};

use crossbeam_channel::Sender;
use cutwater_core::{BlockId, Event, WorkerId, id::receiver_of};
use cutwater_wire::{
    client::{BlocksReport, InputBlock, Receive},
    message::ToWorker,
};

use super::link::Link;

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
/// Only the master's thread touches it. If the process dies, what was reported and is in no interval is still held
/// by workers.
#[derive(Default)]
pub(super) struct Reception {
    /// What the program asks for, for all workers together.
    sources: BTreeMap<u32, Receive>,
    requests: u64,
    /// Requests that were not answered.
    asked: BTreeMap<u64, Asked>,
    cuts: Vec<Cut>,
    /// Reported, and in no interval.
    fresh: BTreeMap<u32, Received>,
    /// The last block of each worker that it has reported itself.
    reported: BTreeMap<(u32, WorkerId), u64>,
}

/// What workers have received for an interval.
#[derive(Debug, Default)]
pub(crate) struct Received {
    /// Blocks that are held, in the order of their numbers.
    pub blocks: Vec<InputBlock>,
    /// Connections that had to wait.
    pub deferred: u64,
}

struct Asked {
    whom: WorkerId,
    /// Of the blocks of this source, or else of a lost worker's.
    source: Option<u32>,
}

struct Cut {
    source: u32,
    waits_for: BTreeSet<u64>,
    reply: Sender<Received>,
}

/// What a report means for others.
#[derive(Default)]
pub(super) struct Consequences {
    pub events: Vec<Event>,
    pub say: Vec<(WorkerId, ToWorker)>,
    /// Blocks that nobody needs, and who holds them.
    pub drop: Option<(WorkerId, Vec<BlockId>)>,
}

type Links = BTreeMap<WorkerId, Link>;

impl Reception {
    /// A source takes records, or takes them otherwise than before.
    pub fn receive(&mut self, receive: Receive, links: &Links) {
        let share = share(&receive, workers(links).count());
        links.values().for_each(|link| link.receive(share.clone()));
        self.sources.insert(receive.source, receive);
    }

    /// An interval is to have what there is of a source.
    pub fn cut(&mut self, source: u32, reply: Sender<Received>, links: &Links) {
        // Whoever is asked about a lost worker may still have something for this interval.
        let mut waits_for: BTreeSet<u64> = self.asked.keys().copied().collect();
        for (worker, link) in workers(links) {
            let request = self.ask(*worker, Some(source));
            waits_for.insert(request);
            link.report_blocks(request, source);
        }
        self.cuts.push(Cut { source, waits_for, reply });
        self.answer();
    }

    pub fn joined(&mut self, links: &Links) {
        // All have a smaller share now.
        for receive in self.sources.values() {
            let share = share(receive, workers(links).count());
            links.values().for_each(|link| link.receive(share.clone()));
        }
    }

    /// A worker is gone, and is in `links` no longer.
    pub fn lost(&mut self, lost: WorkerId, links: &Links) {
        self.joined(links);
        let unanswered = self.asked.extract_if(.., |_, asked| asked.whom == lost).map(|(request, _)| request);
        let unanswered: Vec<u64> = unanswered.collect();
        for (worker, link) in workers(links) {
            let request = self.ask(*worker, None);
            link.report_replicas(request, lost);
            self.cuts.iter_mut().for_each(|cut| {
                cut.waits_for.insert(request);
            });
        }
        unanswered.into_iter().for_each(|request| self.is_answered(request));
    }

    /// What a worker answers.
    pub fn reported(
        &mut self,
        worker: WorkerId,
        request: u64,
        report: BlocksReport,
        links: &Links,
    ) -> Consequences {
        // A worker that is lost has said so too late: others were asked.
        let Some(asked) = self.asked.remove(&request).filter(|_| links.contains_key(&worker)) else {
            return Consequences::default();
        };
        match asked.source {
            Some(source) => self.own(worker, source, report, links),
            None => self.replicas(worker, report.blocks),
        }
    }

    fn own(&mut self, worker: WorkerId, source: u32, report: BlocksReport, links: &Links) -> Consequences {
        let BlocksReport { blocks, again, replica, left, deferred } = report;
        let mut consequences = Consequences::default();
        let replica = replica.filter(|replica| links.contains_key(replica));
        if let Some(through) = blocks.last().map(|block| block.sequence) {
            self.reported.insert((source, worker), through);
            let settled = |keep| ToWorker::Settled { source, through, keep };
            let keep = blocks.iter().map(|block| block.sequence).collect();
            consequences.say.extend(replica.map(|replica| (replica, settled(keep))));
            consequences.say.extend(left.into_iter().map(|left| (left, settled(Vec::new()))));
            let held = |worker, blocks: &[InputBlock]| Event::BlocksHeld {
                worker,
                blocks: blocks.iter().map(id).collect(),
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
        let useless = old.iter().map(id).collect();
        let held = Event::BlocksHeld { worker, blocks: new.iter().map(id).collect() };
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
    pub fn is_answered(&mut self, request: u64) {
        self.cuts.iter_mut().for_each(|cut| {
            cut.waits_for.remove(&request);
        });
        self.answer();
    }

    fn answer(&mut self) {
        for cut in self.cuts.extract_if(.., |cut| cut.waits_for.is_empty()) {
            let mut received = self.fresh.remove(&cut.source).unwrap_or_default();
            received.blocks.sort_unstable_by_key(|block| block.sequence);
            // Whoever waited may have given up.
            let _ = cut.reply.send(received);
        }
    }

    fn ask(&mut self, whom: WorkerId, source: Option<u32>) -> u64 {
        self.requests += 1;
        self.asked.insert(self.requests, Asked { whom, source });
        self.requests
    }
}

/// Those that clients can reach.
fn workers(links: &Links) -> impl Iterator<Item = (&WorkerId, &Link)> {
    links.iter().filter(|(_, link)| link.is_worker())
}

fn id(block: &InputBlock) -> BlockId {
    BlockId::Input { source: block.source, sequence: block.sequence }
}

/// What one of `workers` workers may take.
fn share(all: &Receive, workers: usize) -> Receive {
    let part = |all: u64| all.div_ceil(workers.max(1) as u64);
    Receive { records_max: part(all.records_max), bytes_max: part(all.bytes_max), ..all.clone() }
}

#[cfg(test)]
mod tests {
    use crossbeam_channel::bounded;
    use cutwater_core::id::input_sequence;
    use tokio::sync::mpsc::unbounded_channel;

    use super::*;
    use crate::runtime::link::Away;

    const OWNER: WorkerId = WorkerId(4);
    const OTHER: WorkerId = WorkerId(5);

    fn block(count: u64) -> InputBlock {
        InputBlock { source: 0, sequence: input_sequence(OWNER, count), batches: Vec::new() }
    }

    /// The worker that held replicas of what was reported to the master before may be lost by now.
    #[test]
    fn of_what_is_reported_again_only_who_says_so_is_a_holder() {
        let link = || Link::Away(Box::new(Away::new(unbounded_channel().0)));
        let links = Links::from([(OWNER, link()), (OTHER, link())]);
        let mut reception = Reception::default();
        let (reply, received) = bounded(1);
        reception.cut(0, reply, &links);
        let blocks = vec![block(1), block(2), block(3)];
        let report = BlocksReport {
            blocks: blocks.clone(),
            again: 2,
            replica: Some(OTHER),
            ..BlocksReport::default()
        };
        let events = reception.reported(OWNER, 1, report, &links).events;
        let held = |worker, blocks: &[InputBlock]| Event::BlocksHeld {
            worker,
            blocks: blocks.iter().map(id).collect(),
        };
        assert_eq!(events, [held(OWNER, &blocks), held(OTHER, &blocks[2..]), Event::HoldersKnown]);
        reception.is_answered(1);
        assert!(received.is_empty(), "the other is still to answer");
        reception.reported(OTHER, 2, BlocksReport::default(), &links);
        reception.is_answered(2);
        assert_eq!(received.recv().unwrap().blocks, blocks);
    }
}
