//! Streams of state: each dataset is made from the one before and the interval's records, both
//! partitioned by key. What is the same for all operations that keep state is here.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cutwater_core::{Parent as Edge, PartitionMap, Split, Time};
use serde::{Deserialize, Serialize};

use super::{Made, Parent, StateSpec};
use crate::{
    DStream, Error, Key, Record,
    checkpoint::{
        saved::{Incremental, Saving},
        spread::Spread,
    },
    collection::Collection,
    rdd::{DatasetNode, Partitioner, Rdd, side},
    shuffle::split_by_key,
    state::changes::ByKey,
    task::{Flow, Node, OperatorSpec, Stop},
};

/// What differs from one interval's dataset to the next: its time, and which parents it has (in the
/// order of these fields).
///
/// The operator and its values are those of all intervals, so that they travel once; this travels with
/// the dataset, as what a source's partitions read does.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Interval {
    time: Time,
    has_records: bool,
    has_before: bool,
    has_initial: bool,
}

/// What a task finds that computes a partition of such a stream.
pub(super) struct Found<'a> {
    pub node: Node<'a>,
    partition: u32,
    interval: Interval,
}

impl<'a> Found<'a> {
    pub fn new(node: Node<'a>, partition: u32) -> ControlFlow<Stop, Self> {
        ControlFlow::Continue(Self { node, partition, interval: node.interval(partition)? })
    }

    /// The interval's time.
    pub fn time(&self) -> Time {
        self.interval.time
    }

    /// What the partition was in the interval before.
    pub fn before<P: Record>(&self) -> ControlFlow<Stop, Option<P>> {
        if !self.interval.has_before {
            return ControlFlow::Continue(None);
        }
        self.node.only(usize::from(self.interval.has_records), self.partition)
    }

    /// The interval's records, in the order of the partitions that they come from.
    pub fn records<K: Key, V: Record>(&self, read: &mut dyn FnMut(K, V) -> Flow) -> Flow {
        if !self.interval.has_records {
            return Flow::Continue(());
        }
        self.node.keyed(0, self.partition, read)
    }

    /// The states to begin with, if this is the beginning.
    pub fn initial<K: Key, S: Record>(&self, read: &mut dyn FnMut(K, S) -> Flow) -> Flow {
        let Interval { has_records, has_before, has_initial, .. } = self.interval;
        if !has_initial {
            return Flow::Continue(());
        }
        self.node.keyed(usize::from(has_records) + usize::from(has_before), self.partition, read)
    }
}

/// When a stream of state has its first dataset.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Begins {
    /// With the first interval.
    AtOnce,
    /// With the first dataset of the stream that it is made from.
    WithTheFirstDataset,
}

/// A stream of one record a partition: what `spec` makes of the one before and of `of`'s records.
#[track_caller]
pub(super) fn state_stream<K: Key, V: Record, S: Record, P: Record + Spread>(
    of: &DStream<(K, V)>,
    name: &str,
    spec: OperatorSpec<P>,
    options: StateSpec<K, S>,
    begins: Begins,
) -> DStream<P>
where
    ByKey: Incremental<P>,
{
    let partitions = options.partitions_for(of, name);
    let saving = Saving::by_key::<ByKey>(name, partitions, of.key_groups());
    let target = Partitioner::KeyGroups { partitions };
    let split_records = split_by_key::<K, V>(name, partitions, of.key_groups());
    let split_initial = split_by_key::<K, S>(name, partitions, of.key_groups());
    let (engine, parent, initial) = (of.ctx.engine().clone(), of.node.clone(), Mutex::new(options.initial));
    let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO)];
    // None where the records lie right as they are.
    let split = of.ctx.stream_made(Made::ForAShuffle, name, of.slide(), parents, {
        let parent = parent.clone();
        move |time| {
            let misplaced = parent.at(time)?.filter(|rdd| rdd.partitioner() != Some(target));
            Ok(misplaced.map(|rdd| split_records(&rdd).0))
        }
    });
    let split = split.node;
    let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO), (split.clone(), Duration::ZERO)];
    of.ctx.stateful_stream(name, of.slide(), parents, saving, move |time, before| {
        let records = parent.at(time)?;
        if begins == Begins::WithTheFirstDataset && before.is_none() && records.is_none() {
            return Ok(None);
        }
        let mut initial = initial.lock().unwrap_or_else(PoisonError::into_inner);
        if before.is_some() {
            // The first dataset remembers it for as long as it needs it.
            *initial = None;
        }
        let records = match split.at(time)? {
            Some(pieces) => {
                let dataset = pieces.node().dataset.id;
                Some((pieces.node().clone(), Edge::Shuffle { dataset }))
            }
            None => records.map(|rdd| in_place(&rdd)),
        };
        let before = before.map(|rdd| in_place(&rdd));
        let initial = initial.as_ref().map(|rdd| side(rdd, &split_initial, target));
        let interval = Interval {
            time,
            has_records: records.is_some(),
            has_before: before.is_some(),
            has_initial: initial.is_some(),
        };
        let edges = [records, before, initial].into_iter().flatten().collect();
        let mut node = DatasetNode::new(&engine, partitions, edges, &spec.any);
        node.partitioner = Some(target);
        describe_interval(&mut node, &interval)?;
        Ok(Some(node.of(&spec)))
    })
}

/// Makes the dataset one that is kept and whose tasks know its `interval`.
pub(super) fn describe_interval(node: &mut DatasetNode, interval: &impl Serialize) -> Result<(), Error> {
    let place: Arc<[u8]> = postcard::to_allocvec(interval).map_err(Error::internal)?.into();
    let dataset = node.dataset_mut();
    let split = || Split { blocks: Vec::new(), place: place.clone() };
    dataset.splits = (0..dataset.partitions).map(|_| split()).collect();
    dataset.keep = true;
    Ok(())
}

pub(super) fn in_place<T: Record>(rdd: &Rdd<T>) -> (Arc<DatasetNode>, Edge) {
    (rdd.node().clone(), Edge::Narrow { dataset: rdd.node().dataset.id, map: PartitionMap::Same })
}
