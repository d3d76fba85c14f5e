use std::marker::PhantomData;

use crate::{
    Error, Record,
    closure::{self, Portable},
    collection::With,
    rdd::Rdd,
    task::{Emit, Flow, Node, Operator, OperatorSpec, on_master},
};

/// A partition folded into one value.
pub(super) struct FoldPartition<T, U, E, F>(U, E, F, PhantomData<fn(T)>);

impl<T, U, E, F> Operator for FoldPartition<T, U, E, F>
where
    T: Record,
    U: Record,
    E: Record,
    F: Fn(&E, U, T) -> U + Portable,
{
    type Env = (U, E);
    type Out = U;

    fn rebuild((zero, values): (U, E)) -> Self {
        Self(zero, values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, U>) -> Flow {
        let Self(zero, values, f, _) = self;
        let mut folded = Some(zero.clone());
        node.each(0, partition, &mut |record| {
            folded = folded.take().map(|so_far| node.call(|| f(values, so_far, record)));
            Flow::Continue(())
        })?;
        folded.map_or(Flow::Continue(()), emit)
    }
}

impl<T: Record, E: Record> With<Rdd<T>, E> {
    /// [`Rdd::aggregate`] with the values handed over to `add`.
    ///
    /// # Errors
    /// Those of [`collect`](Rdd::collect).
    #[track_caller]
    pub fn aggregate<U, F>(self, zero: U, add: F, merge: impl FnMut(U, U) -> U) -> Result<U, Error>
    where
        U: Record,
        F: Fn(&E, U, T) -> U + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.aggregated("aggregate", zero, add, merge)
    }

    /// The same for the action `name`.
    #[track_caller]
    pub(super) fn aggregated<U, F>(
        self,
        name: &str,
        zero: U,
        _add: F,
        merge: impl FnMut(U, U) -> U,
    ) -> Result<U, Error>
    where
        U: Record,
        F: Fn(&E, U, T) -> U + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let env = (zero, self.values);
        let spec = OperatorSpec::new::<FoldPartition<T, U, E, F>>(name, &env);
        let partitions = self.of.narrow(&spec).collect()?;
        let merge = || Ok(partitions.into_iter().fold(env.0, merge));
        on_master(merge).map_err(|error| error.at(&spec.any.label))
    }
}

impl<T: Record> Rdd<T> {
    /// Folds each partition from `zero` by `add`, then the results, from `zero` again and in the
    /// order of the partitions, by `merge` on the master.
    ///
    /// # Errors
    /// Those of [`collect`](Self::collect).
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let ctx = Context::local(2);
    /// let words = ctx.parallelize(["a", "bb", "ccc"].map(String::from));
    /// let longest = words.aggregate(0, |n, word| n.max(word.len()), usize::max)?;
    /// assert_eq!(longest, 3);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn aggregate<U, F>(&self, zero: U, add: F, merge: impl FnMut(U, U) -> U) -> Result<U, Error>
    where
        U: Record,
        F: Fn(U, T) -> U + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).aggregate(zero, move |(), so_far, record| add(so_far, record), merge)
    }
}
