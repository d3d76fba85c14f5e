//! Blocks on their way from worker to worker.
//!
//! An answer is two messages: a small one that says how long each block is, and one with the bytes of all of
//! them, one after the other. So blocks are neither encoded once more around their bytes nor taken out of
//! them: who sends has them one after the other, each where it lies, and who receives cuts the message up.

use std::borrow::Cow;

use bytes::Bytes;
use cutwater_core::limits::{MESSAGE_BYTES_MAX, PARTITIONS_MAX};
use serde::{Deserialize, Serialize};

use crate::{
    WireError,
    compression::{compress, decompress},
};

/// What follows in the next message.
///
/// ```
/// use cutwater_wire::fetched::Fetched;
///
/// let parts = [&b"abc"[..], b"de"].map(bytes::Bytes::from).to_vec();
/// let (fetched, payload) = Fetched::new(vec![Some(3), None, Some(2)], parts, true);
/// let blocks = fetched.blocks(payload.concat())?;
/// let blocks: Vec<_> = blocks.iter().map(|block| block.as_deref()).collect();
/// assert_eq!(blocks, [Some(&b"abc"[..]), None, Some(&b"de"[..])]);
/// # Ok::<(), cutwater_wire::WireError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fetched {
    /// The length of each block that was asked for, in order, or `None` for one that is not held.
    lengths: Vec<Option<u32>>,
    is_compressed: bool,
}

impl Fetched {
    /// The two messages for blocks of these `lengths`, whose bytes are all `parts` one after the other, and the parts of the
    /// second: compressed if that is wanted and pays.
    pub fn new(lengths: Vec<Option<u32>>, parts: Vec<Bytes>, may_compress: bool) -> (Self, Vec<Bytes>) {
        match may_compress.then(|| compress(&all(&parts))).flatten() {
            Some(fewer) => (Self { lengths, is_compressed: true }, vec![fewer.into()]),
            None => (Self { lengths, is_compressed: false }, parts),
        }
    }

    /// How many blocks follow, those that are not held included.
    pub fn count(&self) -> usize {
        self.lengths.len()
    }

    /// How many bytes they are.
    ///
    /// # Errors
    /// More than a message may have.
    pub fn bytes(&self) -> Result<usize, WireError> {
        if self.lengths.len() > PARTITIONS_MAX as usize {
            return Err(WireError::TooLong { max: PARTITIONS_MAX as usize });
        }
        // So many numbers of 32 bits do not overflow.
        let bytes: u64 = self.lengths.iter().flatten().map(|length| u64::from(*length)).sum();
        usize::try_from(bytes)
            .ok()
            .filter(|bytes| *bytes <= MESSAGE_BYTES_MAX)
            .ok_or(WireError::TooLong { max: MESSAGE_BYTES_MAX })
    }

    /// The blocks in the message that followed. They share its memory.
    ///
    /// # Errors
    /// It is not as long as was said.
    pub fn blocks(&self, payload: Vec<u8>) -> Result<Vec<Option<Bytes>>, WireError> {
        let length = self.bytes()?;
        let payload = if self.is_compressed { decompress(&payload, length)? } else { payload };
        if payload.len() != length {
            return Err(WireError::Damaged);
        }
        let mut rest = Bytes::from(payload);
        Ok(self.lengths.iter().map(|length| length.map(|length| rest.split_to(length as usize))).collect())
    }
}

fn all(parts: &[Bytes]) -> Cow<'_, [u8]> {
    match parts {
        [part] => part.as_ref().into(),
        parts => parts.concat().into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_come_back_compressed_or_not() {
        let blocks = [Some(vec![1; 50_000]), None, Some(vec![]), Some(vec![2; 7])];
        let lengths: Vec<_> = blocks.iter().map(|block| block.as_ref().map(|b| b.len() as u32)).collect();
        let parts: Vec<Bytes> = blocks.iter().flatten().cloned().map(Bytes::from).collect();
        let all = parts.concat();
        for compressed in [false, true] {
            let (fetched, payload) = Fetched::new(lengths.clone(), parts.clone(), compressed);
            let payload = payload.concat();
            assert_eq!(payload.len() < all.len(), compressed);
            let arrived = fetched.blocks(payload).unwrap();
            assert!(arrived.iter().map(|block| block.as_deref()).eq(blocks.iter().map(|b| b.as_deref())));
        }
    }

    #[test]
    fn what_is_not_as_long_as_was_said_is_refused() {
        let (fetched, _) = Fetched::new(vec![Some(3), Some(4)], vec![vec![0; 7].into()], false);
        for length in [0, 6, 8] {
            assert!(matches!(fetched.blocks(vec![0; length]), Err(WireError::Damaged)), "{length}");
        }
        let (fetched, _) = Fetched::new(vec![Some(u32::MAX)], Vec::new(), false);
        assert!(matches!(fetched.bytes(), Err(WireError::TooLong { .. })));
    }
}
