//! What a worker does in the time with one master, which the test plays.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use cutwater_core::{
    BlockId, ClientId,
    clients::{BatchReport, BlocksReport, InputBlock, Receive},
    id::input_sequence,
};
use cutwater_wire::{frame, handshake::Secret};

use super::*;

const ME: WorkerId = WorkerId(1);
const OWNER: WorkerId = WorkerId(4);

/// A worker that holds nothing, and has no compute threads.
fn hands() -> Hands {
    let blocks = Arc::<BlockStore>::default();
    let current = Arc::<Current>::default();
    let reports = current.clone();
    let report = move |request, report| reports.tell(ToMaster::Reported(request, report));
    let inbox = Arc::new(Inbox::new(ME, blocks.clone(), report));
    let credentials = Credentials::new(Secret::of("known to both"), None);
    let fetcher = Arc::new(Fetcher::new(credentials, "127.0.0.1:1", limits::FETCH_BYTES_MAX));
    Hands {
        me: ME,
        copier: Copier::start(fetcher.clone(), blocks.clone(), inbox.clone()),
        blocks,
        attempts: Arc::default(),
        inbox,
        fetcher: fetcher.clone(),
        behind: fetcher,
        to_compute: crossbeam_channel::unbounded().0,
        to_master: mpsc::unbounded_channel().0,
        current,
        wanted: Wanted::default(),
        ahead: Arc::new(Ahead::new(limits::AHEAD_BYTES_MAX)),
    }
}

/// The owner has reported it to the master before. This one counts on whoever has said that it holds the block, and is told
/// what it consists of by the owner, who says of it that it may be counted on already.
#[test]
fn what_a_worker_has_told_another_master_that_it_holds_it_keeps() {
    let (held, reported) = network_threads().unwrap().block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (stream, accepted) =
            tokio::join!(TcpStream::connect(listener.local_addr().unwrap()), listener.accept());
        let (_, mut takeover) = watch::channel(None);
        let mut hands = hands();
        let report = BatchReport { client: ClientId(9), sequence: 0, records: 1, bytes: 4 };
        let block = InputBlock { source: 0, sequence: input_sequence(OWNER, 0), batches: vec![report] };
        hands.inbox.hold_replica(OWNER, &block);
        let (current, leaving) = (hands.current.clone(), Leaving::default());
        let worker =
            session(Channel::Open(stream.unwrap()), &mut hands, (&current, &leaving), &mut takeover, 1);
        let master = async {
            let mut worker = accepted.unwrap().0;
            let held = wanted(&mut worker, |message| match message {
                ToMaster::Holds(blocks) => Some(Blocks::long(&blocks).unwrap()),
                _ => None,
            });
            let held = held.await;
            let (receive, through) = (Receive::new(0, "s", 100, 1_000), block.sequence);
            let settled = ToWorker::Settled { source: 0, through, keep: vec![], again: vec![through] };
            let says = vec![ToWorker::Receive(receive), settled, ToWorker::ReportBlocks(1, 0)];
            frame::send(&mut worker, &says).await.unwrap();
            let reported = wanted(&mut worker, |message| match message {
                ToMaster::Reported(1, report) => Some(report),
                _ => None,
            });
            let reported = reported.await;
            frame::send(&mut worker, &vec![ToWorker::Stop]).await.unwrap();
            (held, reported)
        };
        let (ended, (held, reported)) = tokio::join!(worker, master);
        assert!(matches!(ended, Ended::Over));
        assert_eq!(hands.blocks.names(), held);
        (held, reported)
    });
    assert_eq!(held, [BlockId::Input { source: 0, sequence: input_sequence(OWNER, 0) }]);
    assert_eq!(reported, BlocksReport::default());
}

/// The first answer to the question among all that the worker says.
async fn wanted<T>(worker: &mut TcpStream, answer: impl Fn(ToMaster) -> Option<T>) -> T {
    let mut bytes = Vec::new();
    loop {
        assert!(frame::read(worker, frame::MESSAGE_BYTES_MAX, &mut bytes).await.unwrap());
        let messages: Vec<ToMaster> = postcard::from_bytes(&bytes).unwrap();
        if let Some(answer) = messages.into_iter().find_map(&answer) {
            return answer;
        }
    }
}
