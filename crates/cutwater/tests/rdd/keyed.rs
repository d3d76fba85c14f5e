use std::collections::{BTreeMap, BTreeSet};

use crate::{assert_placed, grid, pairs, sorted};

fn grouped(data: &[(String, i64)]) -> BTreeMap<String, Vec<i64>> {
    let mut groups = BTreeMap::<String, Vec<i64>>::new();
    for (key, value) in data {
        groups.entry(key.clone()).or_default().push(*value);
    }
    groups
}

#[test]
fn key_by_and_map_values() {
    let data = pairs(60);
    grid(|ctx, partitions| {
        let keyed = ctx.parallelize_into(partitions, data.clone()).key_by(|(key, _)| key.len());
        let expected: Vec<_> = data.iter().cloned().map(|record| (record.0.len(), record)).collect();
        assert_eq!(keyed.collect().unwrap(), expected);

        let doubled = ctx.parallelize_into(partitions, data.clone()).map_values(|v| v * 2);
        let expected: Vec<_> = data.iter().cloned().map(|(k, v)| (k, v * 2)).collect();
        assert_eq!(doubled.collect().unwrap(), expected);
        let scaled = ctx.parallelize_into(partitions, data.clone()).with(3).map_values(|by, v| v * by);
        assert_eq!(
            scaled.reduce(|a, b| (a.0, a.1 + b.1)).unwrap().1,
            3 * data.iter().map(|r| r.1).sum::<i64>()
        );
    });
}

#[test]
fn reduce_by_key() {
    let data = pairs(100);
    let expected: Vec<_> = grouped(&data).into_iter().map(|(k, vs)| (k, vs.iter().sum::<i64>())).collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(sorted(&rdd.reduce_by_key(|a, b| a + b)), expected);
        for into in [1, 2, 5, 300] {
            let sums = rdd.with(()).reduce_by_key_into(into, |(), a, b| a + b);
            assert_eq!(sums.num_partitions(), into, "as many as asked for, be they more than key groups");
            assert_eq!(sorted(&sums), expected);
            assert_placed(&sums);
        }
        let capped = rdd.with(1000).reduce_by_key(|cap, a, b| (a + b).min(*cap));
        let expected: Vec<_> = expected.iter().cloned().map(|(k, sum)| (k, sum.min(1000))).collect();
        assert_eq!(sorted(&capped), expected);
    });
}

/// Values meet in the order in which they lie in the dataset, however it is cut (D5): the function
/// need not be commutative.
#[test]
fn values_are_reduced_in_order() {
    let data: Vec<(String, String)> = pairs(100).into_iter().map(|(k, v)| (k, format!("{v} "))).collect();
    let mut expected = BTreeMap::<String, String>::new();
    for (key, value) in &data {
        expected.entry(key.clone()).or_default().push_str(value);
    }
    let expected: Vec<_> = expected.into_iter().collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(sorted(&rdd.reduce_by_key(|a, b| a + &b)), expected);
    });
}

#[test]
fn group_by_key() {
    let data = pairs(100);
    let expected: Vec<_> = grouped(&data).into_iter().collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(sorted(&rdd.group_by_key()), expected, "values stand in the order of the dataset");
        for into in [1, 4, 9] {
            let groups = rdd.group_by_key_into(into);
            assert_eq!(groups.num_partitions(), into);
            assert_eq!(sorted(&groups), expected);
            assert_placed(&groups);
        }
    });
}

#[test]
fn join_and_cogroup() {
    let left = pairs(40);
    let right: Vec<_> = (0..20).map(|n| (format!("k{}", n % 10), format!("v{n}"))).collect();
    let lefts = grouped(&left);
    let mut rights = BTreeMap::<String, Vec<String>>::new();
    for (key, value) in &right {
        rights.entry(key.clone()).or_default().push(value.clone());
    }
    let keys: BTreeSet<_> = lefts.keys().chain(rights.keys()).cloned().collect();
    let both = |key: &String| {
        let (l, r) = (lefts.get(key).cloned(), rights.get(key).cloned());
        (key.clone(), (l.unwrap_or_default(), r.unwrap_or_default()))
    };
    let cogrouped: Vec<_> = keys.iter().map(both).collect();
    let mut joined: Vec<_> = left
        .iter()
        .flat_map(|(k, v)| right.iter().filter(move |r| r.0 == *k).map(|r| (k.clone(), (*v, r.1.clone()))))
        .collect();
    joined.sort();
    grid(|ctx, partitions| {
        let a = ctx.parallelize_into(partitions, left.clone());
        let b = ctx.parallelize_into(3, right.clone());
        assert_eq!(sorted(&a.cogroup(&b)), cogrouped);
        assert_eq!(sorted(&a.join(&b)), joined);
        for into in [1, 5] {
            assert_eq!(a.cogroup_into(&b, into).num_partitions(), into);
            assert_eq!(sorted(&a.cogroup_into(&b, into)), cogrouped);
            assert_eq!(sorted(&a.join_into(&b, into)), joined);
            assert_placed(&a.join_into(&b, into));
        }
        // One side lies right already, or both do.
        let placed = (a.partition_by(5), b.partition_by(5));
        for (a, b) in [(&placed.0, &b), (&a, &placed.1), (&placed.0, &placed.1)] {
            assert_eq!(sorted(&a.join_into(b, 5)), joined);
            assert_eq!(sorted(&a.cogroup_into(b, 5)), cogrouped);
        }
        // With itself.
        let squares = joined_with_itself(&left);
        assert_eq!(sorted(&a.join(&a)), squares);
        assert_eq!(sorted(&placed.0.join_into(&placed.0, 5)), squares);
    });
}

fn joined_with_itself(data: &[(String, i64)]) -> Vec<(String, (i64, i64))> {
    let mut all: Vec<_> = data
        .iter()
        .flat_map(|(k, v)| data.iter().filter(move |w| w.0 == *k).map(|w| (k.clone(), (*v, w.1))))
        .collect();
    all.sort();
    all
}

#[test]
fn partition_by_moves_and_changes_nothing_else() {
    let data = pairs(100);
    let mut expected = data.clone();
    expected.sort();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        for into in [1, 2, 6, 300] {
            let placed = rdd.partition_by(into);
            assert_eq!(placed.num_partitions(), into);
            assert_eq!(sorted(&placed), expected);
            assert_placed(&placed);
            for part in placed.collect_partitions().unwrap() {
                assert!(part.is_sorted_by_key(|(_, at)| *at), "records stay in order");
            }
        }
    });
}

/// A dataset keyed with no partitions to put it in has one.
#[test]
fn no_partitions_is_one_partition() {
    let data = pairs(30);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        assert_eq!(ctx.parallelize_into(0, data.clone()).num_partitions(), 1);
        assert_eq!(rdd.partition_by(0).num_partitions(), 1);
        assert_eq!(rdd.group_by_key_into(0).num_partitions(), 1);
        assert_eq!(rdd.group_by_key_into(0).count().unwrap(), 7);
        assert_eq!(rdd.with(()).reduce_by_key_into(0, |(), a, b| a + b).count().unwrap(), 7);
        assert_eq!(rdd.cogroup_into(&rdd, 0).count().unwrap(), 7);
        assert_eq!(sorted(&rdd.join_into(&rdd, 0)), joined_with_itself(&data));
    });
}

/// A union of datasets that are partitioned alike lays partitions of the same keys together.
#[test]
fn a_union_of_what_is_partitioned_alike_still_is() {
    let data = pairs(50);
    grid(|ctx, partitions| {
        let placed = ctx.parallelize_into(partitions, data.clone()).partition_by(4);
        let both = placed.union(&placed.map_values(|v| v + 1000));
        assert_eq!(both.num_partitions(), 4);
        assert_placed(&both);
        assert_eq!(both.count().unwrap() as usize, 2 * data.len());
        let apart = placed.union(&ctx.parallelize_into(partitions, data.clone()));
        assert_eq!(apart.num_partitions(), 4 + partitions);
    });
}

#[test]
fn cogroup_of_four() {
    let sides = [pairs(40), pairs(9), pairs(23), pairs(3)];
    let lists = sides.clone().map(|side| grouped(&side));
    let keys: BTreeSet<_> = lists.iter().flat_map(BTreeMap::keys).cloned().collect();
    let expected: Vec<_> = keys
        .into_iter()
        .map(|key| {
            let [a, b, c, d] = [0, 1, 2, 3].map(|at| lists[at].get(&key).cloned().unwrap_or_default());
            (key, (a, b, c, d))
        })
        .collect();
    grid(|ctx, partitions| {
        let [a, b, c, d] = sides.clone().map(|side| ctx.parallelize_into(partitions, side));
        assert_eq!(sorted(&a.cogroup4(&b, &c, &d)), expected);
        for into in [1, 5] {
            let all = a.cogroup4_into(&b, &c.partition_by(5), &d, into);
            assert_eq!(all.num_partitions(), into);
            assert_eq!(sorted(&all), expected);
            assert_placed(&all);
        }
    });
}

/// Exactly the part that was asked for, rounded up, of records that are there, in their order.
#[test]
fn sample_by_key_exact() {
    let data = pairs(200);
    let sizes = grouped(&data).into_iter().map(|(key, values)| (key, values.len()));
    let sizes: BTreeMap<_, _> = sizes.collect();
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        for (seed, fraction) in [(1, 0.0), (2, 0.1), (3, 0.5), (4, 1.0)] {
            let fractions = [("k0", fraction), ("k1", 1.0 - fraction), ("none", 0.5)];
            let fractions = fractions.map(|(key, fraction)| (key.to_owned(), fraction));
            let sample = rdd.sample_by_key_exact(fractions.clone(), seed).unwrap();
            let taken = sample.collect().unwrap();
            assert_eq!(sample.collect().unwrap(), taken, "the same whenever it is computed");
            for (key, fraction) in &fractions {
                let size = sizes.get(key).copied().unwrap_or_default();
                let count = taken.iter().filter(|(k, _)| k == key).count();
                assert_eq!(count, (size as f64 * fraction).ceil() as usize, "{fraction} of {size}");
            }
            assert!(taken.iter().all(|(key, _)| key == "k0" || key == "k1"), "others have no fraction");
            let mut left = data.iter();
            assert!(taken.iter().all(|record| left.any(|other| other == record)), "in order, none twice");
        }
        let [one, other] = [5, 6]
            .map(|seed| rdd.sample_by_key_exact([("k0".to_owned(), 0.5)], seed).unwrap().collect().unwrap());
        assert_ne!(one, other, "the seed decides");
        let error = rdd.sample_by_key_exact([("k0".to_owned(), 1.5)], 0).unwrap_err().to_string();
        assert!(error.contains("sample_by_key_exact") && error.contains("1.5"), "{error}");
    });
}
