use std::sync::Arc;

use cutwater_core::{BlockId, Split, Time};

use crate::{
    Record,
    rdd::{DatasetNode, Held, Rdd, held, slices},
    runtime::Engine,
    stream::StreamNode,
    task::OperatorSpec,
};

/// Makes the records of an interval blocks of this process and gives them to the source's stream.
pub(crate) struct Holder<T> {
    engine: Arc<Engine>,
    spec: OperatorSpec<T>,
    stream: Arc<StreamNode<T>>,
    source: u32,
    sequence: u64,
}

impl<T: Record> Holder<T> {
    pub fn new(engine: &Arc<Engine>, spec: OperatorSpec<T>, stream: &Arc<StreamNode<T>>) -> Self {
        Self {
            engine: engine.clone(),
            spec,
            stream: stream.clone(),
            source: engine.new_source(),
            sequence: engine.first_block(),
        }
    }

    /// How tasks of such a source are called: by its name and the place where it is declared.
    #[track_caller]
    pub fn spec(name: &str) -> OperatorSpec<T> {
        OperatorSpec::new::<Held<T>>(name, &())
    }

    /// The number that is in the names of its blocks.
    pub fn source(&self) -> u32 {
        self.source
    }

    /// Makes `records` the interval's dataset, evenly in as many partitions as tasks run at once. An
    /// interval without records has no partitions, hence no tasks.
    pub fn put(&mut self, time: Time, records: Vec<T>) {
        let parts = u32::try_from(records.len()).unwrap_or(u32::MAX).min(self.engine.parallelism());
        let slices = if parts == 0 { Vec::new() } else { slices(records, parts) };
        self.put_slices(time, slices);
    }

    /// The same with the partitions given.
    pub fn put_slices(&mut self, time: Time, slices: Vec<Vec<T>>) {
        let count = slices.len() as u64;
        let rdd = held(&self.engine, &self.spec, self.source, self.sequence, slices);
        self.sequence += count;
        self.stream.put(time, Some(rdd));
    }

    /// The interval's dataset is one that the program made.
    pub fn put_dataset(&mut self, time: Time, rdd: Rdd<T>) {
        self.stream.put(time, Some(rdd));
    }

    /// What the dataset of an interval is made of.
    pub fn recorded(&self, time: Time) -> Option<Vec<Split>> {
        self.stream.generated(time).map(|rdd| rdd.node().dataset.splits.to_vec())
    }

    /// The interval's dataset is made of blocks that are held already.
    pub fn replay(&mut self, time: Time, splits: Option<Vec<Split>>) {
        for block in splits.iter().flatten().flat_map(|split| &split.blocks) {
            if let BlockId::Input { source, sequence } = block
                && *source == self.source
            {
                self.sequence = self.sequence.max(sequence + 1);
            }
        }
        let rdd =
            splits.map(|splits| DatasetNode::source(&self.engine, splits, &self.spec.any).of(&self.spec));
        self.stream.put(time, rdd);
    }

    /// The interval has no dataset at all.
    pub fn put_none(&mut self, time: Time) {
        self.stream.put(time, None);
    }
}
