//! Blocks: immutable pieces of data that any task may read, and where a worker keeps them.

mod batches;
mod packed;
mod store;

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use cutwater_core::TaskError;

use crate::Record;

pub(crate) use batches::{Batch, Batches};
pub(crate) use packed::Packed;
pub(crate) use store::BlockStore;

/// An immutable piece of data of which only the operators at its two ends know the type.
///
/// Properties:
/// - it never changes, so it is read by many threads at once and cloned by pointer;
/// - where it was made it is a value; it becomes bytes when another process asks for it, and a value
///   again when the first operator there reads it;
/// - two blocks of one name hold equal records, so it does not matter which one is read.
///
/// If the process dies, its blocks die with it and are made again from lineage.
#[derive(Clone)]
pub(crate) struct Block(Arc<Content>);

enum Content {
    Made { value: Value, encode: fn(&(dyn Any + Send + Sync)) -> Result<Vec<u8>, TaskError> },
    Arrived { bytes: Vec<u8>, value: OnceLock<Value> },
}

type Value = Box<dyn Any + Send + Sync>;

impl Block {
    pub fn new<T: Record>(value: T) -> Self {
        Self(Arc::new(Content::Made { value: Box::new(value), encode: encode::<T> }))
    }

    /// A block that another process sent.
    pub fn arrived(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Content::Arrived { bytes, value: OnceLock::new() }))
    }

    /// Its value in bytes.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TaskError> {
        match &*self.0 {
            Content::Made { value, encode } => encode(&**value),
            Content::Arrived { bytes, .. } => Ok(bytes.clone()),
        }
    }

    /// The value inside, which whoever wrote the block said would be a `T`.
    pub fn get<T: Record>(&self) -> Result<&T, TaskError> {
        let value = match &*self.0 {
            Content::Made { value, .. } => value,
            Content::Arrived { bytes, value } => match value.get() {
                Some(value) => value,
                // Should two threads read it at the same time, one value is for nothing.
                None => {
                    let decoded = decode::<T>(bytes)?;
                    value.get_or_init(|| Box::new(decoded))
                }
            },
        };
        value.downcast_ref().ok_or_else(Self::mistaken::<T>)
    }

    /// Takes the value out if nobody else can see it, and clones it otherwise.
    pub fn into_value<T: Record>(self) -> Result<T, TaskError> {
        match Arc::try_unwrap(self.0) {
            Ok(Content::Made { value, .. }) => {
                value.downcast().map(|value| *value).map_err(|_| Self::mistaken::<T>())
            }
            Ok(Content::Arrived { bytes, value }) => match value.into_inner() {
                Some(value) => value.downcast().map(|value| *value).map_err(|_| Self::mistaken::<T>()),
                None => decode(&bytes),
            },
            Err(shared) => Self(shared).get::<T>().cloned(),
        }
    }

    fn mistaken<T>() -> TaskError {
        TaskError::Internal(format!("a block does not hold {}", std::any::type_name::<T>()))
    }
}

fn encode<T: Record>(value: &(dyn Any + Send + Sync)) -> Result<Vec<u8>, TaskError> {
    let value = value.downcast_ref::<T>().ok_or_else(Block::mistaken::<T>)?;
    postcard::to_allocvec(value).map_err(|error| TaskError::User {
        operator: std::any::type_name::<T>().into(),
        message: format!("its records cannot be serialised: {error}"),
    })
}

fn decode<T: Record>(bytes: &[u8]) -> Result<T, TaskError> {
    postcard::from_bytes(bytes).map_err(|error| TaskError::User {
        operator: std::any::type_name::<T>().into(),
        message: format!("its records did not survive the journey to another process: {error}"),
    })
}

impl fmt::Debug for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Block")
    }
}
