use std::sync::Arc;

use cutwater_core::Time;

use crate::{context::EventTimeReport, stream::AnyStream, task::Finding};

/// What tasks found of event time, for the report of each interval.
///
/// It only tells: what tasks go by is in the datasets they read. The driver's thread has it.
pub(super) struct EventTimes {
    /// Streams with windows of event time, each with the number of its clock.
    windows: Vec<(Arc<dyn AnyStream>, usize)>,
    /// Where each clock was when the last interval ended.
    settled: Vec<Option<Time>>,
    clocks: Vec<Option<Time>>,
    late: Vec<u64>,
}

impl EventTimes {
    pub fn new(windows: Vec<(Arc<dyn AnyStream>, usize)>, clocks: usize) -> Self {
        let late = vec![0; windows.len()];
        Self { windows, settled: vec![None; clocks], clocks: vec![None; clocks], late }
    }

    /// Takes a finding that is about event time, and gives others back.
    pub fn take(&mut self, finding: Finding) -> Option<Finding> {
        match finding {
            // It never goes back, so the furthest is the last.
            Finding::Watermark { clock, at } => self.clocks[clock] = self.clocks[clock].max(at),
            Finding::Late { windows, records } => self.late[windows] += records,
            other => return Some(other),
        }
        None
    }

    /// What there is to say of the interval. One that failed had no records for those after it, and so
    /// none that were late.
    pub fn report(&mut self, failed: bool) -> Vec<EventTimeReport> {
        if failed {
            self.clocks.clone_from(&self.settled);
            self.late.fill(0);
        }
        self.settled.clone_from(&self.clocks);
        let windows = self.windows.iter().zip(&mut self.late);
        let report = |((stream, clock), late): (&(Arc<dyn AnyStream>, usize), &mut u64)| EventTimeReport {
            name: stream.label().to_string(),
            watermark: self.settled[*clock],
            late: std::mem::take(late),
        };
        windows.map(report).collect()
    }
}
