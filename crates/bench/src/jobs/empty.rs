//! What an interval costs by itself: a stateful program with 10,000 keys of state and no input.

use std::time::Duration;

use cutwater::Error;

use super::{Answer, lock, measured};
use crate::{cli::Common, error::BenchError, report::Report};

/// Keys of state.
const KEYS: u64 = 10_000;
/// Intervals measured unless told otherwise.
const INTERVALS: u64 = 1000;

/// Runs the job.
///
/// # Errors
/// The program failed or lost state.
pub fn run(common: &Common) -> Result<Report, BenchError> {
    // Intervals of a millisecond, so that a slow one shows as a delay of those after it.
    let interval = Duration::from_millis(common.interval_ms.unwrap_or(5));
    let ctx = common.builder().interval(interval).build()?;
    let (sender, keys) = ctx.channel::<u64>("keys");
    let counts = keys.map(|key| (key, 1u64)).running_reduce(|a, b| a + b);
    let answer: Answer<u64> = Answer::default();
    let total = answer.clone();
    counts.for_each_rdd(move |rdd, _| {
        *lock(&total) = rdd.count()?;
        Ok::<(), Error>(())
    });
    for key in 0..KEYS {
        sender.send(key)?;
    }
    let intervals = measured(&ctx, common.warmup);
    ctx.run_for(common.warmup + common.intervals.unwrap_or(INTERVALS))?;
    drop(sender);
    let keys = *lock(&answer);
    if keys != KEYS {
        return Err(BenchError::Wrong(format!("{keys} keys of state, not {KEYS}")));
    }
    let measured = lock(&intervals).clone().finish(keys);
    let measured = measured.ok_or_else(|| BenchError::Refused("nothing was measured".into()))?;
    Ok(Report::new("empty", common.threads(), common.workers, measured))
}
