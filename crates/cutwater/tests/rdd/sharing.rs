//! What is computed once, and what is moved once.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use cutwater::{Context, Rdd, Record};
use serde::{Deserialize, Serialize};

/// A value that counts how often it is copied. Reading from a shuffle copies, since others may read it
/// too; passing from one operation to the next within a task does not.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Copied(u32);

static COPIES: AtomicUsize = AtomicUsize::new(0);

impl Clone for Copied {
    fn clone(&self) -> Self {
        COPIES.fetch_add(1, Relaxed);
        Self(self.0)
    }
}

fn copies<T: Record>(rdd: &Rdd<T>) -> usize {
    COPIES.store(0, Relaxed);
    rdd.count().unwrap();
    COPIES.load(Relaxed)
}

#[test]
fn what_is_partitioned_alike_is_not_shuffled_again() {
    let ctx = Context::local(2);
    let placed = ctx.parallelize_into(3, (0..100u32).map(|n| (n % 10, Copied(n)))).partition_by(4);
    // Once to fill the shuffle, which stays as long as the dataset does.
    copies(&placed);
    let before = copies(&placed);
    let in_place = |rdd: usize| assert_eq!(rdd, before, "nothing is shuffled");
    let shuffled = |rdd: usize| assert!(rdd > before, "{rdd} copies, and {before} before the shuffle");

    in_place(copies(&placed.partition_by(4)));
    shuffled(copies(&placed.partition_by(3)));
    in_place(copies(&placed.group_by_key_into(4)));
    shuffled(copies(&placed.group_by_key_into(3)));
    in_place(copies(&placed.with(()).reduce_by_key_into(4, |(), a, _| a)));
    // Combined before it is sent, and read by as many as there are keys.
    shuffled(copies(&placed.with(()).reduce_by_key_into(3, |(), a, _| a)));

    // What leaves keys alone leaves them in place.
    in_place(copies(&placed.filter(|_| true).map_values(|v| v).group_by_key_into(4)));
    in_place(copies(&placed.group_by_key_into(4).map_values(|mut vs| vs.remove(0)).group_by_key_into(4)));
    // What may change them does not.
    shuffled(copies(&placed.map(|r| r).group_by_key_into(4)));
    shuffled(copies(&placed.map_partitions(|r| r).group_by_key_into(4)));
    shuffled(copies(&placed.coalesce(4).group_by_key_into(4)));

    let other = ctx.parallelize_into(2, (0..10u32).map(|n| (n, n))).partition_by(4);
    in_place(copies(&placed.cogroup_into(&other, 4)));
    shuffled(copies(&placed.cogroup_into(&other, 5)));
    let both = copies(&placed.union(&placed).group_by_key_into(4));
    assert_eq!(both, 2 * before, "a union of what is partitioned alike is too");
}

#[test]
fn a_cached_dataset_is_computed_once() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    // One thread, so that blocks are gone when the next task begins.
    let ctx = Context::local(1);
    let counted = ctx.parallelize_into(3, 0..10).map(|n| {
        CALLS.fetch_add(1, Relaxed);
        n * 2
    });
    assert_eq!(counted.count().unwrap(), 10);
    assert_eq!(counted.count().unwrap(), 10);
    assert_eq!(CALLS.swap(0, Relaxed), 20, "computed for each action");

    let kept = counted.cache();
    assert_eq!(CALLS.load(Relaxed), 0, "an operation computes nothing");
    for _ in 0..3 {
        assert_eq!(kept.collect().unwrap(), (0..10).map(|n| n * 2).collect::<Vec<_>>());
        assert_eq!(kept.filter(|n| n % 4 == 0).count().unwrap(), 5);
        assert_eq!(kept.cache().sort_by(|n| -n).unwrap().first().unwrap(), 18);
    }
    assert_eq!(CALLS.swap(0, Relaxed), 10, "computed once");

    kept.unpersist();
    assert_eq!(kept.count().unwrap(), 10);
    assert_eq!(CALLS.swap(0, Relaxed), 10, "and once more when it was let go of");
    assert_eq!(counted.count().unwrap(), 10);
    assert_eq!(CALLS.swap(0, Relaxed), 10, "the one it was made from is not kept");
}

#[test]
fn taking_from_a_cached_dataset_keeps_whole_partitions() {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let ctx = Context::local(1);
    let kept = ctx
        .parallelize_into(5, 0..50)
        .map(|n| {
            CALLS.fetch_add(1, Relaxed);
            n
        })
        .cache();
    assert_eq!(kept.take(3).unwrap(), [0, 1, 2]);
    assert_eq!(CALLS.load(Relaxed), 10, "one partition of five");
    assert_eq!(kept.count().unwrap(), 50);
    assert_eq!(CALLS.load(Relaxed), 50, "the other four");
}

#[test]
fn a_cached_dataset_outlives_what_it_was_made_from() {
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        // The source's own handle is gone before anything is computed.
        let kept = ctx.parallelize_into(3, 0..100).cache();
        assert_eq!(kept.count().unwrap(), 100);
        kept.unpersist();
        assert_eq!(kept.collect().unwrap(), (0..100).collect::<Vec<_>>());
        let derived = ctx.parallelize(0..10).cache().map(|n| n + 1).cache();
        assert_eq!(derived.reduce(|a, b| a + b).unwrap(), 55);
    }
}

#[test]
fn a_context_may_be_dropped_before_its_datasets() {
    let rdd = Context::local(2).parallelize(0..10).map(|n| n + 1);
    assert_eq!(rdd.count().unwrap(), 10);
}

/// A lineage of many steps is neither walked nor dropped by recursion without end.
#[test]
fn a_long_lineage() {
    let ctx = Context::local(2);
    let mut rdd = ctx.parallelize_into(2, [0u64, 1]);
    for _ in 0..300 {
        rdd = rdd.map(|n| n + 1);
    }
    assert_eq!(rdd.collect().unwrap(), [300, 301]);
    let mut keyed = ctx.parallelize_into(2, [(0u8, 1u64), (1, 1)]);
    for _ in 0..60 {
        keyed = keyed.reduce_by_key(|a, b| a + b).map(|(k, v)| (k, v + 1));
    }
    assert_eq!(sorted_pairs(&keyed), [(0, 61), (1, 61)]);
}

fn sorted_pairs(rdd: &Rdd<(u8, u64)>) -> Vec<(u8, u64)> {
    crate::sorted(rdd)
}

/// Jobs of several threads of the program share one engine.
#[test]
fn actions_from_many_threads() {
    let ctx = Context::local(2);
    let kept = ctx.parallelize_into(4, 0..1000u64).map(|n| (n % 10, n)).cache();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..5 {
                    assert_eq!(kept.count().unwrap(), 1000);
                    assert_eq!(
                        kept.reduce_by_key(|a, b| a + b).map(|r| r.1).reduce(|a, b| a + b).unwrap(),
                        499_500
                    );
                }
            });
        }
    });
}
