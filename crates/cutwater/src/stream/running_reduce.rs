use std::{marker::PhantomData, time::Duration};

use cutwater_core::{Parent as Edge, PartitionMap};

use super::{Made, Parent};
use crate::{
    DStream, Key, Record,
    checkpoint::saved::Saving,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::{Aggregate, Combined, DatasetNode, Reduction},
    state::{Table, changes::ByKey, entries::Entries, key_hash},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The table of the interval before, with this interval's values merged in.
///
/// Parent 0 is the shuffle of the interval's values, combined within each map partition; parent 1,
/// from the second interval on, is the table before.
struct Running<K, G>(G, PhantomData<fn(K)>);

impl<K: Key, G: Aggregate> Operator for Running<K, G> {
    type Env = G::Env;
    type Out = Table<K, G::Acc>;

    fn rebuild(env: G::Env) -> Self {
        Self(G::rebuild(env), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Self::Out>) -> Flow {
        let before = if node.parents() > 1 { node.only(1, partition)? } else { None };
        let mut table: Table<K, G::Acc> = before.unwrap_or_default();
        node.pieces::<Vec<(K, G::Acc)>>(0, partition, |piece| {
            node.call(|| {
                for (key, acc) in piece {
                    let merge = |old: Option<G::Acc>| {
                        Some(match old {
                            Some(old) => self.0.merge(old, acc.clone()),
                            None => acc.clone(),
                        })
                    };
                    table.alter(key_hash(key), key, merge);
                }
            });
            Flow::Continue(())
        })?;
        table.settle();
        emit(table)
    }
}

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::running_reduce`] with the values handed over.
    #[track_caller]
    pub fn running_reduce<F: Fn(&E, V, V) -> V + Portable>(self, _f: F) -> DStream<(K, V)> {
        const { closure::captures_nothing::<F>() };
        running::<K, Reduction<V, E, F>>(&self.of, "running_reduce", self.values)
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// For every key seen since the start, all its values so far reduced by the associative function
    /// `f` (the running count of the paper's first example).
    ///
    /// An interval costs by the keys it touches; reading the result costs by the keys there are.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let views = harness.input([vec!["/a"], vec!["/a", "/b"], vec![]].map(|urls| {
    ///     urls.into_iter().map(|url| (url.to_owned(), 1u64)).collect()
    /// }));
    /// let counts = views.running_reduce(|a, b| a + b).transform(|rdd, _| rdd.sort_by(|c| c.0.clone()));
    /// let two = vec![("/a".to_owned(), 2), ("/b".to_owned(), 1)];
    /// assert_eq!(harness.run(&counts, 3)?, [vec![("/a".to_owned(), 1)], two.clone(), two]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn running_reduce<F: Fn(V, V) -> V + Portable>(&self, f: F) -> DStream<(K, V)> {
        const { closure::captures_nothing::<F>() };
        self.with(()).running_reduce(move |(), a, b| f(a, b))
    }
}

#[track_caller]
fn running<K: Key, G: Aggregate>(
    of: &DStream<(K, G::Value)>,
    name: &str,
    env: G::Env,
) -> DStream<(K, G::Acc)> {
    let partitions = of.parallelism();
    let combined = Combined::<K, G>::new(name, env.clone(), partitions, of.key_groups());
    let spec = OperatorSpec::new::<Running<K, G>>(name, &env);
    let (engine, parent, partitioner) = (of.ctx.engine().clone(), of.node.clone(), combined.partitioner());
    let parents: Vec<Parent> = vec![(parent.clone(), Duration::ZERO)];
    let split = move |t| Ok(parent.at(t)?.map(|rdd| combined.split(&rdd)));
    let split = of.ctx.stream_made(Made::ForAShuffle, name, of.slide(), parents, split).node;
    let parents: Vec<Parent> = vec![(split.clone(), Duration::ZERO)];
    let saving = Saving::by_key::<ByKey>(name, partitions, of.key_groups());
    let tables = of.ctx.stateful_stream(name, of.slide(), parents, saving, move |t, before| {
        let Some(pieces) = split.at(t)? else { return Ok(before) };
        let shuffle = Edge::Shuffle { dataset: pieces.node().dataset.id };
        let mut edges = vec![(pieces.node().clone(), shuffle)];
        if let Some(before) = &before {
            let dataset = before.node().dataset.id;
            edges.push((before.node().clone(), Edge::Narrow { dataset, map: PartitionMap::Same }));
        }
        let mut node = DatasetNode::new(&engine, partitions, edges, &spec.any);
        node.partitioner = Some(partitioner);
        node.dataset_mut().keep = true;
        Ok(Some(node.of(&spec)))
    });
    let entries = OperatorSpec::new::<Entries<K, G::Acc>>(name, &());
    tables.derive(name, move |tables| tables.narrow_in_place(&entries))
}
