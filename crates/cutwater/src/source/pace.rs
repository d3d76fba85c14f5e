use std::time::Duration;

use cutwater_core::{
    Time,
    rate::{self, PidRate},
};

use crate::context::Settings;

/// How an interval that ended went, as far as that bears on how much the next ones may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Processed {
    /// When it ended.
    pub ended: Time,
    pub processing: Duration,
    /// How late it began.
    pub scheduling_delay: Duration,
}

/// How many records an interval takes from one received source.
///
/// Properties:
/// - it is bounded from the first interval on;
/// - with back pressure the bound follows the rate at which records are processed, within the highest rate;
/// - it is a function of what it is told: it reads no clock.
///
/// The driver's thread asks it after every interval. If the process dies, it begins from the initial rate.
pub(super) struct Pace {
    interval: Duration,
    records_max: usize,
    rate_max: Option<f64>,
    initial_rate: Option<f64>,
    estimator: Option<PidRate>,
}

impl Pace {
    /// The pace of a source of which an interval takes at most `records_max` records.
    pub fn new(settings: &Settings, records_max: usize) -> Self {
        let Settings { interval, backpressure, pid, initial_rate, max_rate, .. } = settings;
        Self {
            interval: *interval,
            records_max,
            rate_max: *max_rate,
            initial_rate: initial_rate.filter(|_| *backpressure),
            estimator: backpressure.then(|| PidRate::new(*pid, *interval)),
        }
    }

    /// What the first interval takes, and all of them unless there is back pressure.
    pub fn initial(&self) -> usize {
        let rate = self.initial_rate.map(|rate| rate::limited(rate, self.rate_max)).or(self.rate_max);
        rate.map_or(self.records_max, |rate| self.records_at(rate))
    }

    /// What the next one takes if that is something else, after an interval that took `records`.
    pub fn next(
        &mut self,
        records: u64,
        Processed { ended, processing, scheduling_delay }: Processed,
    ) -> Option<usize> {
        let rate = self.estimator.as_mut()?.observe(ended, records, processing, scheduling_delay)?;
        Some(self.records_at(rate::limited(rate, self.rate_max)))
    }

    fn records_at(&self, rate: f64) -> usize {
        let records = usize::try_from(rate::records_in(self.interval, rate)).unwrap_or(usize::MAX);
        // Without any record nothing would ever be observed again.
        records.clamp(1, self.records_max)
    }
}
