use std::time::Duration;

use super::{Made, Parent};
use crate::{
    DStream, Error, Key, Record,
    collection::Collection,
    rdd::{Rdd, cogrouping, joining},
};

impl<T: Record> DStream<T> {
    /// A stream of what `f` makes of both streams' datasets, at every time of both.
    #[track_caller]
    pub(crate) fn both<W: Record, B: Record>(
        &self,
        other: &DStream<W>,
        name: &str,
        f: impl Fn(&Rdd<T>, &Rdd<W>) -> Result<Rdd<B>, Error> + Send + Sync + 'static,
    ) -> DStream<B> {
        let slide = self.ctx.same_slide(name, &[self.slide(), other.slide()]);
        let (left, right) = (self.node.clone(), other.node.clone());
        let parents: Vec<Parent> = vec![(left.clone(), Duration::ZERO), (right.clone(), Duration::ZERO)];
        let of_both = move |t| f(&left.required(t)?, &right.required(t)?).map(Some);
        self.ctx.stream_made(Made::OfItsInterval, name, slide, parents, of_both)
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// For each key of both streams in an interval, every value here with every value there. The
    /// streams must have the same slide (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![(7, 'c')], vec![(8, 'd')]]);
    /// let views = harness.input([vec![(7, 'v'), (9, 'w')], vec![(7, 'x')]]);
    /// assert_eq!(harness.run(&clicks.join(&views), 2)?, [vec![(7, ('c', 'v'))], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn join<W: Record>(&self, other: &DStream<(K, W)>) -> DStream<(K, (V, W))> {
        self.join_into(other, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn join_into<W: Record>(&self, other: &DStream<(K, W)>, partitions: u32) -> DStream<(K, (V, W))> {
        let join = joining(partitions, self.key_groups());
        self.both(other, "join", move |a, b| Ok(join(a, b)))
    }

    /// For each key of either stream in an interval, all its values here and all its values there. The
    /// streams must have the same slide (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let clicks = harness.input([vec![(7, 'c'), (7, 'd')], vec![]]);
    /// let views = harness.input([vec![(7, 'v')], vec![(8, 'w')]]);
    /// let both = clicks.cogroup(&views);
    /// assert_eq!(harness.run(&both, 2)?, [[(7, (vec!['c', 'd'], vec!['v']))], [(8, (vec![], vec!['w']))]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn cogroup<W: Record>(&self, other: &DStream<(K, W)>) -> DStream<(K, (Vec<V>, Vec<W>))> {
        self.cogroup_into(other, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn cogroup_into<W: Record>(
        &self,
        other: &DStream<(K, W)>,
        partitions: u32,
    ) -> DStream<(K, (Vec<V>, Vec<W>))> {
        let cogroup = cogrouping("cogroup", partitions, self.key_groups());
        self.both(other, "cogroup", move |a, b| Ok(cogroup(a, b)))
    }
}
