//! The ten most frequent words of a sliding window.

use cutwater::Error;

use super::{Answer, TextJob, lock, window};
use crate::{
    cli::{Common, Windowed},
    error::BenchError,
    reference::{count_words, digest, top_ten, window_records},
    report::Report,
};

/// Runs the job.
///
/// # Errors
/// The input cannot be read or the answer is wrong.
pub fn run(common: &Common, options: &Windowed) -> Result<Report, BenchError> {
    let text = &options.words.text;
    let job = TextJob::new(common, text, options.words.checkpoint_s)?;
    let answer: Answer<Vec<(String, u64)>> = Answer::default();
    let last_top = answer.clone();
    window::counts(&job.lines, options).for_each_rdd(move |rdd, _| {
        // Of equally frequent words the one that comes first in the dictionary.
        *lock(&last_top) = rdd.top_by(10, |(word, count)| (*count, std::cmp::Reverse(word.clone())))?;
        Ok::<(), Error>(())
    });
    let last = job.chunks - 1;
    let report = job.run("topk", common, || {
        let records = window_records(last, options.window, text.chunk_records);
        let expected = top_ten(&count_words(&text.input, records)?);
        let got = lock(&answer);
        let same = got.iter().map(|(word, n)| (word.as_bytes(), *n));
        if same.clone().eq(expected.iter().map(|(word, n)| (word.as_slice(), *n))) {
            Ok(digest(same))
        } else {
            Err(BenchError::Wrong(format!("{got:?} are not the ten most frequent words")))
        }
    })?;
    Ok(report.with("window", options.window).with("owned", options.words.owned))
}
