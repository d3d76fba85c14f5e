use super::{EventWindows, Windowed, panes::windowed};
use crate::{
    DStream, Key, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Reduction,
};

impl<K: Key, V: Record, E: Record> With<EventWindows<(K, V)>, E> {
    /// [`EventWindows::reduce_by_key`] with the values handed over.
    #[track_caller]
    pub fn reduce_by_key<F: Fn(&E, V, V) -> V + Portable>(self, _f: F) -> DStream<Windowed<K, V>> {
        const { closure::captures_nothing::<F>() };
        windowed::<K, Reduction<V, E, F>>(&self.of, "reduce_by_key", self.values)
    }
}

impl<K: Key, V: Record> EventWindows<(K, V)> {
    /// The values of each key and window reduced by `f`, which must be associative and commutative: within
    /// a window, records come in no order of their own.
    ///
    /// In each interval it has the results of the windows that passed with it, and corrections of those
    /// that had passed before and have new records ([`Emission`](crate::Emission)), the earliest window
    /// first within each partition.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Emission, Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// // (second, sensor, temperature)
    /// let readings = harness.input([vec![(0, 'x', 20), (1, 'x', 23)], vec![(0, 'x', 25)], vec![(2, 'x', 19)]]);
    /// let highest = readings
    ///     .event_time(|(s, ..)| Time::from_ms(s * 1_000))
    ///     .map(|(_, sensor, temperature)| (sensor, temperature))
    ///     .window(second)
    ///     .allowed_lateness(60 * second)
    ///     .reduce_by_key(i32::max)
    ///     .map(|w| (w.window.start.as_ms(), w.key, w.value, w.kind));
    /// assert_eq!(
    ///     harness.run(&highest, 3)?,
    ///     [
    ///         vec![(0, 'x', 20, Emission::Result)],
    ///         vec![(0, 'x', 25, Emission::Correction)],
    ///         vec![(1_000, 'x', 23, Emission::Result)],
    ///     ]
    /// );
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key<F: Fn(V, V) -> V + Portable>(&self, f: F) -> DStream<Windowed<K, V>> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key(move |(), a, b| f(a, b))
    }
}
