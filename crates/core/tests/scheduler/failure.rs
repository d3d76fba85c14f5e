//! Attempts that fail, are cancelled or report too late.

use cutwater_core::{Dataset, OpId, limits};

use crate::script::*;

#[test]
fn a_failure_from_outside_is_tried_again() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.fails(1, (0, 0, 0), external(), &["w1 runs s0.0#1"]);
    s.fails(1, (0, 0, 1), external(), &["w1 runs s0.0#2"]);
    s.finishes(1, (0, 0, 2), &[], &["j1[0] is s0.0#2", "j1 finished", "retire s0"]);
}

#[test]
fn it_is_not_tried_for_ever() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &[source(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w1 runs s0.1#0"]);
    s.fails(1, (0, 0, 0), external(), &["w1 runs s0.0#1"]);
    s.fails(1, (0, 0, 1), external(), &["w1 runs s0.0#2"]);
    s.fails(1, (0, 0, 2), external(), &["w1 runs s0.0#3"]);
    s.fails(1, (0, 0, 3), external(), &["j1 failed: read: disk on fire", "w1 cancels s0.1#0", "retire s0"]);
}

#[test]
fn a_failure_of_the_program_fails_every_job_that_needs_the_stage_and_no_other() {
    let mut s = Script::with_workers(&[(1, 3)]);
    s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w1 runs s1.1#0"]);
    s.submit(2, &[reduced(4, 1, 2)], 4, &[]);
    s.submit(3, &[source(5, 1)], 5, &["define s3 for d5", "w1 runs s3.0#0"]);
    s.fails(
        1,
        (1, 0, 0),
        user(),
        &[
            "j1 failed: map: division by zero",
            "j2 failed: map: division by zero",
            "w1 cancels s1.1#0",
            "retire s1",
        ],
    );
    s.finishes(1, (3, 0, 0), &[], &["j3[0] is s3.0#0", "j3 finished", "retire s3"]);
}

#[test]
fn an_unreadable_piece_has_exactly_its_map_task_run_again() {
    let mut s = Script::with_workers(&[(1, 2), (2, 1)]);
    s.submit(
        1,
        &two_stages(3, 1),
        3,
        &["define s1 for d2", "w1 runs s1.0#0", "w1 runs s1.1#0", "w2 runs s1.2#0"],
    );
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.finishes(1, (1, 1, 0), &[piece(2, 1, 0)], &[]);
    s.finishes(
        2,
        (1, 2, 0),
        &[piece(2, 2, 0)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[2→0]@w2"],
    );
    s.fails(1, (0, 0, 0), unreadable(piece(2, 2, 0), 2), &["define s2 for d2", "w1 runs s2.2#0"]);
    s.finishes(1, (2, 2, 0), &[piece(2, 2, 0)], &["retire s2", "w1 runs s0.0#1"]);
    s.finishes(1, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

#[test]
fn an_unreadable_block_that_another_holds_is_read_from_there() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.submit(1, &[received(1, 1)], 1, &["define s0 for d1", "w3 runs s0.0#0 input0/0@w1"]);
    s.fails(
        3,
        (0, 0, 0),
        unreadable(input(0), 1),
        &["w3 runs s0.0#1 input0/0@w2", "w1 copies from w2 input0/0"],
    );
    // It cannot be made again, and so the first is asked again: it may have been out of reach for a moment, and this one may
    // be dead.
    s.fails(3, (0, 0, 1), unreadable(input(0), 2), &["w3 runs s0.0#2 input0/0@w1"]);
    // The other is still there.
    s.is_lost(1, &["w3 copies from w2 input0/0"]);
    s.fails(3, (0, 0, 2), unreadable(input(0), 1), &["w3 runs s0.0#3 input0/0@w2"]);
    s.fails(3, (0, 0, 3), unreadable(input(0), 2), &["w3 runs s0.0#4 input0/0@w2"]);
    // But if nobody is left who holds it, nor comes back, that is the end.
    s.is_lost(2, &[]);
    s.fails(3, (0, 0, 4), unreadable(input(0), 2), &[]);
    s.passes(
        limits::AWAITED_MS_MAX,
        &["j1 failed: operator 1: block input0/0 is held by no worker", "retire s0"],
    );
}

/// Whoever holds it cannot be reached, and so it is awaited. A copy that was begun before that, and of which it is heard late, says
/// nothing that is not known.
#[test]
fn what_is_awaited_already_is_not_given_up_for_an_attempt_that_is_heard_of_late() {
    let mut s = Script::with_workers(&[(1, 0), (2, 1), (3, 1)]);
    s.holds(1, &[input(0)], &[]);
    let again = |id| Dataset { op: OpId(0), ..received(id, 1) };
    s.submit(1, &[again(1)], 1, &["define s0 for d1", "w2 runs s0.0#0 input0/0@w1"]);
    s.passes(300, &[]);
    s.finishes(2, (0, 0, 0), &[], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.submit(2, &[again(2)], 2, &["define s1 for d2", "w2 runs s1.0#0 input0/0@w1"]);
    s.passes(420, &[]);
    for number in 1..=limits::FETCH_ATTEMPTS_MAX {
        s.passes(10, &[&format!("w3 runs s1.0#{number} input0/0@w1")]);
        s.fails(3, (1, 0, number), unreadable(input(0), 1), &[]);
    }
    s.passes(10, &[]);
    s.fails(2, (1, 0, 0), unreadable(input(0), 1), &[]);
    s.is_lost(1, &[]);
    s.joins(4, 1, &[]);
    s.holds(4, &[input(0)], &["w4 runs s1.0#17"]);
    s.finishes(4, (1, 0, 17), &[], &["j2[0] is s1.0#17", "j2 finished", "retire s1"]);
}

#[test]
fn two_readers_of_one_lost_piece_have_it_made_once() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    s.submit(1, &two_stages(1, 2), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(
        1,
        (1, 0, 0),
        &[piece(2, 0, 0), piece(2, 0, 1)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0", "w2 runs s0.1#0 d2[0→1]@w1"],
    );
    s.fails(1, (0, 0, 0), unreadable(piece(2, 0, 0), 1), &["define s2 for d2", "w1 runs s2.0#0"]);
    // It has been made again on the same worker before the second reader reports the first loss.
    s.finishes(1, (2, 0, 0), &[piece(2, 0, 0)], &["retire s2", "w1 runs s0.0#1"]);
    s.fails(2, (0, 1, 0), unreadable(piece(2, 0, 1), 1), &["w2 runs s0.1#1 d2[0→1]@w1"]);
}

#[test]
fn a_block_that_never_can_be_read_fails_the_job() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1", "define s0 for d3", "w1 runs s0.0#0"]);
    for n in 0..15_u32 {
        let stage = u64::from(n) + 2;
        let (define, run) = (format!("define s{stage} for d2"), format!("w1 runs s{stage}.0#0"));
        s.fails(1, (0, 0, n), unreadable(piece(2, 0, 0), 1), &[&define, &run]);
        let (retire, run) = (format!("retire s{stage}"), format!("w1 runs s0.0#{}", n + 1));
        s.finishes(1, (stage, 0, 0), &[piece(2, 0, 0)], &[&retire, &run]);
    }
    s.fails(
        1,
        (0, 0, 15),
        unreadable(piece(2, 0, 0), 1),
        &[
            "j1 failed: operator 3: block d2[0→0] could not be read from w1; \
             given up after 16 tries to make it again",
            "retire s0",
        ],
    );
}

#[test]
fn a_cancelled_job_gives_its_slots_back_when_its_attempts_report() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &[source(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w1 runs s0.1#0"]);
    s.submit(2, &[source(2, 2)], 2, &[]);
    s.cancel(1, &["w1 cancels s0.0#0", "w1 cancels s0.1#0", "retire s0"]);
    s.fails(1, (0, 0, 0), external(), &["define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(1, (0, 1, 0), &[], &["w1 runs s1.1#0"]);
    // Told twice, it does not give two slots back.
    s.finishes(1, (0, 1, 0), &[], &[]);
    s.submit(3, &[source(3, 1)], 3, &[]);
    s.cancel(9, &[]);
}

#[test]
fn a_cancelled_job_leaves_to_others_what_they_need() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.submit(2, &[reduced(4, 1, 2)], 4, &[]);
    s.cancel(1, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1", "define s2 for d4", "w1 runs s2.0#0"]);
}

#[test]
fn what_a_cancelled_attempt_stored_is_used_or_dropped() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.cancel(1, &["w1 cancels s1.0#0", "retire s1"]);
    s.submit(2, &[], 3, &[]);
    // It is immutable, and so as good as what job 2 was about to compute.
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["define s2 for d3", "w1 runs s2.0#0"]);
    s.cancel(2, &["w1 cancels s2.0#0", "retire s2"]);
    s.finishes(1, (2, 0, 0), &[], &[]);
    s.submit(3, &[kept(source(5, 1))], 5, &["define s4 for d5", "w1 runs s4.0#0"]);
    s.cancel(3, &["w1 cancels s4.0#0", "retire s4"]);
    s.forget(&[5], &[]);
    s.finishes(1, (4, 0, 0), &[part(5, 0)], &["w1 drops d5[0]"]);
}

#[test]
fn a_stale_failure_fails_nobody() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[source(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.is_lost(2, &[]);
    // Its last words arrive late, whatever they are.
    s.fails(2, (0, 1, 0), user(), &[]);
    s.finishes(2, (0, 1, 0), &[], &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "w1 runs s0.1#1"]);
    s.finishes(1, (0, 1, 1), &[], &["j1[1] is s0.1#1", "j1 finished", "retire s0"]);
    s.fails(1, (0, 1, 1), user(), &[]);
}

#[test]
fn a_kept_partition_that_its_own_worker_misses_is_not_counted_on_again() {
    let mut s = Script::with_workers(&[(1, 1), (2, 0)]);
    s.holds(1, &[part(3, 0)], &[]);
    s.holds(2, &[piece(2, 0, 0)], &[]);
    let [source, split, counts] = two_stages(1, 1);
    let datasets = [source, split, kept(counts), mapped(4, 1, 3)];
    s.submit(1, &datasets, 4, &["define s0 for d4", "w1 runs s0.0#0"]);
    // It did not find d3[0], which it was to read: its stage is cut anew to compute it in place.
    let again = ["define s0 for d4", "w1 runs s0.0#1 d2[0→0]@w2"];
    s.fails(1, (0, 0, 0), unreadable(part(3, 0), 1), &again);
}

/// The simulator found it: a worker was dead, and the master not told for some seconds. A task that read more
/// blocks of it than tries are allowed found out about one with each try.
#[test]
fn many_blocks_that_cannot_be_read_once_are_no_block_that_never_can() {
    let mut s = Script::with_workers(&[(1, 1), (2, 0)]);
    let pieces: Vec<_> = (0..20).map(|map| piece(2, map, 0)).collect();
    s.holds(2, &pieces, &[]);
    let read: String = (0..20).map(|map| format!(" d2[{map}→0]@w2")).collect();
    s.submit(1, &two_stages(20, 1), 3, &["define s0 for d3", &format!("w1 runs s0.0#0{read}")]);
    for map in 0..20_u32 {
        let stage = u64::from(map) + 1;
        let (define, run) = (format!("define s{stage} for d2"), format!("w1 runs s{stage}.{map}#0"));
        s.fails(1, (0, 0, map), unreadable(piece(2, map, 0), 2), &[&define, &run]);
        let read: String = (map + 1..20).map(|map| format!(" d2[{map}→0]@w2")).collect();
        let (retire, run) = (format!("retire s{stage}"), format!("w1 runs s0.0#{}{read}", map + 1));
        s.finishes(1, (stage, map, 0), &[piece(2, map, 0)], &[&retire, &run]);
    }
    s.finishes(1, (0, 0, 20), &[], &["j1[0] is s0.0#20", "j1 finished", "retire s0"]);
}
