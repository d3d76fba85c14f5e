use std::cmp::Reverse;

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::take_ordered_by`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn take_ordered_by<O, F>(self, n: usize, f: F) -> Result<Vec<T>, Error>
    where
        O: Ord + 'static,
        F: Fn(&E, &T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.top_by(n, move |values, record| Reverse(f(values, record)))
    }
}

impl<T: Record> Rdd<T> {
    /// The `n` lowest records, the lowest first; of equals, the earlier ones (`api.md` §12). It is
    /// [`top`](Self::top) the other way round.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([5, 1, 9, 7]).take_ordered(2)?, [1, 5]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn take_ordered(&self, n: usize) -> Result<Vec<T>, Error>
    where
        T: Ord,
    {
        self.take_ordered_by(n, |record| record.clone())
    }

    /// The `n` records for which `f` is lowest, the lowest first; of equals, the earlier ones.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let words = ctx.parallelize(["pear", "fig", "apple"].map(String::from));
    /// assert_eq!(words.take_ordered_by(2, |word| word.len())?, ["fig", "pear"]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn take_ordered_by<O, F>(&self, n: usize, f: F) -> Result<Vec<T>, Error>
    where
        O: Ord + 'static,
        F: Fn(&T) -> O + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).take_ordered_by(n, move |(), record| f(record))
    }
}
