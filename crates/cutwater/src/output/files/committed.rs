use std::{
    fs,
    path::{Path, PathBuf},
};

use cutwater_core::Time;

use super::{FileToken, failed, log::Log};
use crate::{Error, Record, output::frames};

/// What an interval has put into a folder.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Committed {
    /// The interval, by its label.
    pub interval: Time,
    /// A file for each partition, in order.
    pub parts: Vec<CommittedPart>,
}

/// A file that counts.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CommittedPart {
    /// Where it is.
    pub path: PathBuf,
    /// How many records it holds.
    pub records: u64,
    /// How many bytes it has.
    pub bytes: u64,
    crc32: u32,
}

/// What is committed to the folder of a [`FileSink`](super::FileSink), interval by interval in order of time. Files
/// that attempts have left behind are not among it.
///
/// Anybody may ask, while a program writes too; what is committed does not change any more.
///
/// # Errors
/// The folder or its log cannot be read, or an entry is damaged or missing.
pub fn committed(folder: impl AsRef<Path>) -> Result<Vec<Committed>, Error> {
    let folder = folder.as_ref();
    let log = Log::new(folder.join("log"));
    let mut intervals = Vec::new();
    for (expected, number) in (1..).zip(log.numbers()?) {
        let entry = log.read(number)?.filter(|_| number == expected).ok_or_else(|| {
            Error::external(format_args!("entry {expected} of the log in {} is missing", folder.display()))
        })?;
        if let (Some(interval), Some(parts)) = (entry.committed(), entry.parts) {
            let parts = parts.into_iter().map(|token| CommittedPart::new(folder, token)).collect();
            intervals.push(Committed { interval, parts });
        }
    }
    Ok(intervals)
}

impl Committed {
    /// The lines of all its files, which [`FileSink::text`](super::FileSink::text) wrote.
    ///
    /// # Errors
    /// Those of [`CommittedPart::read`], or a file is no text.
    pub fn lines(&self) -> Result<Vec<String>, Error> {
        let mut lines = Vec::new();
        for part in &self.parts {
            let text = String::from_utf8(part.read()?).map_err(|_| part.refused("it is no text"))?;
            lines.extend(text.lines().map(str::to_owned));
        }
        Ok(lines)
    }

    /// The records of all its files, which [`FileSink::records`](super::FileSink::records) wrote.
    ///
    /// # Errors
    /// Those of [`CommittedPart::read`], or a file holds other records.
    pub fn records<T: Record>(&self) -> Result<Vec<T>, Error> {
        let mut records = Vec::new();
        for part in &self.parts {
            let bytes = part.read()?;
            let mut frames = frames::Frames::new(&*bytes).map_err(|error| part.refused(error))?;
            while let Some(record) = frames.next().map_err(|error| part.refused(error))? {
                records.push(record);
            }
        }
        Ok(records)
    }
}

impl CommittedPart {
    fn new(folder: &Path, token: FileToken) -> Self {
        let FileToken { file, records, bytes, crc32 } = token;
        Self { path: folder.join(file), records, bytes, crc32 }
    }

    /// Its content, checked.
    ///
    /// # Errors
    /// The file cannot be read, or is not what was committed.
    pub fn read(&self) -> Result<Vec<u8>, Error> {
        let bytes = fs::read(&self.path).map_err(failed("read", &self.path))?;
        if bytes.len() as u64 != self.bytes || crc32fast::hash(&bytes) != self.crc32 {
            return Err(self.refused("it is damaged: it is not what was committed"));
        }
        Ok(bytes)
    }

    fn refused(&self, why: impl std::fmt::Display) -> Error {
        Error::external(format_args!("{} cannot be read: {why}", self.path.display()))
    }
}
