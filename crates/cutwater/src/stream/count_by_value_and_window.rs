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
        let functions = (|a, b| a + b, |a, b| a - b, |_: &T, count: &u64| *count != 0);
        let ones = self.map(|record| (record, 1));
        let partitions = self.parallelism();
        ones.inverse_window("count_by_value_and_window", partitions, functions, true, (window, slide))
    }
}
