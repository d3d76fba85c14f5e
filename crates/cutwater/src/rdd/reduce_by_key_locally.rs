use std::collections::{BTreeMap, btree_map::Entry};

use super::combine_by_key::{CombineInPlace, Reduction};
use crate::{
    Error, Key, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{OperatorSpec, on_master},
};

impl<K: Key + Ord, V: Record, E: Record> With<Rdd<(K, V)>, E> {
    /// [`Rdd::reduce_by_key_locally`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn reduce_by_key_locally<F>(self, f: F) -> Result<BTreeMap<K, V>, Error>
    where
        F: Fn(&E, V, V) -> V + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let name = "reduce_by_key_locally";
        let spec = OperatorSpec::new::<CombineInPlace<K, Reduction<V, E, F>>>(name, &self.values);
        let partials = self.of.narrow(&spec).collect()?;
        let reduce = || {
            let mut reduced: BTreeMap<K, V> = BTreeMap::new();
            for (key, value) in partials {
                match reduced.entry(key) {
                    Entry::Vacant(entry) => {
                        entry.insert(value);
                    }
                    // Taken out and put back, since `f` wants the value and not a reference to it.
                    Entry::Occupied(entry) => {
                        let (key, so_far) = entry.remove_entry();
                        reduced.insert(key, f(&self.values, so_far, value));
                    }
                }
            }
            Ok(reduced)
        };
        on_master(reduce).map_err(|error| error.at(&spec.any.label))
    }
}

impl<K: Key + Ord, V: Record> Rdd<(K, V)> {
    /// As [`reduce_by_key`](Self::reduce_by_key), with the last step on the master and the answer a
    /// sorted map there (`api.md` §12): nothing is shuffled, but every partition sends all its keys.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let sums = ctx.parallelize([('b', 1), ('a', 2), ('b', 3)]).reduce_by_key_locally(|x, y| x + y)?;
    /// assert!(sums.into_iter().eq([('a', 2), ('b', 4)]));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn reduce_by_key_locally<F: Fn(V, V) -> V + Portable>(&self, f: F) -> Result<BTreeMap<K, V>, Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).reduce_by_key_locally(move |(), a, b| f(a, b))
    }
}
