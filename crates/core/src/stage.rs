//! Lineage cut at its shuffles.

use std::{collections::HashMap, sync::Arc};

use crate::{Dataset, DatasetId, Parent};

/// What lies between shuffles: the datasets that one task computes in one go.
///
/// Properties:
/// - `target` is what the stage is run for: the last of `datasets`;
/// - `datasets` are all that a task of it may have to compute, every dataset after its parents;
/// - `shuffles` are the datasets across the shuffles from which it reads.
///
/// Datasets behind a kept one are part of the stage too: a task whose kept block is gone computes
/// it again in place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What it computes.
    pub target: DatasetId,
    /// Parents before children.
    pub datasets: Vec<Arc<Dataset>>,
    /// Parents across a shuffle, in order of first use, each once.
    pub shuffles: Vec<DatasetId>,
}

impl Stage {
    /// Cuts the stage of `target` out of `lineage`. Answers the first dataset that the lineage
    /// lacks, if it lacks one.
    pub fn cut(lineage: &HashMap<DatasetId, Arc<Dataset>>, target: DatasetId) -> Result<Self, DatasetId> {
        let mut stage = Self { target, datasets: Vec::new(), shuffles: Vec::new() };
        let mut seen = std::collections::HashSet::new();
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
