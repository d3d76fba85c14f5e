use std::{
    iter::{Flatten, FusedIterator},
    ptr, slice,
};

use super::{
    LAST_EDITION,
    node::{self, FANOUT, Node, Slot},
};

/// What happened to one key between two versions of a [`Table`](super::Table).
///
/// ```
/// use cutwater::state::Change;
///
/// assert_eq!(Change::Put(&"pier", &1).key(), Change::<_, i32>::Removed(&"pier").key());
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Change<'a, K, V> {
    /// The key was written; this is its value now.
    Put(&'a K, &'a V),
    /// The key is there no more.
    Removed(&'a K),
}

impl<'a, K, V> Change<'a, K, V> {
    /// The key it happened to.
    ///
    /// ```
    /// use cutwater::state::Change;
    ///
    /// assert_eq!(Change::Put(&"pier", &1).key(), &"pier");
    /// ```
    pub fn key(&self) -> &'a K {
        match *self {
            Self::Put(key, _) | Self::Removed(key) => key,
        }
    }
}

/// The changes that lead from one version to another:
/// see [`Table::changes_since`](super::Table::changes_since).
///
/// ```
/// use cutwater::state::{Changes, Table};
///
/// let table = Table::from_iter([(1u64, 'a'), (2, 'b')]);
/// let same = table.clone();
/// let mut changes: Changes<'_, u64, char> = table.changes_since(&same);
/// assert_eq!(changes.next(), None);
/// ```
pub struct Changes<'a, K, V> {
    /// Parts of the two trees that are still to be compared, the next one last.
    parts: Vec<Pair<'a, K, V>>,
    /// The entries being compared: those of the newer side still to be looked at and all of the
    /// older side, then the other way round.
    put: (Entries<'a, K, V>, &'a [Slot<K, V>]),
    removed: (Entries<'a, K, V>, &'a [Slot<K, V>]),
    /// The level at which they are.
    level: u32,
    /// Whether stamps of the two come from one source, and so say what is the same.
    related: bool,
}

type Entries<'a, K, V> = Flatten<slice::Iter<'a, Slot<K, V>>>;

struct Pair<'a, K, V> {
    newer: Part<'a, K, V>,
    older: Part<'a, K, V>,
    level: u32,
}

/// A node, or those slots of a leaf that lie where the other side has a node further down.
enum Part<'a, K, V> {
    Slots(&'a [Slot<K, V>]),
    Branch(&'a [Node<K, V>; FANOUT]),
}

impl<'a, K, V> Part<'a, K, V> {
    fn of(node: &'a Node<K, V>) -> Self {
        match node {
            Node::Branch(children) => Self::Branch(children),
            Node::Leaf(slots) => Self::Slots(slots),
        }
    }

    /// What of it lies below one child of a branch at this level.
    fn child(&self, at: usize, level: u32) -> Self {
        match *self {
            Self::Branch(children) => Self::of(&children[at]),
            Self::Slots(slots) => {
                let digit =
                    |slot: &Slot<K, V>| slot.as_ref().map_or(FANOUT, |entry| node::digit(entry.path, level));
                let start = slots.partition_point(|slot| digit(slot) < at);
                let end = slots.partition_point(|slot| digit(slot) <= at);
                Self::Slots(&slots[start..end])
            }
        }
    }
}

impl<'a, K, V> Changes<'a, K, V> {
    pub(super) fn new(newer: &'a Node<K, V>, older: &'a Node<K, V>, related: bool) -> Self {
        let root = Pair { newer: Part::of(newer), older: Part::of(older), level: 0 };
        let none = || ([].iter().flatten(), [].as_slice());
        Self { parts: vec![root], put: none(), removed: none(), level: 0, related }
    }

    /// Takes the next pair of parts apart, if there is one. What both versions share is passed over
    /// unseen.
    fn advance(&mut self) -> Option<()> {
        let Pair { newer, older, level } = self.parts.pop()?;
        match (&newer, &older) {
            (Part::Branch(a), Part::Branch(b)) if ptr::eq(*a, *b) => {}
            (Part::Slots(a), Part::Slots(b)) if ptr::eq(*a, *b) => {}
            (Part::Slots(newer), Part::Slots(older)) => {
                self.put = (newer.iter().flatten(), older);
                self.removed = (older.iter().flatten(), newer);
                self.level = level;
            }
            _ => self.parts.extend((0..FANOUT).rev().map(|at| Pair {
                newer: newer.child(at, level),
                older: older.child(at, level),
                level: level + 1,
            })),
        }
        Some(())
    }
}

impl<'a, K: Eq, V> Iterator for Changes<'a, K, V> {
    type Item = Change<'a, K, V>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (newer, older) = &mut self.put;
            for entry in newer {
                let before = node::find(older, entry.path, self.level, &entry.key).ok();
                let same = before.and_then(|at| older[at].as_ref()).is_some_and(|before| {
                    self.related && before.stamp == entry.stamp && entry.stamp != LAST_EDITION
                });
                if !same {
                    return Some(Change::Put(&entry.key, &entry.value));
                }
            }
            let (older, newer) = &mut self.removed;
            for entry in older {
                if node::find(newer, entry.path, self.level, &entry.key).is_err() {
                    return Some(Change::Removed(&entry.key));
                }
            }
            self.advance()?;
        }
    }
}

impl<K: Eq, V> FusedIterator for Changes<'_, K, V> {}
