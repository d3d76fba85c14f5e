use std::{
    fs,
    os::unix::fs::MetadataExt,
    sync::{Arc, Mutex, PoisonError},
    time::SystemTime,
};

use super::files::{Loaded, TlsFiles};

/// The certificates in files that may be replaced while the process runs.
///
/// Properties:
/// - before a connection is made or accepted the files are looked at, which is three system calls;
/// - what cannot be used is reported once, and what was there before stays in use: the files are replaced
///   one after the other, and connections may come in between.
pub(super) struct Renewed {
    files: TlsFiles,
    state: Mutex<State>,
}

struct State {
    loaded: Arc<Loaded>,
    /// What the files looked like when they were last read, or tried.
    seen: Looks,
}

/// What tells one version of a file from another, for each of the three.
type Looks = [Option<(SystemTime, u64, u64)>; 3];

impl Renewed {
    pub fn read(files: &TlsFiles) -> Result<Self, Vec<String>> {
        // Looked at first: what is replaced in between is then read again.
        let seen = looks(files);
        let loaded = Arc::new(Loaded::load(files)?);
        Ok(Self { files: files.clone(), state: Mutex::new(State { loaded, seen }) })
    }

    /// What is in the files now, or was when they could last be used.
    pub fn current(&self) -> Arc<Loaded> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = looks(&self.files);
        if now != state.seen {
            state.seen = now;
            match Loaded::load(&self.files) {
                Ok(loaded) => {
                    tracing::info!(certificate = %self.files.certificate.display(), "the certificates were renewed");
                    state.loaded = Arc::new(loaded);
                }
                Err(faults) => {
                    let faults = faults.join("; ");
                    tracing::warn!(%faults, "the certificates have changed and cannot be used; those from before still are");
                }
            }
        }
        state.loaded.clone()
    }
}

fn looks(files: &TlsFiles) -> Looks {
    [&files.authority, &files.certificate, &files.key].map(|file| {
        let metadata = fs::metadata(file).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    })
}
