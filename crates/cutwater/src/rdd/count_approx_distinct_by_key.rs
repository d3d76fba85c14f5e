use super::{count_approx_distinct::no_such_error, refused::refused, sketch::Sketch};
use crate::{Key, Record, rdd::Rdd};

impl<K: Key, V: Record> Rdd<(K, V)> {
    /// About how many different values each key has (`api.md` §12): as
    /// [`count_approx_distinct`](Self::count_approx_distinct), with a sketch for each key.
    ///
    /// # Errors
    /// The action that uses it fails unless `error` is between 0.0021 and 1.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(1);
    /// let visits = ctx.parallelize([('a', 1), ('b', 7), ('a', 2), ('a', 1)]);
    /// let pages = visits.count_approx_distinct_by_key(0.05);
    /// assert_eq!(pages.collect()?, [('a', 2), ('b', 1)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn count_approx_distinct_by_key(&self, error: f64) -> Rdd<(K, u64)> {
        let name = "count_approx_distinct_by_key";
        let Some(empty) = Sketch::with_error(error) else {
            return refused(self.engine(), name, no_such_error(name, error));
        };
        let add = |mut sketch: Sketch, value: V| {
            sketch.add(&value);
            sketch
        };
        let sketches = self.aggregate_by_key(empty, add, |sketch, other| sketch.merge(&other));
        sketches.map_values(|sketch| sketch.estimate())
    }
}
