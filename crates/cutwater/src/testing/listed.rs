use std::collections::VecDeque;

use cutwater_core::{Split, Time};

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
    /// How many intervals were cut.
    pub cut: u64,
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
        self.cut += 1;
        let Some(records) = self.intervals.pop_front().unwrap_or_else(|| Some(Vec::new())) else {
            self.holder.put_none(to);
            return Ok(Taken::default());
        };
        let taken = Taken { records: records.len() as u64, ..Taken::default() };
        self.put(to, records);
        Ok(taken)
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.holder.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.holder.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        self.cut.to_le_bytes().to_vec()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        let cut = <[u8; 8]>::try_from(position).map(u64::from_le_bytes).map_err(Error::internal)?;
        self.intervals.drain(..self.intervals.len().min(cut as usize));
        self.cut = cut;
        Ok(())
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
