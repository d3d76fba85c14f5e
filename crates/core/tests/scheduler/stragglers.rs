//! Tasks that take longer than others, and workers that are slow again and again.

use cutwater_core::{Dataset, OpId, TaskError};

use crate::script::*;

/// Another dataset of the same operator, as each interval has one.
fn interval(id: u64, partitions: u32) -> Dataset {
    Dataset { op: OpId(0), ..source(id, partitions) }
}

/// Three workers run a stage of three tasks, of which two take 200 ms.
fn two_of_three_are_done() -> Script {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    s.submit(
        1,
        &[interval(1, 3)],
        1,
        &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0", "w3 runs s0.2#0"],
    );
    s.passes(200, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.finishes(2, (0, 1, 0), &[], &["j1[1] is s0.1#0"]);
    s
}

#[test]
fn a_task_that_takes_longer_than_1_4_times_the_median_is_copied_and_the_first_to_end_counts() {
    let mut s = two_of_three_are_done();
    s.passes(80, &[]);
    s.passes(10, &["w1 runs s0.2#1"]);
    // There is one copy and no more.
    s.passes(1_000, &[]);
    s.finishes(1, (0, 2, 1), &[], &["j1[2] is s0.2#1", "w3 cancels s0.2#0", "j1 finished", "retire s0"]);
    // Its slot comes back when it says that it has stopped, which fails nobody.
    s.submit(2, &[source(2, 3)], 2, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.fails(3, (0, 2, 0), TaskError::Cancelled, &["w3 runs s1.2#0"]);
}

#[test]
fn the_copy_is_cancelled_if_the_first_attempt_wins() {
    let mut s = two_of_three_are_done();
    s.passes(81, &["w1 runs s0.2#1"]);
    s.finishes(3, (0, 2, 0), &[], &["j1[2] is s0.2#0", "w1 cancels s0.2#1", "j1 finished", "retire s0"]);
    // Over before it heard of it, it counts for nothing, and once.
    s.finishes(1, (0, 2, 1), &[], &[]);
    s.finishes(1, (0, 2, 1), &[], &[]);
}

#[test]
fn if_one_of_two_attempts_fails_or_is_lost_the_other_goes_on() {
    let mut s = two_of_three_are_done();
    s.passes(81, &["w1 runs s0.2#1"]);
    s.fails(1, (0, 2, 1), external(), &[]);
    // It is alone again, and late still.
    s.passes(10, &["w1 runs s0.2#2"]);
    s.is_lost(3, &[]);
    s.finishes(1, (0, 2, 2), &[], &["j1[2] is s0.2#2", "j1 finished", "retire s0"]);
}

#[test]
fn short_tasks_are_not_copied_however_much_their_times_differ() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[interval(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.passes(5, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.passes(95, &[]);
    s.passes(10, &["w1 runs s0.1#1"]);
}

#[test]
fn a_stage_of_one_task_is_judged_by_the_intervals_before() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[interval(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    // Of the first nobody knows how long it should take.
    s.passes(300, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.submit(2, &[interval(2, 1)], 2, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.passes(420, &[]);
    s.passes(10, &["w2 runs s1.0#1"]);
}

#[test]
fn a_task_that_merely_has_more_to_read_is_not_copied() {
    let mut s = Script::with_workers(&[(1, 2), (2, 2)]);
    let launch = |stage: u64| {
        [
            format!("define s{stage} for d{}", stage + 1),
            format!("w1 runs s{stage}.0#0"),
            format!("w2 runs s{stage}.1#0"),
            format!("w1 runs s{stage}.2#0"),
        ]
    };
    for (stage, is_known) in [(0, false), (1, true)] {
        let (job, dataset) = (stage + 1, stage + 1);
        let launched = launch(stage);
        let launched: Vec<&str> = launched.iter().map(String::as_str).collect();
        s.submit(job, &[interval(dataset, 3)], dataset, &launched);
        s.passes(200, &[]);
        s.finishes_after(1, (stage, 0, 0), 1_000, &[&format!("j{job}[0] is s{stage}.0#0")]);
        s.finishes_after(2, (stage, 1, 0), 1_000, &[&format!("j{job}[1] is s{stage}.1#0")]);
        // The last partition has five times as many records. In the second interval that is known.
        if is_known {
            s.passes(800, &[]);
            s.finishes_after(
                1,
                (stage, 2, 0),
                5_000,
                &[&format!("j{job}[2] is s{stage}.2#0"), "j2 finished", "retire s1"],
            );
        } else {
            s.passes(800, &["w2 runs s0.2#1"]);
            s.finishes_after(
                1,
                (stage, 2, 0),
                5_000,
                &["j1[2] is s0.2#0", "w2 cancels s0.2#1", "j1 finished", "retire s0"],
            );
            s.fails(2, (0, 2, 1), TaskError::Cancelled, &[]);
        }
    }
}

/// Nobody knew of it before: what it has read says so.
#[test]
fn a_task_that_has_read_more_than_others_is_not_copied_although_it_never_had_more_before() {
    let mut s = two_of_three_have_read(1_000);
    // As fast as the others, and what it said is some time ago.
    let mut had_ms = 200;
    for _ in 0..40 {
        s.passes(20, &[]);
        had_ms += 20;
        s.reads(3, (0, 2, 0), (had_ms - 20) * 5);
    }
    // Now it is stuck: it has had 1,020 ms, and 1.4 times what its records take others are over 380 ms later.
    s.passes(350, &[]);
    s.passes(40, &["w1 runs s0.2#1"]);
    // What somebody says who does not run it changes nothing.
    s.reads(2, (0, 2, 1), 1);
    s.finishes_after(
        1,
        (0, 2, 1),
        5_000,
        &["j1[2] is s0.2#1", "w3 cancels s0.2#0", "j1 finished", "retire s0"],
    );
    s.reads(3, (0, 2, 0), 5_000);
}

#[test]
fn a_slow_worker_that_says_what_it_has_read_is_slow_all_the_same() {
    let mut s = two_of_three_have_read(1_000);
    s.reads(3, (0, 2, 0), 300);
    s.passes(80, &[]);
    s.passes(10, &["w1 runs s0.2#1"]);
}

fn two_of_three_have_read(read: u64) -> Script {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    let launched = ["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0", "w3 runs s0.2#0"];
    s.submit(1, &[interval(1, 3)], 1, &launched);
    s.passes(200, &[]);
    s.finishes_after(1, (0, 0, 0), read, &["j1[0] is s0.0#0"]);
    s.finishes_after(2, (0, 1, 0), read, &["j1[1] is s0.1#0"]);
    s
}

#[test]
fn a_task_that_waits_behind_a_slow_one_is_given_the_time_of_both() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[interval(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.passes(200, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.holds(1, &[part(9, 0), part(9, 1)], &[]);
    let state = Dataset { op: OpId(0), ..mapped(2, 2, 9) };
    s.submit(2, &[kept(source(9, 2)), state], 2, &["define s1 for d2", "w1 runs s1.0#0", "w1 runs s1.1#0"]);
    s.passes(281, &["w2 runs s1.0#1 d9[0]@w1"]);
    s.passes(200, &[]);
    s.finishes(2, (1, 0, 1), &[], &["j2[0] is s1.0#1", "w1 cancels s1.0#0"]);
    s.passes(79, &[]);
    s.passes(10, &["w2 runs s1.1#1 d9[1]@w1"]);
    // The first has stopped, and so the second begins there only now.
    s.fails(1, (1, 0, 0), TaskError::Cancelled, &[]);
    s.finishes(2, (1, 1, 1), &[], &["j2[1] is s1.1#1", "w1 cancels s1.1#0", "j2 finished", "retire s1"]);
}

#[test]
fn who_is_slow_again_and_again_gets_no_work_for_a_while() {
    let mut s = two_of_three_are_done();
    s.passes(81, &["w1 runs s0.2#1"]);
    s.finishes(1, (0, 2, 1), &[], &["j1[2] is s0.2#1", "w3 cancels s0.2#0", "j1 finished", "retire s0"]);
    s.fails(3, (0, 2, 0), TaskError::Cancelled, &[]);
    // Once is chance.
    s.submit(
        2,
        &[interval(2, 3)],
        2,
        &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0", "w3 runs s1.2#0"],
    );
    s.passes(200, &[]);
    s.finishes(1, (1, 0, 0), &[], &["j2[0] is s1.0#0"]);
    s.finishes(2, (1, 1, 0), &[], &["j2[1] is s1.1#0"]);
    s.passes(81, &["w1 runs s1.2#1"]);
    s.finishes(1, (1, 2, 1), &[], &["j2[2] is s1.2#1", "w3 cancels s1.2#0", "j2 finished", "retire s1"]);
    s.fails(3, (1, 2, 0), TaskError::Cancelled, &[]);
    s.submit(3, &[interval(3, 3)], 3, &["define s2 for d3", "w1 runs s2.0#0", "w2 runs s2.1#0"]);
    s.finishes(1, (2, 0, 0), &[], &["j3[0] is s2.0#0", "w1 runs s2.2#0"]);
    // Without the others it is better than nobody.
    s.is_lost(1, &[]);
    s.is_lost(2, &["w3 runs s2.1#1"]);
    s.joins(1, 1, &["w1 runs s2.2#1"]);
    s.finishes(3, (2, 1, 1), &[], &["j3[1] is s2.1#1"]);
    s.finishes(1, (2, 2, 1), &[], &["j3[2] is s2.2#1", "j3 finished", "retire s2"]);
    s.submit(4, &[source(4, 2)], 4, &["define s3 for d4", "w1 runs s3.0#0"]);
    // And when the time has passed it gets another chance.
    s.passes(5_000, &["w3 runs s3.1#0"]);
}

#[test]
fn who_was_as_fast_as_others_in_between_was_late_by_chance() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    for (stage, is_late) in [(0, true), (1, false), (2, true), (3, false)] {
        let (job, dataset) = (stage + 1, stage + 1);
        let [define, first, second, third] = [
            format!("define s{stage} for d{dataset}"),
            format!("w1 runs s{stage}.0#0"),
            format!("w2 runs s{stage}.1#0"),
            format!("w3 runs s{stage}.2#0"),
        ];
        s.submit(job, &[interval(dataset, 3)], dataset, &[&define, &first, &second, &third]);
        s.passes(200, &[]);
        let done =
            |partition: u32, attempt: u32| format!("j{job}[{partition}] is s{stage}.{partition}#{attempt}");
        s.finishes(1, (stage, 0, 0), &[], &[&done(0, 0)]);
        s.finishes(2, (stage, 1, 0), &[], &[&done(1, 0)]);
        let (finished, retired) = (format!("j{job} finished"), format!("retire s{stage}"));
        if is_late {
            s.passes(81, &[&format!("w1 runs s{stage}.2#1")]);
            let cancelled = format!("w3 cancels s{stage}.2#0");
            s.finishes(1, (stage, 2, 1), &[], &[&done(2, 1), &cancelled, &finished, &retired]);
            s.fails(3, (stage, 2, 0), TaskError::Cancelled, &[]);
        } else {
            s.finishes(3, (stage, 2, 0), &[], &[&done(2, 0), &finished, &retired]);
        }
    }
}

#[test]
fn without_speculation_nothing_is_copied() {
    let mut s = Script::without_speculation(&[(1, 1), (2, 1)]);
    s.submit(1, &[interval(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.passes(100, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.passes(100_000, &[]);
}
