//! Seeds that are run whenever tests are: some hundreds, and those that have found a fault.

use cutwater_sim::{Setting, Simulation};

fn must_hold(seeds: impl IntoIterator<Item = u64>) {
    for seed in seeds {
        let outcome = Simulation::run(seed, false);
        assert_eq!(outcome.violation, None, "`cutwater-sim --seed {seed} --log` tells how it came to it");
    }
}

#[test]
fn whatever_fails_every_output_is_that_of_an_undisturbed_run() {
    must_hold(0..300);
}

/// Then no loss of workers is unfair, not even of all of them.
#[test]
fn where_the_master_holds_what_it_has_received_every_worker_may_be_lost() {
    for seed in 0..200 {
        let outcome = Simulation::run_in(Setting { master_holds: true }, seed, false);
        assert_eq!(outcome.violation, None, "`cutwater-sim --master-holds --seed {seed} --log` tells of it");
    }
}

/// Hash maps have seeds of their own each time, so an order that escapes from one of them shows.
#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..40 {
        assert_eq!(Simulation::run(seed, false), Simulation::run(seed, false), "seed {seed}");
    }
    assert_ne!(Simulation::run(1, false).digest, Simulation::run(2, false).digest);
}

/// A worker that wanted to leave had lost one block of those that it was to hand over. All the others of the same
/// message were given up with it, and it was let go as the last to hold received ones. Now each block is copied
/// or not by itself, and received ones are not given up.
#[test]
fn seed_23_one_block_that_cannot_be_copied_is_no_reason_to_give_up_the_others() {
    must_hold([23, 225, 238]);
}

/// A lost state was being made again, through the shuffles of many intervals, when a checkpoint of it was done.
/// Nobody needed the map stages any longer, yet they ran on, and failed the job when the received blocks
/// behind the checkpoint were let go. Now what a stage no longer reads it does not wait for.
#[test]
fn seed_208_what_a_checkpoint_makes_needless_is_given_up() {
    must_hold([208, 515, 740]);
}

/// The only worker asked to leave while a received block was on its way to it. It held nothing that the scheduler
/// knew of, and was let go at once; then it said that it held the block, which counted as safe. Now who is to
/// hold a block leaves only after it has said that it does.
#[test]
fn seed_696_a_block_on_its_way_to_who_leaves_is_not_lost() {
    must_hold([696, 1419]);
}

/// A worker that had just joined was sent a received block by the master and told to copy it from another by the
/// scheduler. The first word was taken for the second, and the second, after the block had been let go, for
/// news: it was kept for ever. Now there is a word for each.
#[test]
fn seed_2048_a_block_that_came_two_ways_is_let_go_once_and_for_all() {
    must_hold([167, 2048, 2178]);
}

/// A worker was dead, and nothing told the master for some seconds. A state was made again from more of its blocks
/// than a task may try to fetch, and each try found out about one. Now tries are counted block by block.
#[test]
fn seed_9711_many_blocks_of_one_dead_worker_are_no_reason_to_give_up() {
    must_hold([8114, 8840, 9083, 9384, 9711]);
}

/// Two workers could not reach each other for some seconds. Received blocks that one could not read from the
/// other were taken for lost, one holder after the other, until nobody was left. Now the last holder is asked again.
#[test]
fn seed_36_who_cannot_be_reached_for_a_moment_has_lost_nothing() {
    must_hold([16, 36, 204]);
}
