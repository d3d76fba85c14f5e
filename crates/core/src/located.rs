//! Where the pieces of a shuffle are, told once to a worker and not with every task.

use std::{collections::BTreeMap, ops::Range};

use serde::{Deserialize, Serialize};

use crate::{WorkerId, limits::PARTITIONS_MAX};

/// Neighbouring map partitions of a shuffle, all of whose pieces one worker holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Located {
    /// The first of them.
    pub first: u32,
    /// How many.
    pub count: u32,
    /// Who holds what they wrote.
    pub worker: WorkerId,
}

impl Located {
    /// The map partitions that are meant.
    pub fn maps(&self) -> Range<u32> {
        self.first..self.first.saturating_add(self.count)
    }

    /// In as few words as possible who holds what. `holders` are in the order of their partitions.
    pub fn runs(holders: impl IntoIterator<Item = (u32, WorkerId)>) -> Vec<Self> {
        let mut runs: Vec<Self> = Vec::new();
        for (map, worker) in holders {
            match runs.last_mut() {
                Some(last) if last.worker == worker && last.maps().end == map => last.count += 1,
                _ => runs.push(Self { first: map, count: 1, worker }),
            }
        }
        runs
    }
}

/// A word about more map partitions than there can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a shuffle of more than {PARTITIONS_MAX} map partitions is spoken of")]
pub struct TooMany;

/// Where the pieces of one shuffle are, as far as was said.
///
/// Properties:
/// - what is said of a map partition replaces what was said of it before;
/// - it costs as much as there are map partitions, however many pieces each of them wrote.
///
/// A worker has one for each shuffle that its tasks read from. If the worker dies, its successor is told anew.
///
/// ```
/// use cutwater_core::{Located, Whereabouts, WorkerId};
///
/// let mut pieces = Whereabouts::default();
/// let [a, b] = [WorkerId(1), WorkerId(2)];
/// pieces.note(&Located::runs([(0, a), (1, a), (2, b)]))?;
/// assert_eq!((pieces.holder(1), pieces.holder(2), pieces.holder(3)), (Some(a), Some(b), None));
/// // The first worker was lost, and one of its partitions was made again.
/// pieces.note(&Located::runs([(1, b)]))?;
/// assert_eq!((pieces.holder(0), pieces.holder(1)), (Some(a), Some(b)));
/// # Ok::<(), cutwater_core::located::TooMany>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Whereabouts(BTreeMap<u32, WorkerId>);

impl Whereabouts {
    /// Takes note of what was said.
    ///
    /// # Errors
    /// More map partitions are meant than there can be; of those nothing is noted.
    pub fn note(&mut self, located: &[Located]) -> Result<(), TooMany> {
        for run in located {
            if run.first.checked_add(run.count).is_none_or(|end| end > PARTITIONS_MAX) {
                return Err(TooMany);
            }
            self.0.extend(run.maps().map(|map| (map, run.worker)));
        }
        Ok(())
    }

    /// Who holds what a map partition wrote, if it was said.
    pub fn holder(&self, map: u32) -> Option<WorkerId> {
        self.0.get(&map).copied()
    }

    /// Every map partition of which it was said, in order, with its holder.
    pub fn iter(&self) -> impl Iterator<Item = (u32, WorkerId)> {
        self.0.iter().map(|(map, worker)| (*map, *worker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_holder_are_one_word() {
        let at = |n: u32| WorkerId(n / 100);
        let runs = Located::runs((0..400).map(|map| (map, at(map))));
        assert_eq!(runs.len(), 4);
        let mut pieces = Whereabouts::default();
        pieces.note(&runs).unwrap();
        assert!(pieces.iter().eq((0..400).map(|map| (map, at(map)))));
    }

    #[test]
    fn what_cannot_be_is_refused_before_it_costs_memory() {
        for (first, count) in [(0, u32::MAX), (u32::MAX, 1), (1, PARTITIONS_MAX)] {
            let word = Located { first, count, worker: WorkerId(0) };
            assert_eq!(Whereabouts::default().note(&[word]), Err(TooMany));
        }
    }
}
