use std::time::Duration;

use cutwater_core::Time;

use super::OutputReport;
use crate::{
    error::Error,
    source::{Standing, Taken},
};

/// What there is to say about an interval that has ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct IntervalReport {
    /// Its label: the end of the time it covers.
    pub time: Time,
    /// Counts the intervals of this run from 1.
    pub number: u64,
    /// What each source gave, in the order of declaration.
    pub sources: Vec<SourceReport>,
    /// How far event time is in each [windowed](crate::EventStream::window) stream, in the order of
    /// declaration.
    pub event_times: Vec<EventTimeReport>,
    /// What became of each output, in the order of declaration. None was begun if a source failed.
    pub outputs: Vec<OutputReport>,
    /// Partitions of state and of other kept datasets that a task had to read from another worker. In a
    /// steady state there are none: work goes where its state is. When a worker joins or is lost, some move.
    pub moved_partitions: u64,
    /// Bytes of records that went from process to process: what tasks read of shuffles and kept datasets of other
    /// workers, and what the master receives itself and has workers hold. Files that workers read themselves are
    /// none of it, nor is what clients send to workers, nor the results of actions.
    pub moved_bytes: u64,
    /// Blocks of received records, of this interval or of ones before it, that nobody holds any more: the program goes on
    /// [without them](crate::Builder::allow_lost).
    pub lost_blocks: u64,
    /// From when it began until its outputs were done. What was computed of it [before](crate::Builder::overlap) is in
    /// that of the interval before.
    pub processing: Duration,
    /// From when it should have begun until its outputs were done. The same as `processing` where
    /// intervals follow one another without a clock.
    pub delay: Duration,
    /// Why it failed, if it did.
    pub failure: Option<Error>,
}

/// What a source gave to an interval.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SourceReport {
    /// The source.
    pub name: String,
    /// What was taken from it.
    pub taken: Taken,
    /// Whether there is more, and whether anything can come.
    pub standing: Standing,
}

/// How far the event time of a windowed stream is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventTimeReport {
    /// The operation that has the windows, and its place in the program.
    pub name: String,
    /// The watermark with the records of the interval: none from before it are expected. `None` until
    /// there is one; the end of time when all sources have ended.
    pub watermark: Option<Time>,
    /// Records of the interval that came too late for all their windows: those of
    /// [`late`](crate::EventWindows::late).
    pub late: u64,
}

impl IntervalReport {
    /// How long after it was due it began; nothing where intervals follow one another without a clock.
    pub fn scheduling_delay(&self) -> Duration {
        self.delay.saturating_sub(self.processing)
    }

    /// How many outputs had something to do and did it.
    pub fn outputs_done(&self) -> usize {
        self.outputs.iter().filter(|output| output.had_work && output.failure.is_none()).count()
    }

    /// Records of all sources.
    pub fn records(&self) -> u64 {
        self.sources.iter().map(|source| source.taken.records).sum()
    }

    /// Bytes of all sources that know theirs.
    pub fn bytes(&self) -> u64 {
        self.sources.iter().map(|source| source.taken.bytes).sum()
    }

    /// Records that came too late for all windows of a stream, of all windowed streams.
    pub fn late(&self) -> u64 {
        self.event_times.iter().map(|windows| windows.late).sum()
    }

    /// Records of all sources that could not be understood.
    pub fn malformed(&self) -> usize {
        self.sources.iter().map(|source| source.taken.malformed.len()).sum()
    }
}
