//! The progress log: which input each interval had, which outputs are done, and which master may say so.
//!
//! The log is a row of entries, each created where none was before: of two masters that try to write the same
//! place one succeeds, and that is all that they have to agree on. A master begins with an entry that claims the log
//! for its epoch. From then on whoever claimed it before finds its next place taken, by a later epoch, and knows that
//! it is over: it has not written anything after that claim and never will.
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
    /// For a master of that epoch, which has read everything before `position`.
    pub fn new(epoch: u64, position: u64) -> Self {
        Self { epoch, position }
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

    /// The claim is there.
    pub fn written(self) -> Writer {
        Writer { epoch: self.epoch, position: self.position + 1 }
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

/// What the log says, all in all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// The input of each interval, the oldest that is still in the log first: number, label, what its sources gave.
    pub intervals: Vec<(u64, Time, Vec<u8>)>,
    /// Intervals that were set aside.
    pub aside: Vec<u64>,
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
            News::Interval { number, time, input } => self.intervals.push((number, time, input)),
            News::SetAside { number } => self.aside.push(number),
            News::Claimed | News::Completed => {}
        }
    }

    /// The last interval whose input is known.
    pub fn last(&self) -> Option<(u64, Time)> {
        self.intervals.last().map(|(number, time, _)| (*number, *time))
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
            let mut claim = Claim::new(epoch, from);
            loop {
                match self.create(claim.position(), &claim.entry(0)) {
                    Ok(()) => return Ok(claim.written()),
                    Err(found) => match claim.taken_by(&found) {
                        Outcome::Again => {}
                        Outcome::Written => return Ok(claim.written()),
                        Outcome::Fenced => return Err(Outcome::Fenced),
                    },
                }
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
        let numbers: Vec<u64> = log.history().intervals.iter().map(|(number, ..)| *number).collect();
        assert_eq!((numbers, log.history().completed, log.history().epoch), (vec![1, 2, 3], 2, 2));
    }

    #[test]
    fn a_lost_answer_is_no_loss() {
        let mut log = Log::default();
        let mut claim = Claim::new(1, 0);
        log.create(0, &claim.entry(0)).unwrap();
        // Nobody heard that it succeeded, and it is tried again.
        let found = log.create(0, &claim.entry(0)).unwrap_err();
        assert_eq!(claim.taken_by(&found), Outcome::Written);
        let mut writer = claim.written();
        let entry = writer.entry(0, News::Completed);
        log.create(1, &entry).unwrap();
        let found = log.create(1, &entry).unwrap_err();
        assert_eq!(writer.taken_by(&entry, &found), Outcome::Written);
        assert_eq!(writer.position(), 2);
    }
}
