//! The line of JSON that a job prints.

use std::env;
use std::fs;
use std::process::{self, Command};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::counts::trial::Ended;

/// What a job measured, before it is put into the units of the report.
#[derive(Clone, Debug, Default)]
pub struct Measured {
    /// Records of the intervals that count.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// From the end of the warm-up to the end of the last interval.
    pub elapsed: Duration,
    /// For each interval that counts, how long it was worked on. Empty for a job without intervals.
    pub processing: Vec<Duration>,
    /// For each interval that counts, how long after it was due its output was done.
    pub delay: Vec<Duration>,
    /// A number by which two runs are compared; below 2^53, so that every reader of JSON keeps it exact.
    pub result: u64,
}

/// The figures of one run, in the order in which they are printed.
///
/// The fields are common to all jobs; what only one of them has is in `extra` and is printed after them.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The sub-command.
    pub job: &'static str,
    /// What was measured: the abbreviated id of the commit checked out, or "unknown".
    pub commit: String,
    /// Compute threads in a process.
    pub threads: usize,
    /// Worker processes; 0 where everything ran in one.
    pub workers: usize,
    /// Records that were measured, without the warm-up.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Wall time of the measured part.
    pub seconds: f64,
    /// `records / seconds`.
    pub records_per_s: f64,
    /// `bytes / seconds`, in units of 10^6 bytes.
    pub mb_per_s: f64,
    /// Intervals that were measured, without the warm-up.
    pub intervals: usize,
    /// How long an interval was worked on. Left out by a job without intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing_ms: Option<Percentiles>,
    /// How long after an interval was due its output was done. Left out by a job without intervals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<Percentiles>,
    /// The most memory resident at any time, in units of 10^6 bytes; 0 where the system does not say.
    pub rss_mb: f64,
    /// A number by which two runs are compared.
    pub result: u64,
    /// What only this job has. A name must not be that of a common field.
    #[serde(flatten)]
    pub extra: Map<String, Value>,
    /// What the job's check found to be wrong with figures that are printed all the same.
    #[serde(skip)]
    pub fault: Option<String>,
}

impl Report {
    /// The report on a run that has just ended: the commit and the memory are looked up now.
    pub fn new(job: &'static str, threads: usize, workers: usize, measured: Measured) -> Self {
        let seconds = measured.elapsed.as_secs_f64();
        Self {
            job,
            commit: commit(),
            threads,
            workers,
            records: measured.records,
            bytes: measured.bytes,
            seconds: rounded(seconds, 6),
            records_per_s: rate(measured.records as f64, seconds),
            mb_per_s: rate(measured.bytes as f64 / 1e6, seconds),
            intervals: measured.processing.len(),
            processing_ms: Percentiles::of(measured.processing),
            delay_ms: Percentiles::of(measured.delay),
            rss_mb: rss_mb(),
            result: measured.result,
            extra: Map::new(),
            fault: None,
        }
    }

    /// Adds a field that only this job has.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.extra.insert(name.to_owned(), value.into());
        self
    }

    /// Adds what was acknowledged and what became of it.
    #[must_use]
    pub fn checked(mut self, ended: &Ended) -> Self {
        self.fault = ended.verdict.fault();
        self.rss_mb = ended.rss_mb;
        self.with("acknowledged", ended.acknowledged.records)
            .with("lost", ended.verdict.lost)
            .with("duplicated", ended.verdict.duplicated)
    }

    /// The report as one line, without the newline.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("numbers, strings and maps with string keys")
    }
}

/// How a set of durations is spread, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Percentiles {
    /// Half of them took at most so long.
    pub p50: f64,
    /// 95 of a hundred took at most so long.
    pub p95: f64,
    /// 99 of a hundred took at most so long.
    pub p99: f64,
    /// The longest.
    pub max: f64,
}

impl Percentiles {
    /// By nearest rank: each is a duration that did occur, none is interpolated. `None` for an empty set.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        let max = *durations.last()?;
        // A percentile p is the smallest value that at least p % of the values do not exceed.
        let at = |percent: usize| durations[(percent * durations.len()).div_ceil(100) - 1];
        Some(Self { p50: ms(at(50)), p95: ms(at(95)), p99: ms(at(99)), max: ms(max) })
    }
}

/// Milliseconds with three decimals: what lies below a microsecond is noise.
fn ms(duration: Duration) -> f64 {
    rounded(duration.as_secs_f64() * 1e3, 3)
}

/// JSON has no infinity, so a run too short for the clock reports 0.
fn rate(amount: f64, seconds: f64) -> f64 {
    if seconds > 0.0 { rounded(amount / seconds, 3) } else { 0.0 }
}

fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10f64.powi(decimals);
    (value * scale).round() / scale
}

/// Asked for when the run ends and not when the executable is built: a build that only relinks would keep the
/// commit of an earlier one.
fn commit() -> String {
    let mut git = Command::new("git");
    // `cargo run` tells where the sources are, so that the run may be started from anywhere.
    if let Some(sources) = env::var_os("CARGO_MANIFEST_DIR") {
        git.arg("-C").arg(sources);
    }
    let answer = git.args(["rev-parse", "--short", "HEAD"]).output().ok().filter(|a| a.status.success());
    let id = answer.and_then(|a| String::from_utf8(a.stdout).ok()).map(|id| id.trim().to_owned());
    id.filter(|id| !id.is_empty()).unwrap_or_else(|| "unknown".to_owned())
}

/// The most memory that this process and those that it started and that are still there have had resident, in units
/// of 10^6 bytes.
pub fn rss_mb() -> f64 {
    let parent = format!("PPid:\t{}", process::id());
    let own = fs::read_to_string("/proc/self/status").ok();
    let others = fs::read_dir("/proc").into_iter().flatten().flatten();
    let others = others.filter_map(|entry| fs::read_to_string(entry.path().join("status")).ok());
    let workers = others.filter(|status| status.lines().any(|line| line == parent));
    rounded(own.into_iter().chain(workers).filter_map(|status| peak_mb(&status)).sum(), 3)
}

/// Linux writes "kB" and means 1024 bytes.
fn peak_mb(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(rounded(kib * 1024.0 / 1e6, 3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millis(values: impl IntoIterator<Item = u64>) -> Vec<Duration> {
        values.into_iter().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_the_nearest_ranks() {
        let of = |values| Percentiles::of(values).unwrap();
        let all = Percentiles { p50: 50.0, p95: 95.0, p99: 99.0, max: 100.0 };
        assert_eq!(of(millis((1..=100).rev())), all);
        let few = Percentiles { p50: 20.0, p95: 40.0, p99: 40.0, max: 40.0 };
        assert_eq!(of(millis([40, 10, 30, 20])), few);
        let one = Percentiles { p50: 7.0, p95: 7.0, p99: 7.0, max: 7.0 };
        assert_eq!(of(millis([7])), one);
        assert_eq!(Percentiles::of(Vec::new()), None);
    }

    #[test]
    fn the_fields_are_in_the_documented_order() {
        let measured = Measured {
            records: 3_000_000,
            bytes: 300_000_000,
            elapsed: Duration::from_secs(2),
            processing: millis([1, 2]),
            delay: millis([3]),
            result: 42,
        };
        let line = Report::new("grep", 2, 0, measured).with("pattern", "p").to_json();
        let names = "job commit threads workers records bytes seconds records_per_s mb_per_s intervals \
                     processing_ms delay_ms rss_mb result pattern";
        let places: Vec<_> =
            names.split_whitespace().map(|n| line.find(&format!("\"{n}\":")).expect(n)).collect();
        assert!(places.is_sorted(), "{line}");
        assert!(!line.contains('\n'));

        let parsed: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(parsed["records_per_s"], 1_500_000.0);
        assert_eq!(parsed["mb_per_s"], 150.0);
        assert_eq!(parsed["intervals"], 2);
        assert_eq!(parsed["processing_ms"]["p50"], 1.0);
        assert_eq!(parsed["result"], 42);
    }

    #[test]
    fn a_run_too_short_for_the_clock_has_finite_rates() {
        let measured = Measured { records: 1, ..Measured::default() };
        assert_eq!(Report::new("grep", 1, 0, measured).records_per_s, 0.0);
    }

    #[test]
    fn the_peak_is_read_from_the_status_of_linux() {
        let status = "Name:\tx\nVmPeak:\t  9000 kB\nVmHWM:\t    2000 kB\nVmRSS:\t  1000 kB\n";
        assert_eq!(peak_mb(status), Some(2.048));
        assert_eq!(peak_mb("Name:\tx\n"), None);
    }
}
