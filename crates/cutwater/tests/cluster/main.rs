//! Programs whose tasks run in other processes.

#![allow(clippy::unwrap_used)]

mod ahead;
mod clients;
mod clocks;
mod coming_and_going;
mod connections;
mod door;
mod files;
#[path = "../support/garbage.rs"]
mod garbage;
mod hosts;
#[path = "../support/hosts.rs"]
mod network;
mod posting;
mod processes;
mod programs;
mod recovery;
mod secure;
mod sending;
mod stragglers;
mod waiting;

use std::time::{Duration, Instant};

use cutwater::{Builder, Context, testing::Harness};

/// A program with one compute thread in each of so many worker processes.
fn builder(workers: usize) -> Builder {
    Context::builder("cluster").interval(Duration::from_secs(1)).threads(1).workers(workers)
}

fn harness(workers: usize) -> Harness {
    Harness::with(builder(workers), 4)
}

/// What came of it, in an order of its own.
fn sorted<T: Ord>(mut records: Vec<T>) -> Vec<T> {
    records.sort();
    records
}

/// Waits until something is so, for as long as a slow machine may take; what nobody ever makes so is an error of the
/// program, not a test that hangs.
#[track_caller]
fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}, even after a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Ends a process as a crash does.
fn kill(process: u32) {
    signal(process, "-KILL");
}

fn signal(process: u32, signal: &str) {
    let done = std::process::Command::new("kill").args([signal, &process.to_string()]).status().unwrap();
    assert!(done.success());
}
