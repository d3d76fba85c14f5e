//! Workers that come and go while intervals run: newcomers get their share, who leaves hands over first, and
//! received blocks are held twice again.

use cutwater_core::{Dataset, OpId, PartitionMap};

use crate::script::*;

/// The state of another interval, made from the one before.
fn state(id: u64, partitions: u32) -> Dataset {
    let before = vec![narrow(id - 1, PartitionMap::Same)];
    kept(Dataset { op: OpId(0), ..made(id, partitions, before) })
}

#[test]
fn state_moves_to_a_newcomer_once_and_stays_there() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0), part(1, 1), part(1, 2)], &[]);
    s.holds(2, &[part(1, 3), part(1, 4), part(1, 5)], &[]);
    s.joins(3, 1, &[]);
    // Three workers, six partitions: a share is two, and one is moved from each.
    s.submit(
        1,
        &[kept(source(1, 6)), state(2, 6)],
        2,
        &[
            "define s0 for d2",
            "w3 runs s0.0#0 d1[0]@w1",
            "w1 runs s0.1#0",
            "w1 runs s0.2#0",
            "w2 runs s0.3#0",
        ],
    );
    s.finishes(
        3,
        (0, 0, 0),
        &[part(2, 0)],
        &["j1[0] is s0.0#0", "w2 runs s0.4#0", "w3 runs s0.5#0 d1[5]@w2"],
    );
    s.finishes(1, (0, 1, 0), &[part(2, 1)], &["j1[1] is s0.1#0"]);
    s.finishes(2, (0, 3, 0), &[part(2, 3)], &["j1[3] is s0.3#0"]);
    s.finishes(1, (0, 2, 0), &[part(2, 2)], &["j1[2] is s0.2#0"]);
    s.finishes(2, (0, 4, 0), &[part(2, 4)], &["j1[4] is s0.4#0"]);
    s.finishes(3, (0, 5, 0), &[part(2, 5)], &["j1[5] is s0.5#0", "j1 finished", "retire s0"]);
    // From now on all is where it is read.
    s.submit(
        2,
        &[state(3, 6)],
        3,
        &["define s1 for d3", "w3 runs s1.0#0", "w1 runs s1.1#0", "w1 runs s1.2#0", "w2 runs s1.3#0"],
    );
    s.finishes(2, (1, 3, 0), &[part(3, 3)], &["j2[3] is s1.3#0", "w2 runs s1.4#0"]);
    s.finishes(3, (1, 0, 0), &[part(3, 0)], &["j2[0] is s1.0#0", "w3 runs s1.5#0"]);
}

#[test]
fn what_reads_state_and_leaves_none_does_not_move_it() {
    let mut s = Script::with_workers(&[(1, 2), (2, 2)]);
    s.holds(1, &[part(1, 0), part(1, 1)], &[]);
    s.submit(
        1,
        &[kept(source(1, 2)), mapped(2, 2, 1)],
        2,
        &["define s0 for d2", "w1 runs s0.0#0", "w1 runs s0.1#0"],
    );
}

#[test]
fn who_wants_to_leave_gets_no_tasks_and_hands_over_what_only_it_holds() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    s.holds(1, &[part(1, 0), input(0), input(1)], &[]);
    s.holds(2, &[part(1, 1), input(1)], &[]);
    s.holds(3, &[input(0)], &[]);
    s.submit(
        1,
        &[kept(source(1, 2)), state(2, 2)],
        2,
        &["define s0 for d2", "w1 runs s0.0#0", "w2 runs s0.1#0"],
    );
    // What runs there runs on. State goes where there is least of it, and input is held by two who stay.
    s.drains(1, &["w2 copies from w1 input0/0", "w3 copies from w1 input0/1 d1[0]"]);
    s.drains(1, &[]);
    s.copied(3, &[input(1), part(1, 0)], &[]);
    s.finishes(1, (0, 0, 0), &[part(2, 0)], &["j1[0] is s0.0#0", "w3 copies from w1 d2[0]"]);
    s.submit(2, &[source(7, 2)], 7, &["define s1 for d7", "w3 runs s1.0#0"]);
    s.copied(3, &[part(2, 0)], &[]);
    s.copied(2, &[input(0)], &["w1 may leave"]);
    // Nothing of all that has to be made again.
    s.is_lost(1, &[]);
    s.finishes(
        2,
        (0, 1, 0),
        &[part(2, 1)],
        &["j1[1] is s0.1#0", "j1 finished", "retire s0", "w2 runs s1.1#0"],
    );
}

/// It may hold replicas of what a worker had received that is lost.
#[test]
fn who_is_asked_for_something_else_stays_until_that_is_handed_over_too() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.drains(1, &["w2 copies from w1 input0/0"]);
    s.is_asked(1, &[]);
    s.copied(2, &[input(0)], &[]);
    s.holds(1, &[input(1)], &["w2 copies from w1 input0/1"]);
    s.drains(1, &[]);
    s.copied(2, &[input(1)], &["w1 may leave"]);
    // Too late.
    s.is_asked(1, &[]);
    s.drains(1, &[]);
}

#[test]
fn who_does_not_answer_in_time_leaves_all_the_same() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.drains(1, &["w2 copies from w1 input0/0"]);
    s.is_asked(1, &[]);
    s.copied(2, &[input(0)], &[]);
    s.passes(25_000, &["w1 may leave"]);
}

#[test]
fn who_cannot_hand_over_in_time_leaves_all_the_same() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0)], &[]);
    s.submit(
        1,
        &[kept(source(1, 1))],
        9,
        &["j1 failed: defect in cutwater: dataset d9 is needed and is not known"],
    );
    s.drains(1, &["w2 copies from w1 d1[0]"]);
    s.passes(24_999, &[]);
    s.passes(1, &["w1 may leave"]);
    s.passes(25_000, &[]);
}

#[test]
fn a_copy_that_cannot_be_made_is_tried_again_and_not_for_ever() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.drains(1, &["w2 copies from w1 input0/0"]);
    for _ in 0..3 {
        s.cannot_copy(2, &[input(0)], &["w2 copies from w1 input0/0"]);
    }
    // What cannot be made again is not given up, but waits for something to change.
    s.cannot_copy(2, &[input(0)], &[]);
    s.joins(3, 1, &["w2 copies from w1 input0/0"]);
    s.copied(2, &[input(0)], &["w3 copies from w1 input0/0"]);
    s.copied(3, &[input(0)], &["w1 may leave"]);
}

#[test]
fn what_can_be_made_again_is_given_up_if_it_cannot_be_copied() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &[kept(source(1, 1))], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.finishes(1, (0, 0, 0), &[part(1, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.drains(1, &["w2 copies from w1 d1[0]"]);
    for _ in 0..3 {
        s.cannot_copy(2, &[part(1, 0)], &["w2 copies from w1 d1[0]"]);
    }
    s.cannot_copy(2, &[part(1, 0)], &["w1 may leave"]);
}

#[test]
fn the_last_worker_works_on_until_it_leaves() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.holds(1, &[part(1, 0)], &[]);
    s.submit(1, &[kept(source(1, 1)), state(2, 1)], 2, &["define s0 for d2", "w1 runs s0.0#0"]);
    s.drains(1, &[]);
    s.finishes(1, (0, 0, 0), &[part(2, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.submit(2, &[state(3, 1)], 3, &["define s1 for d3", "w1 runs s1.0#0"]);
    // With a newcomer it is no longer needed.
    s.joins(2, 1, &["w2 copies from w1 d1[0] d2[0]"]);
    s.submit(3, &[source(7, 1)], 7, &["define s2 for d7", "w2 runs s2.0#0"]);
}

#[test]
fn received_blocks_are_held_by_two_again_after_a_loss() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 0)]);
    s.holds(1, &[input(0), input(1)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.holds(3, &[input(1)], &[]);
    s.is_lost(1, &["w3 copies from w2 input0/0", "w2 copies from w3 input0/1"]);
    s.copied(3, &[input(0)], &[]);
    // The copy of the other is lost on its way, and there is nobody else until one joins.
    s.is_lost(2, &[]);
    s.joins(4, 0, &["w4 copies from w3 input0/0 input0/1"]);
    s.copied(4, &[input(0), input(1)], &[]);
}

#[test]
fn a_copy_of_what_is_let_go_meanwhile_is_let_go_too() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 0)]);
    s.holds(1, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.is_lost(1, &["w3 copies from w2 input0/0"]);
    s.releases(&[input(0)], &["w2 drops input0/0"]);
    s.copied(3, &[input(0)], &["w3 drops input0/0"]);
}

/// The simulator found it: a worker was told to hold a block and to copy it, and its second word was taken for
/// news long after the block had been let go.
#[test]
fn who_holds_a_block_already_may_be_about_to_copy_it_all_the_same() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 0)]);
    s.holds(1, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.is_lost(1, &["w3 copies from w2 input0/0"]);
    s.holds(3, &[input(0)], &[]);
    s.releases(&[input(0)], &["w2 drops input0/0", "w3 drops input0/0"]);
    s.copied(3, &[input(0)], &["w3 drops input0/0"]);
}

/// The simulator found it: the block was looked at again when somebody joined, and passed over since it was being copied; when
/// that failed nobody noticed that there was anything to do.
#[test]
fn a_copy_that_fails_after_somebody_has_joined_is_tried_again() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 0)]);
    s.holds(1, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.is_lost(1, &["w3 copies from w2 input0/0"]);
    s.joins(4, 1, &[]);
    s.cannot_copy(3, &[input(0)], &["w3 copies from w2 input0/0"]);
}

/// The master holds what it has received itself, but is no worker: it may die too, and copies nothing.
#[test]
fn what_the_master_holds_is_held_by_two_workers_besides() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (u32::MAX, 0)]);
    s.holds(u32::MAX, &[input(0)], &[]);
    s.holds(1, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.is_lost(1, &[]);
    s.joins(3, 1, &["w3 copies from w2 input0/0"]);
    s.copied(3, &[input(0)], &[]);
    s.is_lost(2, &[]);
    s.is_lost(3, &[]);
    s.joins(4, 1, &["w4 copies from w4294967295 input0/0"]);
}

/// The other holder was lost before anybody knew that it was one.
#[test]
fn received_blocks_of_which_one_holder_is_known_late_are_held_by_two_again() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0)]);
    s.holds(1, &[input(0), input(1)], &[]);
    s.holds(2, &[input(1)], &[]);
    s.holders_are_known(&["w2 copies from w1 input0/0"]);
    s.holders_are_known(&[]);
    s.copied(2, &[input(0)], &[]);
}

/// It was told to by the master before, and by this one.
#[test]
fn who_has_copied_a_block_twice_and_is_counted_on_keeps_it() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.holders_are_known(&["w2 copies from w1 input0/0"]);
    s.copied(2, &[input(0)], &[]);
    s.copied(2, &[input(0)], &[]);
    s.releases(&[input(0)], &["w1 drops input0/0", "w2 drops input0/0"]);
    // And what nobody counts on goes.
    s.copied(2, &[input(0)], &["w2 drops input0/0"]);
}

/// The simulator found it: a worker could not copy a block in time, another was asked, and whoever held it was lost when the
/// first had it after all. It was told to let it go.
#[test]
fn who_has_copied_late_what_was_held_by_the_lost_alone_keeps_it() {
    let mut s = Script::with_workers(&[(1, 0), (2, 0), (3, 0)]);
    s.holds(1, &[input(0)], &[]);
    s.holders_are_known(&["w2 copies from w1 input0/0"]);
    s.is_lost(1, &[]);
    s.copied(3, &[input(0)], &[]);
    s.releases(&[input(0)], &["w3 drops input0/0"]);
}

/// A state is made from what one task writes, which runs on the first worker.
fn a_state_is_asked_for(s: &mut Script) {
    s.submit(
        1,
        &[source(1, 1), split(2, 1, 1, 1), kept(reduced(3, 1, 2))],
        3,
        &["define s1 for d2", "w1 runs s1.0#0"],
    );
}

#[test]
fn what_is_dear_and_little_is_held_by_two_and_not_made_again() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    a_state_is_asked_for(&mut s);
    s.passes(10, &[]);
    let reduces = ["retire s1", "define s0 for d3", "w1 runs s0.0#0", "w2 copies from w1 d2[0→0]"];
    s.combines(1, (1, 0, 0), &[piece(2, 0, 0)], &reduces);
    s.copied(2, &[piece(2, 0, 0)], &[]);
    s.finishes(1, (0, 0, 0), &[part(3, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    // The state is lost, and is made from what another holds.
    s.is_lost(1, &[]);
    s.submit(2, &[mapped(4, 1, 3)], 4, &["define s2 for d4", "w2 runs s2.0#0"]);
    s.finishes(2, (2, 0, 0), &[part(3, 0)], &["j2[0] is s2.0#0", "j2 finished", "retire s2"]);
    s.forget(&[1, 2], &["w2 drops d2[0→0]"]);
}

/// The simulator found it: whoever was lost came back with pieces that nobody wanted any more, while they were being copied to
/// another, and they were to be held by two for ever.
#[test]
fn what_is_let_go_is_not_remembered_as_to_be_held_by_two() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    a_state_is_asked_for(&mut s);
    s.passes(10, &[]);
    let reduces = ["retire s1", "define s0 for d3", "w1 runs s0.0#0", "w2 copies from w1 d2[0→0]"];
    s.combines(1, (1, 0, 0), &[piece(2, 0, 0)], &reduces);
    s.finishes(1, (0, 0, 0), &[part(3, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.forget(&[1, 2], &["w1 drops d2[0→0]"]);
    s.holds(3, &[piece(2, 0, 0)], &[]);
    s.releases(&[piece(2, 0, 0)], &["w3 drops d2[0→0]"]);
    s.cannot_copy(2, &[piece(2, 0, 0)], &[]);
    assert_eq!(s.copies(), 0);
}

/// Nothing changes after that for which it would be looked at again.
#[test]
fn what_nobody_could_take_a_copy_of_is_not_remembered_when_it_is_forgotten() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[kept(source(1, 1))], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.finishes(1, (0, 0, 0), &[part(1, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.drains(1, &[]);
    assert_eq!(s.copies(), 1);
    s.forget(&[1], &["w1 drops d1[0]", "w1 may leave"]);
    assert_eq!(s.copies(), 0);
}

#[test]
fn what_is_soon_made_again_or_much_or_no_part_of_a_state_is_held_once() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    a_state_is_asked_for(&mut s);
    s.passes(9, &[]);
    let reduces = ["retire s1", "define s0 for d3", "w1 runs s0.0#0"];
    s.combines(1, (1, 0, 0), &[piece(2, 0, 0)], &reduces);

    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    a_state_is_asked_for(&mut s);
    s.passes(10, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &reduces);

    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.passes(10, &[]);
    s.combines(1, (1, 0, 0), &[piece(2, 0, 0)], &reduces);
}
