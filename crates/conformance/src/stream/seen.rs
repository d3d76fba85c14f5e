use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use cutwater::{DStream, Error};

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

#[derive(Clone)]
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
    /// Runs `intervals` intervals, also after one that failed.
    pub fn of(program: &Program<'_>, intervals: u64) -> Self {
        let mut run = Self { refused: None, failures: Vec::new() };
        for _ in 0..intervals {
            match program.harness.step() {
                Ok(report) => run.failures.extend(report.failure.map(|error| (report.number, error))),
                Err(error) => {
                    run.refused = Some(error);
                    break;
                }
            }
        }
        run
    }
}
