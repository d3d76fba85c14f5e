use std::marker::PhantomData;

use crate::{
    DStream, Record,
    rdd::Count,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// The sum of all partitions in one; of none, zero.
struct Sum(PhantomData<()>);

impl Operator for Sum {
    type Env = ();
    type Out = u64;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, u64>) -> Flow {
        let mut sum = 0;
        node.pieces::<u64>(0, partition, |count| {
            sum += count;
            Flow::Continue(())
        })?;
        emit(sum)
    }
}

impl<T: Record> DStream<T> {
    /// How many records each interval has: one number, 0 for an empty interval (`api.md` §3). An
    /// interval without so much as a dataset fails (§4.6).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let counts = harness.input([vec!['a', 'b'], vec![], vec!['c']]).count();
    /// assert_eq!(harness.run(&counts, 3)?, [[2], [0], [1]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count(&self) -> DStream<u64> {
        let count = OperatorSpec::new::<Count<T>>("count", &());
        let sum = OperatorSpec::new::<Sum>("count", &());
        // Each partition's count is the one piece it has for the one partition of the sum.
        self.always("count", move |rdd| rdd.pieces(&count, 1).shuffled(&sum, None))
    }
}
