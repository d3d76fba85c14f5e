use std::{fmt, path::Path, sync::Arc};

use cutwater_core::{Time, limits};

use super::{
    ByArrival, ByEventTime, Dating, ErrorPolicy, Holder, Intake, Received, Receiver,
    intake::{Bounds, Calendar},
    pace::Pace,
    received::{Origin, Places},
};
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
pub struct SourceBuilder<'a, D = ByArrival> {
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
    /// Into which intervals its records go.
    dating: D,
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
            dating: ByArrival,
        }
    }
}

impl<'a> SourceBuilder<'a> {
    /// Puts records into the intervals in which they happened, by what `time_of` says, and not into
    /// those in which they arrive. Those of an interval are received until it starts, which is
    /// [`slack`](crate::Builder::slack) after its end (`paper.md` §1): its bounds do not move. What
    /// happened later is held until then; what comes after the start of its interval is late: it is in
    /// the next one to start, and counted ([`Taken::late`](super::Taken::late)).
    ///
    /// No interval holds more than it [may](Self::interval_records_max), nor does the source hold more
    /// than as many intervals as pass during the slack; then its senders wait. What happened more than
    /// a minute after it arrived is for the [error policy](Self::on_error), since it would be held for as long.
    ///
    /// For sources that receive. Replayed files go by the time of their records anyway. `time_of` runs
    /// where records are received.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Context, Time, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let builder = Context::builder("clicks").interval(second).slack(second).threads(1);
    /// # let harness = Harness::with(builder, 1);
    /// # let ctx = harness.ctx();
    /// let source = ctx.source("clicks").event_time(|(ms, _): &(i64, char)| Time::from_ms(*ms));
    /// let (sender, clicks) = source.channel();
    /// let clicks = harness.watch(&clicks);
    /// for click in [(1_200, 'a'), (900, 'b')] {
    ///     sender.send(click)?; // until the first interval starts, at 2 s
    /// }
    /// harness.advance(2)?;
    /// assert_eq!(clicks.all(), [vec![(900, 'b')], vec![(1_200, 'a')]].map(Some));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn event_time<T: Record>(
        self,
        time_of: impl Fn(&T) -> Time + Send + Sync + 'static,
    ) -> SourceBuilder<'a, ByEventTime<T>> {
        SourceBuilder {
            ctx: self.ctx,
            name: self.name,
            policy: self.policy,
            bounds: self.bounds,
            line_bytes_max: self.line_bytes_max,
            header_lines: self.header_lines,
            include_existing: self.include_existing,
            file_filter: self.file_filter,
            chosen: self.chosen,
            dating: ByEventTime(Box::new(time_of)),
        }
    }
}

impl<D> SourceBuilder<'_, D> {
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
    /// error policy with its first bytes. For sockets, HTTP streams, followed and replayed files.
    pub fn line_bytes_max(mut self, bytes: usize) -> Self {
        self.line_bytes_max = bytes.max(1);
        self.chosen("line_bytes_max")
    }

    /// Lines at the beginning of each file that are no records: names of columns. For replayed files.
    pub fn header_lines(mut self, lines: usize) -> Self {
        self.header_lines = lines;
        self.chosen("header_lines")
    }

    /// Takes also what is there when the program starts. For a watched folder and its files, and a followed
    /// file and its lines.
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
    pub fn receiver<T: Record>(self, receiver: impl Receiver<T>) -> DStream<T>
    where
        D: Dating<T>,
    {
        self.only("a receiver of your own", &[]);
        self.received(Origin::Receiver(Box::new(receiver))).1
    }

    /// The stream of what `origin` puts in, and where it puts it.
    #[track_caller]
    pub(super) fn received<T: Record>(self, origin: Origin<T>) -> (Intake<T>, DStream<T>)
    where
        D: Dating<T>,
    {
        self.received_from(origin, None)
    }

    /// The same of what can be received again from `places` on.
    #[track_caller]
    pub(super) fn received_from<T: Record>(
        self,
        origin: Origin<T>,
        places: Option<Arc<dyn Places>>,
    ) -> (Intake<T>, DStream<T>)
    where
        D: Dating<T>,
    {
        let Self { ctx, name, policy, bounds, dating, .. } = self;
        let slack = ctx.settings().slack;
        let calendar = dating.time_of().map(|time_of| Calendar::new(time_of, ctx.interval(), slack));
        // Made here and not in the closure, which would be the place that operations are called by.
        let spec = Holder::spec(&name);
        let pace = Pace::new(ctx.settings(), bounds.records_max);
        let intake = Intake::new(Bounds { records_max: pace.initial(), ..bounds }, calendar);
        let (label, into) = (name.clone(), intake.clone());
        let stream = ctx.source_stream(&label, |stream| {
            let holder = Holder::new(ctx.engine(), spec, stream);
            Box::new(Received::new(name, holder, policy, into, pace, origin).read_from(places))
        });
        (intake, stream)
    }
}

impl<D> fmt::Debug for SourceBuilder<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SourceBuilder({:?}, {:?})", self.name, self.policy)
    }
}
