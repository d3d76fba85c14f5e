use std::{collections::BTreeMap, marker::PhantomData};

use super::combine_by_key::{Aggregate, Combined};
use crate::{
    Error, Key, Record,
    collection::Collection,
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Every record as a key.
struct AsKey<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for AsKey<T> {
    type Env = ();
    type Out = (T, ());

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (T, ())>) -> Flow {
        node.each(0, partition, &mut |record| emit((record, ())))
    }
}

/// How often a key came.
struct Times;

impl Aggregate for Times {
    type Env = ();
    type Value = ();
    type Acc = u64;

    fn rebuild((): ()) -> Self {
        Self
    }

    fn start(&self, (): ()) -> u64 {
        1
    }

    fn add(&self, times: u64, (): ()) -> u64 {
        times + 1
    }

    fn merge(&self, times: u64, other: u64) -> u64 {
        times + other
    }
}

#[track_caller]
fn counted_by_value<C: Collection<Item: Key>>(of: &C, partitions: u32) -> C::Of<(C::Item, u64)> {
    let keyed = OperatorSpec::new::<AsKey<C::Item>>("count_by_value", &());
    let counted = Combined::<C::Item, Times>::new("count_by_value", (), partitions, of.key_groups());
    of.derive("count_by_value", move |rdd| counted.apply(&rdd.narrow(&keyed)))
}

impl<T: Key + Ord> Rdd<T> {
    /// How often each record comes, in order of the records (`api.md` §12). The answer is held by the
    /// master; for very many different records count with
    /// [`reduce_by_key`](Self::reduce_by_key).
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let counts = ctx.parallelize(['b', 'a', 'b']).count_by_value()?;
    /// assert!(counts.into_iter().eq([('a', 1), ('b', 2)]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value(&self) -> Result<BTreeMap<T, u64>, Error> {
        counted_by_value(self, self.parallelism()).collect_as_map()
    }
}

impl<T: Key> DStream<T> {
    /// How often each record of the interval comes (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let counts = harness.input([vec!['a', 'a'], vec![], vec!['b']]).count_by_value();
    /// assert_eq!(harness.run(&counts, 3)?, [vec![('a', 2)], vec![], vec![('b', 1)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value(&self) -> DStream<(T, u64)> {
        counted_by_value(self, self.parallelism())
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn count_by_value_into(&self, partitions: u32) -> DStream<(T, u64)> {
        counted_by_value(self, partitions)
    }
}
