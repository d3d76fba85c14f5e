//! Datasets without records, and without so much as a partition, through every operation.

use cutwater::{Context, Rdd};

use crate::sorted;

/// A dataset of no partitions, as an empty list of files gives, and one of three empty ones.
fn nothings(ctx: &Context) -> [Rdd<(String, i64)>; 2] {
    let none = ctx.text_files(Vec::<String>::new()).unwrap().map(|line| (line, 0));
    assert_eq!(none.num_partitions(), 0);
    [none, ctx.parallelize_into(3, Vec::new())]
}

#[test]
fn every_operation_of_nothing_is_nothing() {
    for threads in [1, 2, 4] {
        let ctx = Context::local(threads);
        let some = ctx.parallelize_into(2, [("a".to_owned(), 1), ("b".to_owned(), 2)]);
        for nothing in nothings(&ctx) {
            let same = [
                nothing.map(|r| r),
                nothing.filter(|_| true),
                nothing.flat_map(Some),
                nothing.map_partitions(|part| part),
                nothing.map_values(|v| v + 1),
                nothing.union(&nothing),
                nothing.coalesce(1),
                nothing.coalesce(5),
                nothing.repartition(4),
                nothing.partition_by(4),
                nothing.reduce_by_key(|a, b| a + b),
                nothing.with(()).reduce_by_key_into(3, |(), a, b| a + b),
                nothing.sort_by(|r| r.1).unwrap(),
                nothing.sort_by_into(4, |r| r.1).unwrap(),
                nothing.cache(),
                nothing.key_by(|r| r.1).map(|(_, r)| r),
                nothing.group_by_key().map(|(k, vs)| (k, vs[0])),
                nothing.join(&some).map(|(k, (v, _))| (k, v)),
                some.join(&nothing).map(|(k, (v, _))| (k, v)),
                nothing.cogroup(&nothing).map(|(k, (v, _))| (k, v[0])),
                nothing.partition_by(4).group_by_key_into(4).map(|(k, vs)| (k, vs[0])),
                nothing.repartition(3).sort_by(|r| r.1).unwrap().partition_by(2).cache(),
            ];
            for (at, rdd) in same.iter().enumerate() {
                assert_eq!(rdd.collect().unwrap(), [], "number {at}: {rdd:?}");
                assert_eq!(rdd.collect_partitions().unwrap().len(), rdd.num_partitions() as usize);
                assert_eq!(rdd.count().unwrap(), 0);
                assert_eq!(rdd.take(1).unwrap(), []);
                assert_eq!(rdd.top(1).unwrap(), []);
                rdd.foreach(|_| unreachable!("there is nothing to be called with")).unwrap();
                assert!(rdd.first().is_err());
                assert!(rdd.reduce(|a, _| a).is_err());
                let zero = ("zero".to_owned(), 0);
                assert_eq!(rdd.fold(zero.clone(), |a, _| a).unwrap(), zero);
                assert_eq!(rdd.aggregate(7, |n, _| n + 1, |a, _| a).unwrap(), 7);
            }
            assert_eq!(sorted(&nothing.union(&some)), sorted(&some));
            assert_eq!(
                sorted(&some.cogroup(&nothing)),
                [("a".to_owned(), (vec![1], vec![])), ("b".to_owned(), (vec![2], vec![]))]
            );
        }
    }
}

#[test]
fn coalesce_does_not_grow_nothing() {
    let ctx = Context::local(1);
    let [none, _] = nothings(&ctx);
    assert_eq!(none.coalesce(3).num_partitions(), 0);
}

/// The zero is applied once for each partition, of which there are none, and once more.
#[test]
fn fold_of_no_partitions_is_its_zero() {
    let ctx = Context::local(2);
    let none = ctx.text_files(Vec::<String>::new()).unwrap().map(|line| line.len());
    assert_eq!(none.fold(5, |a, b| a + b).unwrap(), 5);
}
