//! Programs with states and windows over the records of a file.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::Child,
};

use cutwater::{Builder, Context, Error, Time};
use tempfile::TempDir;

use crate::{
    ByHand, INTERVAL, PARALLELISM, STANDBY, builder,
    process::{self, exit_code, kill, program, signal, wait_until},
    start, start_standby,
};

const INTERVALS: i64 = 60;

/// Lines of a time in milliseconds, a key and a value, over some seconds.
pub fn write_input(folder: &Path) {
    let lines: String = (0..INTERVALS * 20).map(|n| format!("{} {} {n}\n", 1 + n * 5, n * n % 43)).collect();
    fs::write(folder.join("input"), lines).unwrap();
}

/// The program: a state, a window, and one that looks back at older states; each interval's records written to a file of their own kind.
fn run(builder: Builder, folder: &Path, out: &str) -> Result<(), Error> {
    let ctx = builder.build()?;
    let parse = |line: &str| {
        let mut fields = line.split(' ').map(|field| field.parse::<i64>().map_err(|error| error.to_string()));
        let mut next = || fields.next().unwrap_or_else(|| Err("too short".to_owned()));
        Ok::<_, String>((next()?, next()?, next()?))
    };
    let records =
        ctx.source("records").replay([folder.join("input")], parse, |record| Time::from_ms(record.0));
    let keyed = records.map(|(_, key, value)| (key, value));
    let counts = keyed.running_reduce(|a, b| a + b);
    let window = keyed.reduce_by_key_and_window(|a, b| a.max(b), 6 * INTERVAL, INTERVAL);
    let older =
        counts.window(12 * INTERVAL, INTERVAL).map(|(key, _)| (key % 5, 1)).reduce_by_key(|a, b| a + b);
    for (name, stream) in [("counts", counts), ("window", window), ("older", older)] {
        let file = folder.join(format!("{out}-{name}"));
        stream.for_each_rdd(move |rdd, t| {
            let mut records = rdd.collect()?;
            records.sort_unstable();
            let line = format!("{} {records:?}\n", t.as_ms());
            // In one write, so that a kill leaves no half of it.
            let file = OpenOptions::new().append(true).create(true).open(&file);
            file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::user)
        });
    }
    ctx.run()
}

/// What was written, by interval. One that was run again has given the same.
fn given(folder: &Path, out: &str, name: &str) -> BTreeMap<i64, String> {
    let mut by_time = BTreeMap::new();
    for line in fs::read_to_string(folder.join(format!("{out}-{name}"))).unwrap_or_default().lines() {
        let (time, records) = line.split_once(' ').unwrap();
        let before = by_time.insert(time.parse().unwrap(), records.to_owned());
        assert!(before.is_none_or(|before| before == records), "interval {time} of {name} differs");
    }
    by_time
}

pub fn assert_complete(folder: &Path) {
    let undisturbed = Context::builder("takeover").interval(INTERVAL).threads(2).batch(true).progress(false);
    run(undisturbed, folder, "expected").unwrap();
    for name in ["counts", "window", "older"] {
        assert_eq!(given(folder, "given", name), given(folder, "expected", name), "{name}");
    }
}

/// In a process that was started as the program, is it.
pub fn is_program() -> bool {
    process::is_program(|folder| run(builder(folder), folder, "given"))
}

/// Where the files of a test are, with the program's input. In a process that was started as the program, is it, and ends with
/// it.
fn begin() -> TempDir {
    assert!(!is_program(), "it has ended by now");
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    dir
}

/// Waits until so many intervals were given out.
pub fn wait_for(folder: &Path, intervals: usize) {
    wait_until(&format!("{intervals} intervals have not come"), || {
        given(folder, "given", "window").len() >= intervals
    });
}

/// All are killed before any has been seen to be gone.
fn kill_at_once(processes: Vec<Child>) {
    processes.iter().for_each(|process| signal(process.id(), "-STOP"));
    processes.into_iter().for_each(kill);
}

#[test]
fn a_standby_takes_over_from_a_master_that_is_killed() {
    let dir = begin();
    let master = start(dir.path());
    wait_for(dir.path(), 2);
    let mut standby = start_standby(dir.path());
    wait_for(dir.path(), 20);
    kill(master);
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}

/// What workers hold of states is in other partitions than the next master's, and is not taken for its.
#[test]
fn a_standby_takes_over_with_another_parallelism() {
    let dir = begin();
    let mut master = start(dir.path());
    for (parallelism, taken_over, intervals) in [(4, 2, 20), (9, 28, 40)] {
        // Of two standbys either may be next.
        wait_for(dir.path(), taken_over);
        let mut standby = program(dir.path());
        let standby = standby.env(STANDBY, "1").env(PARALLELISM, parallelism.to_string()).spawn().unwrap();
        wait_for(dir.path(), intervals);
        kill(master);
        master = standby;
    }
    assert_eq!(exit_code(&mut master), Some(0));
    assert_complete(dir.path());
}

/// Whoever comes back finds that another has the log, and ends; it has written nothing that counts.
#[test]
fn a_master_that_was_only_stopped_does_no_harm_when_it_wakes_up() {
    let dir = begin();
    let mut master = start(dir.path());
    wait_for(dir.path(), 2);
    let mut standby = start_standby(dir.path());
    wait_for(dir.path(), 15);
    signal(master.id(), "-STOP");
    wait_for(dir.path(), 30);
    signal(master.id(), "-CONT");
    assert_eq!(exit_code(&mut master), Some(3));
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}

#[test]
fn a_master_that_is_started_again_finds_its_workers() {
    let dir = begin();
    for intervals in [10, 25, 40] {
        let master = start(dir.path());
        wait_for(dir.path(), intervals);
        kill(master);
    }
    assert_eq!(exit_code(&mut start(dir.path())), Some(0));
    assert_complete(dir.path());
}

/// Whatever they held is read from the states that were written, and made again from the inputs since.
#[test]
fn all_workers_killed_at_once_are_replaced_by_others() {
    let dir = begin();
    let by_hand = ByHand::new(dir.path());
    let (mut master, mut workers) = (by_hand.master(), by_hand.workers());
    for intervals in [15, 35] {
        wait_for(dir.path(), intervals);
        kill_at_once(workers);
        workers = by_hand.workers();
    }
    assert_eq!(exit_code(&mut master), Some(0));
    workers.iter_mut().for_each(|worker| assert_eq!(exit_code(worker), Some(0)));
    assert_complete(dir.path());
}

#[test]
fn a_program_goes_on_after_its_master_and_all_workers_are_killed_at_once() {
    let dir = begin();
    let by_hand = ByHand::new(dir.path());
    let mut processes = by_hand.workers();
    let mut master = by_hand.master();
    for intervals in [15, 35] {
        wait_for(dir.path(), intervals);
        processes.push(master);
        kill_at_once(processes);
        (master, processes) = (by_hand.master(), by_hand.workers());
    }
    assert_eq!(exit_code(&mut master), Some(0));
    processes.iter_mut().for_each(|worker| assert_eq!(exit_code(worker), Some(0)));
    assert_complete(dir.path());
}

/// A second one that does not say that it is a standby is a mistake, and the first goes on.
#[test]
fn two_masters_at_a_time_are_refused_and_a_standby_ends_with_the_program() {
    let dir = begin();
    let mut master = start(dir.path());
    wait_for(dir.path(), 2);
    let (mut second, mut standby) = (start(dir.path()), start_standby(dir.path()));
    assert_eq!(exit_code(&mut second), Some(3));
    assert_eq!(exit_code(&mut master), Some(0));
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}
