use std::{
    fmt,
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::SocketAddr,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use cutwater_wire::handshake::Secret;

use crate::error::Error;

/// What proves that a process belongs to a run, as text that can be handed on. It is never printed.
///
/// Workers that a master starts are given it. To others on the same machine it goes by a file that only
/// their user can read: who can read it could as well do directly whatever a task does.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Token(String);

impl Token {
    /// A new one.
    pub fn new() -> Result<Self, Error> {
        Ok(Self(Secret::new().map_err(Error::external)?.to_text()))
    }

    pub fn from_text(text: &str) -> Self {
        Self(text.trim().to_owned())
    }

    pub fn as_text(&self) -> &str {
        &self.0
    }

    pub fn secret(&self) -> Secret {
        Secret::of(&self.0)
    }

    /// The token in `file`, which only its owner may read.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let failed = |error: &dyn fmt::Display| {
            Error::external(format_args!("cannot read the token from {}: {error}", file.display()))
        };
        let opened = File::open(file).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                failed(&"there is no such file; is the master running, on this machine and as this user?")
            }
            _ => failed(&error),
        })?;
        let metadata = opened.metadata().map_err(|error| failed(&error))?;
        let me = fs::metadata("/proc/self").map_err(|error| failed(&error))?;
        // A file that somebody else put there could lead this process to somebody else's master.
        if metadata.uid() != me.uid() || metadata.mode() & 0o077 != 0 {
            return Err(failed(&"it must belong to this user and be readable by nobody else (chmod 600)"));
        }
        let mut text = String::new();
        opened.take(1 << 10).read_to_string(&mut text).map_err(|error| failed(&error))?;
        if text.trim().is_empty() {
            return Err(failed(&"it is empty"));
        }
        Ok(Self::from_text(&text))
    }

    /// Writes it to `file` for workers to read; whatever was there before is replaced.
    pub fn write(&self, file: PathBuf) -> Result<TokenFile, Error> {
        let write = || -> io::Result<()> {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut created = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&file)?;
            created.write_all(self.0.as_bytes())
        };
        write().map_err(|error| {
            Error::external(format_args!("cannot write the token to {}: {error}", file.display()))
        })?;
        Ok(TokenFile { file, stays: false })
    }

    /// Where the token of the master at `address` is, if nothing is said.
    pub fn usual_file(address: SocketAddr) -> PathBuf {
        let folder = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
        folder.join(format!("cutwater-{}.token", address.port()))
    }
}

/// A file with a token, which goes when the run is over.
#[derive(Debug)]
pub(crate) struct TokenFile {
    file: PathBuf,
    stays: bool,
}

impl TokenFile {
    pub fn path(&self) -> &Path {
        &self.file
    }

    /// Another master is to prove itself by it.
    pub fn stays(mut self) {
        self.stays = true;
    }
}

impl Drop for TokenFile {
    fn drop(&mut self) {
        if !self.stays {
            // A token of a run that is over opens nothing.
            let _ = fs::remove_file(&self.file);
        }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}
