use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

use cutwater::ErrorKind;

use crate::{grid, numbers};

#[test]
fn count_reduce_and_aggregate() {
    let data = numbers(100);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(rdd.count().unwrap(), 100);
        assert_eq!(rdd.reduce(|a, b| a + b).unwrap(), data.iter().sum::<i64>());
        assert_eq!(rdd.reduce(i64::max).unwrap(), *data.iter().max().unwrap());
        let words = rdd.map(|n| format!("{n} "));
        let expected: String = data.iter().map(|n| format!("{n} ")).collect();
        assert_eq!(words.reduce(|a, b| a + &b).unwrap(), expected, "in order");
        let mut calls = 0;
        let (sum, n) = rdd
            .aggregate(
                (0, 0u64),
                |(sum, n), x| (sum + x, n + 1),
                |a, b| {
                    calls += 1; // the second function runs here, so it may capture
                    (a.0 + b.0, a.1 + b.1)
                },
            )
            .unwrap();
        assert_eq!((sum, n), (data.iter().sum(), 100));
        assert_eq!(calls, partitions);
    });
}

/// More partitions than records: those without any do not spoil the answer.
#[test]
fn reduce_skips_empty_partitions() {
    grid(|ctx, partitions| {
        assert_eq!(ctx.parallelize_into(partitions, [5, 3]).reduce(|a, b| a - b).unwrap(), 2);
        assert_eq!(ctx.parallelize_into(partitions, [5]).reduce(|a, b| a - b).unwrap(), 5);
    });
}

#[test]
fn the_zero_of_fold_is_applied_per_partition_and_once_more() {
    let data = numbers(50);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let sum: i64 = data.iter().sum();
        assert_eq!(rdd.fold(0, |a, b| a + b).unwrap(), sum);
        assert_eq!(rdd.fold(1000, |a, b| a + b).unwrap(), sum + 1000 * (i64::from(partitions) + 1));
        let nothing = ctx.parallelize_into(partitions, Vec::<i64>::new());
        assert_eq!(nothing.fold(1000, |a, b| a + b).unwrap(), 1000 * (i64::from(partitions) + 1));
    });
}

#[test]
fn take_is_the_prefix() {
    let data = numbers(40);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        for n in [0, 1, 2, 5, 13, 39, 40, 41, usize::MAX] {
            assert_eq!(rdd.take(n).unwrap(), data[..n.min(40)], "take({n})");
        }
        assert_eq!(rdd.first().unwrap(), data[0]);
        // Nothing at the front, so that rounds have to grow.
        let late = rdd.filter(|n| *n == 0 || *n > 200);
        let expected: Vec<_> = data.iter().copied().filter(|n| *n == 0 || *n > 200).collect();
        assert_eq!(late.take(2).unwrap(), expected[..2.min(expected.len())]);
        // Across a shuffle, and of what is kept.
        let kept = rdd.repartition(5).cache();
        assert_eq!(kept.take(7).unwrap(), kept.collect().unwrap()[..7]);
    });
}

#[test]
fn take_computes_no_more_than_it_needs() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let ctx = cutwater::Context::local(2);
    let rdd = ctx.parallelize_into(7, 0..70_000).map(|n| {
        SEEN.fetch_add(1, Relaxed);
        n
    });
    assert_eq!(rdd.take(3).unwrap(), [0, 1, 2]);
    assert_eq!(SEEN.swap(0, Relaxed), 3);
    assert!(rdd.take(0).unwrap().is_empty());
    assert_eq!(SEEN.load(Relaxed), 0);
}

#[test]
fn top_is_descending_and_the_earlier_of_equals() {
    let data: Vec<(i64, usize)> = numbers(60).into_iter().map(|n| n / 50).zip(0..).collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        for n in [0, 1, 3, 59, 60, 1000] {
            let mut expected = data.clone();
            expected.sort_by_key(|(rank, _)| std::cmp::Reverse(*rank));
            expected.truncate(n);
            assert_eq!(rdd.top_by(n, |(rank, _)| *rank).unwrap(), expected);

            let mut expected = data.clone();
            expected.sort_by(|a, b| b.cmp(a));
            expected.truncate(n);
            assert_eq!(rdd.top(n).unwrap(), expected);
        }
    });
}

#[test]
fn foreach_sees_every_record() {
    static SUM: AtomicI64 = AtomicI64::new(0);
    let data = numbers(100);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        SUM.store(0, Relaxed);
        rdd.foreach(|n| {
            SUM.fetch_add(n, Relaxed);
        })
        .unwrap();
        assert_eq!(SUM.load(Relaxed), data.iter().sum::<i64>());
        rdd.with(-1)
            .foreach(|sign, n| {
                SUM.fetch_add(sign * n, Relaxed);
            })
            .unwrap();
        assert_eq!(SUM.load(Relaxed), 0);
    });
}

#[test]
fn nothing_has_no_first_and_no_reduction() {
    grid(|ctx, partitions| {
        let nothing = ctx.parallelize_into(partitions, 0..10).filter(|_| false);
        for error in [nothing.reduce(|a, b| a + b).unwrap_err(), nothing.first().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::User);
            assert!(error.to_string().contains("of an empty dataset"), "{error}");
        }
        assert_eq!(nothing.fold(0, |a, b| a + b).unwrap(), 0);
        assert!(nothing.take(3).unwrap().is_empty());
        assert!(nothing.top(3).unwrap().is_empty());
        assert_eq!(nothing.count().unwrap(), 0);
    });
}

/// The forms that are handed values, against plain Rust with the same values.
#[test]
fn actions_with_values() {
    let data = numbers(60);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let capped = rdd.with(1000).reduce(|cap, a, b| (a + b.abs()).min(*cap)).unwrap();
        assert_eq!(capped, 1000);
        assert!(rdd.filter(|_| false).with(0).reduce(|_, a, _| a).is_err());
        let sum = rdd.with(7).fold(0, |m, a, b| (a + b).rem_euclid(*m)).unwrap();
        assert_eq!(sum, data.iter().sum::<i64>().rem_euclid(7));
        let mut near = data.clone();
        near.sort_by_key(|n| (n - 20).abs()); // stable, as both are
        assert_eq!(rdd.with(20).take_ordered_by(9, |to, n| (n - to).abs()).unwrap(), near[..9]);
        let mut far = data.clone();
        far.sort_by_key(|n| -(n - 20).abs());
        assert_eq!(rdd.with(20).top_by(9, |from, n| (n - from).abs()).unwrap(), far[..9]);
        assert_eq!(rdd.with(20).sort_by(|to, n| (n - to).abs()).unwrap().collect().unwrap(), near);
        for into in [1, 4] {
            let sorted = rdd.with(20).sort_by_into(into, |to, n| (n - to).abs()).unwrap();
            assert!(sorted.num_partitions() <= into);
            assert_eq!(sorted.collect().unwrap(), near);
        }
        let keyed: Vec<_> = data.iter().map(|n| (n.rem_euclid(3), *n)).collect();
        assert_eq!(rdd.with(3).key_by(|m, n| n.rem_euclid(*m)).collect().unwrap(), keyed);
    });
    let folder = tempfile::tempdir().unwrap();
    let into = folder.path().join("text");
    let ctx = cutwater::Context::local(1);
    ctx.parallelize([1, 2]).with('#').save_as_text(&into, |mark, n| format!("{mark}{n}")).unwrap();
    assert_eq!(std::fs::read_to_string(into.join("part-00000")).unwrap(), "#1\n#2\n");
}
