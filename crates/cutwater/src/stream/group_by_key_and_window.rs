use std::time::Duration;

use crate::{
    DStream, Key, Record,
    collection::Collection,
    placement,
    rdd::{Gather, Partitioner},
    shuffle::split_by_key,
    task::OperatorSpec,
};

impl<K: Key, V: Record> DStream<(K, V)> {
    /// Every `slide`, one record for each key of the last `window`, with all its values, the oldest first
    /// (`api.md` §3). Both spans are multiples of this stream's own slide; if they are not, the program
    /// does not start (§4.4).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![('a', 1), ('a', 2)], vec![('a', 3)], vec![]]);
    /// let groups = input.group_by_key_and_window(2 * second, second);
    /// let expected = [[('a', vec![1, 2])], [('a', vec![1, 2, 3])], [('a', vec![3])]];
    /// assert_eq!(harness.run(&groups, 3)?, expected);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn group_by_key_and_window(&self, window: Duration, slide: Duration) -> DStream<(K, Vec<V>)> {
        self.group_by_key_and_window_into(self.parallelism(), window, slide)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn group_by_key_and_window_into(
        &self,
        partitions: u32,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, Vec<V>)> {
        const NAME: &str = "group_by_key_and_window";
        // Each interval is shuffled once, by the window's first reader. The lists are as long as there
        // are values, so making them anew for each window costs no more than reading them.
        let partitions = placement::partitions_asked_for(partitions);
        let split = split_by_key(NAME, partitions, self.key_groups());
        let gather = OperatorSpec::new::<Gather<(K, V)>>(NAME, &());
        let placed = self.derive(NAME, move |rdd| {
            if rdd.partitioner() == Some(Partitioner::KeyGroups { partitions }) {
                return rdd.clone();
            }
            let (pieces, partitioner) = split(rdd);
            pieces.shuffled(&gather, Some(partitioner))
        });
        placed.windowed(NAME, window, slide).group_by_key_into(partitions)
    }
}
