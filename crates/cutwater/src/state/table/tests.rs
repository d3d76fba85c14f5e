use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
};

use proptest::prelude::*;
use serde::{Deserialize, Serializer};

use super::*;

/// A key whose hash takes only four values.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
struct Clash(u64);

impl Serialize for Clash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.0 % 4)
    }
}

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
    ];
    prop::collection::vec(op, 0..400)
}

type Model<K> = HashMap<K, u64>;

/// Runs the operations on a table and on its model, and checks every version that was put by against
/// its own model and against every other. No value is written twice, so that a value says which
/// write it came from.
fn check<K>(ops: Vec<Op>, key: fn(u64) -> K, order_is_of_content: bool)
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
        }
    }
    versions.push((table, model));
    for (table, model) in &versions {
        same(table, model);
        let pairs = table.iter().map(|(key, value)| (key.clone(), *value));
        let again: Table<K, u64> = if order_is_of_content {
            // Another history of the same content.
            pairs.collect::<BTreeMap<_, _>>().into_iter().collect()
        } else {
            pairs.collect()
        };
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
            for change in changes {
                if let Change::Put(key, value) = change {
                    assert_eq!(newer_model.get(key), Some(value));
                }
            }
        }
    }
}

fn same<K: Eq + Clone + Hash + fmt::Debug + Serialize>(table: &Table<K, u64>, model: &Model<K>) {
    assert_eq!(table.len(), model.len());
    assert_eq!(table.iter().len(), model.len());
    assert_eq!(table.iter().map(|(key, value)| (key.clone(), *value)).collect::<Model<K>>(), *model);
    for (key, value) in model {
        assert_eq!(table.get(key_hash(key), key), Some(value));
    }
    sound(&table.root, 0);
}

/// What the comments of `Node` promise. Returns how many entries there are.
fn sound<K: Eq + Serialize, V>(node: &Node<K, V>, level: u32) -> usize {
    match node {
        Node::Leaf(slots) => {
            let entries: Vec<_> = slots.iter().flatten().collect();
            assert!(slots[entries.len()..].iter().all(Option::is_none), "free slots come last");
            let orders = entries.iter().map(|entry| key_hash(&entry.key).reverse_bits());
            assert!(orders.clone().is_sorted());
            assert!(entries.iter().zip(orders).all(|(entry, order)| u64::from(entry.path) == order >> 32));
            entries.len()
        }
        Node::Branch(children) => {
            for (at, child) in children.iter().enumerate() {
                assert!(child.slots().iter().flatten().all(|entry| node::digit(entry.path, level) == at));
            }
            let len = children.iter().map(|child| sound(child, level + 1)).sum();
            assert!(len > 0, "a branch of nothing is pruned");
            len
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn versions_are_maps_of_their_own(ops in ops(300)) {
        check(ops, |n| n, true);
    }

    #[test]
    fn words_too(ops in ops(100)) {
        check(ops, |n| format!("word {n}"), true);
    }

    #[test]
    fn keys_of_one_hash_share_a_leaf(ops in ops(200)) {
        check(ops, Clash, false);
    }
}

fn numbers(n: u64) -> Table<u64, u64> {
    (0..n).map(|key| (key, 0)).collect()
}

/// Calls `see` with the address and the bytes of each node.
fn nodes<K, V>(node: &Node<K, V>, see: &mut impl FnMut(usize, usize)) {
    let counts = 2 * size_of::<usize>();
    match node {
        Node::Leaf(slots) => see(slots.as_ptr() as usize, counts + size_of_val(&**slots)),
        Node::Branch(children) => {
            see(children.as_ptr() as usize, counts + size_of_val(&**children));
            children.iter().for_each(|child| nodes(child, see));
        }
    }
}

fn addresses<K, V>(table: &Table<K, V>) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    nodes(&table.root, &mut |address, _| {
        found.insert(address);
    });
    found
}

#[test]
fn one_change_copies_one_way() {
    let older = numbers(20_000);
    let mut newer = older.clone();
    newer.insert(key_hash(&7u64), 7, 1);
    let copied = addresses(&newer).difference(&addresses(&older)).count();
    assert!((1..=6).contains(&copied), "{copied} nodes");
    assert_eq!(newer.changes_since(&older).collect::<Vec<_>>(), [Change::Put(&7, &1)]);
}

#[test]
fn what_nobody_shares_is_changed_in_place() {
    let mut table = numbers(20_000);
    let before = addresses(&table);
    drop(table.clone());
    for key in 0..20_000u64 {
        table.upsert(key_hash(&key), &key, || key, || 0, |value| *value += 1);
        table.alter(key_hash(&key), &key, |value| value.map(|value| value + 1));
    }
    assert_eq!(addresses(&table), before);
    assert!(table.iter().all(|(_, value)| *value == 2));
}

#[test]
fn what_is_not_there_copies_nothing() {
    let mut newer = numbers(1000);
    let older = newer.clone();
    assert_eq!(newer.remove(key_hash(&5000u64), &5000), None);
    newer.alter(key_hash(&5000u64), &5000, |none| none);
    assert_eq!(addresses(&newer), addresses(&older));
}

/// 2.5 times the size of a pair, spare room, counts and branches included.
#[test]
fn a_pair_of_words_takes_at_most_40_bytes() {
    for n in [5_000, 20_000, 100_000, 150_000] {
        let mut bytes = 0;
        nodes(&numbers(n).root, &mut |_, size| bytes += size);
        assert!(bytes <= 40 * n as usize, "{} bytes per pair of {n}", bytes as f64 / n as f64);
    }
}

#[test]
fn paths_that_clash_are_ordered_by_the_whole_hash() {
    let mut keys: Vec<u64> = (0..200_000).collect();
    keys.sort_by_key(|key| node::path_of(key_hash(key)));
    let same = |pair: &&[u64]| node::path_of(key_hash(&pair[0])) == node::path_of(key_hash(&pair[1]));
    let clashing: Vec<u64> = keys.windows(2).filter(same).flatten().copied().collect();
    assert!(clashing.len() >= 2, "200 000 keys are enough for some to clash");
    let up = Table::from_iter(clashing.iter().map(|key| (*key, ())));
    let down = Table::from_iter(clashing.iter().rev().map(|key| (*key, ())));
    assert!(up.iter().eq(down.iter()));
    sound(&up.root, 0);
}

#[test]
fn emptied_it_is_as_new() {
    let mut table = numbers(10_000);
    for key in 0..10_000u64 {
        assert_eq!(table.remove(key_hash(&key), &key), Some(0));
    }
    assert!(table.is_empty());
    assert_eq!(table.iter().next(), None);
    assert!(table.root.slots().is_empty() && matches!(table.root, Node::Leaf(_)));
}

#[test]
fn strangers_have_nothing_in_common() {
    let (a, b) = (numbers(100), numbers(100));
    assert_eq!(a.changes_since(&b).count(), 100);
}

#[test]
fn without_editions_too_much_counts_as_written_but_never_too_little() {
    let mut older = Table::new();
    older.editions.store(u32::MAX - 2, Ordering::Relaxed);
    older.extend((0..1000u64).map(|key| (key, 0)));
    for value in 1..5 {
        let mut newer = older.clone();
        newer.insert(key_hash(&7u64), 7, value);
        let put: Vec<_> = newer.changes_since(&older).collect();
        assert!(put.contains(&Change::Put(&7, &value)));
        assert!(put.len() <= 32, "other leaves are shared all the same");
        older = newer;
    }
}

#[test]
fn a_change_that_panics_loses_its_own_key_at_most() {
    let mut table = numbers(100);
    let older = table.clone();
    let alter = AssertUnwindSafe(|| table.alter(key_hash(&7u64), &7, |_| panic!("on purpose")));
    assert!(catch_unwind(alter).is_err());
    assert_eq!((table.len(), table.iter().count()), (99, 99));
    assert_eq!(table.changes_since(&older).collect::<Vec<_>>(), [Change::Removed(&7)]);
    sound(&table.root, 0);
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
