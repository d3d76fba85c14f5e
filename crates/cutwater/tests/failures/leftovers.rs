//! What is gone afterwards: threads, and every record that nobody can ask for.

use std::{
    fs,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use cutwater::{Context, Error, testing::Harness};
use serde::{Deserialize, Serialize};

use crate::SECOND;

/// A record that counts how many of its kind there are.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Counted(i64);

static ALIVE: AtomicI64 = AtomicI64::new(0);

impl Counted {
    fn new(n: i64) -> Self {
        ALIVE.fetch_add(1, Relaxed);
        Self(n)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        i64::deserialize(deserializer).map(Self::new)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, Relaxed);
    }
}

/// The tests here count what the whole process has, so they take turns. Other tests of this process
/// make threads too, and so this looks at those of its own contexts alone where it can.
fn alone() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Blocks go soon after they may, on a thread that has other things to do.
fn soon(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "{what}, {} records alive", ALIVE.load(Relaxed));
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn all_gone() {
    soon("not all records are gone", || ALIVE.load(Relaxed) == 0);
}

#[test]
fn blocks_go_with_their_dataset() {
    let _alone = alone();
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        let source = ctx.parallelize_into(3, (0..30).map(Counted::new));
        assert_eq!(ALIVE.load(Relaxed), 30, "a source holds its records once");
        let pairs = source.map(|c| (c.0 % 5, c));
        let grouped = pairs.group_by_key();
        let kept = pairs.cache();
        assert_eq!(grouped.count().unwrap(), 5);
        assert_eq!(kept.count().unwrap(), 30);
        assert_eq!(kept.reduce_by_key(|a, _| a).count().unwrap(), 5);
        assert_eq!(kept.sort_by(|r| -r.0).unwrap().take(1).unwrap().len(), 1);
        drop((pairs, grouped));
        soon("what was shuffled is not gone", || ALIVE.load(Relaxed) == 60);
        kept.unpersist();
        soon("what was kept is not gone", || ALIVE.load(Relaxed) == 30);
        drop(kept);
        assert_eq!(source.count().unwrap(), 30);
        drop(source);
        all_gone();
        assert_eq!(ctx.parallelize(0..3).count().unwrap(), 3, "the engine is none the worse");
    }
}

#[test]
fn a_source_that_is_cached_is_held_once() {
    let _alone = alone();
    let ctx = Context::local(2);
    let kept = ctx.parallelize_into(3, (0..30).map(Counted::new)).cache();
    assert_eq!(kept.count().unwrap(), 30);
    assert_eq!(ALIVE.load(Relaxed), 30);
    drop(kept);
    all_gone();
}

#[test]
fn nothing_is_left_of_a_failure() {
    let _alone = alone();
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        for _ in 0..20 {
            let kept = ctx.parallelize_into(4, (0..40).map(Counted::new)).map(|c| (c.0 % 5, c)).cache();
            let failing = kept.map(|(k, c)| if c.0 == 17 { panic!("17") } else { (k, c) });
            assert!(failing.group_by_key().count().is_err());
            assert!(failing.count().is_err());
        }
        all_gone();
    }
}

/// Two hundred intervals of windows and state: the records alive follow the window and the keys, and not
/// how long the program has run.
#[test]
fn memory_of_a_long_run_is_bounded() {
    let _alone = alone();
    for threads in [1, 4] {
        for failing in [false, true] {
            let harness = Harness::with(Context::builder("long").interval(SECOND).threads(threads), 2);
            let input = harness.input((0..200).map(|t| (0..10).map(|n| t * 10 + n).collect()));
            let counted = input.map(|n: i64| (n % 7, Counted::new(n)));
            let sum = |a: Counted, b: Counted| Counted::new(a.0 + b.0);
            let streams = [
                counted.running_reduce(sum),
                counted.reduce_by_key_and_window(sum, 5 * SECOND, SECOND),
                counted.reduce_by_key_and_window_inverse(
                    sum,
                    |a, b| Counted::new(a.0 - b.0),
                    5 * SECOND,
                    SECOND,
                ),
                counted.window(5 * SECOND, 2 * SECOND),
                counted.join(&counted.running_reduce(sum)).map(|(k, (v, _))| (k, v)),
                counted.cache().transform(|rdd, _| rdd.sort_by(|r| r.0)),
            ];
            for stream in &streams {
                stream.for_each_rdd(move |rdd, t| {
                    let records = rdd.count()?;
                    assert!(!failing || t.as_ms() / 1000 % 10 < 7 || records == 0, "this interval fails");
                    Ok::<(), Error>(())
                });
            }
            let mut most = [0, 0];
            for t in 0..200 {
                let failed = harness.step().unwrap().failure.is_some();
                assert!(failing || !failed);
                let half = &mut most[t / 100];
                *half = ALIVE.load(Relaxed).max(*half);
            }
            // Each of six streams holds some intervals of ten records, or a few versions of seven keys.
            let bound = 6 * 12 * 10;
            assert!(most[1] < bound, "{most:?} records alive, {threads} threads, failing: {failing}");
            drop((harness, streams, input, counted));
            all_gone();
        }
    }
}

/// A state that no output looks at for a long time does not hold on to all that it is made from.
#[test]
fn state_that_nobody_looks_at_is_bounded() {
    let _alone = alone();
    let harness = Harness::with(Context::builder("unseen").interval(SECOND).threads(2), 2);
    let input = harness.input((0..200).map(|t| (0..10).map(|n| t * 10 + n).collect()));
    let counted = input.map(|n: i64| (n % 7, Counted::new(n))).cache();
    let sum = |a: Counted, b: Counted| Counted::new(a.0 + b.0);
    let streams = [
        counted.running_reduce(sum),
        counted.reduce_by_key_and_window_inverse(sum, |a, b| Counted::new(a.0 - b.0), 5 * SECOND, SECOND),
    ];
    for stream in &streams {
        stream.for_each_rdd(|rdd, t| {
            assert!(t.as_ms() != 200_000 || rdd.count()? == 7);
            Ok::<(), Error>(())
        });
    }
    let mut most = 0;
    for _ in 0..200 {
        assert!(harness.step().unwrap().failure.is_none());
        most = ALIVE.load(Relaxed).max(most);
    }
    assert!(most < 1000, "{most} records alive");
    drop((harness, streams, input, counted));
    all_gone();
}

/// Threads of this process with this name.
fn threads_named(prefix: &str) -> usize {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux");
    let names = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with(prefix)).count()
}

/// Needs a process of its own, since other tests make contexts all the time: it runs this executable
/// again with a word in its environment.
#[test]
fn threads_go_with_the_context() {
    const WORD: &str = "CUTWATER_TEST_THREADS";
    if std::env::var_os(WORD).is_none() {
        let this = std::env::current_exe().unwrap();
        let output = std::process::Command::new(this)
            .args(["--exact", "leftovers::threads_go_with_the_context", "--nocapture", "--test-threads=1"])
            .env(WORD, "1")
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("1 passed"), "{text}");
        return;
    }
    assert_eq!(threads_named("cutwater"), 0);
    let ctx = Context::local(3);
    // A thread gives itself its name when it begins.
    soon("threads begin", || threads_named("cutwater-comput") == 3 && threads_named("cutwater-master") == 1);
    let rdd = ctx.parallelize(0..100).map(|n| n + 1);
    assert_eq!(rdd.count().unwrap(), 100);
    drop(ctx);
    assert_eq!(rdd.count().unwrap(), 100);
    assert_eq!(threads_named("cutwater"), 4, "a dataset holds its engine");
    drop(rdd);
    // The threads have ended; the system takes a moment to strike them off its list.
    soon("threads are gone with the last of it", || threads_named("cutwater") == 0);

    let harness = Harness::new(SECOND);
    let watched = harness.watch(&harness.input([vec![1]]).map(|n| n).running_state());
    harness.advance(2).unwrap();
    drop((harness, watched));
    soon("threads are gone with a harness", || threads_named("cutwater") == 0);

    let ctx = Context::builder("run").interval(Duration::from_millis(1)).threads(2).build().unwrap();
    let (sender, numbers) = ctx.channel::<i32>("numbers");
    let inner = ctx.clone();
    numbers.for_each_rdd(move |rdd, _| {
        rdd.count().unwrap();
        inner.stop();
    });
    sender.send(1).unwrap();
    ctx.run().unwrap();
    drop((ctx, numbers, sender));
    soon("threads of a program that ran are gone", || threads_named("cutwater") == 0);
}

trait RunningState {
    fn running_state(&self) -> Self;
}

impl RunningState for cutwater::DStream<i32> {
    fn running_state(&self) -> Self {
        self.map(|n| (n, n)).running_reduce(|a, _| a).map(|(k, _)| k)
    }
}
