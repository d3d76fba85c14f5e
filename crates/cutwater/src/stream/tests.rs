//! What holds for streams of every kind: no dataset is not an empty one, lineage and retention, and the
//! faults that keep a program from starting.

use std::time::Duration;

use crate::{Context, DStream, Error, ErrorKind, Rdd, testing::Harness};

const SECOND: Duration = Duration::from_secs(1);

/// `api.md` §4.6: what needs all its parents fails without one, and says which; the intervals after it
/// go on.
#[test]
fn operations_on_all_parents_need_a_dataset_of_each() {
    fn gaps(harness: &Harness) -> DStream<u64> {
        harness.input_or_none([Some(vec![1]), None, Some(vec![3])])
    }
    fn full(harness: &Harness) -> DStream<u64> {
        harness.input([vec![7]])
    }
    let operations: [fn(&Harness) -> DStream<u64>; 6] = [
        |h| gaps(h).count(),
        |h| gaps(h).repartition(2),
        |h| full(h).union(&gaps(h)),
        |h| gaps(h).transform(|rdd, _| Ok(rdd)),
        |h| full(h).transform_with(&gaps(h), |a, b, _| Ok(a.union(&b))),
        |h| h.ctx().transform([full(h), gaps(h)], |all, _| Ok(all[0].union(&all[1]))),
    ];
    for operation in operations {
        let harness = Harness::new(SECOND);
        let watched = harness.watch(&operation(&harness));
        assert!(harness.step().unwrap().failure.is_none());
        let failure = harness.step().unwrap().failure.unwrap().to_string();
        assert!(failure.contains("`input`") && failure.contains("has no dataset at"), "{failure}");
        assert!(failure.contains("`Harness::input` with") && failure.contains("`queue_or`"), "{failure}");
        assert!(harness.step().unwrap().failure.is_none());
        let times: Vec<_> = watched.timed().iter().map(|(t, _)| t.as_ms()).collect();
        assert_eq!(times, [1_000, 3_000]);
    }
}

/// State of intervals that nobody looked at is still there to be looked at later, whatever was let go
/// in between.
#[test]
fn state_may_be_looked_at_now_and_then() {
    let harness = Harness::new(SECOND);
    let counts = harness.input((0..20).map(|_| vec![('k', 1)])).running_reduce(|a, b| a + b);
    counts.for_each_rdd(|rdd, t| {
        if t.as_ms() % 5_000 == 0 {
            assert_eq!(rdd.collect()?, [('k', t.as_ms() / 1_000)]);
        }
        Ok::<(), Error>(())
    });
    harness.advance(20).unwrap();
}

/// The state of an interval without a dataset is that of the one before.
#[test]
fn state_outlives_intervals_without_a_dataset() {
    let harness = Harness::new(SECOND);
    let input = (0..20).map(|i| (i % 7 == 0).then(|| vec![('k', 1)]));
    let counts = harness.input_or_none(input).running_reduce(|a, b| a + b);
    let counts = harness.watch(&counts);
    harness.advance(20).unwrap();
    for (i, counts) in (0..).zip(counts.all()) {
        assert_eq!(counts, Some(vec![('k', i / 7 + 1)]));
    }
}

/// A dataset that the program keeps for itself may be what a stream answers, for ever.
#[test]
fn a_dataset_of_the_program_may_be_the_answer() {
    let harness = Harness::new(SECOND);
    let table = harness.ctx().parallelize([1, 2]).map(|n| n * 10).cache();
    let held = table.clone();
    let answers = harness.watch(&harness.input::<u8>([]).transform(move |_, _| Ok(held.clone())));
    harness.advance(6).unwrap();
    assert_eq!(answers.all(), vec![Some(vec![10, 20]); 6]);
    assert_eq!(table.collect().unwrap(), [10, 20]);
}

/// Every fault of a program is listed, with its place, before anything runs (`api.md` §4.4, §4.6).
#[test]
fn all_faults_are_listed_at_once() {
    let harness = Harness::new(SECOND);
    let input = harness.input([vec![('k', 1)]]);
    let odd = Duration::from_millis(1_500);
    let slow = input.window(2 * SECOND, 2 * SECOND);
    let _ = input.window(odd, SECOND);
    let _ = input.reduce_by_key_and_window(|a, _| a, SECOND, odd);
    let _ = slow.group_by_key_and_window(4 * SECOND, SECOND);
    let _ = input.map(|(_, n)| n).reduce_by_window(i32::max, odd, SECOND);
    let _ = input.count_by_window(odd, SECOND);
    let _ = input.count_by_value_and_window(Duration::ZERO, SECOND);
    let _ = input.union(&slow);
    let _ = input.join(&slow);
    let _ = input.transform_with(&slow, |a, _, _| Ok(a));
    let _ = harness.ctx().transform(Vec::<DStream<u8>>::new(), |_, _| Err::<Rdd<u8>, _>(Error::user("")));
    let _ = harness.ctx().union(Vec::<DStream<u8>>::new());
    let error = harness.advance(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let message = error.to_string();
    assert!(message.contains("for 11 reasons"), "{message}");
    assert_eq!(message.matches("there are no streams").count(), 2, "{message}");
    for name in [
        "`window`",
        "`reduce_by_key_and_window`",
        "`group_by_key_and_window`",
        "`reduce_by_window`",
        "`count_by_window`",
        "`count_by_value_and_window`",
        "`union`",
        "`join`",
        "`transform`",
    ] {
        assert!(message.contains(name), "no {name} in {message}");
    }
    assert_eq!(message.matches("stream/tests.rs:").count(), 11, "{message}");
}

/// Whichever operation brings streams of two contexts together says so before anything runs.
#[test]
fn streams_of_two_contexts_are_refused() {
    let operations: [(&str, fn(&DStream<(char, u8)>, &DStream<(char, u8)>)); 5] = [
        ("`union`", |a, b| drop(a.union(b))),
        ("`join`", |a, b| drop(a.join(b))),
        ("`cogroup`", |a, b| drop(a.cogroup(b))),
        ("`transform`", |a, b| drop(a.transform_with(b, |a, _, _| Ok(a)))),
        ("`transform`", |a, b| drop(a.ctx.transform([b.clone()], |all, _| Ok(all[0].clone())))),
    ];
    for (name, operation) in operations {
        let (harness, other) = (Harness::new(SECOND), Harness::new(SECOND));
        operation(&harness.input([vec![('k', 1)]]), &other.input([vec![('k', 2)]]));
        let error = harness.advance(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        assert!(message.contains(name) && message.contains("different contexts"), "{message}");
        assert_eq!(message.matches("stream/tests.rs:").count(), 1, "{message}");
        other.advance(1).unwrap();
    }
}

/// What is set for all streams holds even for those that no output needs.
#[test]
fn remember_is_for_all_streams() {
    let harness = Harness::with(Context::builder("test").interval(SECOND).remember(3 * SECOND), 1);
    let input = harness.input((0..9).map(|i| vec![i]));
    let other = harness.watch(&harness.input([vec![0]]));
    harness.advance(9).unwrap();
    assert_eq!(harness.held(&input).len(), 3);
    assert_eq!(other.all().len(), 9);
}
