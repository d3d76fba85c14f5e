use std::{
    sync::Arc,
    thread::{self, JoinHandle},
};

use cutwater_core::Time;

use super::{ErrorPolicy, Input, Intake, Taken, intake::Bounds};
use crate::{
    Record,
    error::Error,
    rdd::{held, slices},
    runtime::Engine,
    stream::StreamNode,
    task::{OperatorSpec, panic_message},
};

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
pub(crate) struct Received<T> {
    name: String,
    engine: Arc<Engine>,
    spec: OperatorSpec<T>,
    stream: Arc<StreamNode<T>>,
    policy: ErrorPolicy,
    intake: Intake<T>,
    receiver: Running<T>,
    source: u32,
    sequence: u64,
}

enum Running<T> {
    Not(Box<dyn Receiver<T>>),
    Yes(JoinHandle<Result<(), Error>>),
    Over,
}

impl<T: Record> Received<T> {
    pub fn new(
        name: String,
        stream: &Arc<StreamNode<T>>,
        engine: &Arc<Engine>,
        spec: OperatorSpec<T>,
        policy: ErrorPolicy,
        bounds: Bounds,
        receiver: Box<dyn Receiver<T>>,
    ) -> Self {
        Self {
            name,
            engine: engine.clone(),
            spec,
            stream: stream.clone(),
            policy,
            intake: Intake::new(bounds),
            receiver: Running::Not(receiver),
            source: engine.new_source(),
            sequence: 0,
        }
    }

    fn put(&mut self, time: Time, records: Vec<T>) {
        // An interval without records has no partitions, hence no tasks.
        let parts = u32::try_from(records.len()).unwrap_or(u32::MAX).min(self.engine.parallelism());
        let slices = if parts == 0 { Vec::new() } else { slices(records, parts) };
        let count = slices.len() as u64;
        let rdd = held(&self.engine, &self.spec, self.source, self.sequence, slices);
        self.sequence += count;
        self.stream.put(time, Some(rdd));
    }
}

impl<T: Record> Input for Received<T> {
    fn name(&self) -> &str {
        &self.name
    }

    fn faults(&mut self) -> Vec<String> {
        match &mut self.receiver {
            Running::Not(receiver) => {
                receiver.prepare().into_iter().map(|fault| format!("{}: {fault}", self.name)).collect()
            }
            _ => Vec::new(),
        }
    }

    fn start(&mut self) -> Result<(), Error> {
        if let Running::Not(mut receiver) = std::mem::replace(&mut self.receiver, Running::Over) {
            let intake = self.intake.clone();
            let thread = thread::Builder::new().name(format!("cutwater-receive-{}", self.source));
            let handle = thread.spawn(move || receiver.receive(&intake)).map_err(Error::external)?;
            self.receiver = Running::Yes(handle);
        }
        Ok(())
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        let ended = match &self.receiver {
            Running::Yes(thread) if thread.is_finished() => {
                match std::mem::replace(&mut self.receiver, Running::Over) {
                    Running::Yes(thread) => thread.join(),
                    _ => Ok(Ok(())),
                }
            }
            _ => Ok(Ok(())),
        };
        // Looked at only after the receiver has ended or not, so that nothing it put in is missed.
        let cut = self.intake.cut();
        let taken = Taken {
            records: cut.records.len() as u64,
            bytes: cut.bytes as u64,
            deferred: cut.deferred,
            dropped: cut.dropped,
            late: 0,
            malformed: cut.malformed,
        };
        self.put(to, cut.records);
        let said = ended.map_err(|payload| {
            Error::user(format_args!("the receiver panicked: {}", panic_message(&*payload)))
        });
        said.and_then(|result| result).map_err(|error| error.at(&self.name))?;
        self.policy.apply(&self.name, to, &taken.malformed)?;
        Ok(taken)
    }

    fn set_aside(&mut self, to: Time) {
        self.put(to, Vec::new());
    }

    fn is_exhausted(&self) -> bool {
        // A receiver that has ended is `Over` once a cut has taken its last records.
        matches!(self.receiver, Running::Over) && self.intake.is_empty()
    }

    fn stop(&mut self) {
        self.intake.stop();
        if let Running::Yes(thread) = std::mem::replace(&mut self.receiver, Running::Over) {
            // What it answers after it was told to stop changes nothing; a panic was printed.
            let _ = thread.join();
        }
    }

    fn has_pending(&self) -> bool {
        !self.intake.is_empty()
    }
}

impl<T> Drop for Received<T> {
    fn drop(&mut self) {
        self.intake.stop();
        if let Running::Yes(thread) = std::mem::replace(&mut self.receiver, Running::Over) {
            let _ = thread.join();
        }
    }
}
