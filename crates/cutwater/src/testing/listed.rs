use std::{collections::VecDeque, sync::Arc};

use cutwater_core::Time;

use crate::{
    Error, Record,
    rdd::{held, slices},
    runtime::Engine,
    source::{Input, Taken},
    stream::StreamNode,
    task::OperatorSpec,
};

/// A source whose intervals are listed: records, or `None` for no dataset at all. When the list has
/// ended, intervals are empty.
pub(super) struct Listed<T> {
    pub intervals: VecDeque<Option<Vec<T>>>,
    pub partitions: u32,
    pub stream: Arc<StreamNode<T>>,
    pub engine: Arc<Engine>,
    pub spec: OperatorSpec<T>,
    pub source: u32,
    pub sequence: u64,
}

impl<T: Record> Listed<T> {
    fn put(&mut self, time: Time, records: Vec<T>) {
        let slices = slices(records, self.partitions);
        let rdd = held(&self.engine, &self.spec, self.source, self.sequence, slices);
        self.sequence += u64::from(self.partitions);
        self.stream.put(time, Some(rdd));
    }
}

impl<T: Record> Input for Listed<T> {
    fn name(&self) -> &str {
        "listed"
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        let Some(records) = self.intervals.pop_front().unwrap_or_else(|| Some(Vec::new())) else {
            self.stream.put(to, None);
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

    fn stop(&mut self) {}
}
