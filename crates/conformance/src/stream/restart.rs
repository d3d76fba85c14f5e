//! Programs that end without warning and are started again: the runner is started as the program, which aborts.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{self, Command},
    time::Duration,
};

use cutwater::Error;
use serde::{Deserialize, Serialize};

use super::{
    Trouble,
    expected::Expected,
    program::Program,
    seen::{Dataset, Run, Seen, Watched, kill},
};
use crate::{Case, Difference, Options, Value};

/// Names the file that says which program a process is to be.
const PROGRAM: &str = "CUTWATER_CONFORMANCE_PROGRAM";

/// What a process is started for.
#[derive(Serialize, Deserialize)]
struct Start {
    case: Case,
    options: Options,
    /// Holds the checkpoints and what was given out.
    folder: PathBuf,
    last: u64,
    crash: Option<Crash>,
}

/// When a process ends without warning.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
enum Crash {
    /// When the interval is over.
    After(u64),
    /// When its outputs are given out, and nobody has written down that they are.
    Within(u64),
}

/// What was given out in an interval, as a line of a file.
#[derive(Serialize, Deserialize)]
struct Given {
    time: i64,
    dataset: Dataset,
}

/// Runs the program of a case, which crashes after interval `crash_after`, until all its intervals are done; once for
/// each moment at which it may crash.
pub(super) fn answer(
    case: &Case,
    options: &Options,
    expected: &Expected<'_>,
    crash_after: u64,
) -> Result<Vec<Difference>, Trouble> {
    // Only for what it says of itself; it never runs. And before anything else, since a worker process that passes
    // here becomes one at the first context.
    let local = Options { workers: 0, ..options.clone() };
    let program = Program::build(case, local.builder(), &local)?;
    let mut differences = Vec::new();
    for crash in [Crash::After(crash_after), Crash::Within(crash_after)] {
        let dir = tempfile::tempdir().map_err(|error| Trouble::malformed(error.to_string()))?;
        let (case, options) = (case.clone(), options.clone());
        let folder = dir.path().to_owned();
        let mut start = Start { case, options, folder, last: expected.intervals, crash: Some(crash) };
        let crashed = run_as_process(&start);
        start.crash = None;
        let outputs = match (crashed, run_as_process(&start)) {
            (Err(_), Ok(())) => given(&start, crash_after).map_err(Trouble::Malformed)?,
            (Ok(()), _) => return Err(Trouble::malformed("the program was to crash, and did not")),
            (Err(_), Err(why)) => {
                let got = format!("after a crash {crash:?}: {why}");
                differences.push(Difference {
                    interval: None,
                    expected: "a program that runs".to_owned(),
                    got,
                });
                continue;
            }
        };
        let run = Run { refused: None, failures: Vec::new() };
        let seen = Seen { outputs: Watched::of(outputs), snapshots: None };
        differences.extend(expected.compare(&program, &run, &seen));
    }
    Ok(differences)
}

/// Starts this process again as the program; the error is how it ended otherwise than well.
fn run_as_process(start: &Start) -> Result<(), String> {
    let file = start.folder.join("start.json");
    let text = serde_json::to_vec(start).map_err(|error| error.to_string())?;
    fs::write(&file, text).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let mut command = Command::new(env::current_exe().map_err(|error| error.to_string())?);
    // In a test binary it is led to this test by its name, which the thread bears.
    let thread = std::thread::current();
    match thread.name().filter(|name| *name != "main") {
        Some(test) => command.args([test, "--exact", "--nocapture"]),
        None => command.args(env::args_os().skip(1)),
    };
    let output = command.env(PROGRAM, &file).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

/// If this process was started as a program, is that and nothing else.
pub(crate) fn become_program() {
    let Some(file) = env::var_os(PROGRAM) else { return };
    let done = read(Path::new(&file)).and_then(|start| run(&start));
    if let Err(why) = &done {
        // Nothing is left to tell anybody if standard error is gone too.
        let _ = writeln!(std::io::stderr(), "{why}");
    }
    process::exit(i32::from(done.is_err()));
}

fn read(file: &Path) -> Result<Start, String> {
    let text = fs::read(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

fn run(start: &Start) -> Result<(), String> {
    let Start { case, options, folder, last, crash } = start;
    let mut builder = options.builder().checkpoint(folder.join("checkpoints").to_string_lossy());
    let ms = |name| case.field(name).as_u64();
    if let (Some(states), Some(interval)) = (ms("stream_checkpoint_ms"), ms("batch_interval_ms")) {
        builder = builder.checkpoint_intervals(states.div_ceil(interval));
    }
    let interval = ms("batch_interval_ms").unwrap_or(1000);
    let program = Program::build(case, builder.checkpoint_every(Duration::MAX), options)
        .map_err(|trouble| format!("{trouble:?}"))?;
    if case.field("output")["op"] == "save" {
        program.root().save(folder.join("saved"), |record| {
            serde_json::to_string(record).unwrap_or_else(|error| error.to_string())
        });
    }
    let (file, crash, workers) = (folder.join("given"), *crash, program.harness.workers());
    let end = move || -> ! {
        // Or they would wait for another master, and whoever reads what this process says would wait for them.
        for worker in &workers {
            // One may have been killed before.
            let _ = kill(*worker);
        }
        process::abort()
    };
    let end_within = end.clone();
    program.root().for_each_rdd(move |rdd, t| {
        let dataset = Dataset { partitions: rdd.num_partitions(), records: rdd.collect()? };
        let line = serde_json::to_string(&Given { time: t.as_ms(), dataset }).map_err(Error::user)?;
        let mut file = OpenOptions::new().append(true).create(true).open(&file).map_err(Error::user)?;
        writeln!(file, "{line}").map_err(Error::user)?;
        match crash {
            Some(Crash::Within(number)) if t.as_ms().unsigned_abs() == number * interval => end_within(),
            _ => Ok::<(), Error>(()),
        }
    });
    let until = match crash {
        Some(Crash::After(number)) => number,
        _ => *last,
    };
    let run = Run::of(&program, until, options.kill_worker_after);
    if let Some(error) = run.refused.or(run.failures.into_iter().next().map(|(_, error)| error)) {
        return Err(error.to_string());
    }
    if matches!(crash, Some(Crash::After(_))) {
        end();
    }
    Ok(())
}

/// What all processes together gave out. Only the interval of the crash may have been run again, and gave the same.
fn given(start: &Start, crash_after: u64) -> Result<BTreeMap<i64, Dataset>, String> {
    let file = start.folder.join("given");
    let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    let mut outputs = BTreeMap::new();
    for line in text.lines() {
        let Given { time, dataset } = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let interval = start.case.field("batch_interval_ms").as_u64().unwrap_or(1000);
        let may_be_again = time.unsigned_abs() == crash_after * interval;
        if let Some(before) = outputs.insert(time, dataset.clone())
            && !(may_be_again && before == dataset)
        {
            return Err(format!("{time} ms was given out twice: {before:?} and {dataset:?}"));
        }
    }
    if start.case.field("output")["op"] == "save" {
        for (time, dataset) in &mut outputs {
            dataset.records = saved(&start.folder.join("saved").join(time.to_string()))?;
        }
    }
    Ok(outputs)
}

/// The records in the files of an interval.
fn saved(folder: &Path) -> Result<Vec<Value>, String> {
    let cannot = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", folder.display());
    let mut records = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| cannot(&error))? {
        let path = entry.map_err(|error| cannot(&error))?.path();
        let text = fs::read_to_string(path).map_err(|error| cannot(&error))?;
        for line in text.lines() {
            records.push(serde_json::from_str(line).map_err(|error| cannot(&error))?);
        }
    }
    Ok(records)
}
