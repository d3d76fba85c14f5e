//! What is measured, one job a file: a program as a user would write it, and a check of its answer.

pub mod chaos;
pub mod empty;
pub mod failover;
pub mod grep;
pub mod ingest;
pub mod latency;
pub mod recovery;
pub mod state;
pub mod straggler;
pub mod topk;
pub mod window;
pub mod wordcount;

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use cutwater::{Context, DStream, Error};
use tempfile::TempDir;

use crate::{
    cli::{Common, Text},
    error::BenchError,
    measure::{Ended, Intervals},
    reference::{Counts, digest},
    report::Report,
};

/// Bytes of a record of the generated input, with its line end.
const RECORD_BYTES: u64 = 100;

/// A program over the lines of a file, a chunk an interval, and the times of its intervals.
pub struct TextJob {
    ctx: Context,
    /// The lines.
    pub lines: DStream<String>,
    intervals: Arc<Mutex<Intervals>>,
    /// Where checkpoints are written.
    _checkpoints: Option<TempDir>,
    /// How many chunks are run, warm-up included.
    pub chunks: u64,
}

impl TextJob {
    /// A program over `text`, of which the job's own `intervals` after the warm-up are run, or all. If asked to, it
    /// writes checkpoints so many seconds apart.
    ///
    /// # Errors
    /// The file cannot be read, or is too short for what was asked; there is no room for checkpoints.
    pub fn new(common: &Common, text: &Text, checkpoint_s: Option<f64>) -> Result<Self, BenchError> {
        let size = fs::metadata(&text.input).map_err(BenchError::file("open", &text.input))?.len();
        let chunk_bytes = text.chunk_records * RECORD_BYTES;
        let available = size.div_ceil(chunk_bytes);
        let chunks = common.intervals.map_or(available, |intervals| intervals + common.warmup);
        if chunks > available || chunks <= common.warmup {
            return Err(BenchError::Refused(format!(
                "{} has {available} chunks of {} records, and {} of them are for the warm-up: ask for fewer intervals, smaller chunks or a shorter warm-up",
                text.input.display(),
                text.chunk_records,
                common.warmup,
            )));
        }
        let mut builder = common.builder().batch(true);
        let checkpoints = checkpoint_s.map(|_| TempDir::new()).transpose();
        let checkpoints = checkpoints.map_err(BenchError::file("make a folder in", &std::env::temp_dir()))?;
        if let (Some(folder), Some(seconds)) = (&checkpoints, checkpoint_s) {
            let every = Duration::from_secs_f64(seconds);
            builder = builder.checkpoint(folder.path().to_string_lossy()).checkpoint_every(every);
        }
        let ctx = builder.build()?;
        let lines = ctx.source("input").text_files([&text.input], chunk_bytes);
        let intervals = measured(&ctx, common.warmup);
        Ok(Self { ctx, lines, intervals, _checkpoints: checkpoints, chunks })
    }

    /// The bytes of the file that the measured intervals read, or the first half gigabyte of them.
    pub fn measured_bytes(&self, common: &Common, text: &Text) -> std::ops::Range<u64> {
        let chunk_bytes = text.chunk_records * RECORD_BYTES;
        let start = common.warmup * chunk_bytes;
        start..(self.chunks * chunk_bytes).min(start + (512 << 20) / RECORD_BYTES * RECORD_BYTES)
    }

    /// Runs the program. `check` compares its answer and says the number by which two runs are compared.
    ///
    /// # Errors
    /// The program failed, or its answer is wrong.
    pub fn run(
        self,
        job: &'static str,
        common: &Common,
        check: impl FnOnce() -> Result<u64, BenchError>,
    ) -> Result<Report, BenchError> {
        self.ctx.run_for(self.chunks)?;
        let measured = lock(&self.intervals).clone();
        let result = check()?;
        let measured =
            measured.finish(result).ok_or_else(|| BenchError::Refused("nothing was measured".into()))?;
        Ok(Report::new(job, common.threads(), common.workers, measured))
    }
}

/// The times of the intervals that `ctx` will run.
pub fn measured(ctx: &Context, warmup: u64) -> Arc<Mutex<Intervals>> {
    let intervals = Arc::new(Mutex::new(Intervals::new(warmup, Instant::now())));
    let ended = intervals.clone();
    ctx.on_interval(move |report| {
        let interval = Ended {
            records: report.records(),
            bytes: report.bytes(),
            processing: report.processing,
            delay: report.delay,
        };
        lock(&ended).ended(interval, Instant::now());
    });
    intervals
}

/// A one for every word: with the words where they lie, or each as a string of its own.
pub fn ones(lines: &DStream<String>, owned: bool) -> DStream<(String, u64)> {
    if owned {
        return lines.flat_map(owned_words).map(|word| (word, 1));
    }
    lines.pairs(|line, emit| line.split(' ').for_each(|word| emit(word, 1)))
}

fn owned_words(line: String) -> Vec<String> {
    let mut words = Vec::with_capacity(10);
    words.extend(line.split(' ').map(str::to_owned));
    words
}

/// Compares counts that the engine made with counts made slowly.
///
/// # Errors
/// They differ; the first word that does is named.
pub fn same_counts(got: &[(String, u64)], expected: &Counts) -> Result<u64, BenchError> {
    let mut left: HashMap<&[u8], u64> = expected.iter().map(|(word, n)| (word.as_slice(), *n)).collect();
    for (word, n) in got {
        match left.remove(word.as_bytes()) {
            Some(expected) if expected == *n => {}
            other => return Err(BenchError::Wrong(format!("{word:?} was counted {n} times, not {other:?}"))),
        }
    }
    match left.iter().find(|(_, n)| **n > 0) {
        Some((word, n)) => {
            Err(BenchError::Wrong(format!("{:?} is missing, {n} times", String::from_utf8_lossy(word))))
        }
        None => Ok(digest(got.iter().map(|(word, n)| (word.as_bytes(), *n)))),
    }
}

/// Where an output puts what the check will look at.
pub type Answer<T> = Arc<Mutex<T>>;

/// A lock whose holder cannot have left it half changed.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Keeps the whole of a stream's last dataset. It is read only in the last interval, so that reading it is
/// no part of what is measured before.
pub fn last_of(counts: &DStream<(String, u64)>, chunks: u64) -> Answer<Vec<(String, u64)>> {
    let answer: Answer<Vec<_>> = Answer::default();
    let (put, mut interval) = (answer.clone(), 0);
    counts.for_each_rdd(move |rdd, _| {
        interval += 1;
        if interval == chunks {
            *lock(&put) = rdd.collect()?;
        } else {
            rdd.count()?;
        }
        Ok::<(), Error>(())
    });
    answer
}
