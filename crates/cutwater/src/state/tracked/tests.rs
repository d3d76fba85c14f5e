//! The tables `map_with_state_record.json` and `state_map.json` of `crates/conformance/tables`.

use std::collections::BTreeMap;

use super::*;

type States = Tracked<String, i64, Time>;

fn at(ms: i64) -> Time {
    Time::from_ms(ms)
}

fn all<K: Key + Ord>(tracked: &Tracked<K, i64, Time>) -> Vec<(K, i64, i64)> {
    let entries = tracked.table.iter();
    let mut all: Vec<_> = entries.map(|(key, marked)| (key, marked.state, marked.mark.as_ms())).collect();
    all.sort();
    all
}

/// What a record of the table asks for.
fn act(action: &str, state: &mut State<i64>) -> Option<i64> {
    match action {
        "noop" => {}
        "get-state" => return Some(state.get_option().copied().unwrap_or(-1)),
        "update-state" => state.update(state.get_option().map_or(0, |state| state + 1)),
        "remove-state" => state.remove(),
        other => panic!("no such action: {other}"),
    }
    None
}

/// A case of the table: states before, records, the threshold below which a state times out; states
/// with their times afterwards, what was mapped, removed and timed out.
struct Case {
    id: &'static str,
    initial: Option<i64>,
    data: &'static [&'static str],
    threshold_ms: Option<i64>,
    states: &'static [(i64, i64)],
    mapped: &'static [i64],
    timed_out: &'static [i64],
}

#[test]
fn one_interval_of_one_key() {
    const NOW: i64 = 2000;
    let quiet = Case {
        id: "001",
        initial: None,
        data: &[],
        threshold_ms: None,
        states: &[],
        mapped: &[],
        timed_out: &[],
    };
    let cases = [
        Case { ..quiet },
        Case { id: "002", initial: Some(0), states: &[(0, 1000)], ..quiet },
        Case { id: "003", initial: Some(0), data: &["noop"], states: &[(0, 1000)], ..quiet },
        Case { id: "004", data: &["noop"], ..quiet },
        Case { id: "005", data: &["get-state"], mapped: &[-1], ..quiet },
        Case {
            id: "006",
            initial: Some(123),
            data: &["get-state"],
            states: &[(123, 1000)],
            mapped: &[123],
            ..quiet
        },
        Case { id: "007", data: &["update-state"], states: &[(0, 2000)], ..quiet },
        Case { id: "008", initial: Some(0), data: &["update-state"], states: &[(1, 2000)], ..quiet },
        Case { id: "009", initial: Some(345), data: &["remove-state"], ..quiet },
        Case { id: "010", initial: Some(123), threshold_ms: Some(1000), states: &[(123, 1000)], ..quiet },
        Case { id: "011", initial: Some(123), threshold_ms: Some(1001), timed_out: &[123], ..quiet },
        Case {
            id: "012",
            initial: Some(123),
            data: &["noop"],
            threshold_ms: Some(1001),
            states: &[(123, 2000)],
            ..quiet
        },
        Case { id: "013", initial: Some(123), data: &["remove-state"], threshold_ms: Some(1001), ..quiet },
        Case { id: "014", data: &["noop"], threshold_ms: Some(1001), ..quiet },
    ];
    for case in cases {
        let timeout = case.threshold_ms.map(|ms| at(NOW).since(at(ms)));
        let (before, now) = (Visit { now: at(1000), timeout }, Visit { now: at(NOW), timeout });
        let (key, mut tracked) = ("key".to_owned(), States::default());
        let hash = key_hash(&key);
        if let Some(state) = case.initial {
            tracked.put(before, hash, &key, state);
        }
        let mut mapped = Vec::new();
        for action in case.data {
            mapped.extend(tracked.visit(now, hash, &key, |state| act(action, state)));
        }
        let mut timed_out = Vec::new();
        tracked.expire(now, |_, state| {
            assert!(state.is_timing_out());
            timed_out.push(*state.get());
        });
        let states: Vec<_> = all(&tracked).into_iter().map(|(_, state, time)| (state, time)).collect();
        assert_eq!(
            (states.as_slice(), mapped.as_slice(), timed_out.as_slice()),
            (case.states, case.mapped, case.timed_out),
            "{}",
            case.id
        );
    }
}

/// Case 015: a chain of datasets, each made from an earlier one, which stays as it is.
#[test]
fn a_chain_of_updates() {
    type Step =
        (&'static str, &'static str, &'static [(&'static str, u8)], &'static [(&'static str, i64, i64)]);
    const STEPS: &[Step] = &[
        ("s0a", "init", &[], &[("k1", 0, 123), ("k2", 0, 123)]),
        ("s0b", "init", &[("k1", 0)], &[("k1", 0, 123), ("k2", 0, 123)]),
        ("s0c", "init", &[("k3", 0)], &[("k1", 0, 123), ("k2", 0, 123)]),
        ("s1", "init", &[("k3", 1)], &[("k1", 0, 123), ("k2", 0, 123), ("k3", 0, 345)]),
        ("s2", "s1", &[("k4", 1)], &[("k1", 0, 123), ("k2", 0, 123), ("k3", 0, 345), ("k4", 0, 345)]),
        ("s3", "init", &[("k1", 1)], &[("k1", 1, 345), ("k2", 0, 123)]),
        (
            "s4",
            "s3",
            &[("x", 0), ("k2", 1), ("k2", 1), ("k3", 1)],
            &[("k1", 1, 345), ("k2", 2, 345), ("k3", 0, 345)],
        ),
        ("s5", "s4", &[("k3", 1)], &[("k1", 1, 345), ("k2", 2, 345), ("k3", 1, 345)]),
        ("s6", "init", &[("k1", 2)], &[("k2", 0, 123)]),
        ("s7", "s6", &[("k2", 2), ("k0", 2), ("k3", 1)], &[("k3", 0, 345)]),
        ("s8", "s7", &[("k3", 2)], &[]),
    ];
    let visit = |ms| Visit { now: at(ms), timeout: None };
    let mut init = States::default();
    for key in ["k1", "k2"] {
        init.put(visit(123), key_hash(key), &key.to_owned(), 0);
    }
    let mut datasets = BTreeMap::from([("init", init)]);
    let mut expected = BTreeMap::from([("init", STEPS[0].3)]);
    for (id, from, data, states) in STEPS {
        let (mut tracked, mut calls) = (datasets[from].clone(), 0);
        for (key, action) in *data {
            let action = ["noop", "update-state", "remove-state"][usize::from(*action)];
            tracked.visit(visit(345), key_hash(key), &(*key).to_owned(), |state| {
                calls += 1;
                act(action, state);
            });
        }
        assert_eq!(calls, data.len(), "{id}: once for each record");
        datasets.insert(id, tracked);
        expected.insert(id, states);
        for (id, dataset) in &datasets {
            let got = all(dataset);
            let got: Vec<_> = got.iter().map(|(key, state, time)| (key.as_str(), *state, *time)).collect();
            assert_eq!(got, expected[id], "{id}");
        }
    }
}

/// A state map as the scripts of `state_map.json` use it: a timeout of zero makes the deadline of a
/// key the time of its last change.
#[derive(Clone, Default)]
struct Map(Tracked<i32, i64, Time>);

impl Map {
    fn put(&mut self, key: i32, state: i64, ms: i64) {
        self.0.put(Visit { now: at(ms), timeout: Some(Duration::ZERO) }, key_hash(&key), &key, state);
    }

    fn remove(&mut self, key: i32) {
        let visit = Visit { now: at(0), timeout: Some(Duration::ZERO) };
        self.0.visit(visit, key_hash(&key), &key, State::remove);
    }

    fn get(&self, key: i32) -> Option<i64> {
        self.0.table.get(key_hash(&key), &key).map(|marked| marked.state)
    }

    fn all(&self) -> Vec<(i32, i64, i64)> {
        all(&self.0)
    }

    fn older_than(&self, ms: i64) -> Vec<(i32, i64)> {
        let mut older = Vec::new();
        let visit = Visit { now: at(ms), timeout: Some(Duration::ZERO) };
        self.0.clone().expire(visit, |key, state| older.push((*key, *state.get())));
        older.sort_unstable();
        older
    }
}

#[test]
fn put_get_scan_by_age_remove() {
    let mut map = Map::default();
    map.put(1, 100, 10);
    assert_eq!((map.get(1), map.get(2)), (Some(100), None));
    assert_eq!([11, 10, 9].map(|ms| map.older_than(ms)), [vec![(1, 100)], vec![], vec![]]);
    assert_eq!(map.all(), [(1, 100, 10)]);
    map.put(2, 200, 20);
    let older = [21, 11, 10, 9].map(|ms| map.older_than(ms));
    assert_eq!(older, [vec![(1, 100), (2, 200)], vec![(1, 100)], vec![], vec![]]);
    assert_eq!(map.all(), [(1, 100, 10), (2, 200, 20)]);
    map.remove(1);
    assert_eq!((map.get(1), map.all()), (None, vec![(2, 200, 20)]));
}

#[test]
fn snapshots_never_change() {
    let mut map = Map::default();
    map.put(1, 100, 1);
    map.put(2, 200, 2);
    map.remove(1);
    let parent = map.clone();
    let parent_is_unchanged = || assert_eq!(parent.all(), [(2, 200, 2)]);
    assert_eq!((map.get(1), map.get(2)), (None, Some(200)));
    assert_eq!([10, 2].map(|ms| map.older_than(ms)), [vec![(2, 200)], vec![]]);
    map.put(3, 300, 3);
    map.put(4, 400, 4);
    assert_eq!((map.get(3), map.get(4)), (Some(300), Some(400)));
    let older = [10, 4].map(|ms| map.older_than(ms));
    assert_eq!(older, [vec![(2, 200), (3, 300), (4, 400)], vec![(2, 200), (3, 300)]]);
    assert_eq!(map.all(), [(2, 200, 2), (3, 300, 3), (4, 400, 4)]);
    parent_is_unchanged();
    map.remove(4);
    map.remove(2);
    assert_eq!((map.get(4), map.get(2), map.all()), (None, None, vec![(3, 300, 3)]));
    parent_is_unchanged();
    for key in 1..=4 {
        map.put(key, 1000 * i64::from(key), 100 * i64::from(key));
        assert_eq!(map.get(key), Some(1000 * i64::from(key)));
    }
    assert_eq!(map.all(), [(1, 1000, 100), (2, 2000, 200), (3, 3000, 300), (4, 4000, 400)]);
    parent_is_unchanged();
    map.remove(2);
    let mut copy = map.clone();
    assert_eq!(copy.all(), [(1, 1000, 100), (3, 3000, 300), (4, 4000, 400)]);
    assert_eq!([1, 2, 3, 4].map(|key| copy.get(key)), [Some(1000), None, Some(3000), Some(4000)]);
    copy.put(2, 20_000, 200);
    assert_eq!(copy.get(2), Some(20_000));
}

/// Case 003: for every key, in three rounds, three times a put or a removal, as its bits say; a copy
/// after each round.
#[test]
fn every_sequence_of_puts_and_removals() {
    let (mut map, mut model, mut now) = (Map::default(), BTreeMap::new(), 0);
    let mut before: (Map, Vec<(i32, i64, i64)>) = (Map::default(), Vec::new());
    for round in 0..3 {
        for op in 0..3 {
            for key in 0..512i32 {
                now += 1;
                if key >> (8 - (round * 3 + op)) & 1 == 0 {
                    let state = i64::from(key) * 1000 + now;
                    map.put(key, state, now);
                    model.insert(key, (state, now));
                } else {
                    map.remove(key);
                    model.remove(&key);
                }
            }
            let expected: Vec<_> = model.iter().map(|(key, (state, ms))| (*key, *state, *ms)).collect();
            assert_eq!(map.all(), expected);
            for ms in (0..=now + 1).step_by(97).chain([now, now + 1]) {
                let older = expected.iter().filter(|(.., at)| *at < ms).map(|(key, state, _)| (*key, *state));
                assert_eq!(map.older_than(ms), older.collect::<Vec<_>>());
            }
            assert_eq!(before.0.all(), before.1, "the snapshot before never changes");
        }
        before = (map.clone(), map.all());
    }
}

/// Case 004, for which there is no chain of deltas here: bytes and back change nothing.
#[test]
fn bytes_and_back() {
    let mut map = Map::default();
    for ms in 0..10 {
        for key in 0..100 {
            map = map.clone();
            map.put(key * (ms as i32 + 1) % 130, ms, ms);
        }
    }
    let bytes = postcard::to_allocvec(&map.0).unwrap();
    let back = Map(postcard::from_bytes(&bytes).unwrap());
    assert_eq!(back.all(), map.all());
    assert_eq!(back.older_than(5), map.older_than(5));
    assert_eq!(postcard::to_allocvec(&back.0).unwrap(), bytes);
}

/// Case 005.
#[test]
fn an_empty_map() {
    let mut map = Map::default();
    assert_eq!((map.get(1), map.older_than(10_000), map.all()), (None, vec![], vec![]));
    map.remove(1);
    assert_eq!(map.all(), []);
}

#[test]
fn keys_time_out_by_deadline_and_then_by_the_order_of_the_table() {
    let mut tracked = Tracked::<u32, u32, Time>::default();
    let timeout = Some(Duration::from_millis(5));
    for key in (0..1000u32).rev() {
        tracked.put(Visit { now: at(i64::from(key % 3)), timeout }, key_hash(&key), &key, key);
    }
    // Touched once more, so that they have another deadline.
    for key in 0..10u32 {
        tracked.visit(Visit { now: at(3), timeout }, key_hash(&key), &key, |_| ());
    }
    let mut order = Vec::new();
    tracked.expire(Visit { now: at(8), timeout }, |key, _| order.push(*key));
    let waiting: Vec<_> =
        tracked.timers.all().into_iter().map(|(deadline, keys)| (deadline, keys.len())).collect();
    assert_eq!((order.len(), tracked.len()), (990, 10));
    assert_eq!(waiting, [(at(8), 10)], "5 + 3 is not before 8");
    let by_table: Table<u32, ()> = (10..1000).map(|key| (key, ())).collect();
    let expected: Vec<u32> =
        (0..3).flat_map(|ms| by_table.iter().map(|(key, ())| key).filter(move |key| key % 3 == ms)).collect();
    assert_eq!(order, expected);
}

#[test]
fn a_program_without_timeouts_does_not_pay_for_them() {
    assert_eq!(size_of::<Marked<u64, ()>>(), size_of::<u64>());
}
