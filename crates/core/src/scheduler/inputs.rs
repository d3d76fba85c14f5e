//! What a task reads, found by walking the lineage until something is held.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet, VecDeque},
    ops::{Range, RangeInclusive},
    sync::Arc,
};

use crate::{Attempt, BlockId, DatasetId, Parent, Task, TaskError, WorkerId};

use super::{
    blocks::{Blocks, Unit},
    datasets::{Datasets, is_pieces},
    placement::Weight,
    stage_run::StageRun,
};

/// Why it is not known what a task reads.
#[derive(Debug)]
pub(super) enum Unreadable {
    /// Something that nobody holds who is here, and somebody may who comes back.
    Awaited,
    /// It cannot be.
    Never(TaskError),
}

impl From<TaskError> for Unreadable {
    fn from(error: TaskError) -> Self {
        Self::Never(error)
    }
}

/// What the task for one partition reads.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Received blocks and kept partitions. Each is held by somebody.
    whole: Vec<BlockId>,
    /// The datasets across a shuffle and the reduce partition of which it needs all pieces.
    shuffles: Vec<(DatasetId, u32)>,
    /// Whether the task leaves a kept partition behind.
    keeps: bool,
}

impl Inputs {
    /// What one partition of `target` is made from. It fails if something is needed that nobody holds and nothing can make, or
    /// not yet.
    pub(super) fn of(
        datasets: &Datasets,
        blocks: &Blocks,
        target: DatasetId,
        partition: u32,
    ) -> Result<Self, Unreadable> {
        let mut lost = Vec::new();
        let inputs = Self::walk(datasets, blocks, (target, partition..=partition), &mut lost)?;
        if lost.iter().any(|(_, block)| blocks.is_awaited(Unit::of(block))) {
            return Err(Unreadable::Awaited);
        }
        let Some((operator, _)) = lost.into_iter().next() else { return Ok(inputs) };
        // Who goes on without it had better hear at once of all that the other partitions are without.
        let mut lost = Vec::new();
        let last = datasets.get(target)?.partitions.saturating_sub(1);
        Self::walk(datasets, blocks, (target, 0..=last), &mut lost)?;
        let lost: BTreeSet<BlockId> = lost.into_iter().map(|(_, block)| block).collect();
        Err(TaskError::InputLost { operator, blocks: lost.into_iter().collect() }.into())
    }

    /// Walks from partitions of a dataset along the narrow edges, to whatever is held, is read across a shuffle or comes from
    /// outside. Received blocks that nobody holds are `lost`, each with the operator that reads it.
    fn walk(
        datasets: &Datasets,
        blocks: &Blocks,
        (target, partitions): (DatasetId, RangeInclusive<u32>),
        lost: &mut Vec<(Arc<str>, BlockId)>,
    ) -> Result<Self, TaskError> {
        let mut inputs = Self::default();
        // Two paths to one partition are one computation; without this, a chain of self-joins
        // would be walked once for each of its exponentially many paths.
        let mut seen = HashSet::new();
        let mut unseen: VecDeque<_> = partitions.map(|partition| (target, partition)).collect();
        while let Some((id, partition)) = unseen.pop_front() {
            if !seen.insert((id, partition)) {
                continue;
            }
            let dataset = datasets.get(id)?;
            let block = BlockId::Partition { dataset: id, partition };
            if dataset.keep && !is_pieces(dataset) && blocks.is_held(Unit::of(&block)) {
                inputs.whole.push(block);
                continue;
            }
            inputs.keeps |= dataset.keep;
            if datasets.is_cut(id) {
                let message = format!("block {block} is held by no worker, and its lineage was cut");
                return Err(TaskError::External { operator: dataset.label.clone(), message });
            }
            for block in dataset.splits.get(partition as usize).iter().flat_map(|split| &split.blocks) {
                if blocks.is_held(Unit::of(block)) {
                    inputs.whole.push(*block);
                } else {
                    lost.push((dataset.label.clone(), *block));
                }
            }
            for parent in &dataset.parents {
                match parent {
                    Parent::Narrow { dataset, map } => {
                        let partitions = map.of(partition, datasets.get(*dataset)?.partitions);
                        unseen.extend(partitions.map(|partition| (*dataset, partition)));
                    }
                    Parent::Shuffle { dataset } => inputs.shuffles.push((*dataset, partition)),
                }
            }
        }
        Ok(inputs)
    }

    /// Whether every piece it needs is held by somebody.
    pub(super) fn are_held(&self, datasets: &Datasets, blocks: &Blocks) -> Result<bool, TaskError> {
        for (dataset, _) in &self.shuffles {
            if !blocks.is_complete(*dataset, datasets.get(*dataset)?.partitions) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the task was meant to read that block.
    pub(super) fn contain(&self, block: &BlockId) -> bool {
        match *block {
            BlockId::Piece { dataset, reduce, .. } => self.shuffles.contains(&(dataset, reduce)),
            _ => self.whole.contains(block),
        }
    }

    /// The received blocks and kept partitions that it reads.
    pub(super) fn whole(&self) -> impl Iterator<Item = Unit> {
        self.whole.iter().map(Unit::of)
    }

    /// Whether there is a kept partition among them. State is worth waiting for where it is: whoever else
    /// computes it has to fetch all of it, and has it from then on.
    pub(super) fn has_kept(&self) -> bool {
        self.whole.iter().any(|block| matches!(block, BlockId::Partition { .. }))
    }

    /// The state that the task makes another from: the kept partition that it reads, if it leaves one behind
    /// and reads exactly one. Who reads several, such as those of a window, is best where most of them are.
    pub(super) fn state(&self) -> Option<BlockId> {
        let mut kept = self.whole.iter().filter(|block| matches!(block, BlockId::Partition { .. }));
        kept.next().copied().filter(|_| self.keeps && kept.next().is_none())
    }

    /// How much of it each worker holds. Left out is who cannot hold most.
    ///
    /// Whole blocks come first and pieces decide between equals: a piece is a small part of a
    /// partition, and were it to count as much, the pieces of one interval would pull the state
    /// of all the intervals before them from worker to worker.
    pub(super) fn weights(&self, blocks: &Blocks) -> BTreeMap<WorkerId, Weight> {
        let mut weights = BTreeMap::<WorkerId, Weight>::new();
        for block in &self.whole {
            for worker in blocks.workers(Unit::of(block)) {
                weights.entry(worker).or_default().whole += 1;
            }
        }
        for made in self.shuffles.iter().filter_map(|(dataset, _)| blocks.made(*dataset)) {
            if self.whole.is_empty() {
                for (worker, pieces) in made.by_worker() {
                    weights.entry(*worker).or_default().pieces += pieces;
                }
            } else {
                for (worker, weight) in &mut weights {
                    weight.pieces += made.by_worker().get(worker).copied().unwrap_or(0);
                }
            }
        }
        weights
    }

    /// The datasets across a shuffle that it reads, one as often as it reads partitions of it.
    pub(super) fn shuffles(&self) -> impl Iterator<Item = DatasetId> {
        self.shuffles.iter().map(|(dataset, _)| *dataset)
    }

    /// The partitions that it reads of each of them.
    pub(super) fn reduces(&self) -> impl Iterator<Item = (DatasetId, u32)> {
        self.shuffles.iter().copied()
    }

    /// The task, as it is told to `worker`.
    pub(super) fn task(
        &self,
        attempt: Attempt,
        target: DatasetId,
        worker: WorkerId,
        blocks: &Blocks,
    ) -> Task {
        let mut remote = Vec::new();
        for block in &self.whole {
            remote.extend(blocks.elsewhere(Unit::of(block), worker).map(|holder| (*block, holder)));
        }
        let mut shuffles = self.shuffles.clone();
        shuffles.sort_unstable();
        shuffles.dedup();
        let mut pieces: Vec<(DatasetId, Range<u32>)> = Vec::new();
        for (dataset, reduce) in shuffles {
            match pieces.last_mut() {
                Some((last, reduces)) if *last == dataset && reduces.end == reduce => reduces.end += 1,
                _ => pieces.push((dataset, reduce..reduce + 1)),
            }
        }
        Task { attempt, target, remote, pieces }
    }
}

/// The datasets across a shuffle that tasks still to do need and of which some partition is held
/// by nobody.
pub(super) fn lacking(
    datasets: &Datasets,
    blocks: &Blocks,
    run: &StageRun,
) -> Result<Vec<DatasetId>, Unreadable> {
    // Every task of a shuffle reads from all its map partitions, so it is enough to find one task
    // that needs it; and if all shuffles of the stage are there, no task need be looked at.
    let mut incomplete: Vec<DatasetId> = run.stage.shuffles.clone();
    incomplete.retain(|id| {
        // One that is forgotten is behind a dataset that was cut off since, and is not reached.
        datasets.get(*id).is_ok_and(|dataset| !blocks.is_complete(*id, dataset.partitions))
    });
    let mut lacking = Vec::new();
    for partition in &run.todo {
        if incomplete.is_empty() {
            break;
        }
        let inputs = Inputs::of(datasets, blocks, run.stage.target, *partition)?;
        for (dataset, _) in inputs.shuffles {
            if let Some(at) = incomplete.iter().position(|id| *id == dataset) {
                lacking.push(incomplete.remove(at));
            }
        }
    }
    Ok(lacking)
}
