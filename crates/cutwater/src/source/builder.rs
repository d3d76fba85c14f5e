use super::{ErrorPolicy, Received, Receiver, intake::Bounds};
use crate::{Context, DStream, Record, rdd::Held, task::OperatorSpec};

/// A source about to be declared: its name, what it does with malformed records, and what an
/// interval may take from it. Made by [`Context::source`]; its last call says what kind of source it
/// is.
///
/// ```
/// use cutwater::{Context, ErrorPolicy};
///
/// let ctx = Context::local(1);
/// let (sender, numbers) =
///     ctx.source("numbers").on_error(ErrorPolicy::Skip).interval_records_max(10_000).channel::<u32>();
/// # drop((sender, numbers));
/// ```
#[derive(Debug)]
#[must_use = "say what kind of source it is"]
pub struct SourceBuilder<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) name: String,
    pub(crate) policy: ErrorPolicy,
    pub(crate) bounds: Bounds,
}

impl Context {
    /// Begins to declare a source. Reports call it by `name`.
    pub fn source(&self, name: &str) -> SourceBuilder<'_> {
        let settings = self.settings();
        SourceBuilder {
            ctx: self,
            name: name.to_owned(),
            policy: ErrorPolicy::default(),
            bounds: Bounds {
                records_max: settings.interval_records_max,
                bytes_max: settings.interval_bytes_max,
            },
        }
    }
}

impl SourceBuilder<'_> {
    /// What is done with records that cannot be understood. The interval fails if nothing is said.
    pub fn on_error(mut self, policy: ErrorPolicy) -> Self {
        self.policy = policy;
        self
    }

    /// The most records that an interval takes from this source, from the first interval on; at least
    /// one.
    pub fn interval_records_max(mut self, records: usize) -> Self {
        self.bounds.records_max = records.max(1);
        self
    }

    /// The most bytes that an interval takes from this source, from the first interval on.
    pub fn interval_bytes_max(mut self, bytes: usize) -> Self {
        self.bounds.bytes_max = bytes.max(1);
        self
    }

    /// The stream of what a receiver of your own takes in.
    ///
    /// ```
    /// use cutwater::{Context, Error, source::{Intake, Receiver}};
    ///
    /// struct Countdown(u32);
    ///
    /// impl Receiver<u32> for Countdown {
    ///     fn receive(&mut self, intake: &Intake<u32>) -> Result<(), Error> {
    ///         for n in (0..self.0).rev() {
    ///             // Waits while the interval is full; an error means that the program is over.
    ///             if intake.push(n, 4).is_err() {
    ///                 break;
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    ///
    /// let ctx = Context::local(1);
    /// let numbers = ctx.source("countdown").receiver(Countdown(3));
    /// # drop(numbers);
    /// ```
    #[track_caller]
    pub fn receiver<T: Record>(self, receiver: impl Receiver<T>) -> DStream<T> {
        let Self { ctx, name, policy, bounds } = self;
        let spec = OperatorSpec::new::<Held<T>>(&name, &());
        let (label, engine) = (name.clone(), ctx.engine());
        ctx.source_stream(&label, |stream| {
            Box::new(Received::new(name, stream, engine, spec, policy, bounds, Box::new(receiver)))
        })
    }
}
