use std::{
    fs::{self, File, OpenOptions},
    io::{self, ErrorKind, Write},
    path::{Path, PathBuf},
};

/// A folder in which objects lie as files.
///
/// Properties:
/// - a file has its name once all of it is on disk, and not before, so that not even a machine that stops leaves
///   half of one;
/// - what is being written is beside it, as `name#1`, which no object is called and no list shows;
/// - a folder in which nothing is left goes, since object stores know no folders.
///
/// Any thread of any process may call it. If a process dies, files that it had begun and folders that it had
/// emptied stay until somebody [sweeps](Self::sweep).
pub(super) struct Folder {
    root: PathBuf,
    #[cfg(test)]
    pub faults: super::faults::Faults,
}

impl Folder {
    /// The folder, which is made if it is not there.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        Ok(Self {
            root: root.canonicalize()?,
            #[cfg(test)]
            faults: super::faults::Faults::default(),
        })
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Writes a file whole. One that is there already is overwritten or else left alone; says whether this one is
    /// there now.
    pub fn write(&self, name: &str, bytes: &[u8], overwrite: bool) -> io::Result<bool> {
        let path = self.root.join(name);
        let folder = path.parent().unwrap_or(&self.root);
        loop {
            let (staged, file) = self.stage(&path)?;
            let placed = self.fill(name, file, bytes).and_then(|()| {
                if overwrite { fs::rename(&staged, &path) } else { fs::hard_link(&staged, &path) }
            });
            if placed.is_ok() {
                self.step(name)?;
            }
            if !(overwrite && placed.is_ok()) {
                // It is in nobody's way but the folder's.
                let _ = fs::remove_file(&staged);
            }
            match placed {
                Ok(()) => break,
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    // Whoever finds it counts on it, also its writer, of whom it is not known that it came so far.
                    gone_or(File::open(folder).and_then(|folder| folder.sync_all()))?;
                    return Ok(false);
                }
                // Somebody has swept meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        File::open(folder)?.sync_all()?;
        self.step(name)?;
        Ok(true)
    }

    /// Removes a file; one that is not there is as good as removed.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        self.step(name)?;
        match fs::remove_file(self.root.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.step(name)?;
        let mut name = name;
        // It fails while there is something in it.
        while let Some((folder, _)) = name.rsplit_once('/')
            && fs::remove_dir(self.root.join(folder)).is_ok()
        {
            name = folder;
        }
        Ok(())
    }

    /// Removes files that somebody has begun to write, and folders in which nothing is. Whoever is writing at this
    /// moment begins again.
    pub fn sweep(&self) -> io::Result<()> {
        Self::sweep_in(&self.root)
    }

    fn sweep_in(folder: &Path) -> io::Result<()> {
        for entry in fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                gone_or(Self::sweep_in(&path))?;
                // It fails while there is something in it.
                let _ = fs::remove_dir(&path);
            } else if is_staged(&path) {
                gone_or(fs::remove_file(&path))?;
            }
        }
        Ok(())
    }

    /// An empty file beside `path`, in a folder of which all above know.
    fn stage(&self, path: &Path) -> io::Result<(PathBuf, File)> {
        let mut number = 1u64;
        loop {
            let mut staged = path.as_os_str().to_owned();
            staged.push(format!("#{number}"));
            let staged = PathBuf::from(staged);
            match OpenOptions::new().write(true).create_new(true).open(&staged) {
                Ok(file) => return Ok((staged, file)),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => number += 1,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    Self::make_folders(path.parent().unwrap_or(&self.root))?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn make_folders(folder: &Path) -> io::Result<()> {
        let new: Vec<&Path> = folder.ancestors().take_while(|folder| !folder.exists()).collect();
        fs::create_dir_all(folder)?;
        let above = new.iter().filter_map(|folder| folder.parent());
        above.map(File::open).try_for_each(|above| gone_or(above.and_then(|above| above.sync_all())))
    }

    /// Writes all of it and waits until it is on disk.
    fn fill(&self, name: &str, mut file: File, bytes: &[u8]) -> io::Result<()> {
        let (first, rest) = bytes.split_at(bytes.len() / 2);
        file.write_all(first)?;
        self.step(name)?;
        file.write_all(rest)?;
        file.sync_all()
    }

    /// Between what is done for the file `name`: a place at which tests let processes die.
    #[cfg(test)]
    fn step(&self, name: &str) -> io::Result<()> {
        self.faults.step(name)
    }

    #[cfg(not(test))]
    #[expect(
        clippy::unused_self,
        clippy::unnecessary_wraps,
        reason = "nothing goes wrong on purpose outside tests"
    )]
    fn step(&self, _name: &str) -> io::Result<()> {
        Ok(())
    }
}

fn is_staged(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.rsplit_once('#').is_some_and(|(_, number)| number.parse::<u64>().is_ok())
}

/// Another process may remove the same at the same time.
fn gone_or(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicBool, Ordering},
        thread,
    };

    use super::*;

    #[test]
    fn what_was_begun_and_emptied_goes_and_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(dir.path()).unwrap();
        folder.write("a/1", b"whole", true).unwrap();
        fs::create_dir_all(dir.path().join("b/c")).unwrap();
        fs::write(dir.path().join("a/2#1"), "ha").unwrap();
        fs::write(dir.path().join("lease#12"), "").unwrap();
        folder.sweep().unwrap();
        let names = |path: &Path| -> Vec<String> {
            fs::read_dir(path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        };
        assert_eq!(
            (names(dir.path()), names(&dir.path().join("a"))),
            (vec!["a".to_owned()], vec!["1".to_owned()])
        );
    }

    #[test]
    fn whoever_writes_while_another_sweeps_writes_all() {
        let dir = tempfile::tempdir().unwrap();
        let (folder, is_over) = (Folder::open(dir.path()).unwrap(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    folder.sweep().unwrap();
                }
            });
            for number in 0..200 {
                let overwrite = number % 2 == 0;
                assert!(folder.write(&format!("{number}/file"), b"what is kept", overwrite).unwrap());
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for number in 0..200 {
            assert_eq!(fs::read(dir.path().join(format!("{number}/file"))).unwrap(), b"what is kept");
        }
        assert!(!folder.write("7/file", b"another", false).unwrap());
    }
}
