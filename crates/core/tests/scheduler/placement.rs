//! Who gets a task.

use crate::script::*;

#[test]
fn without_a_preference_tasks_go_where_most_slots_are_free() {
    let mut s = Script::with_workers(&[(1, 1), (2, 3)]);
    s.submit(
        1,
        &[source(1, 4)],
        1,
        &["define s0 for d1", "w2 runs s0.0#0", "w2 runs s0.1#0", "w1 runs s0.2#0", "w2 runs s0.3#0"],
    );
}

#[test]
fn a_task_goes_where_its_input_is() {
    let mut s = Script::with_workers(&[(1, 4), (2, 1)]);
    s.holds(2, &[input(0), input(1)], &[]);
    // The second finds its worker busy and reads from afar: no slot stays free for locality.
    s.submit(1, &[received(1, 2)], 1, &["define s0 for d1", "w2 runs s0.0#0", "w1 runs s0.1#0 input0/1@w2"]);
}

#[test]
fn of_two_that_hold_it_the_one_with_more_free_slots_is_chosen() {
    let mut s = Script::with_workers(&[(1, 1), (2, 2), (3, 9)]);
    s.holds(1, &[input(0), input(1)], &[]);
    s.holds(2, &[input(0), input(1)], &[]);
    s.submit(1, &[received(1, 2)], 1, &["define s0 for d1", "w2 runs s0.0#0", "w1 runs s0.1#0"]);
}

#[test]
fn the_lowest_holder_is_named_for_what_is_read_from_afar() {
    let mut s = Script::with_workers(&[(1, 1), (2, 0), (3, 0)]);
    s.holds(3, &[input(0)], &[]);
    s.holds(2, &[input(0)], &[]);
    s.submit(1, &[received(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0 input0/0@w2"]);
}

#[test]
fn most_pieces_decide_where_a_reducer_goes() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[piece(2, 0, 0)], &[]);
    s.holds(2, &[piece(2, 1, 0), piece(2, 2, 0)], &[]);
    s.submit(1, &two_stages(3, 1), 3, &["define s0 for d3", "w2 runs s0.0#0 d2[0→0]@w1"]);
}

#[test]
fn state_stays_where_it_is_however_many_pieces_lie_elsewhere() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(4, 0)], &[]);
    s.holds(2, &[piece(2, 0, 0), piece(2, 1, 0), piece(2, 2, 0)], &[]);
    let [source1, split2, _] = two_stages(3, 1);
    let before = kept(source(4, 1));
    let state = made(5, 1, vec![narrow(4, cutwater_core::PartitionMap::Same), shuffle(2)]);
    s.submit(
        1,
        &[source1, split2, before, state],
        5,
        &["define s0 for d5", "w1 runs s0.0#0 d2[0→0]@w2 d2[1→0]@w2 d2[2→0]@w2"],
    );
}

#[test]
fn a_task_waits_where_its_state_is_but_not_behind_many() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0), part(1, 1), part(1, 2)], &[]);
    let state = made(2, 3, vec![narrow(1, cutwater_core::PartitionMap::Same)]);
    s.submit(
        1,
        &[kept(source(1, 3)), state],
        2,
        // The last would be the second to wait: the other worker takes it, and has that state from now on.
        &["define s0 for d2", "w1 runs s0.0#0", "w1 runs s0.1#0", "w2 runs s0.2#0 d1[2]@w1"],
    );
}

/// States are being written, a partition on each worker, when an interval is to change them.
#[test]
fn a_job_in_the_background_takes_no_room_from_who_has_state() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0), part(1, 1)], &[]);
    s.holds(2, &[part(1, 2), part(1, 3)], &[]);
    let background = cutwater_core::JobId::background(1).0;
    let states = kept(source(1, 4));
    s.submitted(background, &[states, mapped(2, 4, 1)], 2);
    s.submit(5, &[kept(mapped(3, 4, 1))], 3, &[]);
    assert!(s.said(1, (0, 0, 0), &[]).iter().all(|line| !line.contains("runs")), "another had waited there");
    let launched =
        |said: Vec<String>| said.into_iter().filter(|line| line.contains("runs")).collect::<Vec<_>>();
    assert_eq!(launched(s.said(1, (0, 1, 0), &[])), ["w1 runs s1.0#0"]);
    assert_eq!(launched(s.said(1, (1, 0, 0), &[])), ["w1 runs s1.1#0"]);
    // The first worker is free, and the other is not; but there is the state.
    assert_eq!(launched(s.said(1, (1, 1, 0), &[])), ["w2 runs s1.2#0", "w2 runs s1.3#0", "w2 runs s0.3#0"]);
}
