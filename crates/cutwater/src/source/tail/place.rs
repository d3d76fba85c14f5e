//! Where a followed file was read to, found again by another process.

use std::{
    collections::BTreeMap,
    fs::{self, File, Metadata},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use cutwater_core::{Time, limits};
use serde::{Deserialize, Serialize};

use crate::{
    error::Error,
    source::{
        intake::{Mark, Passed, Reached},
        received::Places,
    },
};

/// Device and number, which tell files apart whatever they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct FileId(u64, u64);

impl FileId {
    pub fn of(metadata: &Metadata) -> Self {
        Self(metadata.dev(), metadata.ino())
    }
}

/// A place in a file, as it is written down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Place {
    id: FileId,
    pub offset: u64,
    /// See [`Mark::inside`].
    pub inside: bool,
    /// The hash of what is before it. A file that was copied has that too, and one that only got its number has not.
    before: [u8; 32],
}

impl Place {
    fn of(file: &File, mark: Mark) -> io::Result<Self> {
        let Mark { offset, inside, .. } = mark;
        Ok(Self { id: FileId::of(&file.metadata()?), offset, inside, before: before(file, offset)? })
    }

    /// Opens the file that has the place: the one at `path`, or what it was moved or copied to in the same folder.
    pub fn find(&self, path: &Path) -> io::Result<Option<(PathBuf, File)>> {
        let mut candidates = Vec::new();
        for candidate in [path.to_owned()].into_iter().chain(siblings(path)?) {
            if let Ok(metadata) = fs::metadata(&candidate)
                && metadata.is_file()
                && metadata.len() >= self.offset
            {
                candidates.push((FileId::of(&metadata) != self.id, candidate));
            }
        }
        // That with its number first; then as they are.
        candidates.sort_by_key(|(is_other, _)| *is_other);
        for (is_other, candidate) in candidates {
            // Before the beginning all files are alike.
            let could_be = !is_other || self.offset > 0;
            if could_be
                && let Ok(file) = File::open(&candidate)
                && before(&file, self.offset).is_ok_and(|before| before == self.before)
            {
                return Ok(Some((candidate, file)));
            }
        }
        Ok(None)
    }
}

/// The hash of the last bytes before `offset`.
fn before(file: &File, offset: u64) -> io::Result<[u8; 32]> {
    let start = offset.saturating_sub(limits::TAIL_FINGERPRINT_BYTES);
    let mut bytes = vec![0; (offset - start) as usize];
    file.read_exact_at(&mut bytes, start)?;
    Ok(blake3::hash(&bytes).into())
}

/// What rotation makes of a file: names in the same folder that begin with its own.
fn siblings(path: &Path) -> io::Result<Vec<PathBuf>> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(Vec::new()) };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?.file_name();
        if entry != name && entry.as_encoded_bytes().starts_with(name.as_encoded_bytes()) {
            found.push(folder.join(entry));
        }
    }
    found.sort();
    Ok(found)
}

/// Where the next process goes on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// None: there was no file, and the first that appears is read from its beginning.
    pub from: Option<Place>,
    /// See [`Passed`]; files are counted from that one on.
    passed: Vec<(u64, u64, Time)>,
}

impl Position {
    /// What need not be read again, if reading begins in that file.
    pub fn passed(&self, first: u64) -> Vec<Passed> {
        let passed = |(later, offset, to): &(u64, u64, Time)| Passed {
            before: Mark { file: first + later, offset: *offset, inside: false },
            to: *to,
        };
        self.passed.iter().map(passed).collect()
    }
}

/// The files that are followed, one after the other, by their numbers. One stays open until nothing before it is to be read
/// again.
///
/// The receiver's thread numbers them; the driver's asks where it is in them when an interval is cut. If the process
/// dies, what was written down last is where the next begins.
#[derive(Default)]
pub(super) struct Files {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u64,
    open: BTreeMap<u64, Arc<File>>,
    /// What holds until something was read.
    first: Option<Mark>,
    resumed: Option<Position>,
}

impl Files {
    /// The number of a file, or of the same again when it begins anew.
    pub fn number(&self, file: &Arc<File>) -> u64 {
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        state.open.insert(number, file.clone());
        number
    }

    /// What is followed from the start on.
    pub fn begin_at(&self, mark: Option<Mark>) {
        self.lock().first = mark;
    }

    /// Where another process was.
    pub fn resumed(&self) -> Option<Position> {
        self.lock().resumed.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places for Files {
    fn position(&self, reached: Option<Reached>) -> Vec<u8> {
        let mut state = self.lock();
        let position = match (reached, &state.resumed) {
            (None, Some(resumed)) => resumed.clone(),
            (reached, _) => {
                let nothing = |from| Reached { from, passed: Vec::new() };
                let Some(Reached { from, passed }) = reached.or_else(|| state.first.map(nothing)) else {
                    return encoded(&Position::default());
                };
                state.open.retain(|number, _| *number >= from.file);
                let Some(file) = state.open.get(&from.file) else { return encoded(&Position::default()) };
                let place = Place::of(file, from).or_else(|error| {
                    // It was cut short a moment ago, which the receiver is about to see.
                    tracing::debug!(%error, "a place in a followed file is not there any more");
                    Place::of(file, Mark { offset: 0, ..from })
                });
                let passed = passed.iter().map(|passed| {
                    (passed.before.file.saturating_sub(from.file), passed.before.offset, passed.to)
                });
                Position { from: place.ok(), passed: passed.collect() }
            }
        };
        encoded(&position)
    }

    fn resume(&self, position: &[u8]) -> Result<(), Error> {
        let position = postcard::from_bytes(position).map_err(|error| {
            Error::external(format_args!(
                "it was not written down as it should where the file was read to: {error}"
            ))
        })?;
        self.lock().resumed = Some(position);
        Ok(())
    }
}

fn encoded(position: &Position) -> Vec<u8> {
    // Nothing of it can fail: it is numbers and bytes.
    postcard::to_allocvec(position).unwrap_or_default()
}
