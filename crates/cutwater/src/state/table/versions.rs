//! The versions of a table: the newest as it is, the others by how they differ.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map::Entry as Place},
    iter, mem,
    sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use serde::Serialize;

use super::{
    WARM_LEN_MIN,
    bucket::{Bucket, Entry},
    flat::Flat,
};

/// What some keys are to become: a value, or gone.
pub(super) type Edits<K, V> = Flat<K, Option<V>>;

type Id = u64;

/// A table in all versions that are held, of which one lies there as it is, and each other as the edits
/// that lead to it from one that is nearer (Baker's persistent arrays).
///
/// Properties:
/// - the tree of versions has the one that lies there as its root; making a version of another one
///   first turns the edits on the way round, one after the other;
/// - an edit is there for each key that was written between two versions and for no other;
/// - a version that nobody holds is kept only while it joins two others.
///
/// Threading: behind a lock, held for a bucket by who reads and for a batch of edits by who writes.
pub(super) struct Versions<K, V> {
    newest: Flat<K, V>,
    newest_id: Id,
    newest_needs: Needs,
    older: BTreeMap<Id, Older<K, V>>,
    next_id: Id,
}

/// What keeps a version.
#[derive(Clone, Copy)]
struct Needs {
    held: bool,
    /// How many others are made of it. It is counted as they come and go, since a thousand may be held, and be let go
    /// at once, when a state is written.
    uses: usize,
}

struct Older<K, V> {
    needs: Needs,
    /// Made of this version by `undo`.
    newer: Id,
    undo: Edits<K, V>,
}

impl<K, V> Versions<K, V> {
    /// From a version to the one that lies there, step by step.
    fn path(&self, id: Id) -> impl Iterator<Item = (&Id, &Older<K, V>)> {
        iter::successors(self.older.get_key_value(&id), |(_, at)| self.older.get_key_value(&at.newer))
    }

    fn needs_mut(&mut self, id: Id) -> &mut Needs {
        match self.older.get_mut(&id) {
            Some(older) => &mut older.needs,
            None => &mut self.newest_needs,
        }
    }

    fn get<Q: Eq + ?Sized>(&self, id: Id, order: u32, key: &Q) -> Option<(&K, &V)>
    where
        K: Borrow<Q>,
    {
        for (_, older) in self.path(id) {
            if let Some(edit) = older.undo.get(order, key) {
                return edit.value.as_ref().map(|value| (&edit.key, value));
            }
        }
        self.newest.get(order, key).map(|entry| (&entry.key, &entry.value))
    }

    /// Nobody holds this version any more. Returns what goes with it, to be dropped after the lock.
    fn forget(&mut self, id: Id) -> Vec<Edits<K, V>> {
        self.needs_mut(id).held = false;
        self.sweep(id)
    }

    /// Takes out a version that is neither held nor leads anywhere, and what led only to it.
    fn sweep(&mut self, mut id: Id) -> Vec<Edits<K, V>> {
        let mut gone = Vec::new();
        while let Place::Occupied(older) = self.older.entry(id)
            && let Needs { held: false, uses: 0 } = older.get().needs
        {
            let Older { newer, undo, .. } = older.remove();
            self.needs_mut(newer).uses -= 1;
            gone.push(undo);
            id = newer;
        }
        gone
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Versions<K, V> {
    /// Makes `id` the version that lies there. Returns what nobody needs any more.
    fn reroot(&mut self, id: Id) -> Vec<Edits<K, V>> {
        let before = self.newest_id;
        while let Some(next) = self.path(id).last().map(|(id, _)| *id)
            && let Some(Older { mut needs, undo: mut edits, .. }) = self.older.remove(&next)
        {
            exchange(&mut self.newest, &mut edits);
            self.newest_needs.uses -= 1;
            needs.uses += 1;
            let turned = Older { needs: self.newest_needs, newer: next, undo: edits };
            self.older.insert(self.newest_id, turned);
            (self.newest_id, self.newest_needs) = (next, needs);
        }
        self.sweep(before)
    }

    /// A new version, made of `from` by `edits`, and what nobody needs any more.
    fn derive(&mut self, from: Id, mut edits: Edits<K, V>) -> (Id, Vec<Edits<K, V>>) {
        let gone = self.reroot(from);
        exchange(&mut self.newest, &mut edits);
        let id = self.next_id;
        self.next_id += 1;
        self.older.insert(from, Older { needs: self.newest_needs, newer: id, undo: edits });
        (self.newest_id, self.newest_needs) = (id, Needs { held: true, uses: 1 });
        self.join();
        (id, gone)
    }

    /// Joins the edits before and after each version that nobody holds and that has but one made of it.
    fn join(&mut self) {
        let is_joint = |older: &Older<K, V>| matches!(older.needs, Needs { held: false, uses: 1 });
        while let Some(id) = self.older.iter().find(|(_, older)| is_joint(older)).map(|(id, _)| *id)
            && let Some(middle) = self.older.remove(&id)
        {
            if let Some(older) = self.older.values_mut().find(|older| older.newer == id) {
                older.newer = middle.newer;
                older.undo = joined(mem::take(&mut older.undo), middle.undo);
            }
        }
    }

    /// The next entries of a version, those of order `from` and a bucket's worth further, and where to
    /// go on.
    fn read(&self, id: Id, from: u32) -> (Bucket<K, V>, Option<u32>) {
        let path: Vec<_> = self.path(id).map(|(_, older)| &older.undo).collect();
        let ends = path.iter().map(|undo| undo.bucket_end(from));
        let end = ends.fold(self.newest.bucket_end(from), Ord::min);
        let mut read = Bucket::default();
        read.extend(self.newest.range(from, end));
        let bits = (from ^ end).leading_zeros();
        for (order, Entry { key, value }) in path.into_iter().rev().flat_map(|undo| undo.range(from, end)) {
            match (read.find(bits, order, key), value) {
                (Ok(at), Some(value)) => *read.value_mut(at) = value.clone(),
                (Ok(at), None) => drop(read.remove(at)),
                (Err(start), Some(value)) => read.insert(start, order, key.clone(), value.clone()),
                (Err(_), None) => {}
            }
        }
        (read, end.checked_add(1))
    }

    /// The keys written between two versions, each with its order.
    fn written(&self, a: Id, b: Id) -> Flat<K, ()> {
        let (mut a, mut b): (Vec<_>, Vec<_>) = (self.path(a).collect(), self.path(b).collect());
        // What both ways have in common leads away from both.
        while let (Some(x), Some(y)) = (a.last(), b.last())
            && x.0 == y.0
        {
            a.pop();
            b.pop();
        }
        let mut keys = Flat::default();
        for (order, Entry { key, .. }) in a.into_iter().chain(b).flat_map(|it| it.1.undo.range(0, u32::MAX)) {
            keys.put(order, key, || key.clone(), ());
        }
        keys
    }
}

/// Carries edits out, and makes them those that undo it.
fn exchange<K: Clone + Eq + Serialize, V>(flat: &mut Flat<K, V>, edits: &mut Edits<K, V>) {
    // What few edits are about was just looked up, when they were made.
    let is_cold = edits.len() >= WARM_LEN_MIN;
    for bucket in edits.buckets_mut() {
        let (orders, entries) = bucket.parts_mut();
        if is_cold {
            flat.touch(orders);
        }
        for (order, Entry { key, value }) in orders.iter().zip(entries) {
            *value = match value.take() {
                Some(value) => flat.put(*order, key, || key.clone(), value),
                None => flat.take(*order, key).map(|entry| entry.value),
            };
        }
    }
}

/// The edits that undo what `later` undoes and then what `earlier` does: of a key in both, those of
/// `earlier`.
fn joined<K: Clone + Eq + Serialize, V>(mut earlier: Edits<K, V>, mut later: Edits<K, V>) -> Edits<K, V> {
    // The fewer are put to the more, so that a version held for long does not cost more and more.
    if earlier.len() < later.len() {
        for (order, Entry { key, value }) in earlier.into_entries() {
            later.put(order, &key, || key.clone(), value);
        }
        return later;
    }
    for (order, Entry { key, value }) in later.into_entries() {
        if earlier.get(order, &key).is_none() {
            earlier.put(order, &key, || key.clone(), value);
        }
    }
    earlier
}

/// A hold on one version. Dropping the last one lets go of what no other version needs.
pub(super) struct Version<K, V> {
    id: Id,
    all: Arc<RwLock<Versions<K, V>>>,
}

impl<K, V> Version<K, V> {
    /// The first version of a new table, with nothing in it.
    pub fn new() -> Self {
        let (newest, older) = (Flat::default(), BTreeMap::new());
        let newest_needs = Needs { held: true, uses: 0 };
        let all = Versions { newest, newest_id: 0, newest_needs, older, next_id: 1 };
        Self { id: 0, all: Arc::new(RwLock::new(all)) }
    }

    /// Whether both are versions of one table.
    pub fn is_related(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.all, &other.all)
    }

    // All that runs of the program while the lock is held to write is what keys have been through before,
    // when they were looked up and copied into edits: it does not panic now.
    fn all(&self) -> RwLockReadGuard<'_, Versions<K, V>> {
        self.all.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn all_mut(&self) -> RwLockWriteGuard<'_, Versions<K, V>> {
        self.all.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Calls `see` with a key as it is here and its value.
    pub fn get<Q: Eq + ?Sized, R>(&self, order: u32, key: &Q, see: impl FnOnce(&K, &V) -> R) -> Option<R>
    where
        K: Borrow<Q>,
    {
        self.all().get(self.id, order, key).map(|(key, value)| see(key, value))
    }

    /// See [`Flat::touch`].
    pub fn touch(&self, len_min: usize, orders: &[u32])
    where
        K: Eq,
    {
        let all = self.all();
        if all.newest.len() >= len_min {
            all.newest.touch(orders);
        }
    }
}

impl<K: Clone + Eq + Serialize, V: Clone> Version<K, V> {
    /// The entries, if this is the only hold on the only version.
    pub fn alone(&mut self) -> Option<&mut Flat<K, V>> {
        let all = Arc::get_mut(&mut self.all)?.get_mut().unwrap_or_else(PoisonError::into_inner);
        // What was made of this one and dropped may be what lies there.
        all.reroot(self.id);
        Some(&mut all.newest)
    }

    pub fn derive(&self, edits: Edits<K, V>) -> Self {
        let mut all = self.all_mut();
        let (id, gone) = all.derive(self.id, edits);
        drop(all);
        drop(gone);
        Self { id, all: Arc::clone(&self.all) }
    }

    /// See [`Versions::read`].
    pub fn read(&self, from: u32) -> (Bucket<K, V>, Option<u32>) {
        self.all().read(self.id, from)
    }

    /// What leads here from an older version: each key written in between that is in either, with its
    /// value here.
    pub fn edits_since(&self, older: &Self) -> Vec<(K, Option<V>)> {
        let all = self.all();
        let written = all.written(self.id, older.id);
        let edits = written.range(0, u32::MAX).filter_map(|(order, Entry { key, .. })| {
            let value = all.get(self.id, order, key).map(|(_, value)| value.clone());
            let is_change = value.is_some() || all.get(older.id, order, key).is_some();
            is_change.then(|| (key.clone(), value))
        });
        edits.collect()
    }
}

impl<K, V> Drop for Version<K, V> {
    fn drop(&mut self) {
        let gone = self.all_mut().forget(self.id);
        drop(gone);
    }
}

#[cfg(test)]
impl<K: Serialize, V> Version<K, V> {
    /// Calls `see` with the entries of the newest version, and returns how many edits there are.
    pub fn inspect(&self, see: impl FnOnce(&Flat<K, V>)) -> usize {
        let all = self.all();
        all.newest.sound();
        all.older.values().for_each(|older| older.undo.sound());
        let newest = (&all.newest_id, &all.newest_needs);
        for (id, needs) in all.older.iter().map(|(id, older)| (id, &older.needs)).chain([newest]) {
            assert_eq!(needs.uses, all.older.values().filter(|older| older.newer == *id).count());
            assert!(id == newest.0 || needs.held || needs.uses > 0, "nobody needs it");
        }
        see(&all.newest);
        all.older.values().map(|older| older.undo.len()).sum()
    }
}
