//! What a program holds: the graph it builds, and the means to run it.

mod builder;
mod checkpoints;
mod cluster;
mod config_file;
mod event;
mod layers;
mod options;
mod place;
mod report;
mod running;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use cutwater_core::{Time, limits};

pub(crate) use builder::Settings;
pub use builder::{Builder, OnFailure};
pub(crate) use checkpoints::Checkpoints;
pub use event::{Event, OutputReport};
pub(crate) use layers::{ADDRESS_FILE, JOIN, ROLE, TOKEN};
pub use report::{EventTimeReport, IntervalReport, SourceReport};
pub use running::Running;

use crate::{
    DStream, Record,
    checkpoint::saved::Saving,
    error::Error,
    output::Act,
    rdd::Rdd,
    runtime::{ClientAccess, Durable, Engine, driver},
    source::{Input, StandingAt},
    stream::{AnyStream, Made, Parent, StreamNode, Timeline, window::Span},
    task::labelled,
};

/// The program: its settings, its sources, streams and outputs, and the engine that runs it.
///
/// Properties:
/// - streams are declared before [`run`](Self::run), and nothing is added afterwards;
/// - faults of the program are collected while it is built and listed, all of them, when it is to
///   start;
/// - datasets ([`parallelize`](Self::parallelize), [`text_files`](Self::text_files)) may be used at
///   any time, with or without streams.
///
/// Cloning it is free. If the process dies, the program builds it again.
#[derive(Clone)]
pub struct Context {
    inner: Arc<Inner>,
}

/// A context for what the context itself holds.
pub(crate) struct WeakContext(Weak<Inner>);

struct Inner {
    settings: Settings,
    engine: Arc<Engine>,
    /// What was written down before, until the program runs.
    durable: Mutex<Option<Durable>>,
    timeline: Arc<Timeline>,
    graph: Mutex<Graph>,
    /// Somebody wants the program to stop, gracefully.
    stop: driver::StopFlag,
}

/// What a program consists of.
#[derive(Default)]
pub(crate) struct Graph {
    pub inputs: Vec<Box<dyn Input>>,
    /// How each of them stands, for the streams that are made from it.
    pub standings: Vec<Arc<StandingAt>>,
    /// Streams with windows of event time, each with the number of its clock.
    pub event_windows: Vec<(Arc<dyn AnyStream>, usize)>,
    /// How many event clocks there are.
    pub event_clocks: usize,
    pub streams: Vec<Arc<dyn AnyStream>>,
    pub outputs: Vec<Output>,
    pub listeners: Vec<Box<dyn FnMut(&Event<'_>) + Send>>,
    pub faults: Vec<String>,
    pub phase: Phase,
}

/// How far the program is. Nothing is declared once it has started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    #[default]
    Built,
    Started,
    Stopped,
}

impl Graph {
    /// Something is declared, which must be before the start.
    fn declared(&mut self, label: &str) {
        match self.phase {
            Phase::Built => {}
            Phase::Started => self.faults.push(format!("{label} was declared after the program started")),
            Phase::Stopped => self.faults.push(format!("{label} was declared after the program stopped")),
        }
    }
}

/// Something done with every dataset of a stream.
pub(crate) struct Output {
    pub label: String,
    pub stream: Arc<dyn AnyStream>,
    pub act: Box<dyn Act>,
}

impl Context {
    /// Begins to set up a program.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// A context with `threads` compute threads and otherwise the usual settings: enough for
    /// datasets, small programs and tests.
    ///
    /// # Panics
    /// The operating system refuses to start the threads.
    pub fn local(threads: usize) -> Self {
        Self::builder("local").threads(threads).build().expect("threads can be started")
    }

    pub(crate) fn with(mut settings: Settings, mut faults: Vec<String>) -> Result<Self, Error> {
        settings.compare(&mut faults)?;
        // What is wrongly set up must not take anything from one that is not.
        let mut durable = if faults.is_empty() { Durable::open(&settings)? } else { None };
        // Who says nothing goes on with as many partitions.
        settings.parallelism = settings.parallelism.or(durable.as_ref().and_then(Durable::parallelism));
        let engine = Engine::start(&settings, durable.as_ref().map(Durable::begins))?;
        if let Some(durable) = durable.as_mut().filter(|_| !engine.takes_over()) {
            durable.nobody_came();
        }
        let inner = Inner {
            engine,
            durable: Mutex::new(durable),
            settings,
            timeline: Arc::default(),
            graph: Mutex::new(Graph { faults, ..Graph::default() }),
            stop: driver::StopFlag::default(),
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Runs the program until its sources end, it is stopped, or an interval fails and the program
    /// was not told to go on.
    ///
    /// # Errors
    /// The program is wrongly put together (every fault is listed), it ran before or was stopped before it
    /// could run, or an interval failed.
    pub fn run(&self) -> Result<(), Error> {
        driver::prepare(self, None)?.run()
    }

    /// Runs at most `intervals` intervals.
    ///
    /// # Errors
    /// Those of [`run`](Self::run).
    pub fn run_for(&self, intervals: u64) -> Result<(), Error> {
        driver::prepare(self, Some(intervals))?.run()
    }

    /// Asks the running program to stop: what was received is still processed. It may be called from
    /// any thread, and from an output.
    pub fn stop(&self) {
        self.inner.stop.raise();
    }

    /// Calls `f` after every interval with what there is to say about it, on the thread that runs the
    /// program.
    pub fn on_interval(&self, mut f: impl FnMut(&IntervalReport) + Send + 'static) {
        self.on_event(move |event| {
            if let Event::Completed(report) = event {
                f(report);
            }
        });
    }

    /// Calls `f` with everything that happens while the program runs, on the thread that runs it. It may
    /// [stop](Self::stop) the program.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Event, testing::Harness};
    /// let harness = Harness::new(Duration::from_secs(1));
    /// harness.ctx().on_event(|event| {
    ///     if let Event::OutputCompleted { time, output } = event {
    ///         println!("{time}: output {} took {:?}", output.id, output.processing);
    ///     }
    /// });
    /// harness.input([vec![1]]).print();
    /// harness.advance(1)?;
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn on_event(&self, f: impl FnMut(&Event<'_>) + Send + 'static) {
        self.graph().listeners.push(Box::new(f));
    }

    /// The length of an interval.
    pub fn interval(&self) -> Duration {
        self.inner.settings.interval
    }

    /// Where clients send records to, and what lets them in. Workers in other processes are told by the master at
    /// this address; in one process a door is opened for them.
    ///
    /// # Errors
    /// The address is in use, or the file cannot be written.
    pub fn client_access(&self) -> Result<ClientAccess, Error> {
        self.engine().client_access()
    }

    /// Whether the program runs over past data as fast as it goes.
    pub fn is_batch(&self) -> bool {
        self.inner.settings.batch
    }

    /// What stood on the [command line](Builder::args) besides flags, in order.
    pub fn arguments(&self) -> &[String] {
        &self.inner.settings.arguments
    }

    pub(crate) fn downgrade(&self) -> WeakContext {
        WeakContext(Arc::downgrade(&self.inner))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.inner.settings
    }

    pub(crate) fn engine(&self) -> &Arc<Engine> {
        &self.inner.engine
    }

    /// What was written down before; asked once, by who runs the program.
    pub(crate) fn take_durable(&self) -> Option<Durable> {
        self.inner.durable.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn timeline(&self) -> &Arc<Timeline> {
        &self.inner.timeline
    }

    pub(crate) fn stop_flag(&self) -> &driver::StopFlag {
        &self.inner.stop
    }

    pub(crate) fn graph(&self) -> MutexGuard<'_, Graph> {
        self.inner.graph.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Declares a stream. `name` is what users call the operation.
    #[track_caller]
    pub(crate) fn stream<T: Record>(
        &self,
        name: &str,
        slide: Duration,
        parents: Vec<Parent>,
        compute: impl Fn(Time) -> Result<Option<Rdd<T>>, Error> + Send + Sync + 'static,
    ) -> DStream<T> {
        self.stream_made(Made::OfAnything, name, slide, parents, compute)
    }

    /// The same, of a stream of which it is known what its datasets are [made](Made) from.
    #[track_caller]
    pub(crate) fn stream_made<T: Record>(
        &self,
        made: Made,
        name: &str,
        slide: Duration,
        parents: Vec<Parent>,
        compute: impl Fn(Time) -> Result<Option<Rdd<T>>, Error> + Send + Sync + 'static,
    ) -> DStream<T> {
        self.declare(name, slide, parents, (made, None), move |t, _| compute(t))
    }

    /// Declares a stream of which each dataset is made from the one before; `saving` says how checkpoints
    /// write it.
    #[track_caller]
    pub(crate) fn stateful_stream<T: Record>(
        &self,
        name: &str,
        slide: Duration,
        parents: Vec<Parent>,
        saving: Saving<T>,
        compute: impl Fn(Time, Option<Rdd<T>>) -> Result<Option<Rdd<T>>, Error> + Send + Sync + 'static,
    ) -> DStream<T> {
        self.declare(name, slide, parents, (Made::OfAnything, Some(saving)), compute)
    }

    #[track_caller]
    fn declare<T: Record>(
        &self,
        name: &str,
        slide: Duration,
        parents: Vec<Parent>,
        made: (Made, Option<Saving<T>>),
        compute: impl Fn(Time, Option<Rdd<T>>) -> Result<Option<Rdd<T>>, Error> + Send + Sync + 'static,
    ) -> DStream<T> {
        let label = labelled(name);
        let timeline = self.inner.timeline.clone();
        // Those of another context never begin when this one does.
        let is_foreign = parents.iter().any(|(parent, _)| !Arc::ptr_eq(parent.timeline(), &timeline));
        let node = StreamNode::new((name, label.clone()), slide, parents, timeline, made, Box::new(compute));
        let node = Arc::new(node);
        let mut graph = self.graph();
        graph.declared(&label);
        if is_foreign {
            graph.faults.push(format!(
                "{label}: streams of different contexts cannot be brought together; make them in one"
            ));
        }
        graph.streams.push(node.clone());
        drop(graph);
        DStream { node, ctx: self.clone() }
    }

    /// Declares a stream whose datasets a source provides.
    #[track_caller]
    pub(crate) fn source_stream<T: Record>(
        &self,
        name: &str,
        input: impl FnOnce(&Arc<StreamNode<T>>) -> Box<dyn Input>,
    ) -> DStream<T> {
        let label = labelled(name);
        // What it was cut into is put there interval by interval, so whoever gets here asks too late.
        let stream = self.stream_made(Made::OfItsInterval, name, self.interval(), Vec::new(), move |t| {
            Err(Error::user(format_args!(
                "{label} has let go of its records of {t}; keep them for longer with `remember`"
            )))
        });
        let input = input(&stream.node);
        let mut graph = self.graph();
        graph.inputs.push(input);
        graph.standings.extend(stream.node.sources().iter().cloned());
        drop(graph);
        stream
    }

    /// Declares an output.
    #[track_caller]
    pub(crate) fn output(
        &self,
        name: &str,
        stream: Arc<dyn AnyStream>,
        run: impl FnMut(Time) -> Result<bool, Error> + Send + 'static,
    ) {
        self.act(name, stream, run);
    }

    /// Declares an output that does more than run.
    #[track_caller]
    pub(crate) fn act(&self, name: &str, stream: Arc<dyn AnyStream>, act: impl Act + 'static) {
        let label = labelled(name);
        let mut graph = self.graph();
        graph.declared(&label);
        graph.outputs.push(Output { label, stream, act: Box::new(act) });
    }

    #[track_caller]
    pub(crate) fn fault(&self, name: &str, fault: impl fmt::Display) {
        let label = labelled(name);
        self.graph().faults.push(format!("{label}: {fault}"));
    }

    /// The slide of streams that are brought together. There is one, and it is the same for all (`api.md`
    /// §4.6); what is not so is a fault of the program, and building goes on with the first.
    #[track_caller]
    pub(crate) fn same_slide(&self, name: &str, slides: &[Duration]) -> Duration {
        let Some((&one, others)) = slides.split_first() else {
            self.fault(name, "there are no streams to bring together; give it at least one");
            return self.interval();
        };
        for other in others.iter().filter(|other| **other != one) {
            self.fault(
                name,
                format_args!("the streams slide by {one:?} and {other:?}; give them the same slide"),
            );
        }
        one
    }

    /// A window and its slide are multiples of the slide of the stream they are over (`api.md` §4.4).
    /// What is not is a fault of the program, and rounded up here so that building can go on.
    #[track_caller]
    pub(crate) fn window_of(&self, name: &str, parent: Duration, window: Duration, slide: Duration) -> Span {
        let label = labelled(name);
        let checked = |what: &str, span: Duration| {
            let step = parent.as_nanos().max(1);
            let whole =
                span.min(Duration::from_millis(limits::SPAN_MS_MAX)).as_nanos().div_ceil(step).max(1) * step;
            let whole = Duration::from_millis((whole / 1_000_000) as u64);
            if whole != span {
                self.graph().faults.push(format!("{label}: a {what} of {span:?} is not a multiple of {parent:?}, the slide of the stream it is over; the next is {whole:?}"));
            }
            whole
        };
        Span { window: checked("window", window), slide: checked("slide", slide) }
    }
}

impl WeakContext {
    pub fn upgrade(&self) -> Option<Context> {
        self.0.upgrade().map(|inner| Context { inner })
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Context({:?}, every {:?})", self.inner.settings.name, self.inner.settings.interval)
    }
}
