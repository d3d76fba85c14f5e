mod begun;
mod durable;

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

use cutwater_core::Time;

use self::{begun::Begun, durable::lost_with_the_process};
use super::{
    checkpointer::Checkpointer,
    clock::{self, Clock},
    event_times::EventTimes,
    progress::Progress,
    resume::{Durable, Known},
    signals::StopOnSignal,
};
use crate::{
    context::{Context, Event, Graph, IntervalReport, OnFailure, OutputReport, Phase},
    error::{Error, ErrorKind},
    source::Processed,
    task::on_master,
};

/// The loop over intervals.
///
/// Properties:
/// - it alone asks streams for datasets, cuts sources and runs outputs, one interval after another;
/// - the input of an interval is fixed before anything of it is computed;
/// - if the program is behind, what follows from the next interval alone is begun before this one is over;
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
    /// For tests: how late the next interval begins and how long it takes.
    pretended: Option<(Duration, Duration)>,
    /// Sources were told to take nothing more. That they end then says nothing about event time: what
    /// was to come has not come.
    stopped: bool,
    event_times: EventTimes,
    checkpointer: Option<Checkpointer>,
    durable: Option<Durable>,
    /// Intervals that are to be run again, with the input that they had.
    again: VecDeque<Known>,
    /// Intervals whose input is fixed and whose turn it is not yet, the next first.
    begun: VecDeque<Begun>,
    /// Whether an interval that is due is begun while the one before is being run.
    overlaps: bool,
    /// No interval after that number is to run.
    limit: Option<u64>,
    /// A test says when intervals run, and goes on after one that fails.
    driven: bool,
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

/// A program that has been checked and whose sources have started.
pub(crate) struct Prepared {
    driver: Driver,
    signals: Option<StopOnSignal>,
    limit: Option<u64>,
}

/// Makes the program of `ctx` ready to run, for at most `intervals` intervals.
pub(crate) fn prepare(ctx: &Context, intervals: Option<u64>) -> Result<Prepared, Error> {
    if ctx.stop_flag().is_raised() && ctx.graph().phase == Phase::Built {
        return Err(Error::config(&[
            "the program was stopped before it ran; build another context".to_owned()
        ]));
    }
    let limit = [intervals, ctx.settings().intervals_max].into_iter().flatten().min();
    // Before anything is received: a signal must not end a program that holds records.
    let signals =
        if ctx.settings().handle_signals { Some(StopOnSignal::install(ctx.stop_flag())?) } else { None };
    Ok(Prepared { driver: Driver::start(ctx)?, signals, limit })
}

impl Prepared {
    /// Runs it to its end.
    pub fn run(self) -> Result<(), Error> {
        let Self { mut driver, signals, limit } = self;
        let settings = driver.ctx.settings();
        let mut progress = Progress::new(settings.batch && settings.progress);
        driver.limit = limit.map(|limit| limit.saturating_add(driver.number));
        let result = driver.run(&mut progress);
        progress.finish();
        if result.is_err() {
            // Before workers hear that clients are to be refused.
            driver.ctx.engine().leave();
        }
        driver.stop_inputs();
        let result = result.and_then(|()| driver.finish());
        drop(signals);
        result
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if !self.driven {
            // Before anything is let go that the next master needs.
            self.ctx.engine().leave();
        }
        self.ctx.graph().phase = Phase::Stopped;
    }
}

impl Driver {
    /// Checks the program and starts its sources.
    pub fn start(ctx: &Context) -> Result<Self, Error> {
        let mut graph = Self::take_graph(ctx)?;
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
        if settings.checkpoints.url.is_some() {
            faults.extend(lost_with_the_process(&graph));
        }
        if !faults.is_empty() {
            ctx.graph().phase = Phase::Stopped;
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
        let durable = Self::durable(ctx, &graph)?;
        let zero = durable.as_ref().map_or(Ok(zero), |durable| durable.zero(ctx, zero))?;
        let mut driver = Self::with(ctx, graph, durable, zero, if eager { Clock::Eager } else { clock })?;
        // Where intervals begin when they can, what is not of the past is in the interval in which it happens to come:
        // an output may send what the next interval is to have.
        driver.overlaps =
            settings.overlap && (!eager || driver.graph.inputs.iter().all(|input| input.is_past()));
        if driver.number > 0 && !eager {
            // The time of records stood still while the program was not there; that of the wall did not.
            let (zero, speed) =
                if first.is_some() { (driver.now, settings.speed) } else { (clock::wall(), 1.0) };
            driver.clock = Clock::Paced { zero, began: Instant::now(), speed };
        }
        Ok(driver)
    }

    /// What the program has declared, to be run. What is declared from now on is a fault.
    fn take_graph(ctx: &Context) -> Result<Graph, Error> {
        let mut graph = ctx.graph();
        let mut again = match graph.phase {
            Phase::Built => {
                let taken = std::mem::take(&mut *graph);
                graph.phase = Phase::Started;
                return Ok(taken);
            }
            Phase::Started => vec!["the program is running already".to_owned()],
            Phase::Stopped => vec!["the program has run already; build another context".to_owned()],
        };
        if graph.phase == Phase::Stopped {
            again.append(&mut graph.faults);
        }
        Err(Error::config(&again))
    }

    fn with(
        ctx: &Context,
        mut graph: Graph,
        durable: Option<Durable>,
        zero: Time,
        clock: Clock,
    ) -> Result<Self, Error> {
        let event_times = EventTimes::new(std::mem::take(&mut graph.event_windows), graph.event_clocks);
        // From here on whatever happens stops what was started.
        let mut driver = Self {
            ctx: ctx.clone(),
            graph,
            clock,
            now: zero,
            number: 0,
            pretended: None,
            stopped: false,
            event_times,
            checkpointer: None,
            durable,
            again: VecDeque::new(),
            begun: VecDeque::new(),
            overlaps: false,
            limit: None,
            driven: false,
        };
        let has_state = driver.graph.streams.iter().any(|stream| stream.has_state());
        if driver.durable.is_none() && has_state && ctx.engine().may_lose_blocks() {
            driver.checkpointer = Some(Checkpointer::for_this_run(&ctx.settings().checkpoints)?);
        }
        let graph = &mut driver.graph;
        ctx.timeline().begin(zero);
        for output in &graph.outputs {
            output.stream.remember(output.stream.slide());
        }
        if !ctx.settings().remember.is_zero() {
            for stream in &graph.streams {
                stream.remember(ctx.settings().remember);
            }
        }
        let claimed = driver.durable.as_ref().map(|durable| durable.epoch);
        let epoch = ctx.settings().epoch.or(claimed).unwrap_or_else(clock::epoch);
        for output in &mut driver.graph.outputs {
            on_master(|| output.act.open(epoch)).map_err(|error| error.at(&output.label))?;
        }
        driver.resume()?;
        for input in &mut driver.graph.inputs {
            input.start()?;
        }
        Ok(driver)
    }

    /// For tests: intervals begin when they are told to, and zero time is 0.
    pub fn start_driven(ctx: &Context) -> Result<Self, Error> {
        let mut graph = Self::take_graph(ctx)?;
        let mut faults = std::mem::take(&mut graph.faults);
        for input in &mut graph.inputs {
            faults.extend(input.faults());
        }
        if ctx.settings().checkpoints.url.is_some() {
            faults.extend(lost_with_the_process(&graph));
        }
        if !faults.is_empty() {
            ctx.graph().phase = Phase::Stopped;
            return Err(Error::config(&faults));
        }
        let durable = Self::durable(ctx, &graph)?;
        let zero = Time::from_ms(0);
        let zero = durable.as_ref().map_or(Ok(zero), |durable| durable.zero(ctx, zero))?;
        let mut driver = Self::with(ctx, graph, durable, zero, Clock::Eager)?;
        driver.driven = true;
        Ok(driver)
    }

    fn run(&mut self, progress: &mut Progress) -> Result<(), Error> {
        let stop = self.ctx.stop_flag().clone();
        let mut stopping = false;
        while self.limit.is_none_or(|limit| self.number < limit) {
            let due = self.due_after(self.now);
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
                && self.ends_with(&error)
            {
                return Err(error);
            }
            if (self.begun.is_empty() && self.is_exhausted()) || (stopping && !self.has_pending()) {
                break;
            }
        }
        Ok(())
    }

    /// Whether no interval runs after one that has failed so.
    fn ends_with(&self, error: &Error) -> bool {
        self.ctx.settings().on_failure == OnFailure::Stop
            || matches!(error.kind(), ErrorKind::Internal | ErrorKind::Fenced)
            || self.cannot_record()
    }

    /// When the interval after `time` is due.
    fn due_after(&self, time: Time) -> Option<Instant> {
        // Its bounds do not move; what is late for them has so long to arrive.
        self.clock.due(time + self.ctx.interval() + self.ctx.settings().slack)
    }

    /// Whether nothing will come any more.
    fn is_exhausted(&self) -> bool {
        self.graph.inputs.iter().all(|input| input.is_exhausted())
    }

    /// Runs the next interval.
    pub fn interval(&mut self, due: Option<Instant>) -> IntervalReport {
        let began = Instant::now();
        let begun = self.begun.pop_front();
        let begun = begun.unwrap_or_else(|| self.begin_after(self.now, self.number));
        let Begun { mut report, cut, is_again } = begun;
        let to = report.time;
        let pretended = self.pretended.take();
        let due = due.unwrap_or(began);
        let scheduling_delay =
            pretended.map_or_else(|| began.saturating_duration_since(due), |(late, _)| late);
        for (stands, source) in self.graph.standings.iter().zip(&report.sources) {
            stands.note(to, source.standing);
        }
        self.ctx.timeline().reach(to);
        self.tell(&Event::Submitted { time: to, sources: &report.sources });
        self.tell(&Event::Started { time: to, sources: &report.sources, scheduling_delay });
        let result = cut.and_then(|()| self.wait_until_recorded(&report, is_again));
        if result.is_ok() {
            self.look_ahead(&mut report);
        }
        let result = result.and_then(|()| self.wait_until_said());
        let result = result.and_then(|()| self.outputs(&mut report));
        let result = self.settle(&mut report).and(result);
        let result = result.and_then(|()| self.commit(&mut report));
        if let Err(error) = result {
            self.heed(&error);
            let error = self.say_aside(&report, error);
            self.set_aside(&mut report, &error);
        }
        report.moved_partitions = self.ctx.engine().take_moved();
        report.moved_bytes += self.ctx.engine().take_moved_bytes();
        report.lost_blocks = self.ctx.engine().take_lost();
        report.event_times = self.event_times.report(report.failure.is_some());
        let may_be_lost = self.ctx.engine().may_lose_blocks();
        for stream in &self.graph.streams {
            if !may_be_lost {
                stream.cut_lineage(to);
            }
            stream.forget(to, may_be_lost);
        }
        self.note_completed(&mut report);
        self.checkpoint(&mut report);
        report.processing = pretended.map_or_else(|| began.elapsed(), |(_, processing)| processing);
        report.delay = scheduling_delay + report.processing;
        self.pace(&report);
        (self.now, self.number) = (to, report.number);
        self.tell(&Event::Completed(&report));
        report
    }

    /// For tests: the next interval begins so late and takes so long, whatever the clock says.
    pub fn pretend(&mut self, scheduling_delay: Duration, processing: Duration) {
        self.pretended = Some((scheduling_delay, processing));
    }

    fn tell(&mut self, event: &Event<'_>) {
        for listener in &mut self.graph.listeners {
            listener(event);
        }
    }

    /// How much the next intervals take follows from how this one went. One that failed says nothing.
    fn pace(&mut self, report: &IntervalReport) {
        if report.failure.is_some() {
            return;
        }
        let processed = Processed {
            ended: report.time + report.delay,
            processing: report.processing,
            scheduling_delay: report.scheduling_delay(),
        };
        for (input, source) in self.graph.inputs.iter_mut().zip(&report.sources) {
            input.processed(source.taken.records, processed);
        }
    }

    /// Takes nothing from outside any more.
    pub fn stop_inputs(&mut self) {
        self.stopped = true;
        for input in &mut self.graph.inputs {
            input.stop();
        }
    }

    fn has_pending(&self) -> bool {
        !self.begun.is_empty() || self.graph.inputs.iter().any(|input| input.has_pending())
    }

    /// Runs all outputs, also those after one that fails: none of them depends on another.
    fn outputs(&mut self, report: &mut IntervalReport) -> Result<(), Error> {
        let time = report.time;
        let mut result = Ok(());
        let Graph { outputs, listeners, .. } = &mut self.graph;
        let mut tell = |event: Event<'_>| listeners.iter_mut().for_each(|listener| listener(&event));
        for (id, output) in outputs.iter_mut().enumerate() {
            tell(Event::OutputStarted { time, id, name: &output.label });
            let began = Instant::now();
            // The function runs on this thread; if it panics, that is an error of the interval as it
            // would be in a task.
            let done = on_master(|| output.act.run(time)).map_err(|error| error.at(&output.label));
            let done = OutputReport {
                id,
                name: output.label.clone(),
                processing: began.elapsed(),
                had_work: *done.as_ref().unwrap_or(&true),
                failure: done.err(),
            };
            tell(Event::OutputCompleted { time, output: &done });
            result = result.and(done.failure.clone().map_or(Ok(()), Err));
            report.outputs.push(done);
        }
        result
    }

    /// Lets what outputs have held back be seen, now that all of the interval is done. If one cannot, those after it
    /// do not either; those before it have.
    fn commit(&mut self, report: &mut IntervalReport) -> Result<(), Error> {
        for (output, done) in self.graph.outputs.iter_mut().zip(&mut report.outputs) {
            let committed = on_master(|| output.act.commit(report.time));
            if let Err(error) = committed.map_err(|error| error.at(&output.label)) {
                done.failure = Some(error.clone());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Adds what tasks found about their input.
    fn settle(&mut self, report: &mut IntervalReport) -> Result<(), Error> {
        let mut found: HashMap<_, Vec<_>> = HashMap::new();
        for (dataset, finding) in self.ctx.engine().take_findings() {
            if let Some(finding) = self.event_times.take(finding) {
                found.entry(dataset).or_default().push(finding);
            }
        }
        let mut result = Ok(());
        for (dataset, findings) in found {
            for (input, source) in self.graph.inputs.iter_mut().zip(&mut report.sources) {
                result = result.and(input.found(dataset, &findings, &mut source.taken));
            }
        }
        result
    }

    /// Something was refused, and the other master needs what this one still holds; or the program ends with an error, and the
    /// next one does. Before any of it is let go, workers are left to that one.
    fn heed(&self, error: &Error) {
        if error.kind() == ErrorKind::Fenced {
            self.ctx.engine().is_overtaken();
        } else if !self.driven && self.ends_with(error) {
            self.ctx.engine().leave();
        }
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
        for output in &mut self.graph.outputs {
            output.act.abandon(report.time);
        }
        report.failure = Some(error);
    }
}

#[cfg(test)]
mod tests;
