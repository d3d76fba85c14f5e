//! `pid_rate` and `rate_limits`: the estimator, the limits, and both at work behind a source.

use std::time::Duration;

use cutwater::{Context, testing::Harness};
use cutwater_core::{
    Time,
    rate::{Backlog, Pid, PidRate, limited, partition_records_max, records_in},
};
use serde_json::Value;

use super::{case, cases, float, int, ms, rows};

fn pid(params: &Value) -> Pid {
    Pid {
        proportional: float(&params["kp"]),
        integral: float(&params["ki"]),
        derivative: float(&params["kd"]),
        rate_min: float(&params["min_rate"]),
    }
}

/// Negative counts and delays of the table are none here, where they cannot be negative.
fn count(value: &Value) -> u64 {
    u64::try_from(int(value)).unwrap_or(0)
}

#[test]
fn the_estimator_answers_as_the_table_does() {
    let mut calls = 0;
    for case in cases("pid_rate") {
        let Some(script) = case["calls"].as_array() else { continue };
        let params = &case["params"];
        let mut estimator = PidRate::new(pid(params), ms(&params["batch_ms"]));
        for call in script {
            let rate = estimator.observe(
                Time::from_ms(int(&call["time_ms"])),
                count(&call["elements"]),
                Duration::from_millis(count(&call["processing_delay_ms"])),
                Duration::from_millis(count(&call["scheduling_delay_ms"])),
            );
            let near = |expected: f64| rate.is_some_and(|rate| (rate - expected).abs() < 1e-6 * expected);
            let expected = &call["expected"];
            assert!(expected.as_f64().map_or(rate.is_none(), near), "{}: {call} gave {rate:?}", case["id"]);
            calls += 1;
        }
    }
    assert!(calls >= 150, "the table has more calls than {calls}");
}

/// `pid_rate/009`: with a backlog the rate is below the speed, and never below the least.
#[test]
fn with_a_backlog_the_rate_is_below_the_speed() {
    let case = case("pid_rate", 9);
    let (params, generator) = (&case["params"], &case["generator"]);
    let pid = pid(params);
    let processing = ms(&generator["processing_delay_ms"]);
    let mut estimator = PidRate::new(pid, ms(&params["batch_ms"]));
    // The generator's ranges, walked through in steps that hit every part of them.
    for n in 0..u64::try_from(int(&generator["calls"])).unwrap() {
        let (elements, late) = (1_000 + n * 617 % 1_000, 1 + n * 7 % 19);
        let time = Time::from_ms(20 * i64::try_from(n).unwrap());
        match estimator.observe(time, elements, processing, Duration::from_millis(late)) {
            None => assert_eq!(n, 0),
            Some(rate) => {
                let speed = elements as f64 / processing.as_secs_f64();
                assert!(pid.rate_min <= rate && rate < speed, "{n}: {rate} of {speed}");
            }
        }
    }
}

/// `pid_rate/010`: what is out of range is refused when the program is to start. An interval of nothing is
/// a fault of the interval.
#[test]
fn parameters_out_of_range_are_refused() {
    for wrong in rows(&case("pid_rate", 10), "errors") {
        let ctx = Context::builder("test").threads(1).pid(pid(wrong)).interval(ms(&wrong["batch_ms"]));
        let error = ctx.build().unwrap().run().unwrap_err().to_string();
        let named = ["gain of", "lowest rate of", "an interval of"].iter().any(|what| error.contains(what));
        assert!(named, "{wrong}: {error}");
    }
}

#[test]
fn a_rate_is_limited_by_the_highest() {
    for row in rows(&case("rate_limits", 1), "table") {
        assert_eq!(limited(float(&row["update"]), row["max_rate"].as_f64()), float(&row["limit"]), "{row}");
    }
}

#[test]
fn partitions_share_a_rate_by_what_is_there() {
    for row in rows(&case("rate_limits", 2), "table") {
        let latest = row["latest"].as_object().unwrap();
        let partition = |(name, latest): (&String, &Value)| Backlog {
            records: u64::try_from(int(latest) - int(&row["current"][name])).unwrap(),
            rate_max: Some(float(&row["max_rate_per_partition"][name])),
        };
        let partitions: Vec<_> = latest.iter().map(partition).collect();
        let rate = row["estimated_rate"].as_f64().or(row["initial_rate"].as_f64());
        let max = partition_records_max(
            &partitions,
            rate,
            ms(&row["batch_ms"]),
            count(&row["min_rate_per_partition"]),
        );
        let expected =
            row["expected"].as_object().map(|expected| expected.values().map(count).collect::<Vec<_>>());
        assert_eq!(max, expected, "{row}");
    }
}

/// `rate_limits/003`, and the same from the first interval on behind a source.
#[test]
fn an_interval_takes_what_the_rate_gives() {
    for row in rows(&case("rate_limits", 3), "table") {
        let (interval, rate, records) = (ms(&row["batch_ms"]), float(&row["rate"]), count(&row["records"]));
        assert_eq!(records_in(interval, rate), records, "{row}");
        let builder = Context::builder("test").interval(interval).threads(1);
        let rate = rate as u64;
        for builder in [builder.clone().max_rate(rate), builder.backpressure(true).initial_rate(rate)] {
            let harness = Harness::with(builder, 1);
            let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
            let _watched = harness.watch(&numbers);
            while sender.try_send(1).is_ok() {}
            assert_eq!(harness.step().unwrap().records(), records, "{row}");
        }
    }
}

/// The whole loop, with delays that are fed: the source settles at what the program can process, whatever
/// it began from, and follows when that changes.
#[test]
fn a_source_settles_at_what_can_be_processed() {
    let second = Duration::from_secs(1);
    for initial in [50, 400, 100_000] {
        let program = Context::builder("test").interval(second).threads(2).backpressure(true);
        let harness = Harness::with(program.initial_rate(initial).max_rate(50_000), 2);
        let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
        let sums = harness.watch(&numbers.count());
        let mut taken = Vec::new();
        for (speed, intervals) in [(2_000, 100), (500, 40), (8_000, 40)] {
            for _ in 0..intervals {
                let mut sent = 0;
                while sender.try_send(1).is_ok() {
                    sent += 1;
                }
                let report = harness.step_taking(Duration::from_micros(sent * 1_000_000 / speed)).unwrap();
                assert_eq!(report.records(), sent);
                taken.push(sent);
            }
            let settled = &taken[taken.len() - 5..];
            assert!(settled.iter().all(|n| n.abs_diff(speed) <= speed / 20), "{settled:?} of {speed}");
        }
        assert_eq!(taken[0], initial.min(50_000));
        let counts: Vec<u64> = sums.all().into_iter().flatten().flatten().collect();
        assert_eq!(counts, taken, "every record that was taken was processed");
    }
}

/// Without back pressure delays change nothing, and an interval that failed says nothing.
#[test]
fn only_intervals_that_went_well_change_the_rate() {
    let second = Duration::from_secs(1);
    for on in [false, true] {
        let builder = Context::builder("test").interval(second).threads(1).max_rate(100).backpressure(on);
        let harness = Harness::with(builder.pid(Pid { rate_min: 1.0, ..Pid::default() }), 1);
        let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
        let _watched = harness.watch(&numbers.map(|n| {
            assert_ne!(n, 13);
            n
        }));
        let mut taken = Vec::new();
        for n in 0..6 {
            let record = if n < 3 { 13 } else { 1 };
            while sender.try_send(record).is_ok() {}
            let report = harness.step_taking(10 * second).unwrap();
            assert_eq!(report.failure.is_some(), n < 3);
            taken.push(report.records());
        }
        let last = taken.split_off(5);
        assert_eq!(taken, [100; 5]);
        assert_eq!(last, if on { [1] } else { [100] });
    }
}
