use std::{
    fmt,
    fs::OpenOptions,
    io::Write,
    path::{Path, PathBuf},
    str,
    sync::Arc,
};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// A record that could not be understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Malformed {
    /// The record as it came.
    pub bytes: Vec<u8>,
    /// Where it came from: a file, an address.
    pub place: String,
    /// Where it began there, in bytes.
    pub offset: u64,
    /// What is wrong with it.
    pub error: String,
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.bytes);
        let short: String = text.chars().take(80).collect();
        let dots = if short.len() < text.len() { "…" } else { "" };
        write!(
            f,
            "malformed record at byte {} of {}: {}: {short:?}{dots}",
            self.offset, self.place, self.error
        )
    }
}

/// What a source does with a record that it cannot understand.
///
/// ```
/// use cutwater::ErrorPolicy;
///
/// let strict = ErrorPolicy::Fail;
/// let lenient = ErrorPolicy::Skip;
/// let careful = ErrorPolicy::dead_letter_file("rejected.jsonl");
/// ```
#[derive(Clone, Default)]
pub enum ErrorPolicy {
    /// The interval fails, with the record and its place in the error.
    #[default]
    Fail,
    /// The record is left out and counted.
    Skip,
    /// The record is left out, counted, and handed on with its bytes and origin.
    DeadLetter(Arc<dyn DeadLetters>),
}

impl ErrorPolicy {
    /// Dead letters go to the end of a file, a JSON object a line.
    pub fn dead_letter_file(path: impl AsRef<Path>) -> Self {
        Self::DeadLetter(Arc::new(DeadLetterFile(path.as_ref().to_owned())))
    }

    /// What a task is told: whether to fail by itself or to report and go on.
    pub(crate) fn on_task(&self) -> OnMalformed {
        match self {
            Self::Fail => OnMalformed::Fail,
            Self::Skip | Self::DeadLetter(_) => OnMalformed::Report,
        }
    }

    /// Does what is to be done with the malformed records of an interval.
    pub(crate) fn apply(&self, source: &str, interval: Time, malformed: &[Malformed]) -> Result<(), Error> {
        match (self, malformed) {
            (_, []) | (Self::Skip, _) => Ok(()),
            (Self::Fail, [first, ..]) => Err(Error::new(ErrorKind::Input, format_args!("{source}: {first}"))),
            (Self::DeadLetter(sink), all) => {
                let letter = |malformed: &Malformed| DeadLetter {
                    source: source.to_owned(),
                    interval,
                    record: malformed.clone(),
                };
                let letters: Vec<_> = all.iter().map(letter).collect();
                sink.put(&letters).map_err(|error| error.at(format_args!("dead letters of {source}")))
            }
        }
    }
}

impl fmt::Debug for ErrorPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fail => "Fail",
            Self::Skip => "Skip",
            Self::DeadLetter(_) => "DeadLetter",
        })
    }
}

/// The part of an [`ErrorPolicy`] that a task needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OnMalformed {
    Fail,
    Report,
}

/// A malformed record with all that is needed to find, mend and replay it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// The source that met it.
    pub source: String,
    /// The interval it would have been in.
    pub interval: Time,
    /// The record, its place and what is wrong with it.
    pub record: Malformed,
}

/// Where dead letters go.
pub trait DeadLetters: Send + Sync {
    /// Keeps the letters of an interval. Called once for each interval and source that has some.
    ///
    /// # Errors
    /// They could not be kept; the interval fails, since records are not lost in silence.
    fn put(&self, letters: &[DeadLetter]) -> Result<(), Error>;
}

/// Letters at the end of a file, a JSON object a line.
struct DeadLetterFile(PathBuf);

#[derive(Serialize)]
struct Line<'a> {
    source: &'a str,
    interval: String,
    place: &'a str,
    offset: u64,
    error: &'a str,
    /// The bytes as text where they are text, and in hexadecimal digits where they are not.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hex: Option<String>,
}

impl DeadLetters for DeadLetterFile {
    fn put(&self, letters: &[DeadLetter]) -> Result<(), Error> {
        let mut lines = Vec::new();
        for DeadLetter { source, interval, record } in letters {
            let text = str::from_utf8(&record.bytes).ok();
            let hex = || record.bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            let line = Line {
                source,
                interval: interval.to_string(),
                place: &record.place,
                offset: record.offset,
                error: &record.error,
                text,
                hex: text.is_none().then(hex),
            };
            serde_json::to_writer(&mut lines, &line).map_err(Error::internal)?;
            lines.push(b'\n');
        }
        let file = OpenOptions::new().create(true).append(true).open(&self.0);
        file.and_then(|mut file| file.write_all(&lines))
            .map_err(|error| Error::external(format_args!("cannot write {}: {error}", self.0.display())))
    }
}
