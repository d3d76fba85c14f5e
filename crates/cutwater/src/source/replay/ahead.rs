use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use cutwater_core::Time;

/// A record that was read and is in no interval yet.
pub(super) struct Dated<T> {
    pub record: T,
    pub time: Time,
    pub bytes: u64,
    /// An interval was full without it.
    pub waited: bool,
}

/// Records read ahead of their interval, by interval, and in the order of the files within one.
pub(super) struct Ahead<T> {
    interval: Duration,
    /// By the end of their interval.
    records: BTreeMap<Time, VecDeque<Dated<T>>>,
    len: usize,
    bytes: u64,
    /// The newest time of any record that was read.
    newest: Option<Time>,
}

impl<T> Ahead<T> {
    pub fn new(interval: Duration) -> Self {
        Self { interval, records: BTreeMap::new(), len: 0, bytes: 0, newest: None }
    }

    pub fn put(&mut self, next: Dated<T>) {
        self.newest = self.newest.max(Some(next.time));
        self.len += 1;
        self.bytes += next.bytes;
        // The end of an interval is in it.
        let end = (next.time - Duration::from_millis(1)).next_multiple(self.interval);
        self.records.entry(end).or_default().push_back(next);
    }

    /// Takes out the next record of an interval that ends by `to`.
    pub fn take(&mut self, to: Time) -> Option<Dated<T>> {
        let mut first = self.records.first_entry().filter(|first| *first.key() <= to)?;
        let next = first.get_mut().pop_front();
        if first.get().is_empty() {
            first.remove();
        }
        let next = next?;
        self.len -= 1;
        self.bytes -= next.bytes;
        Some(next)
    }

    /// Counts the records that have to wait, though their interval ends by `to`, for the first time.
    pub fn defer(&mut self, to: Time) -> u64 {
        let due = self.records.range_mut(..=to).flat_map(|(_, records)| records);
        due.map(|record| u64::from(!std::mem::replace(&mut record.waited, true))).sum()
    }

    /// Whether there is a record of an interval that ends by `to`.
    pub fn is_due(&self, to: Time) -> bool {
        self.records.keys().next().is_some_and(|first| *first <= to)
    }

    pub fn newest(&self) -> Option<Time> {
        self.newest
    }

    /// The time of the oldest record here.
    pub fn oldest(&self) -> Option<Time> {
        self.records.values().next()?.iter().map(|record| record.time).min()
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    pub fn clear(&mut self) {
        self.records.clear();
        (self.len, self.bytes) = (0, 0);
    }
}
