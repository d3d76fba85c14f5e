//! Programs whose tasks run in other processes.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use cutwater::{Context, testing::Harness};

fn harness(workers: usize) -> Harness {
    let builder = Context::builder("cluster").interval(Duration::from_secs(1)).threads(1).workers(workers);
    Harness::with(builder, 4)
}

#[test]
fn words_are_counted_by_workers() {
    let harness = harness(3);
    let lines = harness.input(
        [vec!["to be", "or not"], vec!["to be"]]
            .map(|lines| lines.into_iter().map(str::to_owned).collect::<Vec<_>>()),
    );
    let words = lines.flat_map(|line| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    let counts = words.map(|word| (word, 1u64)).running_reduce(|a, b| a + b);
    let mut seen = harness.run(&counts, 3).unwrap();
    seen.iter_mut().for_each(|counts| counts.sort());
    let count = |word: &str, n| (word.to_owned(), n);
    assert_eq!(seen[0], [count("be", 1), count("not", 1), count("or", 1), count("to", 1)]);
    assert_eq!(seen[2], [count("be", 2), count("not", 1), count("or", 1), count("to", 2)]);
    assert_eq!(harness.workers().len(), 3);
}
