use crate::{Error, Record, rdd::Rdd};

impl<T: Record> Rdd<T> {
    /// All records, partition by partition, brought to the master.
    ///
    /// # Errors
    /// A function of the program panicked, or something outside failed and kept failing.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// assert_eq!(ctx.parallelize([3, 1, 2]).collect()?, [3, 1, 2]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn collect(&self) -> Result<Vec<T>, Error> {
        Ok(self.partitions()?.into_iter().flatten().collect())
    }

    /// The records of each partition.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let partitions = ctx.parallelize_into(2, [3, 1, 2]).collect_partitions()?;
    /// assert_eq!(partitions, [vec![3], vec![1, 2]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn collect_partitions(&self) -> Result<Vec<Vec<T>>, Error> {
        self.partitions()
    }
}
