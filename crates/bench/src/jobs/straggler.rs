//! The tasks of one worker run many times slower than those of the others: what does that cost an interval, and what
//! do copies of slow tasks save?

use serde_json::{Value, json};

use crate::{
    cli::{Common, StragglerOptions},
    counts::{
        outputs::{Output, delays_ms},
        program::Program,
        trial::{Ended, Trial, median},
    },
    error::BenchError,
    jobs::recovery,
    report::Report,
};

/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 1_000;
/// Intervals that are measured of each run unless told otherwise.
const INTERVALS: u64 = 12;
/// Partitions for each slot. Three of four workers do the work of four in a third more time if its parts are small enough
/// to be shared out evenly: of 16 tasks one of them would do six, of 48 sixteen.
const PARTITIONS_PER_SLOT: usize = 12;
/// No kill needs them, and they are to be no part of what is measured.
const CHECKPOINT_S: f64 = 10.0;

/// Runs the job: undisturbed, with a slow worker, and with a slow worker whose tasks are copied.
///
/// # Errors
/// The options cannot be served, a process or a client failed, or a run's answer is wrong.
pub fn run(common: &Common, options: &StragglerOptions) -> Result<Report, BenchError> {
    if common.workers < 2 {
        return Err(BenchError::Refused("copies need another worker: give --workers 2 or more".into()));
    }
    let interval_ms = common.interval_ms.unwrap_or(INTERVAL_MS);
    let base = recovery::program(common, interval_ms, CHECKPOINT_S, PARTITIONS_PER_SLOT);
    let program = |speculation| Program { speculation, task_ms: options.task_ms, ..base.clone() };
    let measure = |what: &str, slow, speculation, rate| {
        let run = measure(common, &program(speculation), slow, rate)?;
        eprintln!("{what}: {:.1} ms", run.p50_ms());
        match run.ended.verdict.fault() {
            Some(fault) => Err(BenchError::Wrong(format!("{what}: {fault}"))),
            None => Ok(run),
        }
    };
    let undisturbed = measure("undisturbed", 1.0, true, options.rate)?;
    let without = measure("slow worker, without speculation", options.slow, false, Some(undisturbed.rate))?;
    let with = measure("slow worker, with speculation", options.slow, true, Some(undisturbed.rate))?;
    let measured = with.ended.measured(&with.measured, interval_ms);
    let rounded = |ms: f64| (ms * 10.0).round() / 10.0;
    Ok(Report::new("straggler", common.threads(), common.workers, measured)
        .with("slow", options.slow)
        .with("rate", undisturbed.rate)
        .with("task_ms", options.task_ms)
        .with("undisturbed_p50_ms", rounded(undisturbed.p50_ms()))
        .with("without_speculation_p50_ms", rounded(without.p50_ms()))
        .with("with_speculation_p50_ms", rounded(with.p50_ms()))
        .with("undisturbed_delays_ms", undisturbed.delays_ms())
        .with("without_speculation_delays_ms", without.delays_ms())
        .with("with_speculation_delays_ms", with.delays_ms())
        .checked(&with.ended))
}

/// One of the three runs.
struct Run {
    /// Records a second.
    rate: u64,
    measured: Vec<Output>,
    ended: Ended,
}

impl Run {
    fn p50_ms(&self) -> f64 {
        median(self.measured.iter().map(Output::delay_ms))
    }

    fn delays_ms(&self) -> Value {
        json!(delays_ms(&self.measured))
    }
}

fn measure(common: &Common, program: &Program, slow: f64, rate: Option<u64>) -> Result<Run, BenchError> {
    let (course, ended) = Trial::run(program, common.workers, slow, |trial| {
        let rate = recovery::load(trial, rate, program.interval_ms)?;
        let first = trial.wait_for(common.warmup)?;
        let last = trial.wait_for(common.intervals.unwrap_or(INTERVALS))?;
        Ok((rate, first.due_ms, last.due_ms))
    })?;
    let (rate, first_ms, last_ms) = course;
    Ok(Run { rate, measured: ended.between(first_ms, last_ms), ended })
}
