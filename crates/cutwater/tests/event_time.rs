//! Windows of event time: results, corrections and late records; the watermark, over idle and stalled
//! sources; and all of it against a naive reference over random streams.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use cutwater::{
    Context, DStream, Emission, Error, EventStream, Time, Windowed,
    source::{Intake, Receiver, Standing},
    testing::Harness,
};
use proptest::{collection::vec, prelude::*};

const SECOND: Duration = Duration::from_secs(1);
const HALF: Duration = Duration::from_millis(500);

/// (when in ms, key, value)
type Event = (i64, u8, i64);
/// (start and end of the window in ms, key, value, whether it is a correction)
type Line = (i64, i64, u8, i64, bool);

fn ms(span: Duration) -> i64 {
    span.as_millis() as i64
}

fn harness(threads: usize, partitions: u32) -> Harness {
    Harness::with(Context::builder("test").interval(SECOND).threads(threads), partitions)
}

fn timed(stream: &DStream<Event>) -> EventStream<Event> {
    stream.event_time(|(at, ..)| Time::from_ms(*at))
}

fn line(w: Windowed<u8, i64>) -> Line {
    (w.window.start.as_ms(), w.window.end.as_ms(), w.key, w.value, w.kind == Emission::Correction)
}

/// The lines of each interval in order.
fn sorted(lines: Vec<Option<Vec<Line>>>) -> Vec<Vec<Line>> {
    let sort = |lines: Option<Vec<Line>>| {
        let mut lines = lines.unwrap();
        lines.sort();
        lines
    };
    lines.into_iter().map(sort).collect()
}

fn sums(
    stream: &EventStream<Event>,
    size: Duration,
    slide: Duration,
    lateness: Duration,
) -> (DStream<Line>, DStream<Event>) {
    let windows = stream.map(|event| (event.1, event)).sliding_window(size, slide).allowed_lateness(lateness);
    let sums = windows.aggregate_by_key(0, |sum, (.., value)| sum + value, |a, b| a + b);
    (sums.map(line), windows.late().map(|(_, event)| event))
}

fn watermarks(of: Vec<Option<Vec<Time>>>) -> Vec<Option<i64>> {
    of.into_iter().map(|times| times.unwrap().first().map(|time| time.as_ms())).collect()
}

#[test]
fn results_then_corrections_then_late() {
    for (threads, partitions) in [(1, 1), (4, 3)] {
        let harness = harness(threads, partitions);
        let input = harness.input([
            vec![(100, 1, 1), (1_100, 1, 2)],
            vec![(200, 1, 4), (300, 2, 8)],
            vec![(1_999, 1, 16), (2_999, 3, 32)],
            vec![(1_500, 2, 64), (999, 1, 128)],
        ]);
        let (lines, late) = sums(&timed(&input), SECOND, SECOND, 1_999 * SECOND / 1_000);
        let (lines, late) = (harness.watch(&lines), harness.watch(&late));
        let reports: Vec<_> = (0..4).map(|_| harness.step().unwrap()).collect();
        let expected = [
            // The watermark is at 1.1 s, so the first window has passed.
            vec![(0, 1_000, 1, 1, false)],
            // A key that had no result is corrected too.
            vec![(0, 1_000, 1, 5, true), (0, 1_000, 2, 8, true)],
            vec![(1_000, 2_000, 1, 18, false)],
            // 2.999 s is the allowed lateness past the end of the first window, which is closed.
            vec![(1_000, 2_000, 2, 64, true)],
        ];
        assert_eq!(sorted(lines.all()), expected);
        assert_eq!(late.all(), [vec![], vec![], vec![], vec![(999, 1, 128)]].map(Some));
        let told: Vec<_> = reports.iter().map(|report| report.event_times[0].clone()).collect();
        assert_eq!(told.iter().map(|told| told.late).collect::<Vec<_>>(), [0, 0, 0, 1]);
        let watermarks: Vec<_> = told.iter().map(|told| told.watermark.unwrap().as_ms()).collect();
        assert_eq!(watermarks, [1_100, 1_100, 2_999, 2_999]);
        assert!(told[0].name.starts_with("`window` at "), "{}", told[0].name);
    }
}

/// A window takes records while the watermark is less than the allowed lateness past its end.
#[test]
fn the_bound_of_lateness_is_exact() {
    for (watermark, is_late) in [(2_499, false), (2_500, true), (2_501, true)] {
        let harness = harness(2, 2);
        let input = harness.input([vec![(0, 1, 1)], vec![(watermark, 9, 1)], vec![(500, 1, 2)]]);
        let (lines, late) = sums(&timed(&input), SECOND, SECOND, 3 * HALF);
        let (lines, late) = (harness.watch(&lines), harness.watch(&late));
        harness.advance(3).unwrap();
        let correction = sorted(lines.all())[2].clone();
        let expected = if is_late { vec![] } else { vec![(0, 1_000, 1, 3, true)] };
        assert_eq!(correction, expected, "at {watermark}");
        assert_eq!(late.all()[2].as_ref().map(Vec::len), Some(usize::from(is_late)), "at {watermark}");
    }
}

/// A window passes when the watermark reaches its end, and its end is not in it.
#[test]
fn the_end_of_a_window_is_exact() {
    let harness = harness(2, 1);
    let input = harness.input([vec![(0, 1, 1)], vec![(999, 1, 2)], vec![(1_000, 1, 4)], vec![(2_000, 2, 8)]]);
    let (lines, _) = sums(&timed(&input), SECOND, SECOND, Duration::ZERO);
    let lines = harness.watch(&lines);
    harness.advance(4).unwrap();
    let expected = [vec![], vec![], vec![(0, 1_000, 1, 3, false)], vec![(1_000, 2_000, 1, 4, false)]];
    assert_eq!(sorted(lines.all()), expected);
}

/// No record is late because of another of its own interval, wherever they stand in it.
#[test]
fn records_of_one_interval_are_judged_alike() {
    let harness = harness(2, 2);
    let input = harness.input([vec![(5_000, 1, 1), (100, 1, 2)], vec![(4_999, 1, 4), (4_000, 2, 8)]]);
    let (lines, late) = sums(&timed(&input), SECOND, SECOND, Duration::ZERO);
    let (lines, late) = (harness.watch(&lines), harness.watch(&late));
    harness.advance(2).unwrap();
    assert_eq!(sorted(lines.all()), [vec![(0, 1_000, 1, 2, false)], vec![]]);
    assert_eq!(late.all(), [vec![], vec![(4_999, 1, 4), (4_000, 2, 8)]].map(Some));
}

#[test]
fn what_is_out_of_order_within_the_bound_is_in_time() {
    let harness = harness(2, 2);
    let input =
        harness.input([vec![(1_200, 1, 1)], vec![(300, 1, 2)], vec![(1_500, 1, 4)], vec![(999, 1, 8)]]);
    let (lines, late) = sums(&timed(&input).out_of_orderness(HALF), SECOND, SECOND, Duration::ZERO);
    let (lines, late) = (harness.watch(&lines), harness.watch(&late));
    harness.advance(4).unwrap();
    assert_eq!(sorted(lines.all()), [vec![], vec![], vec![(0, 1_000, 1, 2, false)], vec![]]);
    assert_eq!(late.all()[3], Some(vec![(999, 1, 8)]));
}

/// Windows that overlap close one by one; a record is late when none of its windows takes it.
#[test]
fn sliding_windows_pass_and_close_one_by_one() {
    let harness = harness(3, 2);
    let input =
        harness.input([vec![(1_500, 1, 1)], vec![(2_000, 1, 2)], vec![(1_600, 1, 4)], vec![(4_000, 2, 8)]]);
    let (lines, late) = sums(&timed(&input), 2 * SECOND, SECOND, Duration::ZERO);
    let (lines, late) = (harness.watch(&lines), harness.watch(&late));
    harness.advance(4).unwrap();
    let expected = [
        vec![],
        vec![(0, 2_000, 1, 1, false)],
        vec![],
        // [0 s, 2 s) was closed already; the third record is in [1 s, 3 s) only.
        vec![(1_000, 3_000, 1, 7, false), (2_000, 4_000, 1, 2, false)],
    ];
    assert_eq!(sorted(lines.all()), expected);
    assert!(late.all().into_iter().flatten().flatten().next().is_none());
}

/// Windows further apart than they are long leave records out, which are not late either.
#[test]
fn windows_may_leave_gaps() {
    let harness = harness(2, 2);
    let input = harness.input([
        vec![(500, 1, 1), (1_500, 1, 2), (2_500, 1, 4)],
        vec![(9_000, 1, 8)],
        vec![(1_500, 1, 16)],
    ]);
    let (lines, late) = sums(&timed(&input), SECOND, 2 * SECOND, Duration::ZERO);
    let (lines, late) = (harness.watch(&lines), harness.watch(&late));
    harness.advance(3).unwrap();
    let expected = [vec![(0, 1_000, 1, 1, false)], vec![(2_000, 3_000, 1, 4, false)], vec![]];
    assert_eq!(sorted(lines.all()), expected);
    assert!(late.all().into_iter().flatten().flatten().next().is_none());
}

/// Times before 1970 lie on the same grid.
#[test]
fn windows_before_1970() {
    let harness = harness(1, 1);
    let input = harness.input([vec![(-1_500, 1, 1), (-1, 1, 2)], vec![(0, 1, 4)]]);
    let (lines, _) = sums(&timed(&input), SECOND, SECOND, Duration::ZERO);
    let lines = harness.watch(&lines);
    harness.advance(2).unwrap();
    assert_eq!(sorted(lines.all()), [vec![(-2_000, -1_000, 1, 1, false)], vec![(-1_000, 0, 1, 2, false)]]);
}

#[test]
fn the_least_of_two_streams_counts_and_never_goes_back() {
    let harness = harness(2, 2);
    let a = harness.input([vec![(5_000, 1, 1)], vec![(6_000, 1, 1)], vec![(7_000, 1, 1)], vec![], vec![]]);
    let b = harness.input([vec![], vec![(2_000, 2, 1)], vec![], vec![], vec![(2_500, 2, 1)]]);
    let union = timed(&a).union(&timed(&b)).idle_after(SECOND);
    let watermark = harness.watch(&union.filter(|(_, key, _)| *key > 100).watermark());
    harness.advance(5).unwrap();
    // b is silent for more than a second in the fourth interval, and behind when it is back.
    let expected = [None, Some(2_000), Some(2_000), Some(7_000), Some(7_000)];
    assert_eq!(watermarks(watermark.all()), expected);
}

/// A stream that has not said that it may be idle is waited for.
#[test]
fn nobody_is_idle_by_himself() {
    let harness = harness(2, 2);
    let a = harness.input((1..=9).map(|s| vec![(s * 1_000, 1, 1)]));
    let union = timed(&a).union(&timed(&harness.input([vec![(100, 1, 1)]])));
    let watermark = harness.watch(&union.watermark());
    harness.advance(9).unwrap();
    assert_eq!(watermarks(watermark.all()), [Some(100); 9]);
}

/// A source that has ended is not waited for, and with the last of them all windows pass.
#[test]
fn sources_that_have_ended_hold_nothing_back() {
    let harness = harness(2, 2);
    let ((to_a, a), (to_b, b)) = (harness.ctx().channel("a"), harness.ctx().channel("b"));
    let union = timed(&a).union(&timed(&b));
    let watermark = harness.watch(&union.watermark());
    let lines = harness.watch(&sums(&union, SECOND, SECOND, Duration::ZERO).0);
    to_a.send((3_100, 1, 1)).unwrap();
    to_b.send((1_200, 1, 2)).unwrap();
    harness.advance(1).unwrap();
    drop(to_b);
    let report = harness.step().unwrap();
    assert_eq!(
        report.sources.iter().map(|s| s.standing).collect::<Vec<_>>(),
        [Standing::Flowing, Standing::Ended]
    );
    drop(to_a);
    harness.advance(1).unwrap();
    assert_eq!(watermarks(watermark.all()), [Some(1_200), Some(3_100), Some(i64::MAX)]);
    let expected = [vec![], vec![(1_000, 2_000, 1, 2, false)], vec![(3_000, 4_000, 1, 1, false)]];
    assert_eq!(sorted(lines.all()), expected);
}

/// What a receiver is told to do by the test.
enum Told {
    Away(bool),
    Push(Event),
}

struct Puppet(std::sync::mpsc::Receiver<Told>, std::sync::mpsc::Sender<()>);

impl Receiver<Event> for Puppet {
    fn receive(&mut self, intake: &Intake<Event>) -> Result<(), Error> {
        for told in self.0.iter() {
            match told {
                Told::Away(away) => intake.set_away(away),
                Told::Push(event) => intake.push(event, 1).unwrap(),
            }
            self.1.send(()).unwrap();
        }
        // Whoever pulled the strings has gone.
        intake.sleep(Duration::MAX).ok();
        Ok(())
    }
}

/// A source of which it is known that its records cannot get here is waited for, however long it takes;
/// one that is silent by itself is not.
#[test]
fn a_stalled_source_is_not_an_idle_one() {
    for away in [true, false] {
        let harness = harness(2, 2);
        let (tell, told) = std::sync::mpsc::channel();
        let (done, is_done) = std::sync::mpsc::channel();
        let do_it = |what| {
            tell.send(what).unwrap();
            is_done.recv().unwrap();
        };
        let b = harness.ctx().source("b").receiver(Puppet(told, done));
        let a = harness.input((1..=9).map(|s| vec![(s * 1_000, 1, 1)]));
        let watermark = harness.watch(&timed(&a).union(&timed(&b)).idle_after(SECOND).watermark());
        // The receiver begins with the program.
        harness.advance(1).unwrap();
        do_it(Told::Push((500, 1, 1)));
        harness.advance(1).unwrap();
        do_it(Told::Away(away));
        let standing = harness.step().unwrap().sources.iter().find(|s| s.name == "b").unwrap().standing;
        assert_eq!(standing, if away { Standing::Stalled } else { Standing::Flowing });
        harness.advance(3).unwrap();
        do_it(Told::Away(false));
        harness.advance(3).unwrap();
        // Back, it has a second again before it counts as idle.
        let held = if away {
            [500, 500, 500, 500, 500, 8_000, 9_000]
        } else {
            [500, 500, 4_000, 5_000, 6_000, 7_000, 9_000]
        };
        let _ = held;
        let seen = watermarks(watermark.all());
        let expected: Vec<_> = match away {
            true => [500, 500, 500, 500, 500, 500, 500, 8_000, 9_000].into(),
            false => [500, 500, 500, 4_000, 5_000, 6_000, 7_000, 8_000, 9_000].into(),
        };
        let expected: Vec<_> = expected.into_iter().map(|ms: i64| Some(ms)).collect();
        assert_eq!(seen[1..], expected[1..], "away: {away}");
        assert_eq!(seen[0], None);
    }
}
