//! What the tests of sources share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    fs,
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    path::Path,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutwater::{
    Context, DStream, Error, Record,
    source::{SourceBuilder, Taken},
};

/// Far more than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A program of short intervals.
pub fn program() -> Context {
    Context::builder("test")
        .interval(Duration::from_millis(20))
        .threads(2)
        .handle_signals(false)
        .build()
        .unwrap()
}

/// A running program.
pub struct Running {
    ctx: Context,
    thread: JoinHandle<Result<(), Error>>,
}

/// Runs a program on a thread of its own.
pub fn run(ctx: &Context) -> Running {
    let running = ctx.clone();
    Running { ctx: ctx.clone(), thread: thread::spawn(move || running.run()) }
}

impl Running {
    /// Stops it gracefully.
    pub fn stop(self) -> Result<(), Error> {
        self.ctx.stop();
        self.wait()
    }

    /// Waits until it ends.
    pub fn wait(self) -> Result<(), Error> {
        let began = Instant::now();
        while !self.thread.is_finished() {
            assert!(began.elapsed() < PATIENCE, "the program did not end");
            thread::sleep(Duration::from_millis(5));
        }
        self.thread.join().unwrap()
    }
}

/// Everything a stream has held.
pub struct Watch<T>(Arc<(Mutex<Vec<T>>, Condvar)>);

impl<T: Record> Watch<T> {
    pub fn of(stream: &DStream<T>) -> Self {
        let seen: Arc<(Mutex<Vec<T>>, Condvar)> = Arc::default();
        let watch = Self(seen.clone());
        stream.for_each_rdd(move |rdd, _| {
            seen.0.lock().unwrap().extend(rdd.collect()?);
            seen.1.notify_all();
            Ok::<(), Error>(())
        });
        watch
    }

    /// Waits until there are `count` records.
    pub fn wait_for(&self, count: usize) {
        let seen = self.0.0.lock().unwrap();
        let (seen, _) = self.0.1.wait_timeout_while(seen, PATIENCE, |seen| seen.len() < count).unwrap();
        assert!(seen.len() >= count, "{} of {count} records", seen.len());
    }

    pub fn all(&self) -> Vec<T> {
        self.0.0.lock().unwrap().clone()
    }
}

/// What the first source gave to each interval.
#[derive(Clone)]
pub struct Reports(Arc<(Mutex<Vec<Taken>>, Condvar)>);

pub fn reports(ctx: &Context) -> Reports {
    let reports = Reports(Arc::default());
    let into = reports.clone();
    ctx.on_interval(move |report| {
        into.0.0.lock().unwrap().push(report.sources[0].taken.clone());
        into.0.1.notify_all();
    });
    reports
}

impl Reports {
    pub fn taken(&self) -> Vec<Taken> {
        self.0.0.lock().unwrap().clone()
    }

    pub fn sum(&self, of: impl Fn(&Taken) -> u64) -> u64 {
        self.taken().iter().map(of).sum()
    }

    /// Waits until the intervals say what they should.
    pub fn wait_until(&self, so: impl Fn(&[Taken]) -> bool) {
        let taken = self.0.0.lock().unwrap();
        let (taken, _) = self.0.1.wait_timeout_while(taken, PATIENCE, |taken| !so(taken)).unwrap();
        assert!(so(&taken), "{} intervals", taken.len());
    }
}

/// An address of this machine at which nobody listens, and which nobody else in this process is given.
///
/// It is below the ports that systems choose from for whoever does not care (from 32768 on): none of those that
/// tests of other files are given may become this one, and a source that dials it cannot reach itself.
pub fn free_addr() -> SocketAddr {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        // Processes that run at a time begin far from each other.
        let at = std::process::id().wrapping_mul(101).wrapping_add(NEXT.fetch_add(1, Relaxed)) % 20_000;
        let addr = SocketAddr::from(([127, 0, 0, 1], 10_000 + at as u16));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// Listens at an address that was free.
pub fn listen(addr: SocketAddr) -> TcpListener {
    let began = Instant::now();
    loop {
        match TcpListener::bind(addr) {
            Ok(listener) => return listener,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{addr}: {error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Connects to a program that is about to listen.
pub fn connect(addr: SocketAddr) -> TcpStream {
    let began = Instant::now();
    loop {
        match TcpStream::connect(addr) {
            Ok(stream) => return stream,
            Err(error) => assert!(began.elapsed() < PATIENCE, "{error}"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs a program whose source connects to a server that sends `bytes`, until it has said all there
/// is to say about them or failed.
pub fn fed<T: Record>(
    name: &str,
    bytes: &[u8],
    declare: impl FnOnce(SourceBuilder<'_>, SocketAddr) -> DStream<T>,
) -> (Result<(), Error>, (Watch<T>, Reports)) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let ctx = program();
    let stream = declare(ctx.source(name), listener.local_addr().unwrap());
    let (seen, reports) = (Watch::of(&stream), reports(&ctx));
    let running = run(&ctx);
    let (mut client, _) = listener.accept().unwrap();
    client.write_all(bytes).unwrap();
    drop(client);
    // It connects again when it has read all of the first connection.
    let again = thread::spawn(move || listener.accept().map(drop));
    let began = Instant::now();
    while !again.is_finished() && !running.thread.is_finished() {
        assert!(began.elapsed() < PATIENCE, "the program neither connected again nor ended");
        thread::sleep(Duration::from_millis(5));
    }
    (running.stop(), (seen, reports))
}

/// The dead letters in a file.
pub fn letters(path: &Path) -> Vec<serde_json::Value> {
    fs::read_to_string(path).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}
