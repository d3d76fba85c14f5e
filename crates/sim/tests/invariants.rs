//! Each invariant can fail: something is done wrong on purpose, and it is found. Where it is something that `cutwater` did
//! wrong, the seed is one that shows it. `cutwater-sim --cluster standby --plant removes-claims` looks for such seeds.

use cutwater_sim::{Plant, Setting, Simulation};

/// Nothing overlaps here, unlike in the kind of that name.
const FAILURES: Setting = Setting { failures: true, ..Setting::STANDBY_CLIENTS };

/// What is found when `plant` is done wrong.
fn found(right: Setting, plant: Plant, seed: u64) -> String {
    let setting = Setting { plant: Some(plant), ..right };
    assert_eq!(Simulation::run_in(right, seed, false).violation, None, "{plant:?}, seed {seed}, done right");
    Simulation::run_in(setting, seed, false).violation.unwrap_or_default()
}

#[track_caller]
fn finds(plant: Plant, seed: u64, what: &str) {
    finds_in(Setting::STANDBY, plant, seed, what);
}

#[track_caller]
fn finds_in(right: Setting, plant: Plant, seed: u64, what: &str) {
    let found = found(right, plant, seed);
    assert!(found.contains(what), "{plant:?}, seed {seed}: {found:?}");
}

#[test]
fn no_two_masters_commit() {
    finds(Plant::SkipsTheFence, 28, "has claimed it");
    finds(Plant::SinkForgetsEpochs, 92, "has opened the sink");
    finds(Plant::ClaimsLate, 23, "has claimed it");
    finds(Plant::RemovesClaims, 41, "has claimed it");
}

#[test]
fn no_interval_without_its_input() {
    finds(Plant::RunsUnrecorded, 0, "its input is written nowhere");
    finds(Plant::ForgetsTooMuch, 6, "nothing is written any more");
    finds_in(
        Setting::OVERLAP,
        Plant::BeginsUnrecorded,
        4,
        "interval 3 runs, and its input is written nowhere",
    );
}

#[test]
fn each_output_once() {
    finds(Plant::SinkRepeats, 28, "is committed after");
    finds(Plant::SharesBlockNames, 306, "and should be");
    finds_in(Setting::OVERLAP, Plant::InventsPieces, 713, "and should be");
}

#[test]
fn memory_within_bounds() {
    finds(Plant::KeepsWhatNobodyReads, 7, "everything was let go");
    finds(Plant::KeepsOldEntries, 373, "objects are in the store");
}

#[test]
fn progress_resumes() {
    finds(Plant::NeverTakesOver, 0, "no interval has ended");
    finds(Plant::StopsAtTornEntries, 259, "no interval has ended");
}

#[test]
fn what_is_held_is_there() {
    finds(Plant::TakesWhatIsThere, 464, "whoever takes over has not found a manifest");
    finds(Plant::RemovesUnsaid, 8, "is held, and File");
}

#[test]
fn nothing_needed_is_forgotten() {
    finds(Plant::ForgetsTooEarly, 7, "is needed and is not known");
    finds(Plant::OneNameForAll, 439, "is held by no worker");
    finds_in(Setting::STANDBY_CLIENTS, Plant::NamesNoneLost, 9891, "are held by no worker");
    finds_in(FAILURES, Plant::SetsAsideUnsaid, 0, "is dropped, and interval 4 may need it");
}

#[test]
fn slots_are_neither_lost_nor_made() {
    finds(Plant::KeepsAttempts, 2, "attempts and room for");
}

#[test]
fn each_acknowledged_record_once() {
    finds_in(Setting::CLIENTS, Plant::AcknowledgesAtOnce, 0, "is acknowledged, and 1 workers have held it");
    finds_in(
        Setting::CLIENTS,
        Plant::ForgetsWhatItCounted,
        6,
        "is counted in interval 5, and in interval 11",
    );
    finds_in(Setting::STANDBY_CLIENTS, Plant::ForgetsReports, 0, "was acknowledged, and is in no interval");
    finds_in(Setting::CLIENTS, Plant::ComesWithNothing, 11, "was acknowledged, and is in no interval");
    finds_in(Setting::CLIENTS, Plant::LetsGoUnasked, 8862, "was acknowledged, and is in no interval");
}

#[test]
fn two_hold_it() {
    finds_in(Setting::CLIENTS, Plant::CopiesNothing, 0, "is held by 1 of 2 workers");
}
