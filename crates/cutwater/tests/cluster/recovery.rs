//! Programs with state whose workers are killed: every interval's output is that of an undisturbed run.

use std::{fs, path::PathBuf};

use cutwater::{
    DStream,
    testing::{Harness, Watched},
};
use every_state::{Click, clicks, states};

use crate::{builder, kill, sorted, wait_until};

#[path = "../support/every_state.rs"]
mod every_state;

/// Runs the program in `harness`, doing `what` before each interval, and answers with what each stream said.
fn run(harness: &Harness, what: impl FnMut(u64, &Harness)) -> Vec<Vec<Vec<String>>> {
    run_on(harness, harness.input(clicks(24, 60)), what)
}

/// The same on clicks that may do something on their way.
fn run_on(
    harness: &Harness,
    clicks: DStream<Click>,
    mut what: impl FnMut(u64, &Harness),
) -> Vec<Vec<Vec<String>>> {
    let watched: Vec<Watched<String>> = states(&clicks).iter().map(|stream| harness.watch(stream)).collect();
    for interval in 0..24 {
        what(interval, harness);
        harness.advance(1).unwrap();
    }
    let said = |watched: &Watched<String>| {
        watched.all().into_iter().map(|records| sorted(records.unwrap_or_default())).collect()
    };
    watched.iter().map(said).collect()
}

fn undisturbed() -> Vec<Vec<Vec<String>>> {
    run(&Harness::with(builder(0).threads(3), 4), |_, _| {})
}

/// Names the first interval that differs.
fn assert_same(seen: &[Vec<Vec<String>>], expected: &[Vec<Vec<String>>]) {
    for (seen, expected) in seen.iter().zip(expected) {
        for (interval, (seen, expected)) in seen.iter().zip(expected).enumerate() {
            assert_eq!(seen, expected, "interval {interval}");
        }
        assert_eq!(seen.len(), expected.len());
    }
}

#[test]
fn a_killed_worker_changes_nothing() {
    // States are read from what was written four intervals ago at most, and made again from there.
    let harness = Harness::with(builder(3).parallelism(6).checkpoint_intervals(4), 4);
    let seen = run(&harness, |interval, harness| {
        if interval == 15 {
            kill(harness.workers()[1]);
        }
    });
    assert_same(&seen, &undisturbed());
}

#[test]
fn what_was_never_written_is_made_again_from_the_first_interval() {
    let harness = Harness::with(builder(3).parallelism(6), 4);
    let seen = run(&harness, |interval, harness| {
        if interval == 20 {
            kill(harness.workers()[0]);
        }
    });
    assert_same(&seen, &undisturbed());
}

/// The third dies while it computes again what the two had: within the task that does.
#[test]
fn two_killed_at_once_and_a_third_in_the_midst_of_recovery_change_nothing() {
    const KILLED_AT: u64 = 10;
    let dir = tempfile::tempdir().unwrap();
    let waits = dir.path().join("waits for a victim");
    let harness = Harness::with(builder(4).parallelism(8).checkpoint_intervals(3), 4);
    let clicks =
        harness.input(clicks(24, 60)).with(waits.clone()).map_partitions(|waits: &PathBuf, clicks| {
            let clicks: Vec<Click> = clicks.into_iter().collect();
            let interval = clicks.iter().map(|(ms, ..)| ms / 1000).max().unwrap_or(i64::MAX);
            // The first that computes again what was computed before the two were killed.
            if interval < KILLED_AT as i64 && fs::remove_file(waits).is_ok() {
                kill(std::process::id());
            }
            clicks
        });
    let seen = run_on(&harness, clicks, |interval, harness| {
        if interval == KILLED_AT {
            let workers = harness.workers();
            [workers[0], workers[2]].into_iter().for_each(kill);
            fs::write(&waits, "").unwrap();
        }
    });
    assert!(!waits.exists(), "nothing was computed again");
    assert_eq!(harness.joined(), 1);
    assert_same(&seen, &undisturbed());
}

/// Tasks of the stage have run on all workers before one is lost with states that those to come count on: they are
/// told of the stage as it is then.
#[test]
fn a_worker_that_dies_in_the_midst_of_a_stage_changes_nothing() {
    let run = |workers| {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("dies");
        let harness = Harness::with(builder(workers).parallelism(12), 4);
        let sums =
            harness.input(clicks(24, 60)).map(|(_, key, value)| (key, value)).running_reduce(|a, b| a + b);
        let sums = sums.with(file.clone()).map_partitions_with_index(|file, partition, records| {
            // Whoever finds the file first takes it away.
            if partition == 9 && fs::remove_file(file).is_ok() {
                std::process::abort();
            }
            records
        });
        let seen = harness.watch(&sums);
        for interval in 0..6 {
            if workers > 0 && interval == 4 {
                fs::write(&file, "").unwrap();
            }
            harness.advance(1).unwrap();
        }
        assert!(!file.exists(), "a worker took it away");
        seen.all().into_iter().map(|records| sorted(records.unwrap_or_default())).collect::<Vec<_>>()
    };
    assert_eq!(run(3), run(0));
}

/// What combining has left for the shuffle of a state is held by two workers, so after a loss little of the input is read
/// again, however long ago states were written.
#[test]
fn what_was_combined_before_a_worker_died_is_not_combined_again() {
    const INTERVALS: u64 = 20;
    const PARTITIONS: u64 = 6;
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("combined");
    // What a copy of a slow task reads would count too.
    let builder = builder(3).parallelism(PARTITIONS as u32).speculation(false);
    let harness = Harness::with(builder, PARTITIONS as u32);
    let numbers: Vec<Vec<(u32, u64)>> = vec![(0..600).map(|n| (n % 6, 1)).collect(); INTERVALS as usize + 1];
    let counts = harness.input(numbers).with(file.clone()).map_partitions(|file, records| {
        // A task that is dear to repeat.
        std::thread::sleep(std::time::Duration::from_millis(15));
        let file = fs::File::options().create(true).append(true).open(file);
        std::io::Write::write_all(&mut file.unwrap(), b".").unwrap();
        records
    });
    let seen = harness.watch(&counts.running_reduce(|a, b| a + b));
    harness.advance(INTERVALS).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().len(), INTERVALS * PARTITIONS);
    wait_until("copies are not made", || harness.copies() == 0);
    kill(harness.workers()[0]);
    harness.advance(1).unwrap();
    // Without the copies a third of all: what the one that died had made.
    assert_eq!(fs::metadata(&file).unwrap().len(), (INTERVALS + 1) * PARTITIONS);
    let all = (INTERVALS + 1) * 100;
    assert_eq!(sorted(seen.all().pop().unwrap().unwrap()), (0..6).map(|key| (key, all)).collect::<Vec<_>>());
}
