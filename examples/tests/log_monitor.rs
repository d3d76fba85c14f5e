//! `log_monitor` counts every error once while its logs grow and rotate.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
};

use support::Running;

/// The errors of a service in the last five minutes, as a line of the board tells them: long enough that none of them
/// leaves while a test waits.
fn in_five_minutes(line: &str, service: &str) -> Option<u64> {
    let (name, errors) = line.rsplit('│').next()?.trim().split_once(' ')?;
    (name == service).then(|| errors.trim().parse().ok())?
}

#[test]
fn errors_are_counted_over_rotations_of_both_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (moved, cut) = (path("moved.log"), path("cut.log"));
    let logs = [&moved, &cut].map(|path| path.to_str().unwrap());
    let mut monitor = Running::start("log_monitor", &[&["--interval-ms", "50"], &logs[..]].concat());
    // It looks for logs before its first interval; those of now are all new to it.
    monitor.wait_for(|line| line.starts_with("interval "));
    for round in 0..3u64 {
        let mut log = File::create(&moved).unwrap();
        writeln!(log, "1 INFO request\n2 ERROR no disk").unwrap();
        monitor.wait_for(|line| in_five_minutes(line, "moved") == Some(2 * round + 1));
        fs::rename(&moved, path("moved.log.1")).unwrap();
        write!(log, "3 ERROR after the rename").unwrap();
        File::create(&moved).unwrap();
        monitor.wait_for(|line| in_five_minutes(line, "moved") == Some(2 * round + 2));
        fs::remove_file(&moved).unwrap();

        let mut log = OpenOptions::new().create(true).append(true).open(&cut).unwrap();
        writeln!(log, "1 ERROR a line of some length\n2 INFO request").unwrap();
        monitor.wait_for(|line| in_five_minutes(line, "cut") == Some(2 * round + 1));
        log.set_len(0).unwrap();
        writeln!(log, "1 ERROR short").unwrap();
        monitor.wait_for(|line| in_five_minutes(line, "cut") == Some(2 * round + 2));
    }
}

#[test]
fn it_watches_the_writer_of_logs() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Running::start("log_writer", &[dir.path().to_str().unwrap()]);
    let logs = [writer.line(), writer.line(), writer.line()];
    let logs: Vec<_> = logs.iter().map(String::as_str).collect();
    let mut monitor = Running::start("log_monitor", &[&["--interval-ms", "100"], &logs[..]].concat());
    for service in ["auth", "orders", "search"] {
        // By then each log was rotated, at 20 kB of some thirty bytes a line of which one in twenty is an error.
        monitor.wait_for(|line| in_five_minutes(line, service).is_some_and(|errors| errors > 40));
    }
}
