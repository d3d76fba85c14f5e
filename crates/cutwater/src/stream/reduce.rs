use crate::{
    DStream, Record,
    closure::{self, Portable},
    collection::With,
    rdd::{Reduction, combined_into_one},
};

impl<T: Record, E: Record> With<DStream<T>, E> {
    /// [`DStream::reduce`] with the values handed over.
    #[track_caller]
    pub fn reduce<F: Fn(&E, T, T) -> T + Portable>(self, _f: F) -> DStream<T> {
        const { closure::captures_nothing::<F>() };
        combined_into_one::<_, Reduction<T, E, F>>(&self.of, "reduce", self.values)
    }
}

impl<T: Record> DStream<T> {
    /// Each interval's records reduced to one by the associative function `f`; an empty interval
    /// stays empty (`api.md` §3).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let highest = harness.input([vec![3, 9, 4], vec![]]).reduce(i32::max);
    /// assert_eq!(harness.run(&highest, 2)?, [vec![9], vec![]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce<F: Fn(T, T) -> T + Portable>(&self, f: F) -> DStream<T> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce(move |(), a, b| f(a, b))
    }
}
