use super::{EventWindows, Windowed, panes::windowed};
use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::With,
    rdd::FromZero,
};

impl<K: Key, V: Record, E: Record> With<EventWindows<(K, V)>, E> {
    /// [`EventWindows::aggregate_by_key`] with the values handed over, to both functions.
    #[track_caller]
    pub fn aggregate_by_key<A, F, G>(self, zero: A, _add: F, _merge: G) -> DStream<Windowed<K, A>>
    where
        A: Record,
        F: Fn(&E, A, V) -> A + Portable,
        G: Fn(&E, A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        let env = (zero, self.values);
        windowed::<K, FromZero<V, A, E, F, G>>(&self.of, "aggregate_by_key", env)
    }
}

impl<K: Key, V: Record> EventWindows<(K, V)> {
    /// The values of each key and window added to `zero` by `add`, and what came of that in several places
    /// put together by `merge`. As in [`reduce_by_key`](Self::reduce_by_key) the order in which they come
    /// must not matter; as in [`Rdd::aggregate_by_key`](crate::Rdd::aggregate_by_key) `zero` should change
    /// nothing.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let prices = harness.input([vec![(100, 3.0), (200, 5.0)], vec![(1_300, 9.0)]]);
    /// let means = prices
    ///     .event_time(|(ms, _)| Time::from_ms(*ms))
    ///     .map(|(_, price)| ('x', price))
    ///     .window(second)
    ///     .aggregate_by_key((0.0, 0), |(sum, n), p| (sum + p, n + 1), |(a, n), (b, m)| (a + b, n + m))
    ///     .map(|w| w.value.0 / f64::from(w.value.1));
    /// assert_eq!(harness.run(&means, 2)?, [vec![], vec![4.0]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn aggregate_by_key<A, F, G>(&self, zero: A, add: F, merge: G) -> DStream<Windowed<K, A>>
    where
        A: Record,
        F: Fn(A, V) -> A + Portable,
        G: Fn(A, A) -> A + Portable,
    {
        const { closure::captures_nothing::<F>() };
        const { closure::captures_nothing::<G>() };
        self.with(()).aggregate_by_key(
            zero,
            move |(), acc, value| add(acc, value),
            move |(), acc, other| merge(acc, other),
        )
    }
}
