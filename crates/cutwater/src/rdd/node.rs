use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use cutwater_core::{BlockId, Dataset, DatasetId, Event, Parent, PartitionMap, Shape, Split};

use super::Rdd;
use crate::{
    Record,
    block::Block,
    error::Error,
    runtime::{Described, Engine, Urgency},
    task::{AnySpec, OperatorSpec, Step},
};

/// A dataset as the program holds it: the scheduler's description, its operator, and its parents.
///
/// Properties:
/// - it keeps its parents alive, until its lineage is [cut](Self::cut);
/// - it is described to the master with the first job that needs it;
/// - when the last handle is gone, the master is told to forget it, and its blocks go.
pub(crate) struct DatasetNode {
    pub engine: Arc<Engine>,
    pub dataset: Arc<Dataset>,
    pub partitioner: Option<Partitioner>,
    spec: Arc<AnySpec>,
    parents: Mutex<Vec<Arc<DatasetNode>>>,
    /// Itself, or the dataset of which it is the kept copy.
    counts_as: DatasetId,
    /// Blocks that were received for it and go with it.
    inputs: Vec<BlockId>,
    described: AtomicBool,
    /// It was described before any job needed it.
    ahead: AtomicBool,
    /// It has the name of one that a master before has made.
    is_renamed: bool,
}

/// How keyed records are spread over partitions. Datasets that agree are joined in place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Partitioner {
    /// Ranges of key groups.
    KeyGroups { partitions: u32 },
    /// Ranges of keys, drawn from a sample that nobody else has.
    Ranges { sample: u64 },
}

impl DatasetNode {
    pub fn new(
        engine: &Arc<Engine>,
        partitions: u32,
        parents: Vec<(Arc<DatasetNode>, Parent)>,
        spec: &Arc<AnySpec>,
    ) -> Self {
        // Their ids would be taken for each other's.
        assert!(
            parents.iter().all(|(node, _)| Arc::ptr_eq(&node.engine, engine)),
            "{}: datasets of different contexts cannot be brought together; make them in one",
            spec.label
        );
        let (nodes, parents) = parents.into_iter().unzip();
        let dataset = Dataset {
            id: engine.new_dataset(),
            op: spec.id,
            partitions,
            parents,
            splits: Arc::new([]),
            shape: Shape::Records,
            keep: false,
            label: spec.label.clone(),
        };
        Self {
            engine: engine.clone(),
            counts_as: dataset.id,
            dataset: Arc::new(dataset),
            partitioner: None,
            spec: spec.clone(),
            parents: Mutex::new(nodes),
            inputs: Vec::new(),
            described: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            is_renamed: false,
        }
    }

    pub fn narrow(
        engine: &Arc<Engine>,
        partitions: u32,
        parents: Vec<(Arc<DatasetNode>, PartitionMap)>,
        spec: &Arc<AnySpec>,
    ) -> Self {
        let edge = |(node, map): (Arc<Self>, PartitionMap)| {
            let dataset = node.dataset.id;
            (node, Parent::Narrow { dataset, map })
        };
        Self::new(engine, partitions, parents.into_iter().map(edge).collect(), spec)
    }

    /// A dataset with a partition for each split. Received blocks among them are its own and go
    /// when it goes.
    pub fn source(engine: &Arc<Engine>, splits: Vec<Split>, spec: &Arc<AnySpec>) -> Self {
        let mut node = Self::new(engine, u32::try_from(splits.len()).unwrap_or(u32::MAX), Vec::new(), spec);
        node.inputs = splits.iter().flat_map(|split| split.blocks.iter().copied()).collect();
        node.dataset_mut().splits = splits.into();
        node
    }

    /// The same dataset under another name, whose partitions stay once they are computed.
    pub fn kept(&self) -> Self {
        let mut dataset = Dataset::clone(&self.dataset);
        dataset.id = self.engine.new_dataset();
        dataset.keep = true;
        Self {
            engine: self.engine.clone(),
            counts_as: self.counts_as,
            dataset: Arc::new(dataset),
            partitioner: self.partitioner,
            spec: self.spec.clone(),
            parents: Mutex::new(self.parents()),
            inputs: Vec::new(),
            described: AtomicBool::new(false),
            ahead: AtomicBool::new(false),
            is_renamed: false,
        }
    }

    /// Whether it is made of blocks that were received for it.
    pub fn is_received(&self) -> bool {
        !self.inputs.is_empty()
    }

    /// The description, to be completed before anyone else sees it.
    pub fn dataset_mut(&mut self) -> &mut Dataset {
        Arc::make_mut(&mut self.dataset)
    }

    /// The dataset is called so, and workers may hold partitions of it though it was never described. If it is in others
    /// now, nobody is to hold those.
    pub fn rename(&mut self, name: DatasetId, partitions: u32) {
        if partitions != self.dataset.partitions {
            self.release(name, partitions);
        } else if self.dataset.keep {
            self.dataset_mut().id = name;
            self.counts_as = name;
            self.is_renamed = true;
        }
    }

    pub fn of<T: Record>(self, spec: &OperatorSpec<T>) -> Rdd<T> {
        Rdd::new(self, spec)
    }

    pub fn compute(&self) -> Result<Vec<Block>, Error> {
        self.compute_with(Urgency::Now)
    }

    /// Computes it when slots are free that nobody waits for.
    pub fn compute_in_background(&self) -> Result<Vec<Block>, Error> {
        self.compute_with(Urgency::Background)
    }

    fn compute_with(&self, urgency: Urgency) -> Result<Vec<Block>, Error> {
        let submitted =
            self.engine.submit(self.dataset.id, urgency, |described| self.describe(described, false))?;
        self.engine.wait_for(&submitted)
    }

    /// From now on lost partitions are made by `spec` from `splits`, and not from what is behind the dataset,
    /// which may go.
    pub fn replace_lineage(&self, spec: &Arc<AnySpec>, splits: Arc<[Split]>) {
        let dataset = Dataset { op: spec.id, parents: Vec::new(), splits, ..Dataset::clone(&self.dataset) };
        let step = Step { dataset: Arc::new(dataset), counts_as: self.counts_as, spec: spec.clone() };
        self.engine.replace(step);
        // Let go without the lock: the end of a dataset has work to do.
        let parents = std::mem::take(&mut *self.parents.lock().unwrap_or_else(PoisonError::into_inner));
        drop(parents);
    }

    /// Has the write sides of shuffles made while there is nothing else to do, since jobs to come will read them.
    pub fn expect(engine: &Engine, write_sides: &[Arc<Self>]) {
        let targets = write_sides.iter().map(|node| node.dataset.id).collect();
        engine.expect(targets, |described| {
            write_sides.iter().for_each(|node| node.describe(described, true));
        });
    }

    /// Whether all of it was computed and kept.
    pub fn is_stored(&self) -> bool {
        self.dataset.keep && self.engine.is_stored(self.dataset.id, self.dataset.partitions)
    }

    /// Nobody needs what is behind this dataset any longer, if all of it is stored. One without partitions is
    /// stored before it was ever described, and its description names what is behind it.
    pub fn cut_if_stored(&self) {
        if self.described.load(Ordering::Relaxed) && self.is_stored() {
            let parents = std::mem::take(&mut *self.parents.lock().unwrap_or_else(PoisonError::into_inner));
            if !parents.is_empty() {
                self.engine.tell(Event::LineageCut { dataset: self.dataset.id });
            }
        }
    }

    /// Lets the blocks of a kept dataset go; they are made again if somebody asks. After its lineage was
    /// cut they cannot be, so they stay until nothing is made from the dataset any more.
    pub fn unpersist(&self) {
        let cut = !self.dataset.parents.is_empty() && self.parents().is_empty();
        if cut {
            return;
        }
        self.engine.tell(Event::Unpersisted { dataset: self.dataset.id });
    }

    pub fn parents(&self) -> Vec<Arc<Self>> {
        self.parents.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Nobody is to hold partitions of this name, of which no dataset was described.
    fn release(&self, name: DatasetId, partitions: u32) {
        let partition = |partition| BlockId::Partition { dataset: name, partition };
        self.engine.tell(Event::InputsReleased { blocks: (0..partitions).map(partition).collect() });
    }

    /// As the master hears of it, with nothing of what it is made from.
    #[cfg(test)]
    pub fn alone(&self) -> Step {
        let dataset = Dataset { parents: Vec::new(), splits: Default::default(), ..(*self.dataset).clone() };
        Step { dataset: Arc::new(dataset), counts_as: self.counts_as, spec: self.spec.clone() }
    }

    /// Adds everything the master has not heard of, parents first, `ahead` of the jobs that will need it or for one
    /// that does. What has been described has described its parents.
    fn describe(&self, described: &mut Described, ahead: bool) {
        let is_new = !self.described.swap(true, Ordering::Relaxed);
        let is_claimed = !ahead && self.ahead.swap(false, Ordering::Relaxed);
        if is_new || is_claimed {
            for parent in self.parents() {
                parent.describe(described, ahead);
            }
        }
        if is_new {
            self.ahead.store(ahead, Ordering::Relaxed);
            let (dataset, spec) = (self.dataset.clone(), self.spec.clone());
            described.steps.push(Step { dataset, counts_as: self.counts_as, spec });
        }
        if is_claimed {
            described.claimed.push(self.counts_as);
        }
    }
}

/// Relabels a dataset, and those behind it that the same operation made for its own use (the write
/// side of a shuffle).
pub(super) fn relabel(node: &mut Arc<DatasetNode>, own: &str, label: &Arc<str>) {
    let Some(node) = Arc::get_mut(node).filter(|node| *node.dataset.label == *own) else { return };
    node.dataset_mut().label = label.clone();
    for parent in node.parents.get_mut().unwrap_or_else(PoisonError::into_inner) {
        relabel(parent, own, label);
    }
}

impl Drop for DatasetNode {
    fn drop(&mut self) {
        if *self.described.get_mut() {
            self.engine.tell(Event::Forgotten { datasets: vec![self.dataset.id] });
        } else if self.is_renamed {
            self.release(self.dataset.id, self.dataset.partitions);
        }
        if !self.inputs.is_empty() {
            let blocks = std::mem::take(&mut self.inputs);
            self.engine.tell(Event::InputsReleased { blocks });
        }
    }
}
