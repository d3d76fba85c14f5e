//! Rules of `api.md` §12 that hold across operations.

use std::collections::BTreeMap;

use cutwater_core::Parent;

use crate::{Context, ErrorKind, Key, Rdd, Record};

/// How the partitions of a dataset are made from its parents: `true` is a shuffle.
fn shuffles<T: Record>(rdd: &Rdd<T>) -> Vec<bool> {
    rdd.node().dataset.parents.iter().map(|parent| matches!(parent, Parent::Shuffle { .. })).collect()
}

fn pairs(ctx: &Context, partitions: u32) -> Rdd<(u32, u32)> {
    ctx.parallelize_into(partitions, (0..100).map(|n| (n % 7, n)))
}

fn sorted<T: Key + Ord>(rdd: &Rdd<T>) -> Vec<T> {
    let mut all = rdd.collect().unwrap();
    all.sort();
    all
}

#[test]
fn what_lies_right_is_not_shuffled_again() {
    let ctx = Context::local(2);
    let (loose, placed) = (pairs(&ctx, 4), pairs(&ctx, 3).partition_by(4));
    assert_eq!(shuffles(&loose.reduce_by_key(|a, b| a + b)), [true]);
    assert_eq!(shuffles(&placed.reduce_by_key(|a, b| a + b)), [false]);
    assert_eq!(shuffles(&placed.aggregate_by_key(0, |a, b| a + b, |a, b| a + b)), [false]);
    assert_eq!(shuffles(&placed.group_by_key()), [false]);
    assert_eq!(shuffles(&placed.cogroup(&loose)), [false, true]);
    assert_eq!(shuffles(&placed.cogroup(&placed.map_values(|v| v + 1))), [false, false]);
    assert_eq!(shuffles(&loose.cogroup3(&placed, &placed.filter(|(_, v)| *v > 3))), [true, false, false]);
    // Into another number of partitions everything has to move.
    assert_eq!(shuffles(&placed.group_by_key_into(5)), [true]);
}

#[test]
fn keys_stay_where_an_operation_does_not_touch_them() {
    let ctx = Context::local(2);
    let placed = pairs(&ctx, 3).partition_by(4);
    let kept = placed
        .flat_map_values(|v| [v, v])
        .sample(0.9, 1)
        .sample_with_replacement(1.5, 2)
        .sample_by_key((0..7).map(|key| (key, 0.9)), 3)
        .filter_by_range(1..5)
        .left_outer_join(&placed)
        .subtract_by_key(&placed.filter_by_range(4..));
    assert!(kept.partitioner().is_some() && kept.partitioner() == placed.partitioner());
    // And there they are: what is looked up in one place finds as much as a search everywhere.
    let elsewhere = ctx.parallelize(kept.collect().unwrap());
    for key in 0..8 {
        let (mut here, mut there) = (kept.lookup(&key).unwrap(), elsewhere.lookup(&key).unwrap());
        here.sort();
        there.sort();
        assert_eq!(here, there, "{key}");
        assert_eq!(here.is_empty(), !(1..4).contains(&key), "{key}");
    }
    assert!(placed.map(|pair| pair).partitioner().is_none());
}

/// In `api.md` §12: as many as the largest parent.
#[test]
fn a_shuffle_makes_as_many_partitions_as_its_largest_parent() {
    let ctx = Context::local(2);
    let (few, many) = (pairs(&ctx, 3), pairs(&ctx, 300));
    assert_eq!(many.group_by_key().num_partitions(), 300);
    assert_eq!(few.join(&many).num_partitions(), 300);
    assert_eq!(few.cogroup3(&few, &many).num_partitions(), 300);
    assert_eq!(few.subtract_by_key(&many).num_partitions(), 3);
    assert_eq!(few.distinct().num_partitions(), 3);
    // More partitions than key groups lose nothing; some are empty.
    assert_eq!(sorted(&many.distinct()), sorted(&few));
    assert_eq!(sorted(&few.reduce_by_key_into(0, |a, b| a + b)), sorted(&few.reduce_by_key(|a, b| a + b)));
}

#[test]
fn a_dataset_without_partitions_is_empty_and_nothing_else() {
    let ctx = Context::local(2);
    let (none, some) = (ctx.parallelize_into::<(u32, u32)>(0, []), pairs(&ctx, 2));
    assert_eq!((none.count().unwrap(), none.is_empty().unwrap()), (0, true));
    assert!(none.distinct().collect().unwrap().is_empty());
    assert!(none.sort_by_key().unwrap().collect().unwrap().is_empty());
    assert!(none.zip_with_index().unwrap().collect().unwrap().is_empty());
    assert!(none.cartesian(&some).collect().unwrap().is_empty());
    assert!(some.cartesian(&none).collect().unwrap().is_empty());
    assert!(none.take_sample(3, 1).unwrap().is_empty());
    assert!(none.take_sample_with_replacement(3, 1).unwrap().is_empty());
    assert!(none.coalesce(3).collect().unwrap().is_empty());
    assert_eq!(none.to_local_iterator().count(), 0);
    assert_eq!(sorted(&some.subtract(&none)), sorted(&some));
    assert_eq!(some.full_outer_join(&none).count().unwrap(), 100);
    assert_eq!(none.count_approx_distinct(0.1).unwrap(), 0);
    assert!(none.values().stats().unwrap().mean.is_nan());
    for refused in
        [none.reduce(|a, _| a), none.max(), none.min(), none.first(), none.tree_reduce(|a, _| a, 2)]
    {
        assert_eq!(refused.unwrap_err().kind(), ErrorKind::User);
    }
}

/// What is asked for and cannot be is refused with the reason, when it is computed.
#[test]
fn refusals_say_what_is_wrong_and_where() {
    let ctx = Context::local(2);
    let numbers = ctx.parallelize_into(2, 0..4u32);
    let shorter = ctx.parallelize_into(2, 0..3u32);
    let refusals = [
        (numbers.coalesce(0).count(), "no partitions"),
        (numbers.sample(1.5, 0).count(), "1.5"),
        (numbers.sample_with_replacement(-1.0, 0).count(), "-1"),
        (numbers.zip(&numbers.coalesce(1)).count(), "2 partitions here and 1 there"),
        (numbers.zip(&shorter).count(), "2 records here and 1 there"),
        (numbers.zip_partitions(&numbers.coalesce(1), |a, _| a).count(), "2 partitions here and 1 there"),
        (numbers.zip(&numbers).sample_by_key([(1, 2.0)], 0).count(), "2 is not a part"),
        (numbers.zip(&numbers).count_approx_distinct_by_key(0.0).count(), "error of 0"),
        (
            numbers.zip(&numbers).repartition_and_sort_within_partitions_by(2, |key| *key).count(),
            "partition 2 was chosen of only 2",
        ),
    ];
    for (answer, why) in refusals {
        let error = answer.expect_err(why);
        assert_eq!(error.kind(), ErrorKind::User, "{error}");
        assert!(error.to_string().contains(why) && error.to_string().contains("tests.rs:"), "{error}");
    }
    assert!(numbers.random_split(&[0.0, 0.0], 1).is_err());
    assert!(numbers.even_histogram(0).is_err());
    assert!(numbers.histogram(&[2.0, 1.0]).is_err());
}

/// What chance decides is the same for every run and every number of threads (DESIGN D5).
#[test]
fn chance_repeats_itself() {
    let draws = |threads| {
        let all = Context::local(threads).parallelize_into(5, 0..500u32);
        let parts = all.random_split(&[1.0, 2.0, 0.0, 4.0], 9).unwrap();
        let parts: Vec<Vec<u32>> = parts.iter().map(|part| part.collect().unwrap()).collect();
        assert_eq!(parts.iter().map(Vec::len).sum::<usize>(), 500);
        assert!(parts[2].is_empty());
        let mut together = parts.concat();
        together.sort();
        assert!(together.into_iter().eq(0..500), "every record is in exactly one part");
        let drawn = all.take_sample(20, 4).unwrap();
        let again = all.take_sample_with_replacement(600, 4).unwrap();
        assert_eq!((all.take_sample(900, 4).unwrap().len(), again.len()), (500, 600));
        (parts, drawn, again, all.sample(0.3, 1).collect().unwrap())
    };
    assert_eq!(draws(1), draws(4));
}

#[test]
fn values_reach_the_functions_they_were_handed_to() {
    let ctx = Context::local(2);
    let (numbers, tens) = (ctx.parallelize_into(2, 0..4u32), 10u32);
    let with = || numbers.with(tens);
    assert_eq!(with().filter_map(|t, n| (n > 1).then_some(n + t)).collect().unwrap(), [12, 13]);
    assert_eq!(with().zip_partitions(&numbers, |t, a, b| [a[0] + b[0] + t]).collect().unwrap(), [10, 14]);
    let indexed = with().map_partitions_with_index(|t, p, part| [p * t + part[0]]);
    assert_eq!(indexed.collect().unwrap(), [0, 12]);
    assert_eq!(with().tree_reduce(|_, a, b| a.max(b), 2).unwrap(), 3);
    assert_eq!(with().aggregate(0, |t, sum, n| sum + n * t, |a, b| a + b).unwrap(), 60);
    assert_eq!(with().group_by_into(1, |t, n| n % 2 * t).keys().collect().unwrap(), [0, 10]);

    let pairs = numbers.map(|n| (n % 2, n)).coalesce(1);
    let with = || pairs.with(tens);
    assert_eq!(with().flat_map_values(|t, v| [v * t]).values().collect().unwrap(), [0, 10, 20, 30]);
    assert_eq!(with().fold_by_key(0, |t, a, b| a + b * t).collect().unwrap(), [(0, 20), (1, 40)]);
    let combined = with().combine_by_key(|t, v| v * t, |_, a, v| a + v, |_, a, b| a + b);
    assert_eq!(combined.collect().unwrap(), [(0, 2), (1, 13)]);
    let local = with().reduce_by_key_locally(|t, a, b| a + b * t).unwrap();
    assert_eq!(local, BTreeMap::from([(0, 20), (1, 31)]));
    let placed = with().repartition_and_sort_within_partitions_by(2, |t, key| (key + t) % 2);
    assert_eq!(placed.collect_partitions().unwrap(), [[(0, 0), (0, 2)], [(1, 1), (1, 3)]]);
}

/// The iterator ends with the first partition that fails.
#[test]
fn a_local_iterator_ends_with_an_error() {
    let ctx = Context::local(2);
    let numbers = ctx.parallelize_into(3, 0..6).map(|n| if n < 3 { n } else { panic!("{n} is too much") });
    let seen: Vec<_> = numbers.to_local_iterator().map(|item| item.map_err(|error| error.kind())).collect();
    assert_eq!(seen, [Ok(0), Ok(1), Err(ErrorKind::User)]);
}
