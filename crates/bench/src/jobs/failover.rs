//! The master is killed while a standby waits: for how long does nothing come, and is anything lost?

use serde_json::json;

use crate::{
    cli::{Common, FailoverOptions},
    counts::{
        outputs::{Output, delays_ms},
        program::Program,
        trial::Trial,
    },
    error::BenchError,
    jobs::recovery,
    report::Report,
};

/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 500;

/// Runs the job.
///
/// # Errors
/// The options cannot be served, or a process or a client failed.
pub fn run(common: &Common, options: &FailoverOptions) -> Result<Report, BenchError> {
    if common.workers == 0 {
        return Err(BenchError::Refused(
            "the workers have to outlive the master: give --workers 1 or more".into(),
        ));
    }
    let interval_ms = common.interval_ms.unwrap_or(INTERVAL_MS);
    let base = recovery::program(common, interval_ms, options.checkpoint_s, recovery::PARTITIONS_PER_SLOT);
    let program = Program { survives_master: true, ..base };
    let half = (options.seconds * 500 / interval_ms).max(2);
    let (course, ended) = Trial::run(&program, common.workers, 1.0, |trial| {
        trial.cluster.start_standby()?;
        let rate = recovery::load(trial, options.rate, interval_ms)?;
        let first = trial.wait_for(common.warmup)?;
        trial.wait_for(half)?;
        let killed_due_ms = trial.wait_into_tasks(first.due_ms);
        trial.cluster.masters[0].kill()?;
        trial.cluster.masters.remove(0);
        eprintln!("the master was killed in interval {killed_due_ms}");
        let last = trial.wait_for(half)?;
        Ok(Course { rate, first_ms: first.due_ms, killed_due_ms, last_ms: last.due_ms })
    })?;
    let outputs = ended.between(course.first_ms, course.last_ms);
    let killed_at = outputs.iter().position(|output| output.due_ms >= course.killed_due_ms);
    let killed_at = killed_at.ok_or_else(|| BenchError::Wrong("no output after the kill".into()))?;
    let gap_ms = longest_gap_ms(&outputs) - interval_ms as f64;
    let measured = ended.measured(&outputs, interval_ms);
    Ok(Report::new("failover", common.threads(), common.workers, measured)
        .with("rate", course.rate)
        .with("checkpoint_s", options.checkpoint_s)
        .with("delays_ms", json!(delays_ms(&outputs)))
        .with("killed_at", killed_at)
        .with("gap_ms", (gap_ms * 10.0).round() / 10.0)
        .checked(&ended))
}

/// When what happened.
struct Course {
    /// Records a second.
    rate: u64,
    /// The interval after which measuring began.
    first_ms: f64,
    /// The interval that ran when the master was killed.
    killed_due_ms: f64,
    last_ms: f64,
}

/// The longest time between two outputs.
fn longest_gap_ms(outputs: &[Output]) -> f64 {
    outputs.windows(2).map(|two| two[1].done_ms - two[0].done_ms).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::counts::Tally;

    #[test]
    fn the_gap_is_between_outputs_and_not_between_intervals() {
        let output = |done_ms| Output { due_ms: 0.0, began_ms: done_ms, done_ms, total: Tally::default() };
        let outputs: Vec<Output> = [100.0, 200.0, 950.0, 960.0, 1_000.0].map(output).to_vec();
        assert_eq!(longest_gap_ms(&outputs), 750.0);
        assert_eq!(longest_gap_ms(&outputs[..1]), 0.0);
    }
}
