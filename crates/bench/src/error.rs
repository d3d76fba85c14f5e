//! Why a run failed, in words for whoever started it.

use std::io;
use std::path::{Path, PathBuf};

/// A run that ends without a figure.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// A file could not be read, written or moved into place.
    #[error("cannot {action} {}: {source}", path.display())]
    File {
        /// What was being done, as a verb: "read", "create", "write".
        action: &'static str,
        /// The file that the user named, or the one it is written through.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },

    /// A socket of this machine could not be used.
    #[error("cannot {action} on loopback: {source}")]
    Socket {
        /// What was being done, as a verb.
        action: &'static str,
        /// What the operating system said.
        source: io::Error,
    },

    /// The options are well formed but cannot be served.
    #[error("{0}")]
    Refused(String),

    /// The program that is measured failed.
    #[error(transparent)]
    Engine(#[from] cutwater::Error),

    /// A process that a job has started did not do what it should.
    #[error("{name}: {why}")]
    Process {
        /// Which.
        name: String,
        /// What it did.
        why: String,
    },

    /// The job ran, and its answer is not the reference's. Its figures mean nothing and are not printed.
    #[error("wrong answer: {0}")]
    Wrong(String),
}

impl BenchError {
    /// For `map_err`: says what was being done to which file.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::File { action, path, source }
    }

    /// The same for a socket.
    pub fn socket(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Socket { action, source }
    }
}
