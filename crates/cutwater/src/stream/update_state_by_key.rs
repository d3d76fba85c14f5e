use std::marker::PhantomData;

use cutwater_core::Time;

use super::{
    StateSpec,
    stateful::{Begins, Found, state_stream},
};
use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    shuffle::{Combiner, List},
    state::{Table, entries::Entries, key_hash},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The table of the interval before, with every state in it and every new key updated.
struct Update<K, V, S, E, F>(E, F, PhantomData<fn(K, V) -> S>);

impl<K, V, S, E, F> Operator for Update<K, V, S, E, F>
where
    K: Key,
    V: Record,
    S: Record,
    E: Record,
    F: Fn(&E, Time, &K, Vec<V>, Option<S>) -> Option<S> + Portable,
{
    type Env = E;
    type Out = Table<K, S>;

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Table<K, S>>) -> Flow {
        let Self(env, f, _) = self;
        let found = Found::new(node, partition)?;
        let mut before: Table<K, S> = found.before()?.unwrap_or_default();
        found.initial(&mut |key, state| {
            before.insert(key_hash(&key), key, state);
            Flow::Continue(())
        })?;
        let mut arrived = Combiner::new(List);
        found.records(&mut |key: K, value: V| {
            arrived.add(key, value);
            Flow::Continue(())
        })?;
        let (mut values, mut keys) = (Table::<K, Vec<V>>::new(), Vec::new());
        for (hash, key, list) in arrived.into_entries() {
            keys.push((hash, key.clone()));
            values.insert(hash, key, list);
        }
        let mut table = before.clone();
        let mut update = |hash, key: &K, values| {
            table.alter(hash, key, |state| node.call(|| f(env, found.time(), key, values, state)));
        };
        // First every key with a state, whether it has values or not, and then the new ones.
        for (key, _) in &before {
            let hash = key_hash(&key);
            update(hash, &key, values.remove(hash, &key).unwrap_or_default());
        }
        for (hash, key) in keys {
            if let Some(values) = values.remove(hash, &key) {
                update(hash, &key, values);
            }
        }
        table.settle();
        emit(table)
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::update_state_by_key`] with the values handed over.
    #[track_caller]
    pub fn update_state_by_key<S, F>(self, f: F) -> DStream<(K, S)>
    where
        S: Record,
        F: Fn(&E, Vec<V>, Option<S>) -> Option<S> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let spec = StateSpec::new();
        self.update_state_by_key_spec(move |env, _, _, values, state| f(env, values, state), spec)
    }

    /// [`DStream::update_state_by_key_spec`] with the values handed over.
    #[track_caller]
    pub fn update_state_by_key_spec<S, F>(self, _f: F, spec: StateSpec<K, S>) -> DStream<(K, S)>
    where
        S: Record,
        F: Fn(&E, Time, &K, Vec<V>, Option<S>) -> Option<S> + Portable,
    {
        const NAME: &str = "update_state_by_key";
        const { closure::captures_nothing::<F>() };
        if spec.timeout.is_some() {
            self.of.ctx.fault(
                NAME,
                "it calls its function for every key in every interval, which may answer `None`; a timeout belongs to `map_with_state` and `track`",
            );
        }
        let update = OperatorSpec::new::<Update<K, V, S, E, F>>(NAME, &self.values);
        let tables = state_stream(&self.of, NAME, update, spec, Begins::WithTheFirstDataset);
        let entries = OperatorSpec::new::<Entries<K, S>>(NAME, &());
        tables.derive(NAME, move |tables| tables.narrow_in_place(&entries))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// A state for each key: in every interval `f` is called with the interval's values of the key and
    /// its state, and answers with the next state, or with `None` to drop the key (`api.md` §5).
    ///
    /// It is called for *every* key that has a state, even without values and even in an interval
    /// without a dataset, and so an interval costs by the keys there are; where that is too much, see
    /// [`map_with_state`](Self::map_with_state). Values come in the order of the partitions. Before the
    /// first dataset there is none here either. If `f` panics the interval fails.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![('a', 1), ('a', 2)], vec![('b', 5)], vec![]]);
    /// // A key is dropped after an interval without values.
    /// let sums = clicks.update_state_by_key(|values, sum| {
    ///     if values.is_empty() { None } else { Some(sum.unwrap_or(0) + values.iter().sum::<i32>()) }
    /// });
    /// assert_eq!(harness.run(&sums, 3)?, [vec![('a', 3)], vec![('b', 5)], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn update_state_by_key<S, F>(&self, f: F) -> DStream<(K, S)>
    where
        S: Record,
        F: Fn(Vec<V>, Option<S>) -> Option<S> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).update_state_by_key(move |(), values, state| f(values, state))
    }

    /// [`update_state_by_key`](Self::update_state_by_key) whose function sees the interval's time and the
    /// key too, and whose state begins and is partitioned as `spec` says (`api.md` §5). The initial state
    /// joins in with the first dataset; `f` is called for its keys then. A timeout is a fault of the
    /// program here.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{StateSpec, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let readings = harness.input([vec![('a', 20)], vec![('b', 25)]]);
    /// let spec = StateSpec::new().initial_state(harness.ctx().parallelize([('c', (0, 19))])).partitions(1);
    /// let latest = readings.update_state_by_key_spec(
    ///     |now, _, values, known| values.last().map(|value| (now.as_ms(), *value)).or(known),
    ///     spec,
    /// );
    /// let latest = latest.transform(|rdd, _| rdd.sort_by(|entry| *entry));
    /// assert_eq!(harness.run(&latest, 2)?[1], [('a', (1_000, 20)), ('b', (2_000, 25)), ('c', (0, 19))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn update_state_by_key_spec<S, F>(&self, f: F, spec: StateSpec<K, S>) -> DStream<(K, S)>
    where
        S: Record,
        F: Fn(Time, &K, Vec<V>, Option<S>) -> Option<S> + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(())
            .update_state_by_key_spec(move |(), now, key, values, state| f(now, key, values, state), spec)
    }
}
