use std::marker::PhantomData;

use crate::{
    Error, Record,
    rdd::{Count, Rdd},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// Records numbered from where their partition begins.
struct ZipWithIndex<T>(Vec<u64>, PhantomData<fn(T)>);

impl<T: Record> Operator for ZipWithIndex<T> {
    type Env = Vec<u64>;
    type Out = (T, u64);

    fn rebuild(starts: Vec<u64>) -> Self {
        Self(starts, PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (T, u64)>) -> Flow {
        let mut index = self.0.get(partition as usize).copied().unwrap_or(0);
        node.each(0, partition, &mut |record| {
            index += 1;
            emit((record, index - 1))
        })
    }
}

impl<T: Record> Rdd<T> {
    /// Each record with how many come before it (`api.md` §12).
    ///
    /// Where a partition begins depends on the ones before, so all but the last are counted at once,
    /// by a job of its own; [`zip_with_unique_id`](Self::zip_with_unique_id) needs none.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect), met while counting.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let numbered = ctx.parallelize(['a', 'b', 'c']).zip_with_index()?;
    /// assert_eq!(numbered.collect()?, [('a', 0), ('b', 1), ('c', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn zip_with_index(&self) -> Result<Rdd<(T, u64)>, Error> {
        let counted = self.num_partitions().saturating_sub(1);
        let count = OperatorSpec::new::<Count<T>>("zip_with_index", &());
        let counts = self.some_partitions(0, counted, &count).collect()?;
        let mut starts = vec![0];
        starts.extend(counts.iter().scan(0, |sum, count| {
            *sum += count;
            Some(*sum)
        }));
        Ok(self.narrow(&OperatorSpec::new::<ZipWithIndex<T>>("zip_with_index", &starts)))
    }
}
