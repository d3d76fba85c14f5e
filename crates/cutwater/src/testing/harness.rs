use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use cutwater_core::Time;

use super::listed::Listed;
use crate::stream::AnyStream;
use crate::{
    Context, DStream, Error, IntervalReport, Record, context::Builder, runtime::driver::Driver,
    source::Holder,
};

/// A program under test: intervals end when the test says so, and zero time is 0.
///
/// Nothing in it waits for a clock, so a test takes as long as its computation.
pub struct Harness {
    ctx: Context,
    partitions: u32,
    driver: Mutex<Option<Driver>>,
    /// By how much the next interval begins late, since those before took so long.
    behind: Mutex<Duration>,
    /// Whether the next interval is due while one is being run.
    overlaps: AtomicBool,
}

/// What a stream answered, interval by interval.
pub struct Watched<T>(Arc<Mutex<Vec<(Time, Option<Vec<T>>)>>>);

impl Harness {
    /// A program with intervals of `interval`, two compute threads and inputs in two partitions.
    ///
    /// # Panics
    /// The operating system refuses to start the threads.
    pub fn new(interval: Duration) -> Self {
        Self::with(Context::builder("test").interval(interval).threads(2), 2)
    }

    /// A program with the settings of `builder`, whose inputs are in `partitions` partitions.
    ///
    /// # Panics
    /// The operating system refuses to start the threads.
    pub fn with(builder: Builder, partitions: u32) -> Self {
        Self::try_with(builder, partitions).expect("threads can be started")
    }

    pub(crate) fn try_with(builder: Builder, partitions: u32) -> Result<Self, Error> {
        // In a test binary, workers are led to this test by its name, which the thread bears.
        let test = std::thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let builder = match test {
            Some(test) => builder.start_workers_with(vec![test, "--exact".into(), "--nocapture".into()]),
            None => builder,
        };
        Ok(Self {
            ctx: builder.build()?,
            partitions,
            driver: Mutex::new(None),
            behind: Mutex::default(),
            overlaps: AtomicBool::new(false),
        })
    }

    /// The program's context.
    pub fn ctx(&self) -> &Context {
        &self.ctx
    }

    /// The process ids of the workers that were started for the program, if tasks run in other
    /// [processes](Builder::workers): to be killed, for example.
    pub fn workers(&self) -> Vec<u32> {
        self.ctx.engine().worker_processes()
    }

    /// How many workers there are now.
    pub fn joined(&self) -> usize {
        self.ctx.engine().joined()
    }

    /// How many blocks are being copied from worker to worker, because one is gone or wants to leave. All pieces
    /// of a map task count as one.
    pub fn copies(&self) -> usize {
        self.ctx.engine().copies()
    }

    /// Where workers join, if tasks run in other processes.
    pub fn master(&self) -> Option<SocketAddr> {
        self.ctx.engine().master_address()
    }

    /// A stream of the records listed for each interval. After the last, intervals are empty.
    #[track_caller]
    pub fn input<T: Record>(&self, intervals: impl IntoIterator<Item = Vec<T>>) -> DStream<T> {
        self.input_or_none(intervals.into_iter().map(Some))
    }

    /// The same, where `None` stands for an interval at which the stream has no dataset at all.
    #[track_caller]
    pub fn input_or_none<T: Record>(
        &self,
        intervals: impl IntoIterator<Item = Option<Vec<T>>>,
    ) -> DStream<T> {
        let (intervals, spec) = (intervals.into_iter().collect(), Holder::spec("input"));
        self.ctx.source_stream("input", |stream| {
            Box::new(Listed {
                intervals,
                partitions: self.partitions,
                holder: Holder::new(self.ctx.engine(), spec, stream),
                cut: 0,
            })
        })
    }

    /// Records what `stream` answers.
    #[track_caller]
    pub fn watch<T: Record>(&self, stream: &DStream<T>) -> Watched<T> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let (watched, node) = (Watched(seen.clone()), stream.node.clone());
        self.ctx.output("watch", stream.node.clone(), move |t| {
            if !node.is_valid(t) {
                return Ok(false);
            }
            let records = node.at(t)?.map(|rdd| rdd.collect()).transpose()?;
            seen.lock().unwrap_or_else(PoisonError::into_inner).push((t, records));
            Ok(true)
        });
        watched
    }

    /// The times of which `stream` still holds its answer, oldest first (`api.md` §4.10).
    pub fn held<T: Record>(&self, stream: &DStream<T>) -> Vec<Time> {
        stream.node.held()
    }

    /// For how long `stream` keeps its datasets; settled when the program starts (`api.md` §4.10).
    pub fn remembered<T: Record>(&self, stream: &DStream<T>) -> Duration {
        stream.node.remembered()
    }

    /// Whether from the next one on an interval is due while the one before is being run, so that it is
    /// [begun meanwhile](Builder::overlap). A program gives the same either way. Inputs are then cut an interval before
    /// the test asks for it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let sums = harness.input([vec![('a', 1), ('a', 2)], vec![('a', 3)]]).reduce_by_key(|a, b| a + b);
    /// let watched = harness.watch(&sums);
    /// harness.overlap(true);
    /// harness.advance(2)?;
    /// assert_eq!(watched.all(), [Some(vec![('a', 3)]), Some(vec![('a', 3)])]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn overlap(&self, on: bool) {
        self.overlaps.store(on, Ordering::Relaxed);
    }

    /// Runs `intervals` more intervals; the first call starts the program.
    ///
    /// # Errors
    /// The program is wrongly put together, or an interval failed; then the ones after it are not run.
    pub fn advance(&self, intervals: u64) -> Result<(), Error> {
        for _ in 0..intervals {
            if let Some(error) = self.step()?.failure {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Runs one more interval and tells about it, even if it failed.
    ///
    /// # Errors
    /// The program is wrongly put together.
    pub fn step(&self) -> Result<IntervalReport, Error> {
        self.stepped(|_| {})
    }

    /// Runs one more interval that takes `processing`, whatever the clock says, and begins late if those before
    /// it took longer than an interval: for what follows from delays, such as
    /// [back pressure](Builder::backpressure).
    ///
    /// # Errors
    /// Those of [`step`](Self::step).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// let _watched = harness.watch(&harness.input([vec![1], vec![2]]));
    /// assert_eq!(harness.step_taking(3 * second)?.delay, 3 * second);
    /// let report = harness.step_taking(second)?;
    /// assert_eq!((report.scheduling_delay(), report.delay), (2 * second, 3 * second));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn step_taking(&self, processing: Duration) -> Result<IntervalReport, Error> {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let report = self.stepped(|driver| driver.pretend(*behind, processing))?;
        *behind = (*behind + processing).saturating_sub(self.ctx.interval());
        Ok(report)
    }

    fn stepped(&self, prepare: impl FnOnce(&mut Driver)) -> Result<IntervalReport, Error> {
        let mut driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        let driver = match &mut *driver {
            Some(driver) => driver,
            none => none.insert(Driver::start_driven(&self.ctx)?),
        };
        let late = std::mem::take(&mut self.ctx.graph().faults);
        if !late.is_empty() {
            return Err(Error::config(&late));
        }
        driver.overlap(self.overlaps.load(Ordering::Relaxed));
        prepare(driver);
        Ok(driver.interval(None))
    }

    /// Waits until what has begun to be written down is written, so that each run writes the same.
    #[cfg(test)]
    pub(crate) fn wait_until_written(&self) {
        let driver = self.driver.lock().unwrap_or_else(PoisonError::into_inner);
        while driver.as_ref().is_some_and(Driver::is_writing) {
            std::thread::yield_now();
        }
    }

    /// Watches `stream`, runs `intervals` intervals, and answers with the records of each time at which
    /// it had a dataset.
    ///
    /// # Errors
    /// Those of [`advance`](Self::advance).
    #[track_caller]
    pub fn run<T: Record>(&self, stream: &DStream<T>, intervals: u64) -> Result<Vec<Vec<T>>, Error> {
        let watched = self.watch(stream);
        self.advance(intervals)?;
        Ok(watched.all().into_iter().flatten().collect())
    }
}

impl Drop for Harness {
    /// Nobody is to go on with the program: its workers end.
    fn drop(&mut self) {
        self.ctx.engine().workers_needed(false);
    }
}

impl<T: Clone> Watched<T> {
    /// The records of every time at which the stream could have a dataset; `None` where it had none.
    pub fn all(&self) -> Vec<Option<Vec<T>>> {
        self.timed().into_iter().map(|(_, records)| records).collect()
    }

    /// The same with the times.
    pub fn timed(&self) -> Vec<(Time, Option<Vec<T>>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
