use std::marker::PhantomData;

use crate::{
    Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Records numbered by the partition and in steps of as many partitions as there are.
struct ZipWithUniqueId<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for ZipWithUniqueId<T> {
    type Env = ();
    type Out = (T, u64);

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (T, u64)>) -> Flow {
        let (mut id, step) = (u64::from(partition), u64::from(node.partitions()));
        node.each(0, partition, &mut |record| {
            let own = id;
            id += step;
            emit((record, own))
        })
    }
}

impl<T: Record> Rdd<T> {
    /// Each record with a number that no other has: the records of partition `p` of `n` get `p`,
    /// `p + n`, `p + 2n` and so on (`api.md` §12). Unlike
    /// [`zip_with_index`](Self::zip_with_index) it needs no job of its own, and leaves gaps.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let named = ctx.parallelize(['a', 'b', 'c']).zip_with_unique_id();
    /// assert_eq!(named.collect()?, [('a', 0), ('b', 1), ('c', 3)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_with_unique_id(&self) -> Rdd<(T, u64)> {
        self.narrow(&OperatorSpec::new::<ZipWithUniqueId<T>>("zip_with_unique_id", &()))
    }
}
