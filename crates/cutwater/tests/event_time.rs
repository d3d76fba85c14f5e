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

/// Every operation that takes a function takes values for it too.
#[test]
fn values_are_handed_over() {
    let harness = harness(2, 2);
    let input = harness.input([vec![(1, 1, 1), (2, 2, 2)], vec![(9, 9, 9)]]);
    let stream = input.with(1_000).event_time(|scale, (s, ..)| Time::from_ms(s * scale));
    let pairs = stream.with(5).filter(|most, (s, ..)| s < most).with(10).map(|by, (_, key, n)| (key, n * by));
    let twice = pairs.with(2).flat_map(|times, (_, n)| vec![((), n); *times as usize]);
    let windows = twice.window(4 * SECOND);
    let sums = windows.with(1).aggregate_by_key(0, |one, acc, n| acc + n + one, |_, a, b| a + b);
    let (sums, watermark) = (harness.watch(&sums.map(|w| w.value)), harness.watch(&stream.watermark()));
    harness.advance(2).unwrap();
    assert_eq!(sums.all(), [vec![], vec![2 * 11 + 2 * 21]].map(Some));
    assert_eq!(watermarks(watermark.all()), [Some(2_000), Some(9_000)]);
}

/// A union of streams of one clock has that clock, and one of two the least of both.
#[test]
fn streams_that_part_and_meet_again_have_one_clock() {
    let harness = harness(2, 2);
    let stream = timed(&harness.input([vec![(1_000, 1, 1), (3_000, 2, 2)]]));
    let (low, high) = (stream.filter(|(at, ..)| *at < 2_000), stream.filter(|(at, ..)| *at >= 2_000));
    let both = low.union(&high);
    let (timed, watermark) = (harness.watch(&both.timed()), harness.watch(&both.watermark()));
    harness.advance(1).unwrap();
    assert_eq!(timed.all()[0].as_ref().map(Vec::len), Some(2));
    assert_eq!(watermarks(watermark.all()), [Some(3_000)]);
}

/// What does not fit into an interval is not missing from it by idleness.
#[test]
fn a_source_that_is_held_up_is_stalled() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("times");
    std::fs::write(&path, "100\n200\n300\n").unwrap();
    let harness = harness(1, 1);
    let source = harness.ctx().source("times").interval_records_max(1);
    let times = source.replay([&path], |line| line.parse::<i64>(), |ms| Time::from_ms(*ms));
    let watermark = harness.watch(&times.event_time(|ms| Time::from_ms(*ms)).watermark());
    let standings: Vec<_> = (0..3).map(|_| harness.step().unwrap().sources[0].standing).collect();
    assert_eq!(standings, [Standing::Stalled, Standing::Stalled, Standing::Ended]);
    assert_eq!(watermarks(watermark.all()), [Some(100), Some(200), Some(i64::MAX)]);
}

/// Whoever stops a program has not seen the end of its sources.
#[test]
fn no_window_passes_because_the_program_is_stopped() {
    let ctx = Context::builder("test").interval(Duration::from_millis(20)).threads(2).handle_signals(false);
    let ctx = ctx.build().unwrap();
    let (sender, events) = ctx.channel::<Event>("events");
    let (seen, lines) = std::sync::mpsc::channel();
    sums(&timed(&events), SECOND, SECOND, Duration::ZERO).0.for_each_rdd(move |rdd, _| {
        rdd.collect()?.into_iter().for_each(|line| seen.send(line).unwrap());
        Ok::<(), Error>(())
    });
    sender.send((500, 1, 1)).unwrap();
    let (stopping, mut intervals) = (ctx.clone(), 0);
    ctx.on_interval(move |_| {
        intervals += 1;
        if intervals == 1 {
            // Still to be processed.
            sender.send((1_500, 1, 2)).unwrap();
            stopping.stop();
        }
    });
    ctx.run().unwrap();
    drop(ctx);
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), [(0, 1_000, 1, 1, false)]);
}

/// The same program over the same files gives the same, in batch mode and as time passes in them.
#[test]
fn batch_mode_gives_what_a_live_run_gives() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let file = |step: i64, count: i64| -> String {
        (0..count).map(|i| format!("{}\n", 1_000_000 + i * step - (i % 7) * 450)).collect()
    };
    std::fs::write(&one, file(130, 80)).unwrap();
    std::fs::write(&two, file(900, 6)).unwrap();
    let run = |batch: bool| {
        let ctx = Context::builder("test").interval(SECOND).threads(2).handle_signals(false).progress(false);
        let ctx = ctx.batch(batch).speed(100.0).build().unwrap();
        let replay = |path| {
            let parse = |line: &str| line.parse::<i64>().map(|at| (at, (at % 3) as u8, 1));
            ctx.source("events").replay([path], parse, |(at, ..)| Time::from_ms(*at))
        };
        let both = timed(&replay(&one)).union(&timed(&replay(&two))).idle_after(SECOND);
        let (seen, all) = std::sync::mpsc::channel();
        let (lines, late) = sums(&both, SECOND, HALF, HALF);
        let late = late.map(|(at, key, value)| (at, at, key, value, false));
        lines.union(&late).for_each_rdd(move |rdd, t| {
            let mut lines = rdd.collect()?;
            lines.sort();
            seen.send((t, lines)).unwrap();
            Ok::<(), Error>(())
        });
        let (tell, told) = std::sync::mpsc::channel();
        ctx.on_interval(move |report| tell.send(report.event_times.clone()).unwrap());
        ctx.run().unwrap();
        let lines: Vec<_> = all.try_iter().collect();
        (lines, told.try_iter().collect::<Vec<_>>())
    };
    let batch = run(true);
    assert_eq!(batch, run(false));
    let lines: Vec<_> = batch.0.iter().flat_map(|(_, lines)| lines).collect();
    // It has corrections and late records.
    assert!(lines.iter().any(|line| line.4) && lines.iter().any(|line| line.0 == line.1));
    assert_eq!(batch.1.last().unwrap()[0].watermark, Some(Time::from_ms(i64::MAX)));
}

/// A random program, its random input, and the intervals that fail.
#[derive(Clone, Debug)]
struct Setup {
    threads: usize,
    partitions: u32,
    twice: bool,
    size: i64,
    slide: i64,
    lateness: i64,
    out_of_orderness: i64,
    input: Vec<Vec<Event>>,
    failing: BTreeSet<i64>,
}

fn setup() -> impl Strategy<Value = Setup> {
    // Times that go on with the intervals, in steps so coarse that they meet the edges of windows.
    let interval = |at: usize| {
        let base = at as i64 * 1_000;
        vec((-12..5i64, 0..4u8, -3..=3i64), 0..6).prop_map(move |events| {
            events.into_iter().map(|(at, key, value)| (base + at * 250, key, value)).collect()
        })
    };
    let input = (1..14usize).prop_flat_map(move |count| (0..count).map(interval).collect::<Vec<_>>());
    let spans = (1..=8i64, 1..=8i64, 0..=8i64, 0..=4i64)
        .prop_map(|(a, b, c, d)| (a * 250, b * 250, c * 250, d * 250));
    (1..=4usize, 1..=4u32, any::<bool>(), spans, input, prop::collection::btree_set(1..14i64, 0..3)).prop_map(
        |(threads, partitions, twice, (size, slide, lateness, out_of_orderness), input, failing)| Setup {
            threads,
            partitions,
            twice,
            size,
            slide,
            lateness,
            out_of_orderness,
            input,
            failing,
        },
    )
}

/// What an interval has: lines, late records, and the watermark.
type Seen = (Vec<Line>, Vec<Event>, Option<i64>);

/// All of the past is kept, and every window looked at.
fn reference(setup: &Setup) -> Vec<Seen> {
    let Setup { size, slide, lateness, out_of_orderness, .. } = *setup;
    let (mut newest, mut watermark): (Option<i64>, Option<i64>) = (None, None);
    let mut open: BTreeMap<(i64, u8), i64> = BTreeMap::new();
    let mut seen = Vec::new();
    for (number, events) in (1..).zip(&setup.input) {
        let failed = setup.failing.contains(&number);
        let events = if failed { &Vec::new() } else { events };
        let before = watermark;
        let reached = |moment: i64| before.is_some_and(|before| moment <= before);
        let (mut corrected, mut late) = (BTreeSet::new(), Vec::new());
        for event @ (at, key, value) in events {
            let starts = (-100..100).map(|n| n * slide).filter(|start| (*start..start + size).contains(at));
            let ends: Vec<_> = starts.map(|start| start + size).collect();
            let taking: Vec<_> = ends.iter().filter(|end| !reached(*end + lateness)).collect();
            if taking.is_empty() && !ends.is_empty() {
                late.push(*event);
            }
            for end in taking {
                *open.entry((*end, *key)).or_default() += value;
                if reached(*end) {
                    corrected.insert((*end, *key));
                }
            }
        }
        newest = newest.max(events.iter().map(|(at, ..)| *at).max());
        watermark = watermark.max(newest.map(|newest| newest - out_of_orderness));
        let passed = |moment: i64| watermark.is_some_and(|watermark| moment <= watermark);
        let mut lines = Vec::new();
        for ((end, key), value) in &open {
            let correction = corrected.contains(&(*end, *key));
            if correction || (passed(*end) && !reached(*end)) {
                lines.push((end - size, *end, *key, *value, correction));
            }
        }
        open.retain(|(end, _), _| !passed(*end + lateness));
        if !failed {
            lines.sort();
            late.sort();
            seen.push((lines, late, watermark));
        }
    }
    seen
}

fn run(setup: &Setup) -> Vec<Seen> {
    let builder = Context::builder("random").interval(SECOND).threads(setup.threads).run_twice(setup.twice);
    let harness = Harness::with(builder, setup.partitions);
    let input = harness.input(setup.input.clone());
    let span = |ms: i64| Duration::from_millis(ms as u64);
    let stream = timed(&input).out_of_orderness(span(setup.out_of_orderness));
    let (lines, late) = sums(&stream, span(setup.size), span(setup.slide), span(setup.lateness));
    let (lines, late, watermark) =
        (harness.watch(&lines), harness.watch(&late), harness.watch(&stream.watermark()));
    let failing = setup.failing.clone();
    // The last output, so that everything of a failed interval is computed first.
    input.for_each_rdd(move |_, t| match failing.contains(&(t.as_ms() / 1_000)) {
        true => Err(Error::user("this interval is to fail")),
        false => Ok(()),
    });
    let went_well = |number: &i64| !setup.failing.contains(number);
    let mut counts = Vec::new();
    for number in 1..=setup.input.len() as i64 {
        let report = harness.step().unwrap();
        assert_eq!(report.failure.is_none(), went_well(&number), "{:?}", report.failure);
        counts.push((report.late(), report.event_times[0].watermark.map(|time| time.as_ms())));
    }
    let seen = sorted(lines.all()).into_iter().zip(late.all()).zip(watermarks(watermark.all()));
    let seen = (1..).zip(seen).zip(counts).filter(|((number, _), _)| went_well(number));
    seen.map(|((_, ((lines, late), watermark)), (count, told))| {
        let mut late = late.unwrap();
        late.sort();
        assert_eq!((count, told), (late.len() as u64, watermark));
        (lines, late, watermark)
    })
    .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn windows_answer_as_a_naive_reference_does(setup in setup()) {
        prop_assert_eq!(run(&setup), reference(&setup));
    }
}

/// The records of a window in one partition or many, on one thread or four, once or twice: the same, in
/// the same order.
#[test]
fn the_answer_does_not_depend_on_threads() {
    let answer = |threads, twice| {
        let builder = Context::builder("test").interval(SECOND).threads(threads).run_twice(twice);
        let harness = Harness::with(builder, 3);
        let input = (0..12i64)
            .map(|t| (0..40).map(|i| (t * 900 + (i * 137) % 3_000 - 2_500, (i % 5) as u8, i)).collect());
        let (lines, late) = sums(&timed(&harness.input(input)).out_of_orderness(HALF), SECOND, HALF, HALF);
        let (lines, late) =
            (harness.watch(&lines.transform(|rdd, _| rdd.sort_by(|line| *line))), harness.watch(&late));
        harness.advance(12).unwrap();
        (lines.all(), late.all())
    };
    let (lines, late) = answer(1, false);
    for (threads, twice) in [(4, false), (1, true), (4, true)] {
        assert_eq!(
            answer(threads, twice),
            (lines.clone(), late.clone()),
            "{threads} threads, twice: {twice}"
        );
    }
    assert!(lines.into_iter().flatten().flatten().any(|line| line.4));
    assert!(late.into_iter().flatten().flatten().next().is_some());
}

/// What cannot be a window is a fault of the program, with its place.
#[test]
fn windows_without_length_are_faults() {
    let harness = harness(1, 1);
    let stream = timed(&harness.input([vec![]]));
    let _ = stream.window(Duration::ZERO);
    let _ = stream.sliding_window(SECOND, Duration::from_micros(1_500));
    let _ = stream.sliding_window(11 * SECOND, Duration::from_millis(1));
    let message = harness.advance(1).unwrap_err().to_string();
    assert!(message.contains("for 3 reasons") && message.matches("`window` at").count() == 3, "{message}");
    assert_eq!(message.matches("tests/event_time.rs:").count(), 3, "{message}");
    assert!(message.contains("a record would be in more than 10000"), "{message}");
    assert!(message.contains("a slide of 1.5ms is not a positive number of whole milliseconds"), "{message}");
}
