//! The same program over the same input gives the same records in the same order, however many threads
//! there are and however they happen to be scheduled.
//!
//! What has to be alike is the number of partitions. Those of an input are what the program says; a
//! shuffle that is not told (`reduce_by_key` and not `reduce_by_key_into`) makes as many as there are
//! threads, and then only the order of the records depends on it.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cutwater::{Context, Time, testing::Harness};

/// One thread and several, and several again, since threads never meet in the same way twice.
const THREADS: [usize; 8] = [1, 2, 3, 4, 4, 4, 2, 3];

fn same<T: PartialEq + std::fmt::Debug>(run: impl Fn(usize) -> T) {
    let first = run(THREADS[0]);
    for threads in &THREADS[1..] {
        assert!(run(*threads) == first, "{threads} threads: {:?}\none: {first:?}", run(*threads));
    }
}

fn words() -> Vec<String> {
    (0..3000u64).map(|n| format!("w{}", n * n % 211)).collect()
}

#[test]
fn datasets_in_given_partitions() {
    same(|threads| {
        let ctx = Context::local(threads);
        let words = ctx.parallelize_into(7, words());
        let ones = words.map(|word| (word, 1u64));
        let counts = ones.with(()).reduce_by_key_into(5, |(), a, b| a + b);
        let places = words.map_partitions(|part| part.into_iter().zip(0u64..).collect::<Vec<_>>());
        let sorted = counts.union(&ones.repartition(6)).sort_by_into(5, |c| c.1).unwrap();
        (
            counts.collect_partitions().unwrap(),
            places.group_by_key_into(3).collect_partitions().unwrap(),
            counts.join_into(&places, 4).collect_partitions().unwrap(),
            sorted.collect_partitions().unwrap(),
            counts.cogroup_into(&places, 5).collect_partitions().unwrap(),
            places.partition_by(9).coalesce(4).collect_partitions().unwrap(),
            words.take(100).unwrap(),
            counts.top_by(20, |c| c.1).unwrap(),
        )
    });
}

#[test]
fn streams_in_given_partitions() {
    same(|threads| {
        let second = Duration::from_secs(1);
        let harness = Harness::with(Context::builder("same").interval(second).threads(threads), 4);
        let words = words();
        let input = harness.input(words.chunks(300).map(<[String]>::to_vec));
        let counts = input.map(|w| (w, 1u64)).with(()).reduce_by_key_into(3, |(), a, b| a + b);
        let windows = harness.watch(&counts.window(3 * second, second));
        let sorted = harness.watch(&counts.transform(|rdd, _| rdd.sort_by_into(4, |c| c.1)));
        let letters = harness.watch(&input.repartition(5).map_partitions(|part| [part.concat().len()]));
        harness.advance(12).unwrap();
        (windows.timed(), sorted.timed(), letters.timed())
    });
}

/// State and windows follow the threads in their order, and are the same every time for as many.
#[test]
fn streams_that_follow_the_threads() {
    let run = |threads| {
        let second = Duration::from_secs(1);
        let harness = Harness::with(Context::builder("same").interval(second).threads(threads), 4);
        let words = words();
        let ones = harness.input(words.chunks(300).map(<[String]>::to_vec)).map(|w| (w, 1i64));
        let running = harness.watch(&ones.running_reduce(|a, b| a + b));
        let inverse = harness.watch(&ones.reduce_by_key_and_window_inverse(
            |a, b| a + b,
            |a, b| a - b,
            3 * second,
            second,
        ));
        let joined = harness.watch(&ones.group_by_key().join(&ones.running_reduce(|a, b| a + b)));
        harness.advance(12).unwrap();
        (running.timed(), inverse.timed(), joined.timed())
    };
    let sorted =
        |(running, inverse, joined)| (in_any_order(running), in_any_order(inverse), in_any_order(joined));
    let one = sorted(run(1));
    for threads in 2..=4 {
        let first = run(threads);
        assert!(run(threads) == first && run(threads) == first, "{threads} threads differ from themselves");
        assert!(sorted(first) == one, "{threads} threads and one");
    }
}

fn in_any_order<T: Ord>(mut timed: Vec<(Time, Option<Vec<T>>)>) -> Vec<(Time, Option<Vec<T>>)> {
    timed.iter_mut().filter_map(|(_, records)| records.as_mut()).for_each(|records| records.sort());
    timed
}
