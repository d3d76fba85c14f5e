//! How long tasks usually take.

use std::collections::{HashMap, VecDeque};

use crate::{OpId, limits};

/// A task that is done: how long it had a slot, and how many records it read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Took {
    pub(super) ms: u64,
    pub(super) read: u64,
}

/// What the tasks of past runs took, by the operator of their target: intervals repeat the same stages, and a
/// stage of one task, or of which few are done, has no median of its own.
///
/// It is a help and no more: after a restart of the master it is empty, and fills again in some intervals.
#[derive(Debug, Default)]
pub(super) struct History {
    kinds: HashMap<OpId, Kind>,
    noted: u64,
}

#[derive(Debug, Default)]
struct Kind {
    /// The medians of the last runs, the newest last.
    runs: VecDeque<Took>,
    /// What the task of each partition read in the last of them.
    read: Vec<u64>,
    last_noted: u64,
}

impl Kind {
    fn usual_read(&self) -> Option<u64> {
        median(self.runs.iter().map(|took| Took { ms: took.read, ..*took })).map(|took| took.ms)
    }
}

impl History {
    /// All of a run is done; `took` is what became of each of its partitions, of which some may be unknown.
    pub(super) fn note(&mut self, kind: OpId, took: &[(u32, Took)]) {
        let Some(usual) = median(took.iter().map(|(_, took)| *took)) else { return };
        self.noted += 1;
        if !self.kinds.contains_key(&kind) && self.kinds.len() >= limits::HISTORY_KINDS_MAX {
            // The one that was not seen for longest; rare, so that looking at all of them does not matter.
            let oldest = self.kinds.iter().min_by_key(|(_, known)| known.last_noted).map(|(kind, _)| *kind);
            self.kinds.retain(|kind, _| Some(*kind) != oldest);
        }
        let known = self.kinds.entry(kind).or_default();
        known.last_noted = self.noted;
        if known.runs.len() >= limits::HISTORY_RUNS {
            known.runs.pop_front();
        }
        known.runs.push_back(usual);
        for (partition, took) in took {
            let at = *partition as usize;
            if known.read.len() <= at {
                known.read.resize(at + 1, 0);
            }
            known.read[at] = took.read;
        }
    }

    /// How long a task of that kind usually takes, and how much it reads.
    pub(super) fn usual(&self, kind: OpId) -> Option<Took> {
        let known = self.kinds.get(&kind)?;
        Some(Took { ms: median(known.runs.iter().copied())?.ms, read: known.usual_read()? })
    }

    /// How much more a partition had to read than most, in hundredths and at least 100, when it was last
    /// computed.
    pub(super) fn more_percent(&self, kind: OpId, partition: u32) -> u64 {
        let percent = || {
            let known = self.kinds.get(&kind)?;
            let read = *known.read.get(partition as usize)?;
            percent_of(read, known.usual_read()?)
        };
        percent().unwrap_or(100).max(100)
    }

    pub(super) fn len(&self) -> usize {
        self.kinds.len()
    }
}

/// `None` if nobody knows what is usual.
pub(super) fn percent_of(read: u64, usual: u64) -> Option<u64> {
    read.saturating_mul(100).checked_div(usual)
}

/// The middle one by time, the upper one of two; what was read is the middle of that by itself.
pub(super) fn median(took: impl Iterator<Item = Took>) -> Option<Took> {
    let (mut ms, mut read): (Vec<u64>, Vec<u64>) = took.map(|took| (took.ms, took.read)).unzip();
    if ms.is_empty() {
        return None;
    }
    let at = ms.len() / 2;
    Some(Took { ms: *ms.select_nth_unstable(at).1, read: *read.select_nth_unstable(at).1 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(ms: u64, read: u64) -> Took {
        Took { ms, read }
    }

    #[test]
    fn one_odd_run_among_many_changes_nothing() {
        let mut history = History::default();
        let kind = OpId(1);
        assert_eq!(history.usual(kind), None);
        for ms in [100, 100, 900, 100, 110] {
            history.note(kind, &[(0, took(ms, 10)), (1, took(ms, 10)), (2, took(ms, 40))]);
        }
        assert_eq!(history.usual(kind), Some(took(100, 10)));
        assert_eq!(history.more_percent(kind, 2), 400);
        assert_eq!((history.more_percent(kind, 0), history.more_percent(kind, 9)), (100, 100));
        // A load that stays is what is usual soon.
        (0..limits::HISTORY_RUNS).for_each(|_| history.note(kind, &[(0, took(900, 0))]));
        assert_eq!(history.usual(kind), Some(took(900, 0)));
        assert_eq!(history.more_percent(kind, 0), 100, "what is not known is taken to be usual");
    }

    #[test]
    fn kinds_are_bounded_and_the_longest_unseen_goes() {
        let mut history = History::default();
        for kind in 0..=limits::HISTORY_KINDS_MAX as u64 {
            history.note(OpId(0), &[(0, took(5, 0))]);
            history.note(OpId(kind), &[(0, took(5, 0))]);
        }
        assert_eq!(history.len(), limits::HISTORY_KINDS_MAX);
        assert_eq!((history.usual(OpId(0)), history.usual(OpId(1))), (Some(took(5, 0)), None));
    }
}
