//! What the workers of a driver are told that is refused, or that takes over. They are played, and so it is seen who is told
//! what, and in which order.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::HashSet,
    io::Write,
    net::{SocketAddr, TcpListener},
    thread::{self, JoinHandle},
};

use cutwater_core::{
    BlockId, ClientId, DatasetId, Split, WorkerId,
    clients::{BatchReport, BlocksReport, InputBlock},
    counted::Counted,
    id::{count_of, input_sequence},
    limits,
};
use cutwater_wire::{
    credentials::Credentials,
    frame,
    message::{Joined, ToMaster, ToWorker},
    names::Blocks,
};
use tempfile::{NamedTempFile, TempDir};

use super::*;
use crate::{
    checkpoint::{
        faults::{Fault, Then},
        store::Store,
    },
    context::Builder,
    output::Act,
    runtime::{
        cluster::{Token, network_threads},
        journal::{Journal, entries},
        lease,
        played::{enter, say},
        resume,
    },
    source::Recorded,
    testing::Harness,
};

/// How workers that are played join masters that write to `store`.
struct Trial {
    _dir: TempDir,
    store: Store,
    token: NamedTempFile,
}

/// A worker that is played.
struct Played {
    address: SocketAddr,
    /// Who it is, and all that it was told until its connection ended.
    lived: JoinHandle<(Joined, Vec<ToWorker>)>,
}

impl Trial {
    fn new() -> Self {
        let ((dir, store), mut token) = (Store::temporary(), NamedTempFile::new().unwrap());
        token.write_all(b"known to both").unwrap();
        Self { _dir: dir, store, token }
    }

    /// A worker joins the master that will be there, as one that was called so before, or as a new one. It holds what it is
    /// sent, and has received a block of one record whenever it is asked.
    fn joins(&self, was: Option<WorkerId>, holds: &[BlockId]) -> Played {
        self.joins_with(was, holds, block_of)
    }

    /// The same, and this is what it answers whenever it is asked.
    fn joins_with(
        &self,
        was: Option<WorkerId>,
        holds: &[BlockId],
        report: impl Fn(WorkerId, u32, u64) -> BlocksReport + Send + 'static,
    ) -> Played {
        // Nobody else gets the port as long as it is listened to.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let credentials = Credentials::new(Token::read(self.token.path()).unwrap().secret(), None);
        let holds = Blocks::short(holds);
        let lived = thread::spawn(move || {
            network_threads().unwrap().block_on(async {
                let (mut stream, joined) = enter(address, &credentials, was).await;
                say(&mut stream, ToMaster::Holds(holds)).await;
                let (mut told, mut bytes, mut received) = (Vec::new(), Vec::new(), 0);
                while let Ok(true) = frame::read(&mut stream, frame::MESSAGE_BYTES_MAX, &mut bytes).await {
                    for message in postcard::from_bytes::<Vec<ToWorker>>(&bytes).unwrap() {
                        match message {
                            ToWorker::ReportBlocks(request, source) => {
                                received += 1;
                                let report = report(joined.worker, source, received);
                                say(&mut stream, ToMaster::Reported(request, report)).await;
                            }
                            ToWorker::Hold(block, _) => say(&mut stream, ToMaster::Held(block)).await,
                            _ => {}
                        }
                        told.push(message);
                    }
                }
                (joined, told)
            })
        });
        Played { address, lived }
    }

    /// A program with the worker that joins.
    fn program(&self, played: &Played) -> Builder {
        Context::builder("played")
            .interval(Duration::from_secs(1))
            .threads(1)
            .parallelism(1)
            .master(played.address)
            .token_file(self.token.path())
            .checkpoint(self.store.url())
            .on_failure(OnFailure::Continue)
            .handle_signals(false)
    }
}

fn block_of(worker: WorkerId, source: u32, count: u64) -> BlocksReport {
    let batch = BatchReport { client: ClientId(1), sequence: count, records: 1, bytes: 1 };
    let block = InputBlock { source, sequence: input_sequence(worker, count), batches: vec![batch] };
    BlocksReport { blocks: vec![block], ..BlocksReport::default() }
}

/// What it was told to let go.
fn dropped(told: &[ToWorker]) -> Vec<BlockId> {
    let dropped = told.iter().filter_map(|message| match message {
        ToWorker::Drop(blocks) => Some(Blocks::long(blocks).unwrap()),
        _ => None,
    });
    dropped.flatten().collect()
}

/// Which of those that the worker has received it is.
fn number_of(block: BlockId) -> u64 {
    match block {
        BlockId::Input { sequence, .. } => count_of(sequence),
        other => panic!("{other:?}"),
    }
}

/// What it was sent to hold.
fn sent(told: &[ToWorker]) -> Vec<BlockId> {
    let sent = told.iter().filter_map(|message| match message {
        ToWorker::Hold(block, _) => Some(*block),
        _ => None,
    });
    sent.collect()
}

/// An output that another master has opened, if it has.
struct Output {
    is_refused: bool,
}

impl Act for Output {
    fn run(&mut self, _: Time) -> Result<bool, Error> {
        Ok(true)
    }

    fn commit(&mut self, t: Time) -> Result<(), Error> {
        let is_refused = self.is_refused && t > Time::from_ms(1_000);
        if is_refused { Err(Error::fenced("it has opened the output")) } else { Ok(()) }
    }
}

/// What refuses a driver.
#[derive(Clone, Copy, PartialEq)]
enum Refuses {
    Nothing,
    Log,
    Output,
    /// The log, when the program ends.
    End,
}

/// What a worker is told by a master that ends after two intervals of what clients have sent, or is refused in the second or
/// after it: of which intervals it is to let the blocks go, and whether it is to stop.
fn told_by_one_that_ends(refuses: Refuses) -> (Vec<u64>, bool) {
    let trial = Trial::new();
    let played = trial.joins(None, &[]);
    let ctx = trial.program(&played).build().unwrap();
    let records = ctx.source("records").client_lines();
    ctx.act("output", records.node.clone(), Output { is_refused: refuses == Refuses::Output });
    drop(records);
    let mut driver = Driver::start_driven(&ctx).unwrap();
    assert_eq!(driver.interval(None).failure.map(|error| error.to_string()), None);
    // Without a lease: a keeper would see that, and say so too.
    let claim = || Journal::claim(&trial.store).unwrap();
    let other = (refuses == Refuses::Log).then(claim);
    let failure = driver.interval(None).failure.map(|error| error.kind());
    let is_fenced = matches!(refuses, Refuses::Log | Refuses::Output);
    assert_eq!(failure, is_fenced.then_some(ErrorKind::Fenced));
    let other = other.or_else(|| (refuses == Refuses::End).then(claim));
    if !is_fenced {
        let failure = driver.finish().err().map(|error| error.kind());
        assert_eq!(failure, (refuses == Refuses::End).then_some(ErrorKind::Fenced));
    }
    drop(driver);
    drop(ctx);
    drop(other);
    let (_, told) = played.lived.join().unwrap();
    (dropped(&told).into_iter().map(number_of).collect(), told.contains(&ToWorker::Stop))
}

/// It was stopped, and another needs what the interval is made from that is refused when it wakes.
#[test]
fn who_is_refused_lets_nothing_go_and_leaves_its_workers_alone() {
    assert_eq!(told_by_one_that_ends(Refuses::Nothing), (vec![1, 2], true), "as it ends, all goes");
    assert_eq!(told_by_one_that_ends(Refuses::Log), (Vec::new(), false));
    assert_eq!(told_by_one_that_ends(Refuses::Output), (Vec::new(), false));
    // The log says of the first that it is over.
    assert_eq!(told_by_one_that_ends(Refuses::End), (vec![1], false));
}

/// An output in whose commit another master claims the log, in that interval: behind what the interval itself has had written down.
struct Overtaken {
    at: Time,
    store: Store,
    other: Option<Journal>,
}

impl Act for Overtaken {
    fn run(&mut self, _: Time) -> Result<bool, Error> {
        Ok(true)
    }

    fn commit(&mut self, t: Time) -> Result<(), Error> {
        if t == self.at {
            self.store.faults().mend();
            self.other = Some(Journal::claim(&self.store)?.0);
        }
        Ok(())
    }
}

/// An output that fails, when another master has just claimed the log.
struct FailsOvertaken {
    store: Store,
    other: Option<Journal>,
}

impl Act for FailsOvertaken {
    fn run(&mut self, _: Time) -> Result<bool, Error> {
        self.other = Some(Journal::claim(&self.store)?.0);
        Err(Error::user("as it is meant to"))
    }
}

/// Whoever takes over before the log says that an interval is set aside runs it again, with the input that it had.
#[test]
fn the_log_says_that_an_interval_is_set_aside_before_what_it_is_made_from_goes() {
    let trial = Trial::new();
    let played = trial.joins(None, &[]);
    let ctx = trial.program(&played).build().unwrap();
    let records = ctx.source("records").client_lines();
    ctx.act("output", records.node.clone(), FailsOvertaken { store: trial.store.clone(), other: None });
    drop(records);
    let mut driver = Driver::start_driven(&ctx).unwrap();
    assert_eq!(driver.interval(None).failure.map(|error| error.kind()), Some(ErrorKind::Fenced));
    drop((driver, ctx));
    let (_, told) = played.lived.join().unwrap();
    assert!(dropped(&told).is_empty() && !told.contains(&ToWorker::Stop), "{told:?}");
}

/// States could not be written for so long that the interval waits for them, and now they could, but for the other master.
#[test]
fn who_is_refused_as_states_are_written_lets_nothing_go_and_leaves_its_workers_alone() {
    let trial = Trial::new();
    let played = trial.joins(None, &[]);
    let ctx = trial.program(&played).checkpoint_intervals(1).build().unwrap();
    let records = ctx.source("records").client_lines();
    let waits = limits::LINEAGE_BEHIND_MAX;
    let at = Time::from_ms(1_000 * waits as i64);
    ctx.act("output", records.node.clone(), Overtaken { at, store: trial.store.clone(), other: None });
    drop(records);
    let mut driver = Driver::start_driven(&ctx).unwrap();
    trial.store.faults().order(Fault { folder: "checkpoints".to_owned(), at: 0, then: Then::Fail(1_000) });
    for number in 1..waits {
        assert_eq!(driver.interval(None).failure.map(|error| error.to_string()), None, "interval {number}");
    }
    let error = driver.interval(None).failure.unwrap();
    assert!(
        error.kind() == ErrorKind::Fenced && error.to_string().contains("state cannot be written"),
        "{error}"
    );
    drop((driver, ctx));
    let (_, told) = played.lived.join().unwrap();
    let last: Vec<u64> = dropped(&told).into_iter().map(number_of).collect();
    assert!(!last.contains(&waits) && !told.contains(&ToWorker::Stop), "{last:?}");
}

/// What takes over from a master that died at once, with a worker that holds something of it.
#[test]
fn what_workers_hold_of_a_master_that_cut_no_interval_goes() {
    let trial = Trial::new();
    let (_, _, epoch, _) = Journal::claim(&trial.store).unwrap();
    let before = WorkerId(3);
    lease::leave(&trial.store, epoch, &[(before, "127.0.0.1:1".to_owned())]);
    // The first is of the source below, and is told of by the worker itself.
    let of_clients = BlockId::Input { source: 0, sequence: input_sequence(before, 7) };
    let received = BlockId::Input { source: 1, sequence: 7 };
    let kept = BlockId::Partition { dataset: DatasetId(7), partition: 0 };
    let played = trial.joins(Some(before), &[of_clients, received, kept]);
    let ctx = trial.program(&played).build().unwrap();
    let records = ctx.source("records").client_lines();
    ctx.output("output", records.node.clone(), |_| Ok(true));
    drop(Driver::start_driven(&ctx).unwrap());
    drop((records, ctx));
    let (joined, told) = played.lived.join().unwrap();
    assert_eq!(joined.worker, before);
    assert_eq!(HashSet::from_iter(dropped(&told)), HashSet::from([received, kept]));
}

/// The one before was gone before it could tell its worker so.
#[test]
fn what_an_interval_consists_of_that_was_set_aside_goes_at_a_takeover() {
    let trial = Trial::new();
    // Runs an interval, the first of which fails.
    let run = |played: Played| {
        let harness = Harness::with(trial.program(&played), 1);
        harness.input([vec![1]]).for_each_rdd(|_, t| match t == Time::from_ms(1_000) {
            true => Err(Error::user("as it is meant to")),
            false => Ok(()),
        });
        let report = harness.step().unwrap();
        drop(harness);
        let (joined, told) = played.lived.join().unwrap();
        (report, joined, told)
    };
    let (report, joined, told) = run(trial.joins(None, &[]));
    assert!(report.failure.is_some_and(|error| error.to_string().contains("as it is meant to")));
    let held = sent(&told)[0];
    lease::leave(&trial.store, joined.epoch, &[(joined.worker, "127.0.0.1:1".to_owned())]);
    let (report, again, told) = run(trial.joins(Some(joined.worker), &[held]));
    assert_eq!((report.number, report.failure.map(|error| error.to_string())), (2, None));
    assert_eq!(again.worker, joined.worker);
    assert!(dropped(&told).contains(&held), "{:?}", dropped(&told));
    assert!(!sent(&told).contains(&held), "it is held again");
}

/// Whoever takes over next runs all those again of which the log does not say that they are over.
#[test]
fn the_log_says_that_an_interval_is_over_before_what_it_is_made_from_goes_also_if_it_is_run_again() {
    let trial = Trial::new();
    let before = WorkerId(3);
    let block = |count| BlockId::Input { source: 0, sequence: input_sequence(before, count) };
    let (journal, _, epoch, _) = Journal::claim(&trial.store).unwrap();
    for number in 1..=2 {
        let place = postcard::to_allocvec(&Vec::<u32>::new()).unwrap().into();
        let splits = Some(vec![Split { blocks: vec![block(number)], place }]);
        let position = postcard::to_allocvec(&Counted::default()).unwrap();
        let sources = vec![("records".to_owned(), Recorded { splits, position, ..Recorded::default() })];
        let input = resume::Input { parallelism: 1, sources, kept: Vec::new() };
        let input = postcard::to_allocvec(&input).unwrap();
        journal.interval(number, Time::from_ms(1_000 * number as i64), input, Vec::new());
    }
    drop(journal);
    lease::leave(&trial.store, epoch, &[(before, "127.0.0.1:1".to_owned())]);
    let played = trial.joins(Some(before), &[block(1), block(2)]);
    let ctx = trial.program(&played).build().unwrap();
    let records = ctx.source("records").client_lines();
    ctx.output("output", records.node.clone(), |_| Ok(true));
    let mut driver = Driver::start_driven(&ctx).unwrap();
    let ran = [driver.interval(None), driver.interval(None)].map(|report| (report.number, report.failure));
    let over = entries(&trial.store).unwrap().last().map(|(_, entry)| entry.completed);
    assert!(matches!(ran, [(1, None), (2, None)]), "{ran:?}");
    assert!(over >= Some(1), "{over:?}");
    drop((driver, records, ctx));
    let (_, told) = played.lived.join().unwrap();
    assert_eq!(dropped(&told), [block(1), block(2)]);
}

/// What was in it another may have acknowledged that was stopped before it could report it, and that comes back to the next
/// master.
#[test]
fn what_only_a_worker_held_that_is_lost_with_the_master_is_made_by_whoever_has_all_of_it() {
    let trial = Trial::new();
    let run = |played: &Played| {
        let ctx = trial.program(played).build().unwrap();
        let records = ctx.source("records").client_lines();
        ctx.output("output", records.node.clone(), |_| Ok(true));
        let mut driver = Driver::start_driven(&ctx).unwrap();
        let report = driver.interval(None);
        assert_eq!(report.failure.map(|error| error.to_string()), None);
        report.number
    };
    let played = trial.joins(None, &[]);
    assert_eq!(run(&played), 1);
    let (before, _) = played.lived.join().unwrap();
    let lost = block_of(before.worker, 0, 1).blocks.remove(0);
    let batches = lost.batches.clone();
    // It is called as the other was, since the lease names nobody else, and has what it has in a block of another name.
    let played = trial.joins_with(Some(before.worker), &[], move |worker, source, count| {
        let block = InputBlock { source, sequence: input_sequence(worker, 9), batches: batches.clone() };
        let blocks = if count == 1 { vec![block] } else { Vec::new() };
        BlocksReport { again: blocks.len() as u64, blocks, ..BlocksReport::default() }
    });
    assert_eq!(run(&played), 2);
    let (_, told) = played.lived.join().unwrap();
    let make = ToWorker::Make(0, lost.sequence, vec![(ClientId(1), 1)]);
    assert!(told.contains(&make), "{told:?}");
}
