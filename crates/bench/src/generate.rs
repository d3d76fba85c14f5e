//! The input of the text jobs: records of exactly 100 bytes with their newline.
//!
//! A record is 10 words separated by single spaces, drawn by Zipf(1.0) from a vocabulary of 10,000.
//! Every word has 9 letters, so that 10 words, 9 spaces and a newline are 100 bytes with nothing to
//! pad: padding would either invent words that are not in the vocabulary or leave empty ones. The price
//! is that the lengths do not vary as those of a language do; their average is what the size dictates anyway.
//!
//! The same seed gives the same bytes on every machine. The seed decides which words are drawn, not how they
//! are spelt, so that a pattern for `grep` is as frequent under any seed.

pub mod random;
mod vocabulary;

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;
use std::time::Instant;

use flate2::Crc;
use indicatif::{ProgressBar, ProgressStyle};

pub use self::random::{SplitMix64, Zipf};
pub use self::vocabulary::{LETTERS, WORDS, word};
use crate::cli::Generate;
use crate::error::BenchError;
use crate::report::{Measured, Report};

/// The seed unless another is given.
pub const DEFAULT_SEED: u64 = 1;

/// A word that is in about one line of a thousand: what `grep` looks for unless told otherwise.
pub const RARE_WORD: &str = "birimovim";

/// Words in a record.
pub const RECORD_WORDS: usize = 10;

/// Bytes in a record, with the newline: every word is followed by one space or by the newline.
pub const RECORD_BYTES: usize = RECORD_WORDS * (LETTERS + 1);

/// Records made between two writes: about a megabyte, well above what a system call costs.
const BLOCK_RECORDS: usize = 10_000;

/// Makes records, one after the other, from a seed.
///
/// - The same seed gives the same records, however they are divided into calls.
/// - Belongs to one thread; nothing of it is shared.
#[derive(Clone, Debug)]
pub struct Generator {
    /// Each word with the space that follows it, so that a record is ten copies of ten bytes.
    words: Vec<[u8; LETTERS + 1]>,
    zipf: Zipf,
    random: SplitMix64,
}

impl Generator {
    /// A generator at its first record.
    pub fn new(seed: u64) -> Self {
        let spaced = |rank| {
            let mut spaced = [b' '; LETTERS + 1];
            spaced[..LETTERS].copy_from_slice(&word(rank));
            spaced
        };
        let words = (0..WORDS).map(spaced).collect();
        Self { words, zipf: Zipf::new(WORDS), random: SplitMix64::new(seed) }
    }

    /// Overwrites `block` with the next records.
    ///
    /// # Panics
    ///
    /// If `block` is not a whole number of records long.
    pub fn fill(&mut self, block: &mut [u8]) {
        assert_eq!(block.len() % RECORD_BYTES, 0, "a block of whole records");
        for record in block.chunks_exact_mut(RECORD_BYTES) {
            for place in record.chunks_exact_mut(LETTERS + 1) {
                place.copy_from_slice(&self.words[self.zipf.draw(&mut self.random)]);
            }
            record[RECORD_BYTES - 1] = b'\n';
        }
    }
}

/// Runs the job: writes the file and reports how fast. The result is the CRC-32 of the file, as gzip has it.
///
/// # Errors
///
/// If the file cannot be written in full, with its name and the reason. What was there before is then
/// untouched.
pub fn run(options: &Generate) -> Result<Report, BenchError> {
    let bytes = options.records.checked_mul(RECORD_BYTES as u64).ok_or_else(|| {
        BenchError::Refused(format!("{} records are more bytes than a file can have", options.records))
    })?;
    let progress = progress_bar(options.records);
    let begin = Instant::now();
    let mut partial = Partial::create(&options.out)?;
    let checksum = write_records(&mut partial.file, options, &progress)
        .map_err(BenchError::file("write", &options.out))?;
    partial.finish(bytes)?;
    let elapsed = begin.elapsed();
    progress.finish_and_clear();

    let measured =
        Measured { records: options.records, bytes, elapsed, result: checksum.into(), ..Measured::default() };
    Ok(Report::new("generate", 1, 0, measured))
}

fn write_records(out: &mut impl Write, options: &Generate, progress: &ProgressBar) -> io::Result<u32> {
    let mut generator = Generator::new(options.seed);
    let mut block = vec![0; BLOCK_RECORDS * RECORD_BYTES];
    let mut checksum = Crc::new();
    let mut left = options.records;
    while left > 0 {
        let records = left.min(BLOCK_RECORDS as u64);
        let block = &mut block[..records as usize * RECORD_BYTES];
        generator.fill(block);
        checksum.update(block);
        out.write_all(block)?;
        left -= records;
        progress.inc(records);
    }
    out.flush()?;
    Ok(checksum.sum())
}

/// On standard error, and only where that is a terminal.
fn progress_bar(records: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {percent:>3} %  {human_pos} records, {eta} left")
        .expect("the template is a constant that a test draws");
    ProgressBar::new(records).with_style(style)
}

/// A file being written beside the one it will replace.
///
/// - Under the final name there is always a complete file: the old one or the new one.
/// - Dropped before [`finish`](Self::finish), it removes itself. If the process is killed, `NAME.PID.part`
///   stays.
#[derive(Debug)]
struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    finished: bool,
}

impl Partial {
    fn create(target: &Path) -> Result<Self, BenchError> {
        // A rename over a device or a directory would fail at the end of the work, or worse, succeed.
        if fs::metadata(target).is_ok_and(|found| !found.is_file()) {
            return Err(BenchError::Refused(format!("{} exists and is not a file", target.display())));
        }
        let Some(name) = target.file_name() else {
            return Err(BenchError::Refused(format!("{} does not name a file", target.display())));
        };
        if let Some(folder) = target.parent().filter(|f| !f.as_os_str().is_empty())
            && !folder.is_dir()
        {
            let (target, folder) = (target.display(), folder.display());
            return Err(BenchError::Refused(format!(
                "cannot create {target}: there is no directory {folder}"
            )));
        }
        // With the process id, so that two runs at once do not write into one file.
        let mut partial_name = OsString::from(name);
        partial_name.push(format!(".{}.part", process::id()));
        let path = target.with_file_name(partial_name);
        let file = File::create(&path).map_err(BenchError::file("create", &path))?;
        Ok(Self { file, path, target: target.to_path_buf(), finished: false })
    }

    /// Gives the file its final name, if it has the length it should have.
    ///
    /// It is not synchronised with the disk first: the file can be made again from its seed, and waiting would
    /// measure the disk instead of the generator.
    fn finish(mut self, bytes: u64) -> Result<(), BenchError> {
        let found = self.file.metadata().map_err(BenchError::file("look at", &self.path))?.len();
        if found != bytes {
            return Err(BenchError::Wrong(format!(
                "{} has {found} bytes and not {bytes}",
                self.path.display()
            )));
        }
        fs::rename(&self.path, &self.target).map_err(BenchError::file("replace", &self.target))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        if !self.finished {
            // The error that brought us here is the one to report, not that of clearing up.
            let _ = fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests;
