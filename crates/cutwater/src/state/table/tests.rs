use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::Hash,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use proptest::prelude::*;

use super::*;

/// A key of which the hash takes only four values: the second word takes back what the first has done to
/// it (`placement.rs`).
fn clashing(n: u64) -> (u64, u64) {
    let product = u128::from(n ^ 0x9e37_79b9_7f4a_7c15) * u128::from(0xa076_1d64_78bd_642f_u64);
    (n, product as u64 ^ (product >> 64) as u64 ^ (n % 4))
}

/// Pairs of numbers of which the hashes differ in their high halves alone, so that their orders are equal.
static HALF_CLASHING: LazyLock<Vec<u64>> = LazyLock::new(|| {
    let mut hashes: Vec<(u32, u64)> = (0..300_000).map(|n| (order_of(key_hash(&n)), n)).collect();
    hashes.sort_unstable();
    let pairs = hashes.windows(2).filter(|pair| pair[0].0 == pair[1].0);
    pairs.flat_map(|pair| [pair[0].1, pair[1].1]).collect()
});

#[derive(Clone, Debug)]
enum Op {
    Insert(u64),
    Upsert(u64),
    Alter(u64),
    Keep(u64),
    Remove(u64),
    RemoveAllBut(u64),
    /// Puts this version by and goes on with a clone, or the other way round.
    Fork(bool),
    /// Puts this version by and goes on from one that was put by before.
    GoBack(usize),
    /// Lets go of a version that was put by.
    Forget(usize),
}

fn ops(keys: u64) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0..keys).prop_map(Op::Insert),
        8 => (0..keys).prop_map(Op::Upsert),
        2 => (0..keys).prop_map(Op::Alter),
        1 => (0..keys).prop_map(Op::Keep),
        6 => (0..keys).prop_map(Op::Remove),
        1 => (0..keys).prop_map(Op::RemoveAllBut),
        2 => any::<bool>().prop_map(Op::Fork),
        1 => any::<usize>().prop_map(Op::GoBack),
        1 => any::<usize>().prop_map(Op::Forget),
    ];
    prop::collection::vec(op, 0..400)
}

type Model<K> = HashMap<K, u64>;

/// Runs the operations on a table and on its model, and checks every version that was put by against
/// its own model and against every other. No value is written twice, so that a value says which
/// write it came from.
fn check<K>(ops: Vec<Op>, key: fn(u64) -> K)
where
    K: Clone + Eq + Ord + Hash + fmt::Debug + Serialize,
{
    let (mut table, mut model) = (Table::new(), Model::new());
    let mut versions: Vec<(Table<K, u64>, Model<K>)> = Vec::new();
    for (now, op) in ops.into_iter().enumerate() {
        let now = now as u64;
        match op {
            Op::Insert(n) => {
                let (hash, key) = (key_hash(&key(n)), key(n));
                assert_eq!(table.insert(hash, key.clone(), now), model.insert(key, now));
            }
            Op::Upsert(n) => {
                table.upsert(key_hash(&key(n)), &key(n), || key(n), || now, |value| *value = now);
                model.insert(key(n), now);
            }
            Op::Alter(n) => {
                let flip = |value: Option<u64>| value.is_none().then_some(now);
                table.alter(key_hash(&key(n)), &key(n), flip);
                match flip(model.remove(&key(n))) {
                    Some(value) => model.insert(key(n), value),
                    None => None,
                };
            }
            Op::Keep(n) => {
                table.alter(key_hash(&key(n)), &key(n), |value| value.map(|_| now));
                model.entry(key(n)).and_modify(|value| *value = now);
            }
            Op::Remove(n) => {
                assert_eq!(table.remove(key_hash(&key(n)), &key(n)), model.remove(&key(n)));
            }
            Op::RemoveAllBut(n) => {
                for gone in model.keys().filter(|other| **other != key(n)) {
                    assert!(table.remove(key_hash(gone), gone).is_some());
                }
                model.retain(|other, _| *other == key(n));
            }
            Op::Fork(go_on_with_clone) => {
                let mut other = table.clone();
                if go_on_with_clone {
                    mem::swap(&mut table, &mut other);
                }
                versions.push((other, model.clone()));
            }
            Op::GoBack(at) if !versions.is_empty() => {
                let back = versions[at % versions.len()].clone();
                versions.push((mem::replace(&mut table, back.0), mem::replace(&mut model, back.1)));
            }
            Op::Forget(at) if !versions.is_empty() => {
                versions.swap_remove(at % versions.len());
            }
            Op::GoBack(_) | Op::Forget(_) => {}
        }
        assert_eq!(table.len(), model.len());
    }
    versions.push((table, model));
    for (table, model) in &versions {
        same(table, model);
        // Another history of the same content.
        let again: Table<K, u64> = table.iter().collect::<BTreeMap<_, _>>().into_iter().collect();
        assert!(table.iter().eq(again.iter()));
    }
    for (newer, newer_model) in &versions {
        for (older, older_model) in &versions {
            let changes: Vec<_> = newer.changes_since(older).collect();
            let put: BTreeSet<_> =
                changes.iter().filter(|c| matches!(c, Change::Put(..))).map(Change::key).collect();
            let removed: BTreeSet<_> =
                changes.iter().filter(|c| matches!(c, Change::Removed(_))).map(Change::key).collect();
            assert_eq!(put.len() + removed.len(), changes.len(), "each key once");
            let naive = newer_model.iter().filter(|(key, value)| older_model.get(*key) != Some(*value));
            assert_eq!(put, naive.map(|(key, _)| key).collect());
            let naive = older_model.keys().filter(|key| !newer_model.contains_key(*key));
            assert_eq!(removed, naive.collect());
            for change in &changes {
                if let Change::Put(key, value) = change {
                    assert_eq!(newer_model.get(key), Some(value));
                }
            }
        }
    }
    // What is left when all others are gone is one plain table.
    while versions.len() > 1 {
        versions.swap_remove(0);
        let (table, model) = &versions[versions.len() / 2];
        same(table, model);
    }
    let (mut table, mut model) = versions.remove(0);
    table.insert(key_hash(&key(0)), key(0), 0);
    model.insert(key(0), 0);
    same(&table, &model);
    assert_eq!(edits(&table), 0);
}

fn same<K: Eq + Clone + Hash + fmt::Debug + Serialize>(table: &Table<K, u64>, model: &Model<K>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().len(), model.len());
    let orders: Vec<u64> = table.iter().map(|(key, _)| key_hash(&key).reverse_bits()).collect();
    assert!(orders.len() == model.len() && orders.is_sorted());
    assert_eq!(table.iter().collect::<Model<K>>(), *model);
    for (key, value) in model {
        assert_eq!(table.get(key_hash(key), key), Some(*value));
    }
    edits(table);
}

/// How many keys are kept for other versions than the newest, and waiting to become one.
fn edits<K: Clone + Eq + Serialize, V: Clone>(table: &Table<K, V>) -> usize {
    let handle = table.handle();
    handle.waiting.sound();
    handle.waiting.len() + handle.version.inspect(|_| ())
}

/// How many keys the newest of all versions has, and what it has allocated.
fn newest<K: Clone + Eq + Serialize, V: Clone>(table: &Table<K, V>) -> (usize, usize) {
    let mut found = (0, 0);
    table.version().inspect(|flat| found = (flat.len(), flat.bytes()));
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn versions_are_maps_of_their_own(ops in ops(300)) {
        check(ops, |n| n);
    }

    #[test]
    fn words_too(ops in ops(100)) {
        check(ops, |n| format!("word {n}"));
    }

    #[test]
    fn keys_of_one_hash_share_a_bucket(ops in ops(100)) {
        check(ops, clashing);
    }

    #[test]
    fn keys_of_half_a_hash_stand_by_the_other_half(ops in ops(100)) {
        check(ops, |n| HALF_CLASHING.get(n as usize).copied().unwrap_or(n));
    }
}

fn numbers(n: u64) -> Table<u64, u64> {
    (0..n).map(|key| (key, 0)).collect()
}

#[test]
fn those_keys_do_clash() {
    let hashes: BTreeSet<u64> = (0..100).map(|n| key_hash(&clashing(n))).collect();
    assert_eq!(hashes.len(), 4);
    let hashes: BTreeSet<u64> = HALF_CLASHING.iter().map(key_hash).collect();
    let orders: BTreeSet<u32> = hashes.iter().copied().map(order_of).collect();
    assert!(orders.len() > 4 && hashes.len() == 2 * orders.len());
}

#[test]
fn a_version_costs_what_was_written() {
    let older = numbers(20_000);
    let mut newer = older.clone();
    newer.insert(key_hash(&7u64), 7, 1);
    newer.insert(key_hash(&7u64), 7, 2);
    newer.remove(key_hash(&8u64), &8);
    assert_eq!(edits(&newer), 2);
    assert_eq!(edits(&older), 0, "nothing is carried out before it is asked for");
    let changes: BTreeSet<u64> = newer.changes_since(&older).map(|change| *change.key()).collect();
    assert_eq!(changes, BTreeSet::from([7, 8]));
    assert_eq!((edits(&older), newest(&older).0), (2, 19_999));
    drop(newer);
    assert_eq!(older.iter().count(), 20_000);
}

/// As each interval does it: the version before is let go of when the next is there.
#[test]
fn old_versions_leave_nothing_behind() {
    let mut table = numbers(1000);
    for now in 1..100u64 {
        let mut next = table.clone();
        for key in 0..10 {
            let key = (now * 17 + key * 5) % 1200;
            next.alter(key_hash(&key), &key, |value| value.is_none().then_some(now));
        }
        next.settle();
        assert_eq!(edits(&next), 10);
        table = next;
        assert_eq!(edits(&table), 0);
    }
}

/// A version held for long, as by a checkpoint: each key is kept for it once.
#[test]
fn a_version_held_for_long_keeps_each_key_once() {
    let first = numbers(1000);
    let mut table = first.clone();
    for now in 1..100u64 {
        let mut next = table.clone();
        for key in now % 20..now % 20 + 10 {
            next.insert(key_hash(&key), key, now);
        }
        table = next;
    }
    table.settle();
    // The last interval's are not joined to the others before there is another.
    assert!(edits(&table) <= 29 + 10, "{} edits", edits(&table));
    assert_eq!(table.changes_since(&first).count(), 29);
    assert!(first.iter().all(|(_, value)| value == 0));
}

/// An attempt that failed, another that was not needed, and one that counts: all from one version.
#[test]
fn attempts_start_from_the_same_version() {
    let before = numbers(5000);
    let attempt = || {
        let mut table = before.clone();
        for key in (0..6000u64).step_by(7) {
            table.alter(key_hash(&key), &key, |value| value.is_none().then_some(1));
        }
        table
    };
    let failed = attempt();
    assert_eq!(failed.get(key_hash(&0u64), &0), None);
    drop(failed);
    let (a, b) = (attempt(), attempt());
    a.settle();
    b.settle();
    assert!(a.iter().eq(b.iter()));
    assert!(before.iter().eq(numbers(5000).iter()));
    drop(b);
    let mut next = a.clone();
    next.insert(key_hash(&1u64), 1, 1);
    next.settle();
    assert!(before.iter().eq(numbers(5000).iter()));
    assert_eq!(next.changes_since(&a).collect::<Vec<_>>(), [Change::Put(1, 1)]);
}

#[test]
fn many_versions_can_be_held() {
    let mut versions = vec![numbers(100)];
    for now in 1..500u64 {
        let mut next = versions[versions.len() - 1].clone();
        next.insert(key_hash(&(now % 150)), now % 150, now);
        versions.push(next);
    }
    versions[499].settle();
    for (now, version) in versions.iter().enumerate().step_by(50) {
        let expected = |key: u64| (0..=now as u64).rev().find(|now| now % 150 == key && *now > 0);
        for (key, value) in version.iter() {
            assert_eq!(value, expected(key).unwrap_or(0));
        }
    }
    // From the middle outwards, so that what is in between has to be joined.
    for _ in 0..499 {
        versions.remove(versions.len() / 2);
    }
    assert!(versions[0].iter().eq(numbers(100).iter()));
}

#[test]
fn readers_see_their_version_while_newer_ones_are_made() {
    const KEYS: u64 = 2000;
    let first = numbers(KEYS);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                // At least once more after the writer is done.
                for last in [false, true] {
                    while last || !done.load(Ordering::SeqCst) {
                        assert!(first.iter().eq(numbers(KEYS).iter()));
                        assert_eq!(first.get(key_hash(&3u64), &3), Some(0));
                        if last {
                            break;
                        }
                    }
                }
            });
        }
        let mut table = first.clone();
        for now in 1..=50u64 {
            let mut next = table.clone();
            for key in (now..2 * KEYS).step_by(11) {
                next.alter(key_hash(&key), &key, |value| value.is_none().then_some(now));
            }
            // Another attempt, so that versions change places.
            let mut other = table.clone();
            other.insert(key_hash(&now), now, now);
            other.settle();
            next.settle();
            assert_eq!(next.iter().count(), next.len());
            table = next;
        }
        done.store(true, Ordering::SeqCst);
    });
}

#[test]
fn what_nobody_shares_is_changed_in_place() {
    let mut table = numbers(20_000);
    drop(table.clone());
    for key in 0..20_000u64 {
        table.upsert(key_hash(&key), &key, || key, || 0, |value| *value += 1);
        table.alter(key_hash(&key), &key, |value| value.map(|value| value + 1));
    }
    assert_eq!(edits(&table), 0);
    assert!(table.iter().all(|(_, value)| value == 2));
}

#[test]
fn what_is_not_there_copies_nothing() {
    let mut newer = numbers(1000);
    let older = newer.clone();
    assert_eq!(newer.remove(key_hash(&5000u64), &5000), None);
    newer.alter(key_hash(&5000u64), &5000, |none| none);
    assert_eq!(edits(&newer) + edits(&older), 0);
}

#[test]
fn a_pair_of_words_takes_at_most_26_bytes() {
    for n in [5_000, 20_000, 100_000, 150_000] {
        let (len, bytes) = newest(&numbers(n));
        assert_eq!(len as u64, n);
        assert!(bytes <= 26 * n as usize, "{} bytes per pair of {n}", bytes as f64 / n as f64);
    }
}

/// There may be a table for each deadline, with a key in each.
#[test]
fn a_small_table_is_small() {
    for n in 1..=32 {
        let (_, bytes) = newest(&numbers(n));
        assert!(bytes <= 150 + 26 * n as usize, "{bytes} bytes of {n}");
    }
}

#[test]
fn emptied_it_is_as_new() {
    let mut table = numbers(10_000);
    let full = table.clone();
    for key in 0..10_000u64 {
        assert_eq!(table.remove(key_hash(&key), &key), Some(0));
    }
    assert!(table.is_empty());
    assert_eq!(table.iter().next(), None);
    assert_eq!(newest(&table), (0, 0));
    assert!(full.iter().eq(numbers(10_000).iter()));
}

#[test]
fn strangers_have_nothing_in_common() {
    let (a, b) = (numbers(100), numbers(101));
    let changes: Vec<_> = a.changes_since(&b).collect();
    assert_eq!(changes.iter().filter(|change| matches!(change, Change::Put(..))).count(), 100);
    assert_eq!(changes.last(), Some(&Change::Removed(100)));
}

#[test]
fn a_change_that_panics_loses_its_own_key_at_most() {
    let change = |table: &mut Table<u64, u64>| {
        let alter = AssertUnwindSafe(|| table.alter(key_hash(&7u64), &7, |_| panic!("on purpose")));
        assert!(catch_unwind(alter).is_err());
        assert_eq!(table.len(), 99);
        assert_eq!(table.get(key_hash(&7u64), &7), None);
        assert_eq!(table.iter().count(), 99);
    };
    let mut alone = numbers(100);
    change(&mut alone);
    let older = numbers(100);
    let mut newer = older.clone();
    newer.insert(key_hash(&7u64), 7, 1);
    change(&mut newer);
    assert_eq!(newer.changes_since(&older).collect::<Vec<_>>(), [Change::Removed(7)]);
}

#[test]
fn bytes_and_back() {
    let table = Table::from_iter((0..3000u64).map(|n| (format!("word {n}"), n)));
    let bytes = postcard::to_allocvec(&table).unwrap();
    let back: Table<String, u64> = postcard::from_bytes(&bytes).unwrap();
    assert!(table.iter().eq(back.iter()));
    assert_eq!(postcard::to_allocvec(&back).unwrap(), bytes);
    let pairs: Vec<(String, u64)> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(pairs.len(), 3000, "the bytes are those of a sequence of pairs");
}

#[test]
fn warming_changes_nothing() {
    let mut table = numbers(40_000);
    let older = table.clone();
    for table in [&table, &older, &Table::new()] {
        table.warm([]);
        table.warm((0..1000u64).map(|key| key_hash(&key)));
    }
    assert_eq!(table.changes_since(&older).count(), 0);
    table.extend((0..100u64).map(|key| (key, 1)));
    assert_eq!(table.changes_since(&older).count(), 100);
}

#[test]
fn any_thread_may_hold_one() {
    fn record<T: Clone + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static>() {}
    record::<Table<String, Vec<u8>>>();
}
