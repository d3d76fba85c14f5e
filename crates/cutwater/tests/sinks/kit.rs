//! The kit finds nothing in the sinks that are here, and something in each that is wrong.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
};

use cutwater::{
    Error, Time,
    output::{Commit, FileSink, Part, Records, Sink},
    testing::{SinkKit, step},
};
use serde::{Deserialize, Serialize};

use super::read;

/// The second interval has a partition without records.
fn numbers() -> [Vec<u32>; 2] {
    [(1..=7).collect(), vec![8]]
}

fn within(dir: &tempfile::TempDir) -> impl FnMut(&str) -> String {
    let dir = dir.path().to_owned();
    move |run| dir.join(run).display().to_string()
}

#[test]
fn files_are_written_exactly_once() {
    let kit = SinkKit::new(numbers(), |place| FileSink::records(place));
    let dir = tempfile::tempdir().unwrap();
    let checked = kit.check(within(&dir), |place| read::<u32>(place)).unwrap();
    assert!(checked.steps > 50, "{checked:?}");
}

/// A sink of one file of text, which does everything wrong that `MISTAKE` says and else nothing.
#[derive(Clone, Serialize, Deserialize)]
struct Wrong<const MISTAKE: char>(PathBuf);

const PUBLISHES_IN_WRITE: char = 'p';
const FORGETS_WHAT_IS_COMMITTED: char = 'f';
const FENCES_NOBODY: char = 'z';
const SHARES_A_NAME: char = 'n';
const COMMITS_IN_TWO_STEPS: char = 't';
const MISTAKES_NOTHING: char = 'm';

/// All that there is, replaced as a whole.
#[derive(Default, Serialize, Deserialize)]
struct Book {
    epoch: u64,
    committed: Option<Time>,
    lines: Vec<u32>,
}

impl<const MISTAKE: char> Wrong<MISTAKE> {
    fn book(&self) -> Book {
        let text = fs::read(self.0.join("book")).unwrap_or_default();
        serde_json::from_slice(&text).unwrap_or_default()
    }

    /// Under a lock, so that it holds to what it should but for its mistake.
    fn change<R>(&self, change: impl FnOnce(&mut Book) -> Result<R, Error>) -> Result<R, Error> {
        fs::create_dir_all(&self.0).unwrap();
        let lock = OpenOptions::new().create(true).append(true).open(self.0.join("lock")).unwrap();
        lock.lock().unwrap();
        let mut book = self.book();
        let changed = change(&mut book)?;
        let beside = self.0.join("beside");
        fs::write(&beside, serde_json::to_vec(&book).unwrap()).unwrap();
        fs::rename(beside, self.0.join("book")).unwrap();
        Ok(changed)
    }
}

impl<const MISTAKE: char> Sink<u32> for Wrong<MISTAKE> {
    type Token = PathBuf;

    fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        self.change(|book| {
            if book.epoch > epoch && MISTAKE != FENCES_NOBODY {
                return Err(Error::fenced(book.epoch));
            }
            book.epoch = epoch.max(book.epoch);
            Ok(book.committed.filter(|_| MISTAKE != FORGETS_WHAT_IS_COMMITTED))
        })
    }

    fn write(&self, part: &Part, records: Records<'_, u32>) -> Result<PathBuf, Error> {
        fs::create_dir_all(&self.0).unwrap();
        let name = match MISTAKE {
            SHARES_A_NAME => format!("{}-{}", part.interval.as_ms(), part.partition),
            _ => format!("{}-{part}", part.interval.as_ms()),
        };
        let path = self.0.join(name);
        let mut file = fs::File::create(&path).map_err(Error::external)?;
        records.each(|record| {
            if MISTAKE == PUBLISHES_IN_WRITE {
                self.change(|book| {
                    book.lines.push(*record);
                    Ok(())
                })?;
            }
            writeln!(file, "{record}").map_err(Error::external)
        })?;
        Ok(path)
    }

    fn commit(&self, commit: &Commit<'_, PathBuf>) -> Result<(), Error> {
        self.change(|book| {
            if book.epoch > commit.epoch && MISTAKE != FENCES_NOBODY {
                return Err(Error::fenced(book.epoch));
            }
            let is_new = book.committed.is_none_or(|committed| commit.interval > committed);
            if is_new || MISTAKE == FORGETS_WHAT_IS_COMMITTED {
                for path in commit.tokens.iter().filter(|_| MISTAKE != PUBLISHES_IN_WRITE) {
                    let text = fs::read_to_string(path).map_err(Error::external)?;
                    book.lines.extend(text.lines().map(|line| line.parse::<u32>().unwrap()));
                }
                book.committed =
                    Some(commit.interval).filter(|_| MISTAKE != COMMITS_IN_TWO_STEPS).or(book.committed);
            }
            Ok(())
        })?;
        step("records are there");
        self.change(|book| {
            book.committed = book.committed.max(Some(commit.interval));
            Ok(())
        })
    }

    fn discard(&self, interval: Time, _: &[PathBuf]) -> Result<(), Error> {
        for entry in fs::read_dir(&self.0).unwrap().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&format!("{}-", interval.as_ms())) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(())
    }
}

/// What the kit says about a sink with a mistake.
fn checked<const MISTAKE: char>() -> Result<(), String> {
    let kit = SinkKit::new(numbers(), |place| Wrong::<MISTAKE>(Path::new(place).to_owned()));
    let dir = tempfile::tempdir().unwrap();
    let lines = |place: &str| Ok(format!("{:?}", Wrong::<MISTAKE>(place.into()).book().lines));
    kit.check(within(&dir), lines).map(drop).map_err(|error| error.to_string())
}

/// Else the tests below would show nothing.
#[test]
fn a_sink_without_a_mistake_passes() {
    checked::<MISTAKES_NOTHING>().unwrap();
}

#[test]
fn a_sink_that_publishes_in_write_is_found() {
    let found = checked::<PUBLISHES_IN_WRITE>().unwrap_err();
    assert!(found.contains("not what an undisturbed run leaves"), "{found}");
}

#[test]
fn a_sink_that_commits_again_is_found() {
    let found = checked::<FORGETS_WHAT_IS_COMMITTED>().unwrap_err();
    assert!(found.contains("a second run over the same intervals"), "{found}");
}

#[test]
fn a_sink_that_fences_nobody_is_found() {
    let found = checked::<FENCES_NOBODY>().unwrap_err();
    assert!(found.contains("while another master took over"), "{found}");
}

#[test]
fn attempts_that_share_a_name_are_found() {
    let found = checked::<SHARES_A_NAME>().unwrap_err();
    assert!(found.starts_with("attempts that fail, come twice or too late"), "{found}");
}

#[test]
fn a_sink_that_commits_in_two_steps_is_found() {
    let found = checked::<COMMITS_IN_TWO_STEPS>().unwrap_err();
    assert!(found.contains("killed at step") && found.contains("records are there"), "{found}");
}
