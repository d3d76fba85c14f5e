use std::{
    io,
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use cutwater_core::limits;
use tokio::sync::watch;

use super::log::Log;

/// Where a process prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    Out,
    Err,
}

/// Both outputs of a process, kept for whoever wants to read them. One that is started again goes on where
/// the one before it ended.
pub struct Output {
    out: Mutex<Log>,
    err: Mutex<Log>,
    changed: watch::Sender<()>,
}

impl Output {
    /// Outputs that are kept in `folder`, in files that begin with `name`.
    ///
    /// # Errors
    /// The files cannot be made.
    pub fn create(folder: &Path, name: &str) -> io::Result<Self> {
        let log =
            |end| Log::create(folder.join(format!("{name}.{end}")), limits::LOG_BYTES_MAX).map(Mutex::new);
        Ok(Self { out: log("out")?, err: log("err")?, changed: watch::Sender::new(()) })
    }

    pub fn append(&self, channel: Channel, bytes: &[u8]) {
        if let Err(error) = self.log(channel).append(bytes) {
            // The process is more important than what it prints.
            tracing::warn!(%error, "cannot keep what a process prints");
        }
        self.touch();
    }

    /// At most a message's worth from byte `at` on: how many before them are gone, and they.
    ///
    /// # Errors
    /// They cannot be read.
    pub fn read(&self, channel: Channel, at: u64) -> io::Result<(u64, Vec<u8>)> {
        self.log(channel).read(at, limits::CHUNK_BYTES)
    }

    /// The last lines on standard error, for a message about why a process ended.
    pub fn last_words(&self) -> String {
        const BYTES: u64 = 1 << 10;
        let log = self.log(Channel::Err);
        let (_, bytes) = log.read(log.end().saturating_sub(BYTES), BYTES as usize).unwrap_or_default();
        String::from_utf8_lossy(&bytes).trim().to_owned()
    }

    /// Wakes whoever waits for more, or for the end.
    pub fn touch(&self) {
        self.changed.send_replace(());
    }

    /// Tells of everything that is new from now on.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn log(&self, channel: Channel) -> MutexGuard<'_, Log> {
        let log = match channel {
            Channel::Out => &self.out,
            Channel::Err => &self.err,
        };
        log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
