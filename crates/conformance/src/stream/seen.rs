use std::{
    collections::BTreeMap,
    io,
    process::{Command, ExitStatus},
    sync::{Arc, Mutex, PoisonError},
};

use cutwater::{DStream, Error, testing::Harness};
use serde::{Deserialize, Serialize};

use super::program::Program;
use crate::Value;

/// What a program gave out.
pub(super) struct Seen {
    pub outputs: Watched,
    /// The states after each interval, of programs that show them.
    pub snapshots: Option<Watched>,
}

/// The datasets of a stream by their times in milliseconds.
#[derive(Clone, Default)]
pub(super) struct Watched(Arc<Mutex<BTreeMap<i64, Dataset>>>);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Dataset {
    pub partitions: u32,
    pub records: Vec<Value>,
}

impl Seen {
    /// Watches a program that has not started.
    pub fn watching(program: &Program<'_>) -> Self {
        Self {
            outputs: Watched::watching(program.root()),
            snapshots: program.snapshots().map(|snapshots| Watched::watching(&snapshots)),
        }
    }
}

impl Watched {
    fn watching(stream: &DStream<Value>) -> Self {
        let watched = Self::default();
        let seen = watched.clone();
        stream.for_each_rdd(move |rdd, t| {
            let dataset = Dataset { partitions: rdd.num_partitions(), records: rdd.collect()? };
            seen.0.lock().unwrap_or_else(PoisonError::into_inner).insert(t.as_ms(), dataset);
            Ok::<(), Error>(())
        });
        watched
    }

    /// These, seen elsewhere.
    pub fn of(datasets: BTreeMap<i64, Dataset>) -> Self {
        Self(Arc::new(Mutex::new(datasets)))
    }

    /// Everything so far.
    pub fn all(&self) -> BTreeMap<i64, Dataset> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// How the run of a program went.
pub(super) struct Run {
    /// Why it did not start.
    pub refused: Option<Error>,
    /// Which intervals failed, counted from 1, and why.
    pub failures: Vec<(u64, Error)>,
}

impl Run {
    /// Runs all intervals up to number `last`, also after one that failed; after number `kill_after`, a worker process
    /// is killed.
    pub fn of(program: &Program<'_>, last: u64, kill_after: Option<u64>) -> Self {
        let mut run = Self { refused: None, failures: Vec::new() };
        // There is an interval after it.
        let kill_after = kill_after.map(|number| number.min(last.saturating_sub(1)));
        let mut number = 0;
        while number < last {
            if kill_after == Some(number) {
                kill_worker(&program.harness, last);
            }
            match program.harness.step() {
                Ok(report) => {
                    number = report.number;
                    run.failures.extend(report.failure.map(|error| (number, error)));
                }
                Err(error) => {
                    run.refused = Some(error);
                    break;
                }
            }
        }
        run
    }
}

/// Ends a worker process as a crash does, another one in other cases.
fn kill_worker(harness: &Harness, case: u64) {
    let workers = harness.workers();
    let Some(victim) = usize::try_from(case).ok().and_then(|case| workers.get(case % workers.len().max(1)))
    else {
        panic!("there is no worker process to kill; --kill-worker-after-batch needs --runtime cluster");
    };
    let killed = kill(*victim);
    assert!(killed.as_ref().is_ok_and(ExitStatus::success), "worker {victim} cannot be killed: {killed:?}");
}

/// Ends a process as a crash does.
pub(super) fn kill(process: u32) -> io::Result<ExitStatus> {
    Command::new("kill").args(["-9", &process.to_string()]).status()
}
