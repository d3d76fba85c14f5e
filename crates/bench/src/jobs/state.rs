//! Keyed state of which each interval touches a small part: does an interval cost by what it touches or by
//! what there is?
//!
//! Keys and states are 8 bytes each. The keys are loaded by the first intervals, which are not measured;
//! after these, each touches the next so many keys, all different, and what is read is only what was
//! touched. Keys lie in the state by their hashes, so that neighbours are nowhere near each other in memory.

use std::{
    sync::{Arc, Mutex},
    time::Instant,
};

use cutwater::{Error, State, testing::Harness};

use super::{Answer, lock};
use crate::{
    cli::{Common, StateOptions},
    error::BenchError,
    measure::{Ended, Intervals},
    report::Report,
};

/// Bytes of a key and its state, and of a record.
const PAIR_BYTES: u64 = 16;

/// Keys that an interval loads. What each writes is held once more while the version before it is alive: loading
/// much more at a time than is touched later would show as the most memory ever used.
const LOAD_KEYS: u64 = 20_000;

/// Intervals that are measured unless the command line says otherwise.
const INTERVALS: u64 = 100;

/// Keys in the order of their numbers, beginning with `from`, and after the last the first again.
type Range = (u64, u64);

/// Runs the job.
///
/// # Errors
/// More keys are to be touched than there are, or the answer is wrong.
pub fn run(common: &Common, options: &StateOptions) -> Result<Report, BenchError> {
    let StateOptions { keys, touched } = *options;
    if touched > keys {
        return Err(BenchError::Refused(format!("{touched} different keys cannot be touched of {keys}")));
    }
    let measured = common.intervals.unwrap_or(INTERVALS);
    let loads = keys.div_ceil(LOAD_KEYS);
    // One interval more, in which all of the state is read to be checked.
    let rounds = common.warmup + measured + 1;
    let threads = common.threads();
    let part = |(from, count): Range| -> Vec<Range> {
        let parts = threads as u64;
        let at = |i: u64| count * i / parts;
        (0..parts).map(|i| (from + at(i), at(i + 1) - at(i))).collect()
    };
    let load = (0..loads).map(|i| part((i * LOAD_KEYS, LOAD_KEYS.min(keys - i * LOAD_KEYS))));
    let touch = (0..rounds).map(|round| part((round * touched % keys, touched)));

    let builder = common.builder();
    let harness = Harness::with(builder, u32::try_from(threads).unwrap_or(u32::MAX));
    let records = harness.input(load.chain(touch)).with(keys).flat_map(|keys, (from, count)| {
        let keys = *keys;
        (from..from + count).map(move |key| (key % keys, 1u64))
    });
    let counts = records.map_with_state(|key, n, count: &mut State<u64>| {
        *count.get_or_insert_with(|| 0) += n;
        mixed(*key, *count.get())
    });

    let last = loads + rounds;
    let answer: Answer<(u64, u64, u64)> = Answer::default();
    let put = answer.clone();
    counts.for_each_rdd(move |rdd, _| {
        let sum = rdd.aggregate(0, u64::wrapping_add, u64::wrapping_add)?;
        let mut answer = lock(&put);
        answer.0 = answer.0.wrapping_add(sum);
        Ok::<(), Error>(())
    });
    let (put, mut interval) = (answer.clone(), 0);
    counts.state_snapshots().for_each_rdd(move |rdd, _| {
        interval += 1;
        if interval == last {
            let add = |(n, sum): (u64, u64), (key, count)| (n + 1, sum.wrapping_add(mixed(key, count)));
            let (n, sum) = rdd.aggregate((0u64, 0u64), add, |a, b| (a.0 + b.0, a.1.wrapping_add(b.1)))?;
            let mut answer = lock(&put);
            (answer.1, answer.2) = (n, sum);
        }
        Ok::<(), Error>(())
    });

    let times = Arc::new(Mutex::new(Intervals::new(loads + common.warmup, Instant::now())));
    let ended = times.clone();
    harness.ctx().on_interval(move |report| {
        if report.number < last {
            let (processing, delay) = (report.processing, report.delay);
            let interval = Ended { records: touched, bytes: touched * PAIR_BYTES, processing, delay };
            lock(&ended).ended(interval, Instant::now());
        }
    });
    eprintln!("{keys} keys are loaded by {loads} intervals, which are not measured");
    harness.advance(last)?;

    let (got, expected) = (*lock(&answer), expected(keys, rounds * touched));
    if got != expected {
        return Err(BenchError::Wrong(format!("{got:?} as digests and number of keys, not {expected:?}")));
    }
    let times = lock(&times).clone();
    // A reader of JSON keeps 53 bits.
    let measured =
        times.finish(got.2 >> 11).ok_or_else(|| BenchError::Refused("nothing was measured".into()))?;
    let report = Report::new("state", threads, common.workers, measured);
    Ok(report.with("keys", keys).with("touched", touched).with("state_bytes", keys * PAIR_BYTES))
}

/// A number in which every bit of a key and its count counts.
fn mixed(key: u64, count: u64) -> u64 {
    let mixed = (key.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ count).wrapping_mul(0xa076_1d64_78bd_642f);
    mixed ^ mixed >> 32
}

/// What was given out for each touch, the number of keys and the digest of all states, after all keys were
/// loaded and `touches` more made in their order.
fn expected(keys: u64, touches: u64) -> (u64, u64, u64) {
    let sum = |all: &mut dyn Iterator<Item = u64>| all.fold(0, u64::wrapping_add);
    let loaded = sum(&mut (0..keys).map(|key| mixed(key, 1)));
    let touched = sum(&mut (0..touches).map(|touch| mixed(touch % keys, 2 + touch / keys)));
    let count = |key: u64| 1 + touches / keys + u64::from(key < touches % keys);
    (loaded.wrapping_add(touched), keys, sum(&mut (0..keys).map(|key| mixed(key, count(key)))))
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_reference_counts_as_a_map_does() {
        let (keys, touches) = (7, 40);
        let (mut counts, mut given) = (HashMap::new(), 0u64);
        for key in (0..keys).chain((0..touches).map(|touch| touch % keys)) {
            let count = counts.entry(key).and_modify(|count| *count += 1).or_insert(1);
            given = given.wrapping_add(mixed(key, *count));
        }
        let all = counts.iter().fold(0u64, |sum, (key, count)| sum.wrapping_add(mixed(*key, *count)));
        assert_eq!(expected(keys, touches), (given, keys, all));
    }
}
