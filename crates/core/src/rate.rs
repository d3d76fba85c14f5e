//! How much an interval may take, decided from how fast those before it were processed: back pressure
//! (`api.md` §9).

use std::time::Duration;

use crate::Time;

/// How strongly the rate of a source follows what is observed.
///
/// ```
/// use cutwater_core::rate::Pid;
///
/// let calm = Pid { integral: 0.1, ..Pid::default() };
/// assert_eq!((calm.proportional, calm.derivative, calm.rate_min), (1.0, 0.0, 100.0));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pid {
    /// Of the difference between the last rate and the rate of processing; not negative.
    pub proportional: f64,
    /// Of what piled up, which shows as intervals that begin late; not negative.
    pub integral: f64,
    /// Of the change of that difference; not negative. Makes the rate nervous.
    pub derivative: f64,
    /// The lowest rate, in records a second; above 0.
    pub rate_min: f64,
}

impl Default for Pid {
    /// What is usual: 1, 0.2, 0, and 100 records a second.
    fn default() -> Self {
        Self { proportional: 1.0, integral: 0.2, derivative: 0.0, rate_min: 100.0 }
    }
}

impl Pid {
    /// What is wrong with it, if anything is.
    ///
    /// ```
    /// use cutwater_core::rate::Pid;
    ///
    /// assert_eq!(Pid::default().fault(), None);
    /// assert!(Pid { rate_min: 0.0, ..Pid::default() }.fault().is_some());
    /// ```
    pub fn fault(&self) -> Option<String> {
        let gains = [
            ("proportional", self.proportional),
            ("integral", self.integral),
            ("derivative", self.derivative),
        ];
        let wrong = gains.into_iter().find(|(_, gain)| !(gain.is_finite() && *gain >= 0.0));
        if let Some((name, gain)) = wrong {
            return Some(format!("a {name} gain of {gain} is not a number from 0 on"));
        }
        let rate_min = self.rate_min;
        (!(rate_min.is_finite() && rate_min > 0.0))
            .then(|| format!("a lowest rate of {rate_min} records a second is not above 0"))
    }
}

/// Estimates the rate at which a source's records can be processed, after every interval anew.
///
/// Properties:
/// - the first interval it observes only tells it where it is;
/// - what says nothing changes nothing: intervals without records or duration, and those that ended no
///   later than one seen before.
///
/// ```
/// use std::time::Duration;
/// use cutwater_core::{Time, rate::{Pid, PidRate}};
///
/// let ms = Duration::from_millis;
/// let mut rate = PidRate::new(Pid { integral: 0.0, ..Pid::default() }, ms(20));
/// assert_eq!(rate.observe(Time::from_ms(0), 10, ms(10), ms(0)), None);
/// assert_eq!(rate.observe(Time::from_ms(10), 10, ms(10), ms(0)), Some(1000.0));
/// ```
#[derive(Clone, Debug)]
pub struct PidRate {
    pid: Pid,
    interval: Duration,
    last: Option<Last>,
}

#[derive(Clone, Copy, Debug)]
struct Last {
    time: Time,
    rate: f64,
    error: f64,
}

impl PidRate {
    /// An estimator for intervals of `interval`; `pid` has no [fault](Pid::fault) and the interval is
    /// longer than nothing.
    pub fn new(pid: Pid, interval: Duration) -> Self {
        Self { pid, interval, last: None }
    }

    /// An interval that ended at `time` began `scheduling_delay` late and took `processing` for `records`
    /// records of the source. Answers with the rate from now on, in records a second, if that follows.
    pub fn observe(
        &mut self,
        time: Time,
        records: u64,
        processing: Duration,
        scheduling_delay: Duration,
    ) -> Option<f64> {
        if records == 0 || processing.is_zero() || self.last.is_some_and(|last| time <= last.time) {
            return None;
        }
        // A little is lost beyond 2^53 records, and nothing that matters to a rate.
        let speed = records as f64 / processing.as_secs_f64();
        let Some(last) = self.last else {
            self.last = Some(Last { time, rate: speed, error: 0.0 });
            return None;
        };
        let Pid { proportional, integral, derivative, rate_min } = self.pid;
        let error = last.rate - speed;
        // Records that would have been processed in the time for which the interval had to wait.
        let piled_up = scheduling_delay.as_secs_f64() * speed / self.interval.as_secs_f64();
        let change = (error - last.error) / time.since(last.time).as_secs_f64();
        let rate = last.rate - proportional * error - integral * piled_up - derivative * change;
        let rate = rate.max(rate_min);
        self.last = Some(Last { time, rate, error });
        Some(rate)
    }
}

/// `rate`, but no more than `rate_max`.
///
/// ```
/// assert_eq!(cutwater_core::rate::limited(105.0, Some(100.0)), 100.0);
/// ```
pub fn limited(rate: f64, rate_max: Option<f64>) -> f64 {
    rate_max.map_or(rate, |max| rate.min(max))
}

/// The whole records of an interval at `rate` records a second.
///
/// ```
/// # use std::time::Duration;
/// assert_eq!(cutwater_core::rate::records_in(Duration::from_millis(500), 100.0), 50);
/// ```
pub fn records_in(interval: Duration, rate: f64) -> u64 {
    // Milliseconds are exact where seconds are not; the cast saturates.
    (interval.as_millis() as f64 * rate / 1000.0) as u64
}

/// A partition of a source that is read by offsets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Backlog {
    /// Records that are there and not taken.
    pub records: u64,
    /// The most that are taken, in records a second, if there is a bound.
    pub rate_max: Option<f64>,
}

/// The most records that an interval takes from each partition of a source at `rate` records a second: a
/// share by what is there, within the bound of the partition, and at least `records_min`. `None` if there is
/// nothing to go by, and hence no bound.
///
/// ```
/// # use std::time::Duration;
/// use cutwater_core::rate::{Backlog, partition_records_max};
///
/// let partitions = [300, 100].map(|records| Backlog { records, rate_max: Some(50.0) });
/// let max = partition_records_max(&partitions, Some(100.0), Duration::from_secs(1), 1);
/// assert_eq!(max, Some(vec![50, 25]));
/// ```
pub fn partition_records_max(
    partitions: &[Backlog],
    rate: Option<f64>,
    interval: Duration,
    records_min: u64,
) -> Option<Vec<u64>> {
    let all: u64 = partitions.iter().map(|partition| partition.records).sum();
    let rates: Vec<f64> = match rate.filter(|rate| *rate > 0.0) {
        // Nothing has a share of nothing.
        Some(_) if all == 0 => return None,
        Some(rate) => {
            let share = |of: &Backlog| limited(of.records as f64 / all as f64 * rate, of.rate_max);
            partitions.iter().map(share).collect()
        }
        None => partitions.iter().map(|partition| partition.rate_max.unwrap_or(0.0)).collect(),
    };
    let bounded = rates.iter().sum::<f64>() > 0.0;
    bounded.then(|| rates.into_iter().map(|rate| records_in(interval, rate).max(records_min)).collect())
}
