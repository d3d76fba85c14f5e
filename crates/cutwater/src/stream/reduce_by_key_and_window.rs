use std::time::Duration;

use super::partials::window_of_partials;
use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    rdd::Reduction,
};

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::reduce_by_key_and_window`] with the values handed over.
    #[track_caller]
    pub fn reduce_by_key_and_window<F>(self, f: F, window: Duration, slide: Duration) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        let partitions = self.of.parallelism();
        self.reduce_by_key_and_window_into(partitions, f, window, slide)
    }

    /// The same into a given number of partitions.
    #[track_caller]
    pub fn reduce_by_key_and_window_into<F>(
        self,
        partitions: u32,
        _f: F,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        window_of_partials::<K, Reduction<V, E, F>>(
            &self.of,
            "reduce_by_key_and_window",
            self.values,
            partitions,
            (window, slide),
        )
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// Every `slide`, one record for each key of the last `window`: its values reduced by the
    /// associative function `f`, the oldest first (`api.md` §3). Both are multiples of this stream's own
    /// slide; if they are not, the program does not start (§4.4).
    ///
    /// A slide costs by the logarithm of the intervals in the window, not by their number. If `f` can be
    /// undone, [`reduce_by_key_and_window_inverse`](Self::reduce_by_key_and_window_inverse) does less
    /// work still.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![('a', 1)], vec![('a', 7)], vec![('a', 2)]]);
    /// let highest = input.reduce_by_key_and_window(i32::max, 2 * second, second);
    /// assert_eq!(harness.run(&highest, 3)?, [[('a', 1)], [('a', 7)], [('a', 7)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_and_window<F>(&self, f: F, window: Duration, slide: Duration) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key_and_window(move |(), a, b| f(a, b), window, slide)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_and_window_into<F>(
        &self,
        partitions: u32,
        f: F,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key_and_window_into(partitions, move |(), a, b| f(a, b), window, slide)
    }
}
