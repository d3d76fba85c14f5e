use std::collections::VecDeque;

use cutwater_core::Time;

use crate::{
    Error, Record,
    rdd::slices,
    source::{Holder, Input, Taken},
};

/// A source whose intervals are listed: records, or `None` for no dataset at all. When the list has
/// ended, intervals are empty.
pub(super) struct Listed<T> {
    pub intervals: VecDeque<Option<Vec<T>>>,
    pub partitions: u32,
    pub holder: Holder<T>,
}

impl<T: Record> Listed<T> {
    fn put(&mut self, time: Time, records: Vec<T>) {
        self.holder.put_slices(time, slices(records, self.partitions));
    }
}

impl<T: Record> Input for Listed<T> {
    fn name(&self) -> &str {
        "listed"
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        let Some(records) = self.intervals.pop_front().unwrap_or_else(|| Some(Vec::new())) else {
            self.holder.put_none(to);
            return Ok(Taken::default());
        };
        let taken = Taken { records: records.len() as u64, ..Taken::default() };
        self.put(to, records);
        Ok(taken)
    }

    fn set_aside(&mut self, to: Time) {
        self.put(to, Vec::new());
    }

    fn is_exhausted(&self) -> bool {
        self.intervals.is_empty()
    }

    fn has_ended(&self) -> bool {
        // After the last, intervals are empty.
        false
    }

    fn stop(&mut self) {}
}
