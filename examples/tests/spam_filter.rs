//! `spam_filter` against the same filter over the same files, and with a list that changes.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::HashMap, fs};

use cutwater_examples::made_up;
use support::{column, highest, last_board};

#[test]
fn messages_of_senders_with_a_bad_score_are_stopped() {
    let (messages, senders) = (made_up::messages(), made_up::senders());
    let scores: HashMap<&str, u32> = senders
        .lines()
        .map(|line| {
            let (sender, score) = line.split_once(',').unwrap();
            (sender, score.parse().unwrap())
        })
        .collect();
    let mut stopped: HashMap<String, u64> = HashMap::new();
    for line in messages.lines().skip(1) {
        let sender = line.split(',').nth(1).unwrap();
        if scores.get(sender).is_some_and(|score| *score >= 90) {
            *stopped.entry(sender.to_owned()).or_default() += 1;
        }
    }
    let (all, spam) = (messages.lines().count() as u64 - 1, stopped.values().sum::<u64>());
    let printed = support::run("spam_filter", &["--batch"]);
    let board = last_board(&printed);
    assert_eq!(column(&board, 0), [("inbox".to_owned(), all - spam), ("spam".to_owned(), spam)], "{printed}");
    assert_eq!(column(&board, 1), highest(stopped, 10), "{printed}");
}

/// The list is empty until the program has let messages through; from then on everyone is on it.
#[test]
fn the_list_is_read_again_while_the_program_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let (messages, list, beside) = (path("messages.csv"), path("list.csv"), path("beside"));
    fs::write(&messages, made_up::messages()).unwrap();
    fs::write(&list, "").unwrap();
    let files = [&messages, &list].map(|path| path.to_str().unwrap());
    // An interval of a second of theirs: the messages are enough for minutes.
    let speed = ["--interval-ms", "1000", "--speed", "100"];
    let mut running = support::Running::start("spam_filter", &[&speed[..], &files].concat());
    running.wait_for(|line| line.starts_with("inbox"));
    let all: String = (0..300).map(|n| format!("s{n:03}@example.org,100\n")).collect();
    fs::write(&beside, all).unwrap();
    fs::rename(&beside, &list).unwrap();
    running.wait_for(|line| line.starts_with("spam"));
}
