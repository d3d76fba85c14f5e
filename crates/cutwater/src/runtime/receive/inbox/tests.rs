//! What a worker tells the master of what it holds, whoever has received it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use crossbeam_channel::{Receiver, unbounded};
use cutwater_core::id::input_sequence;

use super::*;

const ME: WorkerId = WorkerId(1);
const OWNER: WorkerId = WorkerId(4);

/// A worker without others, which takes records for one source.
struct Trial {
    inbox: Inbox,
    blocks: Arc<BlockStore>,
    reports: Receiver<(u64, BlocksReport)>,
}

impl Trial {
    fn new() -> Self {
        let ((answers, reports), blocks) = (unbounded(), Arc::<BlockStore>::default());
        let answer = move |request, report| answers.send((request, report)).unwrap();
        let inbox = Inbox::new(ME, blocks.clone(), answer);
        inbox.receive(Receive::new(0, "s", 100, 1_000));
        Self { inbox, blocks, reports }
    }

    fn report(&self, request: u64) -> BlocksReport {
        self.inbox.report(request, 0);
        let (answered, report) = self.reports.try_recv().unwrap();
        assert_eq!(answered, request);
        report
    }

    fn replica(&self, count: u64) {
        self.inbox.hold_replica(OWNER, &block(count));
    }
}

impl Inbox {
    /// The owner tells of a block, and closes it.
    pub(in crate::runtime) fn hold_replica(&self, owner: WorkerId, block: &InputBlock) {
        let (teller, InputBlock { source, sequence: block, batches }) =
            (self.connected(owner), block.clone());
        for batch in batches {
            let head = ReplicaHead::Batch { source, block, batch };
            self.replica(&teller, head, Bytes::from_static(b"data")).unwrap();
        }
        self.replica(&teller, ReplicaHead::Sealed { source, block }, Bytes::new()).unwrap();
    }
}

/// A block of the owner's, with a batch.
fn block(count: u64) -> InputBlock {
    let batch = BatchReport { client: ClientId(9), sequence: count, records: 1, bytes: 4 };
    InputBlock { source: 0, sequence: input_sequence(OWNER, count), batches: vec![batch] }
}

/// Whoever was to report it to this master may be lost by then.
#[test]
fn what_is_copied_here_is_told_of_in_the_next_report_with_what_it_consists_of() {
    let trial = Trial::new();
    for count in 0..2 {
        let InputBlock { batches, .. } = block(count);
        let content = |report| (report, Bytes::from_static(b"data"));
        trial.inbox.store(block(count).id(), batches.into_iter().map(content).collect());
    }
    trial.inbox.copied(&[block(1).id()]);
    let report = trial.report(1);
    assert_eq!((report.blocks, report.again), (vec![block(1)], 1));
    assert_eq!(trial.report(2), BlocksReport::default(), "it is told of once");
}

/// The owner may be one that the master before has lost, and that this one never had.
#[test]
fn who_has_another_master_says_of_whom_it_holds_replicas() {
    let trial = Trial::new();
    trial.replica(0);
    assert_eq!(trial.report(1), BlocksReport::default(), "a first master has all the owners");
    trial.inbox.begin_anew();
    let owners = BlocksReport { owners: vec![OWNER], ..BlocksReport::default() };
    assert_eq!(trial.report(2), owners, "the owner is yet to report what it consists of, and may");
    assert_eq!(trial.report(3), BlocksReport::default());
}

/// The owner reports them to another master, and names those of which it told the one before.
#[test]
fn of_replicas_that_the_owner_has_reported_those_stay_that_the_master_counts_on() {
    let trial = Trial::new();
    (0..3).for_each(|count| trial.replica(count));
    trial.inbox.told(&[block(0).id(), block(2).id()]);
    trial.inbox.settled(0, block(2).sequence, &[], &[block(0).sequence, block(1).sequence]);
    let is_there = |count| trial.blocks.get(block(count).id()).is_some();
    assert_eq!([0, 1, 2].map(is_there), [true, false, true]);
    let report = trial.report(1);
    assert_eq!((report.blocks, report.again), (vec![block(2)], 1), "the owner did not name it");
}
