//! Values combined by key: the operators behind `reduce_by_key`, `combine_by_key`, and running and
//! windowed sums. Combining happens on both sides of the shuffle, so that each map partition sends
//! a key once.

use std::{marker::PhantomData, ops::ControlFlow};

use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::Collection,
    placement,
    rdd::{Partitioner, Rdd},
    shuffle::{Combiner, Merge},
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop},
};

/// How values become what is kept for a key.
pub(crate) trait Aggregate: Send + Sync + 'static {
    /// What travels with it.
    type Env: Record;
    /// What comes in.
    type Value: Record;
    /// What is kept.
    type Acc: Record;

    fn rebuild(env: Self::Env) -> Self;
    /// The first value of a key.
    fn start(&self, value: Self::Value) -> Self::Acc;
    /// One more value.
    fn add(&self, acc: Self::Acc, value: Self::Value) -> Self::Acc;
    /// What two partitions have kept, the earlier first.
    fn merge(&self, acc: Self::Acc, other: Self::Acc) -> Self::Acc;
}

/// Values reduced by one associative function.
pub(crate) struct Reduction<V, E, F>(E, F, PhantomData<fn(V)>);

impl<V: Record, E: Record, F: Fn(&E, V, V) -> V + Portable> Aggregate for Reduction<V, E, F> {
    type Env = E;
    type Value = V;
    type Acc = V;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn start(&self, value: V) -> V {
        value
    }

    #[inline]
    fn add(&self, acc: V, value: V) -> V {
        self.1(&self.0, acc, value)
    }

    fn merge(&self, acc: V, other: V) -> V {
        self.1(&self.0, acc, other)
    }
}

/// The write side: combined within the partition, then dealt out by key group.
struct CombineAndSplit<K, G> {
    aggregate: G,
    partitions: u32,
    groups: u32,
    key: PhantomData<fn(K)>,
}

/// Values put into what is kept for their key.
struct Adding<'a, G>(&'a G);

impl<G: Aggregate> Merge<G::Value> for Adding<'_, G> {
    type Acc = G::Acc;

    #[inline]
    fn first(&self, value: G::Value) -> G::Acc {
        self.0.start(value)
    }

    #[inline]
    fn next(&self, acc: G::Acc, value: G::Value) -> G::Acc {
        self.0.add(acc, value)
    }
}

/// What partitions have kept for a key put together.
pub(crate) struct Merging<'a, G>(pub &'a G);

impl<G: Aggregate> Merge<G::Acc> for Merging<'_, G> {
    type Acc = G::Acc;

    fn first(&self, acc: G::Acc) -> G::Acc {
        acc
    }

    fn next(&self, acc: G::Acc, other: G::Acc) -> G::Acc {
        self.0.merge(acc, other)
    }
}

/// What is kept for each key of a partition, as (hash, key, kept), in order of the keys' arrival.
fn combine<'a, K: Key, G: Aggregate>(
    aggregate: &'a G,
    node: Node<'a>,
    partition: u32,
) -> ControlFlow<Stop, impl Iterator<Item = (u64, K, G::Acc)>> {
    let mut combiner = Combiner::<K, _, _>::new(Adding(aggregate));
    let lent = match combiner.texts() {
        Some(mut texts) => node.lent_keys(0, partition, &mut |pairs| {
            node.call(|| texts.take_in(pairs));
            Flow::Continue(())
        })?,
        None => false,
    };
    if !lent {
        node.each::<(K, G::Value)>(0, partition, &mut |(key, value)| {
            node.call(|| combiner.add(key, value));
            Flow::Continue(())
        })?;
    }
    ControlFlow::Continue(node.call(|| combiner.into_entries()))
}

impl<K: Key, G: Aggregate> Operator for CombineAndSplit<K, G> {
    type Env = (G::Env, u32, u32);
    type Out = Vec<(K, G::Acc)>;

    fn rebuild((env, partitions, groups): Self::Env) -> Self {
        Self { aggregate: G::rebuild(env), partitions, groups, key: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let mut pieces: Vec<Self::Out> = (0..self.partitions).map(|_| Vec::new()).collect();
        for (hash, key, acc) in combine::<K, G>(&self.aggregate, node, partition)? {
            pieces[placement::partition(hash, self.groups, self.partitions) as usize].push((key, acc));
        }
        node.combined(pieces.iter().map(Vec::len).sum());
        pieces.into_iter().try_for_each(emit)
    }
}

/// The read side: what the map partitions kept for a key, merged in their order.
struct MergeCombined<K, G>(G, PhantomData<fn(K)>);

impl<K: Key, G: Aggregate> Operator for MergeCombined<K, G> {
    type Env = G::Env;
    type Out = (K, G::Acc);

    fn rebuild(env: G::Env) -> Self {
        Self(G::rebuild(env), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let mut combiner = Combiner::new(Merging(&self.0));
        node.pieces::<Vec<(K, G::Acc)>>(0, partition, |piece| {
            node.call(|| piece.iter().cloned().for_each(|(key, acc)| combiner.add(key, acc)));
            Flow::Continue(())
        })?;
        node.call(|| combiner.into_entries()).try_for_each(|(_, key, acc)| emit((key, acc)))
    }
}

/// Both sides at once, for records that are where their keys belong already.
pub(super) struct CombineInPlace<K, G>(G, PhantomData<fn(K)>);

impl<K: Key, G: Aggregate> Operator for CombineInPlace<K, G> {
    type Env = G::Env;
    type Out = (K, G::Acc);

    fn rebuild(env: G::Env) -> Self {
        Self(G::rebuild(env), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        combine::<K, G>(&self.0, node, partition)?.try_for_each(|(_, key, acc)| emit((key, acc)))
    }
}

/// A way to combine by key, ready to be applied to the dataset of any interval.
pub(crate) struct Combined<K, G: Aggregate> {
    split: OperatorSpec<Vec<(K, G::Acc)>>,
    merge: OperatorSpec<(K, G::Acc)>,
    in_place: OperatorSpec<(K, G::Acc)>,
    pub partitions: u32,
}

impl<K: Key, G: Aggregate> Combined<K, G> {
    #[track_caller]
    pub fn new(name: &str, env: G::Env, partitions: u32, groups: u32) -> Self {
        let partitions = placement::partitions_asked_for(partitions);
        let split = OperatorSpec::new::<CombineAndSplit<K, G>>(name, &(env.clone(), partitions, groups));
        let merge = OperatorSpec::new::<MergeCombined<K, G>>(name, &env);
        let in_place = OperatorSpec::new::<CombineInPlace<K, G>>(name, &env);
        Self { split, merge, in_place, partitions }
    }

    pub fn partitioner(&self) -> Partitioner {
        Partitioner::KeyGroups { partitions: self.partitions }
    }

    /// The combined pieces, for whoever merges them.
    pub fn split(&self, rdd: &Rdd<(K, G::Value)>) -> Rdd<Vec<(K, G::Acc)>> {
        rdd.pieces(&self.split, self.partitions)
    }

    pub fn apply(&self, rdd: &Rdd<(K, G::Value)>) -> Rdd<(K, G::Acc)> {
        if rdd.partitioner() == Some(self.partitioner()) {
            return rdd.narrow_in_place(&self.in_place);
        }
        self.split(rdd).shuffled(&self.merge, Some(self.partitioner()))
    }
}

/// `collection` with its values combined by key into `partitions`.
#[track_caller]
pub(crate) fn combined<K: Key, C: Collection<Item = (K, G::Value)>, G: Aggregate>(
    collection: &C,
    name: &'static str,
    env: G::Env,
    partitions: u32,
) -> C::Of<(K, G::Acc)> {
    let combined = Combined::<K, G>::new(name, env, partitions, collection.key_groups());
    collection.derive(name, move |rdd| combined.apply(rdd))
}

/// `collection` with its values reduced by key into `partitions`, for the operation `name`.
#[track_caller]
pub(crate) fn reduced<K: Key, V: Record, E: Record, C: Collection<Item = (K, V)>, F>(
    collection: &C,
    name: &'static str,
    values: E,
    partitions: u32,
    _f: F,
) -> C::Of<(K, V)>
where
    F: Fn(&E, V, V) -> V + Portable,
{
    combined::<K, C, Reduction<V, E, F>>(collection, name, values, partitions)
}

/// All records of each dataset combined into one, in one partition; of none, none.
#[track_caller]
pub(crate) fn combined_into_one<C: Collection<Item = G::Value>, G: Aggregate>(
    collection: &C,
    name: &'static str,
    env: G::Env,
) -> C::Of<G::Acc> {
    let keyed = OperatorSpec::new::<Unkeyed<G::Value>>(name, &());
    let combined = Combined::<(), G>::new(name, env, 1, collection.key_groups());
    let bare = OperatorSpec::new::<Bare<G::Acc>>(name, &());
    collection.derive(name, move |rdd| combined.apply(&rdd.narrow(&keyed)).narrow(&bare))
}

/// Every record under the same key.
pub(crate) struct Unkeyed<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Unkeyed<T> {
    type Env = ();
    type Out = ((), T);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, ((), T)>) -> Flow {
        node.each(0, partition, &mut |record| emit(((), record)))
    }
}

/// And without that key again.
pub(crate) struct Bare<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Bare<T> {
    type Env = ();
    type Out = T;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        node.each::<((), T)>(0, partition, &mut |((), record)| emit(record))
    }
}
