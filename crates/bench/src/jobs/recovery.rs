//! Workers are killed at once in mid-run: how late do outputs come, for how long, and is anything lost?

use std::fs;

use serde_json::json;

use crate::{
    cli::{Common, RecoveryOptions},
    counts::{
        load::FLOOD,
        outputs::Output,
        program::{Program, now_us},
        trial::{Ended, Trial, median},
    },
    error::BenchError,
    report::Report,
    svg,
};

/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 1_000;
/// Partitions for each slot: what a lost worker held is made again in so many pieces by all others.
pub const PARTITIONS_PER_SLOT: usize = 4;
/// Intervals of flood that fill all queues, and those over which capacity is then measured.
const CALIBRATION: (u64, u64) = (3, 4);

/// Runs the job.
///
/// # Errors
/// The options cannot be served, or a process or a client failed.
pub fn run(common: &Common, options: &RecoveryOptions) -> Result<Report, BenchError> {
    let interval_ms = common.interval_ms.unwrap_or(INTERVAL_MS);
    if options.kill >= common.workers {
        return Err(BenchError::Refused(format!(
            "--kill {} of --workers {}: somebody has to be left",
            options.kill, common.workers
        )));
    }
    let program = program(common, interval_ms, options.checkpoint_s, PARTITIONS_PER_SLOT);
    let intervals = (options.seconds * 1_000 / interval_ms).max(4);
    let (course, ended) = Trial::run(&program, common.workers, 1.0, |trial| {
        let rate = load(trial, options.rate, interval_ms)?;
        let first = trial.wait_for(common.warmup)?;
        trial.wait_for(intervals / 2)?;
        let due_ms = trial.wait_into_tasks(first.due_ms);
        for killed in apart(common.workers).take(options.kill) {
            trial.cluster.workers[killed].signal(rustix::process::Signal::KILL)?;
        }
        let killed_ms = now_us() as f64 / 1e3;
        let last_due_ms = due_ms + ((intervals - intervals / 2) * interval_ms) as f64;
        trial.wait("the last interval", |last| last.due_ms >= last_due_ms)?;
        Ok(Course { rate, first_ms: first.due_ms, killed_due_ms: due_ms, killed_ms, last_due_ms })
    })?;
    report(common, options, interval_ms, &course, &ended)
}

/// The workers in an order in which none follows its neighbour while others are left: each has the next one hold what it
/// receives, so of two neighbours that are killed at once records would be lost.
fn apart(workers: usize) -> impl Iterator<Item = usize> {
    (0..workers).step_by(2).chain((1..workers).step_by(2))
}

/// The program of the jobs that count.
pub fn program(common: &Common, interval_ms: u64, checkpoint_s: f64, partitions_per_slot: usize) -> Program {
    let partitions = common.workers.max(1) * common.threads() * partitions_per_slot;
    Program {
        interval_ms,
        threads: common.threads(),
        partitions: u32::try_from(partitions).unwrap_or(u32::MAX),
        checkpoint_ms: (checkpoint_s * 1e3) as u64,
        survives_master: false,
        speculation: true,
        task_ms: 0.0,
    }
}

/// When what happened.
struct Course {
    rate: u64,
    /// The interval after which measuring began.
    first_ms: f64,
    /// The interval that ran when workers were killed.
    killed_due_ms: f64,
    killed_ms: f64,
    last_due_ms: f64,
}

/// Sets the load: so many records a second, or half of capacity. Answers with it when outputs come in time.
///
/// # Errors
/// A process or a client failed.
pub fn load(trial: &mut Trial, rate: Option<u64>, interval_ms: u64) -> Result<u64, BenchError> {
    let rate = rate_of(rate, || capacity(trial))?;
    trial.load.set_rate(rate);
    // What a flood has left is done when outputs come in time again.
    let calm = trial.wait("an output in time", |last| last.delay_ms() < interval_ms as f64)?;
    eprintln!("{rate} records/s; the first interval at that rate that is in time is {}", calm.due_ms);
    Ok(rate)
}

/// The rate that was asked for, or half of capacity, which is measured then.
fn rate_of(
    asked: Option<u64>,
    capacity: impl FnOnce() -> Result<f64, BenchError>,
) -> Result<u64, BenchError> {
    match asked {
        Some(rate) => Ok(rate),
        None => capacity().map(|capacity| (capacity / 2.0) as u64),
    }
}

/// Lets clients send as fast as they can for some intervals, and sees how fast records are counted, in a second.
fn capacity(trial: &mut Trial) -> Result<f64, BenchError> {
    trial.load.set_rate(FLOOD);
    let from = trial.wait_for(CALIBRATION.0)?;
    let to = trial.wait_for(CALIBRATION.1)?;
    trial.load.set_rate(0);
    let records = (to.total.records - from.total.records) as f64;
    let capacity = records / (to.done_ms - from.done_ms) * 1e3;
    eprintln!("capacity is {capacity:.0} records/s, clients included; the load is half of it");
    Ok(capacity)
}

fn report(
    common: &Common,
    options: &RecoveryOptions,
    interval_ms: u64,
    course: &Course,
    ended: &Ended,
) -> Result<Report, BenchError> {
    let outputs = ended.between(course.first_ms, course.last_due_ms);
    let delays_ms: Vec<f64> = outputs.iter().map(Output::delay_ms).collect();
    let killed_at = outputs.iter().position(|output| output.due_ms >= course.killed_due_ms);
    let killed_at = killed_at.ok_or_else(|| BenchError::Wrong("no output after the kill".into()))?;
    let lateness = Lateness::of(&delays_ms, killed_at, interval_ms as f64);
    if let Some(file) = &options.svg {
        let title =
            format!("{} of {} workers killed: delay of each interval's output", options.kill, common.workers);
        let killed_s = (course.killed_ms - outputs[0].due_ms) / 1e3;
        let picture = svg::delays(&title, interval_ms as f64 / 1e3, &delays_ms, killed_s);
        fs::write(file, picture).map_err(BenchError::file("write", file))?;
    }
    let measured = ended.measured(&outputs, interval_ms);
    let rounded = |ms: f64| (ms * 10.0).round() / 10.0;
    Ok(Report::new("recovery", common.threads(), common.workers, measured)
        .with("kill", options.kill)
        .with("checkpoint_s", options.checkpoint_s)
        .with("rate", course.rate)
        .with("delays_ms", json!(delays_ms.iter().map(|ms| rounded(*ms)).collect::<Vec<_>>()))
        .with("killed_at", killed_at)
        .with("late_ms_max", rounded(lateness.late_ms_max))
        .with("intervals_to_normal", lateness.intervals_to_normal)
        .checked(ended))
}

/// How late outputs are after a kill.
#[derive(Debug, PartialEq)]
struct Lateness {
    /// The worst delay from the kill on, beyond the median of those before.
    late_ms_max: f64,
    /// Intervals in a row, from the one that ran at the kill, that were later than usual: by more than a tenth of an
    /// interval.
    intervals_to_normal: usize,
}

impl Lateness {
    fn of(delays_ms: &[f64], killed_at: usize, interval_ms: f64) -> Self {
        let (before, after) = delays_ms.split_at(killed_at);
        let usual_ms = median(before.iter().copied());
        let worst_ms = after.iter().copied().fold(0.0, f64::max);
        let is_late = |delay_ms: &&f64| **delay_ms > usual_ms + interval_ms / 10.0;
        Self {
            late_ms_max: worst_ms - usual_ms,
            intervals_to_normal: after.iter().take_while(is_late).count(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_is_half_of_capacity_unless_it_is_asked_for() {
        assert_eq!(rate_of(None, || Ok(5_001.0)).unwrap(), 2_500);
        let measured = || Err(BenchError::Wrong("nothing is to be measured".into()));
        assert_eq!(rate_of(Some(7), measured).unwrap(), 7);
        assert!(rate_of(None, measured).is_err(), "what cannot be measured is no load");
    }

    #[test]
    fn two_of_four_that_are_killed_are_no_neighbours() {
        assert_eq!(apart(4).collect::<Vec<_>>(), [0, 2, 1, 3]);
        assert_eq!(apart(3).collect::<Vec<_>>(), [0, 2, 1]);
    }

    #[test]
    fn lateness_is_beyond_the_median_and_ends_with_the_first_usual_interval() {
        let delays = [100.0, 110.0, 90.0, 600.0, 350.0, 150.0, 420.0];
        let expected = Lateness { late_ms_max: 500.0, intervals_to_normal: 2 };
        assert_eq!(Lateness::of(&delays, 3, 1_000.0), expected);
        assert_eq!(Lateness::of(&delays[..3], 2, 1_000.0).intervals_to_normal, 0);
    }
}
