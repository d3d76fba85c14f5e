use std::{
    fs::{self, File},
    io::{self, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

/// What a process prints, as far as it is kept: two files, of which the older one goes when the newer is
/// full.
///
/// Bytes have numbers, from the first that was ever printed; a reader says from which on it wants to read
/// and is told how many of those are gone. So a slow reader holds nobody up and costs no memory.
///
/// The agent's one thread uses it. If the agent dies, the files remain until the next tidies up.
pub struct Log {
    path: PathBuf,
    /// Bytes that each of the files may have.
    half_bytes: u64,
    /// The file before the newest: where it begins, and how long it is.
    old: Option<Part>,
    new: Part,
}

struct Part {
    file: File,
    begins_at: u64,
    bytes: u64,
}

impl Log {
    /// A log of at most `bytes` in a new file, which replaces one of that name.
    ///
    /// # Errors
    /// The file cannot be made.
    pub fn create(path: PathBuf, bytes: u64) -> io::Result<Self> {
        let new = Part::create(&path, 0)?;
        Ok(Self { path, half_bytes: (bytes / 2).max(1), old: None, new })
    }

    /// Bytes that were ever printed.
    pub fn end(&self) -> u64 {
        self.new.begins_at + self.new.bytes
    }

    /// Appends what was printed. What does not fit goes to the next file.
    ///
    /// # Errors
    /// It cannot be written; it is not kept then.
    pub fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = usize::try_from(self.half_bytes - self.new.bytes).unwrap_or(usize::MAX);
            if room == 0 {
                self.turn()?;
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            (&self.new.file).write_all(now)?;
            self.new.bytes += now.len() as u64;
            bytes = later;
        }
        Ok(())
    }

    /// At most `max` bytes from number `at` on: how many before them are gone, and they. No bytes at the end.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, at: u64, max: usize) -> io::Result<(u64, Vec<u8>)> {
        let first = self.old.as_ref().map_or(self.new.begins_at, |old| old.begins_at);
        let from = at.max(first);
        let part = match &self.old {
            Some(old) if from < self.new.begins_at => old,
            _ => &self.new,
        };
        let there = (part.begins_at + part.bytes).saturating_sub(from);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(usize::MAX).min(max)];
        part.file.read_exact_at(&mut bytes, from.saturating_sub(part.begins_at))?;
        Ok((from - at, bytes))
    }

    fn turn(&mut self) -> io::Result<()> {
        let old = old_path(&self.path);
        fs::rename(&self.path, old)?;
        let new = Part::create(&self.path, self.end())?;
        self.old = Some(std::mem::replace(&mut self.new, new));
        Ok(())
    }
}

impl Part {
    fn create(path: &Path, begins_at: u64) -> io::Result<Self> {
        // Not truncated, since somebody may still read what was there.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        Ok(Self { file, begins_at, bytes: 0 })
    }
}

fn old_path(path: &Path) -> PathBuf {
    let mut old = path.as_os_str().to_owned();
    old.push(".old");
    old.into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_newest_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        let mut log = Log::create(path.clone(), 20).unwrap();
        log.append(b"0123456789").unwrap();
        assert_eq!(log.read(3, 4).unwrap(), (0, b"3456".to_vec()));
        log.append(b"abcdefghijKLMNO").unwrap();
        assert_eq!(log.read(0, 100).unwrap(), (10, b"abcdefghij".to_vec()));
        assert_eq!(log.read(20, 100).unwrap(), (0, b"KLMNO".to_vec()));
        assert_eq!(log.read(25, 100).unwrap(), (0, Vec::new()));
        let on_disk = fs::metadata(&path).unwrap().len() + fs::metadata(old_path(&path)).unwrap().len();
        assert!(on_disk <= 20);
    }

    proptest! {
        // Each makes and reads real files.
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// A reader that keeps up reads everything, one that comes late the newest, and never anything else.
        #[test]
        fn what_is_read_is_what_was_written(
            pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..20),
            bytes in 2..50u64, max in 1..60usize,
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut log = Log::create(dir.path().join("out"), bytes).unwrap();
            let mut all: Vec<u8> = Vec::new();
            for piece in &pieces {
                log.append(piece).unwrap();
                all.extend(piece);
            }
            prop_assert_eq!(log.end(), all.len() as u64);
            let (mut at, mut lost_in_all) = (0, 0);
            loop {
                let (lost, read) = log.read(at, max).unwrap();
                let from = (at + lost) as usize;
                lost_in_all += lost;
                prop_assert_eq!(&all[from..from + read.len()], &read[..]);
                at = (from + read.len()) as u64;
                if read.is_empty() {
                    break;
                }
            }
            prop_assert_eq!(at, all.len() as u64);
            prop_assert!(lost_in_all == 0 || all.len() as u64 - lost_in_all <= bytes);
        }
    }
}
