//! Intervals whose input is fixed, and what is begun of the next one while one is being run.
//!
//! ```text
//!  interval t     cut │ maps │ reduces, outputs │ commit
//!  interval t + 1            │ cut │ maps ······│        │ reduces, outputs │ commit
//! ```

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use cutwater_core::{Time, limits};

use super::{Driver, durable::replay};
use crate::{
    context::{IntervalReport, SourceReport},
    error::Error,
    rdd::DatasetNode,
    source::{Standing, Taken},
    stream::LookAhead,
};

/// An interval whose input is fixed.
pub(super) struct Begun {
    pub report: IntervalReport,
    /// Whether it could be fixed.
    pub cut: Result<(), Error>,
    /// It ran before, with the input that it had.
    pub is_again: bool,
}

impl Driver {
    /// For tests: whether the next interval counts as due while one is being run.
    pub fn overlap(&mut self, on: bool) {
        self.overlaps = on;
    }

    /// Fixes the input of the interval after `from`, which has that number.
    pub(super) fn begin_after(&mut self, from: Time, number: u64) -> Begun {
        let mut report = IntervalReport {
            time: from + self.ctx.interval(),
            number: number + 1,
            sources: Vec::with_capacity(self.graph.inputs.len()),
            event_times: Vec::new(),
            moved_partitions: 0,
            moved_bytes: 0,
            lost_blocks: 0,
            outputs: Vec::with_capacity(self.graph.outputs.len()),
            processing: Duration::ZERO,
            delay: Duration::ZERO,
            failure: None,
        };
        if let Some(known) = self.again.pop_front() {
            replay(&mut self.graph, &known);
            return Begun { report, cut: Ok(()), is_again: true };
        }
        let cut = self.cut(from, &mut report).and_then(|()| self.record(&report));
        Begun { report, cut, is_again: false }
    }

    /// Fixes the input of the interval. All sources are cut even if one fails, so that what they hold
    /// is accounted for.
    fn cut(&mut self, from: Time, report: &mut IntervalReport) -> Result<(), Error> {
        let mut result = Ok(());
        for input in &mut self.graph.inputs {
            let (taken, failed) = match input.cut(from, report.time) {
                Ok(taken) => (taken, Ok(())),
                Err(error) => (Taken::default(), Err(error)),
            };
            let standing = if input.has_ended() && !self.stopped {
                Standing::Ended
            } else if input.is_stalled() || taken.deferred > 0 {
                Standing::Stalled
            } else {
                Standing::Flowing
            };
            report.sources.push(SourceReport { name: input.name().to_owned(), taken, standing });
            result = result.and(failed);
        }
        result
    }

    /// Begins as many intervals after one that is about to be run as are due and may be on their way.
    ///
    /// Nothing of them depends on what becomes of those before: their input is fixed and written down, and what is made of
    /// it is what [follows from it alone](crate::stream::Made::OfItsInterval). Whatever a program sees of an interval it
    /// sees when its turn comes.
    pub(super) fn look_ahead(&mut self, running: &mut IntervalReport) {
        // Asked for first in any case, so that datasets have their names in the same order in every run.
        let mut write_sides = self.write_sides(running.time);
        while 1 + self.begun.len() < limits::INTERVALS_IN_FLIGHT_MAX {
            let last = self.begun.back().map_or(&*running, |begun| &begun.report);
            let (time, number) = (last.time, last.number);
            // Where there is nothing to begin with, records are better left where they are for as long as possible.
            if write_sides.is_empty() || !self.may_begin_after(time, number) {
                return;
            }
            // What workers are given to hold of an interval is no part of the one before.
            running.moved_bytes += self.ctx.engine().take_moved_bytes();
            let mut begun = self.begin_after(time, number);
            begun.report.moved_bytes = self.ctx.engine().take_moved_bytes();
            write_sides = if begun.cut.is_ok() { self.write_sides(begun.report.time) } else { Vec::new() };
            self.begun.push_back(begun);
            if !write_sides.is_empty() {
                DatasetNode::expect(self.ctx.engine(), &write_sides);
            }
        }
    }

    fn may_begin_after(&self, time: Time, number: u64) -> bool {
        self.overlaps
            && self.again.is_empty()
            && self.limit.is_none_or(|limit| number < limit)
            && !self.stopped
            && !self.ctx.stop_flag().is_raised()
            && !self.is_exhausted()
            && self.graph.inputs.iter().all(|input| input.may_be_cut_ahead())
            && self.due_after(time).is_none_or(|due| due <= Instant::now())
    }

    /// What may be made of an interval whose input is fixed before those before it are over.
    fn write_sides(&self, time: Time) -> Vec<Arc<DatasetNode>> {
        let mut ahead = LookAhead::default();
        for output in &self.graph.outputs {
            output.stream.look_ahead(time, &mut ahead);
        }
        // These are asked in every interval, by outputs or when it is over.
        for stream in self.graph.streams.iter().filter(|stream| stream.has_state()) {
            if !stream.remembered().is_zero() {
                stream.look_ahead(time, &mut ahead);
            }
        }
        ahead.into_write_sides()
    }
}
