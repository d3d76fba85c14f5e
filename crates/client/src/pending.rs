use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cutwater_wire::client::Batch;
use tokio::sync::Notify;

use crate::{Builder, ClientError};

/// Records that are not acknowledged.
///
/// Properties:
/// - they are in batches: one that is open, and sealed ones, whose numbers are in a row;
/// - their bytes are bounded; whoever sends waits for room;
/// - a batch leaves only when it is acknowledged.
///
/// Threads of the program put in, the client's own thread takes out.
pub(crate) struct Pending {
    state: Mutex<State>,
    /// Something was acknowledged, or there is no receiver.
    changed: Condvar,
    /// Something is to be sent.
    wake: Notify,
    batch_bytes: usize,
    linger: Duration,
    held_bytes_max: usize,
    patience: Duration,
    source: String,
    addresses: String,
}

struct State {
    open: Batch,
    /// Since when the open batch has records.
    opened: Option<Instant>,
    sealed: VecDeque<Sealed>,
    /// The number of the first sealed batch, or else of the next.
    first: u64,
    bytes: usize,
    acknowledged: u64,
    /// Threads that wait for everything to be acknowledged: then nothing lingers.
    flushing: usize,
    /// Since when there is no receiver, and why.
    trouble: Option<(Instant, String)>,
    closed: bool,
}

struct Sealed {
    frame: Arc<Vec<u8>>,
    records: u32,
    bytes: usize,
}

/// What the client's thread is to do next.
pub(crate) enum Next {
    /// Send this, whose number it is.
    Send(u64, Arc<Vec<u8>>),
    /// Wait until woken, or until then.
    Wait(Option<Instant>),
    /// Nobody needs the client any longer.
    End,
}

impl Pending {
    pub fn new(builder: &Builder) -> Self {
        let state = State {
            open: Batch::new(),
            opened: None,
            sealed: VecDeque::new(),
            first: 0,
            bytes: 0,
            acknowledged: 0,
            flushing: 0,
            trouble: None,
            closed: false,
        };
        Self {
            state: Mutex::new(state),
            changed: Condvar::new(),
            wake: Notify::new(),
            batch_bytes: builder.batch_bytes,
            linger: builder.linger,
            held_bytes_max: builder.held_bytes_max,
            patience: builder.patience,
            source: builder.source.clone(),
            addresses: builder.addresses.join(", "),
        }
    }

    pub fn push(&self, record: &[u8]) -> Result<(), ClientError> {
        let bytes = Batch::bytes_of(record);
        let mut state = self.lock();
        // A record that is larger than all that may be held goes alone.
        if state.bytes > 0 && state.bytes + bytes > self.held_bytes_max {
            // What fills the bound must not linger.
            state.flushing += 1;
            self.wake.notify_one();
            let full = |state: &State| state.bytes > 0 && state.bytes + bytes > self.held_bytes_max;
            let (waited, result) = self.wait_while(state, full);
            state = waited;
            state.flushing -= 1;
            result?;
        }
        if state.open.bytes() > 0 && state.open.bytes() + bytes > self.batch_bytes {
            state.seal();
            self.wake.notify_one();
        }
        state.open.push(record);
        state.bytes += bytes;
        if state.open.bytes() >= self.batch_bytes {
            state.seal();
            self.wake.notify_one();
        } else if state.opened.is_none() {
            state.opened = Some(Instant::now());
            self.wake.notify_one();
        }
        Ok(())
    }

    pub fn flush(&self) -> Result<(), ClientError> {
        let mut state = self.lock();
        state.seal();
        let last = state.first + state.sealed.len() as u64;
        self.wake.notify_one();
        let (state, result) = self.wait_while(state, |state| state.first < last);
        drop(state);
        result
    }

    /// Waits, but not for ever where there is no receiver.
    fn wait_while<'a>(
        &self,
        mut state: MutexGuard<'a, State>,
        wanting: impl Fn(&State) -> bool,
    ) -> (MutexGuard<'a, State>, Result<(), ClientError>) {
        while wanting(&state) {
            let left = match &state.trouble {
                Some((since, why)) => {
                    let left = self.patience.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        let (source_name, addresses) = (self.source.clone(), self.addresses.clone());
                        let error = ClientError::Unreachable { source_name, addresses, why: why.clone() };
                        return (state, Err(error));
                    }
                    left
                }
                None => self.patience,
            };
            let waited = self.changed.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        (state, Ok(()))
    }

    pub fn acknowledged(&self) -> u64 {
        self.lock().acknowledged
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
    }

    /// What to do on a connection on which everything before batch `sent` has been sent.
    pub fn next(&self, sent: u64) -> Next {
        let mut state = self.lock();
        if state.closed {
            return Next::End;
        }
        let at = usize::try_from(sent.saturating_sub(state.first)).unwrap_or(usize::MAX);
        if at >= state.sealed.len() {
            let Some(opened) = state.opened else { return Next::Wait(None) };
            let due = opened + self.linger;
            if state.flushing == 0 && Instant::now() < due {
                return Next::Wait(Some(due));
            }
            state.seal();
        }
        match state.sealed.get(at) {
            Some(batch) => Next::Send(state.first + at as u64, batch.frame.clone()),
            None => Next::Wait(None),
        }
    }

    /// The batch and all before it are safe.
    pub fn acknowledge(&self, through: u64) {
        let mut state = self.lock();
        while state.first <= through
            && let Some(batch) = state.sealed.pop_front()
        {
            state.first += 1;
            state.bytes -= batch.bytes;
            state.acknowledged += u64::from(batch.records);
        }
        drop(state);
        self.changed.notify_all();
    }

    /// Whether anything waits for a receiver, or could.
    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// There is no receiver, or there is one again.
    pub fn trouble(&self, why: Option<String>) {
        let mut state = self.lock();
        let since = state.trouble.as_ref().map_or_else(Instant::now, |(since, _)| *since);
        state.trouble = why.map(|why| (since, why));
        drop(state);
        self.changed.notify_all();
    }

    /// Waits until there may be something to do, or until `until`.
    pub async fn woken(&self, until: Instant) {
        tokio::select! {
            () = self.wake.notified() => {}
            () = tokio::time::sleep_until(until.into()) => {}
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change is complete before the lock is let go, so a panic elsewhere spoils nothing.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn seal(&mut self) {
        if self.open.records() == 0 {
            return;
        }
        self.opened = None;
        let open = std::mem::take(&mut self.open);
        let (records, bytes) = (open.records(), open.bytes());
        let sequence = self.first + self.sealed.len() as u64;
        self.sealed.push_back(Sealed { frame: Arc::new(open.seal(sequence)), records, bytes });
    }
}

impl fmt::Debug for Pending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pending({} bytes)", self.lock().bytes)
    }
}
