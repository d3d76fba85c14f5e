use std::ops::ControlFlow;

use cutwater_core::{BlockId, Dataset, Parent, Split, TaskError, Time};
use serde::de::DeserializeOwned;

use super::{
    AnyOperator, Emit, Flow, LENT_RECORDS, LendKeys, Look, Stop, TaskRun, blame,
    flow::or_stop,
    plan::{Finding, Step},
};
use crate::{Record, block::Block, shared::Contribution};

/// What one side of a shuffle writes for one partition of the other.
pub(crate) trait Piece: Record {
    /// How many records it is.
    fn records(&self) -> u64;
}

impl<T: Record> Piece for Vec<T> {
    fn records(&self) -> u64 {
        self.len() as u64
    }
}

/// A count.
impl Piece for u64 {
    fn records(&self) -> u64 {
        1
    }
}

/// The newest time of a partition.
impl Piece for Option<Time> {
    fn records(&self) -> u64 {
        1
    }
}

/// One dataset within a running task: what an operator sees of the world.
///
/// It reads parents' partitions, pieces of a shuffle and received blocks, and calls the program's
/// functions in the operator's name. It lives as long as the task, on its compute thread.
#[derive(Clone, Copy)]
pub(crate) struct Node<'a> {
    pub(super) run: &'a TaskRun<'a>,
    pub(super) step: &'a Step,
}

impl<'a> Node<'a> {
    /// What people call the operator.
    pub fn label(&self) -> &'a str {
        &self.dataset().label
    }

    /// Runs a function of the program; if it panics, this operator is named.
    #[inline(always)]
    pub fn call<R>(&self, function: impl FnOnce() -> R) -> R {
        blame::in_the_name_of(self.label(), function)
    }

    /// How many partitions the dataset has.
    pub fn partitions(&self) -> u32 {
        self.dataset().partitions
    }

    /// For a source: what `partition` reads.
    pub fn split(&self, partition: u32) -> ControlFlow<Stop, &'a Split> {
        or_stop(
            self.dataset()
                .splits
                .get(partition as usize)
                .ok_or_else(|| TaskError::Internal(format!("{} has no split {partition}", self.label()))),
        )
    }

    /// For an operator that has to know its interval: what was fixed when the dataset was described.
    pub fn interval<I: DeserializeOwned>(&self, partition: u32) -> ControlFlow<Stop, I> {
        or_stop(postcard::from_bytes(&self.split(partition)?.place).map_err(|error| {
            TaskError::Internal(format!("{} does not know its interval: {error}", self.label()))
        }))
    }

    /// Every record of `partition` of the narrow parent number `parent` (of all the partitions it
    /// is made from, in order).
    #[inline]
    pub fn each<A: Record>(&self, parent: usize, partition: u32, emit: &mut Emit<'_, A>) -> Flow {
        let (parent, map) = self.narrow(parent)?;
        for p in map.of(partition, parent.partitions()) {
            parent.produce(p, emit)?;
        }
        Flow::Continue(())
    }

    /// The same for an operator that only looks at the records.
    pub fn lent<A: Record>(&self, parent: usize, partition: u32, look: &mut Look<'_, A>) -> Flow {
        let (parent, map) = self.narrow(parent)?;
        for p in map.of(partition, parent.partitions()) {
            parent.lend(p, look)?;
        }
        Flow::Continue(())
    }

    /// Whether it is cheaper to have the records of the narrow parent number `parent` lent than to have
    /// them, as it is where they lie in memory.
    pub fn lends(&self, parent: usize) -> bool {
        let ControlFlow::Continue((parent, _)) = self.narrow(parent) else { return false };
        parent.dataset().keep || parent.operator().is_ok_and(|operator| operator.lends(parent))
    }

    /// The records of the narrow parent number `parent` as pairs with borrowed keys. Answers `false`,
    /// and gives none, if it does not have them so.
    pub fn lent_keys<V: Record>(
        &self,
        parent: usize,
        partition: u32,
        take: &mut LendKeys<'_, V>,
    ) -> ControlFlow<Stop, bool> {
        let (parent, map) = self.narrow(parent)?;
        if parent.dataset().keep {
            return ControlFlow::Continue(false);
        }
        let operator = or_stop(parent.operator())?;
        for p in map.of(partition, parent.partitions()) {
            match operator.lend_keys(parent, p, take) {
                Some(flow) => flow?,
                None => return ControlFlow::Continue(false),
            }
        }
        ControlFlow::Continue(true)
    }

    /// The only record of a partition, for datasets that have one record a partition (a table of
    /// state). `None` if the parent has no such partition.
    pub fn only<A: Record>(&self, parent: usize, partition: u32) -> ControlFlow<Stop, Option<A>> {
        let mut only = None;
        let flow = self.each(parent, partition, &mut |record| {
            only = Some(record);
            Flow::Continue(())
        });
        flow?;
        ControlFlow::Continue(only)
    }

    /// One block with all records of `partition` of a kept parent, or whatever it takes to make one.
    fn produce<A: Record>(&self, partition: u32, emit: &mut Emit<'_, A>) -> Flow {
        if !self.dataset().keep {
            return or_stop(self.operator())?.run(*self, partition, emit);
        }
        let block = or_stop(self.kept(partition))?;
        for records in or_stop(block.get::<Vec<A>>())?.chunks(LENT_RECORDS) {
            self.go_on(records.len())?;
            records.iter().try_for_each(|record| emit(self.call(|| record.clone())))?;
        }
        Flow::Continue(())
    }

    /// The same to look at.
    fn lend<A: Record>(&self, partition: u32, look: &mut Look<'_, A>) -> Flow {
        if !self.dataset().keep {
            return or_stop(self.operator())?.lend(*self, partition, look);
        }
        let block = or_stop(self.kept(partition))?;
        for records in or_stop(block.get::<Vec<A>>())?.chunks(LENT_RECORDS) {
            self.go_on(records.len())?;
            look(records)?;
        }
        Flow::Continue(())
    }

    /// Goes on with so many more records, unless the task was cancelled meanwhile. Whoever reads records asks
    /// it for every few of them, so that a task that nobody waits for soon gives its slot back.
    #[inline]
    pub fn go_on(&self, records: usize) -> Flow {
        if self.run.is_cancelled() {
            return Flow::Break(TaskError::Cancelled.into());
        }
        self.run.note_read(records as u64);
        Flow::Continue(())
    }

    /// So many records were left of those that were read, for a shuffle.
    pub fn combined(&self, records: usize) {
        self.run.note_combined(records as u64);
    }

    /// The block of a kept partition: the stored one, or else computed now and stored.
    pub(super) fn kept(&self, partition: u32) -> Result<Block, TaskError> {
        let id = BlockId::Partition { dataset: self.dataset().id, partition };
        if let Some(block) = self.run.find(id)? {
            return Ok(block);
        }
        if self.run.is_only_read(self.dataset()) {
            return Err(TaskError::FetchFailed { block: id, worker: self.run.me() });
        }
        let block = self.operator()?.collect(*self, partition)?;
        self.run.store(id, block.clone());
        Ok(block)
    }

    /// What every map partition of the shuffle parent number `parent` has for `partition`, in the
    /// order of the map partitions (D5).
    pub fn pieces<P: Piece>(&self, parent: usize, partition: u32, mut read: impl FnMut(&P) -> Flow) -> Flow {
        let Some(Parent::Shuffle { dataset }) = self.dataset().parents.get(parent) else {
            return self.no_parent(parent, "shuffle");
        };
        for map in 0..or_stop(self.run.map_partitions(*dataset))? {
            let block = self.run.read(BlockId::Piece { dataset: *dataset, map, reduce: partition });
            let block = or_stop(block)?;
            let piece: &P = or_stop(block.get())?;
            self.go_on(piece.records() as usize)?;
            read(piece)?;
        }
        Flow::Continue(())
    }

    /// Every keyed record of `partition` from parent number `parent`, which is either across a
    /// shuffle that [splits by key](crate::shuffle::SplitByKey) or partitioned by key already.
    pub fn keyed<K: crate::Key, V: Record>(
        &self,
        parent: usize,
        partition: u32,
        read: &mut dyn FnMut(K, V) -> Flow,
    ) -> Flow {
        if matches!(self.dataset().parents.get(parent), Some(Parent::Narrow { .. })) {
            return self.each(parent, partition, &mut |(key, value)| read(key, value));
        }
        self.pieces::<Vec<(K, V)>>(parent, partition, |piece| {
            piece.chunks(LENT_RECORDS).try_for_each(|records| {
                // They were counted as read with the piece.
                self.go_on(0)?;
                records.iter().try_for_each(|record| {
                    let (key, value) = self.call(|| record.clone());
                    read(key, value)
                })
            })
        })
    }

    /// The records of the blocks of a source's split, to look at.
    pub fn received<A: Record>(&self, partition: u32, look: &mut Look<'_, A>) -> Flow {
        for id in &self.split(partition)?.blocks {
            let block = or_stop(self.run.read(*id))?;
            for records in or_stop(block.get::<Vec<A>>())?.chunks(LENT_RECORDS) {
                self.go_on(records.len())?;
                look(records)?;
            }
        }
        Flow::Continue(())
    }

    /// The one block of a source's split.
    pub fn received_block<B: Record>(&self, partition: u32, read: impl FnOnce(&B) -> Flow) -> Flow {
        match &*self.split(partition)?.blocks {
            [id] => read(or_stop(or_stop(self.run.read(*id))?.get())?),
            blocks => {
                let message = format!("{} has {} blocks in a split of one", self.label(), blocks.len());
                ControlFlow::Break(TaskError::Internal(message).into())
            }
        }
    }

    /// How many parents there are.
    pub fn parents(&self) -> usize {
        self.dataset().parents.len()
    }

    /// A failure outside the program, in this operator's name.
    pub fn external<T>(&self, message: impl ToString) -> ControlFlow<Stop, T> {
        let error =
            TaskError::External { operator: self.dataset().label.clone(), message: message.to_string() };
        ControlFlow::Break(error.into())
    }

    /// A refusal by the program or by the policy of a source, in this operator's name.
    pub fn refuse<T>(&self, message: impl ToString) -> ControlFlow<Stop, T> {
        let error = TaskError::User { operator: self.dataset().label.clone(), message: message.to_string() };
        ControlFlow::Break(error.into())
    }

    /// Tells the master of something met on the way; it counts once, however often the task runs.
    pub fn report(&self, partition: u32, finding: Finding) {
        self.run.report(self.dataset().id, partition, finding);
    }

    /// Tells the master what `partition` added to accumulators.
    pub(super) fn added(&self, partition: u32, added: Vec<Contribution>) {
        self.run.added(self.dataset().id, partition, added);
    }

    fn narrow(&self, parent: usize) -> ControlFlow<Stop, (Node<'a>, cutwater_core::PartitionMap)> {
        match self.dataset().parents.get(parent) {
            Some(Parent::Narrow { dataset, map }) => {
                ControlFlow::Continue((or_stop(self.run.node(*dataset))?, *map))
            }
            _ => self.no_parent(parent, "narrow"),
        }
    }

    fn no_parent<T>(&self, parent: usize, kind: &str) -> ControlFlow<Stop, T> {
        let message = format!("{} has no {kind} parent number {parent}", self.label());
        ControlFlow::Break(TaskError::Internal(message).into())
    }

    fn operator(&self) -> Result<&'a AnyOperator, TaskError> {
        self.step.spec.operator()
    }

    fn dataset(&self) -> &'a Dataset {
        &self.step.dataset
    }
}
