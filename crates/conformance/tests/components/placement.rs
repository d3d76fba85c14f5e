//! `receivers_and_timers`, cases 1 and 2: on which workers receivers are started.

use std::collections::{BTreeMap, BTreeSet};

use cutwater_core::receivers::{Candidate, Place, Tracked, place, replace};
use serde_json::Value;

use super::{case, int, rows, text};

/// `host/worker` is a worker, anything else the name of a host.
fn candidate(value: &Value) -> Candidate {
    match text(value).split_once('/') {
        Some((host, worker)) => Candidate::Worker(Place::new(host, worker.parse().unwrap())),
        None => Candidate::Host(text(value).to_owned()),
    }
}

fn worker(value: &Value) -> Place {
    match candidate(value) {
        Candidate::Worker(place) => place,
        Candidate::Host(host) => panic!("{host} is no worker"),
    }
}

fn list<T>(values: &Value, one: fn(&Value) -> T) -> Vec<T> {
    values.as_array().unwrap().iter().map(one).collect()
}

#[test]
fn a_receiver_is_started_again_where_there_is_least_to_do() {
    for row in rows(&case("receivers_and_timers", 1), "table") {
        let others = row["tracking"].as_array().unwrap().iter().filter(|other| other["r"] != row["receiver"]);
        let tracked = others.map(|other| match text(&other["state"]) {
            "active" => Tracked::Active(worker(&other["running"])),
            "scheduled" => Tracked::Scheduled(list(&other["candidates"], candidate)),
            "inactive" => Tracked::Inactive,
            other => panic!("no receiver is {other}"),
        });
        let tracked: Vec<_> = tracked.collect();
        let got = replace(row["preferred"].as_str(), &tracked, &list(&row["executors"], worker));
        let expected: BTreeSet<_> = list(&row["expected_set"], candidate).into_iter().collect();
        assert_eq!(got, expected, "{row}");
    }
}

#[test]
fn receivers_are_spread_evenly() {
    for row in rows(&case("receivers_and_timers", 2), "table") {
        let (receivers, workers) = (int(&row["receivers"]) as usize, int(&row["executors"]) as u32);
        let on = row["preferred_on"].as_array().map(|on| on.iter().map(int).collect::<Vec<_>>());
        let on = on.unwrap_or_default();
        let host = |worker: u32| if on.contains(&i64::from(worker)) { "preferred" } else { "other" };
        let workers: Vec<_> = (0..workers).map(|worker| Place::new(host(worker), worker)).collect();
        // The last ones prefer the host, so that those before them must leave room.
        let picky = |receiver: usize| (receiver >= receivers - on.len()).then(|| "preferred".to_owned());
        let preferred: Vec<_> = (0..receivers).map(picky).collect();
        let placed = place(&preferred, &workers);
        assert_eq!(placed.len(), receivers, "{row}");
        let mut loads = BTreeMap::new();
        for (preferred, candidates) in preferred.iter().zip(&placed) {
            assert_eq!(candidates.len() as i64, int(&row["per_receiver_candidates"]), "{row}");
            for candidate in candidates {
                let Candidate::Worker(place) = candidate else { panic!("there are workers: {row}") };
                *loads.entry(place).or_insert(0) += 1;
                assert!(preferred.as_ref().is_none_or(|host| *host == place.host), "{row}");
            }
        }
        if let Some(load) = row["per_executor"].as_i64() {
            assert!(loads.len() == workers.len() && loads.values().all(|n| *n == load), "{row}: {loads:?}");
        } else {
            assert!(loads.is_empty(), "{row}");
        }
    }
}
