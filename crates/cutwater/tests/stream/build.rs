//! Faults of a program are all found when it starts, each with the line that is to be mended.

use std::time::Duration;

use cutwater::{ErrorKind, testing::Harness};

use crate::{SECOND, harness};

/// Starts the program, which is wrong, and answers with what is said about it.
fn refused(program: impl Fn(&Harness)) -> String {
    let harness = harness(SECOND, 1, 1);
    program(&harness);
    let error = harness.advance(1).expect_err("the program is wrong");
    assert_eq!(error.kind(), ErrorKind::Config);
    error.to_string()
}

/// That `name` is among what is listed, with a line of this file in which `call` stands.
fn mentions(text: &str, name: &str, call: &str) {
    let label = format!("`{name}` at {}:", file!());
    let line = |fault: &str| -> Option<usize> { fault.split_once(&label)?.1.split(':').next()?.parse().ok() };
    let source: Vec<_> = include_str!("build.rs").lines().collect();
    let found = text.lines().filter_map(line).any(|line| source[line - 1].contains(call));
    assert!(found, "no {label} with {call:?} in {text}");
}

#[test]
fn every_span_that_is_not_a_multiple_is_listed() {
    let text = refused(|h| {
        let input = h.input([vec![('a', 1)]]);
        let half = input.window(SECOND / 2, SECOND);
        let odd = half.window(2 * SECOND, SECOND * 3 / 2);
        let sums = odd.reduce_by_key_and_window(|a, b| a + b, SECOND, Duration::ZERO);
        let inverse =
            sums.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, SECOND * 7 / 2, SECOND);
        inverse.print();
    });
    mentions(&text, "window", "let half =");
    mentions(&text, "window", "let odd =");
    mentions(&text, "reduce_by_key_and_window", "let sums =");
    mentions(&text, "reduce_by_key_and_window", ".reduce_by_key_and_window_inverse(");
    assert!(text.contains("a window of 500ms is not a multiple of 1s"), "{text}");
    assert!(text.contains("a slide of 1.5s is not a multiple of 1s"), "{text}");
    assert!(text.contains("a slide of 0ns is not a multiple of 2s"), "{text}");
    assert!(text.contains("a window of 3.5s is not a multiple of 2s"), "{text}");
    // edge_semantics/020: the slide may not be finer than the parent's.
    assert!(text.contains("a slide of 1s is not a multiple of 2s"), "{text}");
    assert!(text.starts_with("the program cannot start, for 6 reasons"), "{text}");
}

/// The first multiple that would do is named.
#[test]
fn the_next_multiple_is_offered() {
    let text = refused(|h| h.input([vec![1]]).window(SECOND * 5 / 2, SECOND).print());
    assert!(text.contains("the next is 3s"), "{text}");
}

/// edge_semantics/017
#[test]
fn streams_of_different_slides_are_not_brought_together() {
    let text = refused(|h| {
        let input = h.input([vec![(1, 1)]]);
        let slow = input.window(2 * SECOND, 2 * SECOND);
        input.union(&slow).print();
        slow.join(&input).print();
        input.cogroup(&slow).print();
        h.ctx().union([input.clone(), input.clone(), slow]).print();
    });
    mentions(&text, "union", "input.union(&slow)");
    mentions(&text, "join", "slow.join(&input)");
    mentions(&text, "cogroup", "input.cogroup(&slow)");
    mentions(&text, "union", "h.ctx().union(");
    assert!(text.contains("the streams slide by 1s and 2s"), "{text}");
    assert!(text.contains("4 reasons"), "{text}");
}

/// What is built from something wrong does not panic while it is built.
#[test]
fn absurd_spans_are_faults_too() {
    for span in [Duration::MAX, Duration::from_nanos(1), Duration::from_secs(u64::MAX / 1000)] {
        let text = refused(|h| h.input([vec![1]]).window(span, SECOND / 3).print());
        assert!(text.contains("`window` at "), "{text}");
    }
}

/// A window of more slides than fit into 32 bits is as long as it says.
#[test]
fn a_very_long_window_is_not_cut_short() {
    let (day, ms) = (Duration::from_secs(86_400), Duration::from_millis(1));
    let harness = harness(ms, 1, 1);
    let input = harness.input([vec![('a', 1)], vec![('a', 1)], vec![('a', 1)]]);
    let sums = input.window(60 * day, 60 * day);
    assert_eq!(sums.slide(), 60 * day);
}
