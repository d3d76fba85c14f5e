//! A sink of files in a folder.
//!
//! ```text
//! log/00000000000000000001   one entry after the other: who opened the sink, what was committed
//! parts/5000/00000-7-4f1c…   what attempts have staged for the interval 5000, committed or not
//! ```

mod committed;
mod format;
mod log;

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    marker::PhantomData,
    path::{Path, PathBuf},
};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

pub use committed::{Committed, CommittedPart, committed};
use format::Format;
pub use format::{Frames, Lines};
use log::Log;

use super::{Commit, Part, Records, Sink, durable};
use crate::{Error, Record, error::advised, testing};

/// A folder into which every interval's records go exactly once, in a file for each partition.
///
/// Properties:
/// - what is committed is what the folder's log says; a file that is in no entry of it does not count.
///   [`committed`] lists those that do;
/// - the log is a sequence of small files, each created only if it is not there yet. So an interval is visible as a
///   whole or not at all, entries are never changed, and of two masters one is told that the other was first;
/// - files, log and the folders they are in are synced to disk before anything is built upon them;
/// - every entry and file is checked against its checksum when it is read.
///
/// Workers write and the master commits, so in a cluster the folder is one that all machines see. It must be on a
/// file system with hard links. Each interval has a file for each partition and one entry in the log; for many
/// intervals a second into files, make a stream with a larger slide first.
///
/// See [`DStream::sink`](crate::DStream::sink) for an example.
#[derive(Debug, Serialize, Deserialize)]
#[serde(bound = "")]
pub struct FileSink<F> {
    folder: PathBuf,
    log: Log,
    format: PhantomData<fn() -> F>,
}

/// What an attempt has staged in a [`FileSink`]: a file, and what to expect of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileToken {
    /// Its path in the sink's folder.
    file: String,
    records: u64,
    bytes: u64,
    crc32: u32,
}

impl FileSink<Lines> {
    /// Text: a line for each record.
    pub fn text(folder: impl AsRef<Path>) -> Self {
        Self::new(folder)
    }
}

impl FileSink<Frames> {
    /// Records as they are, as [`save_records`](crate::DStream::save_records) writes them.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// use cutwater::output::{FileSink, committed};
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let into = dir.path();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.input([vec![('a', 1), ('b', 2)]]).sink(FileSink::records(into));
    /// harness.advance(1)?;
    /// assert_eq!(committed(into)?[0].records::<(char, i32)>()?, [('a', 1), ('b', 2)]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn records(folder: impl AsRef<Path>) -> Self {
        Self::new(folder)
    }
}

impl<F> FileSink<F> {
    fn new(folder: impl AsRef<Path>) -> Self {
        // Workers may have been started elsewhere.
        let folder = std::path::absolute(folder.as_ref()).unwrap_or_else(|_| folder.as_ref().to_owned());
        Self { log: Log::new(folder.join("log")), folder, format: PhantomData }
    }

    fn parts(&self) -> PathBuf {
        self.folder.join("parts")
    }
}

impl<F> Clone for FileSink<F> {
    fn clone(&self) -> Self {
        Self { folder: self.folder.clone(), log: self.log.clone(), format: PhantomData }
    }
}

impl<T: Record, F: Format<T>> Sink<T> for FileSink<F> {
    type Token = FileToken;

    fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        let committed = self.log.open(epoch)?;
        testing::step("opened in the log");
        // From here on whatever is staged by masters before can never be committed.
        remove_earlier(&self.parts(), epoch, committed).map_err(failed("clear", &self.parts()))?;
        Ok(committed)
    }

    fn write(&self, part: &Part, records: Records<'_, T>) -> Result<FileToken, Error> {
        let file = format!("parts/{}/{part}{}", part.interval.as_ms(), F::EXTENSION);
        let path = self.folder.join(&file);
        let folder = path.parent().unwrap_or(&self.folder);
        durable::create_folder(folder).map_err(failed("create", folder))?;
        let staged = stage::<T, F>(&path, records);
        if staged.is_err() {
            // The attempt's own file, of no use to anyone now; and the error that counts is the first.
            let _ = fs::remove_file(&path);
        }
        let (records, Measured { bytes, crc32, .. }) = staged?;
        testing::step("file synced");
        durable::sync_folder(folder).map_err(failed("sync", folder))?;
        Ok(FileToken { file, records, bytes, crc32: crc32.finalize() })
    }

    fn commit(&self, commit: &Commit<'_, FileToken>) -> Result<(), Error> {
        self.log.commit(commit.epoch, commit.interval, commit.tokens)
    }

    fn discard(&self, interval: Time, committed: &[FileToken]) -> Result<(), Error> {
        let folder = self.parts().join(interval.as_ms().to_string());
        let is_kept = |name: &str| {
            committed.iter().any(|token| Path::new(&token.file).file_name().is_some_and(|kept| kept == name))
        };
        remove_except(&folder, is_kept).map_err(failed("clear", &folder))
    }
}

/// Writes the file of an attempt; how many records there were, and what they became.
fn stage<T: Record, F: Format<T>>(path: &Path, records: Records<'_, T>) -> Result<(u64, Measured), Error> {
    let file = File::create_new(path).map_err(failed("create", path))?;
    let mut writer = BufWriter::new(Measured { file, bytes: 0, crc32: crc32fast::Hasher::new() });
    testing::step("file created");
    writer.write_all(&F::header()).map_err(failed("write", path))?;
    let (mut count, mut buffer) = (0, Vec::new());
    records.each(|record| {
        count += 1;
        F::write(&mut writer, record, &mut buffer).map_err(failed("write", path))
    })?;
    let measured = writer.into_inner().map_err(|error| failed("write", path)(error.into_error()))?;
    testing::step("file written");
    measured.file.sync_all().map_err(failed("sync", path))?;
    Ok((count, measured))
}

/// A file of which is known what was written to it.
struct Measured {
    file: File,
    bytes: u64,
    crc32: crc32fast::Hasher,
}

impl Write for Measured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.bytes += written as u64;
        self.crc32.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes what masters before `epoch` have staged for intervals after `last`. Not what others have: if this one was
/// paused before it came to this, another may have committed it since.
fn remove_earlier(parts: &Path, epoch: u64, last: Option<Time>) -> io::Result<()> {
    let epoch_of = |name: &str| name.split('-').nth(1)?.parse::<u64>().ok();
    for interval in names(parts)? {
        let Ok(ms) = interval.parse::<i64>() else { continue };
        if last.is_none_or(|last| ms > last.as_ms()) {
            remove_except(&parts.join(interval), |name| epoch_of(name).is_none_or(|of| of >= epoch))?;
        }
    }
    Ok(())
}

/// Removes the files of a folder but those that are kept, and the folder if it is empty then.
fn remove_except(folder: &Path, is_kept: impl Fn(&str) -> bool) -> io::Result<()> {
    let mut is_empty = true;
    for name in names(folder)? {
        if is_kept(&name) {
            is_empty = false;
        } else {
            or_gone(fs::remove_file(folder.join(name)))?;
        }
    }
    if is_empty {
        // A late attempt may be putting something into it, which is then discarded later.
        let _ = fs::remove_dir(folder);
    }
    Ok(())
}

/// What is in a folder; nothing if it is not there.
fn names(folder: &Path) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// What somebody else has removed is removed.
fn or_gone(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn failed<'a>(what: &'a str, path: &'a Path) -> impl Fn(io::Error) -> Error + 'a {
    move |error| Error::external(format_args!("cannot {what} {}: {}", path.display(), advised(&error)))
}
