use super::union::All;
use crate::{Error, Record, rdd::Rdd, task::OperatorSpec};

impl<T: Record> Rdd<T> {
    /// The records one after another, on the master, which holds one partition at a time
    /// (`api.md` §12). Each partition is computed, by a job of its own, when the iterator comes to it;
    /// [cache](Self::cache) what is dear to compute.
    ///
    /// # Errors
    /// The iterator yields the error of the first partition that fails, and then ends.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(4);
    /// let mut sum = 0;
    /// for n in ctx.parallelize(0..10).to_local_iterator() {
    ///     sum += n?;
    /// }
    /// assert_eq!(sum, 45);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn to_local_iterator(&self) -> impl Iterator<Item = Result<T, Error>> + use<T> {
        let (rdd, spec) = (self.clone(), OperatorSpec::new::<All<T>>("to_local_iterator", &()));
        let partition = move |p| match rdd.some_partitions(p, 1, &spec).collect() {
            Ok(records) => (records, None),
            Err(error) => (Vec::new(), Some(error)),
        };
        let items = (0..self.num_partitions())
            .map(partition)
            .flat_map(|(records, error)| records.into_iter().map(Ok).chain(error.map(Err)));
        let mut failed = false;
        items.take_while(move |item| !std::mem::replace(&mut failed, item.is_err()))
    }
}
