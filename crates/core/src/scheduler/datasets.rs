//! The lineage as it is now.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::blocks::Blocks;
use crate::{BlockId, Dataset, DatasetId, Parent, Shape, Stage, TaskError};

/// The datasets that a job may need, and which of them cannot be made again.
#[derive(Debug, Default)]
pub(super) struct Datasets {
    known: HashMap<DatasetId, Arc<Dataset>>,
    /// Their parents were cut off.
    cut: HashSet<DatasetId>,
}

impl Datasets {
    /// Adds datasets, parents before children; those that are known already stay as they are.
    ///
    /// A parent has to be known before its child, so that no lineage ever goes in a circle.
    pub(super) fn add(&mut self, datasets: Vec<Arc<Dataset>>) -> Result<(), TaskError> {
        for dataset in datasets {
            if self.known.contains_key(&dataset.id) {
                continue;
            }
            for parent in &dataset.parents {
                let known = self.get(parent.dataset())?;
                let across_shuffle = matches!(parent, Parent::Shuffle { .. });
                if across_shuffle != is_pieces(known) {
                    let (child, parent) = (dataset.id, known.id);
                    let message = format!("{child} reads {parent} across the wrong kind of edge");
                    return Err(TaskError::Internal(message));
                }
            }
            self.known.insert(dataset.id, dataset);
        }
        Ok(())
    }

    pub(super) fn get(&self, id: DatasetId) -> Result<&Arc<Dataset>, TaskError> {
        self.known.get(&id).ok_or_else(|| unknown(id))
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    pub(super) fn is_cut(&self, id: DatasetId) -> bool {
        self.cut.contains(&id)
    }

    /// The stage of `target` as it is while `blocks` are held.
    pub(super) fn stage(&self, target: DatasetId, blocks: &Blocks) -> Result<Arc<Stage>, TaskError> {
        let is_held = |dataset: &Dataset| {
            dataset.keep && !is_pieces(dataset) && blocks.is_complete(dataset.id, dataset.partitions)
        };
        Stage::cut(&self.known, target, is_held).map(Arc::new).map_err(unknown)
    }

    /// Whether a block that an attempt stored may still be asked for.
    pub(super) fn wants(&self, block: &BlockId) -> bool {
        match block {
            BlockId::Input { .. } => true,
            BlockId::Partition { dataset, .. } => self.known.get(dataset).is_some_and(|dataset| dataset.keep),
            BlockId::Piece { dataset, .. } => self.known.contains_key(dataset),
        }
    }

    /// From now on the dataset is what is held of it, and cannot be made again.
    pub(super) fn cut_off(&mut self, id: DatasetId) {
        if let Some(dataset) = self.known.get_mut(&id) {
            Arc::make_mut(dataset).parents.clear();
            self.cut.insert(id);
        }
    }

    /// From now on a dataset is made in this way. Says whether it is known and made in another until now.
    pub(super) fn replace(&mut self, dataset: Arc<Dataset>) -> bool {
        let Some(known) = self.known.get_mut(&dataset.id) else { return false };
        self.cut.remove(&dataset.id);
        *known = dataset;
        true
    }

    /// From now on partitions of the dataset do not stay on the workers that compute them.
    pub(super) fn stop_keeping(&mut self, id: DatasetId) {
        if let Some(dataset) = self.known.get_mut(&id) {
            Arc::make_mut(dataset).keep = false;
        }
    }

    pub(super) fn remove(&mut self, id: DatasetId) -> Option<Arc<Dataset>> {
        self.cut.remove(&id);
        self.known.remove(&id)
    }

    /// All that the targets are made from, however far behind, and the targets themselves.
    pub(super) fn behind(&self, targets: impl Iterator<Item = DatasetId>) -> HashSet<DatasetId> {
        let mut reached = HashSet::new();
        let mut stack: Vec<DatasetId> = targets.collect();
        while let Some(id) = stack.pop() {
            if reached.insert(id) {
                let parents = self.known.get(&id).into_iter().flat_map(|dataset| &dataset.parents);
                stack.extend(parents.map(Parent::dataset));
            }
        }
        reached
    }
}

/// Whether it is split for a shuffle, so that its tasks leave pieces and no partition.
pub(super) fn is_pieces(dataset: &Dataset) -> bool {
    matches!(dataset.shape, Shape::Pieces(_))
}

fn unknown(id: DatasetId) -> TaskError {
    TaskError::Internal(format!("dataset {id} is needed and is not known"))
}
