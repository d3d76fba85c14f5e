//! What masters and workers run: the same executable, led here by a sub-command that help does not show.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use cutwater::{Context, Error};
use serde::{Deserialize, Serialize};

use super::{KEYS, Tallies, Tally, drag, mixed, read_record};
use crate::{
    error::BenchError,
    jobs::{Answer, lock},
};

/// The source that clients send to.
pub const SOURCE: &str = "records";

/// How the program is to run. Every process of it reads this from the folder that they share.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Program {
    /// Length of an interval.
    pub interval_ms: u64,
    /// Compute threads in a worker.
    pub threads: usize,
    /// Partitions of the counts.
    pub partitions: u32,
    /// How often states are written.
    pub checkpoint_ms: u64,
    /// Whether a master that is started again, or a standby, goes on with what was written.
    pub survives_master: bool,
    /// Whether slow tasks are copied.
    pub speculation: bool,
    /// How long the program's own function works on a partition in each interval, in milliseconds.
    pub task_ms: f64,
}

/// Where the processes of a program meet.
#[derive(Clone, Debug)]
pub struct Folder(pub PathBuf);

impl Folder {
    /// How the program is to run.
    pub fn program(&self) -> PathBuf {
        self.0.join("program.json")
    }

    /// What lets workers and clients in.
    pub fn token(&self) -> PathBuf {
        self.0.join("token")
    }

    /// A line for each interval that was given out.
    pub fn outputs(&self) -> PathBuf {
        self.0.join("outputs")
    }

    /// What was counted, when the program has ended.
    pub fn counts(&self) -> PathBuf {
        self.0.join("counts.json")
    }
}

/// Runs the program until it is told to stop, or as a worker of it. The environment says which.
///
/// # Errors
/// The program failed, or cannot read and write in `folder`.
pub fn run(folder: &Path) -> Result<(), BenchError> {
    // Whoever started this process ends it; if that one is gone, nobody would.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    let folder = Folder(folder.to_owned());
    let text = fs::read(folder.program()).map_err(BenchError::file("read", &folder.program()))?;
    let program: Program = serde_json::from_slice(&text).map_err(|error| {
        BenchError::Refused(format!("{} is not understood: {error}", folder.program().display()))
    })?;
    let mut builder = Context::builder("cutwater-bench-counts")
        .interval(Duration::from_millis(program.interval_ms))
        .threads(program.threads)
        .parallelism(program.partitions)
        .speculation(program.speculation)
        .checkpoint_every(Duration::from_millis(program.checkpoint_ms))
        .token_file(folder.token())
        .progress(false);
    if program.survives_master {
        builder = builder.checkpoint(folder.0.join("checkpoints").to_string_lossy());
    }
    let ctx = builder.build()?;
    let counts = ctx.source(SOURCE).client_lines().map(|record| {
        drag::record();
        read_record(&record)
    });
    let counts = counts.running_reduce(Tally::plus);
    let counts = counts.with(program.task_ms).map_partitions(|task_ms, records| {
        work(*task_ms);
        records
    });
    let last: Answer<Vec<(u32, Tally)>> = Answer::default();
    let (put, file) = (last.clone(), folder.outputs());
    counts.for_each_rdd(move |rdd, time| {
        let began_us = now_us();
        let counts = rdd.collect()?;
        let total = counts.iter().fold(Tally::default(), |sum, (key, tally)| {
            let digest = mixed(u64::from(*key) ^ tally.digest);
            sum.plus(Tally { records: tally.records, digest })
        });
        *lock(&put) = counts;
        let line = format!("{} {began_us} {} {} {}\n", time.as_ms(), now_us(), total.records, total.digest);
        // In one write, so that a kill leaves no half of it.
        let file = OpenOptions::new().append(true).create(true).open(&file);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::user)
    });
    ctx.run()?;
    let mut tallies: Tallies = vec![Tally::default(); KEYS as usize];
    for (key, tally) in lock(&last).iter() {
        tallies[*key as usize] = *tally;
    }
    let text = serde_json::to_vec(&tallies).map_err(|error| BenchError::Refused(error.to_string()))?;
    fs::write(folder.counts(), text).map_err(BenchError::file("write", &folder.counts()))
}

/// Takes so long in each task, or longer in a worker that is to be slow. It sleeps: workers that share the cores of
/// one machine are to be like workers that have their own.
fn work(task_ms: f64) {
    drag::partition();
    if task_ms > 0.0 {
        thread::sleep(Duration::from_secs_f64(task_ms * drag::factor() / 1e3));
    }
}

/// The wall's time in microseconds.
pub fn now_us() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}
