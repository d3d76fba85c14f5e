use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutwater_core::{ClientId, limits};
use cutwater_wire::client::Batch;

use crate::{Builder, ClientError, courier, pending::Pending};

/// Sends records to a source of a program.
///
/// Properties:
/// - records are gathered into batches, by size and by time, which a thread of the client's carries;
/// - what is not acknowledged is held, and its size is bounded: over the bound, whoever sends waits;
/// - batches are numbered; what is sent again, to whichever worker, counts once;
/// - records that one thread sends are in the program in the order in which they were sent, as far as they are
///   in the same interval and no worker was lost.
///
/// Any thread may call it. If the process dies, what was acknowledged is safe, and of the rest each record is in
/// the program once or not at all.
#[derive(Debug)]
pub struct Client {
    id: ClientId,
    pending: Arc<Pending>,
    thread: Option<JoinHandle<()>>,
}

impl Client {
    pub(crate) fn start(builder: Builder, id: ClientId) -> Result<Self, ClientError> {
        let machine = |error: std::io::Error| ClientError::Machine(error.to_string());
        let pending = Arc::new(Pending::new(&builder));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(machine)?;
        let thread = thread::Builder::new().name("cutwater-client".to_owned());
        let carried = pending.clone();
        let thread = thread
            .spawn(move || runtime.block_on(courier::carry(&builder, id, &carried)))
            .map_err(machine)?;
        Ok(Self { id, pending, thread: Some(thread) })
    }

    /// Its name, as error messages of the program have it.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Sends a record. That it is safe is known only after a [`flush`](Self::flush). Waits while too much is
    /// on its way.
    ///
    /// # Errors
    /// The record is longer than any may be, or it had to wait and there has been no receiver for too long; then
    /// it was not taken.
    pub fn send(&self, record: impl AsRef<[u8]>) -> Result<(), ClientError> {
        let record = record.as_ref();
        if Batch::bytes_of(record) > limits::BATCH_BYTES_MAX {
            let max = limits::BATCH_BYTES_MAX - Batch::bytes_of(&[]);
            return Err(ClientError::TooLong { bytes: record.len(), max });
        }
        self.pending.push(record)
    }

    /// Waits until everything that was sent before is acknowledged.
    ///
    /// # Errors
    /// There has been no receiver for too long. Nothing is lost by that: it may be called again.
    pub fn flush(&self) -> Result<(), ClientError> {
        self.pending.flush()
    }

    /// How many records are acknowledged.
    pub fn acknowledged(&self) -> u64 {
        self.pending.acknowledged()
    }
}

impl Drop for Client {
    /// Ends at once. Whoever wants to know that all is safe flushes before.
    fn drop(&mut self) {
        self.pending.close();
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so; there is nobody left to tell.
            let _ = thread.join();
        }
    }
}
