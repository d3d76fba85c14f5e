//! A running count of every word.

use super::{TextJob, last_of, lock, ones, same_counts};
use crate::{
    by_hand,
    cli::{Common, Words},
    error::BenchError,
    reference::count_words,
    report::Report,
};

/// Runs the job.
///
/// # Errors
/// The input cannot be read or the answer is wrong.
pub fn run(common: &Common, options: &Words) -> Result<Report, BenchError> {
    let Words { text, owned, checkpoint_s } = options;
    let job = TextJob::new(common, text, *checkpoint_s)?;
    let counts = ones(&job.lines, *owned).running_reduce(|a, b| a + b);
    let answer = last_of(&counts, job.chunks);
    let (chunks, bytes) = (job.chunks, job.measured_bytes(common, text));
    let report = job.run("wordcount", common, || {
        same_counts(&lock(&answer), &count_words(&text.input, 0..chunks * text.chunk_records)?)
    })?;
    let by_hand = by_hand::wordcount(&text.input, bytes, *owned)?;
    Ok(report.with("owned", *owned).with("by_hand_records_per_s", by_hand.round()))
}
