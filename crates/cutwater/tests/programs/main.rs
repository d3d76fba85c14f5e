//! Random programs of several operators over random input answer as a naive reference does, for any number of
//! threads and any partitions.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

mod built;
mod program;
mod reference;

use std::time::Duration;

use cutwater::{Context, testing::Harness};
use program::{Both, One, Program, Span};
use proptest::{bool, collection::vec, option, prelude::*};

type Pairs = Vec<(u8, i64)>;
/// What a stream has at each of its times: records, which may be none, or no dataset at all.
type Datasets = Vec<Option<Pairs>>;

/// Few keys and small values, so that they meet.
fn input() -> impl Strategy<Value = Datasets> {
    vec(option::weighted(0.8, vec((0..4u8, -5..=5i64), 0..6)), INTERVALS)
}

/// Enough for the longest of windows of windows to fill and for keys to leave them.
const INTERVALS: usize = 12;

fn sorted(datasets: Datasets) -> Datasets {
    let sort = |mut records: Pairs| {
        records.sort_unstable();
        records
    };
    datasets.into_iter().map(|records| records.map(sort)).collect()
}

/// A program answers as the reference does, with these sources.
fn check(
    builder: cutwater::Builder,
    program: &Program,
    inputs: &[Datasets; 2],
    (partitions, overlap): (u32, bool),
) -> Result<(), TestCaseError> {
    let harness = Harness::with(builder, partitions);
    harness.overlap(overlap);
    let sources = inputs.clone().map(|input| harness.input_or_none(input));
    let watched = harness.watch(&built::stream(program, &sources));
    harness.advance(INTERVALS as u64).map_err(|error| TestCaseError::fail(error.to_string()))?;
    let expected = reference::answers(program, inputs);
    prop_assert_eq!(sorted(watched.all()), sorted(expected.datasets));
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_programs_answer_as_the_reference_does(
        program in Program::any(),
        inputs in [input(), input()],
        threads in 1..=3usize,
        partitions in 1..=4u32,
        parallelism in 1..=4u32,
        run_twice in bool::weighted(0.2),
        overlap: bool,
    ) {
        let builder = Context::builder("random").interval(Duration::from_secs(1)).threads(threads);
        check(builder.parallelism(parallelism).run_twice(run_twice), &program, &inputs, (partitions, overlap))?;
    }
}

/// Found by chance: state over streams that have no dataset, looked at by a window that slides by more than it
/// is long.
#[test]
fn state_of_no_dataset_is_looked_at_now_and_then() {
    let span = Span { window: 1, slide: 2 };
    let source = || Box::new(Program::Source(0));
    let both = |a, b| Box::new(Program::Both(Both::Union, a, b));
    let window = Box::new(Program::One(One::ReduceByKeyAndWindowInverse(span), source()));
    let state = Box::new(Program::One(One::RunningReduce, both(window, both(source(), source()))));
    let program = Program::One(One::ReduceByKeyAndWindow(span), state);
    for threads in 1..=3 {
        let builder = Context::builder("random").interval(Duration::from_secs(1)).threads(threads);
        check(builder.parallelism(1), &program, &[vec![None; INTERVALS], vec![None; INTERVALS]], (1, false))
            .unwrap();
    }
}
