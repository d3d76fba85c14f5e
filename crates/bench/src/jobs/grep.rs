//! Lines that contain a pattern, counted.

use cutwater::Error;

use super::{Answer, TextJob, lock};
use crate::{
    by_hand,
    cli::{Common, Grep},
    error::BenchError,
    reference::count_matching,
    report::Report,
};

/// Runs the job.
///
/// # Errors
/// The input cannot be read or the answer is wrong.
pub fn run(common: &Common, options: &Grep) -> Result<Report, BenchError> {
    let job = TextJob::new(common, &options.text, None)?;
    let matching =
        job.lines.with(options.pattern.clone()).filter(|pattern, line| line.contains(pattern.as_str()));
    let answer: Answer<u64> = Answer::default();
    let total = answer.clone();
    matching.count().for_each_rdd(move |rdd, _| {
        *lock(&total) += rdd.first()?;
        Ok::<(), Error>(())
    });
    let (chunks, text) = (job.chunks, &options.text);
    let bytes = job.measured_bytes(common, text);
    let report = job.run("grep", common, || {
        let expected =
            count_matching(&text.input, 0..chunks * text.chunk_records, options.pattern.as_bytes())?;
        let got = *lock(&answer);
        if got == expected { Ok(got) } else { Err(BenchError::Wrong(format!("{got} lines, not {expected}"))) }
    })?;
    Ok(report.with("by_hand_records_per_s", by_hand::grep(&text.input, bytes, &options.pattern)?.round()))
}
