//! `checkpoint_recovery`: a program of files that ends in the midst of an interval and is started again.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    process::Command,
    time::{Duration, SystemTime},
};

use cutwater::{Context, Error, testing::Harness};
use serde_json::Value;

use super::{case, int, ms, rows, text};

/// The folder of a process that was started as the program.
const FOLDER: &str = "CUTWATER_TEST_RECOVERY_FOLDER";

/// Puts the numbers of `files` into the folder, each at the middle of the interval of its name.
fn put(folder: &Path, interval_ms: u64, files: &Value) {
    for (name, number) in files.as_object().unwrap() {
        let path = folder.join("in").join(name);
        fs::write(&path, number.to_string()).unwrap();
        let interval: u64 = name.parse().unwrap();
        let at = Duration::from_millis(interval * interval_ms - interval_ms / 2);
        File::open(path).unwrap().set_modified(SystemTime::UNIX_EPOCH + at).unwrap();
    }
}

/// Runs the program up to interval `last`; it ends the process in interval `crash_in`, before that gives anything out.
fn program(case: &Value, folder: &Path, crash_in: Option<u64>, last: u64) {
    let (interval, operation) = (ms(&case["batch_interval_ms"]), &case["operation"]);
    let builder = Context::builder("files").interval(interval).threads(1);
    let harness = Harness::with(builder.checkpoint(folder.join("checkpoints").to_str().unwrap()), 1);
    let numbers = harness.ctx().source("in").watch_folder(folder.join("in"));
    let numbers = numbers.map(|line: String| line.parse::<i64>().unwrap_or_default());
    let sums =
        numbers.reduce_by_window(|a, b| a + b, ms(&operation["window_ms"]), ms(&operation["slide_ms"]));
    let given = folder.join("given");
    sums.for_each_rdd(move |rdd, t| {
        let sums = rdd.collect()?;
        if crash_in == Some(t.as_ms().unsigned_abs() / interval.as_millis() as u64) {
            std::process::abort();
        }
        let mut file = OpenOptions::new().append(true).create(true).open(&given).unwrap();
        writeln!(file, "{} {}", t.as_ms(), sums[0]).unwrap();
        Ok::<(), Error>(())
    });
    loop {
        let report = harness.step().unwrap();
        assert!(report.failure.is_none(), "{:?}", report.failure);
        if report.number >= last {
            return;
        }
    }
}

/// By intervals; none was given out twice.
fn given(folder: &Path) -> Vec<i64> {
    let mut given = BTreeMap::new();
    for line in fs::read_to_string(folder.join("given")).unwrap().lines() {
        let (time, sum) = line.split_once(' ').unwrap();
        let before = given.insert(time.parse::<i64>().unwrap(), sum.parse().unwrap());
        assert!(before.is_none(), "{time} ms was given out twice");
    }
    given.into_values().collect()
}

fn list(value: &Value) -> Vec<i64> {
    value.as_array().unwrap().iter().map(int).collect()
}

#[test]
fn files_are_read_once_whenever_the_program_crashes() {
    let case = case("checkpoint_recovery", 7);
    let script = rows(&case, "script");
    let crash_in = text(&script[0]["crash_during"]).strip_prefix("batch ").unwrap().parse().unwrap();
    if let Ok(folder) = env::var(FOLDER) {
        return program(&case, Path::new(&folder), Some(crash_in), crash_in);
    }
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    let interval_ms = int(&case["batch_interval_ms"]).unsigned_abs();
    // The rule of new files gives one to each interval.
    put(dir.path(), interval_ms, &script[0]["files"]);
    let test = std::thread::current().name().unwrap().to_owned();
    let crashed = Command::new(env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .env(FOLDER, dir.path())
        .output()
        .unwrap();
    assert!(!crashed.status.success(), "it was to crash");
    let expected = &case["expected"];
    assert_eq!(given(dir.path()), list(&expected["output_before_crash"]));
    put(dir.path(), interval_ms, &script[1]["while_down"]);
    put(dir.path(), interval_ms, &script[3]["files"]);
    let all = list(&expected["set_of_all_outputs"]);
    program(&case, dir.path(), None, all.len() as u64);
    assert_eq!(given(dir.path()), all);
}
