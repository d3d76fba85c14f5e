use std::{
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

use super::{FileToken, durable, failed, names};
use crate::{Error, output::AttemptName};

const VERSION: u32 = 1;

/// What was committed to a folder, and by whom: a sequence of entries, each a file that is created if it is not there
/// and never changed.
///
/// Properties:
/// - entries are numbered from 1 without gaps, and epochs never decrease from one to the next;
/// - whoever writes an entry has read all those before it: if somebody else was faster, its number is taken.
///   So a master cannot commit after another one has opened the sink;
/// - the end is found by listing the folder once, and then by reading on.
///
/// The master's thread writes it, anybody may read it. If the process dies there is an entry or there is none.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Log {
    folder: PathBuf,
    /// The last entry that this process has seen.
    #[serde(skip)]
    end: Arc<Mutex<Option<End>>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct End {
    number: u64,
    epoch: u64,
    committed: Option<Time>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    version: u32,
    /// Who wrote it.
    epoch: u64,
    /// The last interval that is committed, with this entry.
    committed_ms: Option<i64>,
    /// What it is made of, if it is this entry that commits it. Without, a master has opened the sink.
    pub parts: Option<Vec<FileToken>>,
}

impl Entry {
    pub fn committed(&self) -> Option<Time> {
        self.committed_ms.map(Time::from_ms)
    }
}

impl Log {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, end: Arc::default() }
    }

    /// Writes down that the master of `epoch` has taken over, and answers the last interval that is committed.
    pub fn open(&self, epoch: u64) -> Result<Option<Time>, Error> {
        durable::create_folder(&self.folder).map_err(failed("create", &self.folder))?;
        let committed = self.append(epoch, |end| Some(Entry::new(epoch, end.committed, None)))?;
        // What was never linked to a number. A master that is about to do it reads on, and finds this one.
        let names = names(&self.folder).map_err(failed("list", &self.folder))?;
        for unfinished in names.iter().filter(|name| name.starts_with('.')) {
            let _ = fs::remove_file(self.folder.join(unfinished));
        }
        Ok(committed)
    }

    /// Writes down what an interval consists of, unless it is committed.
    pub fn commit(&self, epoch: u64, interval: Time, parts: &[FileToken]) -> Result<(), Error> {
        let entry = |end: &End| {
            let is_new = end.committed.is_none_or(|committed| interval > committed);
            is_new.then(|| Entry::new(epoch, Some(interval), Some(parts.to_vec())))
        };
        self.append(epoch, entry).map(drop)
    }

    /// Writes the entry that `entry` makes of the end, if it makes one; answers the last interval that is committed
    /// then.
    fn append(&self, epoch: u64, entry: impl Fn(&End) -> Option<Entry>) -> Result<Option<Time>, Error> {
        let mut known = self.end.lock().unwrap_or_else(PoisonError::into_inner);
        let mut end = match *known {
            Some(end) => end,
            None => self.last()?,
        };
        // Each turn somebody else has written an entry, so somebody comes to an end.
        loop {
            end = self.read_on(end)?;
            *known = Some(end);
            if end.epoch > epoch {
                return Err(Error::fenced(format_args!(
                    "the files in {} belong to the master of epoch {}, and this one is of epoch {epoch}",
                    self.folder.display(),
                    end.epoch
                )));
            }
            let Some(entry) = entry(&end) else { return Ok(end.committed) };
            let number = end.number + 1;
            let path = self.path(number);
            let beside = format!(".{}", AttemptName::new()?);
            let bytes = entry.to_bytes().map_err(Error::internal)?;
            if durable::create(&path, &beside, &bytes).map_err(failed("write", &path))? {
                *known = Some(entry.as_end(number));
                return Ok(entry.committed());
            }
        }
    }

    /// The newest entry that a listing of the folder shows.
    fn last(&self) -> Result<End, Error> {
        let numbers = self.numbers()?;
        let Some(&number) = numbers.last() else { return Ok(End::default()) };
        let entry = self.read(number)?;
        Ok(entry.map_or_else(End::default, |entry| entry.as_end(number)))
    }

    /// What was written after `end`.
    fn read_on(&self, mut end: End) -> Result<End, Error> {
        while let Some(entry) = self.read(end.number + 1)? {
            end = entry.as_end(end.number + 1);
        }
        Ok(end)
    }

    /// The numbers of all entries, in order.
    pub fn numbers(&self) -> Result<Vec<u64>, Error> {
        let names = names(&self.folder).map_err(failed("list", &self.folder))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| name.parse().ok()).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// An entry, if there is one of that number.
    pub fn read(&self, number: u64) -> Result<Option<Entry>, Error> {
        let path = self.path(number);
        match fs::read(&path) {
            Ok(bytes) => Entry::from_bytes(&bytes)
                .map(Some)
                .map_err(|why| Error::external(format_args!("{} cannot be read: {why}", path.display()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(failed("read", &path)(error)),
        }
    }

    fn path(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{number:020}"))
    }
}

impl Entry {
    fn new(epoch: u64, committed: Option<Time>, parts: Option<Vec<FileToken>>) -> Self {
        Self { version: VERSION, epoch, committed_ms: committed.map(Time::as_ms), parts }
    }

    fn as_end(&self, number: u64) -> End {
        End { number, epoch: self.epoch, committed: self.committed() }
    }

    /// The checksum of the rest in hexadecimal, a space, JSON and a line break: to be looked at with what is at hand.
    fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let json = serde_json::to_string(self)?;
        Ok(format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes())).into_bytes())
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let text = str::from_utf8(bytes).map_err(|_| "it is damaged")?;
        let (sum, json) = text.split_once(' ').ok_or("it is damaged")?;
        let json = json.strip_suffix('\n').ok_or("it is damaged")?;
        if u32::from_str_radix(sum, 16) != Ok(crc32fast::hash(json.as_bytes())) {
            return Err("it is damaged".to_owned());
        }
        let entry: Self = serde_json::from_str(json).map_err(|error| error.to_string())?;
        if entry.version != VERSION {
            return Err(format!("it is of version {}, and this is {VERSION}", entry.version));
        }
        Ok(entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    fn log() -> (tempfile::TempDir, impl Fn() -> Log) {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("log");
        (dir, move || Log::new(folder.clone()))
    }

    fn at(ms: i64) -> Time {
        Time::from_ms(ms)
    }

    /// Each in a process of its own, as it were: one does not know what the other has seen.
    #[test]
    fn a_master_of_a_smaller_epoch_writes_nothing() {
        let (_dir, log) = log();
        let (old, new) = (log(), log());
        assert_eq!(old.open(1).unwrap(), None);
        old.commit(1, at(10), &[]).unwrap();
        assert_eq!(new.open(2).unwrap(), Some(at(10)));
        for refused in [old.commit(1, at(20), &[]), old.open(1).map(drop), log().open(1).map(drop)] {
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Fenced);
        }
        // Not even that it is committed is said to it: it may be about to act on it.
        assert_eq!(old.commit(1, at(10), &[]).unwrap_err().kind(), ErrorKind::Fenced);
        new.commit(2, at(20), &[]).unwrap();
        assert_eq!(log().open(3).unwrap(), Some(at(20)));
    }

    #[test]
    fn an_interval_is_committed_once() {
        let (_dir, log) = log();
        let one = log();
        one.open(1).unwrap();
        for ms in [10, 10, 20, 10, 20] {
            one.commit(1, at(ms), &[]).unwrap();
        }
        assert_eq!(one.numbers().unwrap(), [1, 2, 3]);
    }

    /// Many masters at once, each in turn the one with the largest epoch: entries have no gaps, epochs never decrease.
    #[test]
    fn masters_that_race_are_in_some_order() {
        let (_dir, log) = log();
        std::thread::scope(|scope| {
            for master in 0..4u64 {
                let log = log();
                scope.spawn(move || {
                    for round in 0..20 {
                        let epoch = round * 4 + master;
                        let opened = log.open(epoch);
                        let after = opened.ok().flatten().map_or(0, Time::as_ms) + 1;
                        let _ = log.commit(epoch, at(after), &[]);
                    }
                });
            }
        });
        let log = log();
        let numbers = log.numbers().unwrap();
        assert_eq!(numbers, (1..=numbers.len() as u64).collect::<Vec<_>>());
        let entries: Vec<_> = numbers.iter().map(|number| log.read(*number).unwrap().unwrap()).collect();
        assert!(entries.is_sorted_by_key(|entry| entry.epoch));
        let commits: Vec<_> = entries.iter().filter(|entry| entry.parts.is_some()).collect();
        assert!(commits.is_sorted_by(|a, b| a.committed_ms < b.committed_ms));
        assert_eq!(entries.last().unwrap().epoch, 79);
    }

    /// Whichever byte is damaged, and wherever it ends.
    #[test]
    fn damage_is_found() {
        let token = FileToken { file: "parts/5/0".to_owned(), records: 1, bytes: 2, crc32: 3 };
        let bytes = Entry::new(7, Some(at(5)), Some(vec![token])).to_bytes().unwrap();
        assert!(Entry::from_bytes(&bytes).is_ok());
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 1;
            assert!(Entry::from_bytes(&damaged).is_err(), "byte {at} changed");
            assert!(Entry::from_bytes(&bytes[..at]).is_err(), "cut at byte {at}");
        }
    }

    /// The format of version 1, for ever.
    #[test]
    fn the_bytes_of_version_1() {
        let token = FileToken { file: "parts/5/0".to_owned(), records: 1, bytes: 2, crc32: 3 };
        let written = Entry::new(7, Some(at(5)), Some(vec![token])).to_bytes().unwrap();
        let json = r#"{"version":1,"epoch":7,"committed_ms":5,"parts":[{"file":"parts/5/0","records":1,"bytes":2,"crc32":3}]}"#;
        let expected = format!("{:08x} {json}\n", crc32fast::hash(json.as_bytes()));
        assert_eq!(String::from_utf8(written).unwrap(), expected);
    }
}
