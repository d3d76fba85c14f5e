//! Blocks: immutable pieces of data that any task may read, and where a worker keeps them.

mod packed;
mod store;

use std::{any::Any, fmt, sync::Arc};

use cutwater_core::TaskError;

pub(crate) use packed::Packed;
pub(crate) use store::BlockStore;

/// An immutable piece of data of which only the operators at its two ends know the type.
///
/// Properties:
/// - it never changes, so it is read by many threads at once and cloned by pointer;
/// - it is a value and not bytes: nothing is encoded inside a process;
/// - two blocks of one name hold equal records, so it does not matter which one is read.
///
/// If the process dies, its blocks die with it and are made again from lineage.
#[derive(Clone)]
pub(crate) struct Block {
    value: Arc<dyn Any + Send + Sync>,
}

impl Block {
    pub fn new<T: Send + Sync + 'static>(value: T) -> Self {
        Self { value: Arc::new(value) }
    }

    /// The value inside, which whoever wrote the block said would be a `T`.
    pub fn get<T: 'static>(&self) -> Result<&T, TaskError> {
        self.value.downcast_ref().ok_or_else(Self::mistaken::<T>)
    }

    /// Takes the value out if nobody else can see it, and clones it otherwise.
    pub fn into_value<T: Clone + Send + Sync + 'static>(self) -> Result<T, TaskError> {
        let shared = self.value.downcast::<T>().map_err(|_| Self::mistaken::<T>())?;
        Ok(Arc::unwrap_or_clone(shared))
    }

    fn mistaken<T>() -> TaskError {
        TaskError::Internal(format!("a block does not hold {}", std::any::type_name::<T>()))
    }
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Block")
    }
}
