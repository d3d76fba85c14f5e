//! What comes after an interval that failed.

use std::sync::{Arc, Mutex};

use cutwater::{Context, DStream, Error, ErrorKind, OnFailure, Record, testing::Harness};

use crate::{SECOND, harness};

/// Fails the intervals whose input has 13 in it.
fn lucky(n: i64) -> i64 {
    assert!(n != 13, "13");
    n
}

/// The third interval of six fails.
fn input(h: &Harness) -> DStream<i64> {
    h.input([vec![1], vec![2], vec![3, 13], vec![4], vec![5], vec![6]]).map(lucky)
}

/// Runs six intervals, of which the third fails, and answers with what the others gave.
/// The same whether or not intervals are begun while the ones before are being run.
fn survivors<T: Record + Ord + std::fmt::Debug>(
    threads: usize,
    program: impl Fn(&DStream<i64>) -> DStream<T>,
) -> Vec<Vec<T>> {
    let [one_by_one, overlapping] = [false, true].map(|overlap| survivors_of(threads, overlap, &program));
    assert_eq!(one_by_one, overlapping);
    one_by_one
}

fn survivors_of<T: Record + Ord>(
    threads: usize,
    overlap: bool,
    program: impl Fn(&DStream<i64>) -> DStream<T>,
) -> Vec<Vec<T>> {
    let harness = harness(threads);
    harness.overlap(overlap);
    let watched = harness.watch(&program(&input(&harness)));
    let failed: Vec<_> = (0..6).map(|_| harness.step().unwrap().failure).collect();
    for (n, failure) in failed.iter().enumerate() {
        assert_eq!(failure.is_some(), n == 2, "interval {}: {failure:?}", n + 1);
    }
    let mut all: Vec<_> = watched.all().into_iter().flatten().collect();
    all.iter_mut().for_each(|records| records.sort());
    all
}

#[test]
fn the_failed_interval_counts_as_empty() {
    for threads in [1, 4] {
        let ones = |s: &DStream<i64>| s.map(|n| ('a', n));
        assert_eq!(survivors(threads, DStream::clone), [[1], [2], [4], [5], [6]]);
        assert_eq!(
            survivors(threads, |s| s.window(3 * SECOND, SECOND)),
            [vec![1], vec![1, 2], vec![2, 4], vec![4, 5], vec![4, 5, 6]]
        );
        assert_eq!(
            survivors(threads, |s| s.count().window(2 * SECOND, SECOND)),
            [vec![1], vec![1, 1], vec![0, 1], vec![1, 1], vec![1, 1]]
        );
        let sums = [1, 3, 7, 12, 18].map(|sum| vec![('a', sum)]);
        assert_eq!(survivors(threads, |s| ones(s).running_reduce(|a, b| a + b)), sums);
        let sums = [1, 3, 6, 9, 15].map(|sum| vec![('a', sum)]);
        let by_window = |s: &DStream<i64>| ones(s).reduce_by_key_and_window(|a, b| a + b, 3 * SECOND, SECOND);
        assert_eq!(survivors(threads, by_window), sums);
        assert_eq!(
            survivors(threads, |s| {
                ones(s).reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 3 * SECOND, SECOND)
            }),
            sums
        );
        let joined = [1, 3, 7, 12, 18].map(|sum| vec![('a', (1, sum))]);
        let ratio = |s: &DStream<i64>| {
            let totals = ones(s).running_reduce(|a, b| a + b);
            ones(s).map_values(|_| 1).reduce_by_key(|a, b| a + b).join(&totals)
        };
        assert_eq!(survivors(threads, ratio), joined);
    }
}

/// However many intervals fail one after the other, and whichever output it is that fails, state is not
/// forgotten meanwhile.
#[test]
fn state_survives_many_failures() {
    for (threads, overlap) in [(1, false), (4, false), (1, true), (4, true)] {
        let harness = harness(threads);
        harness.overlap(overlap);
        let input = harness.input((1..=20).map(|n| vec![('a', n)]));
        // What comes after it is done all the same, and has no effect on later intervals.
        input.for_each_rdd(|_, t| {
            if (5000..=14_000).contains(&t.as_ms()) { Err(Error::user("out of order")) } else { Ok(()) }
        });
        let running = harness.watch(&input.running_reduce(|a, b| a + b));
        let inverse = harness.watch(&input.reduce_by_key_and_window_inverse(
            |a, b| a + b,
            |a, b| a - b,
            12 * SECOND,
            SECOND,
        ));
        let window = harness.watch(&input.window(12 * SECOND, 2 * SECOND).map(|(_, n)| n));
        for n in 1..=20 {
            let failure = harness.step().unwrap().failure;
            assert_eq!(failure.is_some(), (5..=14).contains(&n), "interval {n}: {failure:?}");
        }
        let last = |all: Vec<Option<Vec<(char, i32)>>>| all.last().cloned().flatten();
        assert_eq!(last(running.all()), Some(vec![('a', (1..=4).sum::<i32>() + (15..=20).sum::<i32>())]));
        assert_eq!(last(inverse.all()), Some(vec![('a', (15..=20).sum())]));
        let seen = window.all().last().cloned().flatten();
        assert_eq!(seen, Some((15..=20).collect()));
        assert_eq!(running.all().len(), 20);
    }
}

/// A function on the master that will not have an interval does not spoil those after it, whose windows
/// and state reach back to it.
#[test]
fn a_transform_that_refuses_one_interval() {
    for (threads, overlap) in [(1, false), (4, false), (1, true), (4, true)] {
        let harness = harness(threads);
        harness.overlap(overlap);
        let input = harness.input((1..=6).map(|n| vec![('a', n)]));
        let choosy = input
            .transform(|rdd, t| if t.as_ms() == 3000 { Err(Error::user("not at three")) } else { Ok(rdd) });
        let running = harness.watch(&choosy.running_reduce(|a, b| a + b));
        let window = harness.watch(&choosy.window(3 * SECOND, SECOND).map(|(_, n)| n));
        let counts = harness.watch(&choosy.union(&input).count().window(2 * SECOND, SECOND));
        let failed: Vec<_> = (0..6).map(|_| harness.step().unwrap().failure.is_some()).collect();
        assert_eq!(failed, [false, false, true, false, false, false]);
        let sums: Vec<_> = running.all().into_iter().flatten().flatten().map(|(_, n)| n).collect();
        assert_eq!(sums, [1, 3, 7, 12, 18]);
        let windows: Vec<_> = window.all().into_iter().flatten().collect();
        assert_eq!(windows, [vec![1], vec![1, 2], vec![2, 4], vec![4, 5], vec![4, 5, 6]]);
        let counts: Vec<_> = counts.all().into_iter().flatten().collect();
        assert_eq!(counts, [vec![2], vec![2, 2], vec![2], vec![2, 2], vec![2, 2]]);
    }
}

/// Outputs beside the one that fails are done, whether before it or after it.
#[test]
fn outputs_beside_it_are_done() {
    let harness = harness(2);
    let input = input(&harness);
    let raw = harness.input((0..6).map(|n| vec![n]));
    let (before, failing, after) = (harness.watch(&raw), harness.watch(&input), harness.watch(&raw));
    for _ in 0..6 {
        harness.step().unwrap();
    }
    assert_eq!(before.all().len(), 6);
    assert_eq!(failing.all().len(), 5);
    assert_eq!(after.all().len(), 6);
}

/// A report says that and why an interval failed.
#[test]
fn the_report_says_so() {
    let harness = harness(2);
    let (input, reports) = (input(&harness), Arc::new(Mutex::new(Vec::new())));
    let seen = reports.clone();
    harness.ctx().on_interval(move |report| {
        seen.lock().unwrap().push((
            report.number,
            report.failure.as_ref().map(Error::kind),
            report.outputs_done(),
        ));
    });
    let _watched = harness.watch(&input);
    (0..4).for_each(|_| drop(harness.step().unwrap()));
    let expected = [(1, None, 1), (2, None, 1), (3, Some(ErrorKind::User), 0), (4, None, 1)];
    assert_eq!(*reports.lock().unwrap(), expected);
}

/// A program of a channel with 13 in its second interval, run for four.
fn run(on_failure: OnFailure) -> (Result<(), Error>, Vec<Vec<i64>>, Vec<i64>) {
    let ctx = Context::builder("run")
        .interval(std::time::Duration::from_millis(1))
        .threads(2)
        .on_failure(on_failure)
        .handle_signals(false)
        .build()
        .unwrap();
    let (sender, numbers) = ctx.source("numbers").interval_records_max(2).channel::<i64>();
    let (seen, state) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Mutex::new(Vec::new())));
    let lucky = numbers.map(lucky);
    let (out, last) = (seen.clone(), state.clone());
    lucky.for_each_rdd(move |rdd, _| {
        out.lock().unwrap().push(rdd.collect()?);
        Ok::<(), Error>(())
    });
    lucky.map(|n| ((), n)).running_reduce(|a, b| a + b).for_each_rdd(move |rdd, _| {
        *last.lock().unwrap() = rdd.collect()?.into_iter().map(|(_, n)| n).collect();
        Ok::<(), Error>(())
    });
    // All of it is there before the program starts, and an interval takes two of them.
    let feeder = std::thread::spawn(move || {
        for n in [1, 2, 3, 13, 4, 5] {
            if sender.send(n).is_err() {
                return;
            }
        }
    });
    let result = ctx.run();
    drop(ctx);
    feeder.join().unwrap();
    let (seen, state) = (seen.lock().unwrap().clone(), state.lock().unwrap().clone());
    (result, seen.into_iter().filter(|interval| !interval.is_empty()).collect(), state)
}

#[test]
fn a_program_stops_unless_it_was_told_to_go_on() {
    let (result, seen, _) = run(OnFailure::Stop);
    let error = result.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("`map` at "), "{error}");
    assert!(!seen.concat().contains(&4), "nothing after it is done: {seen:?}");
}

#[test]
fn a_program_goes_on_if_it_was_told_to() {
    let (result, seen, state) = run(OnFailure::Continue);
    result.unwrap();
    let all = seen.concat();
    assert!(!all.contains(&13) && all.ends_with(&[5]), "{seen:?}");
    assert_eq!(state, [all.iter().sum::<i64>()], "the state is what was seen: {seen:?}");
}

/// An output need not look at every interval: what it asks for now and then is still all there.
#[test]
fn state_that_is_seldom_looked_at() {
    for threads in [1, 4] {
        for every in [2, 3, 10, 40] {
            let harness = harness(threads);
            let input = harness.input((1..=120).map(|n| vec![('a', n)]));
            let seen = Arc::new(Mutex::new(Vec::new()));
            let streams = [
                input.running_reduce(|a, b| a + b),
                input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 4 * SECOND, SECOND),
                input.reduce_by_key_and_window(|a, b| a + b, 4 * SECOND, SECOND),
            ];
            for (stream, at) in streams.iter().zip(0..) {
                let seen = seen.clone();
                stream.for_each_rdd(move |rdd, t| {
                    let n = t.as_ms() as i32 / 1000;
                    if n % every == 0 {
                        let window: i32 = (1.max(n - 3)..=n).sum();
                        let expected = [n * (n + 1) / 2, window, window][at];
                        assert_eq!(rdd.collect()?, [('a', expected)], "stream {at} at {n}");
                        seen.lock().unwrap().push(at);
                    }
                    Ok::<(), Error>(())
                });
            }
            harness.advance(120).unwrap();
            assert_eq!(seen.lock().unwrap().len() as i32, 3 * (120 / every));
        }
    }
}
