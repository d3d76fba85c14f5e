//! Values that functions share: broadcast ones, and accumulators.
#![allow(clippy::unwrap_used)]

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
    time::Duration,
};

use cutwater::{
    Accumulate, Accumulator, Broadcast, Context, Error, ErrorKind, OnFailure, StorageLevel, testing::Harness,
};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_broadcast_value_is_read_by_every_operation_of_a_stream() {
    let harness = Harness::new(SECOND);
    let names: HashMap<u32, String> = (0..1_000).map(|n| (n, format!("n{n}"))).collect();
    let names = harness.ctx().broadcast(names).unwrap();
    let ids = harness.input([vec![1, 2_000], vec![3]]);
    let known = ids.with(names.clone()).filter(|names, id| names.contains_key(id));
    // Beside other values, and inside of a function that is handed over every interval.
    let named =
        known.with((names.clone(), "!".to_owned())).map(|(names, mark), id| names[&id].clone() + mark);
    let inner = names.clone();
    let named = named.transform(move |rdd, _| {
        Ok(rdd.with(inner.clone()).map(|names, name| format!("{name}{}", names.len())))
    });
    assert_eq!(harness.run(&named, 2).unwrap(), [vec!["n1!1000"], vec!["n3!1000"]]);
    assert_eq!(names[&7], "n7");
}

/// Something that `serde` writes and does not read back.
#[derive(Clone, Debug, serde::Serialize)]
struct OneWay(u32);

impl<'de> serde::Deserialize<'de> for OneWay {
    fn deserialize<D: serde::Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Err(serde::de::Error::custom("this is a one-way street"))
    }
}

#[test]
fn a_value_that_cannot_travel_is_refused_where_it_is_broadcast() {
    let error = Context::local(1).broadcast(OneWay(1)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("did not survive the journey"), "{error}");
}

/// Adds one for every record of a partition, under the number of threads and partitions of every test.
fn counted(ctx: &Context, partitions: u32) -> (Accumulator<u64>, cutwater::Rdd<u64>) {
    let count = ctx.accumulator("count");
    let numbers = ctx.parallelize_into(partitions, 0..100u64);
    let counted = numbers.with(count.clone()).map(|count: &Accumulator<u64>, n| {
        count.add(1);
        n
    });
    (count, counted)
}

#[test]
fn a_partition_counts_once_however_often_it_is_computed() {
    for (threads, partitions) in [(1, 1), (2, 3), (4, 7)] {
        let ctx = Context::local(threads);
        let (count, numbers) = counted(&ctx, partitions);
        assert_eq!(count.value(), 0, "nothing is computed before an action");
        for _ in 0..3 {
            assert_eq!(numbers.count().unwrap(), 100);
            assert_eq!(count.value(), 100);
        }
        // Within one task too.
        assert_eq!(numbers.cartesian(&numbers).count().unwrap(), 10_000);
        assert_eq!(count.value(), 100);
        // The same function over other data is something else.
        let (other, _) = (count.clone(), numbers);
        let more = ctx.parallelize_into(partitions, 0..10u64).with(other).map(|count, n| {
            count.add(1);
            n
        });
        assert_eq!(more.map(|n| (n % 2, n)).reduce_by_key(|a, b| a + b).count().unwrap(), 2);
        assert_eq!(count.take(), 110);
        assert_eq!(count.value(), 0);
    }
}

#[test]
fn a_task_that_is_tried_again_counts_once() {
    static TRIES: AtomicU32 = AtomicU32::new(0);
    let ctx = Context::builder("test").threads(2).run_twice(true).build().unwrap();
    let (count, numbers) = counted(&ctx, 4);
    assert_eq!(numbers.reduce(|a, b| a + b).unwrap(), 4950);
    assert_eq!(count.value(), 100, "every task ran twice");
    // A failed task adds nothing; those of the same job that were done do.
    let ctx = Context::local(1);
    let count = ctx.accumulator::<u64>("count");
    let failing = ctx.parallelize_into(2, [1, 2, 3, 4u64]).with(count.clone()).map(|count, n| {
        count.add(1);
        assert!(n < 4 || TRIES.load(Relaxed) > 0, "not yet");
        n
    });
    assert!(failing.count().is_err());
    assert_eq!(count.value(), 2);
    TRIES.store(1, Relaxed);
    assert_eq!(failing.count().unwrap(), 4);
    assert_eq!(count.value(), 4);
}

/// What stops before the end of a partition would add something else each time.
#[test]
fn a_partition_that_is_not_computed_to_its_end_adds_nothing() {
    let ctx = Context::local(2);
    let (count, numbers) = counted(&ctx, 2);
    assert_eq!(numbers.take(3).unwrap(), [0, 1, 2]);
    assert_eq!(count.value(), 0);
    assert_eq!(numbers.count().unwrap(), 100);
    assert_eq!(count.value(), 100);
}

/// Operators run by turns, record by record; each has an account of its own.
#[test]
fn operators_in_a_chain_do_not_mix_what_they_add() {
    let ctx = Context::local(2);
    let seen = ctx.accumulator::<BTreeMap<String, u64>>("seen");
    fn one(seen: &Accumulator<BTreeMap<String, u64>>, what: &str) {
        seen.add(BTreeMap::from([(what.to_owned(), 1)]));
    }
    let words = ctx.parallelize_into(3, 0..10u32).with(seen.clone()).filter(|seen, n| {
        one(seen, "filter");
        n % 2 == 0
    });
    let words = words.map(|n| n + 1).with(seen.clone()).flat_map(|seen, n| {
        one(seen, "flat_map");
        [n, n]
    });
    let keyed = words.with(seen.clone()).map(|seen, n| {
        one(seen, "map");
        (n % 3, 1u64)
    });
    let reduced = keyed.with(seen.clone()).reduce_by_key(|seen, a, b| {
        one(seen, "reduce");
        a + b
    });
    assert_eq!(reduced.values().reduce(|a, b| a + b).unwrap(), 10);
    // `take` stops the one in front of it, and not what is behind a shuffle.
    assert_eq!(reduced.take(1).unwrap().len(), 1);
    let counts = seen.value();
    assert_eq!([counts["filter"], counts["flat_map"], counts["map"], counts["reduce"]], [10, 5, 10, 7]);
}

#[test]
fn contributions_are_put_together_in_the_order_of_partitions() {
    for threads in [1, 4] {
        let ctx = Context::local(threads);
        let (list, set, sum) = (
            ctx.accumulator::<Vec<u32>>("list"),
            ctx.accumulator::<BTreeSet<u32>>("set"),
            ctx.accumulator::<f64>("sum"),
        );
        let all = (list.clone(), set.clone(), sum.clone());
        ctx.parallelize_into(16, 0..64u32)
            .with(all)
            .foreach(|(list, set, sum), n| {
                list.add(vec![n]);
                set.add(BTreeSet::from([n % 5]));
                sum.add(0.1 * f64::from(n));
            })
            .unwrap();
        assert_eq!(list.value(), (0..64).collect::<Vec<_>>());
        assert_eq!(set.value(), (0..5).collect());
        let partitions = (0..16).map(|p| (4 * p..4 * p + 4).fold(0.0, |sum, n| sum + 0.1 * f64::from(n)));
        assert_eq!(sum.value(), partitions.fold(0.0, |sum, partition| sum + partition));
    }
}

/// Two outputs compute the same records; each interval's are counted once and there when it looks.
#[test]
fn outputs_of_a_stream_read_what_their_interval_added() {
    let harness = Harness::new(SECOND);
    let odd = harness.ctx().accumulator::<u64>("odd");
    let numbers =
        harness.input([vec![1, 2, 3], vec![4], vec![5, 7, 9, 11]]).with(odd.clone()).map(|odd, n: u32| {
            odd.add(u64::from(n % 2));
            n
        });
    let watched = harness.watch(&numbers);
    let seen = harness.ctx().accumulator::<Vec<u64>>("what the master adds itself");
    let (to, reads) = (seen.clone(), odd.clone());
    numbers.filter(|n| *n > 0).for_each_rdd(move |rdd, _| {
        rdd.count()?;
        to.add(vec![reads.value()]);
        Ok::<(), Error>(())
    });
    let window = harness.watch(&numbers.window(3 * SECOND, SECOND));
    harness.advance(3).unwrap();
    assert_eq!(seen.value(), [2, 2, 6]);
    assert_eq!(odd.value(), 6);
    assert_eq!(watched.all().len(), 3);
    assert_eq!(window.all()[2].as_ref().unwrap().len(), 8);
}

#[test]
fn state_and_what_is_kept_count_once() {
    for level in [StorageLevel::Memory, StorageLevel::MemorySerialised, StorageLevel::Disk] {
        let harness = Harness::new(SECOND);
        let (calls, records) =
            (harness.ctx().accumulator::<u64>("calls"), harness.ctx().accumulator::<u64>("records"));
        let words = harness.input(
            [vec!["a", "b"], vec!["a"], vec![]].map(|words| words.into_iter().map(String::from).collect()),
        );
        let keyed = words.with(records.clone()).map(|records, word| {
            records.add(1);
            (word, 1u64)
        });
        let keyed = keyed.persist(level);
        let counts = keyed.with(calls.clone()).update_state_by_key(|calls, values, state: Option<u64>| {
            calls.add(1);
            Some(state.unwrap_or(0) + values.len() as u64)
        });
        let (one, other) = (harness.watch(&counts), harness.watch(&keyed.count()));
        harness.advance(3).unwrap();
        assert_eq!(other.all(), [Some(vec![2]), Some(vec![1]), Some(vec![0])]);
        assert_eq!(one.all().len(), 3);
        assert_eq!((records.value(), calls.value()), (3, 2 + 2 + 2), "{level:?}");
    }
}

#[test]
fn what_is_unpersisted_is_computed_again() {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    for level in [StorageLevel::Memory, StorageLevel::MemorySerialised, StorageLevel::Disk] {
        let ctx = Context::local(2);
        CALLS.store(0, Relaxed);
        let kept = ctx
            .parallelize(0..10u32)
            .map(|n| {
                CALLS.fetch_add(1, Relaxed);
                n
            })
            .persist(level);
        let calls = || {
            assert_eq!(kept.collect().unwrap(), (0..10).collect::<Vec<_>>());
            CALLS.load(Relaxed)
        };
        assert_eq!((calls(), calls()), (10, 10), "{level:?}");
        kept.unpersist();
        assert_eq!((calls(), calls()), (20, 30), "{level:?}");
    }
}

/// In a broadcast value an accumulator is as good as by itself.
#[test]
fn an_accumulator_travels_inside_other_values() {
    let ctx = Context::local(2);
    let count = ctx.accumulator::<u64>("count");
    let both: Broadcast<(Accumulator<u64>, u64)> = ctx.broadcast((count.clone(), 3)).unwrap();
    for _ in 0..2 {
        let numbers = ctx.parallelize(0..10u64).with(both.clone());
        numbers.foreach(|both, _| both.0.add(both.1)).unwrap();
    }
    assert_eq!(count.value(), 60);
}

#[test]
fn misuse_is_an_error_that_says_what_to_do() {
    let ctx = Context::local(1);
    let count = ctx.accumulator::<u64>("count");
    let read = ctx.parallelize([1u64]).with(count.clone()).map(|count, n| n + count.value());
    let error = read.collect().unwrap_err().to_string();
    assert!(error.contains("`map` at") && error.contains("known on the master only"), "{error}");
}

/// A merge of the program's own that panics fails the action, and nothing else.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
struct Brittle(u32);

impl Accumulate for Brittle {
    fn merge(&mut self, other: Self) {
        assert!(self.0 == 0, "it breaks");
        self.0 = other.0;
    }
}

#[test]
fn a_merge_that_panics_fails_its_interval() {
    let harness = Harness::with(
        Context::builder("test").interval(SECOND).threads(2).on_failure(OnFailure::Continue),
        2,
    );
    let brittle = harness.ctx().accumulator::<Brittle>("brittle");
    let input = harness.input([vec![1, 2], vec![], vec![3]]);
    let added = input.with(brittle.clone()).filter(|brittle, n: &u32| {
        brittle.add(Brittle(*n));
        true
    });
    let _watched = harness.watch(&added);
    let error = harness.step().unwrap().failure.unwrap();
    assert!(
        error.to_string().contains("accumulator `brittle`") && error.to_string().contains("it breaks"),
        "{error}"
    );
    assert!(harness.step().unwrap().failure.is_none());
    brittle.take();
    assert!(harness.step().unwrap().failure.is_none());
    assert_eq!(brittle.value(), Brittle(3));
}
