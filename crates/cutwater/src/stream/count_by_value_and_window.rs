use std::time::Duration;

use crate::{DStream, Key, collection::Collection};

impl<T: Key> DStream<T> {
    /// Every `slide`, how often each record is in the last `window`; what is not in it is not shown
    /// (`api.md` §3). Both spans are multiples of this stream's own slide; if they are not, the program
    /// does not start (§4.4). The cost does not grow with the window.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let counts = harness.input([vec!['a', 'a'], vec!['a']]).count_by_value_and_window(2 * second, second);
    /// assert_eq!(harness.run(&counts, 4)?, [vec![('a', 2)], vec![('a', 3)], vec![('a', 1)], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_by_value_and_window(&self, window: Duration, slide: Duration) -> DStream<(T, u64)> {
        self.count_by_value_and_window_into(self.parallelism(), window, slide)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn count_by_value_and_window_into(
        &self,
        partitions: u32,
        window: Duration,
        slide: Duration,
    ) -> DStream<(T, u64)> {
        let add = |(): &(), a, b| a + b;
        let subtract = |(): &(), a, b| a - b;
        let functions = (add, subtract, |(): &(), _: &T, count: &u64| *count != 0);
        let ones = self.map(|record| (record, 1)).with(());
        ones.inverse_window("count_by_value_and_window", partitions, functions, true, (window, slide))
    }
}
