//! `receivers_and_timers`: what our driver does for timers, our intakes for block generators and our reports
//! for trackers of input. Cases 1 and 2 place receivers over executors, which needs more than one.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use cutwater::{
    Context, Error, Time,
    source::{Intake, Receiver},
    testing::Harness,
};

use super::{case, int, ms, rows, text};

/// So long that it never ends by itself in a test: what happens, happens because of a stop.
const FOR_EVER: Duration = Duration::from_secs(3600);

fn times(list: &serde_json::Value) -> Vec<Time> {
    list.as_array().unwrap().iter().map(|time| Time::from_ms(int(time))).collect()
}

/// The timer of the model fires at the beginning too; ours says zero time there, and then each interval's
/// label once and in order.
#[test]
fn intervals_recur_at_their_period() {
    let case = case("receivers_and_timers", 3);
    let harness = Harness::new(ms(&case["period_ms"]));
    let watched = harness.watch(&harness.input::<u32>([]));
    let mut fired = Vec::new();
    for step in rows(&case, "script") {
        match text(&step[0]) {
            "start" => fired.push(Time::from_ms(int(&step[1]))),
            "advance" => {
                harness.advance((int(&step[1]) / int(&case["period_ms"])) as u64).unwrap();
                fired.truncate(1);
                fired.extend(watched.timed().into_iter().map(|(time, _)| time));
            }
            "fired" => assert_eq!(fired, times(&step[1]), "{step}"),
            // The last label when nothing is driven any more.
            "stop_interrupt" => assert_eq!(fired.last(), Some(&Time::from_ms(int(&step[1]))), "{step}"),
            unknown => panic!("{unknown} is not tested"),
        }
    }
}

/// A program of intervals that never end by themselves, and the number of records of each that ran.
fn patient() -> (Context, cutwater::source::ChannelSender<u32>, Arc<Mutex<Vec<Vec<u32>>>>) {
    let ctx = Context::builder("test").interval(FOR_EVER).threads(2).handle_signals(false).build().unwrap();
    let (sender, numbers) = ctx.channel::<u32>("numbers");
    let seen: Arc<Mutex<Vec<Vec<u32>>>> = Arc::default();
    let to = seen.clone();
    numbers.for_each_rdd(move |rdd, _| {
        to.lock().unwrap().push(rdd.collect()?);
        Ok::<(), Error>(())
    });
    (ctx, sender, seen)
}

/// `receivers_and_timers/004`: a stop that does not interrupt lets one more interval happen, at once and
/// not when it would be due, and only if something was received for it.
#[test]
fn a_stop_lets_one_more_interval_happen() {
    let last = case("receivers_and_timers", 4);
    let fired = rows(&last, "script").iter().rfind(|step| step[0] == "fired").unwrap();
    assert_eq!(fired[1].as_array().unwrap().len(), 3);
    for records in [0, 1] {
        let (ctx, sender, seen) = patient();
        let running = ctx.start().unwrap();
        (0..records).for_each(|n| sender.send(n).unwrap());
        running.stop();
        running.wait().unwrap();
        let expected: Vec<Vec<u32>> = (0..records).map(|n| vec![n]).collect();
        assert_eq!(*seen.lock().unwrap(), expected);
    }
}

/// `receivers_and_timers/006`. Of its rules, two have another form here: what a channel is sent before the
/// start waits for the first interval (so that a program can be filled before it runs), and a stopped
/// program cannot be started because a context runs once (`lifecycle`).
#[test]
fn what_is_received_comes_out_in_order_and_all_of_it() {
    assert_eq!(rows(&case("receivers_and_timers", 6), "rules").len(), 4);
    let harness = Harness::new(Duration::from_secs(1));
    let (sender, numbers) = harness.ctx().channel::<u32>("numbers");
    let watched = harness.watch(&numbers);
    for end in [10, 20, 30] {
        (end - 9..=end).for_each(|n| sender.send(n).unwrap());
        harness.advance(1).unwrap();
    }
    let expected: Vec<Vec<u32>> = vec![(1..=10).collect(), (11..=20).collect(), (21..=30).collect()];
    assert_eq!(watched.all().into_iter().flatten().collect::<Vec<_>>(), expected);

    // A stop: nothing more is taken, then the last block is cut, then all is processed, then it is over.
    let (ctx, sender, seen) = patient();
    let running = ctx.start().unwrap();
    (0..1_000).for_each(|n| sender.send(n).unwrap());
    running.stop();
    running.wait().unwrap();
    assert_eq!(seen.lock().unwrap().concat(), (0..1_000).collect::<Vec<_>>());
    assert!(sender.send(1).is_err(), "it is stopped");
    running.stop();
    running.wait().unwrap();
}

struct Breaks;

impl Receiver<u32> for Breaks {
    fn receive(&mut self, intake: &Intake<u32>) -> Result<(), Error> {
        let _ = intake.push(1, 4);
        Err(Error::user("the line is dead"))
    }
}

#[test]
fn the_error_of_a_receiver_is_reported() {
    let ctx = Context::builder("test").interval(Duration::from_millis(5)).threads(1).handle_signals(false);
    let ctx = ctx.build().unwrap();
    ctx.source("line").receiver(Breaks).for_each_rdd(|_, _| ());
    let error = ctx.run().unwrap_err().to_string();
    assert!(error.contains("line: the line is dead"), "{error}");
}

/// `receivers_and_timers/007`. Reports are handed out and not kept, so there is nothing to clean up.
#[test]
fn an_interval_knows_what_each_source_gave() {
    let case = case("receivers_and_timers", 7);
    let script = rows(&case, "script");
    let reset = script.iter().position(|step| step[0] == "reset").unwrap();
    for part in [&script[..reset], &script[reset + 1..]] {
        let of = |stream: i64, time: i64| {
            let report = |step: &&serde_json::Value| {
                step[0] == "report" && int(&step[1]) == time && int(&step[2]["stream"]) == stream
            };
            part.iter().find(report).map_or(0, |step| int(&step[2]["records"]) as usize)
        };
        let harness = Harness::new(Duration::from_secs(1));
        let inputs: Vec<_> =
            (0..2).map(|stream| harness.input((0..2).map(|t| vec![0u8; of(stream, t)]))).collect();
        let _watched: Vec<_> = inputs.iter().map(|input| harness.watch(input)).collect();
        let reports = [harness.step().unwrap(), harness.step().unwrap()];
        let mut cleaned = 0;
        for step in part {
            match text(&step[0]) {
                "cleanup" => cleaned = int(&step[1]),
                "get" if int(&step[1]) < cleaned => {
                    assert!(step[2].as_object().unwrap().is_empty(), "{step}")
                }
                "get" => {
                    let sources = &reports[int(&step[1]) as usize].sources;
                    let given = step[2].as_object().unwrap();
                    assert_eq!(sources.iter().filter(|source| source.taken.records > 0).count(), given.len());
                    for (stream, records) in given {
                        let source = &sources[stream.parse::<usize>().unwrap()];
                        assert_eq!(source.taken.records, int(records) as u64, "{step}");
                    }
                }
                _ => {}
            }
        }
    }
}
