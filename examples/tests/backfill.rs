//! `backfill`: history and then today are what all of it would be at once.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashMap, fs, process::Command};

use cutwater_examples::made_up;
use support::{column, highest, last_board};

#[test]
fn today_goes_on_where_history_ended() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("history");
    let folder = folder.to_str().unwrap();
    let text = fs::read_to_string(made_up::flights(1..32).unwrap()).unwrap();
    let (mut flights, mut miles): (HashMap<_, u64>, HashMap<_, u64>) = Default::default();
    for line in text.lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        *flights.entry(fields[9].to_owned()).or_default() += 1;
        *miles.entry(fields[9].to_owned()).or_default() += fields[15].parse::<f64>().unwrap() as u64;
    }
    // Run twice, history counts once.
    for _ in 0..2 {
        support::run("backfill", &["--batch", folder]);
    }
    let printed = support::run("backfill", &["--speed", "1e9", folder]);
    let board = last_board(&printed);
    assert_eq!(column(&board, 1), highest(flights, 16), "{printed}");
    assert_eq!(column(&board, 2), highest(miles, 16), "{printed}");
}

#[test]
fn without_history_it_says_what_is_missing() {
    let output = Command::new(support::example("backfill")).arg("/nowhere").output().unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(error.contains("saved_records") && error.contains("/nowhere"), "{error}");
}
