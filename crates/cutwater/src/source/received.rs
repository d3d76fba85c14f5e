use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutwater_core::{Split, Time};

use super::{
    ErrorPolicy, Holder, Input, Intake, Taken,
    intake::Reached,
    pace::{Pace, Processed},
};
use crate::{Record, error::Error, task::panic_message};

/// The part of a source that takes records from outside, on a thread of its own.
pub trait Receiver<T>: Send + 'static {
    /// Puts records into `intake` until there are no more or the intake says that the program is
    /// over. What can be mended by waiting (a server that is away) is mended here.
    ///
    /// # Errors
    /// What cannot be mended; the interval in which it happens fails.
    fn receive(&mut self, intake: &Intake<T>) -> Result<(), Error>;

    /// Everything that can be known to be wrong before the start. A receiver that listens binds its
    /// address here, so that a port in use is found out at once.
    fn prepare(&mut self) -> Vec<String> {
        Vec::new()
    }
}

/// A source whose records are received by this process.
///
/// The driver's thread calls it; the receiver has a thread of its own, and a channel's senders are
/// wherever the program puts them. All they share is the intake.
pub(crate) struct Received<T> {
    name: String,
    holder: Holder<T>,
    policy: ErrorPolicy,
    intake: Intake<T>,
    pace: Pace,
    origin: Origin<T>,
    places: Option<Arc<dyn Places>>,
    /// Where the next process can read on, if it can, after what was cut last.
    position: Vec<u8>,
}

/// What a receiver reads that stays where it is, as it is told to whoever goes on.
///
/// The driver's thread asks; the receiver's works with it.
pub(super) trait Places: Send + Sync {
    /// A place, in a form that outlives the process.
    fn position(&self, reached: Option<Reached>) -> Vec<u8>;

    /// The receiver is to begin there.
    fn resume(&self, position: &[u8]) -> Result<(), Error>;
}

/// Who puts records in.
pub(crate) enum Origin<T> {
    /// A receiver that has not begun.
    Receiver(Box<dyn Receiver<T>>),
    /// A receiver at work.
    Thread(JoinHandle<Result<(), Error>>),
    /// The program itself, until it closes the intake.
    Program,
    /// Nobody any more.
    Nobody,
}

impl<T: Record> Received<T> {
    pub fn new(
        name: String,
        holder: Holder<T>,
        policy: ErrorPolicy,
        intake: Intake<T>,
        pace: Pace,
        origin: Origin<T>,
    ) -> Self {
        Self { name, holder, policy, intake, pace, origin, places: None, position: Vec::new() }
    }

    /// What is received can be received again, from a place on.
    pub fn read_from(mut self, places: Option<Arc<dyn Places>>) -> Self {
        self.places = places;
        self
    }

    /// What the receiver said when it ended, if it has.
    fn ended(&mut self) -> Result<(), Error> {
        let Origin::Thread(thread) = &self.origin else { return Ok(()) };
        if !thread.is_finished() {
            return Ok(());
        }
        match std::mem::replace(&mut self.origin, Origin::Nobody) {
            Origin::Thread(thread) => thread.join().unwrap_or_else(|payload| {
                Err(Error::user(format_args!("the receiver panicked: {}", panic_message(&*payload))))
            }),
            _ => Ok(()),
        }
    }
}

impl<T> Received<T> {
    fn end(&mut self) {
        self.intake.stop();
        if let Origin::Thread(thread) = std::mem::replace(&mut self.origin, Origin::Nobody) {
            // What it answers after it was told to stop changes nothing; a panic was printed.
            let _ = thread.join();
        }
    }
}

impl<T: Record> Input for Received<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn faults(&mut self) -> Vec<String> {
        match &mut self.origin {
            Origin::Receiver(receiver) => {
                receiver.prepare().into_iter().map(|fault| format!("{}: {fault}", self.name)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        self.origin = match std::mem::replace(&mut self.origin, Origin::Nobody) {
            Origin::Receiver(mut receiver) => {
                let intake = self.intake.clone();
                let thread =
                    thread::Builder::new().name(format!("cutwater-receive-{}", self.holder.source()));
                Origin::Thread(thread.spawn(move || receiver.receive(&intake)).map_err(Error::external)?)
            }
            other => other,
        };
        Ok(())
    }

    fn cut(&mut self, from: Time, to: Time) -> Result<Taken, Error> {
        let ended = self.ended();
        // Looked at only after the receiver has ended or not, so that nothing it put in is missed.
        let cut = self.intake.cut(from, to);
        if let Some(places) = &self.places {
            self.position = places.position(cut.reached);
        }
        if cut.closed && matches!(self.origin, Origin::Program) {
            self.origin = Origin::Nobody;
        }
        let taken = Taken {
            records: cut.records.len() as u64,
            bytes: cut.bytes as u64,
            deferred: cut.deferred,
            dropped: cut.dropped,
            late: cut.late,
            malformed: cut.malformed,
        };
        self.holder.put(to, cut.records);
        // Dead letters are kept whatever became of the receiver.
        let applied = self.policy.apply(&self.name, to, &taken.malformed);
        ended.map_err(|error| error.at(&self.name))?;
        applied.map(|()| taken)
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.holder.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.holder.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        self.position.clone()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        match &self.places {
            Some(places) if !position.is_empty() => {
                self.position = position.to_vec();
                places.resume(position).map_err(|error| error.at(&self.name))
            }
            _ => Ok(()),
        }
    }

    fn set_aside(&mut self, to: Time) {
        self.holder.put(to, Vec::new());
    }

    fn processed(&mut self, records: u64, how: Processed) {
        if let Some(records_max) = self.pace.next(records, how) {
            self.intake.set_records_max(records_max);
        }
    }

    fn is_exhausted(&self) -> bool {
        // A receiver that has ended is nobody once a cut has taken its last records.
        matches!(self.origin, Origin::Nobody) && self.intake.is_empty()
    }

    fn is_stalled(&self) -> bool {
        self.intake.is_away()
    }

    fn stop(&mut self) {
        self.end();
    }

    fn has_pending(&self) -> bool {
        !self.intake.is_empty()
    }
}

impl<T> Drop for Received<T> {
    fn drop(&mut self) {
        self.end();
    }
}
