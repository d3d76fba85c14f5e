//! No case of a table is forgotten: each is run by the runner, tested as a component, or put off or absent for a reason.

use std::{collections::BTreeMap, fs, ops::RangeInclusive, path::Path};

use serde_json::Value;

/// Where a case that has no operation is tested: the file, from the folder of all crates, and the function.
const TESTED: &[(&str, RangeInclusive<u32>, &str, &str)] = &[
    ("block_tracker", 1..=1, BLOCKS, "blocks_are_allocated_to_one_interval"),
    ("block_tracker", 5..=5, BLOCKS, "an_interval_may_have_very_many"),
    ("checkpoint_recovery", 7..=7, RECOVERY, "files_are_read_once_whenever_the_program_crashes"),
    ("dynamic_allocation", 1..=1, WORKERS, "the_share_of_an_interval_decides"),
    ("dynamic_allocation", 2..=2, WORKERS, "what_is_asked_for_is_within_the_bounds"),
    ("dynamic_allocation", 3..=3, WORKERS, "who_has_no_receiver_may_go"),
    ("dynamic_allocation", 4..=4, WORKERS, "parameters_out_of_range_are_refused"),
    ("lifecycle_and_listener", 1..=1, LIFECYCLE, "a_program_goes_through_its_states"),
    ("lifecycle_and_listener", 2..=2, LIFECYCLE, "whoever_waits_is_told_when_and_why_it_ended"),
    ("lifecycle_and_listener", 3..=3, LIFECYCLE, "programs_of_one_process_do_not_meet"),
    ("lifecycle_and_listener", 5..=5, LIFECYCLE, "events_say_what_is_known_by_then"),
    ("lifecycle_and_listener", 6..=6, LIFECYCLE, "outputs_have_ids_in_the_order_of_declaration"),
    ("lifecycle_and_listener", 7..=7, LIFECYCLE, "every_output_that_failed_says_why"),
    ("lifecycle_and_listener", 8..=8, LIFECYCLE, "a_listener_cannot_wait_for_its_own_program"),
    ("lifecycle_and_listener", 10..=10, LIFECYCLE, "for_each_sees_every_dataset_once"),
    ("map_with_state", 8..=8, "cutwater/src/state/key_state.rs", "the_rules_of_the_handle"),
    ("map_with_state_record", 1..=14, TRACKED, "one_interval_of_one_key"),
    ("map_with_state_record", 15..=15, TRACKED, "a_chain_of_updates"),
    ("pid_rate", 1..=8, RATE, "the_estimator_answers_as_the_table_does"),
    ("pid_rate", 9..=9, RATE, "with_a_backlog_the_rate_is_below_the_speed"),
    ("pid_rate", 10..=10, RATE, "parameters_out_of_range_are_refused"),
    ("queue_and_files", 1..=4, QUEUE, "queues_give_what_the_table_says"),
    ("queue_and_files", 5..=5, QUEUE, "an_empty_queue_gives_the_default_or_an_empty_dataset"),
    ("queue_and_files", 6..=6, FILES, "a_folder_gives_new_files_or_all"),
    ("queue_and_files", 7..=7, FILES, "a_pattern_stands_for_many_folders"),
    ("queue_and_files", 8..=8, FILES, "records_of_a_fixed_size"),
    ("queue_and_files", 9..=9, FILES, "of_a_renamed_folder_the_fresh_file_is_read"),
    ("queue_and_files", 10..=10, FILES, "the_rule_of_new_files"),
    ("queue_and_files", 11..=11, FILES, "many_threads_into_one_source_lose_nothing"),
    ("queue_and_files", 12..=12, FILES, "a_graceful_stop_processes_all_that_was_received"),
    ("rate_limits", 1..=1, RATE, "a_rate_is_limited_by_the_highest"),
    ("rate_limits", 2..=2, RATE, "partitions_share_a_rate_by_what_is_there"),
    ("rate_limits", 3..=3, RATE, "an_interval_takes_what_the_rate_gives"),
    ("receivers_and_timers", 1..=1, PLACEMENT, "a_receiver_is_started_again_where_there_is_least_to_do"),
    ("receivers_and_timers", 2..=2, PLACEMENT, "receivers_are_spread_evenly"),
    ("receivers_and_timers", 3..=3, RECEIVERS, "intervals_recur_at_their_period"),
    ("receivers_and_timers", 4..=4, RECEIVERS, "a_stop_lets_one_more_interval_happen"),
    ("receivers_and_timers", 5..=5, TIME, "a_start_is_at_the_next_multiple_and_so_is_a_restart"),
    ("receivers_and_timers", 6..=6, RECEIVERS, "what_is_received_comes_out_in_order_and_all_of_it"),
    ("receivers_and_timers", 7..=7, RECEIVERS, "an_interval_knows_what_each_source_gave"),
    ("receivers_and_timers", 8..=8, TIME, "labels_are_written_with_what_tells_them_apart"),
    ("receivers_and_timers", 9..=9, TIME, "a_span_is_written_in_its_largest_unit"),
    ("slice_and_retention", 1..=1, SLICE, "bounds_are_inclusive_and_zero_holds_nothing"),
    ("slice_and_retention", 2..=2, SLICE, "before_the_start_it_is_an_error"),
    ("slice_and_retention", 5..=5, SLICE, "bounds_are_rounded_down"),
    ("state_map", 1..=1, TRACKED, "put_get_scan_by_age_remove"),
    ("state_map", 2..=2, TRACKED, "snapshots_never_change"),
    ("state_map", 3..=3, TRACKED, "every_sequence_of_puts_and_removals"),
    ("state_map", 4..=4, TRACKED, "bytes_and_back"),
    ("state_map", 5..=5, TRACKED, "an_empty_map"),
    ("time_duration", 1..=1, TIME, "times_are_reckoned_as_the_table_says"),
    ("time_duration", 2..=2, TIME, "spans_are_reckoned_as_the_table_says"),
];

const BLOCKS: &str = "conformance/tests/components/allocation.rs";
const WORKERS: &str = "conformance/tests/components/workers.rs";
const LIFECYCLE: &str = "conformance/tests/components/lifecycle.rs";
const RATE: &str = "conformance/tests/components/rate.rs";
const QUEUE: &str = "conformance/tests/components/queue.rs";
const FILES: &str = "conformance/tests/components/files.rs";
const PLACEMENT: &str = "conformance/tests/components/placement.rs";
const RECEIVERS: &str = "conformance/tests/components/receivers.rs";
const RECOVERY: &str = "conformance/tests/components/recovery.rs";
const TIME: &str = "conformance/tests/components/time.rs";
const TRACKED: &str = "cutwater/src/state/tracked/tests.rs";
const SLICE: &str = "cutwater/src/stream/slice.rs";

/// What is put off or absent, and why.
const DEFERRED: &[(&str, RangeInclusive<u32>, &str)] = &[
    (
        "block_tracker",
        2..=4,
        "received blocks are written down with their interval, and are in no log before",
    ),
    (
        "block_tracker",
        6..=6,
        "received blocks are written down with their interval, and are in no log before",
    ),
    // Of its rules one applies, that files nobody refers to any more are removed: cutwater/tests/restart.rs, `old_files_go`.
    ("checkpoint_recovery", 8..=8, "Spark's own files: here the log, states and manifests are apart"),
    ("lifecycle_and_listener", 4..=4, "a checkpoint that cannot be used is never passed over to begin anew"),
    ("map_with_state", 9..=9, "how often states are written is said for the program, not for each stream"),
    (
        "slice_and_retention",
        4..=4,
        "how often states are written is said for the program, not for each stream",
    ),
    ("window", 8..=8, "a stream does not say its level; where the levels go is tested in stream/persist.rs"),
];

/// The file of every table with its cases.
fn tables() -> BTreeMap<String, Vec<Value>> {
    let folder = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables")).unwrap();
    let names = folder.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned());
    names.map(|name| (name.clone(), super::cases(&name))).collect()
}

fn is_not_for_runner(case: &Value) -> bool {
    case["operation"].is_null() || !case["script"].is_null()
}

#[test]
fn every_case_has_its_place() {
    let mut places: BTreeMap<String, u32> = BTreeMap::new();
    let tested = TESTED.iter().map(|(table, numbers, ..)| (table, numbers));
    for (table, numbers) in tested.chain(DEFERRED.iter().map(|(table, numbers, _)| (table, numbers))) {
        for number in numbers.clone() {
            *places.entry(format!("{table}/{number:03}")).or_default() += 1;
        }
    }
    for case in tables().into_values().flatten().filter(is_not_for_runner) {
        let id = super::text(&case["id"]);
        assert_eq!(places.remove(id), Some(1), "{id} is to be in one of the lists, once");
    }
    assert!(places.is_empty(), "there are no such cases, or the runner runs them: {places:?}");
}

#[test]
fn the_tests_that_are_named_are_there() {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    for (table, _, file, function) in TESTED {
        let text = fs::read_to_string(crates.join(file)).unwrap();
        let found = text
            .split("#[test]\n")
            .skip(1)
            .any(|test| test.lines().any(|line| line.trim_start().starts_with(&format!("fn {function}("))));
        assert!(found, "{table}: {file} has no test {function}");
    }
}
