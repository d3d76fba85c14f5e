use std::{
    collections::HashSet,
    fs::{self, File, Permissions},
    io::{self, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use anyhow::{Context, bail};
use cutwater_core::limits;
use cutwater_wire::handshake::ExecutableHash;
use tempfile::{NamedTempFile, TempPath};

/// The executables that an agent keeps, each under the hash of its content.
///
/// Properties:
/// - a file is there whole or not at all: it arrives beside, is checked, written through to the disk and
///   then renamed;
/// - it is checked again before it is run, since disks are not for ever;
/// - the [`EXECUTABLES_MAX`](limits::EXECUTABLES_MAX) that were used last are kept, and those that run.
///
/// If the agent dies, what was arriving is removed by the next.
pub struct Store {
    folder: PathBuf,
    incoming: PathBuf,
}

impl Store {
    /// The store in `folder`, which is made if it is not there.
    ///
    /// # Errors
    /// The folder cannot be used.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let store = Self { folder: folder.join("executables"), incoming: folder.join("incoming") };
        let open = || -> io::Result<()> {
            fs::create_dir_all(&store.folder)?;
            match fs::remove_dir_all(&store.incoming) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::create_dir(&store.incoming)
        };
        open().with_context(|| format!("cannot keep executables in {}", folder.display()))?;
        Ok(store)
    }

    /// Where the executable is, or would be.
    pub fn path(&self, executable: ExecutableHash) -> PathBuf {
        self.folder.join(hex(&executable.0))
    }

    /// Whether it is there. If it is, it counts as used now.
    pub fn holds(&self, executable: ExecutableHash) -> bool {
        let touch = File::open(self.path(executable)).and_then(|file| file.set_modified(SystemTime::now()));
        touch.is_ok()
    }

    /// Checks that what is kept is still what it is called, and removes it if it is not. Reads all of it.
    ///
    /// # Errors
    /// It is not there, cannot be read, or is damaged.
    pub fn check(&self, executable: ExecutableHash) -> anyhow::Result<PathBuf> {
        let path = self.path(executable);
        let read = || -> io::Result<[u8; 32]> {
            let mut hasher = blake3::Hasher::new();
            hasher.update_reader(File::open(&path)?)?;
            Ok(hasher.finalize().into())
        };
        let hash = read().with_context(|| format!("cannot read executable {}", path.display()))?;
        if hash != executable.0 {
            let _ = fs::remove_file(&path);
            bail!("executable {} was damaged on the disk and is removed; submit it again", path.display());
        }
        Ok(path)
    }

    /// Begins to take an executable of so many bytes.
    ///
    /// # Errors
    /// It is too large, or there can be no file.
    pub fn receive(&self, executable: ExecutableHash, bytes: u64) -> anyhow::Result<Incoming> {
        if bytes > limits::EXECUTABLE_BYTES_MAX {
            bail!("an executable of {bytes} bytes: at most {} are taken", limits::EXECUTABLE_BYTES_MAX);
        }
        let file = NamedTempFile::new_in(&self.incoming).map_err(|error| full(&self.folder, error))?;
        let target = self.path(executable);
        Ok(Incoming { file, hasher: blake3::Hasher::new(), left: bytes, executable, target })
    }

    /// Removes what was not used for the longest time, except `in_use`.
    pub fn prune(&self, in_use: &HashSet<ExecutableHash>) {
        let in_use: HashSet<_> = in_use.iter().map(|executable| self.path(*executable)).collect();
        let used = |path: PathBuf| Some((fs::metadata(&path).and_then(|file| file.modified()).ok()?, path));
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut kept: Vec<_> = entries.filter_map(|entry| used(entry.path())).collect();
        kept.sort();
        let surplus = kept.len().saturating_sub(limits::EXECUTABLES_MAX);
        for (_, path) in kept.into_iter().filter(|(_, path)| !in_use.contains(path)).take(surplus) {
            match fs::remove_file(&path) {
                Ok(()) => tracing::info!(path = %path.display(), "removed an executable not used for long"),
                Err(error) => tracing::warn!(path = %path.display(), %error, "cannot remove an executable"),
            }
        }
    }
}

/// An executable that is arriving. Dropped before it is whole, it was never there.
pub struct Incoming {
    file: NamedTempFile,
    hasher: blake3::Hasher,
    left: u64,
    executable: ExecutableHash,
    target: PathBuf,
}

impl Incoming {
    /// Takes the next bytes.
    ///
    /// # Errors
    /// There are more than were announced, or they cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let after = self.left.checked_sub(bytes.len() as u64).context("more arrived than was announced")?;
        self.left = after;
        self.hasher.update(bytes);
        self.file.write_all(bytes).map_err(|error| full(self.file.path(), error))
    }

    /// Checks what has arrived, and keeps it. It may take as long as the disk does.
    ///
    /// # Errors
    /// It is not what was announced, or cannot be written.
    pub fn keep(self) -> anyhow::Result<()> {
        let arrived = ExecutableHash(self.hasher.finalize().into());
        if self.left > 0 || arrived != self.executable {
            bail!(
                "the executable arrived damaged: it is {arrived} and not {}; submit it again",
                self.executable
            );
        }
        let (file, path) = self.file.into_parts();
        place(&file, path, &self.target).map_err(|error| full(&self.target, error))
    }
}

fn place(file: &File, path: TempPath, target: &Path) -> io::Result<()> {
    file.set_permissions(Permissions::from_mode(0o500))?;
    file.sync_all()?;
    path.persist(target).map_err(|error| error.error)?;
    // The name is safe only with the folder.
    target.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

/// An error of writing, in words that say what to do about the usual one.
fn full(path: &Path, error: io::Error) -> anyhow::Error {
    let path = path.display();
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => anyhow::anyhow!(
            "the disk with {path} is full; make room there, or give the agent a folder elsewhere with `--dir`"
        ),
        _ => anyhow::anyhow!("cannot write {path}: {error}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(bytes: &[u8]) -> ExecutableHash {
        ExecutableHash(blake3::hash(bytes).into())
    }

    fn keep(store: &Store, bytes: &[u8]) -> ExecutableHash {
        let mut incoming = store.receive(hash(bytes), bytes.len() as u64).unwrap();
        bytes.chunks(3).for_each(|chunk| incoming.write(chunk).unwrap());
        incoming.keep().unwrap();
        hash(bytes)
    }

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn what_arrives_whole_is_kept_and_can_be_run() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let executable = hash(b"#!/bin/sh\nexit 7\n");
        assert!(!store.holds(executable));
        keep(&store, b"#!/bin/sh\nexit 7\n");
        assert!(store.holds(executable));
        let path = Store::open(dir.path()).unwrap().check(executable).unwrap();
        assert_eq!(std::process::Command::new(path).status().unwrap().code(), Some(7));
    }

    #[test]
    fn damage_on_the_way_is_refused_and_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let executable = hash(b"whole");
        for (sent, announced) in [(&b"whole"[..4], 5), (b"whore", 5), (b"whol", 4)] {
            let mut incoming = store.receive(executable, announced).unwrap();
            incoming.write(sent).unwrap();
            let error = incoming.keep().unwrap_err().to_string();
            assert!(error.contains("arrived damaged"), "{error}");
        }
        let mut incoming = store.receive(executable, 4).unwrap();
        assert!(incoming.write(b"whole").unwrap_err().to_string().contains("more arrived"));
        drop(incoming);
        assert!(store.receive(executable, limits::EXECUTABLE_BYTES_MAX + 1).is_err());
        assert!(!store.holds(executable));
        assert_eq!((files(&dir.path().join("executables")), files(&dir.path().join("incoming"))), (0, 0));
    }

    #[test]
    fn damage_on_the_disk_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let executable = keep(&store, b"whole");
        fs::set_permissions(store.path(executable), Permissions::from_mode(0o700)).unwrap();
        fs::write(store.path(executable), "other").unwrap();
        let error = store.check(executable).unwrap_err().to_string();
        assert!(error.contains("damaged on the disk") && error.contains("submit it again"), "{error}");
        assert!(!store.holds(executable));
    }

    #[test]
    fn what_was_not_used_for_long_goes_unless_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path()).unwrap();
        let all: Vec<_> = (0..limits::EXECUTABLES_MAX + 3).map(|n| keep(&store, &[n as u8])).collect();
        for (age, executable) in all.iter().rev().enumerate() {
            let file = File::open(store.path(*executable)).unwrap();
            file.set_modified(SystemTime::now() - std::time::Duration::from_secs(60 * (1 + age as u64)))
                .unwrap();
        }
        assert!(store.holds(all[1]), "used just now");
        store.prune(&HashSet::from([all[0]]));
        let gone: Vec<_> = (0..all.len()).filter(|n| !store.path(all[*n]).exists()).collect();
        assert_eq!(gone, [2, 3, 4]);
    }

    /// A disk that is really full: a small file system in memory, which only root may mount.
    #[test]
    fn a_full_disk_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let mount = |args: &[&str]| {
            let done = std::process::Command::new(args[0]).args(&args[1..]).arg(dir.path()).output();
            done.is_ok_and(|output| output.status.success())
        };
        if !mount(&["mount", "-t", "tmpfs", "-o", "size=64k", "cutwater-test"]) {
            return eprintln!("skipped: mounting a file system takes root");
        }
        let filled = || -> anyhow::Result<()> {
            let store = Store::open(dir.path())?;
            let bytes = vec![7; 1 << 20];
            let mut incoming = store.receive(hash(&bytes), bytes.len() as u64)?;
            bytes.chunks(4096).try_for_each(|chunk| incoming.write(chunk))?;
            incoming.keep()
        };
        let error = filled().map_err(|error| error.to_string());
        assert!(mount(&["umount"]));
        let error = error.unwrap_err();
        assert!(error.contains("is full") && error.contains("--dir"), "{error}");
    }
}
