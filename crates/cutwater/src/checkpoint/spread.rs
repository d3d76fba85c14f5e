//! States that were written in another number of partitions than they are to be in.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::placement;

/// A state by key, whose keys can be spread anew.
pub(crate) trait Spread: Default {
    /// Takes those keys over from another partition whose hashes are `here`; and what is of no key, if that is to be
    /// here too. One partition after the other, in their order.
    fn take_over(&mut self, from: Self, here: &dyn Fn(u64) -> bool, with_rest: bool);
}

/// The place of a partition among so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    pub partition: u32,
    pub partitions: u32,
    pub key_groups: u32,
}

impl Place {
    /// Whether a key of that hash lives here.
    pub fn is_home_of(&self, hash: u64) -> bool {
        placement::partition(hash, self.key_groups, self.partitions) == self.partition
    }

    fn groups(&self) -> Range<u32> {
        placement::groups_of(self.partition, self.key_groups, self.partitions)
    }

    /// Which of `before` partitions have keys that live here now, in their order, and whether what is of no key is to be
    /// here too: it goes with the first key group, so that it is in one place and its order stays.
    pub fn takes_from(&self, before: u32) -> impl Iterator<Item = (u32, bool)> {
        let (mine, key_groups) = (self.groups(), self.key_groups);
        (0..before).filter_map(move |partition| {
            let its = placement::groups_of(partition, key_groups, before);
            let is_shared = its.start.max(mine.start) < its.end.min(mine.end);
            is_shared.then(|| (partition, mine.contains(&its.start)))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// Each key group is taken over once, from where it was, and what is of no key once from each partition that has keys.
    #[test]
    fn nothing_is_taken_twice_or_left() {
        for key_groups in [1, 5, 256] {
            for (before, now) in [(1, 4), (4, 1), (3, 4), (4, 3), (8, 2), (2, 8), (7, 300), (300, 7), (6, 6)]
            {
                let mut rest = BTreeMap::<u32, u32>::new();
                let mut taken = Vec::new();
                for partition in 0..now {
                    let place = Place { partition, partitions: now, key_groups };
                    for (from, with_rest) in place.takes_from(before) {
                        *rest.entry(from).or_default() += u32::from(with_rest);
                        let its = placement::groups_of(from, key_groups, before);
                        taken.extend(place.groups().filter(|group| its.contains(group)));
                    }
                }
                assert!(taken.into_iter().eq(0..key_groups), "{before} to {now}");
                assert!(rest.values().all(|times| *times == 1), "{before} to {now}: {rest:?}");
                let with_keys =
                    (0..before).filter(|at| !placement::groups_of(*at, key_groups, before).is_empty());
                assert!(rest.into_keys().eq(with_keys), "{before} to {now}");
            }
        }
    }
}
