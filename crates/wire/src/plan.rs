//! Stages on the wire. What is the same in every interval travels once, as a template; an interval only
//! fills in the names of its datasets and what its sources read.

use std::{collections::HashMap, sync::Arc};

use cutwater_core::{Dataset, DatasetId, OpId, Parent, PartitionMap, Shape, Split, Stage, StageId};
use serde::{Deserialize, Serialize};

/// An operator: code of the executable, and the values handed to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorDef {
    /// Its name in the run.
    pub id: OpId,
    /// What people call it.
    pub label: Arc<str>,
    /// Where its code is, relative to a place that every process of the executable knows.
    pub code: i64,
    /// Tells its type from all others of the executable.
    pub type_hash: u64,
    /// The values, encoded.
    pub values: Arc<[u8]>,
}

/// A stage without names: datasets are meant by their place in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Template {
    /// Parents before children; the last is what the stage is run for.
    pub datasets: Vec<TemplateDataset>,
    /// How many partitions each of the shuffles has from which the stage reads.
    pub shuffles: Vec<u32>,
}

/// A dataset of a template.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TemplateDataset {
    /// What makes it.
    pub op: OpId,
    /// What people call it, if not what they call the operator.
    pub label: Option<Arc<str>>,
    /// How many partitions it has.
    pub partitions: u32,
    /// What it is made from.
    pub parents: Vec<TemplateParent>,
    /// What one task leaves behind.
    pub shape: Shape,
    /// Whether it is stored.
    pub keep: bool,
}

/// An edge of a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum TemplateParent {
    /// To the dataset at that place of the template.
    Narrow(u32, PartitionMap),
    /// To the shuffle at that place.
    Shuffle(u32),
    /// To a dataset that the stage no longer contains, since it was cut off.
    Gone,
}

/// A stage of one interval: a template with names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageDef {
    /// The stage.
    pub id: StageId,
    /// Which template it fills in.
    pub template: u32,
    /// The names of the template's datasets.
    pub datasets: Vec<DatasetId>,
    /// The names of its shuffles.
    pub shuffles: Vec<DatasetId>,
    /// What its sources read, by their place in the template.
    pub splits: Vec<(u32, Arc<[Split]>)>,
}

impl Template {
    /// Whether no dataset is made from itself, over however many others. What is held may stand before the datasets
    /// that it was made from, so their order alone does not tell.
    pub fn is_acyclic(&self) -> bool {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Above,
            Done,
        }
        let mut seen = vec![Seen::Not; self.datasets.len()];
        // Datasets with the parent that is to be looked at next: a chain of states would be too deep for calls.
        let mut stack = Vec::new();
        for root in 0..self.datasets.len() {
            if seen[root] == Seen::Not {
                seen[root] = Seen::Above;
                stack.push((root, 0));
            }
            while let Some((at, next)) = stack.pop() {
                let Some(parent) = self.datasets[at].parents.get(next) else {
                    seen[at] = Seen::Done;
                    continue;
                };
                stack.push((at, next + 1));
                let TemplateParent::Narrow(parent, _) = *parent else { continue };
                let parent = parent as usize;
                match seen.get(parent) {
                    Some(Seen::Above) => return false,
                    Some(Seen::Not) => {
                        seen[parent] = Seen::Above;
                        stack.push((parent, 0));
                    }
                    Some(Seen::Done) | None => {}
                }
            }
        }
        true
    }

    /// The template that `stage` fills in, given the partitions of a shuffle.
    ///
    /// ```
    /// # use std::{collections::HashMap, sync::Arc};
    /// use cutwater_core::{Dataset, DatasetId, OpId, Parent, PartitionMap, Shape, Stage};
    /// use cutwater_wire::plan::Template;
    ///
    /// // The same two datasets in two intervals, under other names.
    /// let interval = |first: u64| {
    ///     let dataset = |id, op, parents| Arc::new(Dataset {
    ///         id: DatasetId(id), op: OpId(op), partitions: 4, parents, splits: [].into(),
    ///         shape: Shape::Records, keep: false, label: "map".into(),
    ///     });
    ///     let parent = Parent::Narrow { dataset: DatasetId(first), map: PartitionMap::Same };
    ///     let datasets = [dataset(first, 0, vec![]), dataset(first + 1, 1, vec![parent])];
    ///     let lineage = HashMap::from(datasets.map(|dataset| (dataset.id, dataset)));
    ///     Stage::cut(&lineage, DatasetId(first + 1), |_| false).unwrap()
    /// };
    /// let template = |stage| Template::of(&stage, |_| 0, |_| None);
    /// assert_eq!(template(interval(10)), template(interval(20)));
    /// ```
    pub fn of(
        stage: &Stage,
        partitions: impl Fn(DatasetId) -> u32,
        label: impl Fn(&Dataset) -> Option<Arc<str>>,
    ) -> Self {
        // Looked up by name, since a stage over a long window has hundreds of datasets.
        let datasets: HashMap<_, _> = (0..).zip(&stage.datasets).map(|(at, d)| (d.id, at)).collect();
        let shuffles: HashMap<_, _> = (0..).zip(&stage.shuffles).map(|(at, id)| (*id, at)).collect();
        let parent = |parent: &Parent| match parent {
            Parent::Narrow { dataset, map } => {
                datasets.get(dataset).map(|at| TemplateParent::Narrow(*at, *map))
            }
            Parent::Shuffle { dataset } => shuffles.get(dataset).map(|at| TemplateParent::Shuffle(*at)),
        };
        let dataset = |dataset: &Arc<Dataset>| TemplateDataset {
            op: dataset.op,
            label: label(dataset),
            partitions: dataset.partitions,
            parents: dataset
                .parents
                .iter()
                .map(|edge| parent(edge).unwrap_or(TemplateParent::Gone))
                .collect(),
            shape: dataset.shape,
            keep: dataset.keep,
        };
        Self {
            datasets: stage.datasets.iter().map(dataset).collect(),
            shuffles: stage.shuffles.iter().map(|id| partitions(*id)).collect(),
        }
    }
}
