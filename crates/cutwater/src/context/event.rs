use std::time::Duration;

use cutwater_core::Time;

use super::{IntervalReport, SourceReport};
use crate::error::Error;

/// What happens while a program runs, for those that [listen](crate::Context::on_event) (`api.md` §10).
///
/// The events of an interval come in the order in which they stand here, and those of one interval after
/// those of the one before.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// The input of an interval is fixed.
    Submitted {
        /// The interval's label.
        time: Time,
        /// What each source gave, in the order of declaration. Of files only what is known before they
        /// are read; the rest is in the report.
        sources: &'a [SourceReport],
    },
    /// It begins to be processed.
    Started {
        /// The interval's label.
        time: Time,
        /// The same as before.
        sources: &'a [SourceReport],
        /// How long after it was due.
        scheduling_delay: Duration,
    },
    /// An output of it begins.
    OutputStarted {
        /// The interval's label.
        time: Time,
        /// Counts the outputs of the program in the order of declaration, from 0.
        id: usize,
        /// The output's operation and place in the program.
        name: &'a str,
    },
    /// An output of it is done, or has failed.
    OutputCompleted {
        /// The interval's label.
        time: Time,
        /// What there is to say about it.
        output: &'a OutputReport,
    },
    /// It is over.
    Completed(&'a IntervalReport),
}

/// What became of an output in an interval.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutputReport {
    /// Counts the outputs of the program in the order of declaration, from 0.
    pub id: usize,
    /// The output's operation and place in the program.
    pub name: String,
    /// How long it took.
    pub processing: Duration,
    /// Whether there was anything to do: a stream need not have a dataset in every interval.
    pub had_work: bool,
    /// Why it failed, if it did.
    pub failure: Option<Error>,
}
