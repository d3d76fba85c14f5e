//! What jobs to come will read is made while there is nothing else to do.

use cutwater_core::{Dataset, JobId};

use crate::script::*;

/// The next interval's stages: source 11, split 12, reduced 13.
fn next(maps: u32, reduces: u32) -> [Dataset; 3] {
    [source(11, maps), split(12, maps, 11, reduces), reduced(13, reduces, 12)]
}

#[test]
fn it_comes_after_all_jobs() {
    assert!(JobId(7) < JobId::background(1) && JobId::background(7) < JobId::ahead(1));
    assert!(JobId::ahead(1) < JobId::ahead(2));
    assert!(!JobId::ahead(1).is_background() && !JobId::background(1).is_ahead());
    assert!(JobId::ahead(1).is_ahead() && JobId::background(1).is_background());
}

#[test]
fn the_next_maps_run_where_reduces_leave_a_slot() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w1 runs s1.1#0"]);
    s.expects(1, &next(2, 1), &[12], &[]);
    // One map task of the interval still runs: the slot has nothing else to do.
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["define s2 for d12", "w1 runs s2.0#0"]);
    // The reduce goes before the second map task of the next interval.
    s.finishes(1, (1, 1, 0), &[piece(2, 1, 0)], &["retire s1", "define s0 for d3", "w1 runs s0.0#0"]);
    s.finishes(1, (2, 0, 0), &[piece(12, 0, 0)], &["w1 runs s2.1#0"]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    // The next interval's job waits for what is being made, and makes nothing again.
    s.submit(2, &[], 13, &[]);
    s.finishes(1, (2, 1, 0), &[piece(12, 1, 0)], &["retire s2", "define s3 for d13", "w1 runs s3.0#0"]);
    s.finishes(1, (3, 0, 0), &[], &["j2[0] is s3.0#0", "j2 finished", "retire s3"]);
    s.forget(&[1, 2, 3, 11, 12, 13], &["w1 drops d2[0→0] d2[1→0] d12[0→0] d12[1→0]"]);
}

#[test]
fn what_is_made_already_is_found() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expects(1, &next(1, 1), &[12], &["define s0 for d12", "w1 runs s0.0#0"]);
    // Nobody is told of its end.
    s.finishes(1, (0, 0, 0), &[piece(12, 0, 0)], &["retire s0"]);
    s.expects(2, &[], &[12], &[]);
    s.submit(1, &[], 13, &["define s1 for d13", "w1 runs s1.0#0"]);
}

#[test]
fn a_job_that_needs_it_makes_it_urgent() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 3)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.expects(1, &next(1, 1), &[12], &[]);
    s.expects(2, &[source(21, 1), split(22, 1, 21, 1), reduced(23, 1, 22)], &[22], &[]);
    // The second is needed first; what states are written by goes before both.
    s.submit(JobId::background(9).0, &[source(31, 1)], 31, &[]);
    s.submit(2, &[], 23, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "w1 runs s0.1#0"]);
    s.finishes(1, (0, 1, 0), &[], &["j1[1] is s0.1#0", "w1 runs s0.2#0"]);
    s.finishes(
        1,
        (0, 2, 0),
        &[],
        &["j1[2] is s0.2#0", "j1 finished", "retire s0", "define s2 for d22", "w1 runs s2.0#0"],
    );
    s.finishes(1, (2, 0, 0), &[piece(22, 0, 0)], &["retire s2", "define s4 for d23", "w1 runs s4.0#0"]);
    s.finishes(
        1,
        (4, 0, 0),
        &[],
        &["j2[0] is s4.0#0", "j2 finished", "retire s4", "define s3 for d31", "w1 runs s3.0#0"],
    );
    let background = format!("{}[0] is s3.0#0", JobId::background(9));
    let finished = format!("{} finished", JobId::background(9));
    s.finishes(
        1,
        (3, 0, 0),
        &[],
        &[&background, &finished, "retire s3", "define s1 for d12", "w1 runs s1.0#0"],
    );
}

/// If the job that hurried it is cancelled, it is as little urgent as before, and goes on.
#[test]
fn it_goes_on_without_the_job() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expects(1, &next(2, 1), &[12], &["define s0 for d12", "w1 runs s0.0#0"]);
    s.submit(5, &[], 13, &[]);
    s.cancel(5, &[]);
    s.submit(6, &[source(1, 1)], 1, &[]);
    s.finishes(1, (0, 0, 0), &[piece(12, 0, 0)], &["define s2 for d1", "w1 runs s2.0#0"]);
    s.finishes(1, (2, 0, 0), &[], &["j6[0] is s2.0#0", "j6 finished", "retire s2", "w1 runs s0.1#0"]);
}

#[test]
fn what_is_forgotten_is_expected_no_longer() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expects(1, &next(1, 1), &[], &[]);
    s.forget(&[11, 12, 13], &[]);
    s.expects(1, &[], &[12], &[]);
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expects(1, &next(2, 1), &[12], &["define s0 for d12", "w1 runs s0.0#0"]);
    s.forget(&[12], &["w1 cancels s0.0#0", "retire s0"]);
    // It was over before it heard of that: what it left goes.
    s.finishes(1, (0, 0, 0), &[piece(12, 0, 0)], &["w1 drops d12[0→0]"]);
    // A job that needs it all the same keeps it running.
    s.expects(
        2,
        &[source(21, 1), split(22, 1, 21, 1), reduced(23, 1, 22)],
        &[22],
        &["define s1 for d22", "w1 runs s1.0#0"],
    );
    s.submit(1, &[], 23, &[]);
    s.forget(&[22], &[]);
    s.finishes(1, (1, 0, 0), &[piece(22, 0, 0)], &["retire s1", "define s2 for d23", "w1 runs s2.0#0"]);
}

/// A fault is told to whoever asks, and to nobody before.
#[test]
fn a_fault_waits_for_its_interval() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expects(1, &next(2, 1), &[12], &["define s0 for d12", "w1 runs s0.0#0"]);
    s.fails(1, (0, 0, 0), user(), &["retire s0"]);
    s.submit(1, &[source(1, 1)], 1, &["define s1 for d1", "w1 runs s1.0#0"]);
    s.finishes(1, (1, 0, 0), &[], &["j1[0] is s1.0#0", "j1 finished", "retire s1"]);
    s.submit(2, &[], 13, &["define s3 for d12", "w1 runs s3.0#0"]);
    s.fails(1, (3, 0, 0), user(), &[&format!("j2 failed: {}", user()), "retire s3"]);
}

#[test]
fn a_loss_is_made_good() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.expects(1, &next(3, 1), &[12], &["define s0 for d12", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.finishes(1, (0, 0, 0), &[piece(12, 0, 0)], &["w1 runs s0.2#0"]);
    // What it held and what it ran are to be done once more.
    s.is_lost(1, &[]);
    s.finishes(2, (0, 1, 0), &[piece(12, 1, 0)], &["w2 runs s0.0#1"]);
    s.finishes(2, (0, 0, 1), &[piece(12, 0, 0)], &["w2 runs s0.2#1"]);
    s.finishes(2, (0, 2, 1), &[piece(12, 2, 0)], &["retire s0"]);
    // Lost when all of it is done and nobody has asked: then the job makes it.
    s.joins(3, 1, &[]);
    s.is_lost(2, &[]);
    s.submit(1, &[], 13, &["define s2 for d12", "w3 runs s2.0#0"]);
}

/// Nothing waits on a busy worker for what is not asked for.
#[test]
fn it_waits_for_no_slot() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[kept(source(1, 1))], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.finishes(1, (0, 0, 0), &[part(1, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.submit(2, &[source(5, 1)], 5, &["define s1 for d5", "w1 runs s1.0#0"]);
    s.expects(1, &[split(2, 1, 1, 1)], &[2], &["define s2 for d2", "w2 runs s2.0#0 d1[0]@w1"]);
}
