//! Operations by key that are told into how many partitions to go.

use cutwater::{DStream, Record};

use crate::{SECOND, check_all, harness, keyed};

/// How many partitions each of three intervals has.
fn partitions<T: Record>(program: impl Fn(&DStream<(String, i64)>) -> DStream<T>) -> Vec<u32> {
    let harness = harness(SECOND, 2, 2);
    let stream = program(&harness.input(keyed([&[("a", 1), ("b", 2)], &[("b", 3)]])));
    let (sender, seen) = std::sync::mpsc::channel();
    stream.for_each_rdd(move |rdd, _| {
        rdd.collect()?;
        sender.send(rdd.num_partitions()).map_err(cutwater::Error::user)
    });
    harness.advance(3).unwrap();
    drop(harness);
    seen.iter().collect()
}

#[test]
fn as_many_partitions_as_asked_for() {
    for into in [1, 3, 300] {
        let expected = [into; 3];
        assert_eq!(partitions(|s| s.group_by_key_into(into)), expected);
        assert_eq!(partitions(|s| s.reduce_by_key_into(into, |a, b| a + b)), expected);
        assert_eq!(partitions(|s| s.combine_by_key_into(into, |v| v, |a, v| a + v, |a, b| a + b)), expected);
        assert_eq!(partitions(|s| s.cogroup_into(s, into)), expected);
        assert_eq!(partitions(|s| s.join_into(s, into)), expected);
        assert_eq!(partitions(|s| s.left_outer_join_into(s, into)), expected);
        assert_eq!(partitions(|s| s.right_outer_join_into(s, into)), expected);
        assert_eq!(partitions(|s| s.full_outer_join_into(s, into)), expected);
        assert_eq!(partitions(|s| s.count_by_value_into(into)), expected);
        let (w, s1) = (2 * SECOND, SECOND);
        assert_eq!(partitions(|s| s.count_by_value_and_window_into(into, w, s1)), expected);
        assert_eq!(partitions(|s| s.group_by_key_and_window_into(into, w, s1)), expected);
        assert_eq!(partitions(|s| s.reduce_by_key_and_window_into(into, |a, b| a + b, w, s1)), expected);
        let inverse = |s: &DStream<(String, i64)>| {
            s.reduce_by_key_and_window_inverse_into(into, |a, b| a + b, |a, b| a - b, w, s1)
        };
        assert_eq!(partitions(inverse), expected);
        let filtered = |s: &DStream<(String, i64)>| {
            let visible = |_: &String, v: &i64| *v != 0;
            s.reduce_by_key_and_window_filtered_into(into, |a, b| a + b, |a, b| a - b, visible, w, s1)
        };
        assert_eq!(partitions(filtered), expected);
    }
}

/// Into none, everything would go without a word.
#[test]
fn into_no_partitions_is_into_one() {
    assert_eq!(partitions(|s| s.reduce_by_key_into(0, |a, b| a + b)), [1; 3]);
    assert_eq!(partitions(|s| s.count_by_value_and_window_into(0, SECOND, SECOND)), [1; 3]);
    assert_eq!(partitions(|s| s.group_by_key_and_window_into(0, SECOND, SECOND)), [1; 3]);
}

#[test]
fn the_number_of_partitions_changes_no_answer() {
    let left = || keyed([&[("a", 1), ("a", 2), ("b", 3)], &[("c", 4)]]);
    let right = || keyed([&[("a", 'x'), ("c", 'y')], &[("c", 'z')]]);
    for into in [1, 5] {
        check_all(SECOND, keyed([&[("a", vec![1, 2]), ("b", vec![3])], &[("c", vec![4])]]), |h| {
            h.input(left()).group_by_key_into(into)
        });
        check_all(SECOND, keyed([&[("a", 3), ("b", 3)], &[("c", 4)]]), |h| {
            h.input(left()).reduce_by_key_into(into, |a, b| a + b)
        });
        check_all(SECOND, keyed([&[("a", 3), ("b", 3)], &[("c", 4)]]), |h| {
            h.input(left()).combine_by_key_into(into, |v| v, |a, v| a + v, |a, b| a + b)
        });
        check_all(
            SECOND,
            keyed([
                &[("a", (vec![1, 2], vec!['x'])), ("b", (vec![3], vec![])), ("c", (vec![], vec!['y']))],
                &[("c", (vec![4], vec!['z']))],
            ]),
            |h| h.input(left()).cogroup_into(&h.input(right()), into),
        );
        check_all(SECOND, keyed([&[("a", (1, 'x')), ("a", (2, 'x'))], &[("c", (4, 'z'))]]), |h| {
            h.input(left()).join_into(&h.input(right()), into)
        });
        check_all(
            SECOND,
            keyed([
                &[("a", (1, Some('x'))), ("a", (2, Some('x'))), ("b", (3, None))],
                &[("c", (4, Some('z')))],
            ]),
            |h| h.input(left()).left_outer_join_into(&h.input(right()), into),
        );
        check_all(
            SECOND,
            keyed([
                &[("a", (Some(1), 'x')), ("a", (Some(2), 'x')), ("c", (None, 'y'))],
                &[("c", (Some(4), 'z'))],
            ]),
            |h| h.input(left()).right_outer_join_into(&h.input(right()), into),
        );
        check_all(
            SECOND,
            keyed([
                &[
                    ("a", (Some(1), Some('x'))),
                    ("a", (Some(2), Some('x'))),
                    ("b", (Some(3), None)),
                    ("c", (None, Some('y'))),
                ],
                &[("c", (Some(4), Some('z')))],
            ]),
            |h| h.input(left()).full_outer_join_into(&h.input(right()), into),
        );
        check_all(SECOND, [vec![('p', 2), ('q', 1)], vec![('q', 1)], vec![]], |h| {
            h.input([vec!['p', 'q', 'p'], vec!['q']]).count_by_value_into(into)
        });
    }
}

#[test]
fn nor_does_it_of_a_window() {
    let (window, slide) = (2 * SECOND, SECOND);
    let input = || keyed([&[("a", 1), ("a", 2)], &[("a", 4), ("b", 5)], &[]]);
    for into in [1, 5] {
        check_all(SECOND, [vec![('p', 2)], vec![('p', 2), ('q', 1)], vec![('q', 1)], vec![]], |h| {
            h.input([vec!['p', 'p'], vec!['q']]).count_by_value_and_window_into(into, window, slide)
        });
        let expected = keyed([
            &[("a", vec![1, 2])],
            &[("a", vec![1, 2, 4]), ("b", vec![5])],
            &[("a", vec![4]), ("b", vec![5])],
            &[],
        ]);
        check_all(SECOND, expected, |h| h.input(input()).group_by_key_and_window_into(into, window, slide));
        let sums = || keyed([&[("a", 3)], &[("a", 7), ("b", 5)], &[("a", 4), ("b", 5)], &[]]);
        check_all(SECOND, sums(), |h| {
            h.input(input()).reduce_by_key_and_window_into(into, |a, b| a + b, window, slide)
        });
        check_all(SECOND, sums(), |h| {
            let (add, subtract) = (|a, b| a + b, |a, b| a - b);
            let input = h.input(input());
            input.reduce_by_key_and_window_filtered_into(into, add, subtract, |_, _| true, window, slide)
        });
        let kept = keyed([&[("a", 3)], &[("a", 7), ("b", 5)], &[("a", 4), ("b", 5)], &[("a", 0), ("b", 0)]]);
        check_all(SECOND, kept, |h| {
            let (add, subtract) = (|a, b| a + b, |a, b| a - b);
            h.input(input()).reduce_by_key_and_window_inverse_into(into, add, subtract, window, slide)
        });
    }
}

/// What is handed over reaches every function of an inverse window.
#[test]
fn values_for_inverse_windows() {
    let (window, slide) = (2 * SECOND, SECOND);
    // Sums modulo what is handed over.
    let input = || keyed([&[("a", 3i64), ("a", 4)], &[("a", 2)], &[]]);
    check_all(SECOND, keyed([&[("a", 2)], &[("a", 4)], &[("a", 2)], &[("a", 0)]]), |h| {
        let input = h.input(input()).with(5);
        input.reduce_by_key_and_window_inverse(
            |m, a, b| (a + b) % m,
            |m, a, b| (a - b).rem_euclid(*m),
            window,
            slide,
        )
    });
    check_all(SECOND, keyed([&[], &[("a", 9)], &[], &[]]), |h| {
        let input = h.input(input()).with(7);
        input.reduce_by_key_and_window_filtered(
            |_, a, b| a + b,
            |_, a, b| a - b,
            |least, _, sum| sum > least,
            window,
            slide,
        )
    });
    check_all(SECOND, [vec![2], vec![4], vec![2], vec![0]], |h| {
        let input = h.input([vec![3i64, 4], vec![2], vec![]]).with(5);
        input.reduce_by_window_inverse(|m, a, b| (a + b) % m, |m, a, b| (a - b).rem_euclid(*m), window, slide)
    });
}
