use std::marker::PhantomData;

use crate::{
    Record,
    collection::Collection,
    rdd::Rdd,
    stream::DStream,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A partition as one record.
struct Glom<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Glom<T> {
    type Env = ();
    type Out = Vec<T>;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Vec<T>>) -> Flow {
        let mut records = Vec::new();
        node.each(0, partition, &mut |record| {
            records.push(record);
            Flow::Continue(())
        })?;
        emit(records)
    }
}

#[track_caller]
fn glommed<C: Collection>(of: &C) -> C::Of<Vec<C::Item>> {
    let spec = OperatorSpec::new::<Glom<C::Item>>("glom", &());
    of.derive("glom", move |rdd| rdd.narrow(&spec))
}

impl<T: Record> Rdd<T> {
    /// Each partition as one record: the list of what is in it (`api.md` §12).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([1, 2, 3]).glom().collect()?, [vec![1], vec![2, 3]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn glom(&self) -> Rdd<Vec<T>> {
        glommed(self)
    }
}

impl<T: Record> DStream<T> {
    /// Each partition of each interval as one record: the list of what is in it (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1)); // inputs are in two partitions
    /// let lists = harness.input([vec![1, 2, 3], vec![]]).glom();
    /// assert_eq!(harness.run(&lists, 2)?, [[vec![1], vec![2, 3]], [vec![], vec![]]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn glom(&self) -> DStream<Vec<T>> {
        glommed(self)
    }
}
