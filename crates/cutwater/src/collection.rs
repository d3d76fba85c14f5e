use crate::{Record, rdd::Rdd};

/// What datasets and streams have in common: a dataset is derived from one dataset, a stream from
/// one dataset an interval. Operations that are the same for both are written once against it.
pub trait Collection: Clone + sealed::Sealed {
    /// What it holds.
    type Item: Record;
    /// The same kind of collection of other records.
    type Of<B: Record>;

    /// The collection that `f` makes of each dataset. `name` is what users call the operation.
    #[doc(hidden)]
    #[track_caller]
    fn derive<B: Record>(
        &self,
        name: &str,
        f: impl Fn(&Rdd<Self::Item>) -> Rdd<B> + Send + Sync + 'static,
    ) -> Self::Of<B>;

    /// How many partitions a shuffle makes unless it is told.
    #[doc(hidden)]
    fn parallelism(&self) -> u32;

    /// Into how many groups keys are hashed.
    #[doc(hidden)]
    fn key_groups(&self) -> u32;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for crate::Rdd<T> {}
    impl<T> Sealed for crate::DStream<T> {}
}

/// A collection together with values for the next operation on it, whose function takes them as
/// its first parameter. Made by [`Rdd::with`] and [`DStream::with`](crate::DStream::with).
#[derive(Debug)]
#[must_use = "values are handed to an operation: `.with(values).map(|values, record| …)`"]
pub struct With<C, E> {
    pub(crate) of: C,
    pub(crate) values: E,
}

impl<C, E> With<C, E> {
    pub(crate) fn new(of: C, values: E) -> Self {
        Self { of, values }
    }
}
