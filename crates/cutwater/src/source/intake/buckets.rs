//! Records between their arrival and their interval.

use std::{collections::BTreeMap, time::Duration};

use cutwater_core::{Time, limits};

use super::{Bounds, Mark};
use crate::{
    Record,
    source::{Malformed, dating::TimeOf},
};

/// How a source puts records into the intervals in which they happened.
pub(crate) struct Calendar<T> {
    time_of: Box<TimeOf<T>>,
    /// A record in a form that people can read.
    text_of: Box<dyn Fn(&T) -> Vec<u8> + Send + Sync>,
    interval: Duration,
    slack: Duration,
}

impl<T> Calendar<T> {
    pub fn new(time_of: Box<TimeOf<T>>, interval: Duration, slack: Duration) -> Self
    where
        T: Record,
    {
        let text_of = Box::new(|record: &T| serde_json::to_vec(record).unwrap_or_default());
        Self { time_of, text_of, interval, slack }
    }

    /// The label of the interval in which a record happened.
    pub fn label(&self, record: &T) -> Time {
        // Labels are multiples of the interval, and an interval's end is in it.
        Time::from_ms((self.time_of)(record).as_ms().saturating_sub(1)).next_multiple(self.interval)
    }

    /// How many intervals' records there may be at a time: while an interval waits for its slack, those
    /// of the next ones arrive.
    fn intervals_held(&self) -> usize {
        let intervals = self.slack.as_millis().div_ceil(self.interval.as_millis().max(1));
        1 + usize::try_from(intervals).unwrap_or(usize::MAX - 1)
    }
}

/// The records of an interval so far.
pub(super) struct Bucket<T> {
    pub records: Vec<T>,
    pub bytes: usize,
    /// Where the first of them was read.
    first: Option<Mark>,
}

impl<T> Default for Bucket<T> {
    fn default() -> Self {
        Self { records: Vec::new(), bytes: 0, first: None }
    }
}

/// Records by the interval they are for.
///
/// Properties:
/// - what arrives without a calendar is for the next interval, and so is what is late: what happened
///   in an interval that was cut already;
/// - no interval has more than an interval may hold, nor all together more than so many intervals as
///   pass while one waits for its slack. Before the first cut nobody knows which is the next, and all
///   together are no more than one.
pub(super) struct Buckets<T> {
    /// Those of the next interval.
    pub next: Bucket<T>,
    later: BTreeMap<Time, Bucket<T>>,
    later_records: usize,
    later_bytes: usize,
    /// The label of the next interval, once there was one.
    label: Option<Time>,
    late: u64,
}

impl<T> Default for Buckets<T> {
    fn default() -> Self {
        let (later, late) = Default::default();
        Self { next: Bucket::default(), later, later_records: 0, later_bytes: 0, label: None, late }
    }
}

impl<T> Buckets<T> {
    /// Whether it is for an interval after the next.
    fn is_later(&self, label: Option<Time>) -> Option<Time> {
        label.filter(|label| self.label.is_none_or(|next| *label > next))
    }

    pub fn put(&mut self, label: Option<Time>, record: T, bytes: usize, read_at: Option<Mark>) {
        let bucket = match self.is_later(label) {
            Some(label) => {
                self.later_records += 1;
                self.later_bytes += bytes;
                self.later.entry(label).or_default()
            }
            None => {
                self.late += u64::from(label < self.label && label.is_some());
                &mut self.next
            }
        };
        bucket.records.push(record);
        bucket.bytes += bytes;
        bucket.first = bucket.first.or(read_at);
    }

    /// Where the first of all was read.
    pub fn first(&self) -> Option<Mark> {
        self.later.values().chain([&self.next]).filter_map(|bucket| bucket.first).min()
    }

    /// Whether there is no room for a record; `malformed` ones take room in the next interval.
    pub fn is_full(
        &self,
        label: Option<Time>,
        malformed: usize,
        bounds: Bounds,
        calendar: Option<&Calendar<T>>,
    ) -> bool {
        let Bounds { records_max, bytes_max } = bounds;
        let reaches = |records: usize, bytes: usize, times: usize| {
            records >= records_max.saturating_mul(times) || bytes >= bytes_max.saturating_mul(times)
        };
        let next = (self.next.records.len() + malformed, self.next.bytes);
        let own = match self.is_later(label) {
            Some(label) => self.later.get(&label).map_or((0, 0), |b| (b.records.len(), b.bytes)),
            None => next,
        };
        let held = match (calendar, self.label) {
            (Some(calendar), Some(_)) => calendar.intervals_held(),
            _ => 1,
        };
        reaches(own.0, own.1, 1) || reaches(next.0 + self.later_records, next.1 + self.later_bytes, held)
    }

    /// Takes out the records of interval (from, to], with how many of them are late.
    pub fn cut(&mut self, from: Time, to: Time) -> (Bucket<T>, u64) {
        let mut cut = std::mem::take(&mut self.next);
        let mut late = std::mem::take(&mut self.late);
        // In the first interval there may be some of those before it.
        while let Some(label) = self.later.keys().next().copied().filter(|label| *label <= to) {
            let mut bucket = self.take(label);
            late += if label <= from { bucket.records.len() as u64 } else { 0 };
            cut.records.append(&mut bucket.records);
            cut.bytes += bucket.bytes;
        }
        let next = to + to.since(from);
        self.next = self.take(next);
        self.label = Some(next);
        (cut, late)
    }

    /// Takes out what happened so long after `to` that its clock must be wrong: it would be held for as
    /// long.
    pub fn too_far_ahead(&mut self, to: Time, calendar: &Calendar<T>) -> Vec<Malformed> {
        let horizon = to + calendar.slack + Duration::from_millis(limits::EVENT_AHEAD_MS_MAX);
        let mut ahead = Vec::new();
        while let Some(label) = self.later.keys().next_back().copied().filter(|label| *label > horizon) {
            ahead.extend(self.take(label).records.iter().map(|record| Malformed {
                bytes: (calendar.text_of)(record),
                place: "what was received".to_owned(),
                offset: 0,
                error: format!(
                    "it happened at {}, more than a minute after it arrived; is the clock of its sender right?",
                    (calendar.time_of)(record)
                ),
            }));
        }
        ahead
    }

    pub fn is_empty(&self) -> bool {
        self.next.records.is_empty() && self.later_records == 0
    }

    pub fn len(&self) -> usize {
        self.next.records.len() + self.later_records
    }

    fn take(&mut self, label: Time) -> Bucket<T> {
        let bucket = self.later.remove(&label).unwrap_or_default();
        self.later_records -= bucket.records.len();
        self.later_bytes -= bucket.bytes;
        bucket
    }
}
