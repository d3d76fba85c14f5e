use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::state::key_hash;

type Model = BTreeMap<i64, BTreeSet<u32>>;

fn at(ms: i64) -> Time {
    Time::from_ms(ms)
}

fn same(timers: &Timers<u32>, model: &Model) {
    let all: Model = timers
        .all()
        .into_iter()
        .map(|(deadline, keys)| (deadline.as_ms(), keys.iter().map(|(key, ())| key).collect()))
        .collect();
    assert_eq!(all, *model);
    assert!(timers.all().is_sorted_by(|a, b| a.0 < b.0));
    tree::sound(&timers.tree);
}

#[derive(Clone, Debug)]
enum Op {
    Add(i64, u32),
    Remove(i64, u32),
    Move(i64, i64, u32),
    TakeDue(i64),
    /// Puts this version by and goes on with a clone.
    Fork,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (deadline, key) = (|| 0..40i64, || 0..30u32);
    let op = prop_oneof![
        8 => (deadline(), key()).prop_map(|(d, k)| Op::Add(d, k)),
        4 => (deadline(), key()).prop_map(|(d, k)| Op::Remove(d, k)),
        6 => (deadline(), deadline(), key()).prop_map(|(a, b, k)| Op::Move(a, b, k)),
        1 => deadline().prop_map(Op::TakeDue),
        1 => Just(Op::Fork),
    ];
    prop::collection::vec(op, 0..300)
}

fn remove(timers: &mut Timers<u32>, model: &mut Model, deadline: i64, key: u32) -> bool {
    let keys = model.entry(deadline).or_default();
    let there = keys.remove(&key);
    if keys.is_empty() {
        model.remove(&deadline);
    }
    assert_eq!(timers.remove(at(deadline), key_hash(&key), &key), there);
    there
}

fn add(timers: &mut Timers<u32>, model: &mut Model, deadline: i64, key: u32) {
    timers.add(at(deadline), key_hash(&key), &key);
    model.entry(deadline).or_default().insert(key);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn versions_are_ordered_maps_of_their_own(ops in ops()) {
        let (mut timers, mut model) = (Timers::default(), Model::new());
        let mut versions = Vec::new();
        for op in ops {
            match op {
                Op::Add(deadline, key) => add(&mut timers, &mut model, deadline, key),
                Op::Remove(deadline, key) => {
                    remove(&mut timers, &mut model, deadline, key);
                }
                Op::Move(from, to, key) => {
                    if remove(&mut timers, &mut model, from, key) {
                        add(&mut timers, &mut model, to, key);
                    }
                }
                Op::TakeDue(now) => {
                    let later = model.split_off(&now);
                    let due = std::mem::replace(&mut model, later);
                    let mut taken = Timers::default();
                    for (deadline, keys) in timers.take_due(at(now)) {
                        for (key, ()) in &keys {
                            taken.add(deadline, key_hash(&key), &key);
                        }
                    }
                    same(&taken, &due);
                }
                Op::Fork => versions.push((timers.clone(), model.clone())),
            }
            same(&timers, &model);
        }
        versions.push((timers, model));
        for (timers, model) in &versions {
            same(timers, model);
            let bytes = postcard::to_allocvec(timers).unwrap();
            let back: Timers<u32> = postcard::from_bytes(&bytes).unwrap();
            same(&back, model);
            prop_assert_eq!(postcard::to_allocvec(&back).unwrap(), bytes);
        }
    }
}

fn full() -> Timers<u32> {
    let mut timers = Timers::default();
    for key in 0..50_000u32 {
        timers.add(at(i64::from(key % 5_000)), key_hash(&key), &key);
    }
    timers
}

#[test]
fn the_order_is_that_of_the_content() {
    let mut again = Timers::default();
    for key in (0..50_000u32).rev() {
        again.add(at(7), key_hash(&key), &key);
        again.add(at(i64::from(key % 5_000)), key_hash(&key), &key);
        if key % 5_000 != 7 {
            again.remove(at(7), key_hash(&key), &key);
        }
    }
    assert_eq!(postcard::to_allocvec(&again).unwrap(), postcard::to_allocvec(&full()).unwrap());
}

#[test]
fn deadlines_in_order_make_no_deep_tree() {
    let depth = tree::sound(&full().tree);
    assert!((13..45).contains(&depth), "{depth} levels for 5,000 deadlines");
}

#[test]
fn a_change_copies_one_way_and_taking_copies_the_edge() {
    let before = full();
    let mut timers = before.clone();
    timers.add(at(6_000), key_hash(&1u32), &1);
    timers.remove(at(2_500), key_hash(&2_500u32), &2_500);
    assert!(tree::own_nodes(&timers.tree, &before.tree) < 60);

    let mut timers = before.clone();
    assert_eq!(timers.take_due(at(10)).len(), 10);
    assert!(tree::own_nodes(&timers.tree, &before.tree) < 60);
    let deadlines = |timers: &Timers<u32>| timers.all().len();
    assert_eq!((deadlines(&timers), deadlines(&before)), (5_000 - 10, 5_000));
}

#[test]
fn what_is_not_there_copies_nothing() {
    let before = full();
    let mut timers = before.clone();
    assert!(!timers.remove(at(6_000), key_hash(&1u32), &1));
    assert!(!timers.remove(at(1), key_hash(&2u32), &2));
    assert_eq!(tree::own_nodes(&timers.tree, &before.tree), 0);
}

/// What lies between two deadlines is found with its values, the first left out and the last not.
#[test]
fn a_range_is_read_in_order() {
    let mut timers = Timers::<u32, i64>::default();
    for (deadline, key, value) in [(30, 3, 1), (10, 1, 2), (20, 2, 4), (20, 2, 8), (40, 4, 16)] {
        timers.change(at(deadline), key_hash(&key), &key, |known| known.unwrap_or(0) + value);
    }
    let between = |from, to| -> Vec<(i64, u32, i64)> {
        let found = timers.between(at(from), at(to));
        found
            .iter()
            .flat_map(|(end, keys)| keys.iter().map(|(key, value)| (end.as_ms(), key, value)))
            .collect()
    };
    assert_eq!(between(10, 30), [(20, 2, 12), (30, 3, 1)]);
    assert_eq!(between(0, 9), []);
    assert_eq!(between(39, i64::MAX), [(40, 4, 16)]);
    assert_eq!(timers.get(at(10), key_hash(&1u32), &1), Some(2));
    assert_eq!(timers.get(at(11), key_hash(&1u32), &1), None);
}
