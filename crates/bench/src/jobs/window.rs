//! A count of every word over a sliding window, by inverse reduce.

use cutwater::DStream;

use super::{TextJob, last_of, lock, ones, same_counts};
use crate::{
    cli::{Common, Windowed},
    error::BenchError,
    reference::{count_words, window_records},
    report::Report,
};

/// The count of every word in the last chunks.
pub(super) fn counts(lines: &DStream<String>, options: &Windowed) -> DStream<(String, u64)> {
    let slide = lines.slide();
    let window = slide * u32::try_from(options.window).unwrap_or(u32::MAX);
    ones(lines, options.words.owned).reduce_by_key_and_window_filtered(
        |a, b| a + b,
        |a, b| a - b,
        |_, count| *count > 0,
        window,
        slide,
    )
}

/// Runs the job.
///
/// # Errors
/// The input cannot be read or the answer is wrong.
pub fn run(common: &Common, options: &Windowed) -> Result<Report, BenchError> {
    let (text, window) = (&options.words.text, options.window);
    let job = TextJob::new(common, text, options.words.checkpoint_s)?;
    let answer = last_of(&counts(&job.lines, options), job.chunks);
    let last = job.chunks - 1;
    let report = job.run("window", common, || {
        let records = window_records(last, window, text.chunk_records);
        same_counts(&lock(&answer), &count_words(&text.input, records)?)
    })?;
    Ok(report.with("window", window).with("owned", options.words.owned))
}
