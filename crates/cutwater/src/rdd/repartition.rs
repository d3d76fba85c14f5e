use std::marker::PhantomData;

use super::partition_by::Gather;
use crate::{
    Record,
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Records dealt out in turn. Each partition starts at another place, so that small partitions do
/// not all give to the first.
struct Deal<T>(u32, PhantomData<fn(T)>);

impl<T: Record> Operator for Deal<T> {
    type Env = u32;
    type Out = Vec<T>;

    fn rebuild(partitions: u32) -> Self {
        Self(partitions, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<T>>) -> Flow {
        let mut pieces: Vec<Vec<T>> = (0..self.0).map(|_| Vec::new()).collect();
        let mut next = partition as usize;
        node.each(0, partition, &mut |record| {
            next %= pieces.len();
            pieces[next].push(record);
            next += 1;
            Flow::Continue(())
        })?;
        pieces.into_iter().try_for_each(emit)
    }
}

/// How a dataset is dealt out, ready for the datasets of any interval.
#[track_caller]
fn repartitioning<T: Record>(partitions: u32) -> impl Fn(&Rdd<T>) -> Rdd<T> + Send + Sync + 'static {
    let partitions = partitions.max(1);
    let deal = OperatorSpec::new::<Deal<T>>("repartition", &partitions);
    let gather = OperatorSpec::new::<Gather<T>>("repartition", &());
    move |rdd| rdd.pieces(&deal, partitions).shuffled(&gather, None)
}

impl<T: Record> Rdd<T> {
    /// The same records spread evenly over `partitions` partitions (at least one), by a shuffle.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let spread = ctx.parallelize(0..10).repartition(5);
    /// assert_eq!((spread.num_partitions(), spread.count()?), (5, 10));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition(&self, partitions: u32) -> Rdd<T> {
        repartitioning(partitions)(self)
    }
}

impl<T: Record> DStream<T> {
    /// Each interval's records spread evenly over `partitions` partitions (`api.md` §3). An interval
    /// without so much as a dataset fails (§4.6).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let spread = harness.input([(0..30).collect::<Vec<_>>()]).repartition(3);
    /// assert_eq!(harness.run(&spread.map_partitions(|part| [part.len()]), 1)?, [[10, 10, 10]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn repartition(&self, partitions: u32) -> DStream<T> {
        self.always("repartition", repartitioning(partitions))
    }
}
