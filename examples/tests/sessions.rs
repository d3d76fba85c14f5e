//! `sessions` against what the events say for every time that it prints.

#![allow(clippy::unwrap_used)]

mod support;

use std::{collections::BTreeMap, time::Duration};

use cutwater::Time;
use cutwater_examples::made_up;

#[test]
fn who_watches_is_told_for_every_interval() {
    let interval = Duration::from_secs(20);
    let text = made_up::viewers();
    let events: Vec<(Time, &str, Option<u32>)> = text
        .lines()
        .skip(1)
        .map(|line| {
            let fields: Vec<_> = line.split(',').collect();
            (fields[0].parse().unwrap(), fields[1], fields[2].parse().ok())
        })
        .collect();
    let (mut vanished, mut checked) = (0, 0);
    let (mut last, mut events) = (BTreeMap::new(), events.into_iter().peekable());
    for line in support::run("sessions", &["--batch"]).lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let time: Time = words[0].parse().unwrap();
        while let Some((when, viewer, rate)) = events.next_if(|event| event.0 <= time) {
            last.insert(viewer, (when, rate));
        }
        // Two minutes are counted from the end of the interval in which a viewer was last heard of; what happens at
        // its end is in it.
        let end = |when: Time| (when - Duration::from_millis(1)).next_multiple(interval);
        let is_heard = |when: Time| time.since(end(when)) <= Duration::from_secs(120);
        vanished += last.values().filter(|(when, rate)| rate.is_some() && !is_heard(*when)).count();
        let rates: Vec<_> = last.values().filter(|last| is_heard(last.0)).filter_map(|last| last.1).collect();
        let high = rates.iter().filter(|rate| **rate >= 4000).count();
        assert_eq!([words[1], words[3]], [rates.len().to_string(), high.to_string()], "{line}");
        checked += 1;
    }
    assert!(checked > 300 && vanished > 0, "{checked} intervals, {vanished} viewers that vanished");
}

#[test]
fn a_live_run_prints_what_batch_mode_does() {
    assert_eq!(support::run("sessions", &["--speed", "1e9"]), support::run("sessions", &["--batch"]));
}
