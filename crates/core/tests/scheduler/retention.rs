//! What may go, and what must stay a while.

use cutwater_core::{DatasetId, Event};

use crate::script::*;

/// Runs job 1 on `two_stages(2, 2)` to its end, with the result kept, on two workers.
fn after_a_job() -> Script {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    let [source, split, counts] = two_stages(2, 2);
    s.submit(1, &[source, split, kept(counts)], 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0), piece(2, 0, 1)], &[]);
    s.finishes(
        2,
        (1, 1, 0),
        &[piece(2, 1, 0), piece(2, 1, 1)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[1→0]@w2", "w2 runs s0.1#0 d2[0→1]@w1"],
    );
    s.finishes(1, (0, 0, 0), &[part(3, 0)], &["j1[0] is s0.0#0"]);
    s.finishes(2, (0, 1, 0), &[part(3, 1)], &["j1[1] is s0.1#0", "j1 finished", "retire s0"]);
    s
}

#[test]
fn what_is_forgotten_is_dropped_by_all_who_hold_it() {
    let mut s = after_a_job();
    s.forget(&[3, 2, 1, 77], &["w1 drops d3[0] d2[0→0] d2[0→1]", "w2 drops d3[1] d2[1→0] d2[1→1]"]);
    assert_eq!(s.let_go(), [1, 2, 3, 77]);
    s.submit(2, &[], 3, &["j2 failed: defect in cutwater: dataset d3 is needed and is not known"]);
}

#[test]
fn what_a_job_still_needs_is_dropped_when_it_ends() {
    let mut s = after_a_job();
    s.submit(2, &[mapped(4, 2, 3)], 4, &["define s2 for d4", "w1 runs s2.0#0", "w2 runs s2.1#0"]);
    // Not even the pieces behind the kept partitions: were those lost, they would be needed.
    s.forget(&[1, 2, 3], &[]);
    assert!(s.let_go().is_empty());
    s.is_lost(2, &[]);
    s.finishes(1, (2, 0, 0), &[], &["j2[0] is s2.0#0", "define s3 for d2", "w1 runs s3.1#0"]);
    s.finishes(1, (3, 1, 0), &[piece(2, 1, 0)], &["retire s3", "define s2 for d4", "w1 runs s2.1#1"]);
    s.finishes(
        1,
        (2, 1, 1),
        &[],
        &["j2[1] is s2.1#1", "j2 finished", "retire s2", "w1 drops d3[0] d2[0→0] d2[0→1] d2[1→0] d2[1→1]"],
    );
    assert_eq!(s.let_go(), [1, 2, 3]);
}

#[test]
fn a_cancelled_or_failed_job_lets_go_as_well() {
    let mut s = after_a_job();
    s.submit(2, &[mapped(4, 1, 3)], 4, &["define s2 for d4", "w1 runs s2.0#0"]);
    s.forget(&[3], &[]);
    s.cancel(2, &["w1 cancels s2.0#0", "retire s2", "w1 drops d3[0]", "w2 drops d3[1]"]);
}

#[test]
fn a_block_that_could_not_be_read_is_dropped_with_the_rest() {
    let mut s = after_a_job();
    s.joins(3, 9, &[]);
    s.is_lost(1, &[]);
    s.submit(2, &[reduced(5, 1, 2)], 5, &["define s3 for d2", "w3 runs s3.0#0"]);
    s.finishes(
        3,
        (3, 0, 0),
        &[piece(2, 0, 0)],
        &["retire s3", "define s2 for d5", "w3 runs s2.0#0 d2[1→0]@w2"],
    );
    s.fails(3, (2, 0, 0), unreadable(piece(2, 1, 0), 2), &["define s4 for d2", "w3 runs s4.1#0"]);
    s.finishes(3, (4, 1, 0), &[piece(2, 1, 0)], &["retire s4", "w3 runs s2.0#1"]);
    s.finishes(3, (2, 0, 1), &[], &["j2[0] is s2.0#1", "j2 finished", "retire s2"]);
    s.forget(&[2], &["w2 drops d2[1→0] d2[1→1]", "w3 drops d2[0→0] d2[0→1] d2[1→0] d2[1→1]"]);
}

#[test]
fn what_is_no_longer_kept_can_be_made_again() {
    let mut s = after_a_job();
    let unpersisted = Event::Unpersisted { dataset: DatasetId(3) };
    s.expect(unpersisted.clone(), &["w1 drops d3[0]", "w2 drops d3[1]"]);
    s.expect(unpersisted, &[]);
    // It is made from the pieces, which are still there, and does not stay if it is stored.
    s.submit(2, &[], 3, &["define s2 for d3", "w1 runs s2.0#0 d2[1→0]@w2", "w2 runs s2.1#0 d2[0→1]@w1"]);
    s.finishes(1, (2, 0, 0), &[part(3, 0)], &["w1 drops d3[0]", "j2[0] is s2.0#0"]);
}

#[test]
fn released_inputs_are_dropped() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0), input(1)], &[]);
    s.holds(2, &[input(1), input(2)], &[]);
    let released = vec![input(1), input(0), input(9)];
    s.expect(
        Event::InputsReleased { blocks: released },
        &["w1 drops input0/0 input0/1", "w2 drops input0/1"],
    );
    s.submit(
        1,
        &[received(1, 3)],
        1,
        &["j1 failed: operator 1: block input0/0 and 1 more are held by no worker"],
    );
}

#[test]
fn what_is_behind_a_cut_is_not_needed_any_longer() {
    let mut s = after_a_job();
    s.submit(2, &[mapped(4, 2, 3)], 4, &["define s2 for d4", "w1 runs s2.0#0", "w2 runs s2.1#0"]);
    s.forget(&[1, 2], &[]);
    s.expect(
        Event::LineageCut { dataset: DatasetId(3) },
        &["w1 drops d2[0→0] d2[0→1]", "w2 drops d2[1→0] d2[1→1]"],
    );
    s.finishes(1, (2, 0, 0), &[], &["j2[0] is s2.0#0"]);
    // Now a kept partition that is lost cannot be made again.
    s.is_lost(
        2,
        &["j2 failed: operator 3: block d3[1] is held by no worker, and its lineage was cut", "retire s2"],
    );
}

/// Workers have said of it that they hold it from the time with another master, and nobody has asked for it.
#[test]
fn what_is_forgotten_and_was_never_asked_for_is_dropped_too() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(7, 0), part(7, 1), part(8, 0)], &[]);
    s.holds(2, &[part(7, 1)], &[]);
    s.forget(&[7], &["w1 drops d7[0] d7[1]", "w2 drops d7[1]"]);
    s.forget(&[7], &[]);
}

/// Another job that runs on needs none of it.
#[test]
fn what_nothing_needs_is_let_go_although_a_job_is_running() {
    let mut s = after_a_job();
    s.submit(2, &[source(4, 1)], 4, &["define s2 for d4", "w1 runs s2.0#0"]);
    s.forget(&[1, 2, 3], &["w1 drops d3[0] d2[0→0] d2[0→1]", "w2 drops d3[1] d2[1→0] d2[1→1]"]);
    assert_eq!(s.let_go(), [1, 2, 3]);
}

/// A stage was cut before what is behind a dataset of it went, and is defined after that: it says how that is made.
#[test]
fn what_a_stage_names_is_let_go_when_it_ends() {
    let mut s = Script::with_workers(&[(1, 1)]);
    let kept = kept(mapped(2, 1, 1));
    s.submit(1, &[source(1, 1), kept], 2, &["define s0 for d2", "w1 runs s0.0#0"]);
    s.submit(2, &[source(4, 1)], 4, &[]);
    s.submit(3, &[mapped(3, 1, 2)], 3, &[]);
    s.finishes(
        1,
        (0, 0, 0),
        &[part(2, 0)],
        &["j1[0] is s0.0#0", "j1 finished", "retire s0", "define s1 for d4", "w1 runs s1.0#0"],
    );
    s.expect(Event::LineageCut { dataset: DatasetId(2) }, &[]);
    s.forget(&[1], &[]);
    assert!(s.let_go().is_empty());
    s.finishes(
        1,
        (1, 0, 0),
        &[],
        &["j2[0] is s1.0#0", "j2 finished", "retire s1", "define s2 for d3", "w1 runs s2.0#0"],
    );
    assert!(s.let_go().is_empty());
    s.finishes(1, (2, 0, 0), &[], &["j3[0] is s2.0#0", "j3 finished", "retire s2"]);
    assert_eq!(s.let_go(), [1]);
}
