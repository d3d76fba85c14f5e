//! Who a master that takes over waits for, what it names, and what one does that was overtaken.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{io::Write, net::TcpListener};

use cutwater_client::Client;
use cutwater_core::ClientId;
use cutwater_wire::{
    channel::Channel,
    client::Welcome,
    credentials::Credentials,
    frame,
    message::{Introduction, ToMaster, ToWorker},
    names::Blocks,
    tls,
};
use tokio::net::TcpStream;

use super::*;
use crate::{
    Context,
    checkpoint::store::Store,
    runtime::played::{enter, introduced, join, say, told},
    testing::Harness,
};

/// Starts a master. Answers where it listens, what lets in, and the thread on which it starts.
fn starts(begins: Option<Begins>) -> (SocketAddr, Credentials, JoinHandle<Arc<Engine>>) {
    let token = Token::new().unwrap();
    let mut settings = Context::builder("master").threads(1).build().unwrap().settings().clone();
    // Nobody else gets the port as long as it is listened to.
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    settings.role = Role::Master { listen: address, workers: 0 };
    settings.token = Some(token.clone());
    let credentials = settings.network.credentials(Some(&token)).unwrap();
    (address, credentials, thread::spawn(move || Engine::start(&settings, begins).unwrap()))
}

/// How one begins that keeps a lease in `store`.
fn with_lease(store: &Store) -> Begins {
    let mut begins = Begins::default();
    begins.epoch = 2;
    begins.keeper = Some(Arc::new(Keeper::start(store, 2, false).unwrap().0));
    begins
}

/// Starts one that takes over, and waits for this `worker` of the one before.
fn takes_over_from(worker: WorkerId) -> (SocketAddr, Credentials, JoinHandle<Arc<Engine>>) {
    let mut begins = Begins::default();
    // Nobody answers there when the master calls.
    (begins.epoch, begins.workers.here) = (2, vec![(worker, "127.0.0.1:1".to_owned())]);
    starts(Some(begins))
}

/// Whether a worker of the master before may stay that comes after new ones.
fn may_stay() -> bool {
    // As no newcomer is.
    let before = WorkerId(1 << 12);
    let (address, credentials, starts) = takes_over_from(before);
    let network = cluster::network_threads().unwrap();
    let (connected, may_stay) = network.block_on(async {
        // Many, so that there is time to take the first of them for the one that is waited for.
        let mut newcomers = Vec::new();
        for _ in 0..20 {
            let (newcomer, joined) = join(address, &credentials, None).await;
            assert_ne!(joined.worker, before);
            newcomers.push(newcomer);
        }
        let (mut late, joined) = join(address, &credentials, Some(before)).await;
        assert_eq!(joined.worker, before);
        let told = told(&mut late).await;
        ((newcomers, late), !told.contains(&ToWorker::Stop))
    });
    let engine = starts.join().unwrap();
    drop(connected);
    drop(engine);
    may_stay
}

/// A newcomer is none of those that are waited for. They are not waited for long, so there are several tries.
#[test]
fn a_newcomer_does_not_take_the_place_of_a_worker_that_comes_later() {
    assert!((0..5).any(|_| may_stay()), "it was sent away");
}

/// Whoever counts on a worker asks for what that worker holds: an interval is run again as soon as all have come.
#[test]
fn a_worker_is_here_once_it_has_said_what_it_holds() {
    let before = WorkerId(1 << 12);
    let block = BlockId::Partition { dataset: DatasetId(7), partition: 3 };
    let (address, credentials, starts) = takes_over_from(before);
    let network = cluster::network_threads().unwrap();
    let (others, here, connected) = network.block_on(async {
        let (mut silent, _) = enter(address, &credentials, Some(before)).await;
        let (mut newcomer, _) = join(address, &credentials, None).await;
        let others = told(&mut newcomer).await;
        say(&mut silent, ToMaster::Holds(Blocks::short(&[block]))).await;
        (others, told(&mut silent).await, (silent, newcomer))
    });
    let engine = starts.join().unwrap();
    assert!(others.contains(&ToWorker::Peers(Vec::new())), "it is here before it has spoken: {others:?}");
    // Unless it took so long that nobody waited for it.
    if !here.contains(&ToWorker::Stop) {
        let stored = engine.shared.stored.lock().unwrap();
        assert_eq!(stored.get(&DatasetId(7)), Some(&HashSet::from([3])));
    }
    drop(connected);
    drop(engine);
}

/// Other workers were told that it is lost, and take nothing more from who is called so.
#[test]
fn a_worker_that_the_master_before_had_lost_is_called_otherwise() {
    let (known, lost) = (WorkerId(1 << 12), WorkerId((1 << 12) + 1));
    let (address, credentials, starts) = takes_over_from(known);
    let network = cluster::network_threads().unwrap();
    let (again, called) = network.block_on(async {
        let (_, called) = join(address, &credentials, Some(lost)).await;
        (join(address, &credentials, Some(known)).await, called)
    });
    assert_eq!(again.1.worker, known);
    assert_ne!(called.worker, lost);
    let engine = starts.join().unwrap();
    assert_eq!(engine.joined(), 1, "it comes again, as a new one");
    drop(again);
    drop(engine);
}

/// Workers may hold blocks that the master before had received and not written down: these are others.
#[test]
fn blocks_that_two_masters_receive_have_different_names() {
    let dir = tempfile::tempdir().unwrap();
    let blocks = || {
        let ctx =
            Context::builder("names").checkpoint(dir.path().to_str().unwrap()).threads(1).build().unwrap();
        let rdd = ctx.parallelize([1, 2]);
        let splits = rdd.node().dataset.splits.to_vec();
        splits.into_iter().flat_map(|split| split.blocks).collect::<HashSet<BlockId>>()
    };
    let (before, after) = (blocks(), blocks());
    assert!(!before.is_empty() && before.is_disjoint(&after), "{before:?}, then {after:?}");
}

/// Those of what clients send to a program in one process: an interval of a start before may be let go at the next, while
/// one is needed that came later.
#[test]
fn blocks_that_one_process_receives_and_the_next_have_different_names() {
    let dir = tempfile::tempdir().unwrap();
    // Starts the program, which counts; sends a record for each interval, and runs as many empty ones then as states look back.
    let run = |checkpoint_intervals: u64, records: &[&str]| {
        let builder = Context::builder("names").interval(Duration::from_secs(1)).threads(1);
        let builder = builder.checkpoint(dir.path().to_str().unwrap());
        let harness = Harness::with(builder.checkpoint_intervals(checkpoint_intervals), 1);
        let lines = harness.ctx().source("lines").client_lines();
        let seen = harness.watch(&lines.map(|line| (line, 1u64)).running_reduce(|a, b| a + b));
        let advance = || {
            harness.advance(1).unwrap();
            harness.wait_until_written();
        };
        advance();
        let ClientAccess { address, token_file } = harness.ctx().client_access().unwrap();
        let client = Client::builder(&address.to_string(), "lines").token_file(token_file.unwrap());
        let client = client.build().unwrap();
        for record in records {
            client.send(record).unwrap();
            client.flush().unwrap();
            advance();
        }
        advance();
        advance();
        let mut seen = seen.all().pop().unwrap().unwrap();
        seen.sort();
        seen
    };
    run(1, &["a", "b", "c"]);
    run(1_000, &["d", "e", "f"]);
    let counts = ["a", "b", "c", "d", "e", "f"].map(|record| (record.to_owned(), 1));
    assert_eq!(run(1_000, &[]), counts);
}

/// What a worker is told by a master that lets go what it holds and ends, having been overtaken or not.
fn last_word(is_overtaken: bool) -> Vec<ToWorker> {
    let (address, credentials, starts) = starts(None);
    let network = cluster::network_threads().unwrap();
    let block = BlockId::Input { source: 0, sequence: 1 };
    let (mut worker, joined) = network.block_on(join(address, &credentials, None));
    let engine = starts.join().unwrap();
    engine.tell(Event::BlocksHeld { worker: joined.worker, blocks: vec![block] });
    if is_overtaken {
        engine.is_overtaken();
    }
    // As when an interval is over, or has failed.
    engine.tell(Event::InputsReleased { blocks: vec![block] });
    let ends = thread::spawn(move || drop(engine));
    let told = network.block_on(async {
        let (mut told, mut bytes) = (Vec::new(), Vec::new());
        while frame::read(&mut worker, frame::MESSAGE_BYTES_MAX, &mut bytes).await.unwrap() {
            told.extend(postcard::from_bytes::<Vec<ToWorker>>(&bytes).unwrap());
        }
        told
    });
    drop(worker);
    ends.join().unwrap();
    told
}

/// Its workers lose their connections when it ends, and knock once more where they were: the next master needs what they
/// hold.
#[test]
fn who_was_overtaken_does_not_have_workers_begin_anew() {
    let (_dir, store) = Store::temporary();
    let (address, credentials, starts) = starts(Some(with_lease(&store)));
    let network = cluster::network_threads().unwrap();
    let (worker, lost) = network.block_on(join(address, &credentials, None));
    let engine = starts.join().unwrap();
    let knocks = || network.block_on(introduced(address, &credentials, Some((lost.worker, 2))));
    let again = loop {
        // It has to ask again if the lease could not be written for long.
        if let Ok((_, again)) = knocks() {
            break again;
        }
    };
    assert_ne!(again.worker, lost.worker, "it begins anew while the master lives");
    engine.is_overtaken();
    let refused = knocks().map(|_| ()).unwrap_err().to_string();
    assert!(refused.contains("ask again"), "{refused}");
    drop(worker);
    drop(engine);
}

/// Whoever takes over finds it then, with what it receives and copies: nobody relies on it before.
#[test]
fn a_new_worker_is_here_once_the_lease_names_it() {
    let (dir, store) = Store::temporary();
    let begins = with_lease(&store);
    let (leases, away) = (dir.path().join("leases"), dir.path().join("away"));
    // No lease can be written.
    std::fs::rename(&leases, &away).unwrap();
    std::fs::write(&leases, "").unwrap();
    let (address, credentials, starts) = starts(Some(begins));
    let network = cluster::network_threads().unwrap();
    let (mut worker, joined) = network.block_on(join(address, &credentials, None));
    let before = network.block_on(told(&mut worker));
    assert_eq!(before, [ToWorker::Ping], "it knows of no other worker, nor others of it");
    std::fs::remove_file(&leases).unwrap();
    std::fs::rename(&away, &leases).unwrap();
    network.block_on(async { while !told(&mut worker).await.contains(&ToWorker::Peers(Vec::new())) {} });
    let named = Keeper::start(&store, 3, true).unwrap().1.here;
    assert_eq!(named.iter().map(|(worker, _)| *worker).collect::<Vec<_>>(), [joined.worker]);
    drop(starts.join().unwrap());
}

/// The door names it from when it has come, and clients may go there: it acknowledges nothing that whoever takes over could not
/// find, since it has heard of no source.
#[test]
fn a_new_worker_hears_of_sources_once_the_lease_names_it() {
    let (dir, store) = Store::temporary();
    let (address, credentials, starts) = starts(Some(with_lease(&store)));
    let network = cluster::network_threads().unwrap();
    let (mut first, _) = network.block_on(join(address, &credentials, None));
    let engine = starts.join().unwrap();
    engine.receive(Receive::new(0, "s", 10, 10));
    let hears = async |worker: &mut Channel<TcpStream>| {
        let is_receive = |message: &ToWorker| matches!(message, ToWorker::Receive(_));
        while !told(worker).await.iter().any(is_receive) {}
    };
    network.block_on(hears(&mut first));
    let (leases, away) = (dir.path().join("leases"), dir.path().join("away"));
    // No lease can be written.
    std::fs::rename(&leases, &away).unwrap();
    std::fs::write(&leases, "").unwrap();
    let (mut second, joined) = network.block_on(join(address, &credentials, None));
    let named = || async {
        let stream = TcpStream::connect(address).await.unwrap();
        let introduction = Introduction::Client { client: ClientId(1), source: "s".to_owned() };
        let credentials = credentials.connect(stream, "127.0.0.1", tls::Role::Master, &introduction);
        let (_, Welcome { receivers, .. }) = credentials.await.unwrap();
        receivers.len()
    };
    network.block_on(async { while named().await < 2 {} });
    assert_eq!(network.block_on(told(&mut second)), [ToWorker::Ping]);
    std::fs::remove_file(&leases).unwrap();
    std::fs::rename(&away, &leases).unwrap();
    network.block_on(hears(&mut second));
    let found = Keeper::start(&store, 3, true).unwrap().1.here;
    assert!(found.iter().any(|(worker, _)| *worker == joined.worker));
    drop(engine);
}

/// They are the other's, who may not have come to call them yet.
#[test]
fn who_was_overtaken_leaves_the_workers_alone() {
    let is_told = |told: &[ToWorker]| {
        let drops = told.iter().any(|message| matches!(message, ToWorker::Drop(_)));
        (drops, told.contains(&ToWorker::Stop))
    };
    assert_eq!(is_told(&last_word(false)), (true, true));
    assert_eq!(is_told(&last_word(true)), (false, false), "the other needs what it holds");
}

/// Its connection ends and nothing else: clients, and who holds replicas for it, have heard of nothing, and it takes records until
/// it finds that it is nobody's. Those are in no interval, so they are not acknowledged, and clients send them to others.
#[test]
fn what_a_worker_takes_that_is_lost_and_does_not_know_it_is_not_acknowledged() {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"known to all").unwrap();
    let builder = Context::builder("lost").interval(Duration::from_secs(1)).threads(1).workers(3);
    let harness = Harness::with(builder.token_file(token.path()), 3);
    let seen = harness.watch(&harness.ctx().source("lines").client_lines());
    harness.advance(1).unwrap();
    let (address, engine) = (harness.master().unwrap(), harness.ctx().engine());
    let credentials = Credentials::new(Token::from_text("known to all").secret(), None);
    let network = cluster::network_threads().unwrap();
    let is_over = AtomicBool::new(false);
    let send = &|n: usize| {
        let client = Client::builder(&address.to_string(), "lines").token_file(token.path()).build().unwrap();
        let mut sent = Vec::new();
        while !is_over.load(Ordering::Acquire) {
            let record = format!("{n}:{}", sent.len());
            client.send(&record).unwrap();
            client.flush().unwrap();
            sent.push(record);
        }
        sent
    };
    let mut sent: Vec<String> = thread::scope(|scope| {
        let clients: Vec<_> = (0..8).map(|n| scope.spawn(move || send(n))).collect();
        for lost in (0..3).map(WorkerId) {
            harness.advance(1).unwrap();
            // As the worker itself when it comes back by another connection.
            network.block_on(introduced(address, &credentials, Some((lost, 0)))).unwrap();
            let is_back = || {
                let joined = engine.shared.joined();
                joined.len() == 3 && !joined.contains_key(&lost)
            };
            wait_until("it does not come back", is_back);
            harness.advance(1).unwrap();
            wait_until("blocks are held too few times", || harness.copies() == 0);
        }
        is_over.store(true, Ordering::Release);
        clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    });
    harness.advance(2).unwrap();
    let mut seen: Vec<String> = seen.all().into_iter().flatten().flatten().collect();
    sent.sort();
    seen.sort();
    assert!(seen == sent, "{} records are acknowledged, and {} are there", sent.len(), seen.len());
}

/// What nobody ever makes so is an error, not a test that hangs.
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}, even after a minute");
        thread::sleep(Duration::from_millis(2));
    }
}

/// A thread of the program's own has a job running all the time: intervals, and what others compute, leave nothing behind.
#[test]
fn what_is_forgotten_goes_although_a_job_is_always_running() {
    static HANGS: Mutex<bool> = Mutex::new(true);
    static GOES_ON: std::sync::Condvar = std::sync::Condvar::new();
    static BEGUN: AtomicBool = AtomicBool::new(false);
    let builder = Context::builder("always").interval(Duration::from_secs(1)).threads(2);
    let harness = Harness::with(builder, 2);
    let ctx = harness.ctx().clone();
    let sums = harness.input((0..200u32).map(|t| vec![(t % 7, 1u64)])).running_reduce(|a, b| a + b);
    let _seen = harness.watch(&sums);
    let hangs = ctx.parallelize_into(1, [0]);
    let hanging = thread::spawn(move || {
        let held = hangs.map(|n| {
            BEGUN.store(true, Ordering::SeqCst);
            let hangs = GOES_ON.wait_while(HANGS.lock().unwrap(), |hangs| *hangs);
            drop(hangs.unwrap());
            n
        });
        held.count().unwrap()
    });
    let described = || {
        // What was told before is heard by then.
        ctx.parallelize([1]).count().unwrap();
        ctx.engine().shared.described.load(Ordering::SeqCst)
    };
    while !BEGUN.load(Ordering::SeqCst) {
        thread::yield_now();
    }
    let mut most = 0;
    for round in 0..10 {
        harness.advance(10).unwrap();
        for n in 0..20u64 {
            let doubled = ctx.parallelize((0..n).map(|n| (n % 3, n))).map_values(|n| n * 2).cache();
            doubled.reduce_by_key(|a, b| a + b).count().unwrap();
        }
        match round {
            0..3 => most = most.max(described()),
            _ => assert!(described() <= most + 10, "{} datasets after {most}", described()),
        }
    }
    assert!(!hanging.is_finished());
    *HANGS.lock().unwrap() = false;
    GOES_ON.notify_all();
    assert_eq!(hanging.join().unwrap(), 1);
}
