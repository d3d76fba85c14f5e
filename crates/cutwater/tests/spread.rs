//! Programs that are started again with another parallelism: their states are spread anew over as many partitions, and
//! what they give out is what they would have given out without that.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
};

use cutwater::{Builder, Context, DStream, StateSpec, testing::Harness};
use every_state::{Click, SECOND, clicks, states};

#[path = "support/every_state.rs"]
mod every_state;

const INTERVALS: u64 = 32;

/// By stream and time, the records in an order of their own.
type Given = Vec<BTreeMap<i64, Vec<String>>>;

fn builder(folder: &Path, parallelism: Option<u32>) -> Builder {
    let builder = Context::builder("spread").interval(SECOND).threads(2).checkpoint_intervals(3);
    let builder = builder.checkpoint(folder.to_str().unwrap());
    match parallelism {
        Some(parallelism) => builder.parallelism(parallelism),
        None => builder,
    }
}

/// Runs so many intervals of a program, from where it was. Its first stream is one of state, which is to be in so many
/// partitions.
fn go_on(
    builder: Builder,
    program: impl FnOnce(&Harness) -> Vec<DStream<String>>,
    partitions: u32,
    intervals: u64,
    given: &mut Given,
) {
    let harness = Harness::with(builder, 3);
    let streams = program(&harness);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let into = seen.clone();
    streams[0].for_each_rdd(move |rdd, _| {
        into.lock().unwrap().push(rdd.num_partitions());
        Ok::<(), cutwater::Error>(())
    });
    let watched: Vec<_> = streams.iter().map(|stream| harness.watch(stream)).collect();
    harness.advance(intervals).unwrap();
    assert!(seen.lock().unwrap().iter().all(|seen| *seen == partitions), "{seen:?}");
    given.resize_with(watched.len(), BTreeMap::new);
    for (watched, given) in watched.iter().zip(given) {
        for (time, records) in watched.timed() {
            let mut records = records.unwrap_or_default();
            records.sort();
            let before = given.insert(time.as_ms(), records.clone());
            assert!(before.is_none_or(|before| before == records), "interval {time} differs");
        }
    }
}

/// So few that keys are idle for some intervals, and time out.
fn few_clicks() -> Vec<Vec<Click>> {
    clicks(INTERVALS, 9)
}

fn every_state(harness: &Harness) -> Vec<DStream<String>> {
    states(&harness.input(few_clicks()))
}

/// What the program gives out that is never ended, up to the last interval of what `given` has.
fn assert_undisturbed(given: &Given, program: impl FnOnce(&Harness) -> Vec<DStream<String>>) {
    let (dir, mut expected) = (tempfile::tempdir().unwrap(), Given::new());
    let last = *given[0].keys().last().unwrap();
    go_on(builder(dir.path(), Some(4)), program, 4, last as u64 / 1000, &mut expected);
    for (stream, (given, expected)) in given.iter().zip(&expected).enumerate() {
        for (time, records) in expected {
            assert_eq!(given.get(time), Some(records), "stream {stream} at {time}");
        }
    }
    assert!(given.iter().flat_map(BTreeMap::values).flatten().count() > 200, "it gives something out");
}

/// Up and down, and to one.
#[test]
fn states_of_every_kind_are_spread_anew() {
    let (dir, mut given) = (tempfile::tempdir().unwrap(), Given::new());
    for (parallelism, intervals) in [(3, 8), (5, 6), (2, 4), (7, 6), (1, 2), (3, 6)] {
        go_on(builder(dir.path(), Some(parallelism)), every_state, parallelism, intervals, &mut given);
    }
    assert_eq!(given[0].len() as u64, INTERVALS);
    assert_undisturbed(&given, every_state);
}

/// With workers in other processes, some of which are killed when states lie in the files of both numbers. Who says
/// nothing goes on with the number of the last start, with however many workers.
#[test]
fn states_are_spread_anew_over_other_workers() {
    let (dir, mut given) = (tempfile::tempdir().unwrap(), Given::new());
    for (parallelism, partitions, workers, intervals) in
        [(Some(4), 4, 2, 8), (Some(6), 6, 3, 5), (None, 6, 2, 5), (Some(3), 3, 2, 6)]
    {
        let builder = builder(dir.path(), parallelism).threads(1).workers(workers);
        let program = |harness: &Harness| {
            let streams = every_state(harness);
            let worker = harness.workers()[0].to_string();
            streams[0].for_each_rdd(move |_, t| {
                if t.as_ms() % 5000 == 0 {
                    let _ = std::process::Command::new("kill").args(["-KILL", &worker]).status();
                }
                Ok::<(), cutwater::Error>(())
            });
            streams
        };
        go_on(builder, program, partitions, intervals, &mut given);
    }
    assert_undisturbed(&given, every_state);
}

/// A number that the program gives for one operation only.
#[test]
fn a_state_whose_own_number_was_changed_is_spread_anew() {
    fn program(partitions: u32) -> impl FnOnce(&Harness) -> Vec<DStream<String>> {
        move |harness| {
            let keyed = harness.input(few_clicks()).map(|(_, key, value)| (key, value));
            let spec = StateSpec::new().partitions(partitions).timeout(2 * SECOND);
            let mapped = keyed.map_with_state_spec(
                |_, key, value: Option<u64>, state: &mut cutwater::State<u64>| {
                    let sum = value.unwrap_or(0) + state.get_option().copied().unwrap_or(0);
                    if !state.is_timing_out() {
                        state.update(sum);
                    }
                    Some((*key, sum))
                },
                spec,
            );
            let of_mapped =
                mapped.mapped().map_values(|_| 1u64).window(5 * SECOND, SECOND).reduce_by_key(|a, b| a + b);
            let windowed = keyed.reduce_by_key_and_window_inverse_into(
                partitions,
                |a, b| a + b,
                |a, b| a - b,
                5 * SECOND,
                SECOND,
            );
            let tree = keyed.reduce_by_key_and_window_into(partitions, u64::max, 6 * SECOND, SECOND);
            vec![
                mapped.state_snapshots().map(|entry| format!("snapshot {entry:?}")),
                mapped.mapped().map(|entry| format!("mapped {entry:?}")),
                of_mapped.map(|entry| format!("of mapped {entry:?}")),
                windowed.map(|entry| format!("windowed {entry:?}")),
                tree.map(|entry| format!("tree {entry:?}")),
            ]
        }
    }
    let (dir, mut given) = (tempfile::tempdir().unwrap(), Given::new());
    for (partitions, intervals) in [(3, 5), (4, 7), (1, 4), (2, 4)] {
        go_on(builder(dir.path(), Some(3)), program(partitions), partitions, intervals, &mut given);
    }
    assert_undisturbed(&given, program(4));
}

/// Where nobody says, partitions are not more than those; where somebody does, some are without keys.
#[test]
fn a_state_is_spread_over_more_partitions_than_there_are_key_groups() {
    fn program(partitions: u32) -> impl FnOnce(&Harness) -> Vec<DStream<String>> {
        move |harness| {
            let keyed = harness.input(clicks(INTERVALS, 100)).map(|(_, key, value)| (key, value));
            let spec = StateSpec::new().partitions(partitions);
            let asked_for = keyed.update_state_by_key_spec(
                |_, _, values, sum| Some(sum.unwrap_or(0) + values.iter().sum::<u64>()),
                spec,
            );
            let sums = keyed.running_reduce(|a, b| a + b);
            vec![
                asked_for.map(|entry| format!("asked for {entry:?}")),
                sums.map(|entry| format!("sum {entry:?}")),
            ]
        }
    }
    let (dir, mut given) = (tempfile::tempdir().unwrap(), Given::new());
    for (parallelism, intervals) in [(3, 5), (300, 4), (7, 5)] {
        let builder = builder(dir.path(), Some(parallelism));
        go_on(builder, program(parallelism), parallelism, intervals, &mut given);
    }
    assert_undisturbed(&given, program(4));
}
