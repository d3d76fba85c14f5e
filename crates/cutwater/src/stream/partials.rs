//! Windows over an associative function that cannot be undone, at the price of a few merges a slide.
//!
//! ```text
//!  level 2 │       0-3       │       4-7       │
//!  level 1 │  0-1   │  2-3   │  4-5   │  6-7   │  8-9   │
//!  level 0 │ 0 │ 1  │ 2 │ 3  │ 4 │ 5  │ 6 │ 7  │ 8 │ 9  │
//!              └─────────── window ────────────────┘
//! ```
//!
//! The window over intervals 1 to 8 is 1, 2-3, 4-7 and 8: at most two blocks of each level. A block is
//! made once, from the two below it, and lies in every window for as long as it is wholly inside. So
//! a slide by one interval costs at most 2·log₂(w) merges, where w is the number of intervals in the
//! window; merging all of them would cost w − 1.
//!
//! Each level is a stream of its own. That is all there is to keeping blocks for as long as they are
//! needed, cutting their lineage, and taking back those of an interval that failed.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use cutwater_core::{PartitionMap, Time};

use super::{Parent, StreamNode, window::Span};
use crate::{
    DStream, Error, Key,
    collection::Collection,
    rdd::{Aggregate, Combined, DatasetNode, Merging, Partitioner, Rdd},
    runtime::Engine,
    shuffle::Combiner,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// What several datasets that are partitioned alike have kept for each key, merged in their order.
struct MergeAligned<K, G>(G, PhantomData<fn(K)>);

impl<K: Key, G: Aggregate> Operator for MergeAligned<K, G> {
    type Env = G::Env;
    type Out = (K, G::Acc);

    fn rebuild(env: G::Env) -> Self {
        Self(G::rebuild(env), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let mut combiner = Combiner::new(Merging(&self.0));
        for parent in 0..node.parents() {
            node.each::<(K, G::Acc)>(parent, partition, &mut |(key, acc)| {
                node.call(|| combiner.add(key, acc));
                Flow::Continue(())
            })?;
        }
        node.call(|| combiner.into_entries()).try_for_each(|(_, key, acc)| emit((key, acc)))
    }
}

/// How datasets of one stream become one.
struct Merger<K, G: Aggregate> {
    spec: OperatorSpec<(K, G::Acc)>,
    engine: Arc<Engine>,
    partitions: u32,
}

impl<K: Key, G: Aggregate> Merger<K, G> {
    /// The datasets merged, the oldest first; of none, an empty one.
    fn merge(&self, parts: &[Rdd<(K, G::Acc)>], keep: bool) -> Rdd<(K, G::Acc)> {
        let parents = parts.iter().map(|rdd| (rdd.node().clone(), PartitionMap::Same)).collect();
        let mut node = DatasetNode::narrow(&self.engine, self.partitions, parents, &self.spec.any);
        node.partitioner = Some(Partitioner::KeyGroups { partitions: self.partitions });
        node.dataset_mut().keep = keep;
        node.of(&self.spec)
    }
}

/// For every key of the last `window`, what its values come to, into `partitions` partitions: combined
/// within each interval first, then merged across them, the oldest first.
#[track_caller]
pub(super) fn window_of_partials<K: Key, G: Aggregate>(
    of: &DStream<(K, G::Value)>,
    name: &'static str,
    env: G::Env,
    partitions: u32,
    (window, slide): (Duration, Duration),
) -> DStream<(K, G::Acc)> {
    let Span { window, slide } = of.ctx.window_of(name, of.slide(), window, slide);
    let combined = Combined::<K, G>::new(name, env.clone(), partitions, of.key_groups());
    let (spec, partitions) = (OperatorSpec::new::<MergeAligned<K, G>>(name, &env), combined.partitions);
    let merger = Arc::new(Merger::<K, G> { spec, engine: of.ctx.engine().clone(), partitions });
    let intervals = of.derive(name, move |rdd| combined.apply(rdd));
    if slide >= window {
        // No interval is in two windows, so there is nothing to keep for the next.
        let parent = intervals.node;
        let parents: Vec<Parent> = vec![(parent.clone(), window)];
        return of.ctx.stream(name, slide, parents, move |t| {
            Ok(Some(merger.merge(&parent.between(t - window, t)?, false)))
        });
    }

    let levels = Levels::new(intervals.cache(), name, &merger, window);
    let parents = levels.0.iter().map(|level| {
        // A block that ends at t begins earlier by its own length, and leaves when its beginning does.
        (level.node.clone() as _, window.saturating_sub(level.slide()))
    });
    let (parents, zero) = (parents.collect(), of.ctx.timeline().clone());
    of.ctx.stream(name, slide, parents, move |t| {
        let zero = zero.zero().unwrap_or(t);
        Ok(Some(merger.merge(&levels.cover(zero, t - window, t)?, false)))
    })
}

/// The blocks of 1, 2, 4, … intervals.
struct Levels<T>(Vec<DStream<T>>);

impl<K: Key, A: crate::Record> Levels<(K, A)> {
    #[track_caller]
    fn new<G: Aggregate<Acc = A>>(
        intervals: DStream<(K, A)>,
        name: &'static str,
        merger: &Arc<Merger<K, G>>,
        window: Duration,
    ) -> Self {
        let mut levels = vec![intervals];
        while let Some(below) = levels.last()
            && below.slide() * 2 <= window
        {
            let (half, node, merger) = (below.slide(), below.node.clone(), merger.clone());
            let parents: Vec<Parent> = vec![(node.clone(), half)];
            let level = below.ctx.stream(name, half * 2, parents, move |t| {
                let halves = [node.at(t - half)?, node.at(t)?];
                let halves: Vec<_> = halves.into_iter().flatten().collect();
                Ok((!halves.is_empty()).then(|| merger.merge(&halves, true)))
            });
            levels.push(level);
        }
        Self(levels)
    }

    /// The fewest blocks that together are (from, to], oldest first.
    fn cover(&self, zero: Time, from: Time, to: Time) -> Result<Vec<Rdd<(K, A)>>, Error> {
        let mut blocks = Vec::new();
        // A window may be much longer than the program is old.
        let mut at = from.max(zero);
        while at < to {
            let begins_and_fits = |level: &&DStream<(K, A)>| {
                StreamNode::<(K, A)>::is_aligned(at, zero, level.slide()) && at + level.slide() <= to
            };
            let Some(largest) = self.0.iter().rev().find(begins_and_fits) else {
                return Err(Error::internal("a window is not made of whole intervals"));
            };
            at = at + largest.slide();
            blocks.extend(largest.node.at(at)?);
        }
        Ok(blocks)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

    use super::*;
    use crate::{Context, testing::Harness};

    const SECOND: Duration = Duration::from_secs(1);

    /// 300 intervals in the window: never more than 2·log₂(300) calls of the function for a key.
    #[test]
    fn a_slide_costs_the_logarithm_of_the_window() {
        static KEYED: AtomicU64 = AtomicU64::new(0);
        static ALL: AtomicU64 = AtomicU64::new(0);
        let harness = Harness::with(Context::builder("test").interval(SECOND).threads(1), 1);
        let input = harness.input((0..900u64).map(|i| vec![i]));
        let keyed = input.map(|i| ('k', i)).reduce_by_key_and_window(
            |a, b| {
                KEYED.fetch_add(1, Relaxed);
                a + b
            },
            300 * SECOND,
            SECOND,
        );
        let all = input.reduce_by_window(
            |a, b| {
                ALL.fetch_add(1, Relaxed);
                a + b
            },
            300 * SECOND,
            SECOND,
        );
        let (keyed, all) = (harness.watch(&keyed), harness.watch(&all));
        for i in 0..900 {
            for calls in [&KEYED, &ALL] {
                calls.store(0, Relaxed);
            }
            harness.advance(1).unwrap();
            for calls in [&KEYED, &ALL] {
                let calls = calls.load(Relaxed);
                assert!(calls as f64 <= 2.0 * 300f64.log2(), "{calls} calls at interval {i}");
                assert!(i == 0 || calls > 0, "interval {i} takes part");
            }
        }
        for (i, (keyed, all)) in (0..900u64).zip(keyed.all().into_iter().zip(all.all())) {
            let expected: u64 = (i.saturating_sub(299)..=i).sum();
            assert_eq!((keyed, all), (Some(vec![('k', expected)]), Some(vec![expected])));
        }
    }

    /// Every window and slide of some lengths, with a function that tells the order of its arguments,
    /// intervals without a dataset, and keys that come and go.
    #[test]
    fn values_and_keys_come_oldest_first() {
        let input: Vec<Option<Vec<(char, String)>>> = (0..20)
            .map(|i| {
                let record = |key| (key, format!("{i}."));
                match i {
                    5 | 6 | 11 => None,
                    _ if i % 3 == 0 => Some(vec![record('x'), record('y')]),
                    _ => Some(vec![record('y')]),
                }
            })
            .collect();
        for window in 1..=9 {
            for slide in 1..=window + 1 {
                let harness = Harness::with(Context::builder("test").interval(SECOND).threads(1), 1);
                let stream = harness.input_or_none(input.clone());
                let reduced = stream.reduce_by_key_and_window(|a, b| a + &b, window * SECOND, slide * SECOND);
                let reduced = harness.watch(&reduced);
                let plain = harness.watch(&stream.window(window * SECOND, slide * SECOND));
                harness.advance(20).unwrap();
                for ((t, got), plain) in reduced.timed().into_iter().zip(plain.all()) {
                    let mut expected: Vec<(char, String)> = Vec::new();
                    for (key, value) in plain.unwrap() {
                        match expected.iter_mut().find(|(k, _)| *k == key) {
                            Some((_, all)) => all.push_str(&value),
                            None => expected.push((key, value)),
                        }
                    }
                    assert_eq!(got, Some(expected), "window {window}, slide {slide}, at {t}");
                }
            }
        }
    }

    /// What an interval put into blocks before it failed is taken back.
    #[test]
    fn a_failed_interval_leaves_no_block_behind() {
        let harness = Harness::new(SECOND);
        let input = harness.input((0..8).map(|i| vec![('k', 1u64 << i)]));
        let sums = input.reduce_by_key_and_window(|a, b| a + b, 4 * SECOND, SECOND);
        let watched = harness.watch(&sums);
        sums.for_each_rdd(|_, t| match t.as_ms() {
            4000 => Err(Error::user("no")),
            _ => Ok(()),
        });
        for _ in 0..8 {
            harness.step().unwrap();
        }
        let sums: Vec<u64> = watched.all().iter().flatten().map(|window| window[0].1).collect();
        let (before, failed) = ([1, 3, 7], 15);
        let after = [2 + 4 + 16, 4 + 16 + 32, 16 + 32 + 64, 16 + 32 + 64 + 128];
        assert_eq!(sums, [&before[..], &[failed], &after[..]].concat());
    }
}
