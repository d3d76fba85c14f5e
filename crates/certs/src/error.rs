use std::{io, path::PathBuf};

/// Why certificates could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CertsError {
    /// No host was named.
    #[error("no certificate is asked for; name the hosts of masters, workers or clients")]
    NothingWanted,
    /// A name that cannot be in a certificate.
    #[error("{name:?}: {why}")]
    Host {
        /// The name.
        name: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// What would be written is there already, and is never written over.
    #[error("nothing was made, since these are there already: {}; remove them, or choose another folder", list(.0))]
    Exists(Vec<PathBuf>),
    /// One half of an authority.
    #[error("{} is there without {}; put the missing file back, or choose another folder", .there.display(), .missing.display())]
    HalfAnAuthority {
        /// The file that is there.
        there: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A file that cannot be used.
    #[error("cannot {what} {}: {error}", .file.display())]
    File {
        /// What was to be done with it.
        what: &'static str,
        /// Which it is.
        file: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// The library that makes certificates refuses.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// So many days are beyond every calendar.
    #[error("{0} days from there is beyond the calendar")]
    Days(u32),
}

fn list(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}
