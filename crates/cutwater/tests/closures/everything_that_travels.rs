//! Functions that capture nothing, of every kind. This compiles.

use std::{
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use cutwater::{Collection, Context, DStream, Error, Rdd, Record, testing::Harness};

const LIMIT: i64 = 3;
static NAMES: [&str; 2] = ["low", "high"];
static SEEN: AtomicU64 = AtomicU64::new(0);

struct Unit;

impl Unit {
    const STEP: i64 = 2;

    fn step(n: i64) -> i64 {
        n + Self::STEP
    }
}

fn double(n: i64) -> i64 {
    n * 2
}

/// A function in a function, generic over what it is called with.
fn twice<T: Record + std::ops::Add<Output = T>>(rdd: &Rdd<T>) -> Rdd<T> {
    fn add<T: Clone + std::ops::Add<Output = T>>(t: T) -> T {
        t.clone() + t
    }
    rdd.map(add)
}

/// A function that hands on one that it was given.
fn apply<F: Fn(i64) -> i64 + cutwater::Portable>(rdd: &Rdd<i64>, f: F) -> Rdd<i64> {
    rdd.map(f).map(move |n| f(f(n)))
}

fn names_of(n: usize) -> Vec<String> {
    (0..n).map(|n| format!("n{n}")).collect()
}

fn count_of<C: Collection<Item = i64>>(_: &C) {}

fn main() -> Result<(), Error> {
    let ctx = Context::local(2);
    let rdd = ctx.parallelize([1i64, 2, 3, 4]);
    count_of(&rdd);
    assert_eq!(rdd.map(double).collect()?, [2, 4, 6, 8]);
    assert_eq!(rdd.map(i64::abs).map(Unit::step).collect()?, [3, 4, 5, 6]);
    assert_eq!(rdd.filter(|n| *n > LIMIT).collect()?, [4]);
    assert_eq!(rdd.map(|n| NAMES[usize::from(n > LIMIT)].to_owned()).first()?, "low");
    rdd.foreach(|n| drop(SEEN.fetch_add(n as u64, Relaxed)))?;
    assert_eq!(SEEN.load(Relaxed), 10);
    assert_eq!(twice(&rdd).collect()?, [2, 4, 6, 8]);
    assert_eq!(apply(&rdd, |n| n + 1).first()?, 4);
    assert_eq!(rdd.map(Some).flat_map(|n| n).map(Box::new).count()?, 4);
    assert_eq!(rdd.reduce(i64::max)?, 4);

    let (least, names, table) = (2, vec!["a".to_owned()], [1u8, 2, 3]);
    let handed = rdd.with((least, names, table)).map(|(least, names, table), n| {
        let inner = |m: i64| m + least; // may capture: it never leaves
        format!("{}{}{}", names[0], inner(n), table.len())
    });
    assert_eq!(handed.first()?, "a33");
    assert_eq!(rdd.with(least).filter(|least, n| n >= least).count()?, 3);
    assert_eq!(rdd.with(()).flat_map(|(), n| vec![n; 2]).count()?, 8);
    let named = rdd.with(names_of(2)).pairs(|names, n, emit| emit(&names[usize::from(*n > LIMIT)], *n));
    assert_eq!(named.reduce_by_key(|a, b| a + b).lookup(&"n1".to_owned())?, [4]);
    assert_eq!(rdd.pairs(|n, emit| emit(NAMES[0], *n)).reduce_by_key(i64::max).count()?, 1);

    // What runs on the master may capture.
    let mut calls = 0;
    let total = rdd.aggregate(0, |a, n| a + n, |a, b| {
        calls += 1;
        a + b
    })?;
    assert_eq!((total, calls), (10, 2));
    let harness = Harness::new(Duration::from_secs(1));
    let input: DStream<i64> = harness.input([vec![1, 2, 3, 4]]);
    count_of(&input);
    let wanted = 3;
    let stream = input.map(double).with(wanted).filter(|w, n| n > w).transform(move |rdd, _| {
        Ok(rdd.with(wanted).map(|w, n| n - w))
    });
    assert_eq!(harness.run(&stream, 1)?, [[1, 3, 5]]);
    Ok(())
}
