//! Values as bytes, appended to what is there already.

use std::any::{Any, type_name};

use cutwater_core::TaskError;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Serialize};

use super::Block;
use crate::Record;

/// Appends the bytes of `value`, which is a `T`, to `into`. If it fails, `into` is as it was.
pub(super) fn append_any<T: Record>(
    value: &(dyn Any + Send + Sync),
    into: &mut Vec<u8>,
) -> Result<(), TaskError> {
    append(value.downcast_ref::<T>().ok_or_else(Block::mistaken::<T>)?, into)
}

/// The same for a value of which the type is known.
pub(super) fn append<T: Serialize>(value: &T, into: &mut Vec<u8>) -> Result<(), TaskError> {
    let before = into.len();
    postcard::serialize_with_flavor(value, Append(into)).map_err(|error| {
        into.truncate(before);
        TaskError::User {
            operator: type_name::<T>().into(),
            message: format!("its records cannot be serialised: {error}"),
        }
    })
}

pub(super) fn decode<T: Record>(bytes: &[u8]) -> Result<T, TaskError> {
    decode_borrowed(bytes)
}

/// The same for what looks at the bytes where they lie.
pub(super) fn decode_borrowed<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, TaskError> {
    postcard::from_bytes(bytes).map_err(|error| TaskError::User {
        operator: type_name::<T>().into(),
        message: format!("its records did not survive the journey to another process: {error}"),
    })
}

/// Where postcard's bytes go.
struct Append<'a>(&'a mut Vec<u8>);

impl Flavor for Append<'_> {
    type Output = ();

    #[inline(always)]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline(always)]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }

    fn finalize(self) -> postcard::Result<()> {
        Ok(())
    }
}
