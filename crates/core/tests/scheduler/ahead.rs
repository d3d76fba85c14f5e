//! What workers may fetch before the tasks that read it are launched.

use cutwater_core::{Command, Dataset, Event, PartitionMap, WorkerId};

use crate::script::*;

/// Some maps write for a state, of which each of two workers has a partition.
fn state_of_two(maps: u32) -> Vec<Dataset> {
    let [source1, split2, _] = two_stages(maps, 2);
    let state = made(5, 2, vec![narrow(4, PartitionMap::Same), shuffle(2)]);
    vec![source1, split2, kept(source(4, 2)), state]
}

fn is_hint(command: &Command) -> bool {
    matches!(command, Command::FetchAhead { .. })
}

/// Two workers run the first of those maps.
fn begun(maps: u32) -> Script {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(4, 0)], &[]);
    s.holds(2, &[part(4, 1)], &[]);
    s.submit(1, &state_of_two(maps), 5, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s
}

#[test]
fn whoever_has_the_state_is_told_of_each_quarter_that_others_hold() {
    let mut s = begun(8);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    s.passes(10, &[]);
    s.finishes(1, (1, 2, 0), &[piece(2, 2, 0)], &["w1 runs s1.3#0"]);
    // Two of eight are a quarter. The first worker holds them.
    s.passes(10, &["w2 may fetch d2[0@w1 2@w1→[1]]"]);
    s.passes(1_000, &[]);
    s.finishes(2, (1, 1, 0), &[piece(2, 1, 0)], &["w2 runs s1.4#0"]);
    s.passes(1_000, &[]);
    s.finishes(2, (1, 4, 0), &[piece(2, 4, 0)], &["w2 runs s1.5#0"]);
    s.passes(10, &["w1 may fetch d2[1@w2 4@w2→[0]]"]);
    // As expected, the tasks run there.
    for partition in [3, 6, 7] {
        s.said(1, (1, partition, 0), &[piece(2, partition, 0)]);
    }
    s.finishes(
        2,
        (1, 5, 0),
        &[piece(2, 5, 0)],
        &[
            "retire s1",
            "define s0 for d5",
            "w1 runs s0.0#0 d2[1→0]@w2 d2[4→0]@w2 d2[5→0]@w2",
            "w2 runs s0.1#0 d2[0→1]@w1 d2[2→1]@w1 d2[3→1]@w1 d2[6→1]@w1 d2[7→1]@w1",
        ],
    );
    s.passes(1_000, &[]);
}

#[test]
fn of_what_is_written_within_milliseconds_nobody_is_told() {
    let mut s = begun(4);
    s.passes(10, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    s.finishes(1, (1, 2, 0), &[piece(2, 2, 0)], &["w1 runs s1.3#0"]);
    s.passes(9, &[]);
    // A task that turns out to be slow makes it worth while.
    s.passes(10, &["w2 may fetch d2[0@w1 2@w1→[1]]"]);
}

#[test]
fn however_many_maps_end_a_worker_hears_of_a_shuffle_a_few_times() {
    let mut s = begun(100);
    let (mut running, mut told) = ([0, 1], 0);
    for n in 2..100 {
        let at = n as usize % 2;
        let (worker, partition) = (at as u32 + 1, running[at]);
        let said = s.said(worker, (1, partition, 0), &[piece(2, partition, 0)]);
        assert_eq!(said, [format!("w{worker} runs s1.{n}#0")]);
        running[at] = n;
        told += s.done(Event::Clock { now_ms: 20 * u64::from(n) }).iter().filter(|it| is_hint(it)).count();
    }
    assert_eq!(told, 6, "three times each");
}

#[test]
fn where_one_worker_does_all_nobody_is_told() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &two_stages(4, 2), 3, &["define s1 for d2", "w1 runs s1.0#0", "w1 runs s1.1#0"]);
    s.passes(50, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    s.passes(50, &[]);
    // Nor is a worker that only receives.
    s.joins(2, 0, &[]);
    s.finishes(1, (1, 1, 0), &[piece(2, 1, 0)], &["w1 runs s1.3#0"]);
    s.passes(50, &[]);
}

#[test]
fn tasks_without_state_are_given_places_and_run_there() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(4, 3), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    // The third might run on either: it will be where a slot is free first.
    s.passes(10, &["w2 may fetch d2[0@w1→[1]]"]);
    s.finishes(2, (1, 1, 0), &[piece(2, 1, 0)], &["w2 runs s1.3#0"]);
    s.passes(10, &["w1 may fetch d2[1@w2→[0]]"]);
    s.finishes(2, (1, 3, 0), &[piece(2, 3, 0)], &[]);
    // The second worker has most of the pieces in the meantime. What the first has fetched counts for it.
    s.finishes(
        1,
        (1, 2, 0),
        &[piece(2, 2, 0)],
        &[
            "retire s1",
            "define s0 for d3",
            "w1 runs s0.0#0 d2[1→0]@w2 d2[3→0]@w2",
            "w2 runs s0.1#0 d2[0→1]@w1 d2[2→1]@w1",
        ],
    );
}

#[test]
fn tasks_that_do_not_fill_all_slots_go_where_most_of_it_is_and_nobody_is_told() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(3, 1), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    s.passes(20, &[]);
}

/// Of many tasks only those are expected somewhere that are sent there first.
#[test]
fn what_a_worker_is_told_of_is_bounded_by_its_slots() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    let all: Vec<_> = (0..1000).map(|partition| part(4, partition)).collect();
    s.holds(2, &all, &[]);
    let [source1, split2, _] = two_stages(2, 1000);
    let state = made(5, 1000, vec![narrow(4, PartitionMap::Same), shuffle(2)]);
    s.submitted(1, &[source1, split2, kept(source(4, 1000)), state], 5);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.passes(10, &["w2 may fetch d2[0@w1→[0, 1, 2, 3]]"]);
}

#[test]
fn nothing_is_fetched_for_what_nobody_waits_for() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    let job = cutwater_core::JobId::background(1).0;
    s.submit(job, &two_stages(2, 2), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.passes(50, &[]);
}

#[test]
fn when_a_worker_is_lost_on_which_tasks_were_expected_others_are_told() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    s.submit(
        1,
        &two_stages(4, 3),
        3,
        &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0", "w3 runs s1.2#0"],
    );
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.3#0"]);
    s.passes(10, &["w2 may fetch d2[0@w1→[1]]", "w3 may fetch d2[0@w1→[2]]"]);
    // The second has to do its task anew. Its partition and the first are expected elsewhere now.
    s.is_lost(2, &[]);
    s.finishes(3, (1, 2, 0), &[piece(2, 2, 0)], &["w3 runs s1.1#1"]);
    s.passes(10, &["w1 may fetch d2[2@w3→[0]]", "w3 may fetch d2[0@w1→[1]]"]);
}

/// What was held by a lost worker is said anew once it was made again, and to nobody before.
#[test]
fn what_is_lost_may_not_be_fetched() {
    let mut s = begun(4);
    s.passes(20, &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["w1 runs s1.2#0"]);
    let lost = s.done(Event::WorkerLost { worker: WorkerId(1) });
    let later = s.done(Event::Clock { now_ms: 1_000 });
    assert!(!lost.iter().chain(&later).any(is_hint), "{lost:?} {later:?}");
}
