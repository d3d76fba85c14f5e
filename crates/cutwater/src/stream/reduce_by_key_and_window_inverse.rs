use std::time::Duration;

use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::{Collection, With},
};

const NAME: &str = "reduce_by_key_and_window";

impl<K: Key, V: Record, E: Record> With<DStream<(K, V)>, E> {
    /// [`DStream::reduce_by_key_and_window_inverse`] with the values handed over, to both functions.
    #[track_caller]
    pub fn reduce_by_key_and_window_inverse<F, I>(
        self,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
        I: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        let partitions = self.of.parallelism();
        self.reduce_by_key_and_window_inverse_into(partitions, f, inverse, window, slide)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_and_window_inverse_into<F, I>(
        self,
        partitions: u32,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
        I: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        let functions = (f, inverse, |_: &E, _: &K, _: &V| true);
        self.inverse_window(NAME, partitions, functions, false, (window, slide))
    }

    /// [`DStream::reduce_by_key_and_window_filtered`] with the values handed over, to all three functions.
    #[track_caller]
    pub fn reduce_by_key_and_window_filtered<F, I, P>(
        self,
        f: F,
        inverse: I,
        visible: P,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
        I: Fn(&E, V, V) -> V + Portable,
        P: Fn(&E, &K, &V) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<P>() };
        let partitions = self.of.parallelism();
        self.reduce_by_key_and_window_filtered_into(partitions, f, inverse, visible, window, slide)
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_and_window_filtered_into<F, I, P>(
        self,
        partitions: u32,
        f: F,
        inverse: I,
        visible: P,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(&E, V, V) -> V + Portable,
        I: Fn(&E, V, V) -> V + Portable,
        P: Fn(&E, &K, &V) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<P>() };
        let functions = (f, inverse, visible);
        self.inverse_window(NAME, partitions, functions, true, (window, slide))
    }
}

impl<K: Key, V: Record> DStream<(K, V)> {
    /// [`reduce_by_key_and_window`](Self::reduce_by_key_and_window) for a function that can be undone:
    /// `inverse(f(a, b), b) == a`. Each slide puts in the intervals that enter the window and takes out
    /// those that leave, so its cost does not grow with the window.
    ///
    /// A key that was in an earlier window stays, with what its value became when everything was taken
    /// out (`api.md` §4); use
    /// [`reduce_by_key_and_window_filtered`](Self::reduce_by_key_and_window_filtered) to let go of it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![('a', 1)], vec![('a', 7)], vec![], vec![]]);
    /// let sums = input.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 2 * second, second);
    /// assert_eq!(harness.run(&sums, 4)?, [[('a', 1)], [('a', 8)], [('a', 7)], [('a', 0)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_and_window_inverse<F, I>(
        &self,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        self.with(()).reduce_by_key_and_window_inverse(
            move |(), a, b| f(a, b),
            move |(), a, b| inverse(a, b),
            window,
            slide,
        )
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_and_window_inverse_into<F, I>(
        &self,
        partitions: u32,
        f: F,
        inverse: I,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        self.with(()).reduce_by_key_and_window_inverse_into(
            partitions,
            move |(), a, b| f(a, b),
            move |(), a, b| inverse(a, b),
            window,
            slide,
        )
    }

    /// [`reduce_by_key_and_window_inverse`](Self::reduce_by_key_and_window_inverse), showing only the keys and values for which `visible` holds. A key leaves when its last
    /// contribution leaves the window; a value that `visible` hides while it still has contributions is
    /// kept, and seen again when it changes (`crates/conformance/tables/spark_defects.json`, case 002).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let input = harness.input([vec![('a', 1)], vec![('a', 7)], vec![], vec![]]);
    /// let window = (2 * second, second);
    /// let sums =
    ///     input.reduce_by_key_and_window_filtered(|a, b| a + b, |a, b| a - b, |_, sum| *sum > 1, window.0, window.1);
    /// assert_eq!(harness.run(&sums, 4)?, [vec![], vec![('a', 8)], vec![('a', 7)], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_and_window_filtered<F, I, P>(
        &self,
        f: F,
        inverse: I,
        visible: P,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
        P: Fn(&K, &V) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<P>() };
        self.with(()).reduce_by_key_and_window_filtered(
            move |(), a, b| f(a, b),
            move |(), a, b| inverse(a, b),
            move |(), key, value| visible(key, value),
            window,
            slide,
        )
    }

    /// The same into a given number of partitions, at least one.
    #[track_caller]
    pub fn reduce_by_key_and_window_filtered_into<F, I, P>(
        &self,
        partitions: u32,
        f: F,
        inverse: I,
        visible: P,
        window: Duration,
        slide: Duration,
    ) -> DStream<(K, V)>
    where
        F: Fn(V, V) -> V + Portable,
        I: Fn(V, V) -> V + Portable,
        P: Fn(&K, &V) -> bool + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<I>() };
        const { closure::captures_nothing::<P>() };
        self.with(()).reduce_by_key_and_window_filtered_into(
            partitions,
            move |(), a, b| f(a, b),
            move |(), a, b| inverse(a, b),
            move |(), key, value| visible(key, value),
            window,
            slide,
        )
    }
}
