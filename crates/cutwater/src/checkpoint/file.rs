//! What every durable file begins with, so that a damaged one, or one of another kind, is told from a good one.
//!
//! ```text
//! 8 bytes  "cutwater"
//! 2 bytes  kind            what it holds
//! 2 bytes  version         of that kind
//! 8 bytes  length          of what follows the head, u64 LE
//! 32 bytes BLAKE3          of what follows
//! …        content
//! ```

use serde::{Serialize, de::DeserializeOwned};

const MAGIC: &[u8; 8] = b"cutwater";
const HEAD_BYTES: usize = 8 + 2 + 2 + 8 + 32;

/// What a file holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind {
    code: [u8; 2],
    version: u16,
    /// What people call it.
    pub name: &'static str,
}

impl Kind {
    pub const fn new(code: &[u8; 2], version: u16, name: &'static str) -> Self {
        Self { code: *code, version, name }
    }

    /// The file with this content.
    pub fn seal(self, content: &[u8]) -> Vec<u8> {
        let mut file = Vec::with_capacity(HEAD_BYTES + content.len());
        file.extend(MAGIC);
        file.extend(self.code);
        file.extend(self.version.to_le_bytes());
        file.extend((content.len() as u64).to_le_bytes());
        file.extend(blake3::hash(content).as_bytes());
        file.extend(content);
        file
    }

    /// The content of a file, or what is wrong with it.
    pub fn open(self, file: &[u8]) -> Result<&[u8], String> {
        let Some((head, content)) = file.split_at_checked(HEAD_BYTES) else {
            return Err(format!("it is no {}: it has {} bytes", self.name, file.len()));
        };
        let [version, length] = [&head[10..12], &head[12..20]];
        if &head[..8] != MAGIC || head[8..10] != self.code {
            return Err(format!("it is no {}", self.name));
        }
        if version != self.version.to_le_bytes() {
            let version = u16::from_le_bytes([version[0], version[1]]);
            return Err(format!("it is a {} of version {version}, and this is {}", self.name, self.version));
        }
        if length != (content.len() as u64).to_le_bytes() || head[20..] != *blake3::hash(content).as_bytes() {
            return Err("it is damaged: its checksum is wrong".to_owned());
        }
        Ok(content)
    }

    /// The same for a value.
    pub fn seal_value(self, value: &impl Serialize) -> Result<Vec<u8>, String> {
        postcard::to_allocvec(value).map(|content| self.seal(&content)).map_err(|error| error.to_string())
    }

    /// The value in a file, or what is wrong with it.
    pub fn open_value<T: DeserializeOwned>(self, file: &[u8]) -> Result<T, String> {
        postcard::from_bytes(self.open(file)?)
            .map_err(|error| format!("it holds no {} that can be read: {error}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIND: Kind = Kind::new(b"ts", 1, "test");

    #[test]
    fn every_change_is_noticed() {
        let file = KIND.seal(b"what is kept");
        assert_eq!(KIND.open(&file).unwrap(), b"what is kept");
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(KIND.open(&damaged).is_err(), "byte {at}");
            assert!(KIND.open(&file[..at]).is_err(), "cut at {at}");
        }
        assert!(Kind::new(b"tt", 1, "other").open(&file).is_err());
        assert!(Kind::new(b"ts", 2, "test").open(&file).unwrap_err().contains("version 1"));
    }
}
