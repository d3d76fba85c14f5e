//! Masters that end by themselves before their program does: workers wait for the next, with all that clients were told is
//! safe.

use std::{
    fs::{self, File},
    path::Path,
    process::Child,
};

use crate::{
    ADDRESS, SAYS,
    clients::{FAILS, FAILS_BEFORE, Trial, is_program},
    entries,
    process::{exit_code, kill, wait_until},
    start,
};

/// An error of the program.
fn program_fails(trial: &Trial) {
    File::create(trial.folder().join(FAILS)).unwrap();
}

fn program_is_mended(trial: &Trial) {
    fs::remove_file(trial.folder().join(FAILS)).unwrap();
}

/// Clients are told that records are safe before the master ends and while there is none.
fn ends_by_an_error(trial: &mut Trial, master: &mut Child) {
    trial.send_all();
    assert_eq!(exit_code(master), Some(3));
    trial.send_all();
}

fn starts_and_ends(trial: &mut Trial) {
    let mut master = start(trial.folder());
    ends_by_an_error(trial, &mut master);
}

#[test]
fn acknowledged_records_survive_a_master_that_ends_by_an_error_of_the_program() {
    if is_program() {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    for _ in 0..2 {
        trial.send_all();
        program_fails(&trial);
        ends_by_an_error(&mut trial, &mut master);
        program_is_mended(&trial);
        master = start(trial.folder());
    }
    trial.send_all();
    trial.ends(master);
}

/// Whoever comes next ends as well, before its program runs, or while it takes over: nothing is to be lost with that either.
#[test]
fn acknowledged_records_survive_masters_that_end_while_they_take_over() {
    if is_program() {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    trial.send_all();
    program_fails(&trial);
    ends_by_an_error(&mut trial, &mut master);
    // The interval that has failed is run again, and fails again.
    starts_and_ends(&mut trial);
    program_is_mended(&trial);
    File::create(trial.folder().join(FAILS_BEFORE)).unwrap();
    starts_and_ends(&mut trial);
    fs::remove_file(trial.folder().join(FAILS_BEFORE)).unwrap();
    let master = start(trial.folder());
    trial.ends(master);
}

/// A file lies where the log is to be.
fn spoil(log: &Path, away: &Path) {
    fs::rename(log, away).unwrap();
    File::create(log).unwrap();
}

#[test]
fn acknowledged_records_survive_a_master_whose_log_cannot_be_written() {
    if is_program() {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    let (log, away) = (trial.folder().join("checkpoints").join("log"), trial.folder().join("away"));
    trial.send_all();
    wait_until("nothing is written down", || entries(&log).len() > 4);
    spoil(&log, &away);
    ends_by_an_error(&mut trial, &mut master);
    fs::remove_file(&log).unwrap();
    fs::rename(&away, &log).unwrap();
    let master = start(trial.folder());
    trial.ends(master);
}

/// Longer than a worker waits that holds nothing.
#[test]
fn acknowledged_records_survive_a_long_time_without_a_master() {
    if is_program() {
        return;
    }
    let (mut trial, by_hand, (master, mut workers)) = Trial::start_by_hand(|by_hand| {
        let worker = |number| {
            let says = File::create(by_hand.folder.join(format!("says-{number}"))).unwrap();
            by_hand.worker(&by_hand.address).env(SAYS, "").stderr(says).spawn().unwrap()
        };
        let workers: Vec<Child> = (0..3).map(worker).collect();
        // The first alone would hold what it acknowledges alone.
        let mut master = by_hand.command();
        master.env(ADDRESS, &by_hand.address).env("CUTWATER_MIN_WORKERS", "3");
        (master.spawn().unwrap(), workers)
    });
    trial.send_all();
    kill(master);
    trial.send_all();
    let folder = trial.folder().to_owned();
    let said = |number: usize| fs::read_to_string(folder.join(format!("says-{number}"))).unwrap();
    let waits = |number: &usize| said(*number).contains("this worker holds records that were acknowledged");
    wait_until("who holds records does not wait", || (0..3).filter(waits).count() >= 2);
    trial.send_all();
    let master = by_hand.master();
    trial.send_all();
    let waited: Vec<usize> = (0..3).filter(waits).collect();
    trial.ends(master);
    for (number, worker) in workers.iter_mut().enumerate() {
        let ended = exit_code(worker);
        assert!(ended == Some(0) || !waited.contains(&number), "{number} ended by {ended:?}");
    }
}
