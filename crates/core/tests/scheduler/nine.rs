//! Nine ways in which other engines fail when a machine is lost, as far as a scheduler can: a test each. The rest
//! of them are about sockets (`crates/wire`) and real processes (`crates/cutwater/tests/cluster`).

use cutwater_core::{Dataset, TaskError, WorkerId};

use crate::script::*;

/// Both attempts of a map task have written their pieces: a reader is told of one.
#[test]
fn failure_1_outputs_of_an_attempt_replace_those_of_another_and_never_add_to_them() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.passes(200, &[]);
    s.finishes(2, (1, 1, 0), &[piece(2, 1, 0)], &[]);
    s.passes(90, &["w2 runs s1.0#1"]);
    s.finishes(
        2,
        (1, 0, 1),
        &[piece(2, 0, 0)],
        &["w1 cancels s1.0#0", "retire s1", "define s0 for d3", "w2 runs s0.0#0"],
    );
    // It was over before it heard of that, and its pieces are as good; another reader reads either, not both.
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.submit(2, &[reduced(4, 1, 2)], 4, &["define s2 for d4", "w1 runs s2.0#0 d2[1→0]@w2"]);
    // And when nobody needs them, none is left with anybody.
    s.cancel(1, &["w2 cancels s0.0#0", "retire s0"]);
    s.cancel(2, &["w1 cancels s2.0#0", "retire s2"]);
    s.forget(&[1, 2, 3, 4], &["w1 drops d2[0→0]", "w2 drops d2[0→0] d2[1→0]"]);
}

/// A block that could not be fetched has exactly what makes it run again, and nothing else counts as failed.
#[test]
fn failure_2_a_fetch_failure_is_answered_as_one() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.finishes(
        2,
        (1, 1, 0),
        &[piece(2, 1, 0)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[1→0]@w2"],
    );
    let gone = TaskError::FetchFailed { block: piece(2, 1, 0), worker: WorkerId(2) };
    s.fails(1, (0, 0, 0), gone, &["define s2 for d2", "w1 runs s2.1#0"]);
    s.finishes(1, (2, 1, 0), &[piece(2, 1, 0)], &["retire s2", "w1 runs s0.0#1"]);
}

/// By a reset, by silence, because it begins anew or because it may leave: what ran there runs elsewhere. That a launch
/// fails is told as such a loss (`runtime/cluster/listen.rs`).
#[test]
fn failure_3_every_way_to_learn_of_a_loss_has_the_same_effect() {
    let ways: [fn(&mut Script); 3] = [
        |s| s.is_lost(1, &["w2 runs s0.0#1"]),
        |s| s.joins(1, 0, &["w2 runs s0.0#1"]),
        |s| {
            s.drains(1, &[]);
            s.passes(25_000, &["w1 may leave"]);
            s.is_lost(1, &["w2 runs s0.0#1"]);
        },
    ];
    for way in ways {
        let mut s = Script::without_speculation(&[(1, 1)]);
        s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
        s.joins(2, 1, &[]);
        way(&mut s);
        s.finishes(2, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
    }
}

/// A block that could not be fetched is made again by others as if its holder were known to be lost, be that said before,
/// after or never.
#[test]
fn failure_3_a_failed_fetch_has_the_effect_of_the_loss_that_it_tells_of() {
    let fetch_fails = |s: &mut Script| {
        let gone = TaskError::FetchFailed { block: piece(2, 1, 0), worker: WorkerId(2) };
        s.fails(1, (0, 0, 0), gone, &["define s2 for d2", "w1 runs s2.1#0"]);
    };
    for (before, after) in [(true, false), (false, true), (false, false)] {
        let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
        s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
        s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
        s.finishes(
            2,
            (1, 1, 0),
            &[piece(2, 1, 0)],
            &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[1→0]@w2"],
        );
        if before {
            s.is_lost(2, &[]);
        }
        fetch_fails(&mut s);
        if after {
            s.is_lost(2, &[]);
        }
        s.finishes(1, (2, 1, 0), &[piece(2, 1, 0)], &["retire s2", "w1 runs s0.0#1"]);
        s.finishes(1, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
    }
}

/// However attempts end, as many tasks run at a time afterwards as before.
#[test]
fn failure_4_slots_of_cancelled_and_failed_attempts_come_back() {
    let mut s = Script::with_workers(&[(1, 4)]);
    let all = |stage: u64| {
        let runs = (0..4).map(|partition| format!("w1 runs s{stage}.{partition}#0"));
        [vec![format!("define s{stage} for d{}", stage + 1)], runs.collect()].concat()
    };
    let launched = |stage| all(stage).leak().iter().map(String::as_str).collect::<Vec<_>>();
    s.submit(1, &[source(1, 4)], 1, &launched(0));
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    let cancelled = ["w1 cancels s0.1#0", "w1 cancels s0.2#0", "w1 cancels s0.3#0", "retire s0"];
    s.cancel(1, &cancelled);
    s.fails(1, (0, 1, 0), TaskError::Cancelled, &[]);
    s.fails(1, (0, 2, 0), external(), &[]);
    s.finishes(1, (0, 3, 0), &[], &[]);
    // One that reports again gives no slot for nothing.
    s.finishes(1, (0, 3, 0), &[], &[]);
    s.submit(2, &[source(2, 5)], 2, &launched(1));
}

#[test]
fn failure_5_the_loss_of_the_last_worker_is_said_and_waits_for_another() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.is_lost(1, &["no workers"]);
    s.joins(2, 1, &["w2 runs s0.0#1"]);
    s.finishes(2, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

/// Far more often than failures are forgiven.
#[test]
fn failure_6_a_cancelled_or_stale_attempt_is_no_failure_of_the_job() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    for n in 1..20 {
        let next = format!("w1 runs s0.0#{n}");
        s.fails(1, (0, 0, n - 1), TaskError::Cancelled, &[&next]);
        s.fails(1, (0, 0, n - 1), user(), &[]);
    }
    s.finishes(1, (0, 0, 19), &[], &["j1[0] is s0.0#19", "j1 finished", "retire s0"]);
}

/// A source of two partitions, read by a stage of five tasks: each of them reads one split, or none.
#[test]
fn failure_7_a_source_is_read_once_per_partition_whatever_the_number_of_tasks() {
    let mut s = Script::with_workers(&[(1, 9), (2, 0)]);
    s.holds(2, &[input(0), input(1)], &[]);
    let union: Dataset = made(
        3,
        5,
        vec![narrow(1, cutwater_core::PartitionMap::Same), narrow(2, cutwater_core::PartitionMap::Shift(2))],
    );
    s.submit(
        1,
        &[received(1, 2), source(2, 3), union],
        3,
        &[
            "define s0 for d3",
            "w1 runs s0.0#0 input0/0@w2",
            "w1 runs s0.1#0 input0/1@w2",
            "w1 runs s0.2#0",
            "w1 runs s0.3#0",
            "w1 runs s0.4#0",
        ],
    );
}

/// What a worker could not say is made good by its loss; what it says twice counts once.
#[test]
fn failure_9_a_status_that_is_never_heard_or_heard_twice_changes_nothing() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[source(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.finishes(1, (0, 0, 0), &[], &[]);
    s.is_lost(2, &["w1 runs s0.1#1"]);
    s.finishes(2, (0, 1, 0), &[], &[]);
    s.finishes(1, (0, 1, 1), &[], &["j1[1] is s0.1#1", "j1 finished", "retire s0"]);
}
