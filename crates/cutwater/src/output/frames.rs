//! Records in files: a header that says so, then a frame for each record.
//!
//! ```text
//! "cwrecord" │ version: u32 │ length: u32 │ CRC-32 of the bytes: u32 │ postcard bytes │ length …
//! ```
//!
//! Numbers are little-endian. The length comes first so that a reader knows what to read, the sum so
//! that it knows whether that is what was written.

use std::io::{self, Read, Write};

use serde::{Serialize, de::DeserializeOwned};

const MAGIC: [u8; 8] = *b"cwrecord";
const VERSION: u32 = 1;

/// What a file begins with.
pub(crate) fn header() -> [u8; 12] {
    let mut header = [0; 12];
    header[..8].copy_from_slice(&MAGIC);
    header[8..].copy_from_slice(&VERSION.to_le_bytes());
    header
}

/// Writes one frame. `bytes` is a buffer to use again.
pub(crate) fn write<T: Serialize>(out: &mut dyn Write, record: &T, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    *bytes = postcard::to_extend(record, std::mem::take(bytes)).map_err(io::Error::other)?;
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&crc32fast::hash(bytes).to_le_bytes())?;
    out.write_all(bytes)
}

/// Why a file cannot be read on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("it is not a file of saved records")]
    Foreign,
    #[error("it is of version {0}, and this is {VERSION}")]
    Version(u32),
    #[error("the record at byte {0} is damaged")]
    Damaged(u64),
    #[error("the record at byte {at} is not of the type asked for: {error}")]
    Mistyped { at: u64, error: postcard::Error },
}

/// Reads a file frame by frame.
pub(crate) struct Frames<R> {
    input: R,
    at: u64,
    bytes: Vec<u8>,
}

impl<R: Read> Frames<R> {
    /// Reads the header.
    pub fn new(mut input: R) -> Result<Self, FrameError> {
        let mut header = [0; 12];
        if let Err(error) = input.read_exact(&mut header) {
            return Err(if error.kind() == io::ErrorKind::UnexpectedEof {
                FrameError::Foreign
            } else {
                error.into()
            });
        }
        let (magic, version) = header.split_at(8);
        if magic != MAGIC {
            return Err(FrameError::Foreign);
        }
        let version = u32::from_le_bytes(version.try_into().unwrap_or_default());
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        Ok(Self { input, at: header.len() as u64, bytes: Vec::new() })
    }

    /// The next record; `None` at the end of the file.
    pub fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>, FrameError> {
        let mut head = [0; 8];
        match fill(&mut self.input, &mut head)? {
            0 => return Ok(None),
            8 => {}
            _ => return Err(FrameError::Damaged(self.at)),
        }
        let (length, sum) = head.split_at(4);
        let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap_or_default());
        let (length, sum) = (number(length), number(sum));
        self.bytes.clear();
        // Grows with what is there, so a damaged length asks for no more memory than the file has bytes.
        self.input.by_ref().take(length.into()).read_to_end(&mut self.bytes)?;
        if self.bytes.len() as u64 != u64::from(length) || crc32fast::hash(&self.bytes) != sum {
            return Err(FrameError::Damaged(self.at));
        }
        let at = self.at;
        self.at += 8 + u64::from(length);
        match postcard::take_from_bytes(&self.bytes) {
            Ok((record, [])) => Ok(Some(record)),
            Ok(_) => Err(FrameError::Mistyped { at, error: postcard::Error::DeserializeBadEncoding }),
            Err(error) => Err(FrameError::Mistyped { at, error }),
        }
    }
}

/// Reads until `buffer` is full or the input ends; says how many bytes there were.
fn fill(input: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match input.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(records: &[(String, u32)]) -> Vec<u8> {
        let (mut file, mut bytes) = (header().to_vec(), Vec::new());
        for record in records {
            write(&mut file, record, &mut bytes).unwrap();
        }
        file
    }

    fn read(file: &[u8]) -> Result<Vec<(String, u32)>, FrameError> {
        let mut frames = Frames::new(file)?;
        std::iter::from_fn(|| frames.next().transpose()).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        for n in 0..4 {
            let records: Vec<_> = (0..n).map(|i| ("x".repeat(i as usize * 100), i)).collect();
            assert_eq!(read(&written(&records)).unwrap(), records);
        }
    }

    /// The format of version 1, for ever.
    #[test]
    fn the_bytes_of_version_1() {
        let expected = b"cwrecord\x01\0\0\0\x03\0\0\0\x60\x7c\x01\x1c\x01a\x07";
        assert_eq!(written(&[("a".to_owned(), 7)]), expected);
    }

    /// Whichever byte is damaged or wherever the file ends, no record comes out that was not put in.
    #[test]
    fn damage_is_found() {
        let records: Vec<_> = (0..3).map(|i| (format!("record {i}"), i)).collect();
        let whole = written(&records);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 0x40;
            assert!(read(&damaged).is_err(), "byte {at} changed");
            match read(&whole[..at]) {
                Ok(fewer) => assert_eq!(fewer, records[..fewer.len()], "cut at byte {at}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }
}
