//! Data that is refreshed every few intervals, for static joins.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicI64, AtomicU32, Ordering::SeqCst},
};

use cutwater::{Context, DStream, Error, OnFailure, testing::Harness};
use serde::{Deserialize, Deserializer, Serialize};

use super::SECOND;

/// The times at which the data was made, and a stream of the number of the refresh.
fn numbered(harness: &Harness, every: u32) -> (Arc<Mutex<Vec<i64>>>, DStream<((), usize)>) {
    let made: Arc<Mutex<Vec<i64>>> = Arc::default();
    let to = made.clone();
    let data = harness.ctx().refreshed(every, move |ctx, t| {
        let mut made = to.lock().unwrap();
        made.push(t.as_ms() / 1000);
        Ok(ctx.parallelize([((), made.len())]))
    });
    (made, data)
}

fn joined(harness: &Harness, data: &DStream<((), usize)>, intervals: i64) -> DStream<(i64, usize)> {
    let input = harness.input((1..=intervals).map(|n| vec![((), n)]));
    input.join(data).map(|((), pair)| pair)
}

#[test]
fn it_is_made_at_the_first_interval_and_every_nth_after_it() {
    for (every, times) in [(1, vec![1, 2, 3, 4, 5, 6, 7]), (3, vec![1, 4, 7]), (10, vec![1])] {
        for threads in [1, 3] {
            let harness = Harness::with(Context::builder("test").interval(SECOND).threads(threads), 2);
            let (made, data) = numbered(&harness, every);
            let seen = harness.run(&joined(&harness, &data, 7), 7).unwrap().concat();
            assert_eq!(*made.lock().unwrap(), times);
            let expected: Vec<_> = (1..=7).map(|n| (n, (n as usize - 1) / every as usize + 1)).collect();
            assert_eq!(seen, expected, "every {every}");
        }
    }
}

/// What an interval is joined with does not depend on when somebody looks.
#[test]
fn a_slow_output_sees_what_each_interval_had() {
    let harness = Harness::new(SECOND);
    let (made, data) = numbered(&harness, 2);
    let seen = harness.run(&joined(&harness, &data, 6).window(3 * SECOND, 3 * SECOND), 6).unwrap();
    assert_eq!(seen, [[(1, 1), (2, 1), (3, 2)], [(4, 2), (5, 3), (6, 3)]]);
    assert_eq!(*made.lock().unwrap(), [1, 3, 5]);
}

#[test]
fn it_is_computed_once_and_not_in_every_interval() {
    static COMPUTED: AtomicU32 = AtomicU32::new(0);
    let harness = Harness::new(SECOND);
    let prices = harness.ctx().refreshed(4, |ctx, _| {
        Ok(ctx.parallelize_into(2, 0..10u32).map(|n| {
            COMPUTED.fetch_add(1, SeqCst);
            (n, n * 100)
        }))
    });
    let sales = harness.input((0..8).map(|n| vec![(n, ()), (n + 1, ())]));
    let counts = harness.run(&sales.join(&prices).count(), 8).unwrap().concat();
    assert_eq!(counts, [2, 2, 2, 2, 2, 2, 2, 2]);
    assert_eq!(COMPUTED.load(SeqCst), 20, "two refreshes of ten records");
}

static ALIVE: AtomicI64 = AtomicI64::new(0);

/// A record that counts how many of it there are.
#[derive(Serialize)]
struct Counted(u32);

impl Counted {
    fn new(n: u32) -> Self {
        ALIVE.fetch_add(1, SeqCst);
        Self(n)
    }
}

impl Clone for Counted {
    fn clone(&self) -> Self {
        Self::new(self.0)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        ALIVE.fetch_sub(1, SeqCst);
    }
}

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        u32::deserialize(deserializer).map(Self::new)
    }
}

#[test]
fn what_was_there_before_a_refresh_is_let_go() {
    // One thread: it lets blocks go before it runs the next task.
    let harness = Harness::with(Context::builder("test").interval(SECOND).threads(1), 1);
    let data = harness.ctx().refreshed(2, |ctx, _| Ok(ctx.parallelize((0..100).map(Counted::new))));
    let _watched = harness.watch(&data.map(|counted| counted.0));
    for _ in 0..20 {
        harness.advance(1).unwrap();
        // That of now and, until nobody can look back at it, the one before.
        assert!(ALIVE.load(SeqCst) <= 300, "{}", ALIVE.load(SeqCst));
    }
}

#[test]
fn after_a_refresh_that_fails_there_is_what_was_there_before() {
    for first_fails in [false, true] {
        let builder = Context::builder("test").interval(SECOND).threads(2).on_failure(OnFailure::Continue);
        let harness = Harness::with(builder, 2);
        let tries: Arc<Mutex<Vec<i64>>> = Arc::default();
        let to = tries.clone();
        let data = harness.ctx().refreshed(3, move |ctx, t| {
            let n = t.as_ms() / 1000;
            to.lock().unwrap().push(n);
            let fails = if first_fails { n < 3 } else { n == 4 };
            if fails {
                Err(Error::user("the database is away"))
            } else {
                Ok(ctx.parallelize([((), n as usize)]))
            }
        });
        let watched = harness.watch(&joined(&harness, &data, 8));
        let failures: Vec<_> = (0..8).map(|_| harness.step().unwrap().failure).collect();
        let failed: Vec<_> = (1..).zip(&failures).filter(|(_, f)| f.is_some()).map(|(n, _)| n).collect();
        let seen: Vec<_> = watched.all().into_iter().flatten().flatten().collect();
        if first_fails {
            assert_eq!(failed, [1, 2]);
            assert_eq!(*tries.lock().unwrap(), [1, 2, 3, 4, 7]);
            assert_eq!(seen, [(3, 3), (4, 4), (5, 4), (6, 4), (7, 7), (8, 7)]);
        } else {
            assert_eq!(failed, [4]);
            assert_eq!(*tries.lock().unwrap(), [1, 4, 7]);
            assert_eq!(seen, [(1, 1), (2, 1), (3, 1), (5, 1), (6, 1), (7, 7), (8, 7)]);
        }
        let message = failures.into_iter().flatten().next().unwrap().to_string();
        assert!(message.contains("`refreshed` at") && message.contains("the database is away"), "{message}");
    }
}

#[test]
fn a_faulty_number_is_a_fault_of_the_program() {
    let harness = Harness::new(SECOND);
    let data = harness.ctx().refreshed(0, |ctx, _| Ok(ctx.parallelize([1])));
    let error = harness.run(&data, 1).unwrap_err().to_string();
    assert!(error.contains("`refreshed` at") && error.contains("every 0 intervals"), "{error}");
}
