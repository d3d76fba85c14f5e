use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
};

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::foreach_partition`] with the values handed over.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn foreach_partition<F: Fn(&E, Vec<T>) + Portable>(self, f: F) -> Result<(), Error> {
        const { closure::captures_nothing::<F>() };
        let nothing = self.map_partitions(move |values, records| {
            f(values, records);
            None::<()>
        });
        nothing.compute().map(drop)
    }
}

impl<T: Record> Rdd<T> {
    /// Calls `f` with the records of every partition, where they are (`api.md` §12): for work that
    /// is worth preparing once for many records, such as a connection. A task that fails is run
    /// again, so a partition may be seen more than once. The partition is held in memory.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    /// # let ctx = Context::local(2);
    /// static LARGEST: AtomicUsize = AtomicUsize::new(0);
    /// ctx.parallelize(0..5).foreach_partition(|records| { LARGEST.fetch_max(records.len(), Relaxed); })?;
    /// assert_eq!(LARGEST.load(Relaxed), 3);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn foreach_partition<F: Fn(Vec<T>) + Portable>(&self, f: F) -> Result<(), Error> {
        const { closure::captures_nothing::<F>() };
        self.with(()).foreach_partition(move |(), records| f(records))
    }
}
