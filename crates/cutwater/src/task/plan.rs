use std::{cell::RefCell, collections::HashMap, sync::Arc};

use cutwater_core::{BlockId, Dataset, DatasetId, Shape, Stage, Task, TaskError, WorkerId};

use super::{Node, blame, operator::AnySpec};
use crate::block::{Block, BlockStore};

/// What all tasks of a stage share: its datasets, each with its operator.
///
/// Made on the master from a stage, held by every worker that runs tasks of it, gone when the
/// stage is retired.
pub(crate) struct Plan {
    target: DatasetId,
    steps: HashMap<DatasetId, Step>,
    /// How many map partitions each shuffle has from which the stage reads.
    map_partitions: HashMap<DatasetId, u32>,
}

/// A dataset and the operator that computes it.
pub(crate) struct Step {
    pub dataset: Arc<Dataset>,
    pub spec: Arc<AnySpec>,
}

impl Plan {
    /// `step` answers for every dataset of the program that is not forgotten.
    pub fn new<'a>(stage: &Stage, step: impl Fn(DatasetId) -> Option<&'a Step>) -> Result<Self, TaskError> {
        let find = |id| step(id).ok_or_else(|| TaskError::Internal(format!("nobody described {id}")));
        let mut steps = HashMap::with_capacity(stage.datasets.len());
        for dataset in &stage.datasets {
            // The stage's own description counts: its lineage may have been cut since.
            let spec = find(dataset.id)?.spec.clone();
            steps.insert(dataset.id, Step { dataset: dataset.clone(), spec });
        }
        let mut map_partitions = HashMap::with_capacity(stage.shuffles.len());
        for shuffle in &stage.shuffles {
            map_partitions.insert(*shuffle, find(*shuffle)?.dataset.partitions);
        }
        Ok(Self { target: stage.target, steps, map_partitions })
    }
}

/// One attempt while it runs.
pub(crate) struct TaskRun<'a> {
    plan: &'a Plan,
    blocks: &'a BlockStore,
    me: WorkerId,
    task: &'a Task,
    stored: RefCell<Vec<BlockId>>,
    /// Those of them that nobody had stored before.
    first: RefCell<Vec<BlockId>>,
    findings: RefCell<Findings>,
}

/// What an attempt leaves behind.
#[derive(Debug)]
pub(crate) struct Outcome {
    /// Blocks now in the worker's store.
    pub stored: Vec<BlockId>,
    /// The records of the partition, unless the target is the write side of a shuffle.
    pub result: Option<Block>,
    /// What the master should know.
    pub findings: Findings,
}

/// What tasks found, by dataset and partition, so that it can be counted once.
pub(crate) type Findings = Vec<(DatasetId, u32, Finding)>;

/// Something met while computing a partition.
#[derive(Clone, Debug)]
pub(crate) enum Finding {
    /// Records read from a source.
    Read {
        /// How many.
        records: u64,
        /// How many bytes they were.
        bytes: u64,
    },
    /// A record that could not be understood.
    Malformed(crate::source::Malformed),
}

impl<'a> TaskRun<'a> {
    /// Runs `task` to its end on this thread of worker `me`.
    pub fn run(
        plan: &'a Plan,
        blocks: &'a BlockStore,
        me: WorkerId,
        task: &'a Task,
    ) -> Result<Outcome, TaskError> {
        let run = Self {
            plan,
            blocks,
            me,
            task,
            stored: RefCell::default(),
            first: RefCell::default(),
            findings: RefCell::default(),
        };
        let result = blame::catching(|| run.target()).unwrap_or_else(|(operator, message)| {
            Err(match operator {
                Some(operator) => TaskError::User { operator: operator.into(), message },
                None => TaskError::Internal(message),
            })
        });
        if result.is_err() {
            // The scheduler hears of blocks with the end of the attempt that stored them; of these it
            // never will, and nobody would ever let them go.
            blocks.remove(&run.first.into_inner());
        }
        let result = result?;
        Ok(Outcome { stored: run.stored.into_inner(), result, findings: run.findings.into_inner() })
    }

    fn target(&self) -> Result<Option<Block>, TaskError> {
        let (node, partition) = (self.node(self.plan.target)?, self.task.attempt.partition);
        let dataset = &node.step.dataset;
        let Shape::Pieces(reduces) = dataset.shape else {
            return if dataset.keep {
                node.kept(partition).map(Some)
            } else {
                node.step.spec.operator()?.collect(node, partition).map(Some)
            };
        };
        let pieces = node.step.spec.operator()?.pieces(node, partition)?;
        if pieces.len() != reduces as usize {
            return Err(TaskError::Internal(format!(
                "{} made {} pieces for {reduces}",
                node.label(),
                pieces.len()
            )));
        }
        for (reduce, block) in (0..).zip(pieces) {
            self.store(BlockId::Piece { dataset: dataset.id, map: partition, reduce }, block);
        }
        Ok(None)
    }

    pub(super) fn node(&self, dataset: DatasetId) -> Result<Node<'_>, TaskError> {
        let step = self.plan.steps.get(&dataset);
        let step = step.ok_or_else(|| TaskError::Internal(format!("{dataset} is not in its stage")))?;
        Ok(Node { run: self, step })
    }

    pub(super) fn map_partitions(&self, shuffle: DatasetId) -> Result<u32, TaskError> {
        let count = self.plan.map_partitions.get(&shuffle);
        count.copied().ok_or_else(|| TaskError::Internal(format!("shuffle {shuffle} is not in its stage")))
    }

    /// A block that may or may not exist.
    pub(super) fn find(&self, id: BlockId) -> Result<Option<Block>, TaskError> {
        Ok(self.blocks.get(id))
    }

    /// A block that the scheduler said would be there.
    pub(super) fn read(&self, id: BlockId) -> Result<Block, TaskError> {
        self.blocks.get(id).ok_or_else(|| {
            let holder = self.task.remote.iter().find(|(block, _)| *block == id);
            TaskError::FetchFailed { block: id, worker: holder.map_or(self.me, |(_, worker)| *worker) }
        })
    }

    pub(super) fn store(&self, id: BlockId, block: Block) {
        if self.blocks.put(id, block) {
            self.first.borrow_mut().push(id);
        }
        self.stored.borrow_mut().push(id);
    }

    pub(super) fn report(&self, dataset: DatasetId, partition: u32, finding: Finding) {
        self.findings.borrow_mut().push((dataset, partition, finding));
    }
}
