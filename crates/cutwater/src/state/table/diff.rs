use std::{iter::FusedIterator, vec};

use serde::Serialize;

use super::{Iter, Table, key_hash};

/// What happened to one key between two versions of a [`Table`].
///
/// ```
/// use cutwater::state::Change;
///
/// assert_eq!(Change::Put("pier", 1).key(), Change::<_, i32>::Removed("pier").key());
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<K, V> {
    /// The key was written; this is its value now.
    Put(K, V),
    /// The key is there no more.
    Removed(K),
}

impl<K, V> Change<K, V> {
    /// The key it happened to.
    ///
    /// ```
    /// use cutwater::state::Change;
    ///
    /// assert_eq!(Change::Put("pier", 1).key(), &"pier");
    /// ```
    pub fn key(&self) -> &K {
        match self {
            Self::Put(key, _) | Self::Removed(key) => key,
        }
    }
}

/// The changes that lead from one version to another: see [`Table::changes_since`].
///
/// ```
/// use cutwater::state::{Changes, Table};
///
/// let table = Table::from_iter([(1u64, 'a'), (2, 'b')]);
/// let same = table.clone();
/// let mut changes: Changes<'_, u64, char> = table.changes_since(&same);
/// assert_eq!(changes.next(), None);
/// ```
pub struct Changes<'a, K, V>(Found<'a, K, V>);

enum Found<'a, K, V> {
    Edits(vec::IntoIter<(K, Option<V>)>),
    /// Two tables that have nothing to do with each other.
    Strangers {
        put: Iter<K, V>,
        removed: Iter<K, V>,
        newer: &'a Table<K, V>,
    },
}

impl<'a, K: Clone + Eq + Serialize, V: Clone> Changes<'a, K, V> {
    pub(super) fn new(newer: &'a Table<K, V>, older: &Table<K, V>) -> Self {
        let (to, from) = (newer.version(), older.version());
        Self(if to.is_related(&from) {
            Found::Edits(to.edits_since(&from).into_iter())
        } else {
            Found::Strangers { put: newer.iter(), removed: older.iter(), newer }
        })
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Iterator for Changes<'_, K, V> {
    type Item = Change<K, V>;

    fn next(&mut self) -> Option<Change<K, V>> {
        match &mut self.0 {
            Found::Edits(edits) => edits.next().map(|(key, value)| match value {
                Some(value) => Change::Put(key, value),
                None => Change::Removed(key),
            }),
            Found::Strangers { put, removed, newer } => {
                if let Some((key, value)) = put.next() {
                    return Some(Change::Put(key, value));
                }
                let mut keys = removed.map(|(key, _)| key);
                keys.find(|key| newer.get(key_hash(key), key).is_none()).map(Change::Removed)
            }
        }
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> FusedIterator for Changes<'_, K, V> {}
