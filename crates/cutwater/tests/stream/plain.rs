//! Operations within an interval.

use crate::{SECOND, check_all, keyed, words};

#[test]
fn map_filter_and_flat_map() {
    let input = || [vec![1, 2, 3], vec![], vec![4, 5]];
    check_all(SECOND, [vec![2, 4, 6], vec![], vec![8, 10], vec![]], |h| h.input(input()).map(|n| n * 2));
    check_all(SECOND, [vec![1, 3], vec![], vec![5], vec![]], |h| h.input(input()).filter(|n| n % 2 == 1));
    check_all(SECOND, [vec![1, 1, 2, 2, 3, 3], vec![], vec![4, 4, 5, 5], vec![]], |h| {
        h.input(input()).flat_map(|n| [n, n])
    });
    check_all(SECOND, [vec![3], vec![], vec![4, 5]], |h| {
        h.input(input()).with(3).filter(|least, n| n >= least)
    });
    check_all(SECOND, [vec![11, 12, 13], vec![], vec![14, 15]], |h| {
        h.input(input()).with(10).map(|add, n| n + add)
    });
    check_all(SECOND, [vec![20], vec![], vec![40]], |h| {
        h.input(input()).filter_map(|n| (n % 2 == 0).then_some(n * 10))
    });
    check_all(SECOND, [vec![6], vec![], vec![9]], |h| {
        h.input(input()).map_partitions(|all| all).repartition(1).map_partitions(|all| {
            let sum: i32 = all.iter().sum();
            (!all.is_empty()).then_some(sum)
        })
    });
}

#[test]
fn reduce_by_key_and_group_by_key() {
    let input = || keyed([&[("a", 1), ("b", 2), ("a", 3)], &[], &[("b", 4), ("b", 5)]]);
    check_all(SECOND, keyed([&[("a", 4), ("b", 2)], &[], &[("b", 9)], &[]]), |h| {
        h.input(input()).reduce_by_key(|a, b| a + b)
    });
    check_all(SECOND, keyed([&[("a", 3), ("b", 2)], &[], &[("b", 7)]]), |h| {
        h.input(input()).with(7).reduce_by_key(|cap, a, b| if a + b < *cap { 3 } else { *cap })
    });
    check_all(SECOND, keyed([&[("a", vec![1, 3]), ("b", vec![2])], &[], &[("b", vec![4, 5])], &[]]), |h| {
        h.input(input()).group_by_key()
    });
    check_all(SECOND, keyed([&[("a", 10), ("a", 30), ("b", 20)], &[], &[("b", 40), ("b", 50)]]), |h| {
        h.input(input()).map_values(|v| v * 10)
    });
    check_all(SECOND, [vec![(1, "x".to_owned()), (2, "yy".to_owned())], vec![]], |h| {
        h.input(words([&["x", "yy"]])).key_by(String::len)
    });
    check_all(SECOND, [vec![(1, 4), (0, 6)], vec![(2, 5)]], |h| {
        h.input([vec![4, 6], vec![5]]).with(3).key_by(|by, n| n % by)
    });
}

/// An empty interval counts 0, and is reduced to nothing (`edge_semantics/012`).
#[test]
fn count_and_reduce() {
    let input = || [vec![], vec![1], vec![], vec![5, 7, 6]];
    check_all(SECOND, [vec![0], vec![1], vec![0], vec![3], vec![0]], |h| h.input(input()).count());
    check_all(SECOND, [vec![], vec![1], vec![], vec![18], vec![]], |h| h.input(input()).reduce(|a, b| a + b));
    check_all(SECOND, [vec![], vec![1], vec![], vec![28]], |h| {
        h.input(input()).with(5).reduce(|more, a, b| a + b + more)
    });
    check_all(SECOND, [vec!["1".to_owned()], vec!["234".to_owned()]], |h| {
        h.input([vec![1], vec![2, 3, 4]]).map(|n| n.to_string()).reduce(|a, b| a + &b)
    });
}

#[test]
fn union_join_and_cogroup() {
    check_all(SECOND, [vec![1, 10], vec![2], vec![30], vec![]], |h| {
        h.input([vec![1], vec![2]]).union(&h.input([vec![10], vec![], vec![30]]))
    });
    check_all(SECOND, [vec![1, 1, 2], vec![4, 4, 5]], |h| {
        let a = h.input([vec![1], vec![4]]);
        h.ctx().union([a.clone(), h.input([vec![2], vec![5]]), a])
    });
    let left = || keyed([&[("a", 1), ("a", 2), ("b", 3)], &[("a", 4)], &[]]);
    let right = || keyed([&[("a", 'x'), ("c", 'y')], &[("a", 'z'), ("a", 'w')], &[("a", 'v')]]);
    check_all(
        SECOND,
        keyed([&[("a", (1, 'x')), ("a", (2, 'x'))], &[("a", (4, 'z')), ("a", (4, 'w'))], &[]]),
        |h| h.input(left()).join(&h.input(right())),
    );
    check_all(
        SECOND,
        keyed([
            &[("a", (vec![1, 2], vec!['x'])), ("b", (vec![3], vec![])), ("c", (vec![], vec!['y']))],
            &[("a", (vec![4], vec!['z', 'w']))],
            &[("a", (vec![], vec!['v']))],
            &[],
        ]),
        |h| h.input(left()).cogroup(&h.input(right())),
    );
    // A stream with itself, and with what is partitioned like it.
    check_all(SECOND, keyed([&[("a", (3, 3)), ("b", (3, 3))], &[("a", (4, 4))]]), |h| {
        let sums = h.input(left()).reduce_by_key(|a, b| a + b);
        sums.join(&sums)
    });
    check_all(SECOND, keyed([&[("a", (3, 3)), ("b", (3, 3))], &[("a", (4, 7))], &[]]), |h| {
        let input = h.input(left());
        input.reduce_by_key(|a, b| a + b).join(&input.running_reduce(|a, b| a + b))
    });
}

#[test]
fn running_reduce_keeps_every_key() {
    let input = || keyed([&[("a", 1), ("b", 1)], &[("a", 1)], &[], &[("c", 1), ("a", 5)]]);
    let all = keyed([
        &[("a", 1), ("b", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 7), ("b", 1), ("c", 1)],
        &[("a", 7), ("b", 1), ("c", 1)],
    ]);
    check_all(SECOND, all, |h| h.input(input()).running_reduce(|a, b| a + b));
    check_all(
        SECOND,
        keyed([
            &[("a", 1), ("b", 1)],
            &[("a", 2), ("b", 1)],
            &[("a", 2), ("b", 1)],
            &[("a", 3), ("b", 1), ("c", 1)],
        ]),
        |h| h.input(input()).with(3).running_reduce(|cap, a, b| (a + b).min(*cap)),
    );
    // Values are put together in the order in which they came.
    check_all(SECOND, keyed([&[("a", "12".to_owned())], &[("a", "123".to_owned())]]), |h| {
        h.input(keyed([&[("a", 1), ("a", 2)], &[("a", 3)]]))
            .map_values(|v| v.to_string())
            .running_reduce(|a, b| a + &b)
    });
    // State of state.
    check_all(SECOND, [vec![(1, 1)], vec![(1, 1), (2, 1)], vec![(1, 1), (2, 2)]], |h| {
        let counts = h.input([vec![('x', 1)], vec![('x', 1)], vec![]]).running_reduce(|a, b| a + b);
        counts.map(|(_, n)| (n, 1)).running_reduce(|a, b| a + b)
    });
}

#[test]
fn transform_and_repartition() {
    check_all(SECOND, [vec![(1000, 1), (1000, 2)], vec![(2000, 3)], vec![]], |h| {
        let times = h.input([vec![1, 2], vec![3]]);
        times.transform(|rdd, t| Ok(rdd.with(t.as_ms()).map(|ms, n| (*ms, n))))
    });
    check_all(SECOND, [vec![3], vec![2]], |h| {
        let mut calls = 0;
        h.input([vec![1, 2, 3], vec![2, 1]]).transform(move |rdd, _| {
            calls += 1;
            assert!(calls <= 2, "an interval's dataset is made once");
            let top = rdd.top(1)?;
            Ok(rdd.with(top[0]).filter(|top, n| n == top))
        })
    });
    check_all(SECOND, [vec![5], vec![5]], |h| {
        h.input([vec![1, 2, 3], vec![]]).repartition(5).map_partitions(|_| [1]).reduce(|a, b| a + b)
    });
}

/// Two outputs of a stream see the same, and a stream without any is not asked.
#[test]
fn an_interval_is_made_once_for_all_outputs() {
    let harness = crate::harness(SECOND, 2, 2);
    let mut made = 0;
    let stream = harness.input([vec![1, 2], vec![3]]).transform(move |rdd, t| {
        made += 1;
        assert_eq!(made * 1000, t.as_ms());
        Ok(rdd)
    });
    let unused = stream.transform(|_, _| -> Result<cutwater::Rdd<()>, _> { unreachable!("nobody asks") });
    let (a, b) = (harness.watch(&stream), harness.watch(&stream.map(|n| -n)));
    harness.advance(3).unwrap();
    assert_eq!(a.all(), [Some(vec![1, 2]), Some(vec![3]), Some(vec![])]);
    assert_eq!(b.all(), [Some(vec![-1, -2]), Some(vec![-3]), Some(vec![])]);
    drop(unused);
}
