//! Seeds that are run whenever tests are: some hundreds, and those that have found a fault, or find it now if it is planted: the
//! simulator has more steps than it had.

use cutwater_sim::{Setting, Simulation};

/// In that kind of cluster, which `cutwater-sim` calls so. Answers how many intervals were set aside.
fn holds(cluster: &str, setting: Setting, seeds: impl IntoIterator<Item = u64>) -> u64 {
    let mut set_aside = 0;
    for seed in seeds {
        let outcome = Simulation::run_in(setting, seed, false);
        let how = format!("`cutwater-sim --cluster {cluster} --seed {seed} --log` tells how it came to it");
        assert_eq!(outcome.violation, None, "{how}");
        set_aside += outcome.set_aside;
    }
    set_aside
}

fn must_hold(seeds: impl IntoIterator<Item = u64>) {
    holds("one-master", Setting::ONE_MASTER, seeds);
}

#[test]
fn whatever_fails_every_output_is_that_of_an_undisturbed_run() {
    must_hold(0..300);
}

/// Then no loss of workers is unfair, not even of all of them.
#[test]
fn where_the_master_holds_what_it_has_received_every_worker_may_be_lost() {
    holds("master-holds", Setting::MASTER_HOLDS, 0..200);
}

/// The same where masters die, are stopped and are cut off, and others take over.
fn must_hold_with_takeovers(seeds: impl IntoIterator<Item = u64>) {
    holds("standby", Setting::STANDBY, seeds);
}

#[test]
fn whatever_happens_to_masters_each_interval_is_committed_once() {
    must_hold_with_takeovers(0..60);
}

/// The same where clients send records to workers.
fn must_hold_with_clients(seeds: impl IntoIterator<Item = u64>) {
    holds("clients", Setting::CLIENTS, seeds);
}

#[test]
fn whatever_happens_to_workers_each_acknowledged_record_is_counted_once() {
    must_hold_with_clients(0..80);
}

/// The same where clients send records to workers, and masters take over from each other.
fn must_hold_with_both(seeds: impl IntoIterator<Item = u64>) {
    holds("standby-clients", Setting::STANDBY_CLIENTS, seeds);
}

#[test]
fn whatever_happens_to_workers_and_masters_each_acknowledged_record_is_counted_once() {
    must_hold_with_both(0..60);
}

/// The next interval is begun while one is run, and pieces are fetched before the tasks that read them come.
#[test]
fn what_is_made_or_fetched_early_changes_no_output() {
    holds("overlap", Setting::OVERLAP, 0..80);
    holds("standby-overlap", Setting::STANDBY_OVERLAP, 0..30);
}

/// Functions of the program fail in some intervals, always or until they do not any more.
fn must_hold_with_failures(seeds: impl IntoIterator<Item = u64>) -> u64 {
    holds("failures", Setting::FAILURES, seeds)
}

#[test]
fn intervals_that_fail_are_set_aside_and_those_after_them_go_on() {
    assert!(must_hold_with_failures(0..60) > 30);
    must_hold_with_both_and_failures(0..40);
}

/// The same where masters take over from each other.
fn must_hold_with_both_and_failures(seeds: impl IntoIterator<Item = u64>) {
    holds("standby-failures", Setting::STANDBY_FAILURES, seeds);
}

#[test]
fn masters_are_overtaken_and_wake_up() {
    let masters: u64 = (0..20).map(|seed| Simulation::run_in(Setting::STANDBY, seed, false).masters).sum();
    assert!(masters > 40, "{masters} masters in 20 runs");
}

/// Hash maps have seeds of their own each time, so an order that escapes from one of them shows.
#[test]
fn the_same_seed_gives_the_same_log() {
    for seed in 0..40 {
        assert_eq!(Simulation::run(seed, false), Simulation::run(seed, false), "seed {seed}");
    }
    let kinds = [
        ("master-holds", Setting::MASTER_HOLDS),
        ("standby", Setting::STANDBY),
        ("overlap", Setting::OVERLAP),
        ("standby-overlap", Setting::STANDBY_OVERLAP),
        ("clients", Setting::CLIENTS),
        ("standby-clients", Setting::STANDBY_CLIENTS),
        ("failures", Setting::FAILURES),
        ("standby-failures", Setting::STANDBY_FAILURES),
    ];
    for (kind, setting) in kinds {
        for seed in 0..6 {
            let run = || Simulation::run_in(setting, seed, false);
            assert_eq!(run(), run(), "`cutwater-sim --cluster {kind} --seed {seed} --meta`");
        }
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

/// A master had got its epoch, and was slow to claim the log. Another one with a later epoch claimed it meanwhile; the first
/// read that claim, and claimed the log after it. The later one was over then, and the earlier one was refused by sinks and
/// workers. Now who reads the claim of a later one is over itself.
#[test]
fn seed_59_a_claim_of_a_later_master_is_not_followed_by_one_of_an_earlier() {
    must_hold_with_takeovers([23, 59, 252, 297]);
}

/// A master was stopped before it wrote an entry. The one that took over claimed that place, wrote on, and in time removed
/// its claim with the other old entries; the first woke up, found its place free, and wrote as if nothing had happened. Now
/// claims are never removed.
#[test]
fn seed_41_who_wakes_late_finds_its_place_in_the_log_taken() {
    must_hold_with_takeovers([41, 342, 344, 531]);
}

/// The machine of a master went down while it wrote an entry, which was left torn. No master could begin after that. Now the
/// last entry, and one before a claim, may be torn: nobody was told that it was there.
#[test]
fn seed_259_a_torn_entry_that_nobody_knew_of_stops_nobody() {
    must_hold_with_takeovers([259, 553, 573, 581]);
}

/// A master had received blocks and handed them to workers when it died, before they were written down. The next one went on
/// numbering after the last that was, so that other blocks bore the same names, and tasks read the old ones. Now masters name
/// blocks apart.
#[test]
fn seed_306_blocks_of_two_masters_have_different_names() {
    must_hold_with_takeovers([306, 555]);
}

/// A master wrote what it had received of an interval, and before it could write the entry another one took over, received
/// something else for that interval, and wrote that in the same place; then the first write arrived. Now each master writes
/// under names of its own.
#[test]
fn seed_439_what_a_master_that_is_over_still_writes_is_in_nobodys_way() {
    must_hold_with_takeovers([439, 454]);
}

/// Workers held kept datasets from the time with another master that nobody asked for any more. When they were forgotten the
/// scheduler knew nothing of them, and they stayed for ever. Now what is forgotten goes, known or not.
#[test]
fn seed_7_what_was_never_asked_for_is_forgotten_all_the_same() {
    must_hold_with_takeovers([6, 7, 162, 270]);
}

/// A worker had copied a block for the master before, said so to the next one, and then said of the same block that it had
/// copied it for that one. The second word was taken for a copy that nobody wanted, and the block was dropped by the worker
/// that was counted on. Now who is counted on keeps it.
#[test]
fn seed_197_a_block_that_was_copied_for_two_masters_stays() {
    must_hold_with_takeovers([197, 525]);
}

/// A master was stopped, and another took over and in time removed a state's file that no held checkpoint needed. The first woke
/// up, and what it ran on a worker that had stayed with it did not find the file. The simulator objected, and need not have:
/// whatever a master that was overtaken makes of an interval has no place in the log.
#[test]
fn seed_1923_what_a_master_lacks_that_was_overtaken_is_nobodys_loss() {
    must_hold_with_takeovers([1923]);
}

/// A received block was being copied when a worker joined: it was looked at again, and passed over. When the copy failed
/// nobody noticed that there was anything to do, and the block stayed where it was. Now it is tried again.
#[test]
fn seed_1069_a_copy_that_fails_is_tried_again_whoever_has_joined() {
    must_hold_with_clients([1069]);
}

/// A worker could not reach one of the two that held a received block, and the other had died, of which the master did not
/// know yet. That one refused it sixteen times within moments. Now whoever was doubted is asked again before that, and is
/// counted on when the other is known to be lost.
#[test]
fn seed_1067_who_was_out_of_reach_is_asked_again() {
    must_hold_with_clients([1067, 2492, 5686, 6920]);
}

/// Whoever had received a block, and reported it, was lost, and the master had not heard yet that another had made a copy of
/// it: the block was in no interval. Now it is in the next once that is heard.
#[test]
fn seed_2528_what_was_copied_in_time_is_not_given_up() {
    must_hold_with_clients([2528, 4951]);
}

/// A worker was lost, and the one that held its replicas wanted to leave and was let go, before it was asked. Now it is asked
/// first, and stays until what it says is held by others.
#[test]
fn seed_8862_who_leaves_is_asked_first_what_it_holds_of_the_lost() {
    must_hold_with_clients([8862]);
}

/// A master took over, and workers held blocks that were in no interval of its log. They told it of the last that they had
/// reported themselves: records in others were in no interval, and those of intervals long over stayed for ever. Now they tell
/// of all that they hold.
#[test]
fn seed_64_the_next_master_hears_of_all_blocks_that_workers_hold() {
    must_hold_with_both([1, 13, 64, 105]);
}

/// A worker had come to a master, which had not written it into its lease when another took over: what it had received and
/// copied was found by nobody. Nor was a worker that was let in after the next master had read that lease. Now a worker is here
/// once the lease names it and no later one is there, and who takes over reads the last one's when its own is there.
#[test]
fn seed_35_who_takes_over_finds_every_worker_that_was_relied_on() {
    must_hold_with_both([35, 162, 218, 232, 1514]);
}

/// A worker held replicas of blocks that their owner had closed and given other names since. The next master counted on it for
/// them, and was never told that they were gone. Now it hears what they consist of, and lets them go.
#[test]
fn seed_213_what_the_next_master_is_told_of_goes_by_its_word() {
    must_hold_with_both([213, 1666, 4246, 4678]);
}

/// A master that was overtaken had taken a worker for lost, and had another report its replicas; the next master counted on
/// both, and more came into a block of a name that was reported. Now nothing more comes by that connection.
#[test]
fn seed_2325_what_was_reported_for_one_that_is_there_again_gets_no_more() {
    must_hold_with_both([2325, 5149]);
}

/// The simulator took for a holder of a batch whoever was left with the beginning of a block, which its owner had reported
/// since, and another held: that may be dropped at any moment. And it had the last worker asked to leave while another's wish
/// to leave was on its way. It objected, and need not have.
#[test]
fn seed_6599_who_was_left_behind_is_no_holder() {
    must_hold_with_clients([6599, 6626]);
}

/// A worker that had been lost came back with pieces that nobody wanted any more. They were let go while they were being copied to
/// another, and that copy failed: they were remembered for ever as to be held by two. Now whatever is let go is not.
#[test]
fn seed_3297_what_is_let_go_is_to_be_held_by_nobody() {
    must_hold_with_clients([3297]);
}

/// A master was stopped until all its workers had left it. It woke, counted them as lost, and named them in its lease no more; then
/// it was overtaken by one elsewhere, which did not find the worker that alone held some received blocks: others that had held
/// them had been killed. Now a lease names those that are lost, too.
#[test]
fn seed_9891_who_takes_over_finds_the_workers_that_were_lost_to_the_one_before() {
    must_hold_with_both([345, 709, 756, 9891]);
}

/// A worker reported for one that was lost a block that nobody else held. An interval had it when the worker was known to be dead.
/// What it consists of it had received itself, too, and yet another worker held that, of which no interval had any use. Now that
/// one makes the block.
#[test]
fn seed_2644_what_is_held_in_another_block_is_not_lost_with_the_one_that_counts() {
    must_hold_with_failures([273, 2644]);
}

/// A worker was asked to copy a block, could not in time, and another was asked. Whoever held it was killed, and then the first had
/// copied it after all, as the first to be heard. It was told to let it go. Now what only the lost held is kept.
#[test]
fn seed_2076_what_is_copied_late_is_kept_if_only_the_lost_held_it() {
    must_hold_with_both([2076]);
}

/// Of every third interval states were to be written down, and those that were to be were set aside, one after the other: the
/// log kept what was received since the first. `cutwater` writes down those of the next that ends well, and so does the simulator
/// now; nor does it object before some intervals have gone on undisturbed.
#[test]
fn seed_6487_states_are_written_down_of_the_next_interval_that_ends_well() {
    must_hold_with_both_and_failures([6487]);
}

/// A worker was to write down a state that it had let go of, and said nothing of it: in the simulator no states were written down after
/// that. Now it says so, and those of a later interval are.
#[test]
fn seed_496_what_cannot_be_written_down_is_no_reason_to_write_nothing_ever_after() {
    must_hold_with_takeovers([496, 753, 1354, 1873, 2042, 2183]);
}

/// A worker was stopped before it had reported what it had acknowledged, and another reported that alone, for an interval. That
/// one was lost with the master, and the next knew that the interval has a block, and not what is in it: the first came back
/// with all of it, and could not be told to make the block. Now the log says what is in a block that one worker held.
#[test]
fn seed_4349_with_failures_the_next_master_knows_what_is_in_a_block_that_one_worker_held() {
    must_hold_with_both_and_failures([4349]);
}
