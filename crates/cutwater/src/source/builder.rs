use std::{fmt, path::Path};

use cutwater_core::limits;

use super::{ErrorPolicy, Holder, Intake, Received, Receiver, intake::Bounds, pace::Pace, received::Origin};
use crate::{Context, DStream, Record};

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
#[must_use = "say what kind of source it is"]
pub struct SourceBuilder<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) name: String,
    pub(crate) policy: ErrorPolicy,
    pub(crate) bounds: Bounds,
    pub(crate) line_bytes_max: usize,
    pub(crate) header_lines: usize,
    pub(crate) include_existing: bool,
    pub(crate) file_filter: Option<Box<FileFilter>>,
    /// The options among these that were chosen, since not every kind of source has each.
    chosen: Vec<&'static str>,
}

/// Says whether a file is wanted.
pub(crate) type FileFilter = dyn Fn(&Path) -> bool + Send;

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
            line_bytes_max: limits::LINE_BYTES_MAX,
            header_lines: 0,
            include_existing: false,
            file_filter: None,
            chosen: Vec::new(),
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

    /// The most bytes that an interval takes from this source, from the first interval on; at least
    /// one. The record that reaches it is still taken whole.
    pub fn interval_bytes_max(mut self, bytes: usize) -> Self {
        self.bounds.bytes_max = bytes.max(1);
        self
    }

    /// The most bytes of a line, or of an event; 1 MiB if nothing is said. What is longer goes to the
    /// error policy with its first bytes. For sockets, HTTP streams and replayed files.
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes_max = bytes.max(1);
        self.chosen("line_bytes_max")
    }

    /// Lines at the beginning of each file that are no records: names of columns. For replayed files.
    pub fn header_lines(mut self, lines: usize) -> Self {
        self.header_lines = lines;
        self.chosen("header_lines")
    }

    /// Takes also the files that are there when the program starts. For a watched folder.
    pub fn include_existing(mut self) -> Self {
        self.include_existing = true;
        self.chosen("include_existing")
    }

    /// Takes only the files of which `wanted` says so. For a watched folder.
    pub fn file_filter(mut self, wanted: impl Fn(&Path) -> bool + Send + 'static) -> Self {
        self.file_filter = Some(Box::new(wanted));
        self.chosen("file_filter")
    }

    fn chosen(mut self, option: &'static str) -> Self {
        self.chosen.push(option);
        self
    }

    /// An option that this `kind` of source does not have is a fault of the program, rather than
    /// silently without effect.
    #[track_caller]
    pub(crate) fn only(&self, kind: &str, options: &[&str]) {
        for option in self.chosen.iter().filter(|option| !options.contains(option)) {
            self.ctx.fault(&self.name, format_args!("`{option}` has no meaning for {kind}; leave it out"));
        }
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
        self.only("a receiver of your own", &[]);
        self.received(Origin::Receiver(Box::new(receiver))).1
    }

    /// The stream of what `origin` puts in, and where it puts it.
    #[track_caller]
    pub(super) fn received<T: Record>(self, origin: Origin<T>) -> (Intake<T>, DStream<T>) {
        let Self { ctx, name, policy, bounds, .. } = self;
        // Made here and not in the closure, which would be the place that operations are called by.
        let spec = Holder::spec(&name);
        let pace = Pace::new(ctx.settings(), bounds.records_max);
        let intake = Intake::new(Bounds { records_max: pace.initial(), ..bounds });
        let (label, into) = (name.clone(), intake.clone());
        let stream = ctx.source_stream(&label, |stream| {
            let holder = Holder::new(ctx.engine(), spec, stream);
            Box::new(Received::new(name, holder, policy, into, pace, origin))
        });
        (intake, stream)
    }
}

impl fmt::Debug for SourceBuilder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceBuilder({:?}, {:?})", self.name, self.policy)
    }
}
