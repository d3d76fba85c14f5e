use std::marker::PhantomData;

use crate::{
    Error, Record,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// How many records a partition has.
pub(crate) struct Count<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Count<T> {
    type Env = ();
    type Out = u64;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, u64>) -> Flow {
        let mut count = 0;
        node.lent::<T>(0, partition, &mut |records| {
            count += records.len() as u64;
            Flow::Continue(())
        })?;
        emit(count)
    }
}

impl<T: Record> Rdd<T> {
    /// How many records there are.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize(0..10).filter(|n| n % 3 == 0).count()?, 4);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> Result<u64, Error> {
        let spec = OperatorSpec::new::<Count<T>>("count", &());
        Ok(self.narrow(&spec).collect()?.into_iter().sum())
    }
}
