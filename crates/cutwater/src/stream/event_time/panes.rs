//! The state of windows of event time: what the records of each open window and key come to so far.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use cutwater_core::{Parent as Edge, Time};
use serde::{Deserialize, Serialize};

use super::{
    judge::Judged,
    watermark::{Watermark, read},
    window::{Emission, EventWindows, Windowed, Windows},
};
use crate::{
    DStream, Key, Record,
    checkpoint::{
        saved::{Saving, Whole},
        spread::Spread,
    },
    collection::Collection,
    rdd::{Aggregate, Combined, DatasetNode, Merging},
    shuffle::Combiner,
    state::{key_hash, timers::Timers},
    stream::{
        Parent,
        stateful::{describe_interval, in_place},
    },
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The values of a key by the slice of event time they are in. They are combined by that first, so that a
/// record costs the same however many windows it is in.
struct BySlice<G>(G);

impl<G: Aggregate> Aggregate for BySlice<G> {
    type Env = G::Env;
    type Value = (Time, G::Value);
    /// In order of the slices.
    type Acc = Vec<(Time, G::Acc)>;

    fn rebuild(env: G::Env) -> Self {
        Self(G::rebuild(env))
    }

    fn start(&self, (slice, value): Self::Value) -> Self::Acc {
        vec![(slice, self.0.start(value))]
    }

    fn add(&self, mut slices: Self::Acc, (slice, value): Self::Value) -> Self::Acc {
        let (at, known) = take_slice(&mut slices, slice);
        let acc = match known {
            Some(known) => self.0.add(known, value),
            None => self.0.start(value),
        };
        slices.insert(at, (slice, acc));
        slices
    }

    fn merge(&self, mut slices: Self::Acc, others: Self::Acc) -> Self::Acc {
        for (slice, acc) in others {
            let (at, known) = take_slice(&mut slices, slice);
            let acc = match known {
                Some(known) => self.0.merge(known, acc),
                None => acc,
            };
            slices.insert(at, (slice, acc));
        }
        slices
    }
}

/// Takes a slice out, if it is there; says where it belongs. Most are the last.
fn take_slice<A>(slices: &mut Vec<(Time, A)>, slice: Time) -> (usize, Option<A>) {
    match slices.binary_search_by_key(&slice, |(slice, _)| *slice) {
        Ok(at) => (at, Some(slices.remove(at).1)),
        Err(at) => (at, None),
    }
}

/// Records that are in time, each with its slice.
struct Slice<K, V>(Windows, PhantomData<fn(K, V)>);

impl<K: Key, V: Record> Operator for Slice<K, V> {
    type Env = Windows;
    type Out = (K, (Time, V));

    fn rebuild(windows: Windows) -> Self {
        Self(windows, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        node.each::<Judged<(K, V)>>(0, partition, &mut |(late, time, (key, value))| match late {
            true => Flow::Continue(()),
            false => emit((key, (self.0.slice_of(time), value))),
        })
    }
}

/// A partition of the windows after an interval, and what the interval gave out.
#[derive(Clone, Serialize, Deserialize)]
#[serde(bound = "")]
struct Panes<K: Key, A: Record> {
    /// By the end of the window and by key. Windows are open as long as they are here.
    open: Timers<K, A>,
    /// Shared, since whoever makes the next interval's panes gets a clone of it too.
    given: Arc<Vec<Windowed<K, A>>>,
}

impl<K: Key, A: Record> Default for Panes<K, A> {
    fn default() -> Self {
        Self { open: Timers::default(), given: Arc::default() }
    }
}

impl<K: Key, A: Record> Spread for Panes<K, A> {
    fn take_over(&mut self, from: Self, here: &dyn Fn(u64) -> bool, with_rest: bool) {
        self.open.take_over(&from.open, here);
        if with_rest {
            Arc::make_mut(&mut self.given).extend(from.given.iter().cloned());
        }
    }
}

/// The panes of the interval before, changed by the interval's records and then by its watermark.
struct Turn<K, G> {
    aggregate: BySlice<G>,
    windows: Windows,
    key: PhantomData<fn(K)>,
}

/// Which parents the dataset of an interval has (in the order of these fields); the last is the watermark.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Interval {
    has_records: bool,
    has_before: bool,
}

impl<K: Key, G: Aggregate> Operator for Turn<K, G> {
    type Env = (G::Env, Windows);
    type Out = Panes<K, G::Acc>;

    fn rebuild((env, windows): Self::Env) -> Self {
        Self { aggregate: BySlice::rebuild(env), windows, key: PhantomData }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let Interval { has_records, has_before } = node.interval(partition)?;
        let parent = usize::from(has_records);
        let before: Option<Self::Out> = if has_before { node.only(parent, partition)? } else { None };
        let watermark: Watermark =
            node.only(parent + usize::from(has_before), partition)?.unwrap_or_default();
        let mut open = before.map(|panes| panes.open).unwrap_or_default();
        let mut corrected = Timers::default();
        if has_records {
            self.add(node, partition, watermark.before, &mut open, &mut corrected)?;
        }

        let mut given = Vec::new();
        let mut give = |end, key: K, value: G::Acc, kind| {
            given.push(Windowed { window: self.windows.ending(end), key, value, kind });
        };
        // Reading a table clones what is in it, and may fail where the program's own `Clone` does.
        node.call(|| {
            for (end, keys) in corrected.all() {
                for (key, ()) in keys {
                    if let Some(value) = open.get(end, key_hash(&key), &key) {
                        give(end, key, value, Emission::Correction);
                    }
                }
            }
        });
        if let Some(now) = watermark.now {
            node.call(|| {
                for (end, keys) in open.between(watermark.before.unwrap_or(BEGINNING), now) {
                    for (key, value) in keys {
                        give(end, key, value, Emission::Result);
                    }
                }
            });
            // Strictly before the next moment.
            open.take_due(self.windows.closed_until(now) + Duration::from_millis(1));
        }
        emit(Panes { open, given: Arc::new(given) })
    }
}

/// Before every window.
const BEGINNING: Time = Time::from_ms(i64::MIN);

impl<K: Key, G: Aggregate> Turn<K, G> {
    /// Puts the interval's records into their windows, and those windows that had passed before it into
    /// `corrected`.
    fn add(
        &self,
        node: Node<'_>,
        partition: u32,
        before: Option<Time>,
        open: &mut Timers<K, G::Acc>,
        corrected: &mut Timers<K>,
    ) -> Flow {
        let mut arrived = Combiner::new(Merging(&self.aggregate));
        node.pieces::<Vec<(K, Vec<(Time, G::Acc)>)>>(0, partition, |piece| {
            node.call(|| piece.iter().cloned().for_each(|(key, slices)| arrived.add(key, slices)));
            Flow::Continue(())
        })?;
        node.call(|| {
            for (hash, key, slices) in arrived.into_entries() {
                for (slice, acc) in slices {
                    // The windows before one that is closed end earlier still.
                    let ends = self.windows.ends(slice);
                    for end in ends.take_while(|end| !self.windows.is_closed(*end, before)) {
                        let acc = acc.clone();
                        open.change(end, hash, &key, |known| match known {
                            Some(known) => self.aggregate.0.merge(known, acc),
                            None => acc,
                        });
                        if self.windows.has_passed(end, before) {
                            corrected.add(end, hash, &key);
                        }
                    }
                }
            }
        });
        Flow::Continue(())
    }
}

/// What the interval gave out.
struct Given<K, A>(PhantomData<fn(K, A)>);

impl<K: Key, A: Record> Operator for Given<K, A> {
    type Env = ();
    type Out = Windowed<K, A>;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let panes: Option<Panes<K, A>> = node.only(0, partition)?;
        panes.iter().flat_map(|panes| panes.given.iter()).cloned().try_for_each(emit)
    }
}

/// What the values of each key in `windows` come to, given out as the windows pass and are corrected.
#[track_caller]
pub(super) fn windowed<K: Key, G: Aggregate>(
    windows: &EventWindows<(K, G::Value)>,
    name: &'static str,
    env: G::Env,
) -> DStream<Windowed<K, G::Acc>> {
    let (judged, watermarks) = (&windows.judged, windows.watermarks().node.clone());
    let (ctx, slide) = (&judged.ctx, judged.slide());
    let slice = OperatorSpec::new::<Slice<K, G::Value>>(name, &windows.windows);
    let combined =
        Combined::<K, BySlice<G>>::new(name, env.clone(), judged.parallelism(), judged.key_groups());
    let turn = OperatorSpec::new::<Turn<K, G>>(name, &(env, windows.windows));
    let given = OperatorSpec::new::<Given<K, G::Acc>>(name, &());
    let partitions = combined.partitions;
    let pieces = judged.derive(name, move |rdd| combined.split(&rdd.narrow(&slice)));

    let (engine, pieces) = (ctx.engine().clone(), pieces.node);
    let parents: Vec<Parent> = vec![(pieces.clone(), Duration::ZERO), (watermarks.clone(), Duration::ZERO)];
    let saving = Saving::by_key::<Whole>(name, partitions, judged.key_groups());
    let panes = ctx.stateful_stream(name, slide, parents, saving, move |time, before| {
        let (pieces, watermark) = (pieces.at(time)?, watermarks.required(time)?);
        let interval = Interval { has_records: pieces.is_some(), has_before: before.is_some() };
        let pieces = pieces.map(|rdd| {
            let edge = Edge::Shuffle { dataset: rdd.node().dataset.id };
            (rdd.node().clone(), edge)
        });
        let before = before.map(|rdd| in_place(&rdd));
        let (watermark, map) = read(&watermark);
        let edge = Edge::Narrow { dataset: watermark.dataset.id, map };
        let edges = pieces.into_iter().chain(before).chain([(watermark, edge)]).collect();
        let mut node = DatasetNode::new(&engine, partitions, edges, &turn.any);
        describe_interval(&mut node, &interval)?;
        Ok(Some(node.of(&turn)))
    });
    panes.derive(name, move |rdd| rdd.narrow(&given))
}
