//! The progress log: which input each interval had, which outputs are done, and which master may say so.
//!
//! The log is a row of entries, each created where none was before: of two masters that try to write the same
//! place one succeeds, and that is all that they have to agree on. A master begins with an entry that claims the log
//! for its epoch. From then on whoever claimed it before finds its next place taken, by a later epoch, and knows that
//! it is over: it has not written anything after that claim and never will.
//!
//! For that to hold a place that was taken stays taken for whoever may still try it. Old entries are removed, but not
//! [claims](Entry::may_be_removed): the next place of a master that was overtaken has the claim of the one after it. And a
//! claim counts only [at the end](Claim::written): there may have been entries after it that were removed since.
//!
//! Beside the log there are states, which any master may write under names of its own. Which of them count, and so what may
//! go, [the log says](News::Held): a master that was overtaken can make none count, and removes none that do.
//!
//! Nothing here reads or writes: who does asks [`Claim`] and [`Writer`] where, and tells them what was found there.

use serde::{Deserialize, Serialize};

use crate::Time;

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Counts the masters that have run the program.
    pub epoch: u64,
    /// How many intervals have ended with all their outputs done, as far as the writer knew.
    pub completed: u64,
    /// What it says.
    pub news: News,
}

impl Entry {
    /// Whether it may be removed when no restart needs the intervals before `number`. A claim never is: a master that was
    /// overtaken may wake at any time, and must find its place taken.
    pub fn may_be_removed(&self, number: u64) -> bool {
        match &self.news {
            News::Claimed => false,
            News::Interval { number: about, .. } | News::SetAside { number: about } => *about < number,
            News::Completed => true,
            // The last that says it stays: it holds nothing that a restart from its newest would not need.
            News::Held { checkpoints } => checkpoints.last().is_none_or(|newest| newest.number + 1 < number),
        }
    }

    /// Whether an entry that cannot be read was never whole, and so nothing depends on it: whoever wrote it went down before
    /// it knew that it was there, and what comes after it, if anything does, is the claim of the next master.
    pub fn is_torn_before(next: Option<&Self>) -> bool {
        next.is_none_or(|next| next.news == News::Claimed)
    }
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum News {
    /// A master begins.
    Claimed,
    /// The input of an interval is this, before any of it is computed.
    Interval {
        /// Counts the intervals of the program from 1.
        number: u64,
        /// Its label.
        time: Time,
        /// What its sources gave, understood by them alone.
        input: Vec<u8>,
    },
    /// An interval has failed and was set aside: for those after it, it had no records.
    SetAside {
        /// Which.
        number: u64,
    },
    /// Nothing but how much is completed.
    Completed,
    /// These checkpoints are held from now on and no others, whatever else is in the store. They are written when it says so,
    /// their intervals are completed, and nothing is removed that one of them needs until it says something else.
    Held {
        /// The oldest first.
        checkpoints: Vec<Checkpoint>,
    },
}

/// The states of the end of an interval, as one master has written them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Of which interval.
    pub number: u64,
    /// By whom.
    pub epoch: u64,
}

/// What became of an entry that was to be created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is there.
    Written,
    /// Its place was taken; the next is to be tried.
    Again,
    /// A later master has claimed the log. This one writes nothing any more.
    Fenced,
}

/// A master's way into the log.
#[derive(Debug)]
pub struct Claim {
    epoch: u64,
    position: u64,
}

impl Claim {
    /// For a master of that epoch, which has read everything before `position`: that is `history`.
    ///
    /// # Errors
    /// It is [fenced](Outcome::Fenced) already. A later master may have claimed the log between the moment at which this one
    /// got its epoch and that at which it read; were it to claim after that, the later one would be over and this one,
    /// which sinks and workers refuse, would be left.
    ///
    /// ```
    /// use cutwater_core::progress::{Claim, Entry, History, News, Outcome};
    ///
    /// let mut history = History::default();
    /// history.take(Entry { epoch: 7, completed: 0, news: News::Claimed });
    /// assert!(Claim::new(8, &history, 1).is_ok());
    /// assert_eq!(Claim::new(6, &history, 1).err(), Some(Outcome::Fenced));
    /// ```
    pub fn new(epoch: u64, history: &History, position: u64) -> Result<Self, Outcome> {
        if history.epoch > epoch {
            return Err(Outcome::Fenced);
        }
        Ok(Self { epoch, position })
    }

    /// Where the claim is to be created now.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What is to be created there, by a master that has read that so many intervals are completed.
    pub fn entry(&self, completed: u64) -> Entry {
        Entry { epoch: self.epoch, completed, news: News::Claimed }
    }

    /// The place was taken, by this: it has to be read like those before it.
    pub fn taken_by(&mut self, found: &Entry) -> Outcome {
        match found.epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => {
                self.position += 1;
                Outcome::Again
            }
            // Its own: an answer that was lost on the way.
            std::cmp::Ordering::Equal => Outcome::Written,
            std::cmp::Ordering::Greater => Outcome::Fenced,
        }
    }

    /// The claim is there, and since then the log was listed: its last entry is at `last`. Nothing if the claim is not at the
    /// end. A master that was slow may have claimed a place that had been taken and was removed since: it has to read the log
    /// anew, and to claim it after that.
    pub fn written(self, last: u64) -> Option<Writer> {
        (last <= self.position).then_some(Writer { epoch: self.epoch, position: self.position + 1 })
    }

    /// The place was taken by something that cannot be read: by a master whose machine went down while it wrote.
    pub fn taken_by_torn(&mut self) {
        self.position += 1;
    }
}

/// The end of the log, as the master writes it that has claimed it.
#[derive(Debug)]
pub struct Writer {
    epoch: u64,
    position: u64,
}

impl Writer {
    /// Where the next entry is to be created.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The master's.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The next entry.
    pub fn entry(&self, completed: u64, news: News) -> Entry {
        Entry { epoch: self.epoch, completed, news }
    }

    /// It is there.
    pub fn written(&mut self) {
        self.position += 1;
    }

    /// The place of the entry was taken by `found`.
    pub fn taken_by(&mut self, entry: &Entry, found: &Entry) -> Outcome {
        if found == entry {
            // The answer was lost, and it was tried again.
            self.written();
            return Outcome::Written;
        }
        Outcome::Fenced
    }
}

/// The input of an interval, as the log has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interval {
    /// The master that has written it.
    pub epoch: u64,
    /// Counts the intervals of the program from 1.
    pub number: u64,
    /// Its label.
    pub time: Time,
    /// What its sources gave.
    pub input: Vec<u8>,
}

/// What the log says, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The input of each interval, the oldest that is still in the log first.
    pub intervals: Vec<Interval>,
    /// Intervals that were set aside.
    pub aside: Vec<u64>,
    /// The checkpoints that are held, the oldest first.
    pub held: Vec<Checkpoint>,
    /// How many intervals are completed; those after it are to be run again.
    pub completed: u64,
    /// The latest epoch.
    pub epoch: u64,
}

impl History {
    /// Takes in the next entry.
    ///
    /// ```
    /// use cutwater_core::{Time, progress::{Entry, History, News}};
    ///
    /// let mut history = History::default();
    /// let interval = News::Interval { number: 1, time: Time::from_ms(1000), input: vec![7] };
    /// history.take(Entry { epoch: 1, completed: 0, news: News::Claimed });
    /// history.take(Entry { epoch: 1, completed: 0, news: interval });
    /// assert_eq!((history.intervals.len(), history.completed), (1, 0)); // it is to be run again
    /// ```
    pub fn take(&mut self, entry: Entry) {
        self.completed = self.completed.max(entry.completed);
        self.epoch = self.epoch.max(entry.epoch);
        match entry.news {
            News::Interval { number, time, input } => {
                self.intervals.push(Interval { epoch: entry.epoch, number, time, input });
            }
            News::SetAside { number } => self.aside.push(number),
            News::Held { checkpoints } => self.held = checkpoints,
            News::Claimed | News::Completed => {}
        }
    }

    /// The last interval whose input is known.
    pub fn last(&self) -> Option<(u64, Time)> {
        self.intervals.last().map(|interval| (interval.number, interval.time))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// A log in memory, as an object store is.
    #[derive(Default)]
    struct Log(BTreeMap<u64, Entry>);

    impl Log {
        fn create(&mut self, position: u64, entry: &Entry) -> Result<(), Entry> {
            match self.0.get(&position) {
                Some(found) => Err(found.clone()),
                None => {
                    self.0.insert(position, entry.clone());
                    Ok(())
                }
            }
        }

        fn claim(&mut self, epoch: u64, from: u64) -> Result<Writer, Outcome> {
            let mut read = History::default();
            self.0.range(..from).for_each(|(_, entry)| read.take(entry.clone()));
            let mut claim = Claim::new(epoch, &read, from)?;
            loop {
                match self.create(claim.position(), &claim.entry(0)) {
                    Ok(()) => {}
                    Err(found) => match claim.taken_by(&found) {
                        Outcome::Again => continue,
                        Outcome::Written => {}
                        Outcome::Fenced => return Err(Outcome::Fenced),
                    },
                }
                let last = self.0.keys().next_back().copied().unwrap_or(0);
                return claim.written(last).ok_or(Outcome::Again);
            }
        }

        fn append(&mut self, writer: &mut Writer, number: u64) -> Outcome {
            let time = Time::from_ms(number as i64);
            let entry = writer.entry(number - 1, News::Interval { number, time, input: Vec::new() });
            match self.create(writer.position(), &entry) {
                Ok(()) => {
                    writer.written();
                    Outcome::Written
                }
                Err(found) => writer.taken_by(&entry, &found),
            }
        }

        /// What a master that needs nothing from before an interval removes.
        fn remove_before(&mut self, number: u64) {
            let newest = self.0.keys().next_back().copied();
            self.0.retain(|position, entry| Some(*position) == newest || !entry.may_be_removed(number));
        }

        fn history(&self) -> History {
            let mut history = History::default();
            self.0.values().cloned().for_each(|entry| history.take(entry));
            history
        }
    }

    #[test]
    fn a_fenced_master_writes_nothing() {
        let mut log = Log::default();
        let mut first = log.claim(1, 0).unwrap();
        assert_eq!(log.append(&mut first, 1), Outcome::Written);
        // The second has read the log before the first wrote once more.
        let read = 2;
        assert_eq!(log.append(&mut first, 2), Outcome::Written);
        let mut second = log.claim(2, read).unwrap();
        assert_eq!(log.append(&mut first, 3), Outcome::Fenced);
        assert_eq!(log.append(&mut second, 3), Outcome::Written);
        // However often it tries.
        assert_eq!(log.append(&mut first, 3), Outcome::Fenced);
        assert_eq!(log.claim(1, read + 1).err(), Some(Outcome::Fenced));
        let numbers: Vec<u64> = log.history().intervals.iter().map(|interval| interval.number).collect();
        assert_eq!((numbers, log.history().completed, log.history().epoch), (vec![1, 2, 3], 2, 2));
    }

    /// It got its epoch, and was slow to begin.
    #[test]
    fn who_has_read_the_claim_of_a_later_one_claims_nothing_after_it() {
        let mut log = Log::default();
        let mut later = log.claim(9, 0).unwrap();
        assert_eq!(log.claim(8, 1).err(), Some(Outcome::Fenced));
        assert_eq!(log.append(&mut later, 1), Outcome::Written);
    }

    /// It was stopped for so long that all it had known of the log was removed.
    #[test]
    fn who_wakes_late_finds_its_place_taken_all_the_same() {
        let mut log = Log::default();
        let mut old = log.claim(1, 0).unwrap();
        assert_eq!(log.append(&mut old, 1), Outcome::Written);
        let mut new = log.claim(2, 2).unwrap();
        for number in 2..9 {
            assert_eq!(log.append(&mut new, number), Outcome::Written);
        }
        log.remove_before(8);
        assert_eq!(log.append(&mut old, 2), Outcome::Fenced);
        assert_eq!(log.history().intervals.len(), 1);
    }

    /// It had read the log, and was stopped before it claimed it.
    #[test]
    fn a_claim_at_a_place_that_was_removed_counts_for_nothing() {
        let mut log = Log::default();
        let mut old = log.claim(1, 0).unwrap();
        for number in 1..9 {
            assert_eq!(log.append(&mut old, number), Outcome::Written);
        }
        log.remove_before(8);
        assert_eq!(log.claim(2, 3).err(), Some(Outcome::Again));
        assert_eq!(log.append(&mut old, 9), Outcome::Written, "nobody has overtaken it");
        assert!(log.claim(2, 10).is_ok());
        assert_eq!(log.append(&mut old, 10), Outcome::Fenced);
    }

    /// What is removed is that of before the oldest that is held, and whoever comes next has to find which are.
    #[test]
    fn which_checkpoints_are_held_stays_in_the_log() {
        let held = |numbers: &[u64]| {
            let checkpoint = |number: &u64| Checkpoint { number: *number, epoch: 1 };
            News::Held { checkpoints: numbers.iter().map(checkpoint).collect() }
        };
        let entry = |news| Entry { epoch: 1, completed: 9, news };
        assert!(!entry(held(&[9])).may_be_removed(10) && !entry(held(&[6, 9])).may_be_removed(7));
        assert!(entry(held(&[4, 6])).may_be_removed(10));
        let mut history = History::default();
        history.take(entry(held(&[4, 6])));
        history.take(entry(held(&[6, 9])));
        assert_eq!(history.held, [6, 9].map(|number| Checkpoint { number, epoch: 1 }));
    }

    #[test]
    fn what_is_torn_is_before_a_claim_or_the_last() {
        let entry = |news| Entry { epoch: 1, completed: 0, news };
        assert!(Entry::is_torn_before(None) && Entry::is_torn_before(Some(&entry(News::Claimed))));
        assert!(
            !Entry::is_torn_before(Some(&entry(News::Completed))),
            "it was read by whoever wrote the next"
        );
    }

    #[test]
    fn a_lost_answer_is_no_loss() {
        let mut log = Log::default();
        let mut claim = Claim::new(1, &History::default(), 0).unwrap();
        log.create(0, &claim.entry(0)).unwrap();
        // Nobody heard that it succeeded, and it is tried again.
        let found = log.create(0, &claim.entry(0)).unwrap_err();
        assert_eq!(claim.taken_by(&found), Outcome::Written);
        let mut writer = claim.written(0).unwrap();
        let entry = writer.entry(0, News::Completed);
        log.create(1, &entry).unwrap();
        let found = log.create(1, &entry).unwrap_err();
        assert_eq!(writer.taken_by(&entry, &found), Outcome::Written);
        assert_eq!(writer.position(), 2);
    }
}
