//! A running count of every word.

use super::{TextJob, last_of, lock, same_counts, words};
use crate::{
    by_hand,
    cli::{Common, Text},
    error::BenchError,
    reference::count_words,
    report::Report,
};

/// Runs the job.
///
/// # Errors
/// The input cannot be read or the answer is wrong.
pub fn run(common: &Common, text: &Text) -> Result<Report, BenchError> {
    let job = TextJob::new(common, text)?;
    let counts = job.lines.flat_map(words).map(|word| (word, 1u64)).running_reduce(|a, b| a + b);
    let answer = last_of(&counts, job.chunks);
    let (chunks, bytes) = (job.chunks, job.measured_bytes(common, text));
    let report = job.run("wordcount", common, || {
        same_counts(&lock(&answer), &count_words(&text.input, 0..chunks * text.chunk_records)?)
    })?;
    Ok(report.with("by_hand_records_per_s", by_hand::wordcount(&text.input, bytes)?.round()))
}
