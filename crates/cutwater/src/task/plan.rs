use std::{
    cell::{Cell, RefCell},
    collections::{HashMap, HashSet},
    sync::Arc,
};

use cutwater_core::{
    BlockId, Dataset, DatasetId, OpId, Parent, PartitionMap, Shape, Stage, Task, TaskError, Time, WorkerId,
};
use cutwater_wire::plan::{StageDef, Template, TemplateParent};
use serde::{Deserialize, Serialize};

use super::{
    Control, Node, blame,
    operator::AnySpec,
    twice::{Again, Watch},
};
use crate::{
    block::{Block, BlockStore},
    shared::Contribution,
};

/// What all tasks of a stage share: its datasets, each with its operator.
///
/// Made on the master from a stage, held by every worker that runs tasks of it, gone when the
/// stage is retired.
pub(crate) struct Plan {
    target: DatasetId,
    steps: HashMap<DatasetId, Step>,
    /// How many map partitions each shuffle has from which the stage reads.
    map_partitions: HashMap<DatasetId, u32>,
    /// Kept datasets other than the target that tasks may have to compute, parents before children. There
    /// are none unless something was lost.
    rebuilt: Vec<DatasetId>,
}

/// A dataset and the operator that computes it.
pub(crate) struct Step {
    pub dataset: Arc<Dataset>,
    /// The dataset under which what its tasks find is counted: itself, or the one of which it is the kept
    /// copy.
    pub counts_as: DatasetId,
    pub spec: Arc<AnySpec>,
}

impl Plan {
    /// `step` answers for every dataset of the program that is not forgotten.
    pub fn new<'a>(stage: &Stage, step: impl Fn(DatasetId) -> Option<&'a Step>) -> Result<Self, TaskError> {
        let find = |id| step(id).ok_or_else(|| TaskError::Internal(format!("nobody described {id}")));
        let mut steps = HashMap::with_capacity(stage.datasets.len());
        for dataset in &stage.datasets {
            // The stage's own description counts: its lineage may have been cut since.
            let Step { counts_as, spec, .. } = find(dataset.id)?;
            let step = Step { dataset: dataset.clone(), counts_as: *counts_as, spec: spec.clone() };
            steps.insert(dataset.id, step);
        }
        let mut map_partitions = HashMap::with_capacity(stage.shuffles.len());
        for shuffle in &stage.shuffles {
            map_partitions.insert(*shuffle, find(*shuffle)?.dataset.partitions);
        }
        Ok(Self::of(stage.target, stage.datasets.iter().map(|dataset| dataset.id), steps, map_partitions))
    }

    fn of(
        target: DatasetId,
        order: impl Iterator<Item = DatasetId>,
        steps: HashMap<DatasetId, Step>,
        map_partitions: HashMap<DatasetId, u32>,
    ) -> Self {
        let mut plan = Self { target, steps, map_partitions, rebuilt: Vec::new() };
        plan.rebuilt = order.filter(|id| *id != target && plan.may_rebuild(*id)).collect();
        plan
    }

    fn may_rebuild(&self, id: DatasetId) -> bool {
        self.steps.get(&id).is_some_and(|Step { dataset, .. }| {
            dataset.keep && !dataset.parents.is_empty() && !self.is_only_read(dataset)
        })
    }

    /// Whether what `dataset` is made from lies outside the stage, so that it cannot be computed here.
    fn is_only_read(&self, dataset: &Dataset) -> bool {
        dataset.parents.iter().any(|parent| match parent {
            Parent::Narrow { dataset, .. } => !self.steps.contains_key(dataset),
            Parent::Shuffle { dataset } => !self.map_partitions.contains_key(dataset),
        })
    }

    /// What `stage` is when another process runs it: a template, with the operators it refers to.
    pub fn template(&self, stage: &Stage) -> (Template, Vec<Arc<AnySpec>>) {
        let spec = |dataset: &Dataset| self.steps.get(&dataset.id).map(|step| &step.spec);
        let partitions = |shuffle| self.map_partitions.get(&shuffle).copied().unwrap_or(0);
        let label = |dataset: &Dataset| {
            spec(dataset).filter(|spec| spec.label != dataset.label).map(|_| dataset.label.clone())
        };
        let specs = stage.datasets.iter().filter_map(|dataset| spec(dataset).cloned()).collect();
        (Template::of(stage, partitions, label), specs)
    }

    /// Whether no dataset is made from itself, over however many others.
    #[cfg(any(test, feature = "decoders"))]
    pub fn is_acyclic(&self) -> bool {
        let mut left: HashSet<DatasetId> = self.steps.keys().copied().collect();
        let waits = |id: &DatasetId, left: &HashSet<DatasetId>| {
            self.steps[id].dataset.parents.iter().any(|parent| match parent {
                Parent::Narrow { dataset, .. } => left.contains(dataset),
                Parent::Shuffle { .. } => false,
            })
        };
        loop {
            let ready: Vec<DatasetId> = left.iter().filter(|id| !waits(id, &left)).copied().collect();
            if ready.is_empty() {
                return left.is_empty();
            }
            left.retain(|id| !ready.contains(id));
        }
    }

    /// The plan that another process described.
    pub fn arrived(
        def: &StageDef,
        template: &Template,
        operator: impl Fn(OpId) -> Option<Arc<AnySpec>>,
    ) -> Result<Self, TaskError> {
        let missing = |what: &str| TaskError::Internal(format!("{} arrived without {what}", def.id));
        let target = *def.datasets.last().ok_or_else(|| missing("datasets"))?;
        if def.datasets.len() != template.datasets.len() || def.shuffles.len() != template.shuffles.len() {
            return Err(missing("all its names"));
        }
        // Whatever runs it follows parents without looking where it has been.
        if !template.is_acyclic() {
            return Err(missing("an end to its parents"));
        }
        let mut splits: HashMap<u32, _> =
            def.splits.iter().map(|(at, splits)| (*at, splits.clone())).collect();
        let mut steps = HashMap::with_capacity(template.datasets.len());
        for ((at, id), dataset) in (0..).zip(&def.datasets).zip(&template.datasets) {
            let spec = operator(dataset.op).ok_or_else(|| missing("an operator"))?;
            let parent = |parent: &TemplateParent| {
                let name = |names: &[DatasetId], at: u32| {
                    names.get(at as usize).copied().ok_or_else(|| missing("a parent"))
                };
                Ok(match *parent {
                    TemplateParent::Narrow(at, map) => {
                        Parent::Narrow { dataset: name(&def.datasets, at)?, map }
                    }
                    TemplateParent::Shuffle(at) => Parent::Shuffle { dataset: name(&def.shuffles, at)? },
                    // Whoever asks for it is told that it is not in the stage.
                    TemplateParent::Gone => {
                        Parent::Narrow { dataset: DatasetId(u64::MAX), map: PartitionMap::Same }
                    }
                })
            };
            let dataset = Dataset {
                id: *id,
                op: dataset.op,
                partitions: dataset.partitions,
                parents: dataset.parents.iter().map(parent).collect::<Result<_, TaskError>>()?,
                splits: splits.remove(&at).unwrap_or_default(),
                shape: dataset.shape,
                keep: dataset.keep,
                label: dataset.label.clone().unwrap_or_else(|| spec.label.clone()),
            };
            if steps.insert(*id, Step { dataset: Arc::new(dataset), counts_as: *id, spec }).is_some() {
                return Err(missing("a name for each dataset"));
            }
        }
        let map_partitions = def.shuffles.iter().copied().zip(template.shuffles.iter().copied()).collect();
        Ok(Self::of(target, def.datasets.iter().copied(), steps, map_partitions))
    }
}

/// One attempt while it runs.
pub(crate) struct TaskRun<'a> {
    plan: &'a Plan,
    blocks: &'a BlockStore,
    fetched: &'a Fetched,
    me: WorkerId,
    task: &'a Task,
    control: &'a Control,
    /// Records that were read so far, as far as anybody counts them.
    read: Cell<u64>,
    /// How many were left of them when they were combined for a shuffle.
    combined: Cell<u64>,
    stored: RefCell<Vec<BlockId>>,
    /// Those of them that nobody had stored before.
    first: RefCell<Vec<BlockId>>,
    findings: RefCell<Findings>,
    /// Set while tasks are run twice.
    watch: Option<Watch>,
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
    /// Records that it read.
    pub read: u64,
    /// How many were left of them when they were combined for a shuffle.
    pub combined: u64,
    /// Bytes of what was brought from other processes for it.
    pub fetched_bytes: u64,
}

/// Blocks that were brought from other workers for one attempt.
pub(crate) type Fetched = HashMap<BlockId, Block>;

/// What tasks found, by dataset and partition, so that it can be counted once.
pub(crate) type Findings = Vec<(DatasetId, u32, Finding)>;

/// Something met while computing a partition.
#[derive(Clone, Debug, Serialize, Deserialize)]
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
    /// What the partition added to accumulators.
    Added(Vec<Contribution>),
    /// How far an event clock is.
    Watermark {
        /// The clock, by its number in the program.
        clock: usize,
        /// With this interval.
        at: Option<Time>,
    },
    /// Records that came too late for all their windows.
    Late {
        /// The windowed stream, by its number in the program.
        windows: usize,
        /// How many.
        records: u64,
    },
}

impl<'a> TaskRun<'a> {
    /// Runs `task` to its end on this thread of worker `me`; `twice`, if what it gives is to be compared
    /// with what it gives the next time (the debug switch of D5).
    pub fn run(
        plan: &'a Plan,
        blocks: &'a BlockStore,
        fetched: &'a Fetched,
        me: WorkerId,
        task: &'a Task,
        control: &'a Control,
        twice: bool,
    ) -> Result<Outcome, TaskError> {
        let run = Self::new(plan, blocks, fetched, me, task, control, twice.then(Watch::default));
        let result = run.once().and_then(|result| run.is_repeatable().map(|()| result));
        if result.is_err() {
            // The scheduler hears of blocks with the end of the attempt that stored them; of these it
            // never will, and nobody would ever let them go.
            blocks.remove(&run.first.into_inner());
        }
        let result = result?;
        let (stored, findings) = (run.stored.into_inner(), run.findings.into_inner());
        let fetched_bytes = fetched.values().map(Block::arrived_bytes).sum();
        let (read, combined) = (run.read.get(), run.combined.get());
        Ok(Outcome { stored, result, findings, read, combined, fetched_bytes })
    }

    fn new(
        plan: &'a Plan,
        blocks: &'a BlockStore,
        fetched: &'a Fetched,
        me: WorkerId,
        task: &'a Task,
        control: &'a Control,
        watch: Option<Watch>,
    ) -> Self {
        let (read, combined, stored, first, findings) = Default::default();
        Self { plan, blocks, fetched, me, task, control, read, combined, stored, first, findings, watch }
    }

    /// Whether the result does not matter any longer.
    #[inline]
    pub(super) fn is_cancelled(&self) -> bool {
        self.control.is_cancelled()
    }

    /// Counts records that were read.
    pub(super) fn note_read(&self, records: u64) {
        self.read.set(self.read.get() + records);
        self.control.has_read(self.read.get());
    }

    /// Combining has left so many records of those that were read.
    pub(super) fn note_combined(&self, records: u64) {
        self.combined.set(self.combined.get() + records);
    }

    fn once(&self) -> Result<Option<Block>, TaskError> {
        if self.is_cancelled() {
            return Err(TaskError::Cancelled);
        }
        blame::catching(|| self.target()).unwrap_or_else(|(operator, message)| {
            Err(match operator {
                Some(operator) => TaskError::User { operator: operator.into(), message },
                None => TaskError::Internal(message),
            })
        })
    }

    /// Runs the task again, if it is watched, and compares what each operator gave.
    fn is_repeatable(&self) -> Result<(), TaskError> {
        let Some(watch) = &self.watch else { return Ok(()) };
        let again = Watch::again(self.stored.borrow().clone());
        let again =
            Self::new(self.plan, self.blocks, self.fetched, self.me, self.task, self.control, Some(again));
        let blame = |dataset, message| {
            let step = self.plan.steps.get(&dataset);
            let operator = step.map_or_else(|| "an operator".into(), |step| step.dataset.label.clone());
            Err(TaskError::User { operator, message })
        };
        match again.once() {
            Ok(_) => {}
            // A block that was there a moment ago is not, or nobody wants to know: no fault of the program.
            Err(
                error @ (TaskError::FetchFailed { .. } | TaskError::External { .. } | TaskError::Cancelled),
            ) => return Err(error),
            Err(error) => {
                let message = format!("not deterministic: run again on the same input, it failed: {error}");
                return blame(self.plan.target, message);
            }
        }
        match again.watch.and_then(|again| watch.difference(&again)) {
            None => Ok(()),
            Some((dataset, partition)) => blame(
                dataset,
                format!(
                    "not deterministic: run again on the same input, it gave other records for partition {partition}"
                ),
            ),
        }
    }

    /// Computes kept partitions that were lost, the oldest first, so that a long chain of states does not
    /// become as deep a chain of calls.
    fn rebuild(&self) -> Result<(), TaskError> {
        let mut needed: HashSet<(DatasetId, u32)> = HashSet::new();
        let mut stack = vec![(self.plan.target, self.task.attempt.partition)];
        while let Some((id, partition)) = stack.pop() {
            if !needed.insert((id, partition)) {
                continue;
            }
            let Some(step) = self.plan.steps.get(&id) else { continue };
            let block = BlockId::Partition { dataset: id, partition };
            if step.dataset.keep && self.find(block)?.is_some() {
                continue;
            }
            for parent in &step.dataset.parents {
                if let Parent::Narrow { dataset, map } = parent
                    && let Some(parent) = self.plan.steps.get(dataset)
                {
                    let partitions = map.of(partition, parent.dataset.partitions);
                    stack.extend(partitions.map(|partition| (*dataset, partition)));
                }
            }
        }
        for id in &self.plan.rebuilt {
            let node = self.node(*id)?;
            let partitions = (0..node.partitions()).filter(|partition| needed.contains(&(*id, *partition)));
            partitions.map(|partition| node.kept(partition)).try_for_each(|block| block.map(drop))?;
        }
        Ok(())
    }

    fn target(&self) -> Result<Option<Block>, TaskError> {
        if !self.plan.rebuilt.is_empty() {
            self.rebuild()?;
        }
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

    /// Whether a kept partition of `dataset` cannot be computed by this task.
    pub(super) fn is_only_read(&self, dataset: &Dataset) -> bool {
        self.plan.is_only_read(dataset)
    }

    pub(super) fn me(&self) -> WorkerId {
        self.me
    }

    pub(super) fn map_partitions(&self, shuffle: DatasetId) -> Result<u32, TaskError> {
        let count = self.plan.map_partitions.get(&shuffle);
        count.copied().ok_or_else(|| TaskError::Internal(format!("shuffle {shuffle} is not in its stage")))
    }

    /// A block that may or may not exist.
    pub(super) fn find(&self, id: BlockId) -> Result<Option<Block>, TaskError> {
        if let Some(again) = self.again() {
            let own = again.own.borrow().get(&id).cloned();
            if own.is_some() || again.hidden.contains(&id) {
                return Ok(own);
            }
        }
        Ok(self.get(id))
    }

    fn get(&self, id: BlockId) -> Option<Block> {
        self.fetched.get(&id).cloned().or_else(|| self.blocks.get(id))
    }

    /// A block that the scheduler said would be there.
    pub(super) fn read(&self, id: BlockId) -> Result<Block, TaskError> {
        self.get(id).ok_or_else(|| {
            // Pieces from afar were all fetched before the task began.
            let holder = self.task.remote.iter().find(|(block, _)| *block == id);
            TaskError::FetchFailed { block: id, worker: holder.map_or(self.me, |(_, worker)| *worker) }
        })
    }

    pub(super) fn store(&self, id: BlockId, block: Block) {
        if let Some(again) = self.again() {
            again.own.borrow_mut().insert(id, block);
            return;
        }
        if self.blocks.put(id, block) {
            self.first.borrow_mut().push(id);
        }
        self.stored.borrow_mut().push(id);
    }

    /// What was given by operators so far, if anybody wants to know.
    pub(super) fn watch(&self) -> Option<&Watch> {
        self.watch.as_ref()
    }

    fn again(&self) -> Option<&Again> {
        self.watch.as_ref()?.again.as_ref()
    }

    pub(super) fn report(&self, dataset: DatasetId, partition: u32, finding: Finding) {
        if let Finding::Read { records, .. } = &finding {
            self.note_read(*records);
        }
        self.findings.borrow_mut().push((dataset, partition, finding));
    }

    /// A task may compute a partition several times over (`cartesian`); it has added once.
    pub(super) fn added(&self, dataset: DatasetId, partition: u32, added: Vec<Contribution>) {
        let is_same = |(d, p, finding): &(DatasetId, u32, Finding)| {
            (*d, *p) == (dataset, partition) && matches!(finding, Finding::Added(_))
        };
        if !self.findings.borrow().iter().any(is_same) {
            self.report(dataset, partition, Finding::Added(added));
        }
    }
}
