//! Every operation of datasets against plain Rust on the same data, for several numbers of partitions
//! and threads.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

mod actions;
mod empty;
mod keyed;
mod saved;
mod sharing;
mod sources;
mod transformations;

use std::fmt::Debug;

use cutwater::{Context, Rdd, Record};

/// Runs `check` for every number of threads and partitions that is worth a difference: one, as many
/// as each other, fewer, more, and more partitions than some datasets have records.
fn grid(check: impl Fn(&Context, u32)) {
    for threads in [1, 2, 4] {
        let ctx = Context::local(threads);
        for partitions in [1, 2, 3, 7] {
            check(&ctx, partitions);
        }
    }
}

/// Numbers without any order, the same ones each time; some of them more than once.
fn numbers(n: usize) -> Vec<i64> {
    let step =
        |x: &u64| Some(x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
    std::iter::successors(Some(42), step).skip(1).take(n).map(|x| (x >> 33) as i64 % 500 - 250).collect()
}

/// Keyed records: about `n / 7` for each key, values saying where they came.
fn pairs(n: usize) -> Vec<(String, i64)> {
    numbers(n).into_iter().zip(0..).map(|(key, at)| (format!("k{}", key.rem_euclid(7)), at)).collect()
}

/// The records in an order that does not depend on where keys live.
fn sorted<T: Record + Ord>(rdd: &Rdd<T>) -> Vec<T> {
    let mut all = rdd.collect().expect("it can be computed");
    all.sort();
    all
}

/// That keys are where their hash says, and only there: each in one partition.
fn assert_placed<K: Record + Eq + Debug, V: Record>(rdd: &Rdd<(K, V)>) {
    let partitions = rdd.collect_partitions().expect("it can be computed");
    for (at, records) in partitions.iter().enumerate() {
        for (key, _) in records {
            for (other, elsewhere) in partitions.iter().enumerate() {
                assert!(
                    other == at || elsewhere.iter().all(|(k, _)| k != key),
                    "{key:?} is in {at} and {other}"
                );
            }
        }
    }
}
