//! Operations that keep state, through the public API: the tables `update_state_by_key.json` and
//! `map_with_state.json` of `crates/conformance/tables`, and what they do not say.

use std::time::Duration;

use cutwater::{
    Context, DStream, Error, ErrorKind, OnFailure, Record, Session, State, StateSpec, Time, testing::Harness,
};

const SECOND: Duration = Duration::from_secs(1);

/// Six intervals of words, as most cases have them, after an empty one or not.
fn words(harness: &Harness, first_is_empty: bool) -> DStream<(String, i64)> {
    let words: [&[&str]; 7] = [&[], &["a"], &["a", "b"], &["a", "b", "c"], &["a", "b"], &["a"], &[]];
    let intervals = words.into_iter().skip(usize::from(!first_is_empty));
    pair_one(harness, intervals.map(|words| Some(words.to_vec())))
}

fn pair_one(
    harness: &Harness,
    intervals: impl IntoIterator<Item = Option<Vec<&'static str>>>,
) -> DStream<(String, i64)> {
    let owned = |words: Vec<&str>| words.into_iter().map(str::to_owned).collect();
    let words: Vec<Option<Vec<String>>> = intervals.into_iter().map(|words| words.map(owned)).collect();
    harness.input_or_none(words).map(|word| (word, 1))
}

fn pairs<V: Copy, const N: usize>(pairs: [(&str, V); N]) -> Vec<(String, V)> {
    pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// What a stream answers, each interval sorted: partitions are in no order that matters here.
fn sorted<T: Record + Ord>(harness: &Harness, stream: &DStream<T>, intervals: u64) -> Vec<Option<Vec<T>>> {
    let watched = harness.watch(stream);
    harness.advance(intervals).expect("no interval fails");
    let mut all = watched.all();
    all.iter_mut().flatten().for_each(|records| records.sort());
    all
}

fn some<T: Clone>(intervals: impl IntoIterator<Item = Vec<T>>) -> Vec<Option<Vec<T>>> {
    intervals.into_iter().map(Some).collect()
}

mod update_state_by_key {
    use super::*;

    fn sum_plus_state(values: Vec<i64>, state: Option<i64>) -> Option<i64> {
        Some(values.iter().sum::<i64>() + state.unwrap_or(0))
    }

    #[test]
    fn case_001_a_running_sum() {
        let harness = Harness::new(SECOND);
        let sums = words(&harness, false).update_state_by_key(sum_plus_state);
        let expected = some([
            pairs([("a", 1)]),
            pairs([("a", 2), ("b", 1)]),
            pairs([("a", 3), ("b", 2), ("c", 1)]),
            pairs([("a", 4), ("b", 3), ("c", 1)]),
            pairs([("a", 5), ("b", 3), ("c", 1)]),
            pairs([("a", 5), ("b", 3), ("c", 1)]),
        ]);
        assert_eq!(sorted(&harness, &sums, 6), expected);
    }

    /// 003 is the same for a form of the function that there is no need for here.
    #[test]
    fn cases_002_and_003_with_initial_state() {
        let harness = Harness::new(SECOND);
        let initial = harness.ctx().parallelize(pairs([("a", 1), ("c", 2)]));
        let sums = words(&harness, false).update_state_by_key_spec(
            |_, _, values, state| sum_plus_state(values, state),
            StateSpec::new().initial_state(initial).partitions(2),
        );
        let expected = some([
            pairs([("a", 2), ("c", 2)]),
            pairs([("a", 3), ("b", 1), ("c", 2)]),
            pairs([("a", 4), ("b", 2), ("c", 3)]),
            pairs([("a", 5), ("b", 3), ("c", 3)]),
            pairs([("a", 6), ("b", 3), ("c", 3)]),
            pairs([("a", 6), ("b", 3), ("c", 3)]),
        ]);
        assert_eq!(sorted(&harness, &sums, 6), expected);
    }

    #[test]
    fn case_005_idle_keys_are_dropped_by_the_function_even_without_datasets() {
        fn counter(values: Vec<i64>, state: Option<(i64, i64)>) -> Option<(i64, i64)> {
            let ((count, idle), sum) = (state.unwrap_or((0, 0)), values.iter().sum::<i64>());
            let next = if sum == 0 { (count, idle + 1) } else { (count + sum, 0) };
            (next.1 < 2).then_some(next)
        }
        let harness = Harness::new(SECOND);
        let input = [Some(vec!["a", "b"]), None, Some(vec!["a", "c", "a"]), Some(vec!["c"]), None, None];
        let counts = pair_one(&harness, input).update_state_by_key(counter).map_values(|(count, _)| count);
        let expected = some([
            pairs([("a", 1), ("b", 1)]),
            pairs([("a", 1), ("b", 1)]),
            pairs([("a", 3), ("c", 1)]),
            pairs([("a", 3), ("c", 2)]),
            pairs([("c", 2)]),
            pairs([]),
        ]);
        assert_eq!(sorted(&harness, &counts, 6), expected);
    }

    fn cities(harness: &Harness) -> DStream<(String, i64)> {
        harness.input([
            pairs([("california", 1), ("california", 3), ("new york", 4), ("new york", 1)]),
            pairs([("california", 5), ("california", 5), ("new york", 3), ("new york", 1)]),
        ])
    }

    #[test]
    fn case_006_sums_of_pairs() {
        let harness = Harness::with(Context::builder("test").threads(1), 1);
        let sums = cities(&harness).update_state_by_key(sum_plus_state);
        let last = pairs([("california", 14), ("new york", 9)]);
        let expected = some([pairs([("california", 4), ("new york", 5)]), last.clone(), last]);
        assert_eq!(sorted(&harness, &sums, 3), expected);
    }

    #[test]
    fn case_007_sums_of_pairs_with_initial_state() {
        let harness = Harness::with(Context::builder("test").threads(1), 1);
        let initial = harness.ctx().parallelize(pairs([("california", 1), ("new york", 2)]));
        let sums = cities(&harness).update_state_by_key_spec(
            |_, _, values, state| sum_plus_state(values, state),
            StateSpec::new().initial_state(initial).partitions(1),
        );
        let last = pairs([("california", 15), ("new york", 11)]);
        let expected = some([pairs([("california", 5), ("new york", 7)]), last.clone(), last]);
        assert_eq!(sorted(&harness, &sums, 3), expected);
    }

    #[test]
    fn cases_008_and_009_values_appended_in_order() {
        for initial in [None, Some(vec![0, 1])] {
            let harness = Harness::with(Context::builder("test").threads(1), 1);
            let known = initial.clone().map_or(0, |known| known.len());
            let input = harness.input((known..5).map(|n| pairs([("k", n)])));
            let mut spec = StateSpec::new();
            if let Some(initial) = initial {
                spec = spec.initial_state(harness.ctx().parallelize([("k".to_owned(), initial)]));
            }
            let lists = input.update_state_by_key_spec(
                |_, _, values, list: Option<Vec<usize>>| {
                    let mut list = list.unwrap_or_default();
                    list.extend(values);
                    Some(list)
                },
                spec,
            );
            let expected = (known..5).map(|n| vec![("k".to_owned(), (0..=n).collect::<Vec<_>>())]);
            assert_eq!(sorted(&harness, &lists, 5 - known as u64), some(expected));
        }
    }

    #[test]
    fn values_come_in_the_order_of_the_partitions() {
        let harness = Harness::with(Context::builder("test").threads(2), 4);
        let input =
            harness.input([(0..40).map(|n| (n % 3, n)).collect(), (40..80).map(|n| (0, n)).collect()]);
        let lists = input.update_state_by_key(|values, list: Option<Vec<i32>>| {
            Some([list.unwrap_or_default(), values].concat())
        });
        let all = sorted(&harness, &lists, 2).pop().flatten().unwrap();
        assert_eq!(all[0], (0, (0..40).step_by(3).chain(40..80).collect()));
        assert_eq!(all[1], (1, (1..40).step_by(3).collect()));
    }

    #[test]
    fn before_the_first_dataset_there_is_nothing_and_the_initial_state_waits_for_it() {
        let harness = Harness::new(SECOND);
        let initial = harness.ctx().parallelize(pairs([("a", 10), ("b", 20)]));
        let times = pair_one(&harness, [None, Some(vec![]), None, Some(vec!["c"])]).update_state_by_key_spec(
            |now: Time, key: &String, values, state| match key.as_str() {
                "b" => None,
                _ => Some(now.as_ms() + state.unwrap_or(0) + values.len() as i64),
            },
            StateSpec::new().initial_state(initial).partitions(3),
        );
        let expected = [
            None,
            Some(pairs([("a", 2_010)])),
            Some(pairs([("a", 5_010)])),
            Some(pairs([("a", 9_010), ("c", 4_001)])),
        ];
        assert_eq!(sorted(&harness, &times, 4), expected);
    }

    #[test]
    fn values_are_handed_over() {
        let harness = Harness::new(SECOND);
        let input = harness.input([vec![('a', 1)], vec![('a', 2)]]);
        let sums = input.with(100).update_state_by_key(|most: &i32, values, sum| {
            Some(most.min(&(sum.unwrap_or(99) + values.iter().sum::<i32>())).to_owned())
        });
        assert_eq!(sorted(&harness, &sums, 2), some([vec![('a', 100)], vec![('a', 100)]]));
    }

    #[test]
    fn a_timeout_and_no_partitions_are_faults_of_the_program() {
        let harness = Harness::new(SECOND);
        let spec = StateSpec::<char, i32>::new().timeout(SECOND).partitions(0);
        let sums = harness.input([vec![('a', 1)]]).update_state_by_key_spec(|_, _, _, state| state, spec);
        harness.watch(&sums);
        let error = harness.advance(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config);
        let message = error.to_string();
        assert!(message.contains("a timeout belongs to") && message.contains("0 partitions"), "{message}");
    }
}

mod map_with_state {
    use super::*;

    /// Adds the value to the state, and says what it has become.
    fn sum(value: i64, state: &mut State<i64>) -> i64 {
        *state.get_or_insert_with(|| 0) += value;
        *state.get()
    }

    fn snapshots() -> Vec<Option<Vec<(String, i64)>>> {
        some([
            pairs([]),
            pairs([("a", 1)]),
            pairs([("a", 2), ("b", 1)]),
            pairs([("a", 3), ("b", 2), ("c", 1)]),
            pairs([("a", 4), ("b", 3), ("c", 1)]),
            pairs([("a", 5), ("b", 3), ("c", 1)]),
            pairs([("a", 5), ("b", 3), ("c", 1)]),
        ])
    }

    /// 006 is the same.
    #[test]
    fn cases_001_to_003_and_006_running_counts() {
        let harness = Harness::new(SECOND);
        let counts = words(&harness, true).map_with_state(|_, one, state: &mut State<i64>| sum(one, state));
        let all = harness.watch(&counts.state_snapshots());
        let expected = some([vec![], vec![1], vec![1, 2], vec![1, 2, 3], vec![3, 4], vec![5], vec![]]);
        assert_eq!(sorted(&harness, &counts, 7), expected);
        let all = all.all().into_iter().map(|all| {
            all.map(|mut all| {
                all.sort();
                all
            })
        });
        assert_eq!(all.collect::<Vec<_>>(), snapshots());

        let harness = Harness::new(SECOND);
        let twice = words(&harness, true).map_with_state(|key, one, state: &mut State<i64>| {
            sum(one, state);
            key.repeat(2)
        });
        let strings = |keys: &[&str]| keys.iter().map(|key| (*key).to_owned()).collect::<Vec<_>>();
        let (aa, aabb, aabbcc) = (strings(&["aa"]), strings(&["aa", "bb"]), strings(&["aa", "bb", "cc"]));
        let expected = some([vec![], aa.clone(), aabb.clone(), aabbcc, aabb, aa, vec![]]);
        assert_eq!(sorted(&harness, &twice, 7), expected);

        let harness = Harness::new(SECOND);
        let both = words(&harness, true)
            .map_with_state(|key, one, state: &mut State<i64>| (key.clone(), sum(one, state)));
        let touched = some([
            pairs([]),
            pairs([("a", 1)]),
            pairs([("a", 2), ("b", 1)]),
            pairs([("a", 3), ("b", 2), ("c", 1)]),
            pairs([("a", 4), ("b", 3)]),
            pairs([("a", 5)]),
            pairs([]),
        ]);
        assert_eq!(sorted(&harness, &both, 7), touched);
    }

    #[test]
    fn case_004_initial_states_and_nothing_mapped() {
        let harness = Harness::new(SECOND);
        let initial = harness.ctx().parallelize(pairs([("a", 5), ("b", 10), ("c", -20), ("d", 0)]));
        let counts = words(&harness, true).map_with_state_spec(
            |_, _, one, state: &mut State<i64>| {
                sum(one?, state);
                None::<()>
            },
            StateSpec::new().initial_state(initial),
        );
        let nothing = harness.watch(&counts);
        let expected = snapshots().into_iter().map(|interval| {
            let known = pairs([("a", 5), ("b", 10), ("c", -20), ("d", 0)]);
            let more: std::collections::BTreeMap<_, _> = interval.unwrap().into_iter().collect();
            known.into_iter().map(|(key, n)| (key.clone(), n + more.get(&key).unwrap_or(&0))).collect()
        });
        let expected: Vec<Vec<_>> = expected.collect();
        assert_eq!(sorted(&harness, &counts.state_snapshots(), 7), some(expected));
        assert_eq!(nothing.all(), some(vec![vec![]; 7]));
    }

    /// The table leaves open when: here it is the first interval in which `updated < t - timeout`.
    #[test]
    fn case_007_each_expired_key_is_reported_once_and_at_once() {
        let harness = Harness::new(SECOND);
        let first: [&[&str]; 5] = [&["a", "b", "c"], &["a", "b"], &["a"], &[], &[]];
        let input = first.into_iter().map(<[_]>::to_vec).chain(vec![vec!["a"]; 21]).map(Some);
        let expired = pair_one(&harness, input).map_with_state_spec(
            |_, key, value, state| match value {
                Some(_) => {
                    state.update(1);
                    None
                }
                None => state.is_timing_out().then(|| key.clone()),
            },
            StateSpec::new().timeout(3 * SECOND),
        );
        let all = harness.watch(&expired.state_snapshots());
        let mut expected = vec![Vec::new(); 20];
        expected[4] = vec!["c".to_owned()];
        expected[5] = vec!["b".to_owned()];
        assert_eq!(sorted(&harness, &expired, 20), some(expected));
        let all = all.all();
        assert_eq!(all[3].as_ref().map(Vec::len), Some(3));
        assert_eq!(all[19], Some(pairs([("a", 1)])));
    }

    /// `crates/conformance/tables/edge_semantics.json`, case 006.
    #[test]
    fn an_interval_without_a_dataset_has_an_empty_one_and_a_snapshot() {
        let harness = Harness::new(SECOND);
        let counts = pair_one(&harness, [None, Some(vec!["a", "a", "b"]), None, Some(vec!["a"])])
            .map_with_state(|key, one, state: &mut State<i64>| (key.clone(), sum(one, state)));
        let size = harness.watch(&counts.state_snapshots().count());
        let expected = [vec![], pairs([("a", 1), ("a", 2), ("b", 1)]), vec![], pairs([("a", 3)]), vec![]];
        assert_eq!(sorted(&harness, &counts, 5), some(expected));
        assert_eq!(size.all(), some([vec![0], vec![2], vec![2], vec![2], vec![2]]));
    }

    /// Of the rules, `toggle_return_removed_key`: a second record of a key removes it.
    #[test]
    fn what_one_record_leaves_the_next_one_finds() {
        let harness = Harness::with(Context::builder("test").threads(1), 1);
        let input =
            harness.input([vec![('a', ()), ('b', ()), ('a', ()), ('a', ())], vec![('a', ()), ('b', ())]]);
        let removed = input.map_with_state_spec(
            |_, key, value, state| {
                if state.exists() {
                    state.remove();
                    return Some(*key);
                }
                state.update(value?);
                None
            },
            StateSpec::new(),
        );
        let size = harness.watch(&removed.state_snapshots().count());
        assert_eq!(harness.run(&removed, 2).unwrap(), [vec!['a'], vec!['a', 'b']]);
        assert_eq!(size.all(), some([vec![2], vec![0]]));
    }

    #[test]
    fn looking_at_a_key_is_touching_it_and_a_record_in_its_last_interval_keeps_it() {
        let harness = Harness::new(SECOND);
        let at = |seconds: &[u64]| (1..=9).map(|s| seconds.contains(&s)).collect::<Vec<_>>();
        let records =
            at(&[1, 2, 5]).into_iter().map(|there| there.then_some(('a', ())).into_iter().collect());
        let input = harness.input(records.collect::<Vec<Vec<_>>>());
        let expired = input.map_with_state_spec(
            |now, _, value, state| {
                if !state.exists() {
                    state.update(0);
                }
                value.is_none().then(|| now.as_ms())
            },
            StateSpec::new().timeout(2 * SECOND),
        );
        // Touched at 2 it would go at 5, where it is touched again; so it goes at 8.
        let mut expected = vec![vec![]; 9];
        expected[7] = vec![8_000];
        assert_eq!(sorted(&harness, &expired, 9), some(expected));
    }

    /// Against a plain map that looks at every key in every interval.
    #[test]
    fn keys_expire_as_in_a_plain_map_whatever_the_threads() {
        const TIMEOUT: i64 = 2;
        let records = |t: u32| (0..t % 5 * 40).map(|n| (n * (t + 7) % 251, t)).collect::<Vec<_>>();
        let run = |threads| {
            let harness = Harness::with(Context::builder("test").threads(threads), 3);
            let events = harness.input((1..=12).map(records)).map_with_state_spec(
                |now, key, value, state| {
                    if let Some(value) = value {
                        state.update(value);
                    }
                    Some((now.as_ms() / 1000, *key, value, *state.get()))
                },
                StateSpec::new().timeout(TIMEOUT as u32 * SECOND).partitions(4),
            );
            harness.run(&events, 16).unwrap()
        };
        let mut events = run(1);
        assert_eq!(run(2), events, "in the same order too");
        for interval in &events {
            let turns = interval.windows(2).filter(|two| two[0].2.is_none() && two[1].2.is_some()).count();
            assert!(turns < 4, "what expires comes after the records, in each of 4 partitions");
        }
        let (mut states, mut expected) = (std::collections::BTreeMap::new(), Vec::new());
        for (t, now) in (1..=16).zip(1i64..) {
            let mut interval = Vec::new();
            for (key, value) in if t <= 12 { records(t) } else { Vec::new() } {
                states.insert(key, (value, now));
                interval.push((now, key, Some(value), value));
            }
            states.retain(|key, (value, updated)| {
                let expires = *updated < now - TIMEOUT;
                interval.extend(expires.then_some((now, *key, None, *value)));
                !expires
            });
            interval.sort();
            expected.push(interval);
        }
        assert!(
            states.is_empty() && expected.iter().flatten().filter(|event| event.2.is_none()).count() > 100
        );
        events.iter_mut().for_each(|interval| interval.sort());
        assert_eq!(events, expected);
    }

    #[test]
    fn a_stream_that_slides_by_more_expires_at_its_own_times() {
        let harness = Harness::new(SECOND);
        let input =
            harness.input([vec![('a', 1)], vec![('b', 1)], vec![('a', 1)]]).window(2 * SECOND, 2 * SECOND);
        let expired = input.map_with_state_spec(
            |now, key, value, state| match value {
                Some(value) => {
                    state.update(value);
                    None
                }
                None => Some((*key, now.as_ms())),
            },
            StateSpec::new().timeout(SECOND),
        );
        let expected = some([vec![], vec![('b', 4_000)], vec![('a', 6_000)]]);
        assert_eq!(sorted(&harness, &expired, 6), expected);
    }

    #[test]
    fn changing_a_state_that_is_gone_fails_the_interval() {
        let fail = |run: fn(&Harness) -> DStream<()>| {
            let harness = Harness::new(SECOND);
            let stream = run(&harness);
            harness.watch(&stream);
            let error = harness.advance(3).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::User, "{error}");
            error.to_string()
        };
        let message = fail(|harness| {
            let input = harness.input([vec![('a', 1)]]);
            let removed_twice = input.map_with_state(|_, _, state: &mut State<i32>| {
                state.remove();
                state.remove();
            });
            removed_twice.mapped()
        });
        assert!(message.contains("a state that was removed by this call cannot be removed"), "{message}");
        assert!(message.contains("`map_with_state` at") && message.contains("tests/state.rs"), "{message}");
        let message = fail(|harness| {
            let input = harness.input([vec![('a', 1)]]);
            let kept = input.map_with_state_spec(
                |_, _, value, state| {
                    state.update(value.unwrap_or(0));
                    None
                },
                StateSpec::new().timeout(Duration::ZERO),
            );
            kept.mapped()
        });
        assert!(message.contains("is timing out and goes after this call cannot be updated"), "{message}");
    }

    #[test]
    fn an_interval_that_failed_had_no_records_and_the_initial_state_survives_it() {
        let builder = Context::builder("test").threads(2).on_failure(OnFailure::Continue);
        let harness = Harness::with(builder, 2);
        let initial = harness.ctx().parallelize([('a', 10), ('b', 20)]);
        let input =
            harness.input([vec![('a', -1)], vec![('a', 1)], vec![('b', -1), ('a', 5)], vec![('b', 2)]]);
        let sums = input.map_with_state_spec(
            |_, key, value, sum| {
                let value = value?;
                assert!(value >= 0, "nothing negative");
                *sum.get_or_insert_with(|| 0) += value;
                Some((*key, *sum.get()))
            },
            StateSpec::new().initial_state(initial),
        );
        let seen = harness.watch(&sums);
        let failed: Vec<bool> = (0..4).map(|_| harness.step().unwrap().failure.is_some()).collect();
        assert_eq!(failed, [true, false, true, false]);
        assert_eq!(seen.all(), some([vec![('a', 11)], vec![('b', 22)]]));
    }
}

mod tracked {
    use super::*;

    fn visits(harness: &Harness) -> DStream<(char, i32)> {
        harness.input([
            vec![('a', 1), ('a', 2), ('b', 3)],
            vec![('a', 4), ('c', 0)],
            vec![('b', -1), ('b', 7)],
            vec![('c', 1)],
        ])
    }

    #[test]
    fn a_key_goes_by_its_update_or_when_it_was_idle_for_too_long() {
        let harness = Harness::new(SECOND);
        let lists = visits(&harness).track(
            |_, value| vec![value],
            |_, mut values, value| {
                values.push(value);
                (value >= 0).then_some(values)
            },
            2 * SECOND,
        );
        let count = harness.watch(&lists.count());
        let expected = [
            vec![('a', vec![1, 2]), ('b', vec![3])],
            vec![('a', vec![1, 2, 4]), ('b', vec![3]), ('c', vec![0])],
            // Dropped by -1 and begun anew by 7.
            vec![('a', vec![1, 2, 4]), ('b', vec![7]), ('c', vec![0])],
            vec![('a', vec![1, 2, 4]), ('b', vec![7]), ('c', vec![0, 1])],
            vec![('b', vec![7]), ('c', vec![0, 1])],
            vec![('c', vec![0, 1])],
            vec![],
        ];
        let sizes: Vec<_> = expected.iter().map(|keys| vec![keys.len() as u64]).collect();
        assert_eq!(sorted(&harness, &lists, 7), some(expected));
        assert_eq!(count.all(), some(sizes));
    }

    #[test]
    fn it_can_be_read_while_later_intervals_go_on() {
        let harness = Harness::new(SECOND);
        let sums = visits(&harness).with(100).track(
            |base, _, value| base + value,
            |base, key, sum, value| Some(if *key == 'a' { sum + value } else { sum + value + base }),
            60 * SECOND,
        );
        let last_two = sums.window(2 * SECOND, SECOND).reduce_by_key(i32::max);
        let expected = some([
            vec![('a', 103), ('b', 103)],
            vec![('a', 107), ('b', 103), ('c', 100)],
            vec![('a', 107), ('b', 309), ('c', 100)],
        ]);
        assert_eq!(sorted(&harness, &last_two, 3), expected);
    }
}

mod sessions {
    use super::*;

    fn session<S>(key: char, start: i64, end: i64, value: S) -> (char, Session<S>) {
        let (start, end) = (Time::from_ms(start * 1000), Time::from_ms(end * 1000));
        (key, Session { start, end, value })
    }

    #[test]
    fn they_are_cut_by_gaps_and_closed_once() -> Result<(), Error> {
        let harness = Harness::new(SECOND);
        let clicks = harness.input([
            vec![('a', 1), ('b', 2)],
            vec![],
            vec![('a', 3)], // two seconds after the first: the same session
            vec![('b', 4)], // three seconds after: another, in the very interval that closes the first
            vec![('a', 5), ('a', 6)],
        ]);
        let sessions = clicks.sessions(2 * SECOND);
        let (closed, open) = (harness.watch(&sessions), harness.watch(&sessions.state_snapshots()));
        harness.advance(9)?;
        let expected = [
            vec![],
            vec![],
            vec![],
            vec![session('b', 1, 1, vec![2])],
            vec![],
            vec![],
            vec![session('b', 4, 4, vec![4])],
            vec![session('a', 1, 5, vec![1, 3, 5, 6])],
            vec![],
        ];
        assert_eq!(closed.all(), some(expected));
        assert_eq!(open.all()[5].as_ref().map(Vec::len), Some(2));
        assert_eq!(open.all()[8], Some(vec![]));
        Ok(())
    }

    #[test]
    fn of_which_only_a_summary_is_kept() -> Result<(), Error> {
        let harness = Harness::new(SECOND);
        let clicks = harness.input([vec![('a', 1)], vec![('a', 7), ('a', 5)]]);
        let highest = clicks.with(3).fold_sessions(
            Duration::ZERO,
            |floor, value: i32| value.max(*floor),
            |_, so_far, value| so_far.max(value),
        );
        let expected = [vec![], vec![session('a', 1, 1, 3)], vec![session('a', 2, 2, 7)]];
        assert_eq!(harness.run(&highest, 3)?, expected);
        Ok(())
    }
}

/// Functions over one type for all values, as a program has that reads its records from a table.
mod dynamic {
    use serde::{Deserialize, Serialize};

    use super::*;

    #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
    enum Value {
        Int(i64),
        Text(String),
        List(Vec<Value>),
    }

    fn append(values: Vec<Value>, state: Option<Value>) -> Option<Value> {
        let mut list = match state {
            Some(Value::List(list)) => list,
            _ => Vec::new(),
        };
        list.extend(values);
        Some(Value::List(list))
    }

    fn sum(_: Time, key: &Value, value: Option<Value>, state: &mut State<Value>) -> Option<Value> {
        let (Some(Value::Int(value)), before) = (value, state.get_option()) else { return Some(key.clone()) };
        let sum = if let Some(Value::Int(before)) = before { before + value } else { value };
        state.update(Value::Int(sum));
        Some(Value::Int(sum))
    }

    #[test]
    fn plain_functions_of_values_of_any_kind() {
        let harness = Harness::new(SECOND);
        let (key, int) = (|| Value::Text("k".to_owned()), Value::Int);
        let input = harness.input([vec![(key(), int(1)), (key(), int(2))], vec![(key(), int(3))]]);
        let lists = harness.watch(&input.update_state_by_key(append));
        let sums = input.map_with_state_spec(sum, StateSpec::new().timeout(SECOND));
        assert_eq!(harness.run(&sums, 4).unwrap(), [vec![int(1), int(3)], vec![int(6)], vec![], vec![key()]]);
        let list = |n: i64| Some(vec![(key(), Value::List((1..=n).map(int).collect()))]);
        assert_eq!(lists.all(), [list(2), list(3), list(3), list(3)]);
    }
}
