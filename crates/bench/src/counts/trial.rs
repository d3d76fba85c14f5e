//! One run of a program of counts, under load.

use std::{thread, time::Duration};

use super::{
    RECORD_BYTES, Tally, Verdict,
    cluster::{Cluster, PATIENCE},
    load::Load,
    outputs::{Output, Outputs},
    program::{Program, now_us},
};
use crate::{
    error::BenchError,
    report::{Measured, rss_mb},
};

/// Clients, each at a receiver of its own choice.
const CLIENTS: u32 = 4;

/// A cluster, its clients, and what it gives out.
pub struct Trial {
    /// Its processes.
    pub cluster: Cluster,
    /// What it has given out.
    pub outputs: Outputs,
    /// What is sent to it; nothing yet.
    pub load: Load,
    interval_ms: u64,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Ended {
    /// All that was acknowledged.
    pub acknowledged: Tally,
    /// How that differs from what was counted.
    pub verdict: Verdict,
    /// All intervals.
    pub outputs: Vec<Output>,
    /// The most memory that the processes had which were there at the end, in units of 10^6 bytes.
    pub rss_mb: f64,
}

impl Ended {
    /// The outputs of the intervals after one and through another.
    pub fn between(&self, after_ms: f64, through_ms: f64) -> Vec<Output> {
        let is_between = |output: &&Output| output.due_ms > after_ms && output.due_ms <= through_ms;
        self.outputs.iter().filter(is_between).copied().collect()
    }

    /// What a report needs of some of the outputs. Records are those after the first.
    pub fn measured(&self, outputs: &[Output], interval_ms: u64) -> Measured {
        let duration = |ms: f64| Duration::from_secs_f64(ms.max(0.0) / 1e3);
        let total = |output: Option<&Output>| output.map_or(0, |output| output.total.records);
        let records = total(outputs.last()) - total(outputs.first());
        Measured {
            records,
            bytes: records * RECORD_BYTES as u64,
            elapsed: duration((outputs.len().saturating_sub(1) as u64 * interval_ms) as f64),
            processing: outputs.iter().map(|output| duration(output.done_ms - output.began_ms)).collect(),
            delay: outputs.iter().map(|output| duration(output.delay_ms())).collect(),
            result: self.acknowledged.digest >> 11,
        }
    }
}

impl Trial {
    /// Starts everything, does what `job` says, and ends the program. If anything goes wrong, the logs are kept.
    ///
    /// # Errors
    /// A process failed, or what `job` says.
    pub fn run<T>(
        program: &Program,
        workers: usize,
        slow: f64,
        job: impl FnOnce(&mut Self) -> Result<T, BenchError>,
    ) -> Result<(T, Ended), BenchError> {
        let mut cluster = Cluster::start(program, workers, slow)?;
        let begun = cluster.address().and_then(|address| {
            let load = Load::start(CLIENTS, &address, &cluster.files().token())?;
            Ok((load, Outputs::new(cluster.files().outputs())))
        });
        let (load, outputs) = begun.inspect_err(|_| cluster.keep())?;
        let mut trial = Self { cluster, outputs, load, interval_ms: program.interval_ms };
        let done = trial.wait("the first output", |_| true).and_then(|_| job(&mut trial));
        match done {
            Ok(done) => trial.finish().map(|ended| (done, ended)),
            Err(error) => {
                trial.cluster.keep();
                Err(error)
            }
        }
    }

    /// Waits until the newest output is as wished.
    ///
    /// # Errors
    /// It does not come, or a process or a client has ended.
    pub fn wait(&mut self, what: &str, wished: impl FnMut(&Output) -> bool) -> Result<Output, BenchError> {
        let Self { cluster, outputs, load, .. } = self;
        outputs.wait(what, PATIENCE, wished, || cluster.check().and_then(|()| load.check()))
    }

    /// Waits for so many more outputs than there are.
    ///
    /// # Errors
    /// They do not come, or a process or a client has ended.
    pub fn wait_for(&mut self, more: u64) -> Result<Output, BenchError> {
        // What came since somebody looked last came before whatever is waited for.
        self.outputs.poll()?;
        let from_ms = self.outputs.last().map_or(0.0, |last| last.due_ms);
        let until_ms = from_ms + (more * self.interval_ms) as f64;
        self.wait("the next output", |last| last.due_ms >= until_ms)
    }

    /// Waits until the next interval is in the midst of its tasks, where a kill hurts most, judged by the median delay
    /// of those after `from_ms`. Answers when that interval was due.
    pub fn wait_into_tasks(&self, from_ms: f64) -> f64 {
        let measured = self.outputs.all().filter(|output| output.due_ms > from_ms);
        let usual_ms = median(measured.map(Output::delay_ms));
        let (now_ms, interval_ms) = (now_us() as f64 / 1e3, self.interval_ms as f64);
        let due_ms = (now_ms / interval_ms).ceil() * interval_ms;
        thread::sleep(Duration::from_secs_f64((due_ms + usual_ms / 2.0 - now_ms).max(0.0) / 1e3));
        due_ms
    }

    fn finish(self) -> Result<Ended, BenchError> {
        let Self { mut cluster, mut outputs, load, interval_ms } = self;
        let finish = || {
            let acknowledged = load.finish()?;
            let all = acknowledged.iter().fold(Tally::default(), |sum, tally| sum.plus(*tally));
            // Whether it comes or not is for the verdict to say.
            let came = |last: &Output| last.total.records >= all.records;
            match outputs.wait("the last record", PATIENCE, came, || cluster.check()) {
                Ok(_) | Err(BenchError::Wrong(_)) => {}
                Err(error) => return Err(error),
            }
            let rss_mb = rss_mb();
            let verdict = Verdict::of(&acknowledged, &cluster.finish()?);
            outputs.poll()?;
            outputs.complete(interval_ms)?;
            let outputs = outputs.all().copied().collect();
            Ok(Ended { acknowledged: all, verdict, outputs, rss_mb })
        };
        let ended = finish();
        if ended.as_ref().map_or(true, |ended| ended.verdict.fault().is_some()) {
            cluster.keep();
        }
        ended
    }
}

/// The value in the middle; 0 if there is none.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}
