use std::{marker::PhantomData, time::Duration};

use cutwater_core::PartitionMap;

use super::{Parent, window::Span};
use crate::{
    DStream, Key, Record,
    checkpoint::saved::Saving,
    closure::{self, Portable},
    collection::{Collection, With},
    placement,
    rdd::{DatasetNode, Rdd, reduced},
    state::{
        Table,
        changes::ByKey,
        entries::{EmptyTables, Entries},
        key_hash,
    },
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

// ```text
//            ┌─────── window at t−slide ───────┐
//  intervals │ leaving │                       │ entering │
//                      └────────── window at t ───────────┘
// ```
//
// The window at t is the one before, less what leaves and plus what enters. Beside each value
// stands how many intervals contribute to it, so that a key is known to be gone by its
// contributions and not by a value that happens to look like nothing (D7).

/// What is known of a key in the window.
type Windowed<V> = (V, u32);

/// The table of a window with the values of more intervals put in.
struct Enter<K, V, E, F>(E, F, PhantomData<fn(K, V)>);

impl<K: Key, V: Record, E: Record, F: Fn(&E, V, V) -> V + Portable> Operator for Enter<K, V, E, F> {
    type Env = E;
    type Out = Table<K, Windowed<V>>;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        change(node, partition, emit, |known: Option<Windowed<V>>, value| match known {
            Some((old, n)) => Some(((self.1)(&self.0, old, value), n + 1)),
            None => Some((value, 1)),
        })
    }
}

/// The table of a window with the values of some intervals taken out.
struct Leave<K, V, E, F> {
    values: E,
    inverse: F,
    /// Whether a key goes with its last contribution, or stays with what is left of its value.
    drops_keys: bool,
    types: PhantomData<fn(K, V)>,
}

impl<K: Key, V: Record, E: Record, F: Fn(&E, V, V) -> V + Portable> Operator for Leave<K, V, E, F> {
    type Env = (E, bool);
    type Out = Table<K, Windowed<V>>;

    fn rebuild((values, drops_keys): Self::Env) -> Self {
        Self { values, inverse: closure::conjure(), drops_keys, types: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        change(node, partition, emit, |known: Option<Windowed<V>>, value| {
            let (old, n) = known?;
            if n <= 1 && self.drops_keys {
                return None;
            }
            Some(((self.inverse)(&self.values, old, value), n.saturating_sub(1)))
        })
    }
}

/// Parent 0 is a table; every record of the other parents changes what it has for its key.
fn change<K: Key, V: Record>(
    node: Node<'_>,
    partition: u32,
    emit: &mut Emit<'_, Table<K, Windowed<V>>>,
    change: impl Fn(Option<Windowed<V>>, V) -> Option<Windowed<V>>,
) -> Flow {
    let mut table: Table<K, Windowed<V>> = node.only(0, partition)?.unwrap_or_default();
    for parent in 1..node.parents() {
        node.each::<(K, V)>(parent, partition, &mut |(key, value)| {
            node.call(|| table.alter(key_hash(&key), &key, |known| change(known, value)));
            Flow::Continue(())
        })?;
    }
    table.settle();
    emit(table)
}

/// Passes a value on, without its count of contributions, if the filter lets it.
struct Visible<K, V, E, F>(E, F, PhantomData<fn(K, V)>);

impl<K, V, E, F> Operator for Visible<K, V, E, F>
where
    K: Key,
    V: Record,
    E: Record,
    F: Fn(&E, &K, &V) -> bool + Portable,
{
    type Env = E;
    type Out = (K, V);

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        node.each::<(K, Windowed<V>)>(0, partition, &mut |(key, (value, _))| {
            if node.call(|| (self.1)(&self.0, &key, &value)) {
                emit((key, value))
            } else {
                Flow::Continue(())
            }
        })
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// The window of which the others are made: `f`, its inverse and what is shown; whether a key goes
    /// with its last contribution; the window and its slide.
    #[track_caller]
    pub(super) fn inverse_window<F, I, P>(
        self,
        name: &'static str,
        partitions: u32,
        (f, _, _): (F, I, P),
        drops_keys: bool,
        (window, slide): (Duration, Duration),
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
        I: Fn(&E, V, V) -> V + Portable,
        P: Fn(&E, &K, &V) -> bool + Portable,
    {
        let Self { of, values } = self;
        let Span { window, slide } = of.ctx.window_of(name, of.slide(), window, slide);
        let partitions = placement::partitions_asked_for(partitions);
        let intervals = reduced(&of, name, values.clone(), partitions, f);
        let parent = intervals.cache().node;
        let start = OperatorSpec::new::<EmptyTables<K, Windowed<V>>>(name, &());
        let enter = OperatorSpec::new::<Enter<K, V, E, F>>(name, &values);
        let leave = OperatorSpec::new::<Leave<K, V, E, I>>(name, &(values.clone(), drops_keys));
        // What leaves now entered a window and a slide ago.
        let parents: Vec<Parent> = vec![(parent.clone(), window + slide)];
        let engine = of.ctx.engine().clone();
        let saving = Saving::by_key::<ByKey>(name, partitions, of.key_groups());
        let tables = of.ctx.stateful_stream(name, slide, parents, saving, move |t, before| {
            let mut table = match before {
                Some(before) => before,
                None => DatasetNode::narrow(&engine, partitions, Vec::new(), &start.any).of(&start),
            };
            let (now_from, before_from, before_to) = (t - window, t - slide - window, t - slide);
            let leaving = parent.between(before_from, before_to.min(now_from))?;
            if !leaving.is_empty() {
                table = changed(&table, &leaving, &leave);
            }
            let entering = parent.between(before_to.max(now_from), t)?;
            Ok(Some(changed(&table, &entering, &enter).cache()))
        });
        let entries = OperatorSpec::new::<Entries<K, Windowed<V>>>(name, &());
        let visible = OperatorSpec::new::<Visible<K, V, E, P>>(name, &values);
        tables.derive(name, move |tables| tables.narrow_in_place(&entries).narrow_in_place(&visible))
    }
}

/// The table that `spec` makes of a table and the intervals' datasets, all partitioned alike.
fn changed<K: Key, V: Record>(
    table: &Rdd<Table<K, Windowed<V>>>,
    intervals: &[Rdd<(K, V)>],
    spec: &OperatorSpec<Table<K, Windowed<V>>>,
) -> Rdd<Table<K, Windowed<V>>> {
    let mut parents = vec![(table.node().clone(), PartitionMap::Same)];
    parents.extend(intervals.iter().map(|rdd| (rdd.node().clone(), PartitionMap::Same)));
    let mut node = DatasetNode::narrow(table.engine(), table.num_partitions(), parents, &spec.any);
    node.partitioner = intervals.first().map_or(table.partitioner(), Rdd::partitioner);
    node.of(spec)
}
