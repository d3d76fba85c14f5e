use std::marker::PhantomData;

use cutwater_core::PartitionMap;

use crate::{
    Error, Record,
    rdd::{DatasetNode, Rdd, unless_enough},
    task::{Emit, Flow, Node, Operator, OperatorSpec, Stop},
};

/// The first records of a partition.
struct First<T>(u64, PhantomData<fn(T)>);

impl<T: Record> Operator for First<T> {
    type Env = u64;
    type Out = T;

    fn rebuild(n: u64) -> Self {
        Self(n, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, T>) -> Flow {
        let mut left = self.0;
        unless_enough(node.each(0, partition, &mut |record| {
            if left == 0 {
                return Flow::Break(Stop::Enough);
            }
            left -= 1;
            emit(record)?;
            if left == 0 { Flow::Break(Stop::Enough) } else { Flow::Continue(()) }
        }))
    }
}

impl<T: Record> Rdd<T> {
    /// The first `n` records. Partitions are computed in growing rounds until there are enough,
    /// and each only as far as needed.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(4);
    /// assert_eq!(ctx.parallelize(0..1_000_000).take(3)?, [0, 1, 2]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn take(&self, n: usize) -> Result<Vec<T>, Error> {
        let mut taken = Vec::new();
        let (mut from, mut round) = (0, 1);
        while taken.len() < n && from < self.num_partitions() {
            let partitions = round.min(self.num_partitions() - from);
            let spec = OperatorSpec::new::<First<T>>("take", &((n - taken.len()) as u64));
            let parents = vec![(self.node.clone(), PartitionMap::Skip(from))];
            let some = DatasetNode::narrow(self.engine(), partitions, parents, &spec.any).of(&spec);
            taken.extend(some.collect()?);
            (from, round) = (from + partitions, round.saturating_mul(4));
        }
        taken.truncate(n);
        Ok(taken)
    }

    /// The first record (`api.md` §12).
    ///
    /// # Errors
    /// The dataset is empty, besides those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([3, 1, 2]).first()?, 3);
    /// assert!(ctx.parallelize(Vec::<i32>::new()).first().is_err());
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn first(&self) -> Result<T, Error> {
        let first = self.take(1)?.pop();
        first.ok_or_else(|| {
            Error::user("`first` of an empty dataset: there is nothing to answer; use `take(1)`")
        })
    }
}
