use std::{
    collections::HashMap,
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::Instant,
};

use cutwater_core::Time;

use super::{
    clock::{self, Clock},
    progress::Progress,
    signals::StopOnSignal,
};
use crate::{
    context::{Context, Graph, IntervalReport, OnFailure, SourceReport},
    error::{Error, ErrorKind},
    source::Taken,
    task::on_master,
};

/// The loop over intervals.
///
/// Properties:
/// - it alone asks streams for datasets, cuts sources and runs outputs, one interval after another;
/// - the input of an interval is fixed before anything of it is computed;
/// - an interval that fails is set aside whole: for those after it, it had no records.
///
/// It is the thread that called `run`. If the process dies, the run is over.
pub(crate) struct Driver {
    ctx: Context,
    graph: Graph,
    clock: Clock,
    /// The label of the last interval that ended.
    now: Time,
    number: u64,
}

/// Asks a running program to stop, and wakes it if it waits.
#[derive(Clone, Default)]
pub(crate) struct StopFlag(Arc<(Mutex<bool>, Condvar)>);

impl StopFlag {
    pub fn raise(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    pub fn is_raised(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until `due` or until the flag is raised.
    fn wait_until(&self, due: Instant) {
        let raised = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = due.saturating_duration_since(Instant::now());
        let waited = self.0.1.wait_timeout_while(raised, wait, |raised| !*raised);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Runs the program of `ctx`, for at most `intervals` intervals.
pub(crate) fn run(ctx: &Context, intervals: Option<u64>) -> Result<(), Error> {
    let limit = [intervals, ctx.settings().intervals_max].into_iter().flatten().min();
    // Before anything is received: a signal must not end a program that holds records.
    let signals =
        if ctx.settings().handle_signals { Some(StopOnSignal::install(ctx.stop_flag())?) } else { None };
    let mut driver = Driver::start(ctx)?;
    let mut progress = Progress::new(ctx.settings().batch && ctx.settings().progress);
    let result = driver.run(limit, &mut progress);
    progress.finish();
    driver.stop_inputs();
    drop(signals);
    result
}

impl Driver {
    /// Checks the program and starts its sources.
    pub fn start(ctx: &Context) -> Result<Self, Error> {
        let mut graph = std::mem::take(&mut *ctx.graph());
        ctx.graph().started = true;
        if graph.started {
            return Err(Error::config(&["the program has run already; build another context".to_owned()]));
        }
        let mut faults = std::mem::take(&mut graph.faults);
        if graph.outputs.is_empty() {
            faults.push(
                "the program has no output; end a stream with `for_each_rdd`, `print` or `save`".to_owned(),
            );
        }
        if graph.inputs.is_empty() {
            faults.push("the program has no source; begin a stream with `ctx.source(name)`".to_owned());
        }
        for input in &mut graph.inputs {
            faults.extend(input.faults());
        }
        let mut first = None;
        for input in &mut graph.inputs {
            match input.first_time() {
                Ok(time) => first = time.into_iter().chain(first).min(),
                Err(error) => faults.push(error.to_string()),
            }
        }
        let settings = ctx.settings();
        if settings.batch {
            let live = graph.inputs.iter().filter(|input| !input.is_past());
            faults.extend(live.map(|input| {
                format!("{} is live, and batch mode is for past data; leave out --batch", input.name())
            }));
        }
        if !faults.is_empty() {
            return Err(Error::config(&faults));
        }
        let (zero, clock) = match first {
            // The first record lies in the first interval, (zero, zero + interval].
            Some(first) => {
                let zero = Time::from_ms(first.as_ms() - 1).floor(settings.interval);
                (zero, Clock::Paced { zero, began: Instant::now(), speed: settings.speed })
            }
            None => {
                let now = clock::wall();
                let zero = now.next_multiple(settings.interval) - settings.interval;
                let began = Instant::now().checked_sub(now.since(zero)).unwrap_or_else(Instant::now);
                (zero, Clock::Paced { zero, began, speed: 1.0 })
            }
        };
        let eager = settings.batch || graph.inputs.iter().any(|input| input.is_eager());
        Self::begin(ctx, graph, zero, if eager { Clock::Eager } else { clock })
    }

    fn begin(ctx: &Context, mut graph: Graph, zero: Time, clock: Clock) -> Result<Self, Error> {
        ctx.timeline().begin(zero);
        for output in &graph.outputs {
            output.stream.remember(output.stream.slide());
        }
        if !ctx.settings().remember.is_zero() {
            for stream in &graph.streams {
                stream.remember(ctx.settings().remember);
            }
        }
        for input in &mut graph.inputs {
            input.start()?;
        }
        Ok(Self { ctx: ctx.clone(), graph, clock, now: zero, number: 0 })
    }

    /// For tests: intervals begin when they are told to, and zero time is 0.
    pub fn start_driven(ctx: &Context) -> Result<Self, Error> {
        let mut graph = std::mem::take(&mut *ctx.graph());
        ctx.graph().started = true;
        let mut faults = std::mem::take(&mut graph.faults);
        for input in &mut graph.inputs {
            faults.extend(input.faults());
        }
        if !faults.is_empty() {
            return Err(Error::config(&faults));
        }
        Self::begin(ctx, graph, Time::from_ms(0), Clock::Eager)
    }

    fn run(&mut self, limit: Option<u64>, progress: &mut Progress) -> Result<(), Error> {
        let stop = self.ctx.stop_flag().clone();
        let mut stopping = false;
        while limit.is_none_or(|limit| self.number < limit) {
            let due = self.clock.due(self.now + self.ctx.interval());
            if let Some(due) = due
                && !stopping
            {
                stop.wait_until(due);
            }
            if stop.is_raised() && !stopping {
                stopping = true;
                self.stop_inputs();
                if !self.has_pending() {
                    break;
                }
            }
            let faults = std::mem::take(&mut self.ctx.graph().faults);
            if !faults.is_empty() {
                return Err(Error::config(&faults));
            }
            let report = self.interval(if stopping { None } else { due });
            progress.interval(&report, &self.graph.inputs);
            if let Some(error) = report.failure
                && (self.ctx.settings().on_failure == OnFailure::Stop || error.kind() == ErrorKind::Internal)
            {
                return Err(error);
            }
            if self.graph.inputs.iter().all(|input| input.is_exhausted()) || (stopping && !self.has_pending())
            {
                break;
            }
        }
        Ok(())
    }

    /// Runs the next interval.
    pub fn interval(&mut self, due: Option<Instant>) -> IntervalReport {
        let began = Instant::now();
        let (from, to) = (self.now, self.now + self.ctx.interval());
        self.now = to;
        self.number += 1;
        let mut report = IntervalReport {
            time: to,
            number: self.number,
            sources: Vec::with_capacity(self.graph.inputs.len()),
            outputs: 0,
            processing: began.elapsed(),
            delay: began.elapsed(),
            failure: None,
        };
        let cut = self.cut(from, &mut report);
        self.ctx.timeline().reach(to);
        let result = cut.and_then(|()| self.outputs(&mut report));
        let result = self.settle(&mut report).and(result);
        if let Err(error) = result {
            self.set_aside(&mut report, &error);
        }
        let may_be_lost = self.ctx.engine().may_lose_blocks();
        for stream in &self.graph.streams {
            stream.cut_lineage(may_be_lost);
            stream.forget(to);
        }
        report.processing = began.elapsed();
        report.delay = due.unwrap_or(began).elapsed();
        for listener in &mut self.graph.listeners {
            listener(&report);
        }
        report
    }

    /// Takes nothing from outside any more.
    pub fn stop_inputs(&mut self) {
        for input in &mut self.graph.inputs {
            input.stop();
        }
    }

    fn has_pending(&self) -> bool {
        self.graph.inputs.iter().any(|input| input.has_pending())
    }

    /// Fixes the input of the interval. All sources are cut even if one fails, so that what they hold
    /// is accounted for.
    fn cut(&mut self, from: Time, report: &mut IntervalReport) -> Result<(), Error> {
        let mut result = Ok(());
        for input in &mut self.graph.inputs {
            let (taken, failed) = match input.cut(from, report.time) {
                Ok(taken) => (taken, Ok(())),
                Err(error) => (Taken::default(), Err(error)),
            };
            report.sources.push(SourceReport { name: input.name().to_owned(), taken });
            result = result.and(failed);
        }
        result
    }

    fn outputs(&mut self, report: &mut IntervalReport) -> Result<(), Error> {
        for output in &mut self.graph.outputs {
            // The function runs on this thread; if it panics, that is an error of the interval as it
            // would be in a task.
            let done = on_master(|| (output.run)(report.time));
            report.outputs += usize::from(done.map_err(|error| error.at(&output.label))?);
        }
        Ok(())
    }

    /// Adds what tasks found about their input.
    fn settle(&mut self, report: &mut IntervalReport) -> Result<(), Error> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for (dataset, finding) in self.ctx.engine().take_findings() {
            found.entry(dataset).or_default().push(finding);
        }
        let mut result = Ok(());
        for (dataset, findings) in found {
            for (input, source) in self.graph.inputs.iter_mut().zip(&mut report.sources) {
                result = result.and(input.found(dataset, &findings, &mut source.taken));
            }
        }
        result
    }

    /// The interval failed: for those after it, it had no records.
    fn set_aside(&mut self, report: &mut IntervalReport, error: &Error) {
        let error = error.at(format_args!("interval {}", report.time));
        tracing::error!(interval = %report.time, records = report.records(), %error, "interval failed");
        for stream in &self.graph.streams {
            stream.retract(report.time);
        }
        for input in &mut self.graph.inputs {
            input.set_aside(report.time);
        }
        report.failure = Some(error);
    }
}
