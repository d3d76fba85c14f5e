//! Every operation of streams against tables: what goes in, interval by interval, and what comes out.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

mod absent;
mod build;
mod outputs;
mod partitions;
mod plain;
mod refreshed;
mod windows;

use std::time::Duration;

use cutwater::{Context, DStream, Record, testing::Harness};

/// The tables are in intervals of a second.
const SECOND: Duration = Duration::from_secs(1);

/// A program of `threads` compute threads with inputs in `partitions` partitions.
fn harness(interval: Duration, threads: usize, partitions: u32) -> Harness {
    Harness::with(Context::builder("tables").interval(interval).threads(threads), partitions)
}

/// Checks a program against the table of what it answers, for several numbers of threads and
/// partitions: at each multiple of the output's slide, the records in any order, or `None` for no
/// dataset at all.
fn check<T, const N: usize>(
    interval: Duration,
    expected: [Option<Vec<T>>; N],
    program: impl Fn(&Harness) -> DStream<T>,
) where
    T: Record + Ord + std::fmt::Debug,
{
    let mut expected = expected.to_vec();
    expected.iter_mut().flatten().for_each(|records| records.sort());
    for (threads, partitions) in [(1, 1), (1, 2), (2, 2), (3, 5), (4, 2)] {
        let harness = harness(interval, threads, partitions);
        let stream = program(&harness);
        let watched = harness.watch(&stream);
        let slide = stream.slide();
        let intervals = slide.as_millis() * N as u128 / interval.as_millis();
        harness.advance(intervals as u64).expect("the intervals succeed");
        let mut got = watched.timed();
        got.iter_mut().filter_map(|(_, records)| records.as_mut()).for_each(|records| records.sort());
        for (n, (time, _)) in (1..).zip(&got) {
            assert_eq!(time.as_ms(), n * slide.as_millis() as i64);
        }
        let got: Vec<_> = got.into_iter().map(|(_, records)| records).collect();
        assert_eq!(got, expected, "{threads} threads, {partitions} partitions");
    }
}

/// The same where there is a dataset every time.
fn check_all<T, const N: usize>(
    interval: Duration,
    expected: [Vec<T>; N],
    program: impl Fn(&Harness) -> DStream<T>,
) where
    T: Record + Ord + std::fmt::Debug,
{
    check(interval, expected.map(Some), program);
}

/// Keyed records with owned keys, from a table.
fn keyed<V: Clone, const N: usize>(intervals: [&[(&str, V)]; N]) -> [Vec<(String, V)>; N] {
    intervals.map(|interval| interval.iter().cloned().map(|(k, v)| (k.to_owned(), v)).collect())
}

fn words<const N: usize>(intervals: [&[&str]; N]) -> [Vec<String>; N] {
    intervals.map(|interval| interval.iter().map(ToString::to_string).collect())
}
