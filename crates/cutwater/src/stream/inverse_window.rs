use std::{marker::PhantomData, time::Duration};

use cutwater_core::PartitionMap;

use super::{Parent, window::Span};
use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::Collection,
    rdd::{DatasetNode, Rdd, reduced},
    state::{
        Table,
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

const NAME: &str = "reduce_by_key_and_window";

/// What is known of a key in the window.
type Windowed<V> = (V, u32);

/// The table of a window with the values of more intervals put in.
struct Enter<K, V, F>(F, PhantomData<fn(K, V)>);

impl<K: Key, V: Record, F: Fn(V, V) -> V + Portable> Operator for Enter<K, V, F> {
    type Env = ();
    type Out = Table<K, Windowed<V>>;

    fn rebuild((): ()) -> Self {
        Self(closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        change(node, partition, emit, |known: Option<Windowed<V>>, value| match known {
            Some((old, n)) => Some(((self.0)(old, value), n + 1)),
            None => Some((value, 1)),
        })
    }
}

/// The table of a window with the values of some intervals taken out.
struct Leave<K, V, F> {
    inverse: F,
    /// Whether a key goes with its last contribution, or stays with what is left of its value.
    drops_keys: bool,
    types: PhantomData<fn(K, V)>,
}

impl<K: Key, V: Record, F: Fn(V, V) -> V + Portable> Operator for Leave<K, V, F> {
    type Env = bool;
    type Out = Table<K, Windowed<V>>;

    fn rebuild(drops_keys: bool) -> Self {
        Self { inverse: closure::conjure(), drops_keys, types: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        change(node, partition, emit, |known: Option<Windowed<V>>, value| {
            let (old, n) = known?;
            if n <= 1 && self.drops_keys {
                return None;
            }
            Some(((self.inverse)(old, value), n.saturating_sub(1)))
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
struct Visible<K, V, F>(F, PhantomData<fn(K, V)>);

impl<K: Key, V: Record, F: Fn(&K, &V) -> bool + Portable> Operator for Visible<K, V, F> {
    type Env = ();
    type Out = (K, V);

    fn rebuild((): ()) -> Self {
        Self(closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, V)>) -> Flow {
        node.each::<(K, Windowed<V>)>(0, partition, &mut |(key, (value, _))| {
            if node.call(|| (self.0)(&key, &value)) { emit((key, value)) } else { Flow::Continue(()) }
        })
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// [`reduce_by_key_and_window`](Self::reduce_by_key_and_window) for a function that can be undone:
    /// `inverse(f(a, b), b) == a`. Each slide puts in the intervals that enter the window and takes out
    /// those that leave, so its cost does not grow with the window.
    ///
    /// A key that was in an earlier window stays, with what its value became when everything was taken
    /// out (`api.md` §4); use
    /// [`reduce_by_key_and_window_filtered`](Self::reduce_by_key_and_window_filtered) to let go of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![('a', 1)], vec![('a', 7)], vec![], vec![]]);
    /// let sums = input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 2 * second, second);
    /// assert_eq!(harness.run(&sums, 4)?, [[('a', 1)], [('a', 8)], [('a', 7)], [('a', 0)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_and_window_inverse<F, I>(
        &self,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        self.inverse_window(NAME, self.parallelism(), (f, inverse, |_, _| true), false, (window, slide))
    }

    /// The same, showing only the keys and values for which `visible` holds. A key leaves when its last
    /// contribution leaves the window; a value that `visible` hides while it still has contributions is
    /// kept, and seen again when it changes (`crates/conformance/tables/spark_defects.json`, case 002).
    #[track_caller]
    pub fn reduce_by_key_and_window_filtered<F, I, P>(
        &self,
        f: F,
        inverse: I,
        visible: P,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
        P: Fn(&K, &V) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<P>() };
        self.inverse_window(NAME, self.parallelism(), (f, inverse, visible), true, (window, slide))
    }

    /// The window of which the others are made: `f`, its inverse and what is shown; whether a key goes
    /// with its last contribution; the window and its slide.
    #[track_caller]
    pub(super) fn inverse_window<F, I, P>(
        &self,
        name: &'static str,
        partitions: u32,
        (f, _, _): (F, I, P),
        drops_keys: bool,
        (window, slide): (Duration, Duration),
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
        P: Fn(&K, &V) -> bool + Portable,
    {
        let Span { window, slide } = self.ctx.window_of(name, self.slide(), window, slide);
        let intervals = reduced(self, name, (), partitions, move |(), a, b| f(a, b));
        let parent = intervals.cache().node;
        let start = OperatorSpec::new::<EmptyTables<K, Windowed<V>>>(name, &());
        let enter = OperatorSpec::new::<Enter<K, V, F>>(name, &());
        let leave = OperatorSpec::new::<Leave<K, V, I>>(name, &drops_keys);
        // What leaves now entered a window and a slide ago.
        let parents: Vec<Parent> = vec![(parent.clone(), window + slide)];
        let engine = self.ctx.engine().clone();
        let tables = self.ctx.stateful_stream(name, slide, parents, move |t, before| {
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
        let visible = OperatorSpec::new::<Visible<K, V, P>>(name, &());
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
