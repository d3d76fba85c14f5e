//! Fewer bytes where that pays.
//!
//! LZ4 is fast enough not to be noticed beside a network and slow enough to be noticed beside none. So only
//! bytes that leave the machine are compressed unless the program says otherwise, only many of them at a time,
//! and only if a sample of them shrinks.

use std::{fmt, str::FromStr};

pub use cutwater_core::limits::{COMPRESS_BYTES_MIN, COMPRESS_PERCENT_MAX, COMPRESS_SAMPLE_BYTES};
use lz4_flex::block;
use serde::{Deserialize, Serialize};

use crate::WireError;

/// Whether blocks are compressed on their way from worker to worker.
///
/// ```
/// use cutwater_wire::compression::Compression;
///
/// assert_eq!("off".parse(), Ok(Compression::Off));
/// assert!("zip".parse::<Compression>().is_err_and(|why| why.contains("auto, on or off")));
/// assert!(Compression::Auto.applies(false) && !Compression::Auto.applies(true));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Compression {
    /// On their way to another machine.
    #[default]
    Auto,
    /// Always, if it makes them smaller.
    On,
    /// Never.
    Off,
}

impl Compression {
    /// Whether bytes for a reader are compressed that is, or is not, on the same machine.
    pub fn applies(self, same_machine: bool) -> bool {
        match self {
            Self::Auto => !same_machine,
            Self::On => true,
            Self::Off => false,
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::On => "on",
            Self::Off => "off",
        })
    }
}

impl FromStr for Compression {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "on" => Ok(Self::On),
            "off" => Ok(Self::Off),
            other => Err(format!("compression is auto, on or off, not {other:?}")),
        }
    }
}

/// The bytes in fewer, if they are many and become much fewer.
///
/// ```
/// use cutwater_wire::compression::{compress, decompress};
///
/// let words = "the same words again and again ".repeat(1000);
/// let fewer = compress(words.as_bytes()).expect("it repeats itself");
/// assert!(fewer.len() < words.len() / 10);
/// assert_eq!(decompress(&fewer, words.len())?, words.as_bytes());
/// assert_eq!(compress(b"few"), None);
/// # Ok::<(), cutwater_wire::WireError>(())
/// ```
pub fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let pays = |less: &Vec<u8>, of: usize| less.len() <= of / 100 * COMPRESS_PERCENT_MAX;
    if bytes.len() < COMPRESS_BYTES_MIN {
        return None;
    }
    // What is in the middle is more like the rest than what is at the beginning.
    let sample = bytes.len() / 2..bytes.len() / 2 + COMPRESS_SAMPLE_BYTES;
    if let Some(sample) = bytes.get(sample)
        && !pays(&block::compress(sample), sample.len())
    {
        return None;
    }
    Some(block::compress(bytes)).filter(|less| pays(less, bytes.len()))
}

/// The `length` bytes that [`compress`] was given.
///
/// # Errors
/// These are not so many bytes compressed. What cannot be is refused before there is memory for it.
pub fn decompress(bytes: &[u8], length: usize) -> Result<Vec<u8>, WireError> {
    // A byte of LZ4 stands for at most 255 others.
    if length / 255 > bytes.len() {
        return Err(WireError::Damaged);
    }
    let mut into = vec![0; length];
    match block::decompress_into(bytes, &mut into) {
        Ok(written) if written == length => Ok(into),
        _ => Err(WireError::Damaged),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Bytes without any order: a generator whose state is all that is in them.
    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_does_not_shrink_stays_as_it_is() {
        assert_eq!(compress(&noise(1 << 20)), None);
        assert_eq!(compress(&vec![0; COMPRESS_BYTES_MIN - 1]), None);
        // The sample shrinks and the rest does not.
        let mut mixed = noise(1 << 20);
        mixed[(1 << 19)..(1 << 19) + COMPRESS_SAMPLE_BYTES].fill(0);
        assert_eq!(compress(&mixed), None);
    }

    #[test]
    fn more_than_there_can_be_is_refused_before_there_is_memory_for_it() {
        let zeros = compress(&vec![0; 1 << 16]).unwrap();
        assert!(decompress(&zeros, 1 << 16).is_ok());
        assert!(matches!(decompress(&zeros, 1 << 30), Err(WireError::Damaged)));
        assert!(matches!(decompress(&zeros, (1 << 16) + 1), Err(WireError::Damaged)));
        assert!(matches!(decompress(&zeros, (1 << 16) - 1), Err(WireError::Damaged)));
    }

    proptest! {
        #[test]
        fn whatever_is_compressed_comes_back(seed: Vec<u8>, times in 1..5000_usize) {
            let bytes: Vec<u8> = seed.iter().copied().cycle().take(seed.len() * times).collect();
            if let Some(fewer) = compress(&bytes) {
                prop_assert_eq!(decompress(&fewer, bytes.len()).unwrap(), bytes);
            }
        }

        #[test]
        fn garbage_is_an_error_or_as_long_as_said(bytes: Vec<u8>, length in 0..100_000_usize) {
            if let Ok(out) = decompress(&bytes, length) {
                prop_assert_eq!(out.len(), length);
            }
        }
    }
}
