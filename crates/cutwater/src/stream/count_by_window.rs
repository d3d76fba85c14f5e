use std::{marker::PhantomData, time::Duration};

use crate::{
    DStream, Record,
    collection::Collection,
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// How many records a partition has, if it has any: until there has been a record nothing is counted.
struct CountAny<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for CountAny<T> {
    type Env = ();
    type Out = u64;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, u64>) -> Flow {
        let mut count = 0;
        node.each::<T>(0, partition, &mut |_| {
            count += 1;
            Flow::Continue(())
        })?;
        if count == 0 { Flow::Continue(()) } else { emit(count) }
    }
}

impl<T: Record> DStream<T> {
    /// Every `slide`, how many records the last `window` has. Both are multiples of this stream's own
    /// slide; if they are not, the program does not start (`api.md` §4.4).
    ///
    /// Until the first record ever there is nothing, not 0; afterwards an empty window counts 0 (`api.md`
    /// §4, "Inverse window"). The cost does not grow with the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![], vec!['a', 'b'], vec!['c'], vec![], vec![]]);
    /// let counts = input.count_by_window(2 * second, second);
    /// assert_eq!(harness.run(&counts, 5)?, [vec![], vec![2], vec![3], vec![1], vec![0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_window(&self, window: Duration, slide: Duration) -> DStream<u64> {
        const NAME: &str = "count_by_window";
        let spec = OperatorSpec::new::<CountAny<T>>(NAME, &());
        let counts = self.derive(NAME, move |rdd| rdd.narrow(&spec)).unkeyed(NAME);
        let functions = (|(): &(), a, b| a + b, |(): &(), a, b| a - b, |(): &(), (): &(), _: &u64| true);
        counts.with(()).inverse_window(NAME, 1, functions, false, (window, slide)).bare(NAME)
    }
}
