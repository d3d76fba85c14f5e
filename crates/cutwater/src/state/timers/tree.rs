//! A search tree of deadlines whose versions share nodes: a treap.
//!
//! A node's deadline lies between those of its left and its right side, and its rank above those of
//! both. Ranks are hashes, so that the tree is about as deep as a balanced one, and its shape depends
//! on the deadlines in it and not on how they came. It was chosen for its `split`, which takes off
//! everything that is due in one go, and for its size.

use std::{cmp::Ordering, sync::Arc};

use cutwater_core::Time;

use super::Table;
use crate::{Key, Record, placement};

pub(super) type Tree<K, V> = Option<Arc<Node<K, V>>>;

#[derive(Clone, Debug)]
pub(super) struct Node<K: Key, V: Record> {
    deadline: Time,
    keys: Table<K, V>,
    left: Tree<K, V>,
    right: Tree<K, V>,
}

/// No two deadlines have the same.
fn rank(deadline: Time) -> (u64, Time) {
    (placement::hash(&deadline), deadline)
}

/// The keys of a deadline.
pub(super) fn find<K: Key, V: Record>(mut tree: &Tree<K, V>, deadline: Time) -> Option<&Table<K, V>> {
    loop {
        let node = tree.as_ref()?;
        tree = match deadline.cmp(&node.deadline) {
            Ordering::Less => &node.left,
            Ordering::Equal => return Some(&node.keys),
            Ordering::Greater => &node.right,
        };
    }
}

/// The keys of a deadline, to be changed; none at first.
pub(super) fn keys_mut<K: Key, V: Record>(tree: &mut Tree<K, V>, deadline: Time) -> &mut Table<K, V> {
    let is_above = |node: &Arc<Node<K, V>>| rank(node.deadline) >= rank(deadline);
    if !tree.as_ref().is_some_and(is_above) {
        let (left, right) = split(tree.take(), deadline);
        *tree = Some(Arc::new(Node { deadline, keys: Table::new(), left, right }));
    }
    let Some(node) = tree else { unreachable!("a node was put there if there was none") };
    let node = Arc::make_mut(node);
    match deadline.cmp(&node.deadline) {
        Ordering::Less => keys_mut(&mut node.left, deadline),
        Ordering::Equal => &mut node.keys,
        Ordering::Greater => keys_mut(&mut node.right, deadline),
    }
}

/// Takes a key away from a deadline, and the deadline if it was its last.
pub(super) fn remove<K: Key, V: Record>(tree: &mut Tree<K, V>, deadline: Time, hash: u64, key: &K) {
    let Some(node) = tree else { return };
    let node = Arc::make_mut(node);
    match deadline.cmp(&node.deadline) {
        Ordering::Less => remove(&mut node.left, deadline, hash, key),
        Ordering::Greater => remove(&mut node.right, deadline, hash, key),
        Ordering::Equal => {
            node.keys.remove(hash, key);
            if node.keys.is_empty() {
                *tree = merge(node.left.take(), node.right.take());
            }
        }
    }
}

/// What lies strictly before `at`, and the rest.
pub(super) fn split<K: Key, V: Record>(tree: Tree<K, V>, at: Time) -> (Tree<K, V>, Tree<K, V>) {
    let Some(mut shared) = tree else { return (None, None) };
    let node = Arc::make_mut(&mut shared);
    if node.deadline < at {
        let (before, after) = split(node.right.take(), at);
        node.right = before;
        (Some(shared), after)
    } else {
        let (before, after) = split(node.left.take(), at);
        node.left = after;
        (before, Some(shared))
    }
}

/// One tree of two, of which the first lies before the second.
fn merge<K: Key, V: Record>(first: Tree<K, V>, second: Tree<K, V>) -> Tree<K, V> {
    let (mut a, mut b) = match (first, second) {
        (Some(a), Some(b)) => (a, b),
        (one, other) => return one.or(other),
    };
    if rank(a.deadline) > rank(b.deadline) {
        let node = Arc::make_mut(&mut a);
        node.right = merge(node.right.take(), Some(b));
        Some(a)
    } else {
        let node = Arc::make_mut(&mut b);
        node.left = merge(Some(a), node.left.take());
        Some(b)
    }
}

/// Calls `see` with every deadline and its keys, in order.
pub(super) fn each<'a, K: Key, V: Record>(tree: &'a Tree<K, V>, see: &mut impl FnMut(Time, &'a Table<K, V>)) {
    if let Some(node) = tree {
        each(&node.left, see);
        see(node.deadline, &node.keys);
        each(&node.right, see);
    }
}

/// Calls `see` with every deadline after `from` and up to `to`, and its keys, in order.
pub(super) fn between<'a, K: Key, V: Record>(
    tree: &'a Tree<K, V>,
    from: Time,
    to: Time,
    see: &mut impl FnMut(Time, &'a Table<K, V>),
) {
    let Some(node) = tree else { return };
    if from < node.deadline {
        between(&node.left, from, to, see);
    }
    if from < node.deadline && node.deadline <= to {
        see(node.deadline, &node.keys);
    }
    if node.deadline < to {
        between(&node.right, from, to, see);
    }
}

/// Checks the promises of this file; says how deep the tree is.
#[cfg(test)]
pub(super) fn sound<K: Key, V: Record>(tree: &Tree<K, V>) -> usize {
    let Some(node) = tree else { return 0 };
    assert!(!node.keys.is_empty(), "a deadline without keys is taken out");
    let (mut left, mut right) = (Vec::new(), Vec::new());
    each(&node.left, &mut |deadline, _| left.push(deadline));
    each(&node.right, &mut |deadline, _| right.push(deadline));
    assert!(left.iter().all(|deadline| *deadline < node.deadline));
    assert!(right.iter().all(|deadline| *deadline > node.deadline));
    for below in [&node.left, &node.right].into_iter().flatten() {
        assert!(rank(below.deadline) < rank(node.deadline));
    }
    1 + sound(&node.left).max(sound(&node.right))
}

/// How many nodes of `tree` are not nodes of `other`.
#[cfg(test)]
pub(super) fn own_nodes<K: Key, V: Record>(tree: &Tree<K, V>, other: &Tree<K, V>) -> usize {
    fn nodes<K: Key, V: Record>(tree: &Tree<K, V>, all: &mut std::collections::HashSet<usize>) {
        if let Some(node) = tree {
            all.insert(Arc::as_ptr(node) as usize);
            nodes(&node.left, all);
            nodes(&node.right, all);
        }
    }
    let (mut mine, mut others) = Default::default();
    nodes(tree, &mut mine);
    nodes(other, &mut others);
    mine.difference(&others).count()
}
