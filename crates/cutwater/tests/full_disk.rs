//! A disk that is full: the error names the file and says what to do, and when there is room again the program goes on
//! and nothing is missing. The disks are real filesystems of a few megabytes, which take root to be mounted; without it these
//! tests say that they were skipped.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env,
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use cutwater::{
    Builder, Context, DStream, OnFailure, StorageLevel,
    output::{FileSink, committed},
    testing::{Harness, Watched},
};

const SECOND: Duration = Duration::from_secs(1);
/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

struct Disk(tempfile::TempDir);

impl Disk {
    /// One of four megabytes; `None`, and a word about it, if none can be mounted here.
    fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        let mount = mount.args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(folder.path()).output();
        match mount {
            Ok(mounted) if mounted.status.success() => Some(Self(folder)),
            refused => {
                println!("skipped: no filesystem can be mounted here: {refused:?}");
                None
            }
        }
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn fill(&self, left: u64) {
        fill(self.path(), left);
    }

    fn make_room(&self) {
        make_room(self.path());
    }
}

/// Fills the disk of a folder until only so many bytes are left.
fn fill(folder: &Path, left: u64) {
    let mut filler = File::create(folder.join("filler")).unwrap();
    let error = loop {
        if let Err(error) = filler.write_all(&[1; 1024]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    filler.set_len(filler.metadata().unwrap().len() - left).unwrap();
}

fn make_room(folder: &Path) {
    // A process that another test is starting at this moment has all files open, and this one would stay until then.
    File::create(folder.join("filler")).unwrap();
    fs::remove_file(folder.join("filler")).unwrap();
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.path()).status();
    }
}

/// What somebody who reads the error needs.
fn assert_says_what_to_do(said: &str, path: &Path) {
    let is_named = said.contains(path.to_str().unwrap());
    assert!(is_named && said.contains("No space left") && said.contains("make room there"), "{said}");
}

/// One record in each interval: its number.
fn numbers(harness: &Harness) -> DStream<u64> {
    harness.input((1..200u64).map(|number| vec![number]))
}

/// A state that grows by 100 kB in each interval, and how many there are of it.
fn growing(durable: &Path) -> (Harness, Watched<usize>) {
    let builder = Context::builder("full").interval(SECOND).threads(2).checkpoint_intervals(2);
    let harness = Harness::with(builder.checkpoint(durable.to_str().unwrap()), 1);
    let texts = numbers(&harness).map(|number| (number, "x".repeat(100_000)));
    let lengths = texts.running_reduce(|a, b| a + &b).map(|(_, text)| text.len());
    let seen = harness.watch(&lengths.reduce(|a, b| a + b));
    (harness, seen)
}

fn last(seen: &Watched<usize>) -> usize {
    seen.all().pop().flatten().unwrap()[0]
}

/// The names of the checkpoints that are there.
fn checkpoints(durable: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(durable.join("checkpoints")).into_iter().flatten();
    let mut names: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    names.sort();
    names
}

/// Waits until there is a checkpoint that was not there before.
fn wait_for_another(durable: &Path, before: &[PathBuf]) {
    let until = Instant::now() + PATIENCE;
    while checkpoints(durable).last() == before.last() {
        assert!(Instant::now() < until, "there is no other checkpoint than {before:?}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// There is room for the log and not for the states: intervals go on, and so do states once there is room.
#[test]
fn states_are_written_again_when_there_is_room() {
    let Some(disk) = Disk::mount() else { return };
    let durable = disk.path().join("durable");
    let (harness, seen) = growing(&durable);
    harness.advance(2).unwrap();
    wait_for_another(&durable, &[]);
    disk.fill(90_000);
    harness.advance(3).unwrap();
    disk.make_room();
    let before = checkpoints(&durable);
    // One may have failed before there was room and be known of only now.
    harness.advance(4).unwrap();
    assert_eq!(last(&seen), 900_000);
    wait_for_another(&durable, &before);
    drop(harness);
    let (harness, seen) = growing(&durable);
    harness.advance(1).unwrap();
    assert_eq!(last(&seen), 1_000_000);
}

/// If there is never room again, an interval says so before what states are made from has grown without bound; and
/// when the program is started again with room, nothing is missing.
#[test]
fn states_that_find_no_room_for_long_stop_the_program() {
    let Some(disk) = Disk::mount() else { return };
    let durable = disk.path().join("durable");
    let (harness, _seen) = growing(&durable);
    harness.advance(2).unwrap();
    wait_for_another(&durable, &[]);
    disk.fill(90_000);
    let failed = (0..20).find_map(|_| harness.step().unwrap().failure).expect("it ends at some time");
    assert_says_what_to_do(&failed.to_string(), &durable);
    drop(harness);
    disk.make_room();
    let (harness, seen) = growing(&durable);
    let report = harness.step().unwrap();
    assert_eq!(last(&seen) as u64, report.number * 100_000);
}

/// Without room for what an interval's input was, nothing of it is given out, and the program stops whatever its
/// settings say of failures; started again, it says at once that there is no room, or goes on.
#[test]
fn a_log_without_room_stops_the_program() {
    let Some(disk) = Disk::mount() else { return };
    let durable = disk.path().join("durable");
    let (harness, seen) = growing(&durable);
    harness.advance(3).unwrap();
    disk.fill(0);
    let failed = harness.step().unwrap().failure.expect("there is no room");
    assert_says_what_to_do(&failed.to_string(), &durable);
    assert_eq!(seen.all().len(), 3);
    drop(harness);
    let again = Context::builder("full").interval(SECOND).checkpoint(durable.to_str().unwrap());
    assert_says_what_to_do(&again.build().err().unwrap().to_string(), &durable);
    disk.make_room();
    let (harness, seen) = growing(&durable);
    while harness.step().unwrap().number < 5 {}
    assert_eq!(last(&seen), 500_000);
}

/// A program whose numbers go into files.
fn into_files(builder: Builder, into: &Path) -> Harness {
    let harness = Harness::with(builder, 1);
    let texts = numbers(&harness).map(|number| format!("{number} {}", "x".repeat(9_000)));
    texts.sink(FileSink::text(into));
    harness
}

/// The numbers that were committed.
fn committed_numbers(into: &Path) -> Vec<u64> {
    let lines = committed(into).unwrap().into_iter().flat_map(|interval| interval.lines().unwrap());
    lines.map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect()
}

#[test]
fn a_sink_without_room_stops_the_program_and_has_all_when_it_goes_on() {
    let Some(disk) = Disk::mount() else { return };
    let (dir, into) = (tempfile::tempdir().unwrap(), disk.path().join("into"));
    let builder = || Context::builder("full").interval(SECOND).checkpoint(dir.path().to_str().unwrap());
    let harness = into_files(builder(), &into);
    harness.advance(3).unwrap();
    drop(harness);
    // For a part of what is to be written there is room, or for the file and not for the log.
    for left in [0, 4_096, 12_288] {
        let before = committed_numbers(&into);
        disk.fill(left);
        let harness = into_files(builder(), &into);
        let failed = harness.step().map(|report| report.failure.expect("there is no room"));
        assert_says_what_to_do(&failed.unwrap_or_else(|error| error).to_string(), &into);
        drop(harness);
        disk.make_room();
        assert_eq!(committed_numbers(&into), before);
        let harness = into_files(builder(), &into);
        harness.advance(1).unwrap();
    }
    assert_eq!(committed_numbers(&into), (1..=6).collect::<Vec<_>>());
}

#[test]
fn a_sink_without_room_sets_intervals_aside_where_the_program_is_to_go_on() {
    let Some(disk) = Disk::mount() else { return };
    let into = disk.path().join("into");
    let builder = Context::builder("full").interval(SECOND).on_failure(OnFailure::Continue);
    let harness = into_files(builder, &into);
    harness.advance(1).unwrap();
    disk.fill(0);
    for _ in 0..2 {
        let failed = harness.step().unwrap().failure.expect("there is no room");
        assert_says_what_to_do(&failed.to_string(), &into);
    }
    disk.make_room();
    harness.advance(1).unwrap();
    assert_eq!(committed_numbers(&into), [1, 4]);
}

/// In a process of its own, whose folder for temporary files is the disk.
#[test]
fn partitions_kept_on_a_disk_without_room_fail_their_interval() {
    const DURABLE: &str = "CUTWATER_TEST_DURABLE";
    if let Some(durable) = env::var_os(DURABLE) {
        return keep_on_disk(&env::temp_dir(), Path::new(&durable));
    }
    let Some(disk) = Disk::mount() else { return };
    let durable = tempfile::tempdir().unwrap();
    let test = thread::current().name().unwrap().to_owned();
    let output = Command::new(env::current_exe().unwrap())
        .args([&test, "--exact", "--nocapture"])
        .env("TMPDIR", disk.path())
        .env(DURABLE, durable.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let left: Vec<_> = fs::read_dir(disk.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(left.is_empty(), "{left:?}");
}

fn keep_on_disk(disk: &Path, durable: &Path) {
    let start = || {
        let builder = Context::builder("full").interval(SECOND).checkpoint(durable.to_str().unwrap());
        let harness = Harness::with(builder, 1);
        let texts = numbers(&harness).map(|number| format!("{number} {}", "x".repeat(50_000)));
        let texts = texts.persist(StorageLevel::Disk);
        let seen = harness.watch(&texts.map(|text| text.len()));
        let firsts = texts.map(|text| text.split(' ').next().unwrap().parse::<u64>().unwrap());
        let firsts = harness.watch(&firsts.window(3 * SECOND, SECOND));
        (harness, seen, firsts)
    };
    let (harness, _seen, firsts) = start();
    harness.advance(3).unwrap();
    assert_eq!(firsts.all().pop().flatten().unwrap(), [1, 2, 3]);
    fill(disk, 10_000);
    let failed = harness.step().unwrap().failure.expect("there is no room");
    assert_says_what_to_do(&failed.to_string(), disk);
    make_room(disk);
    drop(harness);
    let (harness, _seen, firsts) = start();
    harness.advance(2).unwrap();
    assert_eq!(firsts.all().pop().flatten().unwrap(), [3, 4, 5]);
}
