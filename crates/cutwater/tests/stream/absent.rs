//! No dataset at an interval is something else than a dataset without records (`api.md` §4.5, §4.6).

use cutwater::{ErrorKind, testing::Harness};

use crate::{SECOND, check, check_all, harness};

fn gaps(h: &Harness) -> cutwater::DStream<i32> {
    h.input_or_none([Some(vec![1]), None, Some(vec![2])])
}

/// edge_semantics/007
#[test]
fn what_works_on_one_dataset_passes_it_through() {
    check(SECOND, [Some(vec![3]), None, Some(vec![4]), Some(vec![])], |h| gaps(h).map(|n| n + 2));
    check(SECOND, [Some(vec![1]), None, Some(vec![])], |h| gaps(h).filter(|n| *n == 1));
    check(SECOND, [Some(vec![1, 1]), None, Some(vec![2, 2])], |h| gaps(h).flat_map(|n| [n, n]));
    check(SECOND, [Some(vec![1]), None, Some(vec![2])], |h| gaps(h).map_partitions(|all| all));
    check(SECOND, [Some(vec![(1, 1)]), None, Some(vec![(2, 2)])], |h| {
        gaps(h).key_by(|n| *n).map_values(|v| v)
    });
    check(SECOND, [Some(vec![(1, 1)]), None, Some(vec![(2, 1)])], |h| {
        gaps(h).map(|n| (n, 1)).reduce_by_key(|a, b| a + b)
    });
    check(SECOND, [Some(vec![(1, vec![1])]), None, Some(vec![(2, vec![1])])], |h| {
        gaps(h).map(|n| (n, 1)).group_by_key()
    });
    check(SECOND, [Some(vec![1]), None, Some(vec![2])], |h| gaps(h).reduce(|a, b| a + b));
    check(SECOND, [Some(vec![1]), None, Some(vec![2])], |h| gaps(h).cache());
}

/// edge_semantics/009
#[test]
fn a_window_passes_over_it_and_is_empty_at_worst() {
    let input = [Some(vec![1]), None, None, Some(vec![4]), Some(vec![5])];
    let expected = [vec![1], vec![1], vec![], vec![4], vec![4, 5], vec![5], vec![]];
    check_all(SECOND, expected.clone(), |h| h.input_or_none(input.clone()).window(2 * SECOND, SECOND));
    let keyed = expected.map(|records| records.into_iter().map(|n| (n, 1)).collect());
    check_all(SECOND, keyed.clone(), |h| {
        let ones = h.input_or_none(input.clone()).map(|n| (n, 1));
        ones.reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, SECOND)
    });
    check_all(SECOND, keyed, |h| {
        let ones = h.input_or_none(input.clone()).map(|n| (n, 1));
        ones.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, |_, n| *n != 0, 2 * SECOND, SECOND)
    });
}

/// A window over a stream that has not had a dataset yet is empty and not absent.
#[test]
fn a_stream_that_begins_with_nothing() {
    let input = || [None, None, Some(vec![('a', 1)])];
    check_all(SECOND, [vec![], vec![], vec![('a', 1)], vec![('a', 1)]], |h| {
        h.input_or_none(input()).window(2 * SECOND, SECOND)
    });
    check_all(SECOND, [vec![], vec![], vec![('a', 1)], vec![('a', 1)], vec![('a', 0)]], |h| {
        let input = h.input_or_none(input());
        input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 2 * SECOND, SECOND)
    });
}

/// Before the first dataset nothing is produced; afterwards state stays as it is (`api.md` §5).
#[test]
fn state_is_carried_over_it() {
    let input = || [None, Some(vec![('a', 1)]), None, Some(vec![('a', 2)])];
    let expected = [None, Some(vec![('a', 1)]), Some(vec![('a', 1)]), Some(vec![('a', 3)])];
    check(SECOND, expected, |h| h.input_or_none(input()).running_reduce(|a, b| a + b));
}

/// edge_semantics/022 and 024: what needs a dataset of each parent fails the interval without one, and
/// says which stream had none.
#[test]
fn what_needs_a_dataset_fails_without_one() {
    type Program = fn(&Harness, &cutwater::DStream<i32>);
    let programs: [(&str, Program); 8] = [
        ("count", |h, s| drop(h.watch(&s.count()))),
        ("repartition", |h, s| drop(h.watch(&s.repartition(2)))),
        ("transform", |h, s| drop(h.watch(&s.transform(|rdd, _| Ok(rdd))))),
        ("union on the left", |h, s| drop(h.watch(&s.union(&h.input([vec![1], vec![2]]))))),
        ("union on the right", |h, s| drop(h.watch(&h.input([vec![1], vec![2]]).union(s)))),
        ("join", |h, s| drop(h.watch(&h.input([vec![(1, 1)]]).join(&s.map(|n| (n, n)))))),
        ("cogroup", |h, s| drop(h.watch(&s.map(|n| (n, n)).cogroup(&h.input([vec![(1, 1)]]))))),
        ("join with itself", |h, s| drop(h.watch(&s.map(|n| (n, n)).join(&s.map(|n| (n, n)))))),
    ];
    for (name, program) in programs {
        let harness = harness(SECOND, 2, 2);
        let stream = gaps(&harness);
        program(&harness, &stream);
        harness.advance(1).unwrap();
        let error = harness.advance(1).expect_err(name);
        assert_eq!(error.kind(), ErrorKind::User, "{name}: {error}");
        let text = error.to_string();
        assert!(text.contains("has no dataset at 1970-01-01T00:00:02Z"), "{name}: {text}");
        assert!(text.contains("absent.rs:"), "{name}: {text}");
        // The next interval has one, and is none the worse.
        harness.advance(1).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

/// An output of no dataset has nothing to do, and says so.
#[test]
fn outputs_are_not_called() {
    let harness = harness(SECOND, 1, 1);
    let mut seen = Vec::new();
    let (sender, receiver) = std::sync::mpsc::channel();
    gaps(&harness).for_each_rdd(move |rdd, t| {
        seen.push(t.as_ms());
        sender.send((t.as_ms(), rdd.collect().unwrap())).unwrap();
    });
    let done: Vec<_> = (0..4).map(|_| harness.step().unwrap().outputs_done()).collect();
    assert_eq!(done, [1, 0, 1, 1]);
    drop(harness);
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [(1000, vec![1]), (3000, vec![2]), (4000, vec![])]);
}
