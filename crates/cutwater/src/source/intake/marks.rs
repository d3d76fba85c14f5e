//! How far a receiver has read of what stays where it is, so that another process can go on there.

use cutwater_core::Time;

/// A place in files that are read one after the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mark {
    /// Counts the files.
    pub file: u64,
    pub offset: u64,
    /// It lies in a line of which the beginning was handed on as too long, and nothing else will be.
    pub inside: bool,
}

/// Where a line begins, and where the next one does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub begins: Mark,
    pub ends: Mark,
}

/// Where reading goes on after an interval that was cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reached {
    pub from: Mark,
    pub passed: Vec<Passed>,
}

/// Lines of which some are in an interval already: before that place, those of intervals up to that time. With event time
/// records of later intervals are held when one is cut, and lines behind the first of them are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    pub before: Mark,
    pub to: Time,
}

/// What an intake knows of it.
#[derive(Debug, Default)]
pub(super) struct Marks {
    reached: Option<Mark>,
    passed: Vec<Passed>,
}

impl Marks {
    pub fn reach(&mut self, mark: Mark) {
        self.reached = Some(mark);
    }

    pub fn go_on(&mut self, passed: Vec<Passed>) {
        self.passed = passed;
    }

    /// Whether a record of the interval `label` that begins there is in an interval already.
    pub fn has(&self, begins: Mark, label: Time) -> bool {
        self.passed.iter().any(|passed| begins < passed.before && label <= passed.to)
    }

    /// The same of a line that is no record: it is said in the interval that is cut next.
    pub fn has_malformed(&self, begins: Mark) -> bool {
        self.passed.iter().any(|passed| begins < passed.before)
    }

    /// An interval was cut; `held` is the first line of which the record is held for a later one.
    pub fn cut(&mut self, to: Time, held: Option<Mark>) -> Option<Reached> {
        let reached = self.reached?;
        self.passed.retain(|passed| passed.before > reached);
        let from = held.map_or(reached, |held| held.min(reached));
        if from < reached {
            self.passed.push(Passed { before: reached, to });
        }
        Some(Reached { from, passed: self.passed.clone() })
    }
}
