//! Programs over random input, in random partitions and on any number of threads, answer as a naive
//! reference does that looks at all of the past each time.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, time::Duration};

use cutwater::{Context, DStream, testing::Harness};
use proptest::{collection::vec, option, prelude::*};

const SECOND: Duration = Duration::from_secs(1);

type Pairs = Vec<(u8, i64)>;
/// What a stream has at each interval, if it has anything.
type Intervals = Vec<Option<Pairs>>;

/// How a program is run and which windows it has.
#[derive(Clone, Debug)]
struct Setup {
    threads: usize,
    partitions: u32,
    window: usize,
    slide: usize,
}

impl Setup {
    fn harness(&self) -> Harness {
        let builder = Context::builder("random").interval(SECOND).threads(self.threads);
        Harness::with(builder, self.partitions)
    }

    fn spans(&self) -> (Duration, Duration) {
        (self.window as u32 * SECOND, self.slide as u32 * SECOND)
    }

    /// The times, as numbers of intervals, at which a stream of this slide has something.
    fn times(&self, intervals: usize) -> impl Iterator<Item = usize> {
        (1..=intervals).filter(|t| t % self.slide == 0)
    }

    /// The intervals in the window that ends with number `t`.
    fn window_at<'a>(&self, input: &'a Intervals, t: usize) -> impl Iterator<Item = &'a Pairs> {
        input[t.saturating_sub(self.window)..t].iter().flatten()
    }
}

fn setup() -> impl Strategy<Value = Setup> {
    (1..=4usize, 1..=4u32, 1..=5usize, 1..=4usize).prop_map(|(threads, partitions, window, slide)| Setup {
        threads,
        partitions,
        window,
        slide,
    })
}

/// Few keys and small values, so that values meet and cancel.
fn pairs() -> impl Strategy<Value = Pairs> {
    vec((0..6u8, -3..=3i64), 0..8)
}

fn sums<'a>(records: impl IntoIterator<Item = &'a (u8, i64)>) -> BTreeMap<u8, i64> {
    let mut sums = BTreeMap::new();
    for (key, value) in records {
        *sums.entry(*key).or_default() += value;
    }
    sums
}

fn sorted<T: Ord>(mut records: Vec<T>) -> Vec<T> {
    records.sort();
    records
}

/// What the program makes of the input before anything looks across intervals.
fn prepared(stream: &DStream<(u8, i64)>) -> DStream<(u8, i64)> {
    stream.filter(|(_, value)| *value != 1).map(|(key, value)| (key % 5, value * 10 + 1))
}

fn prepared_by_hand(input: &Intervals) -> Intervals {
    let prepare =
        |pairs: &Pairs| pairs.iter().filter(|(_, v)| *v != 1).map(|(k, v)| (k % 5, v * 10 + 1)).collect();
    input.iter().map(|interval| interval.as_ref().map(prepare)).collect()
}

/// The operations across intervals, watched, and the answers of the reference.
fn check_across_intervals(setup: &Setup, input: &Intervals, failing: &[usize]) -> Result<(), TestCaseError> {
    let (window, slide) = setup.spans();
    let harness = setup.harness();
    // A poisoned record fails its interval in the first output, which sees every interval.
    let poisoned = input.iter().enumerate().map(|(at, interval)| {
        let poison = failing.contains(&(at + 1)).then_some((0, i64::MAX));
        interval.clone().map(|pairs| pairs.into_iter().chain(poison).collect())
    });
    let stream = harness.input_or_none(poisoned).map(|(key, value)| {
        assert!(value != i64::MAX, "poison");
        (key, value)
    });
    let first = harness.watch(&stream);
    let stream = prepared(&stream);
    let windows = harness.watch(&stream.window(window, slide));
    let counts = harness.watch(&stream.window(window, slide).count());
    let reduced = harness.watch(&stream.reduce_by_key_and_window(|a, b| a + b, window, slide));
    let grouped = harness.watch(&stream.window(window, slide).group_by_key());
    let inverse =
        harness.watch(&stream.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, window, slide));
    let filtered = harness.watch(&stream.reduce_by_key_and_window_filtered(
        |a, b| a + b,
        |a, b| a - b,
        |_, value| *value != 0,
        window,
        slide,
    ));
    let running = harness.watch(&stream.running_reduce(|a, b| a + b));
    let mut failed = Vec::new();
    for t in 1..=input.len() {
        if harness.step().map_err(|error| TestCaseError::fail(error.to_string()))?.failure.is_some() {
            failed.push(t);
        }
    }
    prop_assert_eq!(&failed, failing);
    let went_well = |t: &usize| !failing.contains(t);

    // From here on the reference: an interval that failed had no records.
    let input: Intervals = (1..)
        .zip(prepared_by_hand(input))
        .map(|(t, interval)| if went_well(&t) { interval } else { Some(Vec::new()) })
        .collect();
    prop_assert_eq!(first.all().len(), input.len() - failing.len());
    let times: Vec<_> = setup.times(input.len()).filter(went_well).collect();

    let at = |watched: Vec<Option<Pairs>>| -> Vec<Pairs> {
        watched.into_iter().map(|records| sorted(records.expect("a window is empty at worst"))).collect()
    };
    let all = |t: usize| setup.window_at(&input, t).flatten();
    let expected: Vec<Pairs> = times.iter().map(|t| sorted(all(*t).copied().collect())).collect();
    prop_assert_eq!(at(windows.all()), expected);
    let expected: Vec<_> = times.iter().map(|t| Some(vec![all(*t).count() as u64])).collect();
    prop_assert_eq!(counts.all(), expected);
    let expected: Vec<Pairs> = times.iter().map(|t| sums(all(*t)).into_iter().collect()).collect();
    prop_assert_eq!(at(reduced.all()), expected);
    let groups: Vec<Pairs> = grouped
        .all()
        .into_iter()
        .flatten()
        .map(|groups| {
            sorted(groups.into_iter().flat_map(|(k, vs)| vs.into_iter().map(move |v| (k, v))).collect())
        })
        .collect();
    let expected: Vec<Pairs> = times.iter().map(|t| sorted(all(*t).copied().collect())).collect();
    prop_assert_eq!(groups, expected);

    // With an inverse, keys that were in an earlier window stay, at zero.
    let expected: Vec<Pairs> = times
        .iter()
        .map(|t| {
            let mut kept: BTreeMap<u8, i64> = BTreeMap::new();
            for earlier in setup.times(*t) {
                kept.extend(all(earlier).map(|(key, _)| (*key, 0)));
            }
            kept.extend(sums(all(*t)));
            kept.into_iter().collect()
        })
        .collect();
    prop_assert_eq!(at(inverse.all()), expected);
    let expected: Vec<Pairs> =
        times.iter().map(|t| sums(all(*t)).into_iter().filter(|(_, sum)| *sum != 0).collect()).collect();
    prop_assert_eq!(at(filtered.all()), expected);

    let begun = |t: usize| input[..t].iter().any(Option::is_some);
    let expected: Vec<Option<Pairs>> = (1..=input.len())
        .filter(went_well)
        .map(|t| begun(t).then(|| sums(input[..t].iter().flatten().flatten()).into_iter().collect()))
        .collect();
    let running: Vec<_> = running.all().into_iter().map(|records| records.map(sorted)).collect();
    prop_assert_eq!(running, expected);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 80, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn operations_across_intervals(setup in setup(), input in vec(option::weighted(0.85, pairs()), 1..12)) {
        check_across_intervals(&setup, &input, &[])?;
    }

    #[test]
    fn operations_across_intervals_that_fail(
        setup in setup(),
        input in vec((pairs(), proptest::bool::weighted(0.3)), 1..12),
    ) {
        let failing: Vec<_> = (1..).zip(&input).filter(|(_, (_, fails))| *fails).map(|(t, _)| t).collect();
        let input: Intervals = input.into_iter().map(|(pairs, _)| Some(pairs)).collect();
        check_across_intervals(&setup, &input, &failing)?;
    }

    /// Two streams are joined over windows, and over running sums.
    #[test]
    fn joins_of_streams(setup in setup(), left in vec(pairs(), 1..8), right in vec(pairs(), 1..8)) {
        let (window, slide) = setup.spans();
        let harness = setup.harness();
        let (a, b) = (prepared(&harness.input(left.clone())), harness.input(right.clone()));
        let joined = harness.watch(&a.window(window, slide).join(&b.window(window, slide)));
        let running = harness.watch(&a.running_reduce(|x, y| x + y).join(&b.running_reduce(i64::max)));
        let cogrouped = harness.watch(&a.cogroup(&b));
        let union = harness.watch(&a.union(&b).reduce_by_key(|x, y| x + y));
        let n = left.len().max(right.len());
        harness.advance(n as u64).map_err(|error| TestCaseError::fail(error.to_string()))?;

        let padded = |side: Vec<Pairs>| -> Intervals {
            side.into_iter().map(Some).chain(std::iter::repeat_n(Some(Vec::new()), n)).take(n).collect()
        };
        let (left, right) = (prepared_by_hand(&padded(left)), padded(right));
        let expected: Vec<Vec<_>> = setup
            .times(n)
            .map(|t| {
                let pairs = setup.window_at(&left, t).flatten().flat_map(|(k, v)| {
                    setup.window_at(&right, t).flatten().filter(move |w| w.0 == *k).map(|w| (*k, (*v, w.1)))
                });
                sorted(pairs.collect())
            })
            .collect();
        prop_assert_eq!(joined.all().into_iter().flatten().map(sorted).collect::<Vec<_>>(), expected);

        for (t, running) in (1..).zip(running.all()) {
            let sums = sums(left[..t].iter().flatten().flatten());
            let mut highest = BTreeMap::new();
            for (key, value) in right[..t].iter().flatten().flatten() {
                let highest = highest.entry(*key).or_insert(*value);
                *highest = (*highest).max(*value);
            }
            let expected: Vec<_> = sums.iter().filter_map(|(k, sum)| Some((*k, (*sum, *highest.get(k)?)))).collect();
            prop_assert_eq!(sorted(running.unwrap_or_default()), expected);
        }
        for (t, (cogrouped, union)) in cogrouped.all().into_iter().zip(union.all()).enumerate() {
            let (l, r) = (left[t].clone().unwrap_or_default(), right[t].clone().unwrap_or_default());
            let mut expected: BTreeMap<u8, (Vec<i64>, Vec<i64>)> = BTreeMap::new();
            for (k, v) in &l {
                expected.entry(*k).or_default().0.push(*v);
            }
            for (k, v) in &r {
                expected.entry(*k).or_default().1.push(*v);
            }
            prop_assert_eq!(sorted(cogrouped.unwrap_or_default()), expected.into_iter().collect::<Vec<_>>());
            let expected: Pairs = sums(l.iter().chain(&r)).into_iter().collect();
            prop_assert_eq!(sorted(union.unwrap_or_default()), expected);
        }
    }

    /// A chain of operations of datasets, with every kind of shuffle in it.
    #[test]
    fn chains_of_datasets(
        threads in 1..=4usize,
        parts in (1..=5u32, 1..=5u32, 1..=5u32),
        data in vec((0..20u8, -100..=100i64), 0..80),
    ) {
        let ctx = Context::local(threads);
        let rdd = ctx.parallelize_into(parts.0, data.clone());
        let summed = rdd.filter(|r| r.1 % 3 != 0).with(()).reduce_by_key_into(parts.1, |(), a, b| a + b);
        let doubled = summed.map_values(|v| v * 2).union(&rdd.repartition(parts.2)).coalesce(parts.2);
        let ordered = doubled.sort_by_into(parts.1, |r| (r.1, r.0)).and_then(|rdd| rdd.collect());

        let odd: Pairs = data.iter().copied().filter(|r| r.1 % 3 != 0).collect();
        let mut expected: Pairs = sums(&odd).into_iter().map(|(k, v)| (k, v * 2)).chain(data.clone()).collect();
        expected.sort_by_key(|r| (r.1, r.0));
        prop_assert_eq!(ordered.map_err(|error| TestCaseError::fail(error.to_string()))?, expected.clone());
        let top = doubled.top_by(7, |r| (r.1, r.0)).map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(top, expected.into_iter().rev().take(7).collect::<Vec<_>>());
    }
}
