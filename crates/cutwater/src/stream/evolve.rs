//! States that change with the keys that are touched and nothing else: what `map_with_state`, `track`
//! and `sessions` have in common.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{
    StateSpec, StateStream,
    stateful::{Begins, Found, state_stream},
};
use crate::{
    DStream, Key, Record,
    checkpoint::{saved::Incremental, spread::Spread},
    collection::Collection,
    state::{
        State,
        changes::ByKey,
        key_hash,
        tracked::{Mark, Tracked, Visit},
    },
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// What happens to the state of a key. It may give a record out each time.
pub(super) trait Evolution: Send + Sync + 'static {
    /// What travels with it.
    type Env: Record;
    type Key: Key;
    type Value: Record;
    type State: Record;
    type Mapped: Record;

    fn rebuild(env: Self::Env) -> Self;
    /// A record of the key.
    fn record(
        &self,
        now: Time,
        key: &Self::Key,
        value: Self::Value,
        state: &mut State<Self::State>,
    ) -> Option<Self::Mapped>;
    /// The key was idle for too long; its state goes after this.
    fn expire(&self, now: Time, key: &Self::Key, state: &mut State<Self::State>) -> Option<Self::Mapped>;
}

/// A partition after an interval: its states, and what the interval gave out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Evolved<K: Key, S: Record, M: Record, T: Mark> {
    states: Tracked<K, S, T>,
    /// By which the deadlines of states follow from when they were touched.
    timeout: Option<Duration>,
    /// Shared, since whoever makes the next interval's states gets a clone of it too.
    mapped: Arc<Vec<M>>,
}

impl<K: Key, S: Record, M: Record, T: Mark> Incremental<Evolved<K, S, M, T>> for ByKey {
    fn between(
        before: &Evolved<K, S, M, T>,
        now: &Evolved<K, S, M, T>,
    ) -> Option<Result<Vec<u8>, postcard::Error>> {
        let written = now.states.written_since(&before.states)?;
        Some(postcard::to_allocvec(&(written, &now.mapped)))
    }

    fn apply(to: &mut Evolved<K, S, M, T>, changes: &[u8]) -> Result<(), postcard::Error> {
        let (written, mapped) = postcard::from_bytes(changes)?;
        to.states.apply(written, to.timeout);
        to.mapped = mapped;
        Ok(())
    }
}

impl<K: Key, S: Record, M: Record, T: Mark> Default for Evolved<K, S, M, T> {
    fn default() -> Self {
        Self { states: Tracked::default(), timeout: None, mapped: Arc::default() }
    }
}

impl<K: Key, S: Record, M: Record, T: Mark> Spread for Evolved<K, S, M, T> {
    fn take_over(&mut self, from: Self, here: &dyn Fn(u64) -> bool, with_rest: bool) {
        self.states.take_over(&from.states, here, from.timeout);
        self.timeout = from.timeout;
        if with_rest {
            Arc::make_mut(&mut self.mapped).extend(from.mapped.iter().cloned());
        }
    }
}

/// The partition of the interval before, changed by the interval's records and then by its time.
struct Evolve<G, T> {
    evolution: G,
    timeout: Option<Duration>,
    mark: PhantomData<fn(T)>,
}

/// How many keys are fetched from memory together: the loads of some dozens overlap.
const RECORDS_BATCH: usize = 64;

impl<G: Evolution, T: Mark> Operator for Evolve<G, T> {
    type Env = (G::Env, Option<Duration>);
    type Out = Evolved<G::Key, G::State, G::Mapped, T>;

    fn rebuild((env, timeout): Self::Env) -> Self {
        Self { evolution: G::rebuild(env), timeout, mark: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let found = Found::new(node, partition)?;
        let visit = Visit { now: found.time(), timeout: self.timeout };
        let before = found.before::<Self::Out>()?;
        let mut states = before.map(|before| before.states).unwrap_or_default();
        found.initial(&mut |key, state| {
            states.put(visit, key_hash(&key), &key, state);
            Flow::Continue(())
        })?;
        let mut mapped = Vec::new();
        let mut batch = Vec::with_capacity(RECORDS_BATCH);
        let mut take_in = |batch: &mut Vec<(u64, G::Key, G::Value)>| {
            states.warm(batch.iter().map(|(hash, ..)| *hash));
            for (hash, key, value) in batch.drain(..) {
                let record = |state: &mut _| self.evolution.record(visit.now, &key, value, state);
                mapped.extend(states.visit(visit, hash, &key, |state| node.call(|| record(state))));
            }
        };
        found.records(&mut |key: G::Key, value| {
            batch.push((node.call(|| key_hash(&key)), key, value));
            if batch.len() == RECORDS_BATCH {
                take_in(&mut batch);
            }
            Flow::Continue(())
        })?;
        take_in(&mut batch);
        // Only now: a record in the very interval in which its key would time out keeps the key
        // (`crates/conformance/tables/map_with_state_record.json`, case 012).
        states.expire(visit, |key, state| {
            mapped.extend(node.call(|| self.evolution.expire(visit.now, key, state)));
        });
        states.settle();
        emit(Evolved { states, timeout: self.timeout, mapped: Arc::new(mapped) })
    }
}

/// All keys with their states.
struct States<K, S, M, T>(PhantomData<fn(K, S, M, T)>);

impl<K: Key, S: Record, M: Record, T: Mark> Operator for States<K, S, M, T> {
    type Env = ();
    type Out = (K, S);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, S)>) -> Flow {
        let evolved: Option<Evolved<K, S, M, T>> = node.only(0, partition)?;
        let Some(mut all) = evolved.map(|evolved| evolved.states.iter()) else { return Flow::Continue(()) };
        // Asking for the next one clones it.
        while let Some(entry) = node.call(|| all.next()) {
            emit(entry)?;
        }
        Flow::Continue(())
    }
}

/// How many keys there are.
struct Size<K, S, M, T>(PhantomData<fn(K, S, M, T)>);

impl<K: Key, S: Record, M: Record, T: Mark> Operator for Size<K, S, M, T> {
    type Env = ();
    type Out = u64;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, u64>) -> Flow {
        let evolved: Option<Evolved<K, S, M, T>> = node.only(0, partition)?;
        emit(evolved.map_or(0, |evolved| evolved.states.len() as u64))
    }
}

/// What the interval gave out.
struct Mapped<K, S, M, T>(PhantomData<fn(K, S, M, T)>);

impl<K: Key, S: Record, M: Record, T: Mark> Operator for Mapped<K, S, M, T> {
    type Env = ();
    type Out = M;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, M>) -> Flow {
        let evolved: Option<Evolved<K, S, M, T>> = node.only(0, partition)?;
        evolved.iter().flat_map(|evolved| evolved.mapped.iter()).cloned().try_for_each(emit)
    }
}

/// The stream of what `G` gives out, and that of its states.
#[track_caller]
pub(super) fn evolving<G: Evolution>(
    of: &DStream<(G::Key, G::Value)>,
    name: &'static str,
    env: G::Env,
    options: StateSpec<G::Key, G::State>,
) -> (DStream<G::Mapped>, StateStream<G::Key, G::State>) {
    match options.timeout {
        Some(_) => marked::<G, Time>(of, name, env, options),
        None => marked::<G, ()>(of, name, env, options),
    }
}

#[track_caller]
fn marked<G: Evolution, T: Mark>(
    of: &DStream<(G::Key, G::Value)>,
    name: &'static str,
    env: G::Env,
    options: StateSpec<G::Key, G::State>,
) -> (DStream<G::Mapped>, StateStream<G::Key, G::State>) {
    let evolve = OperatorSpec::new::<Evolve<G, T>>(name, &(env, options.timeout));
    let mapped = OperatorSpec::new::<Mapped<G::Key, G::State, G::Mapped, T>>(name, &());
    let states = OperatorSpec::new::<States<G::Key, G::State, G::Mapped, T>>(name, &());
    let size = OperatorSpec::new::<Size<G::Key, G::State, G::Mapped, T>>(name, &());
    let evolved = state_stream(of, name, evolve, options, Begins::AtOnce);
    let entries = evolved.derive(name, move |rdd| rdd.narrow_in_place(&states));
    let sizes = evolved.derive(name, move |rdd| rdd.narrow(&size));
    (evolved.derive(name, move |rdd| rdd.narrow(&mapped)), StateStream { entries, sizes })
}
