//! `dynamic_allocation`: how many workers there are. An executor of the tables is a worker here.

use std::{num::NonZeroU32, time::Duration};

use cutwater_core::allocation::{Decision, Policy};
use serde_json::Value;

use super::{case, float, int, ms, rows, text};

fn count(value: &Value) -> Option<u32> {
    (!value.is_null()).then(|| u32::try_from(int(value)).unwrap())
}

fn names(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(text).collect()
}

#[test]
fn the_share_of_an_interval_decides() {
    let case = case("dynamic_allocation", 1);
    let defaults = &case["defaults"];
    let policy = Policy::default();
    assert_eq!(policy.every, Duration::from_secs(u64::from(count(&defaults["interval_s"]).unwrap())));
    assert_eq!((policy.up, policy.down), (float(&defaults["up"]), float(&defaults["down"])));
    let (workers, with_receiver) = (names(&case["executors"]), [text(&case["executor_with_receiver"])]);
    for row in rows(&case, "table") {
        let (mut total, mut let_go) = (None, None);
        match policy.decide(ms(&row["avg_batch_ms"]), ms(&case["batch_ms"])) {
            Some(Decision::More(more)) => total = Some(policy.total(workers.len() as u32, more, 1)),
            Some(Decision::Fewer) => let_go = policy.let_go(&workers, &with_receiver),
            None => {}
        }
        assert_eq!((total, let_go), (count(&row["request_total"]), row["kill"].as_str()), "{row}");
    }
}

/// To ask for no more, which is an error in the table, is not for a `NonZeroU32`.
#[test]
fn what_is_asked_for_is_within_the_bounds() {
    for row in rows(&case("dynamic_allocation", 2), "table") {
        let policy =
            Policy { workers_min: count(&row["min"]), workers_max: count(&row["max"]), ..Policy::default() };
        let number = |name: &str| count(&row[name]).unwrap();
        let more = NonZeroU32::new(number("new"));
        assert_eq!(more.is_none(), row["error"] == true, "{row}");
        let total = more.map(|more| policy.total(number("have"), more, number("receivers")));
        assert_eq!(total, count(&row["total"]), "{row}");
    }
}

#[test]
fn who_has_no_receiver_may_go() {
    for row in rows(&case("dynamic_allocation", 3), "table") {
        let policy = Policy { workers_min: count(&row["min"]), ..Policy::default() };
        let let_go = policy.let_go(&names(&row["executors"]), &names(&row["with_receiver"]));
        assert_eq!(let_go, row["kill"].as_str(), "{row}");
    }
}

/// The policy with a row's parameters; `None` if the type of one refuses its value.
fn policy(row: &Value) -> Option<Policy> {
    let mut policy = Policy::default();
    for (name, value) in row.as_object().unwrap() {
        match name.as_str() {
            "min" => policy.workers_min = Some(u32::try_from(int(value)).ok()?),
            "max" => policy.workers_max = Some(u32::try_from(int(value)).ok()?),
            "interval_s" => policy.every = Duration::from_secs(u64::try_from(int(value)).ok()?),
            "up" => policy.up = float(value),
            "down" => policy.down = float(value),
            other => panic!("no parameter is called {other}"),
        }
    }
    Some(policy)
}

#[test]
fn parameters_out_of_range_are_refused() {
    let case = case("dynamic_allocation", 4);
    for row in rows(&case, "ok") {
        assert_eq!(policy(row).unwrap().fault(), None, "{row}");
    }
    for row in rows(&case, "error") {
        assert!(policy(row).is_none_or(|policy| policy.fault().is_some()), "{row}");
    }
}
