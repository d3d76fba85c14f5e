//! What a program sees of its workers: nothing, if all goes well.

use std::{collections::BTreeMap, time::Duration};

use cutwater::{Compression, ErrorKind, testing::Harness};
use serde::{Deserialize, Serialize, Serializer};

use crate::{builder, harness, kill, sorted};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn words_are_counted() {
    let harness = harness(3);
    let lines = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    let lines = harness.input([lines(&["to be", "or not"]), lines(&["to be"])]);
    let words = lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let counts = words.map(|word| (word, 1u64)).running_reduce(|a, b| a + b);
    let seen = harness.run(&counts, 3).unwrap();
    let count = |word: &str, n| (word.to_owned(), n);
    assert_eq!(sorted(seen[0].clone()), [count("be", 1), count("not", 1), count("or", 1), count("to", 1)]);
    assert_eq!(sorted(seen[2].clone()), [count("be", 2), count("not", 1), count("or", 1), count("to", 2)]);
    assert_eq!(harness.workers().len(), 3);
}

/// Several operators, two shuffles and a window, in other processes and in this one.
#[test]
fn it_answers_what_one_process_answers() {
    let answers = |harness: Harness| {
        let numbers: Vec<Vec<u64>> = (0..8).map(|t| (0..50).map(|i| i * i % 37 + t).collect()).collect();
        let input = harness.input(numbers);
        let keyed = input.with(7u64).map(|m, n| (n % m, n));
        let sums = keyed.reduce_by_key_and_window(|a, b| a + b, 3 * SECOND, SECOND);
        let joined = sums.join(&keyed.map_values(|n| n + 1)).map(|(key, (sum, n))| (n % 5, (key, sum)));
        harness.run(&joined.group_by_key(), 8).unwrap()
    };
    // With as many slots, keyed data is in as many partitions, and the answers are equal to the order.
    let one_process = Harness::with(builder(0).threads(3), 4);
    assert_eq!(answers(harness(3)), answers(one_process));
}

#[test]
fn datasets_without_streams_travel_too() {
    let harness = harness(2);
    let ctx = harness.ctx();
    let words = ctx.parallelize_into(5, (0..1000u64).map(|n| (n % 10, n.to_string())));
    let joined = words.join(&ctx.parallelize([(3u64, 'c'), (4, 'd')]));
    assert_eq!(joined.count().unwrap(), 200);
    assert_eq!(words.sort_by(|(_, word)| word.clone()).unwrap().take(2).unwrap()[1].1, "1");
    let cached = words.cache();
    assert_eq!((cached.count().unwrap(), cached.count().unwrap()), (1000, 1000));
}

#[test]
fn large_blocks_arrive_whole_compressed_or_not() {
    for compression in [Compression::On, Compression::Off] {
        let harness = Harness::with(builder(2).compression(compression), 4);
        let texts = (0..8u32).map(|n| (n, n.to_string().repeat(1 << 20))).collect::<Vec<_>>();
        let arrived = harness.ctx().parallelize_into(4, texts.clone()).partition_by(3);
        assert!(sorted(arrived.collect().unwrap()) == texts);
    }
}

#[test]
fn a_panic_over_there_names_the_operation_here() {
    let harness = harness(2);
    let line = line!() + 1;
    let halves = harness.input([vec![2, 1, 0]]).map(|n| 10 / n);
    let error = harness.run(&halves, 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    let text = error.to_string();
    assert!(
        text.contains(&format!("`map` at {}:{line}", file!())) && text.contains("divide by zero"),
        "{text}"
    );
}

/// A value that only pretends to be serialisable.
#[derive(Clone, Deserialize)]
struct Stubborn;

impl Serialize for Stubborn {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("not today"))
    }
}

#[test]
fn what_cannot_travel_is_named() {
    let harness = harness(2);
    let stuck = harness.input([vec![1]]).with(Stubborn).map(|_, n| n);
    let error = harness.run(&stuck, 1).unwrap_err().to_string();
    assert!(error.contains("values given by `with` cannot be serialised"), "{error}");
}

/// Records are held by two workers before they count as received, and the rest is made again.
#[test]
fn the_loss_of_a_worker_changes_nothing_for_a_program_without_state() {
    let harness = harness(3);
    let input = harness.input((0..6u64).map(|t| (0..30).map(|n| n + t).collect::<Vec<_>>()));
    let sums = input.map(|n| (n % 4, n)).reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, SECOND);
    let seen = harness.watch(&sums);
    harness.advance(3).unwrap();
    kill(harness.workers()[1]);
    harness.advance(3).unwrap();
    for (t, records) in (0u64..).zip(seen.all()) {
        let mut expected = BTreeMap::new();
        for n in t.saturating_sub(1)..=t {
            (0..30).for_each(|i| *expected.entry((i + n) % 4).or_insert(0) += i + n);
        }
        assert_eq!(sorted(records.unwrap()), expected.into_iter().collect::<Vec<_>>(), "interval {t}");
    }
}

/// Twice as many partitions as slots, so that some have to wait for the worker that has their state.
#[test]
fn state_stays_where_it_is() {
    let harness = Harness::with(builder(3).parallelism(6), 4);
    let input = harness.input((0..20u64).map(|t| (0..200).map(|n| (n % 50, t)).collect::<Vec<_>>()));
    let counts = input.running_reduce(|a, b| a + b);
    harness.watch(&counts.count());
    // At first tasks go wherever a slot is free, and it may take some intervals until all have as many.
    harness.advance(8).unwrap();
    let moved: u64 = (0..12).map(|_| harness.step().unwrap().moved_partitions).sum();
    assert_eq!(moved, 0);
}

#[test]
fn workers_end_with_the_program() {
    let harness = harness(2);
    let processes = harness.workers();
    let is_there = |process: &u32| std::path::Path::new(&format!("/proc/{process}/exe")).exists();
    assert!(processes.iter().all(is_there));
    drop(harness);
    assert!(!processes.iter().any(is_there));
}

#[test]
fn two_programs_have_workers_of_their_own() {
    let (one, other) = (harness(1), harness(1));
    assert_ne!(one.workers(), other.workers());
    for (harness, n) in [(&one, 1), (&other, 2)] {
        let rdd = harness.ctx().parallelize([n]).with(n).map(|n, m| n * m);
        assert_eq!(rdd.collect().unwrap(), [n * n]);
    }
}

#[test]
fn beyond_loopback_nothing_listens_without_certificates() {
    let error = builder(0).master("0.0.0.0:0").build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let said = error.to_string();
    assert!(said.contains("beyond loopback there are only encrypted connections"), "{said}");
    assert!(said.contains("cutwater certs") && said.contains("127.0.0.1"), "{said}");
}
