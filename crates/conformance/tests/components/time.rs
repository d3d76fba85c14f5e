//! `time_duration`, and of `receivers_and_timers` what is arithmetic or text. Spans of time are those of the
//! standard library; what the table says of them holds there.

use std::{iter, time::Duration};

use cutwater_core::{
    Time,
    text::{in_largest_unit, interval_label},
};
use serde_json::Value;

use super::{case, float, int, ms, rows, text};

fn at(value: &Value) -> Time {
    Time::from_ms(int(value))
}

fn labels(from: Time, step: Duration) -> impl Iterator<Item = Time> {
    iter::successors(Some(from), move |time| Some(*time + step))
}

#[test]
fn times_are_reckoned_as_the_table_says() {
    for row in rows(&case("time_duration", 1), "table") {
        let (a, b, r) = (at(&row["a"]), row.get("b").map(at), &row["r"]);
        let other = || b.unwrap();
        let list = || r.as_array().unwrap().iter().map(at).collect::<Vec<_>>();
        match text(&row["fn"]) {
            "compare" => {
                let b = other();
                let expected = ["lt", "le", "gt", "ge"].map(|name| row[name].as_bool().unwrap());
                assert_eq!([a < b, a <= b, a > b, a >= b], expected, "{row}");
            }
            "plus" => assert_eq!(a + ms(&row["d"]), at(r), "{row}"),
            "minus_time" => assert_eq!(a.since(other()), ms(r), "{row}"),
            "minus_duration" => assert_eq!(a - ms(&row["d"]), at(r), "{row}"),
            // From another zero: the multiple after, which is strictly after, less one.
            "floor" => {
                assert_eq!(a.next_from(at(&row["zero"]), ms(&row["d"])) - ms(&row["d"]), at(r), "{row}")
            }
            "is_multiple_of" => assert_eq!(a.floor(ms(&row["d"])) == a, r.as_bool().unwrap(), "{row}"),
            "min" => assert_eq!(a.min(other()), at(r), "{row}"),
            "max" => assert_eq!(a.max(other()), at(r), "{row}"),
            "until" => {
                let times: Vec<_> = labels(a, ms(&row["step"])).take_while(|t| *t < other()).collect();
                assert_eq!(times, list(), "{row}");
            }
            "to" => {
                let times: Vec<_> = labels(a, ms(&row["step"])).take_while(|t| *t <= other()).collect();
                assert_eq!(times, list(), "{row}");
            }
            unknown => panic!("{unknown} is not tested"),
        }
    }
}

#[test]
fn spans_are_reckoned_as_the_table_says() {
    for row in rows(&case("time_duration", 2), "table") {
        let a = || ms(&row["a"]);
        match text(&row["fn"]) {
            "times" => assert_eq!(a() * u32::try_from(int(&row["k"])).unwrap(), ms(&row["r"]), "{row}"),
            "div" => assert_eq!(a().div_duration_f64(ms(&row["b"])), float(&row["r"]), "{row}"),
            "is_zero" => assert_eq!(a().is_zero(), row["r"].as_bool().unwrap(), "{row}"),
            "seconds" => assert_eq!(Duration::from_secs(int(&row["n"]) as u64), ms(&row["r"]), "{row}"),
            "minutes" => assert_eq!(Duration::from_secs(60 * int(&row["n"]) as u64), ms(&row["r"]), "{row}"),
            "milliseconds" => assert_eq!(ms(&row["n"]), ms(&row["r"]), "{row}"),
            unknown => panic!("{unknown} is not tested"),
        }
    }
}

#[test]
fn a_start_is_at_the_next_multiple_and_so_is_a_restart() {
    for row in rows(&case("receivers_and_timers", 5), "table") {
        let (now, period) = (at(&row["now"]), ms(&row["period"]));
        match row.get("start") {
            Some(start) => assert_eq!(now.next_multiple(period), at(start), "{row}"),
            None => assert_eq!(now.next_from(at(&row["original"]), period), at(&row["restart"]), "{row}"),
        }
    }
}

#[test]
fn labels_are_written_with_what_tells_them_apart() {
    let case = case("receivers_and_timers", 8);
    // In May the zone of the table is seven hours behind; which zone and when is for whoever asks to know.
    assert_eq!(text(&case["zone"]), "America/Los_Angeles");
    for row in rows(&case, "table") {
        let (time, with_date) = (at(&case["batch_time"]), row["date"].as_bool().unwrap());
        let label = interval_label(time, ms(&row["batch_ms"]), -7 * 3600, with_date);
        assert_eq!(label, text(&row["text"]), "{row}");
    }
}

#[test]
fn a_span_is_written_in_its_largest_unit() {
    for row in rows(&case("receivers_and_timers", 9), "table") {
        assert_eq!(in_largest_unit(ms(&row["ms"])), (float(&row["value"]), text(&row["unit"])), "{row}");
    }
}
