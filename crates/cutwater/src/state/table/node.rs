//! The tree: branches on three bits of the path, leaves that are sorted arrays of entries.

use std::{borrow::Borrow, mem, num::NonZeroU32, sync::Arc};

use serde::Serialize;

/// Bits of the path that one branch tells apart. More would make a tree of fewer levels, but copying
/// a branch touches the reference count of each child, which in a large table is a cache miss
/// apiece; and leaves would hold fewer entries just after a split. Measured with 2, 3 and 4.
pub(super) const BITS: u32 = 3;
pub(super) const FANOUT: usize = 1 << BITS;

/// A leaf with more entries than this becomes a branch. A leaf is what the first write to any of its
/// keys copies, and its fixed cost is shared by its entries: larger ones save memory, smaller ones
/// copying.
const LEAF_ENTRIES_MAX: usize = 32;

/// A branch whose leaves have no more than this together becomes a leaf. Well below the other
/// bound, so that a key which comes and goes does not rebuild its leaf each time.
const MERGE_ENTRIES_MAX: usize = LEAF_ENTRIES_MAX / 2;

/// No leaf that is small enough to be merged has more free slots than this.
const FREE_SLOTS_MAX: usize = LEAF_ENTRIES_MAX / 8;

/// Where a hash lies in the tree: its low half, mirrored. The tree takes the lowest bits of the hash
/// first, since the highest are alike in one table; mirrored, this makes the order of the tree that
/// of plain numbers.
pub(super) fn path_of(hash: u64) -> u32 {
    (hash as u32).reverse_bits()
}

/// What the branches above a node of this level have left of a path.
fn rest(path: u32, level: u32) -> u32 {
    path.checked_shl(BITS * level).unwrap_or(0)
}

/// Which child of a branch at this level a path leads to.
pub(super) fn digit(path: u32, level: u32) -> usize {
    (rest(path, level) >> (u32::BITS - BITS)) as usize
}

/// A pair with what the table must know about it. Path and stamp are half a word each: beside a key
/// and a value of eight bytes nothing is lost to padding.
#[derive(Clone)]
pub(super) struct Entry<K, V> {
    pub path: u32,
    /// The edition of the table that wrote it last. Never zero, so that a `Slot` is no larger.
    pub stamp: NonZeroU32,
    pub key: K,
    pub value: V,
}

/// Room for an entry. A `Vec` would know which of its room is taken, but puts a second allocation,
/// and so a cache miss, between a branch and the entries.
pub(super) type Slot<K, V> = Option<Entry<K, V>>;

/// A part of the tree. Paths in it agree in as many digits as it has branches above.
pub(super) enum Node<K, V> {
    /// Sorted by path; entries of one path by mirrored hash, and then by age. Free slots come last.
    Leaf(Arc<[Slot<K, V>]>),
    /// Its entries have at least two different paths.
    Branch(Arc<[Node<K, V>; FANOUT]>),
}

/// A leaf of no entries allocates nothing.
impl<K, V> Default for Node<K, V> {
    fn default() -> Self {
        Self::Leaf(Arc::default())
    }
}

/// Derived it would ask for `K: Clone` and `V: Clone`, which sharing does not need.
impl<K, V> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        match self {
            Self::Leaf(slots) => Self::Leaf(Arc::clone(slots)),
            Self::Branch(children) => Self::Branch(Arc::clone(children)),
        }
    }
}

/// About where in a leaf of so many slots an entry is.
pub(super) fn guess(rest: u32, slots: usize) -> usize {
    ((u64::from(rest) * slots as u64) >> u32::BITS) as usize
}

/// Where in the slots of a leaf at this level a key is, or else where the entries of its path begin.
pub(super) fn find<K, V, Q>(slots: &[Slot<K, V>], path: u32, level: u32, key: &Q) -> Result<usize, usize>
where
    K: Borrow<Q>,
    Q: Eq + ?Sized,
{
    let below = |slot: &Slot<K, V>| slot.as_ref().is_some_and(|entry| entry.path < path);
    // Hashes are spread evenly, so the rest of the path says about how far along its entry is: this
    // looks at one or two cache lines, where a search by halves looks at four.
    let mut start = guess(rest(path, level), slots.len());
    while start > 0 && !below(&slots[start - 1]) {
        start -= 1;
    }
    while start < slots.len() && below(&slots[start]) {
        start += 1;
    }
    let run = slots[start..].iter().flatten().take_while(|entry| entry.path == path);
    match run.enumerate().find(|(_, entry)| entry.key.borrow() == key) {
        Some((at, _)) => Ok(start + at),
        None => Err(start),
    }
}

impl<K, V> Node<K, V> {
    /// The slots of a node that is no branch.
    pub fn slots(&self) -> &[Slot<K, V>] {
        match self {
            Self::Leaf(slots) => slots,
            Self::Branch(_) => &[],
        }
    }

    pub fn get<Q: Eq + ?Sized>(&self, path: u32, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let (mut node, mut level) = (self, 0);
        while let Self::Branch(children) = node {
            node = &children[digit(path, level)];
            level += 1;
        }
        let slots = node.slots();
        let at = find(slots, path, level, key).ok()?;
        slots[at].as_ref().map(|entry| &entry.value)
    }
}

/// The ways to change a tree. Each expects to have the nodes above for itself, as `descend` leaves
/// them.
impl<K: Clone, V: Clone> Node<K, V> {
    /// Where the entries of a path are or would be, and how many branches lie above. The way there
    /// is now this version's own.
    pub fn descend(&mut self, path: u32) -> (&mut Self, u32) {
        let (mut node, mut level) = (self, 0);
        loop {
            match node {
                Self::Branch(children) => node = &mut Arc::make_mut(children)[digit(path, level)],
                leaf => return (leaf, level),
            }
            level += 1;
        }
    }

    /// The slots, to be changed: copied first if another version holds them too.
    pub fn slots_mut(&mut self) -> &mut [Slot<K, V>] {
        match self {
            Self::Leaf(slots) => Arc::make_mut(slots),
            Self::Branch(_) => &mut [],
        }
    }

    /// Takes an entry out, for `put_back` or `prune` to follow.
    pub fn take(&mut self, at: usize) -> Slot<K, V> {
        let slots = self.slots_mut();
        let taken = slots[at].take();
        slots[at..].rotate_left(1);
        taken
    }

    /// Puts an entry where another was taken, or where there is room for one more.
    pub fn put_back(&mut self, at: usize, entry: Entry<K, V>) {
        let mut pushed = Some(entry);
        for slot in &mut self.slots_mut()[at..] {
            mem::swap(slot, &mut pushed);
            if pushed.is_none() {
                break;
            }
        }
    }

    /// Adds an entry to a leaf in which `find` has answered `Err(at)`, and splits the leaf if it has
    /// become too large.
    pub fn add(&mut self, mut at: usize, level: u32, hash: u64, entry: Entry<K, V>)
    where
        K: Serialize,
    {
        debug_assert_eq!(hash, super::key_hash(&entry.key), "a table is given the placement hash of a key");
        let before = |other: &&Entry<K, V>| {
            // Half of the hash is not kept and has to be computed again; but in a table of ten
            // million keys one in four hundred shares its path with another.
            other.path == entry.path && super::key_hash(&other.key).reverse_bits() <= hash.reverse_bits()
        };
        at += self.slots()[at..].iter().flatten().take_while(before).count();
        if self.slots().last().is_none_or(Option::is_some) {
            let len = self.slots().len();
            // Doubling would leave a quarter of the table's memory unused.
            self.resize(len + 1 + len / 8);
        }
        self.put_back(at, entry);
        self.split(level);
    }

    /// Gives a leaf so many slots.
    fn resize(&mut self, len: usize) {
        let Self::Leaf(slots) = self else { return };
        *slots = match Arc::get_mut(slots) {
            Some(own) => (0..len).map(|at| own.get_mut(at).and_then(Option::take)).collect(),
            None => (0..len).map(|at| slots.get(at).cloned().flatten()).collect(),
        };
    }

    /// Makes a branch of a leaf that is too large. Entries of one path stay together however many
    /// they are: no bits are left to tell them apart.
    fn split(&mut self, level: u32) {
        let Self::Leaf(slots) = self else { return };
        if slots.len() <= LEAF_ENTRIES_MAX {
            return;
        }
        let len = slots.partition_point(Option::is_some);
        let path_at = |at: usize| slots[at].as_ref().map(|entry| entry.path);
        if len <= LEAF_ENTRIES_MAX || path_at(0) == path_at(len - 1) {
            return;
        }
        let slots = Arc::make_mut(slots);
        let mut start = 0;
        let children = std::array::from_fn(|child| {
            let inside =
                |slot: &Slot<K, V>| slot.as_ref().is_some_and(|entry| digit(entry.path, level) == child);
            let len = slots[start..].partition_point(inside);
            let own = slots[start..start + len].iter_mut().map(Option::take);
            let mut node = if len == 0 { Self::default() } else { Self::Leaf(own.collect()) };
            node.split(level + 1);
            start += len;
            node
        });
        *self = Self::Branch(Arc::new(children));
    }

    /// Makes the way to a path as small as its entries allow, after one of them was taken out.
    pub fn prune(&mut self, path: u32) {
        match self {
            Self::Leaf(slots) => {
                let len = slots.partition_point(Option::is_some);
                if len == 0 {
                    *self = Self::default();
                } else if slots.len() > len + FREE_SLOTS_MAX {
                    self.resize(len);
                }
            }
            Self::Branch(children) => {
                let children = Arc::make_mut(children);
                children[digit(path, 0)].prune(path << BITS);
                if let Some(merged) = Self::merge(children) {
                    *self = merged;
                }
            }
        }
    }

    /// One leaf in place of several children with few entries.
    fn merge(children: &mut [Self; FANOUT]) -> Option<Self> {
        let slots: usize = children.iter().map(|child| child.slots().len()).sum();
        // The branch itself says how many slots there are: in most cases enough to know without
        // looking into the children, each of which may be a cache miss.
        if slots > MERGE_ENTRIES_MAX + FANOUT * FREE_SLOTS_MAX
            || children.iter().any(|child| matches!(child, Self::Branch(_)))
        {
            return None;
        }
        let len = children.iter().map(|child| child.slots().partition_point(Option::is_some)).sum();
        if len > MERGE_ENTRIES_MAX {
            return None;
        }
        let mut merged = Vec::with_capacity(len);
        for child in children {
            merged.extend(child.slots_mut().iter_mut().map(Option::take).filter(Option::is_some));
        }
        Some(Self::Leaf(merged.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_wasted_on_tags() {
        assert_eq!(size_of::<Slot<u64, u64>>(), 24);
        assert_eq!(size_of::<Node<u64, u64>>(), 16);
    }
}
