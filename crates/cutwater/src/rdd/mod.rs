//! Datasets: `Rdd<T>`, one operation a file.
//!
//! An operation on a dataset computes nothing; it describes another dataset. Actions (`collect`,
//! `count`, …) have one computed and bring an answer back.
//!
//! A file here holds an operation: the operator that computes a partition, and the methods that
//! users call. Whatever is the same for datasets and streams is written once, on
//! [`With`](crate::With).

mod aggregate;
mod aggregate_by_key;
mod binary_file;
mod cache;
mod cartesian;
mod client_records;
mod coalesce;
mod cogroup;
mod cogroup3;
mod cogroup4;
mod collect;
mod collect_as_map;
mod combine_by_key;
mod combine_with;
mod count;
mod count_approx;
mod count_approx_distinct;
mod count_approx_distinct_by_key;
mod count_by_key;
mod count_by_value;
mod distinct;
mod filter;
mod filter_by_range;
mod filter_map;
mod flat_map;
mod flat_map_values;
mod fold;
mod fold_by_key;
mod foreach;
mod foreach_partition;
mod glom;
mod group_by;
mod group_by_key;
mod histogram;
mod intersection;
mod is_empty;
mod join;
mod key_by;
mod keys;
mod lookup;
mod map;
mod map_partitions;
mod map_partitions_with_index;
mod map_values;
mod max;
mod min;
mod node;
mod outer_join;
mod pairs;
mod parallelize;
mod partition_by;
mod persist;
mod pipe;
mod random;
mod random_split;
mod reduce;
mod reduce_by_key;
mod reduce_by_key_locally;
mod refused;
mod repartition;
mod repartition_and_sort;
mod sample;
mod sample_by_key;
mod sample_by_key_exact;
mod save_as_text;
mod saved_records;
mod sketch;
mod sort_by;
mod sort_by_key;
mod stats;
mod subtract;
mod subtract_by_key;
mod sum;
mod take;
mod take_ordered;
mod take_sample;
#[cfg(test)]
mod tests;
mod text_file;
mod to_local_iterator;
mod top;
mod tree_aggregate;
mod tree_reduce;
mod union;
mod values;
mod zip;
mod zip_partitions;
mod zip_partitions3;
mod zip_partitions4;
mod zip_with_index;
mod zip_with_unique_id;

use std::{fmt, sync::Arc};

use cutwater_core::{DatasetId, Parent, PartitionMap, Shape};

pub(crate) use aggregate_by_key::FromZero;
pub(crate) use binary_file::FixedRecords;
pub(crate) use client_records::{ClientJson, ClientLines};
pub(crate) use cogroup::{cogrouping, side};
pub(crate) use combine_by_key::{
    Aggregate, Bare, Combined, Merging, Reduction, Unkeyed, combined_into_one, reduced,
};
pub(crate) use count::Count;
pub use count_approx::Estimate;
pub(crate) use join::joining;
pub(crate) use node::{DatasetNode, Partitioner};
pub(crate) use parallelize::{Held, held, slices};
pub(crate) use partition_by::Gather;
pub(crate) use persist::Packing;
pub use persist::StorageLevel;
pub use stats::Stats;
pub(crate) use text_file::{LineSplit, Lines, is_gzip};
pub(crate) use union::{All, union_of};

use crate::{
    Record,
    block::Block,
    collection::{Collection, With},
    error::Error,
    runtime::Engine,
    task::{Flow, OperatorSpec, Stop},
};

/// An immutable dataset in partitions that remembers how it was made.
///
/// Properties:
/// - it is a description: making one computes nothing, and cloning one is free;
/// - its records are computed when an action asks, once for each action unless it is
///   [cached](Rdd::cache);
/// - every computation of it gives the same records in the same partitions and order;
/// - a lost partition is made again from its parents.
///
/// It lives on the master and may be used from any thread of the program. If the process dies, the
/// program describes it again.
///
/// ```
/// # use cutwater::Context;
/// let ctx = Context::local(2);
/// let squares = ctx.parallelize(1..=4u32).map(|n| n * n);
/// assert_eq!(squares.collect()?, [1, 4, 9, 16]);
/// # Ok::<(), cutwater::Error>(())
/// ```
pub struct Rdd<T> {
    node: Arc<DatasetNode>,
    spec: OperatorSpec<T>,
    /// The dataset that keeps its partitions in another form, if it is [persisted](Rdd::persist) so.
    kept_as: Option<Arc<DatasetNode>>,
}

impl<T> Clone for Rdd<T> {
    fn clone(&self) -> Self {
        Self { node: self.node.clone(), spec: self.spec.clone(), kept_as: self.kept_as.clone() }
    }
}

impl<T> fmt::Debug for Rdd<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let dataset = &self.node.dataset;
        write!(f, "Rdd({}, {} partitions, {})", dataset.id, dataset.partitions, dataset.label)
    }
}

impl<T: Record> Rdd<T> {
    /// How many partitions it has.
    pub fn num_partitions(&self) -> u32 {
        self.node.dataset.partitions
    }

    /// Hands `values` over to the next operation, whose function takes them as its first
    /// parameter. They are serialised and travel to wherever the function runs.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let (from, to) = (3, 6);
    /// let some = ctx.parallelize(0..10).with((from, to)).filter(|(from, to), n| from <= n && n < to);
    /// assert_eq!(some.collect()?, [3, 4, 5]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn with<E: Record>(&self, values: E) -> With<Self, E> {
        With::new(self.clone(), values)
    }

    pub(crate) fn new(node: DatasetNode, spec: &OperatorSpec<T>) -> Self {
        Self { node: Arc::new(node), spec: spec.clone(), kept_as: None }
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.node.engine
    }

    pub(crate) fn node(&self) -> &Arc<DatasetNode> {
        &self.node
    }

    /// How its records are spread by key, if that is known.
    pub(crate) fn partitioner(&self) -> Option<Partitioner> {
        self.node.partitioner
    }

    /// A dataset that computes each partition from the same partition of this one.
    pub(crate) fn narrow<B: Record>(&self, spec: &OperatorSpec<B>) -> Rdd<B> {
        let parents = vec![(self.node.clone(), PartitionMap::Same)];
        DatasetNode::narrow(self.engine(), self.num_partitions(), parents, &spec.any).of(spec)
    }

    /// The same for an operator that leaves every key in the partition where it is.
    pub(crate) fn narrow_in_place<B: Record>(&self, spec: &OperatorSpec<B>) -> Rdd<B> {
        let parents = vec![(self.node.clone(), PartitionMap::Same)];
        let mut node = DatasetNode::narrow(self.engine(), self.num_partitions(), parents, &spec.any);
        node.partitioner = self.node.partitioner;
        node.of(spec)
    }

    /// `spec` over `partitions` partitions of this dataset, from number `from` on.
    pub(crate) fn some_partitions<B: Record>(
        &self,
        from: u32,
        partitions: u32,
        spec: &OperatorSpec<B>,
    ) -> Rdd<B> {
        let parents = vec![(self.node.clone(), PartitionMap::Skip(from))];
        DatasetNode::narrow(self.engine(), partitions, parents, &spec.any).of(spec)
    }

    /// How many partitions a shuffle of this dataset makes unless it is told: as many as the program
    /// [chose](crate::Builder::parallelism), or else, and if it is partitioned by key, as many as there
    /// are (`api.md` §12).
    pub(crate) fn default_partitions(&self) -> u32 {
        let chosen = self.engine().chosen_parallelism();
        // What is partitioned by key already need not move.
        let chosen = chosen.filter(|_| self.partitioner().is_none());
        chosen.unwrap_or(self.num_partitions().max(1))
    }

    /// The same for a shuffle of two datasets: without a choice as many as the larger has.
    pub(crate) fn larger_of<B: Record>(&self, other: &Rdd<B>) -> u32 {
        self.default_partitions().max(other.default_partitions())
    }

    /// The write side of a shuffle into `pieces` partitions: `spec` emits that many pieces for
    /// each partition of this dataset.
    pub(crate) fn pieces<P: Record>(&self, spec: &OperatorSpec<P>, pieces: u32) -> Rdd<P> {
        let parents = vec![(self.node.clone(), PartitionMap::Same)];
        let mut node = DatasetNode::narrow(self.engine(), self.num_partitions(), parents, &spec.any);
        node.dataset_mut().shape = Shape::Pieces(pieces);
        node.of(spec)
    }

    /// The read side of the shuffle that this dataset, made by [`pieces`](Self::pieces), writes.
    pub(crate) fn shuffled<B: Record>(
        &self,
        spec: &OperatorSpec<B>,
        partitioner: Option<Partitioner>,
    ) -> Rdd<B> {
        let Shape::Pieces(partitions) = self.node.dataset.shape else {
            unreachable!("only `pieces` makes what is shuffled")
        };
        let parent = (self.node.clone(), Parent::Shuffle { dataset: self.node.dataset.id });
        let mut node = DatasetNode::new(self.engine(), partitions, vec![parent], &spec.any);
        node.partitioner = partitioner;
        node.of(spec)
    }

    /// Calls an operation that made the dataset under the label `own` by the name that the user gave
    /// it. Has no effect on a dataset that somebody else holds already.
    pub(crate) fn relabel(&mut self, own: &str, label: &Arc<str>) {
        node::relabel(&mut self.node, own, label);
    }

    /// Gives a kept dataset the name under which workers may hold it already, in so many partitions. Has no effect on one
    /// that somebody else holds.
    pub(crate) fn rename(&mut self, name: DatasetId, partitions: u32) {
        if let Some(node) = Arc::get_mut(&mut self.node) {
            node.rename(name, partitions);
        }
    }

    /// Computes every partition: a block of `Vec<T>` for each.
    pub(crate) fn compute(&self) -> Result<Vec<Block>, Error> {
        self.node.compute()
    }

    /// The same when slots are free that nobody waits for.
    pub(crate) fn in_background(&self) -> Result<Vec<Vec<T>>, Error> {
        let blocks = self.node.compute_in_background()?;
        blocks.into_iter().map(|block| block.into_value().map_err(Error::from)).collect()
    }

    /// Computes every partition: its records.
    pub(crate) fn partitions(&self) -> Result<Vec<Vec<T>>, Error> {
        self.compute()?.into_iter().map(|block| block.into_value().map_err(Error::from)).collect()
    }
}

impl<T: Record> Collection for Rdd<T> {
    type Item = T;
    type Of<B: Record> = Rdd<B>;

    fn derive<B: Record>(&self, _: &str, f: impl Fn(&Rdd<T>) -> Rdd<B> + Send + Sync + 'static) -> Rdd<B> {
        f(self)
    }

    fn parallelism(&self) -> u32 {
        self.default_partitions()
    }

    fn key_groups(&self) -> u32 {
        self.engine().key_groups()
    }
}

/// Stops after enough records, without calling that a failure.
pub(crate) fn unless_enough(flow: Flow) -> Flow {
    match flow {
        Flow::Break(Stop::Enough) => Flow::Continue(()),
        other => other,
    }
}
