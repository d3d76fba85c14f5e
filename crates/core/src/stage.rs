//! Lineage cut at its shuffles.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use crate::{Dataset, DatasetId, Parent};

/// What lies between shuffles: the datasets that one task computes in one go.
///
/// Properties:
/// - `target` is what the stage is run for: the last of `datasets`;
/// - `datasets` are all that a task of it may have to compute, every dataset after its parents;
/// - `shuffles` are the datasets across the shuffles from which it reads;
/// - `held` are those of `datasets` of which every partition is held by some worker. What is behind them
///   is no part of the stage, however far back it goes: a task reads the block, or reports that it is gone.
///
/// Kept datasets that are not wholly held are computed in place by the tasks that find a block of theirs
/// missing, so what is behind them is part of the stage. A stage is cut anew when something that was held
/// when it was cut has been lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it computes.
    pub target: DatasetId,
    /// Parents before children.
    pub datasets: Vec<Arc<Dataset>>,
    /// Parents across a shuffle, in order of first use, each once.
    pub shuffles: Vec<DatasetId>,
    /// Kept datasets that are read and not computed.
    pub held: HashSet<DatasetId>,
}

impl Stage {
    /// Whether a task of it may have to compute partitions of that dataset.
    pub fn computes(&self, dataset: DatasetId) -> bool {
        self.datasets.iter().any(|known| known.id == dataset) && !self.held.contains(&dataset)
    }

    /// Cuts the stage of `target` out of `lineage`, not going behind what `is_held`. Answers the first
    /// dataset that the lineage lacks, if it lacks one.
    pub fn cut(
        lineage: &HashMap<DatasetId, Arc<Dataset>>,
        target: DatasetId,
        is_held: impl Fn(&Dataset) -> bool,
    ) -> Result<Self, DatasetId> {
        let (datasets, shuffles, held) = Default::default();
        let mut stage = Self { target, datasets, shuffles, held };
        let mut seen = HashSet::new();
        // An explicit stack, since a window over hundreds of intervals or a long chain of states
        // would be too deep for calls. `Some(dataset)` means that its parents are done.
        let mut stack = vec![(target, false)];
        while let Some((id, parents_done)) = stack.pop() {
            let dataset = lineage.get(&id).ok_or(id)?;
            if parents_done {
                stage.datasets.push(dataset.clone());
                continue;
            }
            if !seen.insert(id) {
                continue;
            }
            stack.push((id, true));
            if !dataset.parents.is_empty() && is_held(dataset) {
                stage.held.insert(id);
                continue;
            }
            for parent in dataset.parents.iter().rev() {
                match parent {
                    Parent::Narrow { dataset, .. } => stack.push((*dataset, false)),
                    Parent::Shuffle { dataset } => {
                        if !stage.shuffles.contains(dataset) {
                            stage.shuffles.push(*dataset);
                        }
                    }
                }
            }
        }
        Ok(stage)
    }
}
