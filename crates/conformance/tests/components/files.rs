//! `queue_and_files`: folders, and records received from many threads.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, SystemTime},
};

use cutwater::{
    Context, Error,
    source::{Intake, Receiver},
    testing::{Harness, Watched},
};
use serde_json::Value;

use super::{case, int, ms, rows, text};

/// Writes a file as of `ms` milliseconds after zero time, which is where the clock of a harness begins.
fn write(path: &Path, ms: i64, content: impl AsRef<[u8]>) {
    fs::write(path, content).unwrap();
    let after = Duration::from_millis(ms.unsigned_abs());
    let epoch = SystemTime::UNIX_EPOCH;
    File::open(path).unwrap().set_modified(if ms < 0 { epoch - after } else { epoch + after }).unwrap();
}

fn harness(case: &Value) -> Harness {
    Harness::new(ms(&case["batch_interval_ms"]))
}

fn seen(watched: &Watched<String>) -> BTreeSet<String> {
    watched.all().into_iter().flatten().flatten().collect()
}

fn set(value: &Value) -> BTreeSet<String> {
    value.as_array().unwrap().iter().map(|name| text(name).to_owned()).collect()
}

#[test]
fn a_folder_gives_new_files_or_all() {
    let case = case("queue_and_files", 6);
    let batch = int(&case["batch_interval_ms"]);
    for row in rows(&case, "table") {
        let dir = tempfile::tempdir().unwrap();
        for file in rows(&case, "existing") {
            let before_start = int(&file["mtime"]) - int(&case["start_clock"]);
            write(&dir.path().join(text(&file["name"])), before_start, text(&file["content"]));
        }
        let harness = harness(&case);
        let source = harness.ctx().source("folder");
        let new_only = row["new_files_only"].as_bool().unwrap();
        let source = if new_only { source } else { source.include_existing() };
        let watched = harness.watch(&source.watch_folder(dir.path()));
        for file in rows(&case, "create") {
            let n: i64 =
                text(&file["at"]).strip_prefix("half a batch before batch ").unwrap().parse().unwrap();
            write(&dir.path().join(text(&file["name"])), n * batch - batch / 2, text(&file["content"]));
            harness.advance(1).unwrap();
        }
        harness.advance(1).unwrap();
        assert_eq!(seen(&watched), set(&row["expected_set"]), "{row}");
    }
}

#[test]
fn a_pattern_stands_for_many_folders() {
    let case = case("queue_and_files", 7);
    let dir = tempfile::tempdir().unwrap();
    for name in rows(&case, "subdirs") {
        fs::create_dir(dir.path().join(text(name))).unwrap();
    }
    let harness = Harness::new(Duration::from_secs(1));
    let pattern = text(&case["pattern"]).replace("<dir>", dir.path().to_str().unwrap());
    let watched = harness.watch(&harness.ctx().source("folders").watch_folder(pattern));
    for (folder, n) in rows(&case, "create").iter().zip(0..) {
        for (name, i) in rows(folder, "names").iter().zip(0..) {
            let path = dir.path().join(text(&folder["dir"])).join(name.to_string());
            write(&path, 1_000 * n + 100 * (i + 1), name.to_string());
        }
        harness.advance(1).unwrap();
    }
    assert_eq!(seen(&watched), set(&case["expected_set"]));
}

#[test]
fn records_of_a_fixed_size() {
    let case = case("queue_and_files", 8);
    let bytes = |list: &Value| list.as_array().unwrap().iter().map(|b| int(b) as u8).collect::<Vec<_>>();
    let dir = tempfile::tempdir().unwrap();
    let harness = harness(&case);
    let source = harness.ctx().source("records");
    let records = source.watch_folder_records(dir.path(), int(&case["record_length"]) as usize);
    let watched = harness.watch(&records);
    let batch = int(&case["batch_interval_ms"]);
    for (file, n) in rows(&case, "files").iter().zip(1..) {
        write(&dir.path().join(format!("{n}")), n * batch - batch / 2, bytes(file));
        harness.advance(1).unwrap();
    }
    let expected: Vec<_> = rows(&case, "expected").iter().map(bytes).collect();
    let seen: Vec<_> = watched.all().into_iter().flatten().map(|records| records.concat()).collect();
    assert_eq!(seen, expected);
    assert!(watched.all().into_iter().flatten().flatten().all(|record| record.len() == 1));
}

#[test]
fn of_a_renamed_folder_the_fresh_file_is_read() {
    let case = case("queue_and_files", 9);
    let batch = int(&case["batch_interval_ms"]);
    let dir = tempfile::tempdir().unwrap();
    let (outside, inside) = (dir.path().join("elsewhere"), dir.path().join("watched"));
    fs::create_dir_all(&outside).unwrap();
    fs::create_dir_all(&inside).unwrap();
    write(&outside.join("existing"), -batch, "existing");
    let harness = harness(&case);
    let watched = harness.watch(&harness.ctx().source("folders").watch_folder(inside.join("*")));
    harness.advance(1).unwrap();
    write(&outside.join("renamed.txt"), batch, "renamed");
    fs::rename(&outside, inside.join("moved")).unwrap();
    harness.advance(1).unwrap();
    assert_eq!(seen(&watched), set(&case["expected_set"]));
}

/// `queue_and_files/010`: threshold = max(start if new files only, batch − 60 s), exclusive; up to the end of
/// the interval, inclusive; not one selected before; no dot; the filter.
#[test]
fn the_rule_of_new_files() {
    assert_eq!(rows(&case("queue_and_files", 10), "rules").len(), 5);
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str, ms: i64| write(&dir.path().join(name), ms, name);
    let harness = Harness::new(Duration::from_secs(2));
    let source = harness.ctx().source("folder").file_filter(|path| !path.ends_with("unwanted"));
    let watched = harness.watch(&source.watch_folder(dir.path()));
    at("at the start", 0);
    at("at the end", 2_000);
    at("in the next", 2_001);
    at("unwanted", 1_000);
    at(".hidden", 1_000);
    harness.advance(1).unwrap();
    assert_eq!(seen(&watched), ["at the end".to_owned()].into());
    harness.advance(1).unwrap();
    // Selected and changed since, and one that is seen late.
    at("at the end", 5_000);
    harness.advance(1).unwrap();
    assert_eq!(watched.all()[2], Some(Vec::new()));
    // After a minute nobody would remember that it was selected.
    fs::remove_file(dir.path().join("at the end")).unwrap();
    harness.advance(29).unwrap();
    at("seen in time", 6_001);
    at("seen too late", 6_000);
    harness.advance(1).unwrap();
    let all = ["at the end", "in the next", "seen in time"].map(str::to_owned);
    assert_eq!(watched.all().into_iter().flatten().flatten().collect::<Vec<_>>(), all);
}

#[test]
fn many_threads_into_one_source_lose_nothing() {
    let case = case("queue_and_files", 11);
    let (threads, each) = (int(&case["threads"]), int(&case["records_per_thread"]));
    let ctx = Context::builder("test").interval(Duration::from_millis(5)).threads(2).handle_signals(false);
    let ctx = ctx.build().unwrap();
    let (sender, numbers) = ctx.channel::<i64>("numbers");
    let seen = Arc::new((AtomicI64::new(0), AtomicI64::new(0)));
    let to = seen.clone();
    numbers.for_each_rdd(move |rdd, _| {
        let records = rdd.collect()?;
        to.0.fetch_add(records.len() as i64, SeqCst);
        to.1.fetch_add(records.iter().sum(), SeqCst);
        Ok::<(), Error>(())
    });
    let running = ctx.start().unwrap();
    let total = threads * each;
    let senders: Vec<_> = (0..threads)
        .map(|thread| {
            let sender = sender.clone();
            thread::spawn(move || (0..each).for_each(|n| sender.send(thread * each + n).unwrap()))
        })
        .collect();
    drop(sender);
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    running.wait().unwrap();
    assert_eq!(total, int(&case["expected_total"]));
    assert_eq!((seen.0.load(SeqCst), seen.1.load(SeqCst)), (total, total * (total - 1) / 2));
}

/// Produces until it is told to stop, and counts what was taken.
struct Counting(Arc<AtomicU64>);

impl Receiver<u64> for Counting {
    fn receive(&mut self, intake: &Intake<u64>) -> Result<(), Error> {
        while intake.push(self.0.load(SeqCst), 8).is_ok() {
            self.0.fetch_add(1, SeqCst);
            if intake.sleep(Duration::from_micros(200)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

#[test]
fn a_graceful_stop_processes_all_that_was_received() {
    let case = case("queue_and_files", 12);
    for _ in 0..4 {
        let ctx = Context::builder("test").interval(ms(&case["batch_interval_ms"])).threads(2);
        let ctx = ctx.handle_signals(false).build().unwrap();
        let (produced, processed) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let numbers = ctx.source("counting").receiver(Counting(produced.clone()));
        let (to, stop) = (processed.clone(), ctx.clone());
        numbers.for_each_rdd(move |rdd, _| {
            // As soon as something was processed, in the middle of an interval.
            if to.fetch_add(rdd.count()?, SeqCst) > 0 {
                stop.stop();
            }
            Ok::<(), Error>(())
        });
        ctx.run().unwrap();
        assert_eq!(processed.load(SeqCst), produced.load(SeqCst));
        assert!(processed.load(SeqCst) > 0);
    }
}
