//! Each invariant can fail: something is done wrong on purpose, and it is found. Where it is something that `cutwater` did
//! wrong, the seed is one that shows it.

use cutwater_sim::{Plant, Setting, Simulation};

/// What is found when `plant` is done wrong.
fn found(plant: Plant, seed: u64) -> String {
    let setting = Setting { takeovers: true, plant: Some(plant), ..Setting::default() };
    let right = Setting { plant: None, ..setting };
    assert_eq!(Simulation::run_in(right, seed, false).violation, None, "{plant:?}, seed {seed}, done right");
    Simulation::run_in(setting, seed, false).violation.unwrap_or_default()
}

#[track_caller]
fn finds(plant: Plant, seed: u64, what: &str) {
    let found = found(plant, seed);
    assert!(found.contains(what), "{plant:?}, seed {seed}: {found:?}");
}

#[test]
fn no_two_masters_commit() {
    finds(Plant::SkipsTheFence, 2, "has claimed it");
    finds(Plant::SinkForgetsEpochs, 29, "has opened the sink");
}

#[test]
fn no_interval_without_its_input() {
    finds(Plant::RunsUnrecorded, 0, "its input is written nowhere");
    finds(Plant::ForgetsTooMuch, 2, "nothing is written any more");
}

#[test]
fn each_output_once() {
    finds(Plant::SinkRepeats, 1, "is committed after");
}

#[test]
fn memory_within_bounds() {
    finds(Plant::KeepsWhatNobodyReads, 0, "everything was let go");
    finds(Plant::KeepsOldEntries, 209, "objects are in the store");
}

#[test]
fn progress_resumes() {
    finds(Plant::NeverTakesOver, 0, "no interval has ended");
}

#[test]
fn nothing_needed_is_forgotten() {
    finds(Plant::ForgetsTooEarly, 2, "is needed and is not known");
}

#[test]
fn slots_are_neither_lost_nor_made() {
    finds(Plant::KeepsAttempts, 1, "attempts and room for");
}
