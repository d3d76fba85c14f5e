use std::marker::PhantomData;

use super::cogroup::cogrouping;
use crate::{
    Key, Record,
    closure::{self, Portable},
    collection::Collection,
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Every value of one side with every value of the other, from what a cogroup listed; a side
/// without any stands in as `None`. What the function has no answer for is left out.
struct PairsOrNone<K, V, W, X, F>(F, PhantomData<fn(K, V, W) -> X>);

impl<K, V, W, X, F> Operator for PairsOrNone<K, V, W, X, F>
where
    K: Key,
    V: Record,
    W: Record,
    X: Record,
    F: Fn(Option<V>, Option<W>) -> Option<X> + Portable,
{
    type Env = ();
    type Out = (K, X);

    fn rebuild((): ()) -> Self {
        Self(closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (K, X)>) -> Flow {
        node.each::<(K, (Vec<V>, Vec<W>))>(0, partition, &mut |(key, (left, right))| {
            let right = or_none(right);
            for v in or_none(left) {
                for w in &right {
                    let pair = node.call(|| (self.0)(v.clone(), w.clone()).map(|pair| (key.clone(), pair)));
                    pair.map_or(Flow::Continue(()), &mut *emit)?;
                }
            }
            Flow::Continue(())
        })
    }
}

fn or_none<V>(values: Vec<V>) -> Vec<Option<V>> {
    if values.is_empty() { vec![None] } else { values.into_iter().map(Some).collect() }
}

/// How two datasets are joined, ready for the datasets of any interval.
#[track_caller]
fn joining<K, V, W, X, F>(
    name: &str,
    partitions: u32,
    groups: u32,
    _pair: F,
) -> impl Fn(&Rdd<(K, V)>, &Rdd<(K, W)>) -> Rdd<(K, X)> + Send + Sync + 'static
where
    K: Key,
    V: Record,
    W: Record,
    X: Record,
    F: Fn(Option<V>, Option<W>) -> Option<X> + Portable,
{
    let cogroup = cogrouping(name, partitions, groups);
    let spec = OperatorSpec::new::<PairsOrNone<K, V, W, X, F>>(name, &());
    move |a, b| cogroup(a, b).narrow_in_place(&spec)
}

fn left<V, W>(v: Option<V>, w: Option<W>) -> Option<(V, Option<W>)> {
    v.map(|v| (v, w))
}

fn right<V, W>(v: Option<V>, w: Option<W>) -> Option<(Option<V>, W)> {
    w.map(|w| (v, w))
}

fn full<V, W>(v: Option<V>, w: Option<W>) -> Option<(Option<V>, Option<W>)> {
    Some((v, w))
}

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// For each key here, every value here with every value there, or with `None` if there is none
    /// (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let prices = ctx.parallelize([('a', 10), ('b', 20)]);
    /// let stock = ctx.parallelize([('a', 7), ('c', 9)]);
    /// let joined = prices.left_outer_join(&stock).collect()?;
    /// assert_eq!(joined, [('a', (10, Some(7))), ('b', (20, None))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn left_outer_join<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, (V, Option<W>))> {
        self.left_outer_join_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn left_outer_join_into<W: Record>(
        &self,
        other: &Rdd<(K, W)>,
        partitions: u32,
    ) -> Rdd<(K, (V, Option<W>))> {
        joining("left_outer_join", partitions, self.engine().key_groups(), left)(self, other)
    }

    /// For each key there, every value there with every value here, or with `None` if there is none
    /// (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let prices = ctx.parallelize([('a', 10), ('b', 20)]);
    /// let stock = ctx.parallelize([('a', 7), ('c', 9)]);
    /// let joined = prices.right_outer_join(&stock).collect()?;
    /// assert_eq!(joined, [('a', (Some(10), 7)), ('c', (None, 9))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn right_outer_join<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, (Option<V>, W))> {
        self.right_outer_join_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn right_outer_join_into<W: Record>(
        &self,
        other: &Rdd<(K, W)>,
        partitions: u32,
    ) -> Rdd<(K, (Option<V>, W))> {
        joining("right_outer_join", partitions, self.engine().key_groups(), right)(self, other)
    }

    /// For each key of either side, every value here with every value there; `None` stands for the
    /// side that has none (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let prices = ctx.parallelize([('a', 10), ('b', 20)]);
    /// let stock = ctx.parallelize([('a', 7), ('c', 9)]);
    /// let joined = prices.full_outer_join(&stock).collect()?;
    /// assert_eq!(joined, [('a', (Some(10), Some(7))), ('b', (Some(20), None)), ('c', (None, Some(9)))]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn full_outer_join<W: Record>(&self, other: &Rdd<(K, W)>) -> Rdd<(K, (Option<V>, Option<W>))> {
        self.full_outer_join_into(other, self.larger_of(other))
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn full_outer_join_into<W: Record>(
        &self,
        other: &Rdd<(K, W)>,
        partitions: u32,
    ) -> Rdd<(K, (Option<V>, Option<W>))> {
        joining("full_outer_join", partitions, self.engine().key_groups(), full)(self, other)
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// For each key of this stream in an interval, every value here with every value there, or with
    /// `None` if there is none. The streams must have the same slide (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![(7, 'c')], vec![(8, 'd')]]);
    /// let views = harness.input([vec![(7, 'v'), (9, 'w')], vec![]]);
    /// let joined = clicks.left_outer_join(&views);
    /// assert_eq!(harness.run(&joined, 2)?, [[(7, ('c', Some('v')))], [(8, ('d', None))]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn left_outer_join<W: Record>(&self, other: &DStream<(K, W)>) -> DStream<(K, (V, Option<W>))> {
        self.left_outer_join_into(other, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn left_outer_join_into<W: Record>(
        &self,
        other: &DStream<(K, W)>,
        partitions: u32,
    ) -> DStream<(K, (V, Option<W>))> {
        let join = joining("left_outer_join", partitions, self.key_groups(), left);
        self.both(other, "left_outer_join", move |a, b| Ok(join(a, b)))
    }

    /// For each key of the other stream in an interval, every value there with every value here, or
    /// with `None` if there is none. The streams must have the same slide (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![(7, 'c')], vec![(8, 'd')]]);
    /// let views = harness.input([vec![(7, 'v')], vec![(9, 'w')]]);
    /// let joined = clicks.right_outer_join(&views);
    /// assert_eq!(harness.run(&joined, 2)?, [[(7, (Some('c'), 'v'))], [(9, (None, 'w'))]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn right_outer_join<W: Record>(&self, other: &DStream<(K, W)>) -> DStream<(K, (Option<V>, W))> {
        self.right_outer_join_into(other, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn right_outer_join_into<W: Record>(
        &self,
        other: &DStream<(K, W)>,
        partitions: u32,
    ) -> DStream<(K, (Option<V>, W))> {
        let join = joining("right_outer_join", partitions, self.key_groups(), right);
        self.both(other, "right_outer_join", move |a, b| Ok(join(a, b)))
    }

    /// For each key of either stream in an interval, every value here with every value there; `None`
    /// stands for the side that has none. The streams must have the same slide (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![(7, 'c')], vec![(8, 'd')]]);
    /// let views = harness.input([vec![(7, 'v')], vec![]]);
    /// let joined = clicks.full_outer_join(&views);
    /// assert_eq!(harness.run(&joined, 2)?, [[(7, (Some('c'), Some('v')))], [(8, (Some('d'), None))]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn full_outer_join<W: Record>(
        &self,
        other: &DStream<(K, W)>,
    ) -> DStream<(K, (Option<V>, Option<W>))> {
        self.full_outer_join_into(other, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn full_outer_join_into<W: Record>(
        &self,
        other: &DStream<(K, W)>,
        partitions: u32,
    ) -> DStream<(K, (Option<V>, Option<W>))> {
        let join = joining("full_outer_join", partitions, self.key_groups(), full);
        self.both(other, "full_outer_join", move |a, b| Ok(join(a, b)))
    }
}
