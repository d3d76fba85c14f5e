//! Which intervals count, and how long they took.

use std::time::{Duration, Instant};

use crate::report::Measured;

/// Collects the times of a job's intervals and leaves out the warm-up.
///
/// - The clock of the throughput starts when the last warm-up interval ends and stops when the last interval
///   ends: the sum of processing times would count twice what overlaps.
/// - Told of intervals in the order in which they end, by the one thread that sees them end.
#[derive(Clone, Debug)]
pub struct Intervals {
    warmup_left: u64,
    begin: Instant,
    end: Instant,
    records: u64,
    bytes: u64,
    processing: Vec<Duration>,
    delay: Vec<Duration>,
}

/// One interval that has ended.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ended {
    /// Records that came in.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the start of its first task to the end of its output.
    pub processing: Duration,
    /// From the time at which it was due to the end of its output.
    pub delay: Duration,
}

impl Intervals {
    /// Of a job whose first interval starts at `now`, and whose first `warmup` intervals do not count.
    pub fn new(warmup: u64, now: Instant) -> Self {
        Self {
            warmup_left: warmup,
            begin: now,
            end: now,
            records: 0,
            bytes: 0,
            processing: Vec::new(),
            delay: Vec::new(),
        }
    }

    /// Takes in an interval that ended at `now`.
    pub fn ended(&mut self, interval: Ended, now: Instant) {
        self.end = now;
        if self.warmup_left > 0 {
            self.warmup_left -= 1;
            self.begin = now;
            return;
        }
        self.records += interval.records;
        self.bytes += interval.bytes;
        self.processing.push(interval.processing);
        self.delay.push(interval.delay);
    }

    /// What the report needs. `None` if no interval was left after the warm-up: there is nothing to report.
    pub fn finish(self, result: u64) -> Option<Measured> {
        (!self.processing.is_empty()).then(|| Measured {
            records: self.records,
            bytes: self.bytes,
            elapsed: self.end.duration_since(self.begin),
            processing: self.processing,
            delay: self.delay,
            result,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_warm_up_is_left_out_of_times_and_totals() {
        let start = Instant::now();
        let second = Duration::from_secs;
        let mut intervals = Intervals::new(2, start);
        for n in 1..=5 {
            let interval = Ended { records: 10, bytes: 100, processing: second(n), delay: second(n + 1) };
            intervals.ended(interval, start + second(n));
        }
        let measured = intervals.finish(7).unwrap();
        assert_eq!((measured.records, measured.bytes, measured.result), (30, 300, 7));
        assert_eq!(measured.elapsed, second(3));
        assert_eq!(measured.processing, [second(3), second(4), second(5)]);
        assert_eq!(measured.delay, [second(4), second(5), second(6)]);
    }

    #[test]
    fn nothing_but_warm_up_is_no_measurement() {
        let start = Instant::now();
        let mut intervals = Intervals::new(2, start);
        intervals.ended(Ended::default(), start);
        assert!(intervals.finish(0).is_none());
    }
}
