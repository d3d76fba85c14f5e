use std::{
    fmt,
    fs::{self, File},
    io::{self, ErrorKind, Write},
    path::PathBuf,
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::error::advised;

/// The records of a partition as bytes, in memory or in a file.
///
/// Properties:
/// - cloning it is free;
/// - a file goes with the last clone, and with nothing else that anyone could forget;
/// - it is a record like any other: to serialise one that lies in a file is to read the file, and to
///   decode it is to write one, so that it can be fetched by other workers.
///
/// Compute threads write and read it. If the process dies, its files stay in the folder for temporary ones.
#[derive(Clone, Debug)]
pub(crate) struct Packed {
    pub records: u64,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Memory(Arc<[u8]>),
    Disk(Arc<TempFile>),
}

impl Packed {
    pub fn in_memory(records: u64, bytes: Vec<u8>) -> Self {
        Self { records, place: Place::Memory(bytes.into()) }
    }

    pub fn on_disk(records: u64, bytes: &[u8]) -> io::Result<Self> {
        Ok(Self { records, place: Place::Disk(Arc::new(TempFile::with(bytes)?)) })
    }

    pub fn bytes(&self) -> io::Result<Arc<[u8]>> {
        match &self.place {
            Place::Memory(bytes) => Ok(bytes.clone()),
            Place::Disk(file) => file.read().map(Into::into),
        }
    }
}

impl Serialize for Packed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes = self.bytes().map_err(ser::Error::custom)?;
        (self.records, matches!(self.place, Place::Disk(_)), bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Packed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (records, on_disk, bytes) = <(u64, bool, Arc<[u8]>)>::deserialize(deserializer)?;
        if on_disk {
            return Self::on_disk(records, &bytes).map_err(de::Error::custom);
        }
        Ok(Self { records, place: Place::Memory(bytes) })
    }
}

/// A file that is removed when nobody reads it any more. It is not held open: there may be more of them
/// than a process may have open.
struct TempFile {
    path: PathBuf,
}

impl TempFile {
    fn with(bytes: &[u8]) -> io::Result<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let (file, mut handle) = loop {
            let n = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = std::env::temp_dir().join(format!("cutwater-{}-{n}.part", process::id()));
            match File::create_new(&path) {
                Ok(handle) => break (Self { path }, handle),
                // Left by a process of the same number that died.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(Self { path }.named(&error)),
            }
        };
        handle.write_all(bytes).map_err(|error| file.named(&error))?;
        Ok(file)
    }

    fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(&self.path).map_err(|error| self.named(&error))
    }

    fn named(&self, error: &io::Error) -> io::Error {
        io::Error::new(error.kind(), format!("{}: {}", self.path.display(), advised(error)))
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        // One that cannot be removed is in nobody's way but the folder's.
        let _ = fs::remove_file(&self.path);
    }
}

impl fmt::Debug for TempFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(packed: &Packed) -> PathBuf {
        match &packed.place {
            Place::Disk(file) => file.path.clone(),
            Place::Memory(_) => panic!("it lies in memory"),
        }
    }

    #[test]
    fn a_file_goes_with_the_last_who_reads_it() {
        let packed = Packed::on_disk(3, b"abc").unwrap();
        let (clone, path) = (packed.clone(), path(&packed));
        drop(packed);
        assert_eq!(&*clone.bytes().unwrap(), b"abc");
        drop(clone);
        assert!(!path.exists());
    }

    #[test]
    fn what_travels_lies_in_a_file_of_its_own() {
        let packed = Packed::on_disk(3, b"abc").unwrap();
        let travelled: Packed = postcard::from_bytes(&postcard::to_allocvec(&packed).unwrap()).unwrap();
        assert_ne!(path(&packed), path(&travelled));
        drop(packed);
        assert_eq!((travelled.records, &*travelled.bytes().unwrap()), (3, &b"abc"[..]));
    }
}
