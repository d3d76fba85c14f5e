//! Jobs without faults: stages, shuffles, what a task reads.

use cutwater_core::{Dataset, PartitionMap};

use cutwater_core::{Attempt, Command, DatasetId, Event, StageId, WorkerId};

use crate::script::*;

#[test]
fn one_stage() {
    let mut s = Script::with_workers(&[(1, 2)]);
    s.submit(1, &[source(1, 3)], 1, &["define s0 for d1", "w1 runs s0.0#0", "w1 runs s0.1#0"]);
    s.finishes(1, (0, 1, 0), &[], &["j1[1] is s0.1#0", "w1 runs s0.2#0"]);
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.finishes(1, (0, 2, 0), &[], &["j1[2] is s0.2#0", "j1 finished", "retire s0"]);
}

#[test]
fn two_stages_with_a_shuffle() {
    let mut s = Script::with_workers(&[(1, 1), (2, 1)]);
    s.submit(1, &two_stages(2, 2), 3, &["define s1 for d2", "w1 runs s1.0#0", "w2 runs s1.1#0"]);
    // Nothing of the reducing stage starts before the last piece is there.
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0), piece(2, 0, 1)], &[]);
    s.finishes(
        2,
        (1, 1, 0),
        &[piece(2, 1, 0), piece(2, 1, 1)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0 d2[1→0]@w2", "w2 runs s0.1#0 d2[0→1]@w1"],
    );
    s.finishes(1, (0, 0, 0), &[], &["j1[0] is s0.0#0"]);
    s.finishes(2, (0, 1, 0), &[], &["j1[1] is s0.1#0", "j1 finished", "retire s0"]);
}

#[test]
fn a_shuffle_is_shared_by_the_jobs_that_read_it() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.submit(2, &[reduced(4, 1, 2)], 4, &[]);
    // Both wake; the lower job goes first.
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1", "define s0 for d3", "w1 runs s0.0#0"]);
    s.finishes(
        1,
        (0, 0, 0),
        &[],
        &["j1[0] is s0.0#0", "j1 finished", "retire s0", "define s2 for d4", "w1 runs s2.0#0"],
    );
    s.finishes(1, (2, 0, 0), &[], &["j2[0] is s2.0#0", "j2 finished", "retire s2"]);
    // And a third finds it done.
    s.submit(3, &[reduced(5, 1, 2)], 5, &["define s3 for d5", "w1 runs s3.0#0"]);
}

#[test]
fn independent_stages_of_a_job_run_at_once() {
    let mut s = Script::with_workers(&[(1, 4)]);
    let datasets = [
        source(1, 1),
        split(2, 1, 1, 1),
        source(3, 1),
        split(4, 1, 3, 1),
        made(5, 1, vec![shuffle(2), shuffle(4)]),
    ];
    s.submit(1, &datasets, 5, &["define s1 for d2", "w1 runs s1.0#0", "define s2 for d4", "w1 runs s2.0#0"]);
    s.finishes(1, (2, 0, 0), &[piece(4, 0, 0)], &["retire s2"]);
    s.finishes(1, (1, 0, 0), &[piece(2, 0, 0)], &["retire s1", "define s0 for d5", "w1 runs s0.0#0"]);
}

#[test]
fn a_kept_partition_ends_the_walk() {
    let mut s = Script::with_workers(&[(1, 2)]);
    let [source, split, counts] = two_stages(1, 2);
    s.submit(1, &[source, split, kept(counts)], 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(
        1,
        (1, 0, 0),
        &[piece(2, 0, 0)],
        &["retire s1", "define s0 for d3", "w1 runs s0.0#0", "w1 runs s0.1#0"],
    );
    s.finishes(1, (0, 0, 0), &[part(3, 0)], &["j1[0] is s0.0#0"]);
    s.finishes(1, (0, 1, 0), &[part(3, 1)], &["j1[1] is s0.1#0", "j1 finished", "retire s0"]);
    // Pieces are not looked for behind what is kept: their loss does not matter.
    s.joins(2, 2, &[]);
    s.holds(2, &[part(3, 0), part(3, 1)], &[]);
    s.is_lost(1, &[]);
    s.submit(2, &[mapped(4, 2, 3)], 4, &["define s2 for d4", "w2 runs s2.0#0", "w2 runs s2.1#0"]);
    s.finishes(2, (2, 0, 0), &[], &["j2[0] is s2.0#0"]);
    s.finishes(2, (2, 1, 0), &[], &["j2[1] is s2.1#0", "j2 finished", "retire s2"]);
    // A kept target is still handed over by tasks, which merely read it.
    s.submit(3, &[], 3, &["define s3 for d3", "w2 runs s3.0#0", "w2 runs s3.1#0"]);
}

#[test]
fn union_and_coalesce_read_what_their_maps_say() {
    let mut s = Script::with_workers(&[(1, 0), (2, 8)]);
    let inputs: Vec<_> = (0..4).map(input).collect();
    s.holds(1, &inputs, &[]);
    let left = received(1, 1);
    let right = Dataset { splits: received(2, 4).splits[1..].into(), ..source(2, 3) };
    let union = made(3, 4, vec![narrow(1, PartitionMap::Same), narrow(2, PartitionMap::Shift(1))]);
    let coalesced = made(4, 2, vec![narrow(3, PartitionMap::Coalesce(2))]);
    s.submit(
        1,
        &[left, right, union, coalesced],
        4,
        &[
            "define s0 for d4",
            "w2 runs s0.0#0 input0/0@w1 input0/1@w1",
            "w2 runs s0.1#0 input0/2@w1 input0/3@w1",
        ],
    );
}

#[test]
fn pieces_are_those_of_the_partition_at_the_shuffle_edge() {
    let mut s = Script::with_workers(&[(1, 0), (2, 8)]);
    s.holds(1, &[piece(2, 0, 0)], &[]);
    let [source, split, counts] = two_stages(1, 3);
    // One task stands for all three reduce partitions.
    let all = made(4, 1, vec![narrow(3, PartitionMap::All)]);
    s.submit(
        1,
        &[source, split, counts, all],
        4,
        &["define s0 for d4", "w2 runs s0.0#0 d2[0→0]@w1 d2[0→1]@w1 d2[0→2]@w1"],
    );
}

#[test]
fn a_partition_reached_twice_is_read_once() {
    let mut s = Script::with_workers(&[(1, 0), (2, 1)]);
    s.holds(1, &[input(0)], &[]);
    let mut datasets = vec![received(1, 1)];
    // Without care this would be walked 2⁶⁰ times.
    for id in 2..62 {
        let twice = vec![narrow(id - 1, PartitionMap::Same), narrow(id - 1, PartitionMap::Same)];
        datasets.push(made(id, 1, twice));
    }
    s.submit(1, &datasets, 61, &["define s0 for d61", "w2 runs s0.0#0 input0/0@w1"]);
}

#[test]
fn nothing_to_compute_is_done_at_once() {
    let mut s = Script::default();
    s.submit(1, &[source(1, 0)], 1, &["j1 finished"]);
    // A shuffle of nothing has no pieces to wait for.
    s.joins(1, 1, &[]);
    s.submit(2, &[split(2, 0, 1, 1), reduced(3, 1, 2)], 3, &["define s0 for d3", "w1 runs s0.0#0"]);
}

#[test]
fn what_cannot_be_a_job_is_refused() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(
        1,
        &[mapped(2, 1, 1)],
        2,
        &["j1 failed: defect in cutwater: dataset d1 is needed and is not known"],
    );
    s.submit(2, &[], 7, &["j2 failed: defect in cutwater: dataset d7 is needed and is not known"]);
    s.submit(
        3,
        &[source(1, 1), split(2, 1, 1, 1)],
        2,
        &["j3 failed: defect in cutwater: job j3 wants d2, which is split for a shuffle"],
    );
    s.submit(
        4,
        &[reduced(3, 1, 1)],
        3,
        &["j4 failed: defect in cutwater: d3 reads d1 across the wrong kind of edge"],
    );
}

#[test]
fn a_job_submitted_twice_is_run_once() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(1, 1)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.submit(1, &[source(1, 1)], 1, &[]);
}

#[test]
fn a_lower_job_goes_first_even_if_it_comes_later() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(2, &[source(1, 2)], 1, &["define s0 for d1", "w1 runs s0.0#0"]);
    s.submit(1, &[source(2, 1)], 2, &[]);
    s.finishes(1, (0, 0, 0), &[], &["j2[0] is s0.0#0", "define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(1, (1, 0, 0), &[], &["j1[0] is s1.0#0", "j1 finished", "retire s1", "w1 runs s0.1#0"]);
}

#[test]
fn a_shared_stage_is_as_urgent_as_the_lowest_job_that_needs_it() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &[source(9, 1)], 9, &["define s0 for d9", "w1 runs s0.0#0"]);
    s.submit(3, &two_stages(1, 1), 3, &[]);
    s.submit(4, &[source(8, 1)], 8, &[]);
    s.submit(5, &[reduced(5, 1, 2)], 5, &[]);
    // With job 3 the map stage loses its place before job 4, and keeps the one before job 5.
    s.cancel(3, &[]);
    s.finishes(
        1,
        (0, 0, 0),
        &[],
        &["j1[0] is s0.0#0", "j1 finished", "retire s0", "define s3 for d8", "w1 runs s3.0#0"],
    );
    s.finishes(
        1,
        (3, 0, 0),
        &[],
        &["j4[0] is s3.0#0", "j4 finished", "retire s3", "define s2 for d2", "w1 runs s2.0#0"],
    );
}

#[test]
fn a_map_task_that_names_no_piece_is_done_all_the_same() {
    let mut s = Script::with_workers(&[(1, 1)]);
    s.submit(1, &two_stages(1, 1), 3, &["define s1 for d2", "w1 runs s1.0#0"]);
    s.finishes(1, (1, 0, 0), &[], &["retire s1", "define s0 for d3", "w1 runs s0.0#0"]);
}

/// Where the pieces of a shuffle are is said once, however many tasks read them, and again only what changed.
#[test]
fn pieces_are_located_once_for_all_tasks_of_a_stage() {
    let mut s = Script::with_workers(&[(1, 2), (2, 2)]);
    s.holds(1, &[piece(2, 0, 0), piece(2, 1, 0)], &[]);
    s.holds(2, &[piece(2, 2, 0)], &[]);
    let located = |commands: &[Command]| -> Vec<Vec<(u32, u32, u32)>> {
        let said = commands.iter().filter_map(|command| match command {
            Command::Locate { located, .. } => Some(located),
            _ => None,
        });
        said.map(|runs| runs.iter().map(|run| (run.first, run.count, run.worker.0)).collect()).collect()
    };
    let submitted = s.submitted(1, &two_stages(3, 8), 3);
    assert_eq!(located(&submitted), [[(0, 2, 1), (2, 1, 2)]]);
    let tasks = submitted.iter().filter_map(|command| match command {
        Command::Launch { task, .. } => Some(&task.pieces),
        _ => None,
    });
    assert!(tasks.eq([0, 1, 2, 3].map(|reduce| vec![(DatasetId(2), reduce..reduce + 1)]).iter()));
    // What the lost worker had is made again, and only of that the rest is told.
    assert!(located(&s.done(Event::WorkerLost { worker: WorkerId(2) })).is_empty());
    let finished = |partition, stage, stored: &[_]| Event::TaskFinished {
        attempt: Attempt { stage: StageId(stage), partition, number: 0 },
        worker: WorkerId(1),
        stored: stored.to_vec(),
        read: 0,
        combined: 0,
    };
    let running: Vec<_> = submitted
        .iter()
        .filter_map(|command| match command {
            Command::Launch { worker: WorkerId(1), task } => Some(task.attempt.partition),
            _ => None,
        })
        .collect();
    for partition in running {
        assert!(located(&s.done(finished(partition, 0, &[]))).is_empty());
    }
    assert_eq!(located(&s.done(finished(2, 1, &[piece(2, 2, 0)]))), [[(2, 1, 1)]]);
}
