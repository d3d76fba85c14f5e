//! Operations across intervals. Tables are of `conformance/`, by number.

use crate::{SECOND, check_all, keyed, words};

#[test]
fn window() {
    let input = || [vec![0], vec![1], vec![2], vec![3], vec![4], vec![5]];
    // window/001
    let expected = [vec![0], vec![0, 1], vec![1, 2], vec![2, 3], vec![3, 4], vec![4, 5], vec![5], vec![]];
    check_all(SECOND, expected, |h| h.input(input()).window(2 * SECOND, SECOND));
    // window/002
    let expected = [vec![0, 1], vec![2, 3], vec![4, 5], vec![]];
    check_all(SECOND, expected, |h| h.input(input()).window(2 * SECOND, 2 * SECOND));
    // A window of one interval, and one of all.
    check_all(SECOND, input(), |h| h.input(input()).window(SECOND, SECOND));
    check_all(SECOND, [vec![0], vec![0, 1], vec![0, 1, 2], vec![0, 1, 2, 3]], |h| {
        h.input(input()).window(100 * SECOND, SECOND)
    });
    // A slide that exceeds the window drops what is between.
    check_all(SECOND, [vec![2], vec![5], vec![]], |h| h.input(input()).window(SECOND, 3 * SECOND));
    check_all(SECOND, [vec![1, 2], vec![4, 5], vec![]], |h| h.input(input()).window(2 * SECOND, 3 * SECOND));
}

/// window/006
#[test]
fn window_of_four_by_two() {
    let input = || (0..6).map(|n| vec![3 * n + 1, 3 * n + 2, 3 * n + 3]);
    let expected = [(1..=6).collect(), (1..=12).collect(), (7..=18).collect(), (13..=18).collect(), vec![]];
    check_all(SECOND, expected, |h| h.input(input()).window(4 * SECOND, 2 * SECOND));
}

/// window/007
#[test]
fn window_then_count_in_half_seconds() {
    let half = SECOND / 2;
    let input = || (0..5).map(|n| (0..=n).collect());
    check_all(half, [1, 3, 6, 9, 12, 9, 5, 0].map(|n| vec![n]), |h| {
        h.input::<i32>(input()).window(3 * half, half).count()
    });
}

/// edge_semantics/004
#[test]
fn window_of_a_window() {
    let expected = [vec![0, 1, 0, 1, 2, 3], vec![2, 3, 4, 5, 4, 5, 6, 7], vec![6, 7, 8, 9, 8, 9], vec![]];
    check_all(SECOND, expected, |h| {
        h.input((0..10).map(|n| vec![n])).window(4 * SECOND, 2 * SECOND).window(4 * SECOND, 4 * SECOND)
    });
}

/// edge_semantics/014
#[test]
fn join_of_windows() {
    let expected = keyed([
        &[],
        &[("a", (1, 'x')), ("b", (1, 'x'))],
        &[("b", (1, 'x'))],
        &[("a", (1, 'x')), ("a", (1, 'x'))],
        &[("a", (1, 'x'))],
    ]);
    check_all(SECOND, expected, |h| {
        let left = h.input(words([&["a"], &["b"], &[], &["a"]])).map(|w| (w, 1));
        let right = h.input(words([&["b"], &["a"], &["a"], &[]])).map(|w| (w, 'x'));
        left.window(2 * SECOND, SECOND).join(&right.window(3 * SECOND, SECOND))
    });
}

/// edge_semantics/013 and window_aggregates/006
#[test]
fn group_by_key_over_a_window() {
    let expected = keyed([&[("a", vec![1])], &[("a", vec![1])], &[], &[("a", vec![2])], &[("a", vec![2])]]);
    check_all(SECOND, expected, |h| {
        h.input(keyed([&[("a", 1)], &[], &[], &[("a", 2)]])).window(2 * SECOND, SECOND).group_by_key()
    });
    let states = [
        &[("california", 1), ("california", 3), ("new york", 4), ("new york", 1)][..],
        &[("california", 5), ("california", 5), ("new york", 3), ("new york", 1)],
    ];
    let expected = keyed([
        &[("california", vec![1, 3]), ("new york", vec![4, 1])],
        &[("california", vec![1, 3, 5, 5]), ("new york", vec![4, 1, 3, 1])],
        &[("california", vec![5, 5]), ("new york", vec![3, 1])],
    ]);
    check_all(SECOND, expected, |h| h.input(keyed(states)).window(2 * SECOND, SECOND).group_by_key());
}

const TWELVE: [&[(&str, i64)]; 12] = [
    &[("a", 1)],
    &[("a", 1), ("b", 1)],
    &[("a", 1), ("b", 1), ("c", 1)],
    &[("a", 1), ("b", 1)],
    &[("a", 1)],
    &[],
    &[("a", 1)],
    &[("a", 1), ("b", 1)],
    &[("a", 1), ("b", 1), ("c", 1)],
    &[("a", 1), ("b", 1)],
    &[("a", 1)],
    &[],
];

/// reduce_by_key_window/001 to 006, and 014
#[test]
fn reduce_by_key_and_window() {
    let sums = |input: &'static [&'static [(&str, i64)]], expected: &[&[(&str, i64)]]| {
        let expected: Vec<_> = expected.to_vec();
        let expected: [_; 4] = expected.try_into().expect("four intervals");
        check_all(SECOND, keyed(expected), |h| {
            let input = input.iter().map(|i| i.iter().map(|(k, v)| (k.to_string(), *v)).collect());
            h.input(input).reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, SECOND)
        });
    };
    sums(&[&[("a", 1), ("a", 3)]], &[&[("a", 4)], &[("a", 4)], &[], &[]]);
    sums(&[&[("a", 1)], &[("a", 1)]], &[&[("a", 1)], &[("a", 2)], &[("a", 1)], &[]]);
    sums(
        &[&[("a", 1)], &[("a", 1), ("b", 1)]],
        &[&[("a", 1)], &[("a", 2), ("b", 1)], &[("a", 1), ("b", 1)], &[]],
    );
    sums(
        &[&[("c", 1), ("c", 3), ("n", 4), ("n", 1)], &[("c", 5), ("c", 5), ("n", 3), ("n", 1)]],
        &[&[("c", 4), ("n", 5)], &[("c", 14), ("n", 9)], &[("c", 10), ("n", 4)], &[]],
    );
    check_all(SECOND, [vec![('a', 3)], vec![('a', 10)], vec![('a', 18)], vec![('a', 11)]], |h| {
        let input = h.input((1..=6).map(|n| vec![('a', n)]));
        input.reduce_by_key_and_window(|a, b| a + b, 4 * SECOND, 2 * SECOND)
    });
    let expected = keyed([
        &[("a", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 1)],
        &[("a", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 1)],
        &[],
    ]);
    check_all(SECOND, expected.clone(), |h| {
        h.input(keyed(TWELVE)).reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, SECOND)
    });
    check_all(SECOND, expected.clone(), |h| {
        h.input(keyed(TWELVE)).with(0).reduce_by_key_and_window(|zero, a, b| a + b + zero, 2 * SECOND, SECOND)
    });
    // With an inverse and a filter that only hides zeros, keys leave with their last contribution.
    check_all(SECOND, expected, |h| {
        h.input(keyed(TWELVE)).reduce_by_key_and_window_filtered(
            |a, b| a + b,
            |a, b| a - b,
            |_, v| *v != 0,
            2 * SECOND,
            SECOND,
        )
    });
}

/// reduce_by_key_window/010 and 011
#[test]
fn with_an_inverse_keys_stay() {
    check_all(SECOND, [1, 2, 1, 0, 0].map(|n| vec![('a', n)]), |h| {
        let input = h.input([vec![('a', 1)], vec![('a', 1)], vec![], vec![]]);
        input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 2 * SECOND, SECOND)
    });
    check_all(SECOND, [3, 10, 18, 11, 0].map(|n| vec![('a', n)]), |h| {
        let input = h.input((1..=6).map(|n| vec![('a', n)]));
        input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 4 * SECOND, 2 * SECOND)
    });
    let expected = keyed([
        &[("a", 1)],
        &[("a", 2), ("b", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 1), ("c", 0)],
        &[("a", 1), ("b", 0), ("c", 0)],
        &[("a", 1), ("b", 0), ("c", 0)],
        &[("a", 2), ("b", 1), ("c", 0)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 2), ("c", 1)],
        &[("a", 2), ("b", 1), ("c", 0)],
        &[("a", 1), ("b", 0), ("c", 0)],
    ]);
    check_all(SECOND, expected, |h| {
        h.input(keyed(TWELVE)).reduce_by_key_and_window_inverse(
            |a, b| a + b,
            |a, b| a - b,
            2 * SECOND,
            SECOND,
        )
    });
}

/// edge_semantics/015 and 016
#[test]
fn tumbling_counts() {
    let input = || words([&["a"], &["a", "b"], &["c"], &["a"], &[], &[], &["b"]]);
    check_all(SECOND, keyed([&[("a", 2), ("b", 1), ("c", 1)], &[("a", 1)], &[("b", 1)]]), |h| {
        h.input(input()).map(|w| (w, 1)).reduce_by_key_and_window(|a, b| a + b, 3 * SECOND, 3 * SECOND)
    });
    let kept = keyed([
        &[("a", 2), ("b", 1), ("c", 1)],
        &[("a", 1), ("b", 0), ("c", 0)],
        &[("a", 0), ("b", 1), ("c", 0)],
    ]);
    check_all(SECOND, kept, |h| {
        let ones = h.input(input()).map(|w| (w, 1));
        ones.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 3 * SECOND, 3 * SECOND)
    });
}

/// window_aggregates/007
#[test]
fn an_expired_word_disappears() {
    let expected = keyed([
        &[("hello", 1), ("world", 1)],
        &[("hello", 2), ("world", 1), ("moon", 1)],
        &[("hello", 2), ("moon", 1)],
        &[("hello", 1)],
        &[],
    ]);
    check_all(SECOND, expected, |h| {
        h.input(words([&["hello", "world"], &["hello", "moon"], &["hello"]]))
            .map(|word| (word, 1))
            .reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, |_, n| *n != 0, 2 * SECOND, SECOND)
    });
}

/// spark_defects/001: what lies in the gap between two windows is in neither.
#[test]
fn a_slide_longer_than_the_window_with_an_inverse() {
    let a: &[(&str, i64)] = &[("a", 1)];
    let input = [a, a, a, &[("x", 7), ("a", 1)], a, a, &[], &[], &[]];
    check_all(SECOND, keyed([&[("a", 2)], &[("a", 2)], &[("a", 0)]]), |h| {
        let input = h.input(keyed(input));
        input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 2 * SECOND, 3 * SECOND)
    });
}

/// spark_defects/002: a key whose values cancel while they are in the window is hidden and not forgotten.
#[test]
fn values_that_cancel_under_a_filter() {
    let expected = keyed([&[("a", 1)], &[], &[], &[("a", -1)], &[], &[]]);
    check_all(SECOND, expected, |h| {
        h.input(keyed([&[("a", 1)], &[("a", -1)]])).reduce_by_key_and_window_filtered(
            |a, b| a + b,
            |a, b| a - b,
            |_, v| *v != 0,
            3 * SECOND,
            SECOND,
        )
    });
}

/// The filter sees the key, and what it hides is seen again when it changes.
#[test]
fn a_filter_hides_and_shows() {
    let expected = [vec![], vec![('a', 2)], vec![('a', 3)], vec![('a', 2)], vec![], vec![]];
    check_all(SECOND, expected, |h| {
        let input = h.input([vec![('a', 1), ('b', 9)], vec![('a', 1)], vec![('a', 2)], vec![], vec![]]);
        input.reduce_by_key_and_window_filtered(
            |a, b| a + b,
            |a, b| a - b,
            |key, v| *key == 'a' && *v >= 2,
            2 * SECOND,
            SECOND,
        )
    });
}

/// An inverse window of an inverse window, and state over a window that is asked only now and then.
#[test]
fn windows_and_state_of_windows() {
    let ones = || (0..6).map(|_| vec![('a', 1)]);
    check_all(SECOND, [1, 3, 5, 6, 6, 6, 5, 3, 1, 0].map(|n| vec![('a', n)]), |h| {
        let pairs = h.input(ones()).reduce_by_key_and_window_filtered(
            |a, b| a + b,
            |a, b| a - b,
            |_, _| true,
            2 * SECOND,
            SECOND,
        );
        // Three windows of two: 1, 1+2, 1+2+2, 2+2+2, …
        pairs.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 3 * SECOND, SECOND)
    });
    check_all(SECOND, [2, 4, 6, 6].map(|n| vec![('a', n)]), |h| {
        let pairs = h.input(ones()).reduce_by_key_and_window(|a, b| a + b, 2 * SECOND, 2 * SECOND);
        pairs.running_reduce(|a, b| a + b)
    });
    // 1 | 1+2+3 | …: the running count as it was at each of three intervals.
    check_all(SECOND, [vec![1, 2, 3], vec![4, 5, 6], vec![6, 6, 6]], |h| {
        h.input(ones()).running_reduce(|a, b| a + b).map(|(_, n)| n).window(3 * SECOND, 3 * SECOND)
    });
}
