//! Blocks: immutable pieces of data that any task may read, and where a worker keeps them.

mod batches;
mod encode;
mod packed;
mod parts;
mod store;

use std::{
    any::Any,
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use cutwater_core::TaskError;

use crate::Record;

pub(crate) use batches::{Batch, Batches};
pub(crate) use packed::Packed;
pub(crate) use parts::Parts;
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
    Made { value: Value, append: Append },
    Arrived { bytes: Bytes, value: OnceLock<Value> },
}

type Append = fn(&(dyn Any + Send + Sync), &mut Vec<u8>) -> Result<(), TaskError>;

type Value = Box<dyn Any + Send + Sync>;

impl Block {
    pub fn new<T: Record>(value: T) -> Self {
        Self(Arc::new(Content::Made { value: Box::new(value), append: encode::append_any::<T> }))
    }

    /// A block that another process sent.
    pub fn arrived(bytes: Bytes) -> Self {
        Self(Arc::new(Content::Arrived { bytes, value: OnceLock::new() }))
    }

    /// How many bytes came from another process.
    pub fn arrived_bytes(&self) -> u64 {
        match &*self.0 {
            Content::Made { .. } => 0,
            Content::Arrived { bytes, .. } => bytes.len() as u64,
        }
    }

    /// Its value in bytes.
    pub fn to_bytes(&self) -> Result<Bytes, TaskError> {
        match &*self.0 {
            Content::Made { value, append } => {
                let mut bytes = Vec::new();
                append(&**value, &mut bytes)?;
                Ok(bytes.into())
            }
            Content::Arrived { bytes, .. } => Ok(bytes.clone()),
        }
    }

    /// Appends its value in bytes to others, and answers how many they are. If it fails, nothing is appended.
    pub fn append_to(&self, into: &mut Parts) -> Result<usize, TaskError> {
        let before = into.len();
        match &*self.0 {
            Content::Made { value, append } => match value.downcast_ref::<Batches>() {
                Some(received) => received.append_to(into)?,
                None => append(&**value, &mut into.open)?,
            },
            Content::Arrived { bytes, .. } => into.share(bytes.clone()),
        }
        Ok(into.len() - before)
    }

    /// Its bytes, if it came from another process and nobody has looked at the value yet.
    fn as_arrived(&self) -> Option<&[u8]> {
        match &*self.0 {
            Content::Arrived { bytes, value } if value.get().is_none() => Some(bytes),
            _ => None,
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
                    let decoded = encode::decode::<T>(bytes)?;
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
                None => encode::decode(&bytes),
            },
            Err(shared) => Self(shared).get::<T>().cloned(),
        }
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
