//! Workers that are lost.

use std::sync::Arc;

use cutwater_core::{Command, Dataset, Event, PartitionMap, TaskError, limits};

use crate::script::*;

#[test]
fn only_what_was_lost_is_computed_again() {
    let mut s = Script::with_workers(&[(1, 2), (2, 2), (3, 2)]);
    s.submit(
        1,
        &two_stages(6, 1),
        3,
        &[
            "define s1 for d2",
            "w1 runs s1.0#0",
            "w2 runs s1.1#0",
            "w3 runs s1.2#0",
            "w1 runs s1.3#0",
            "w2 runs s1.4#0",
            "w3 runs s1.5#0",
        ],
    );
    for (worker, map) in [(1, 0), (1, 3), (2, 1), (2, 4), (3, 2)] {
        s.finishes(worker, (1, map, 0), &[piece(2, map, 0)], &[]);
    }
    // Two were done there, none is running, one other runs on.
    s.is_lost(2, &["w1 runs s1.1#1", "w1 runs s1.4#1"]);
    s.finishes(3, (1, 5, 0), &[piece(2, 5, 0)], &[]);
    s.finishes(1, (1, 1, 1), &[piece(2, 1, 0)], &[]);
    s.finishes(
        1,
        (1, 4, 1),
        &[piece(2, 4, 0)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[2→0]@w3 d2[5→0]@w3"],
    );
}

/// Of as many partitions as there are survivors each makes one again, though one has room for all of them.
#[test]
fn what_was_lost_is_made_again_by_all_survivors() {
    let mut s = Script::with_workers(&[(1, 3), (2, 3), (3, 3), (4, 3)]);
    let maps = (0..12).map(|map| format!("w{} runs s1.{map}#0", map % 4 + 1));
    let launched: Vec<String> = std::iter::once("define s1 for d2".to_owned()).chain(maps).collect();
    s.submit(1, &two_stages(12, 1), 3, &launched.iter().map(String::as_str).collect::<Vec<_>>());
    for map in 1..12 {
        s.finishes(map % 4 + 1, (1, map, 0), &[piece(2, map, 0)], &[]);
    }
    s.is_lost(4, &["w2 runs s1.3#1", "w3 runs s1.7#1", "w1 runs s1.11#1"]);
}

/// The map tasks of two intervals that are over are run again at once, and those of the current one beside them: the
/// state that was lost with them is made from both (`paper.md` §4, §6).
#[test]
fn what_was_lost_of_several_intervals_is_made_again_at_once_beside_the_current_one() {
    let mut s = Script::with_workers(&[(1, 2), (2, 2), (3, 2), (4, 2)]);
    // A source, its shuffle, and a state that is made from that and from the one before.
    let interval = |first: u64, before: Option<u64>| {
        let before = before.map(|id| narrow(id, PartitionMap::Same));
        let parents = before.into_iter().chain([shuffle(first + 1)]).collect();
        [source(first, 4), split(first + 1, 4, first, 4), kept(made(first + 2, 4, parents))]
    };
    for (job, [maps, states], first, before) in [(1, [1, 0], 1, None), (2, [3, 2], 4, Some(3))] {
        s.submitted(job, &interval(first, before), first + 2);
        for map in 0..4 {
            s.said(map + 1, (maps, map, 0), &[piece(first + 1, map, 0)]);
        }
        for key in 0..4 {
            s.said(key + 1, (states, key, 0), &[part(first + 2, key)]);
        }
    }
    s.is_lost(4, &[]);
    s.submit(
        3,
        &interval(7, Some(6)),
        9,
        &[
            "define s5 for d8",
            "w1 runs s5.0#0",
            "w2 runs s5.1#0",
            "w3 runs s5.2#0",
            "w1 runs s5.3#0",
            "define s6 for d5",
            "w2 runs s6.3#0",
            "define s7 for d2",
            "w3 runs s7.3#0",
        ],
    );
}

#[test]
fn what_ran_there_is_run_elsewhere_and_counts_as_no_failure() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    for n in 1..10 {
        let (lost, next) = (n, n + 1);
        s.joins(next, 1, &[]);
        s.is_lost(lost, &[&format!("w{next} runs s0.0#{n}")]);
    }
    s.finishes(10, (0, 0, 9), &[], &["j1[0] is s0.0#9", "j1 finished", "retire s0"]);
}

#[test]
fn pieces_lost_while_they_are_read_are_made_again() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(2, 3), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &[]);
    s.finishes(
        2,
        (1, 1, 0),
        &[piece(2, 1, 0)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[1→0]@w2", "w2 runs s0.1#0 d2[0→1]@w1"],
    );
    s.finishes(2, (0, 1, 0), &[], &["j1[1] is s0.1#0", "w2 runs s0.2#0 d2[0→2]@w1"]);
    // The accepted partition stays accepted, the running one is left to find out for itself.
    s.is_lost(2, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0", "define s2 for d2", "w1 runs s2.1#0"]);
    s.finishes(1, (2, 1, 0), &[piece(2, 1, 0)], &["retire s2", "w1 runs s0.2#1"]);
    s.finishes(1, (0, 2, 1), &[], &["j1[2] is s0.2#1", "j1 finished", "retire s0"]);
}

#[test]
fn a_loss_goes_back_through_as_many_shuffles_as_it_takes() {
    let mut s = Script::with_workers(&[(1, 1)]);
    let datasets =
        [source(1, 1), split(2, 1, 1, 1), kept(reduced(3, 1, 2)), split(4, 1, 3, 1), reduced(5, 1, 4)];
    s.submit(1, &datasets, 5, &["define s2 for d2", "w1 runs s2.0#0"]);
    s.finishes(1, (2, 0, 0), &[piece(2, 0, 0)], &["retire s2", "define s1 for d4", "w1 runs s1.0#0"]);
    s.finishes(
        1,
        (1, 0, 0),
        &[part(3, 0), piece(4, 0, 0)],
        &["retire s1", "define s0 for d5", "w1 runs s0.0#0"],
    );
    s.is_lost(1, &["no workers"]);
    // The kept partition in the middle is computed in place by the task that wants it.
    s.joins(2, 1, &["define s4 for d2", "w2 runs s4.0#0"]);
    s.finishes(2, (4, 0, 0), &[piece(2, 0, 0)], &["retire s4", "define s3 for d4", "w2 runs s3.0#0"]);
    s.finishes(2, (3, 0, 0), &[part(3, 0), piece(4, 0, 0)], &["retire s3", "w2 runs s0.0#1"]);
    s.finishes(2, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

#[test]
fn a_lost_kept_partition_is_computed_in_place_by_the_next_job() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    let pair = kept(source(1, 2));
    s.submit(1, &[pair], 1, &["define s0 for d1", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.finishes(1, (0, 0, 0), &[part(1, 0)], &["j1[0] is s0.0#0"]);
    s.finishes(2, (0, 1, 0), &[part(1, 1)], &["j1[1] is s0.1#0", "j1 finished", "retire s0"]);
    s.is_lost(2, &[]);
    s.submit(
        2,
        &[made(2, 1, vec![narrow(1, PartitionMap::All)])],
        2,
        &["define s1 for d2", "w1 runs s1.0#0"],
    );
    s.finishes(1, (1, 0, 0), &[part(1, 1)], &["j2[0] is s1.0#0", "j2 finished", "retire s1"]);
}

#[test]
fn without_a_worker_it_says_so_once_and_goes_on_with_the_next() {
    // One that only receives is of no help.
    let mut s = Script::with_workers(&[(9, 0)]);
    s.submit(1, &[source(1, 1)], 1, &["no workers"]);
    s.submit(2, &[source(2, 1)], 2, &[]);
    s.joins(1, 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.is_lost(1, &["no workers"]);
    s.joins(2, 1, &["w2 runs s0.0#1"]);
    s.finishes(
        2,
        (0, 0, 1),
        &[],
        &["j1[0] is s0.0#1", "j1 finished", "retire s0", "define s1 for d2", "w2 runs s1.0#0"],
    );
}

/// It cannot be made again, and was held by workers that may have been stopped for a while.
#[test]
fn what_needs_a_received_block_waits_for_who_comes_back_with_it() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    s.submit(1, &[received(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.is_lost(1, &[]);
    s.submit(2, &[source(2, 1)], 2, &["define s1 for d2", "w2 runs s1.0#0"]);
    s.finishes(2, (1, 0, 0), &[], &["j2[0] is s1.0#0", "j2 finished", "retire s1"]);
    s.joins(3, 1, &[]);
    s.holds(3, &[input(0)], &["w3 runs s0.0#1"]);
    // Nothing is awaited any more.
    s.passes(limits::AWAITED_MS_MAX, &[]);
    s.finishes(3, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

/// What is behind a state need not be there once the state is.
#[test]
fn what_waits_for_a_received_block_goes_on_without_it_if_it_can() {
    let mut s = Script::with_workers(&[(1, 1)]);
    let state = kept(received(1, 1));
    s.holds(1, &[input(0)], &[]);
    s.submit(1, &[state], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.finishes(1, (0, 0, 0), &[part(1, 0)], &["j1[0] is s0.0#0", "j1 finished", "retire s0"]);
    s.is_lost(1, &[]);
    s.submit(2, &[mapped(2, 1, 1)], 2, &["no workers"]);
    s.joins(2, 1, &[]);
    s.holds(2, &[part(1, 0)], &["define s1 for d2", "w2 runs s1.0#0"]);
}

/// A master that takes over does not know what those hold that have not come.
#[test]
fn what_nobody_holds_is_awaited_while_some_have_not_come() {
    let failed = "j1 failed: operator 1: block input0/0 is held by no worker";
    let mut s = Script::with_workers(&[(1, 1)]);
    s.expect(Event::HoldersMissing, &[]);
    s.submit(1, &[received(1, 1)], 1, &[]);
    s.passes(limits::AWAITED_MS_MAX, &[failed]);
    s.expect(Event::HoldersMissing, &[]);
    s.submit(2, &[received(2, 1)], 2, &[]);
    s.joins(2, 1, &[]);
    s.holds(2, &[input(0)], &["define s1 for d2", "w2 runs s1.0#0"]);
}

#[test]
fn losing_one_twice_or_a_stranger_is_harmless() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.is_lost(7, &[]);
    s.joins(2, 1, &[]);
    s.is_lost(1, &["w2 runs s0.0#1"]);
    s.is_lost(1, &[]);
    // Nor does a stranger hold anything.
    s.holds(1, &[input(0)], &[]);
    s.submit(2, &[received(2, 1)], 2, &[]);
    s.finishes(
        2,
        (0, 0, 1),
        &[],
        &[
            "j1[0] is s0.0#1",
            "j1 finished",
            "retire s0",
            "j2 failed: operator 2: block input0/0 is held by no worker",
        ],
    );
}

#[test]
fn who_joins_again_has_begun_anew() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.joins(1, 1, &["w1 runs s0.0#1"]);
    s.finishes(1, (0, 0, 0), &[], &[]);
    s.finishes(1, (0, 0, 1), &[], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

#[test]
fn a_run_that_waits_has_its_other_inputs_made_again_at_the_same_time() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1), (3, 1)]);
    let datasets = [
        source(1, 1),
        split(2, 1, 1, 1),
        source(3, 1),
        split(4, 1, 3, 1),
        made(5, 1, vec![shuffle(2), shuffle(4)]),
    ];
    s.submit(1, &datasets, 5, &["define s1 for d2", "w1 runs s1.0#0", "define s2 for d4", "w2 runs s2.0#0"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1"]);
    s.is_lost(1, &["define s3 for d2", "w3 runs s3.0#0"]);
    s.finishes(2, (2, 0, 0), &[piece(4, 0, 0)], &["retire s2"]);
    s.finishes(
        3,
        (3, 0, 0),
        &[piece(2, 0, 0)],
        &["retire s3", "define s0 for d5", "w2 runs s0.0#0 d2[0→0]@w3"],
    );
}

#[test]
fn a_map_task_is_spared_if_its_pieces_turn_up() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &two_stages(2, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.holds(1, &[piece(2, 1, 0)], &[]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1", "define s0 for d3", "w1 runs s0.0#0"]);
}

/// State of three intervals, of which the first is wholly held and each next is made from the one before.
fn three_states() -> [Dataset; 3] {
    [kept(source(1, 2)), kept(mapped(2, 2, 1)), kept(mapped(3, 2, 2))]
}

#[test]
fn a_stage_does_not_go_behind_what_is_wholly_held() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.holds(1, &[part(2, 0), part(2, 1)], &[]);
    let datasets = three_states();
    let submitted = s.submitted(1, &datasets, 3);
    let [define, first, second] = &submitted[..] else { panic!("{submitted:?}") };
    let Command::DefineStage { stage, .. } = define else { panic!("{define:?}") };
    let names: Vec<u64> = stage.datasets.iter().map(|dataset| dataset.id.0).collect();
    assert_eq!(names, [2, 3]);
    assert!(matches!((first, second), (Command::Launch { .. }, Command::Launch { .. })));
}

#[test]
fn a_lost_state_is_made_again_in_place_from_the_last_that_is_held() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0), part(1, 1), part(2, 0)], &[]);
    s.holds(2, &[part(2, 1)], &[]);
    s.submit(1, &three_states(), 3, &["define s0 for d3", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    // The stage that was cut at d2 has to go behind it now; the task that runs has what it needs.
    s.is_lost(2, &[]);
    s.finishes(1, (0, 0, 0), &[part(3, 0)], &["j1[0] is s0.0#0", "define s0 for d3", "w1 runs s0.1#1"]);
    s.finishes(1, (0, 1, 1), &[part(2, 1), part(3, 1)], &["j1[1] is s0.1#1", "j1 finished", "retire s0"]);
}

#[test]
fn what_was_checkpointed_is_read_from_there_and_what_is_behind_it_goes() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.holds(1, &[part(1, 0), part(2, 0)], &[]);
    s.holds(2, &[part(1, 1), part(2, 1)], &[]);
    s.submit(1, &three_states(), 3, &["define s0 for d3", "w1 runs s0.0#0", "w2 runs s0.1#0"]);
    s.forget(&[1], &[]);
    let read = Arc::new(kept(source(2, 2)));
    s.expect(Event::LineageReplaced { dataset: read }, &["w1 drops d1[0]", "w2 drops d1[1]"]);
    s.finishes(2, (0, 1, 0), &[part(3, 1)], &["j1[1] is s0.1#0"]);
    s.is_lost(1, &["define s0 for d3", "w2 runs s0.0#1"]);
    s.finishes(2, (0, 0, 1), &[part(2, 0), part(3, 0)], &["j1[0] is s0.0#1", "j1 finished", "retire s0"]);
}

/// The simulator found it: the map run went on, and failed the job when the received blocks were let go.
#[test]
fn what_is_made_again_for_a_state_that_is_saved_meanwhile_is_given_up() {
    let mut s = Script::with_workers(&[(1, 1), (2, 0)]);
    s.holds(2, &[input(0)], &[]);
    let state = kept(reduced(3, 1, 2));
    let datasets = [received(1, 1), split(2, 1, 1, 1), state.clone(), split(4, 1, 3, 1), reduced(5, 1, 4)];
    // The state of interval 3 is lost, and so are the pieces that it was made from.
    s.submit(1, &datasets, 5, &["define s2 for d2", "w1 runs s2.0#0 input0/0@w2"]);
    let saved = Dataset { parents: Vec::new(), splits: source(3, 1).splits, ..state };
    s.expect(Event::LineageReplaced { dataset: Arc::new(saved) }, &["w1 cancels s2.0#0", "retire s2"]);
    s.releases(&[input(0)], &["w2 drops input0/0"]);
    s.fails(1, (2, 0, 0), TaskError::Cancelled, &["define s1 for d4", "w1 runs s1.0#0"]);
}
