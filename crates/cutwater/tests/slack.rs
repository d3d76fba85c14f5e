//! Slack: an interval waits for records that happened in it, its bounds do not move.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::time::Duration;

use cutwater::{
    Context, DStream, Error, ErrorPolicy, Time,
    source::{ChannelSender, TrySendError},
    testing::Harness,
};

const SECOND: Duration = Duration::from_secs(1);

fn harness(slack: Duration) -> Harness {
    Harness::with(Context::builder("test").interval(SECOND).slack(slack).threads(2), 1)
}

/// A channel of times in milliseconds that go by themselves, at most `records` of an interval.
fn channel(harness: &Harness, records: usize) -> (ChannelSender<i64>, DStream<i64>) {
    let source = harness.ctx().source("times").on_error(ErrorPolicy::Skip).interval_records_max(records);
    source.event_time(|ms: &i64| Time::from_ms(*ms)).channel()
}

fn send<const N: usize>(sender: &ChannelSender<i64>, times: [i64; N]) {
    times.into_iter().for_each(|ms| sender.send(ms).unwrap());
}

#[test]
fn records_wait_for_the_interval_in_which_they_happened() {
    let harness = harness(2 * SECOND);
    let (sender, times) = channel(&harness, 100);
    let watched = harness.watch(&times);
    // An interval is (t - 1 s, t].
    send(&sender, [2_000, 1_000, 2_001, 1, 1_001]);
    harness.advance(1).unwrap();
    send(&sender, [2_500, 1_500]);
    harness.advance(1).unwrap();
    send(&sender, [4_100]);
    harness.advance(3).unwrap();
    let expected = [vec![1_000, 1], vec![2_000, 1_001, 1_500], vec![2_001, 2_500], vec![], vec![4_100]];
    assert_eq!(watched.all(), expected.map(Some));
}

/// What comes after the start of its interval is in the next to start, and counted.
#[test]
fn what_comes_after_the_slack_is_late() {
    let harness = harness(SECOND);
    let (sender, times) = channel(&harness, 100);
    let watched = harness.watch(&times);
    send(&sender, [-500, 500]);
    let first = harness.step().unwrap();
    send(&sender, [900, 1_700, 1_000, 1_001]);
    let second = harness.step().unwrap();
    assert_eq!(watched.all(), [vec![-500, 500], vec![900, 1_700, 1_000, 1_001]].map(Some));
    assert_eq!([first, second].map(|report| report.sources[0].taken.late), [1, 2]);
}

/// No interval has more than it may hold, whichever it is, and all together no more than pass while one
/// waits.
#[test]
fn what_is_held_is_bounded() {
    let harness = harness(SECOND);
    let (sender, times) = channel(&harness, 3);
    let watched = harness.watch(&times);
    // Before the start nobody knows which interval is the next.
    send(&sender, [1_500, 2_500, 3_500]);
    assert_eq!(sender.try_send(500), Err(TrySendError::Full(500)));
    harness.advance(1).unwrap();
    // The next interval is the second; of two intervals' room, three records are taken.
    send(&sender, [1_600, 1_700]);
    assert_eq!(sender.try_send(1_800), Err(TrySendError::Full(1_800)), "its interval is full");
    assert_eq!(sender.try_send(900), Err(TrySendError::Full(900)), "it is late, and the next is full");
    send(&sender, [4_500]);
    assert_eq!(sender.try_send(3_600), Err(TrySendError::Full(3_600)), "nothing more is held");
    harness.advance(4).unwrap();
    let expected = [vec![], vec![1_500, 1_600, 1_700], vec![2_500], vec![3_500], vec![4_500]];
    assert_eq!(watched.all(), expected.map(Some));
}

/// A sender whose clock is far ahead does not have its records held for as long.
#[test]
fn records_from_the_far_future_are_malformed() {
    let harness = harness(SECOND);
    let (sender, times) = channel(&harness, 100);
    let watched = harness.watch(&times);
    send(&sender, [62_000, 62_001, 500]);
    drop(sender);
    let malformed = harness.step().unwrap().sources.remove(0).taken.malformed;
    assert_eq!(malformed.len(), 1);
    assert_eq!(malformed[0].bytes, b"62001");
    assert!(malformed[0].error.contains("1970-01-01T00:01:02.001Z"), "{}", malformed[0].error);
    harness.advance(61).unwrap();
    assert_eq!(watched.all().into_iter().flatten().flatten().collect::<Vec<_>>(), [500, 62_000]);
}

/// Held records are processed before a program ends, in their intervals.
#[test]
fn a_program_that_is_stopped_processes_what_it_holds() {
    let ctx = Context::builder("test").interval(Duration::from_millis(10)).slack(SECOND).threads(1);
    let ctx = ctx.handle_signals(false).build().unwrap();
    let (sender, times) = ctx.source("times").event_time(|ms: &i64| Time::from_ms(*ms)).channel();
    let (seen, all) = std::sync::mpsc::channel();
    times.for_each_rdd(move |rdd, t| {
        rdd.collect()?.into_iter().for_each(|ms| seen.send((t.as_ms() - ms, ms)).unwrap());
        Ok::<(), Error>(())
    });
    let stopping = ctx.clone();
    ctx.on_interval(move |report| {
        if report.number == 1 {
            let now = report.time.as_ms();
            [now + 25, now + 11].into_iter().for_each(|ms| sender.send(ms).unwrap());
            stopping.stop();
        }
    });
    ctx.run().unwrap();
    drop(ctx);
    // (how long before the end of its interval, when)
    let all: Vec<_> = all.try_iter().collect();
    assert_eq!(all.iter().map(|(before_end, _)| *before_end).collect::<Vec<_>>(), [9, 5]);
    assert!(all[0].1 < all[1].1);
}

/// Replayed files are read as far ahead as the slack, and no further than an interval may hold.
#[test]
fn replayed_files_are_put_in_order_within_the_slack() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("times");
    std::fs::write(&path, "1200\n300\n2100\n900\n2800\n1900\n4000\n1950\n3100\n").unwrap();
    let replay = |harness: &Harness, records: usize| {
        let source = harness.ctx().source("times").interval_records_max(records);
        harness.watch(&source.replay([&path], |line| line.parse::<i64>(), |ms| Time::from_ms(*ms)))
    };
    let run = |slack, records| {
        let harness = harness(slack);
        let watched = replay(&harness, records);
        let late: Vec<_> = (0..4).map(|_| harness.step().unwrap().sources[0].taken.late).collect();
        (watched.all().into_iter().flatten().collect::<Vec<_>>(), late)
    };
    let in_slack = [vec![300, 900], vec![1_200, 1_900], vec![2_100, 2_800, 1_950], vec![4_000, 3_100]];
    assert_eq!(run(1_200 * SECOND / 1_000, 100), (in_slack.to_vec(), vec![0, 0, 1, 0]));
    // Two records are as far ahead as it reads: 900 comes too late.
    let bounded = [vec![300], vec![1_200, 900], vec![2_100, 2_800], vec![1_900, 4_000]];
    assert_eq!(run(1_200 * SECOND / 1_000, 2), (bounded.to_vec(), vec![0, 1, 0, 1]));
    let without = [vec![], vec![1_200, 300], vec![2_100, 900, 2_800, 1_900], vec![4_000, 1_950, 3_100]];
    assert_eq!(run(Duration::ZERO, 100), (without.to_vec(), vec![0, 1, 2, 1]));
}

/// The first interval is that of the record that happened first, though it is not the first of the file;
/// and batch mode gives what a live run gives.
#[test]
fn a_replay_begins_with_what_happened_first() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("times");
    std::fs::write(&path, "60500\n59100\n61000\n60900\n62500\n").unwrap();
    let run = |batch| {
        let slack = ["program", "--slack-ms", "2000"].map(String::from);
        let ctx = Context::builder("test").interval(SECOND).args(slack).threads(1).batch(batch);
        let ctx = ctx.speed(100.0).progress(false).handle_signals(false).build().unwrap();
        let times = ctx.source("times").replay([&path], |line| line.parse::<i64>(), |ms| Time::from_ms(*ms));
        let (seen, all) = std::sync::mpsc::channel();
        times.for_each_rdd(move |rdd, t| {
            seen.send((t.as_ms(), rdd.collect()?)).unwrap();
            Ok::<(), Error>(())
        });
        ctx.run().unwrap();
        drop(ctx);
        all.try_iter().collect::<Vec<_>>()
    };
    let expected = [
        (60_000, vec![59_100]),
        (61_000, vec![60_500, 61_000, 60_900]),
        (62_000, vec![]),
        (63_000, vec![62_500]),
    ];
    assert_eq!(run(true), expected);
    assert_eq!(run(false), expected);
}
