//! `lifecycle_and_listener`. Case 4 is about checkpoints and for the tests of recovery; the operation of case 9
//! is run with all others.

use std::{
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use cutwater::{Context, Error, ErrorKind, Event, Running, testing::Harness};

use super::{case, int, rows, text};

const SECOND: Duration = Duration::from_secs(1);
const FOR_EVER: Duration = Duration::from_secs(3600);

fn every(interval: Duration) -> Context {
    Context::builder("test").interval(interval).threads(1).handle_signals(false).build().unwrap()
}

/// A program that runs until it is stopped.
fn endless() -> Context {
    let ctx = every(Duration::from_millis(5));
    ctx.source("ticks").rate(1_000, |n| n).for_each_rdd(|_, _| ());
    ctx
}

fn start_error(ctx: &Context) -> String {
    ctx.start().unwrap_err().to_string()
}

/// The state machine, row by row. Where the model has a state, we have what can be done with it: an active
/// program can be waited for and has not ended, a stopped one cannot be started.
#[test]
fn a_program_goes_through_its_states() {
    for row in rows(&case("lifecycle_and_listener", 1), "table") {
        let (from, call, to) = (text(&row["from"]), text(&row["call"]), text(&row["to"]));
        let ctx = endless();
        let running = (from != "initialized").then(|| ctx.start().unwrap());
        if from == "stopped" {
            ctx.stop();
            running.as_ref().unwrap().wait().unwrap();
        }
        let is_active = |running: &Running| !running.wait_for(Duration::ZERO).unwrap();
        match (from, call) {
            ("initialized", "start") => {
                let running = ctx.start().unwrap();
                assert!(to == "active" && is_active(&running));
                ctx.stop();
                running.wait().unwrap();
            }
            ("initialized", "start with no output operation or bad graph") => {
                let bad = every(SECOND);
                let _ = bad.source("ticks").rate(1, |n| n);
                assert!(start_error(&bad).contains("no output"));
                assert!(to.starts_with("stopped") && start_error(&bad).contains("has run already"));
            }
            ("initialized", "stop") => {
                ctx.stop();
                assert!(to == "stopped" && start_error(&ctx).contains("stopped before it ran"));
            }
            // The program goes on, as the table says; that the call did nothing is said and not hidden.
            ("active", "start") => {
                assert!(start_error(&ctx).contains("is running already"));
                assert!(to.starts_with("active") && is_active(running.as_ref().unwrap()));
                ctx.stop();
                running.unwrap().wait().unwrap();
            }
            ("active", "stop") => {
                ctx.stop();
                let running = running.unwrap();
                running.wait().unwrap();
                assert!(to == "stopped" && running.wait_for(Duration::ZERO).unwrap());
            }
            ("stopped", "start") => assert!(to == "error" && start_error(&ctx).contains("has run already")),
            ("stopped", "stop") => {
                ctx.stop();
                assert!(to.starts_with("stopped") && running.unwrap().wait_for(Duration::ZERO).unwrap());
            }
            // A stream is declared without an answer, so that programs read well; the next interval says what
            // is wrong, and the one who waits has it.
            ("active", "add input, transformation or output") => {
                ctx.source("more").rate(1, |n| n).for_each_rdd(|_, _| ());
                let error = running.unwrap().wait().unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Config);
                assert!(
                    to == "error mentioning start" && error.to_string().contains("after the program started")
                );
            }
            ("stopped", "add input, transformation or output") => {
                ctx.source("more").rate(1, |n| n).for_each_rdd(|_, _| ());
                assert!(
                    to == "error mentioning stop" && start_error(&ctx).contains("after the program stopped")
                );
            }
            _ => panic!("{row} is not tested"),
        }
    }
}

#[test]
fn whoever_waits_is_told_when_and_why_it_ended() {
    assert_eq!(rows(&case("lifecycle_and_listener", 2), "rules").len(), 3);
    let ctx = endless();
    let running = ctx.start().unwrap();
    assert!(!running.wait_for(Duration::from_millis(20)).unwrap(), "still running");
    let waiting = running.clone();
    let waits = thread::spawn(move || waiting.wait());
    ctx.stop();
    waits.join().unwrap().unwrap();
    assert!(running.wait_for(FOR_EVER).unwrap(), "at once");
    running.wait().unwrap();

    // An error in a task, and one in making an interval's job.
    let in_a_task = every(Duration::from_millis(5));
    in_a_task.source("ticks").rate(1_000, |n| n).map(|n| 10 / n).for_each_rdd(|rdd, _| rdd.count().map(drop));
    let in_a_job = every(Duration::from_millis(5));
    let ticks = in_a_job.source("ticks").rate(1_000, |n| n);
    ticks
        .transform(|_, _| Err::<cutwater::Rdd<u64>, _>(Error::user("no dataset today")))
        .for_each_rdd(|_, _| ());
    for (ctx, message) in [(in_a_task, "divide by zero"), (in_a_job, "no dataset today")] {
        let running = ctx.start().unwrap();
        let error = running.wait().unwrap_err().to_string();
        assert!(error.contains(message), "{error}");
        assert!(running.wait_for(SECOND).unwrap_err().to_string().contains(message), "and again");
    }
}

/// `lifecycle_and_listener/003`: there is nothing in a process that two programs would share, so each may run.
#[test]
fn programs_of_one_process_do_not_meet() {
    case("lifecycle_and_listener", 3);
    let (one, other) = (endless(), endless());
    let running = [one.start().unwrap(), other.start().unwrap()];
    one.stop();
    running[0].wait().unwrap();
    assert!(!running[1].wait_for(Duration::ZERO).unwrap());
    other.stop();
    running[1].wait().unwrap();
}

/// What an event says, as the table has it: (event, scheduling delay, processing delay, total delay, records),
/// a delay being said or not.
type Said = (&'static str, bool, bool, bool, u64);

#[test]
fn events_say_what_is_known_by_then() {
    let case = case("lifecycle_and_listener", 5);
    let records = int(&case["records_per_batch"]) as usize;
    let harness = Harness::new(SECOND);
    let input = harness.input((0..int(&case["batches"])).map(|_| vec![1; records]));
    let _watched = harness.watch(&input);
    let said: Arc<Mutex<Vec<(i64, Said)>>> = Arc::default();
    let to = said.clone();
    harness.ctx().on_event(move |event| {
        let records =
            |sources: &[cutwater::SourceReport]| sources.iter().map(|source| source.taken.records).sum();
        let (time, said) = match event {
            Event::Submitted { time, sources } => {
                (*time, ("submitted", false, false, false, records(sources)))
            }
            // A `Duration` is never below zero.
            Event::Started { time, sources, scheduling_delay: _ } => {
                (*time, ("started", true, false, false, records(sources)))
            }
            Event::Completed(report) => {
                assert_eq!(report.delay, report.scheduling_delay() + report.processing);
                (report.time, ("completed", true, true, true, report.records()))
            }
            _ => return,
        };
        to.lock().unwrap().push((time.as_ms(), said));
    });
    harness.advance(int(&case["batches"]) as u64).unwrap();
    let said = said.lock().unwrap();
    let table = rows(&case, "table");
    assert_eq!(said.len() as i64, int(&case["batches"]) * table.len() as i64);
    // One thread tells, interval after interval, so what happens later is said later.
    assert!(said.is_sorted_by_key(|(time, _)| *time));
    for (row, (_, said)) in table.iter().cycle().zip(said.iter()) {
        let delay = |name: &str| !row[name].is_null();
        let delays = (delay("scheduling_delay"), delay("processing_delay"), delay("total_delay"));
        let expected = (text(&row["event"]), delays.0, delays.1, delays.2, int(&row["records"]) as u64);
        assert_eq!(*said, expected);
    }
}

#[test]
fn outputs_have_ids_in_the_order_of_declaration() {
    assert!(text(&case("lifecycle_and_listener", 6)["name"]).contains("ids 0,1,2"));
    let harness = Harness::new(SECOND);
    let input = harness.input([vec![1]]);
    (0..3).for_each(|_| input.for_each_rdd(|_, _| ()));
    let seen: Arc<Mutex<Vec<(bool, usize)>>> = Arc::default();
    let to = seen.clone();
    harness.ctx().on_event(move |event| match event {
        Event::OutputStarted { id, name, .. } => {
            assert!(name.contains("`for_each_rdd` at "), "{name}");
            to.lock().unwrap().push((false, *id));
        }
        Event::OutputCompleted { output, .. } => to.lock().unwrap().push((true, output.id)),
        _ => {}
    });
    let report = harness.step().unwrap();
    assert_eq!(report.outputs.iter().map(|output| output.id).collect::<Vec<_>>(), [0, 1, 2]);
    let expected: Vec<_> = (0..3).flat_map(|id| [(false, id), (true, id)]).collect();
    assert_eq!(*seen.lock().unwrap(), expected);
}

#[test]
fn every_output_that_failed_says_why() {
    for row in rows(&case("lifecycle_and_listener", 7), "table") {
        let failing: Vec<i64> = row["failed_outputs"].as_array().unwrap().iter().map(int).collect();
        let harness = Harness::new(SECOND);
        let input = harness.input([vec![1]]);
        for id in 0..3 {
            let fails = failing.contains(&id);
            input.for_each_rdd(move |_, _| {
                if fails { Err(Error::user(format_args!("output {id} is out of order"))) } else { Ok(()) }
            });
        }
        let report = harness.step().unwrap();
        let reasons = row["reasons"].as_object().unwrap();
        for output in &report.outputs {
            let said = output.failure.as_ref().map(ToString::to_string);
            match reasons.get(&output.id.to_string()) {
                None => assert_eq!(said, None, "{row}"),
                Some(_) => assert!(said.unwrap().contains(&format!("output {} is out of order", output.id))),
            }
        }
        assert_eq!(report.failure.is_some(), !failing.is_empty());
        assert_eq!(report.outputs_done(), 3 - failing.len());
    }
}

/// `lifecycle_and_listener/008`. To stop is a request here and may come from anywhere; what could only wait for
/// itself is to wait for the end, and that is the error.
#[test]
fn a_listener_cannot_wait_for_its_own_program() {
    assert!(text(&case("lifecycle_and_listener", 8)["name"]).contains("not a deadlock"));
    let ctx = endless();
    let (own, answer): (Arc<Mutex<Option<Running>>>, Arc<Mutex<Option<Error>>>) = Default::default();
    let (running, to, stop) = (own.clone(), answer.clone(), ctx.clone());
    ctx.on_event(move |event| {
        let running = running.lock().unwrap().clone();
        if let (Event::Completed(_), Some(running)) = (event, running) {
            *to.lock().unwrap() = running.wait().err();
            assert!(running.wait_for(FOR_EVER).is_err());
            stop.stop();
        }
    });
    let running = ctx.start().unwrap();
    *own.lock().unwrap() = Some(running.clone());
    running.wait().unwrap();
    let error = answer.lock().unwrap().take().unwrap().to_string();
    assert!(error.contains("cannot wait for the end of its own program"), "{error}");
    *own.lock().unwrap() = None;
}

/// `lifecycle_and_listener/009`, what comes after: whoever waits for a program that stops at a failure has the
/// error; one that goes on has it in its report.
#[test]
fn a_failure_is_reported() {
    let case = case("lifecycle_and_listener", 9);
    let intervals: Vec<Vec<i64>> = rows(&case, "input")
        .iter()
        .map(|interval| interval.as_array().unwrap().iter().map(int).collect())
        .collect();
    let harness = Harness::new(Duration::from_millis(int(&case["batch_interval_ms"]) as u64));
    let watched = harness.watch(&harness.input(intervals.clone()).map(|n| {
        assert_ne!(n, 1, "fail on 1");
        n
    }));
    let failures: Vec<_> = intervals.iter().map(|_| harness.step().unwrap().failure).collect();
    let expected: Vec<Vec<i64>> = rows(&case, "expected_nonempty")
        .iter()
        .map(|interval| interval.as_array().unwrap().iter().map(int).collect())
        .collect();
    assert_eq!(watched.all().into_iter().flatten().collect::<Vec<_>>(), expected);
    let failed: Vec<bool> = failures.iter().map(Option::is_some).collect();
    assert_eq!(failed, intervals.iter().map(|interval| interval.contains(&1)).collect::<Vec<_>>());
    assert!(text(&case["then"]).contains("await reports the error"));
    assert!(failures.into_iter().flatten().all(|error| error.to_string().contains("fail on 1")));
}

#[test]
fn for_each_sees_every_dataset_once() {
    let case = case("lifecycle_and_listener", 10);
    let intervals: Vec<Vec<i64>> = rows(&case, "input")
        .iter()
        .map(|interval| interval.as_array().unwrap().iter().map(int).collect())
        .collect();
    let harness = Harness::new(SECOND);
    let seen = Arc::new(Mutex::new((0, 0)));
    let to = seen.clone();
    let count = intervals.len() as u64;
    harness.input(intervals).for_each_rdd(move |rdd, _| {
        let mut seen = to.lock().unwrap();
        *seen = (seen.0 + 1, seen.1 + rdd.count()? as i64);
        Ok::<(), Error>(())
    });
    harness.advance(count).unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        (int(&case["expected"]["datasets"]), int(&case["expected"]["records"]))
    );
}
