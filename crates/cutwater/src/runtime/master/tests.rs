//! Masters that are told everything at once, and what their workers are told.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::thread::{self, JoinHandle};

use cutwater_core::id::input_sequence;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::*;
use crate::{
    Context,
    checkpoint::store::Store,
    runtime::{lease, link::Away},
};

const ONE: WorkerId = WorkerId(1);
const OTHER: WorkerId = WorkerId(2);

/// A master on a thread of its own.
struct Trial {
    to: Sender<ToMaster>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Trial {
    fn start() -> Self {
        Self::start_with(&Begins::default())
    }

    fn start_with(begins: &Begins) -> Self {
        let (to, messages) = crossbeam_channel::unbounded();
        let shared = Arc::<Shared>::default();
        let master = Master::new(shared.clone(), false, begins);
        Self { to, shared, thread: thread::spawn(move || master.run(&messages)) }
    }

    fn say(&self, message: ToMaster) {
        self.to.send(message).unwrap();
    }

    /// A worker joins; what it is told.
    fn joins(&self, worker: WorkerId, holds: &[BlockId]) -> UnboundedReceiver<ToWorker> {
        let (to, told) = unbounded_channel();
        let (link, address) = (Link::Away(Box::new(Away::new(to))), Some(format!("{worker}:1")));
        self.say(ToMaster::Joined { worker, slots: 1, link, address, holds: holds.to_vec() });
        told
    }

    fn end(self) {
        self.say(ToMaster::Shutdown);
        self.thread.join().unwrap();
    }
}

/// It has come back by another connection, and what it said by the first is heard only then: nobody answers for it, and no
/// interval waits for that.
#[test]
fn what_a_worker_said_before_it_was_lost_comes_too_late() {
    let trial = Trial::start();
    let _first = trial.joins(ONE, &[]);
    let mut told = trial.joins(OTHER, &[]);
    trial.say(ToMaster::Receive(Receive::new(0, "s", 10, 10)));
    trial.say(ToMaster::BeginsAnew { worker: ONE });
    trial.say(ToMaster::Draining { worker: ONE });
    let (reply, received) = crossbeam_channel::bounded(1);
    trial.say(ToMaster::Cut { source: 0, reply });
    // Of the lost one's replicas, and then of its own.
    for _ in 0..2 {
        let request = loop {
            match told.blocking_recv().unwrap() {
                ToWorker::ReportReplicas(request, _) | ToWorker::ReportBlocks(request, _) => break request,
                _ => {}
            }
        };
        trial.say(ToMaster::Reported { worker: OTHER, request, report: BlocksReport::default() });
    }
    trial.end();
    assert_eq!(received.try_recv(), Ok(Received::default()), "all have answered who are asked");
}

/// The scheduler hears that a worker is lost a little later than it is, and may choose it meanwhile.
#[test]
fn a_task_that_is_sent_to_a_worker_which_is_gone_is_lost_with_it() {
    let mut master = Master::new(Arc::default(), false, &Begins::default());
    let joins = |master: &mut Master, worker| {
        let (to, told) = unbounded_channel();
        let (link, address) = (Link::Away(Box::new(Away::new(to))), Some(format!("{worker}:1")));
        master.joined(worker, Entering { slots: 1, link, address, holds: Vec::new() });
        told
    };
    let _gone = joins(&mut master, ONE);
    let link = master.links.remove(&ONE).unwrap();
    let step = Context::local(1).parallelize([1]).node().alone();
    let (reply, answer) = crossbeam_channel::bounded(1);
    master.submit(JobId(1), step.dataset.id, vec![step], reply);
    assert!(answer.try_recv().is_err(), "nothing has failed");
    master.links.insert(ONE, link);
    master.lost(ONE);
    let mut told = joins(&mut master, OTHER);
    let mut told = std::iter::from_fn(|| told.try_recv().ok());
    assert!(told.any(|message| matches!(message, ToWorker::Run(_))), "it runs elsewhere");
    assert!(answer.try_recv().is_err());
}

/// Those that are in no interval would stay with workers for ever, and be copied at each loss.
#[test]
fn received_blocks_that_no_interval_needs_go() {
    let block = |source, count| BlockId::Input { source, sequence: input_sequence(WorkerId::MASTER, count) };
    let (needed, unrecorded, of_clients) = (block(0, 1), block(0, 2), block(1, 1));
    let all = [needed, unrecorded, of_clients];
    let (_dir, store) = Store::temporary();
    let mut begins = Begins::default();
    begins.keeper = Some(Arc::new(Keeper::start(&store, 1, false).unwrap().0));
    begins.workers.here = [ONE, OTHER].map(|worker| (worker, format!("{worker}:1"))).to_vec();
    let trial = Trial::start_with(&begins);
    let mut early = trial.joins(ONE, &all);
    let (inputs, reported) = (HashSet::from([needed]), HashSet::from([1]));
    trial.say(ToMaster::UseOnly(Box::new(Used { datasets: HashSet::new(), inputs, reported })));
    trial.say(ToMaster::Event(Event::InputsReleased { blocks: vec![needed] }));
    let mut late = trial.joins(OTHER, &all);
    trial.end();
    let dropped = |told: &mut UnboundedReceiver<ToWorker>| {
        let told = std::iter::from_fn(|| told.try_recv().ok());
        let dropped = told.filter_map(|message| match message {
            ToWorker::Drop(blocks) => Some(Blocks::long(&blocks).unwrap()),
            _ => None,
        });
        dropped.collect::<Vec<_>>()
    };
    assert_eq!(dropped(&mut early), [[unrecorded], [needed]]);
    let late: HashSet<BlockId> = dropped(&mut late).into_iter().flatten().collect();
    assert_eq!(late, HashSet::from([needed, unrecorded]));
}

/// It may be there all the same, with what nobody else holds. One that was let go is gone.
#[test]
fn a_worker_that_is_lost_is_named_as_such_until_somebody_is_where_it_was() {
    let (_dir, store) = Store::temporary();
    let mut begins = Begins::default();
    let keeper = Arc::new(Keeper::start(&store, 1, false).unwrap().0);
    begins.keeper = Some(keeper.clone());
    let trial = Trial::start_with(&begins);
    keeper.tell(trial.to.clone());
    let named = |here: &[u32], lost: &[u32]| {
        let at = |workers: &[u32]| -> Vec<_> {
            workers.iter().map(|worker| (WorkerId(*worker), format!("{}:1", WorkerId(*worker)))).collect()
        };
        let mut expected = Workers { here: at(here), lost: Lost::default() };
        at(lost).into_iter().for_each(|(worker, address)| expected.lost.put(worker, address));
        while lease::named(&store) != expected {
            thread::yield_now();
        }
    };
    let joins = |worker| {
        let told = trial.joins(worker, &[]);
        while !trial.shared.joined().contains_key(&worker) {
            thread::yield_now();
        }
        told
    };
    let (_one, mut other) = (joins(ONE), joins(OTHER));
    named(&[1, 2], &[]);
    trial.say(ToMaster::Lost { worker: ONE });
    named(&[2], &[1]);
    trial.say(ToMaster::Draining { worker: OTHER });
    while other.blocking_recv() != Some(ToWorker::Stop) {}
    trial.say(ToMaster::Lost { worker: OTHER });
    named(&[], &[1]);
    let _one = joins(ONE);
    named(&[1], &[]);
    trial.end();
}

/// Whoever takes over at any moment finds all that were named before: they are relied on.
#[test]
fn the_lease_goes_on_naming_all_while_some_come_in() {
    let (_dir, store) = Store::temporary();
    let mut begins = Begins::default();
    let (keeper, _) = Keeper::start(&store, 1, false).unwrap();
    let keeper = Arc::new(keeper);
    begins.keeper = Some(keeper.clone());
    let trial = Trial::start_with(&begins);
    keeper.tell(trial.to.clone());
    let workers: BTreeSet<WorkerId> = (1..200).map(WorkerId).collect();
    let _told: Vec<_> = workers.iter().map(|worker| trial.joins(*worker, &[])).collect();
    let mut named = BTreeSet::new();
    while trial.shared.joined().len() < workers.len() {
        let now: BTreeSet<WorkerId> = lease::named(&store).all().map(|(worker, _)| *worker).collect();
        assert!(now.is_superset(&named), "{:?} are not named any more", &named - &now);
        named = now;
    }
    trial.end();
}

/// Those that are lost may be another master's by now. Whoever is told that they are gone acknowledges alone what it receives.
#[test]
fn nobody_hears_of_a_loss_while_another_master_may_have_taken_over() {
    for is_overtaken in [false, true] {
        let (_dir, store) = Store::temporary();
        let mut begins = Begins::default();
        let keeper = Arc::new(Keeper::start(&store, 1, false).unwrap().0);
        begins.keeper = Some(keeper.clone());
        begins.workers.here = (1..4).map(|worker| (WorkerId(worker), format!("{worker}:1"))).collect();
        let trial = Trial::start_with(&begins);
        keeper.tell(trial.to.clone());
        let (_first, _one) = (trial.joins(WorkerId(3), &[]), trial.joins(ONE, &[]));
        let mut told = trial.joins(OTHER, &[]);
        trial.say(ToMaster::Receive(Receive::new(0, "s", 10, 10)));
        let mut asked = || {
            loop {
                match told.blocking_recv()? {
                    ToWorker::ReportReplicas(request, lost) => return Some((request, Some(lost))),
                    ToWorker::ReportBlocks(request, _) => return Some((request, None)),
                    _ => {}
                }
            }
        };
        trial.say(ToMaster::Lost { worker: WorkerId(3) });
        let (first, lost) = asked().unwrap();
        assert_eq!(lost, Some(WorkerId(3)), "nothing is in doubt yet");
        keeper.doubt();
        trial.say(ToMaster::Lost { worker: ONE });
        let (reply, received) = crossbeam_channel::bounded(1);
        trial.say(ToMaster::Cut { source: 0, reply });
        let (own, lost) = asked().unwrap();
        assert_eq!(lost, None, "the loss is in doubt");
        let answers = |request| {
            let report = BlocksReport::default();
            trial.say(ToMaster::Reported { worker: OTHER, request, report });
        };
        answers(first);
        answers(own);
        if is_overtaken {
            let (_next, _) = Keeper::start(&store, 2, true).unwrap();
            assert!(received.recv().is_err(), "what waits for answers hears that there are none");
            trial.end();
            assert_eq!(asked(), None);
            continue;
        }
        keeper.be_certain();
        let (request, lost) = asked().unwrap();
        assert_eq!(lost, Some(ONE));
        assert!(received.try_recv().is_err(), "the interval waits for what others hold of the lost one");
        answers(request);
        assert_eq!(received.recv(), Ok(Received::default()));
        trial.end();
    }
}
