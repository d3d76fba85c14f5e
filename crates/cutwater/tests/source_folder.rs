//! A watched folder: which files are taken when, how much of them, and what goes wrong with folders.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::{self, File},
    path::Path,
    time::{Duration, SystemTime},
};

use cutwater::{Context, ErrorKind, ErrorPolicy, testing::Harness};
use support::Watch;

fn harness() -> Harness {
    Harness::new(Duration::from_secs(1))
}

/// Writes a file as of `ms` milliseconds after zero time.
fn write(dir: &Path, name: &str, ms: u64, text: impl AsRef<[u8]>) {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    File::open(&path).unwrap().set_modified(SystemTime::UNIX_EPOCH + Duration::from_millis(ms)).unwrap();
}

fn strings(lines: &[&str]) -> Option<Vec<String>> {
    Some(lines.iter().map(|line| (*line).to_owned()).collect())
}

#[test]
fn files_are_lines_of_the_interval_in_which_they_appear() {
    let dir = tempfile::tempdir().unwrap();
    let harness = harness();
    let watched = harness.watch(&harness.ctx().source("logs").watch_folder(dir.path()));
    harness.advance(1).unwrap();
    write(dir.path(), "b", 1_500, "b 1\nb 2");
    write(dir.path(), "a", 1_900, "a 1\r\n");
    write(dir.path(), ".c", 1_500, "half written\n");
    fs::create_dir(dir.path().join("folder")).unwrap();
    harness.advance(1).unwrap();
    // A file that is written on, and one that is moved in complete.
    write(dir.path(), "b", 2_500, "b 1\nb 2\nb 3\n");
    fs::rename(dir.path().join(".c"), dir.path().join("c")).unwrap();
    harness.advance(2).unwrap();
    let expected = [strings(&[]), strings(&["b 1", "b 2", "a 1"]), strings(&["half written"]), strings(&[])];
    assert_eq!(watched.all(), expected);
}

#[test]
fn files_from_before_the_start_are_taken_only_if_it_is_said() {
    for existing in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), "old", 0, "old\n");
        write(dir.path(), "old.tmp", 0, "not wanted\n");
        write(dir.path(), "new", 1_000, "new\n");
        let harness = harness();
        let source = harness.ctx().source("logs").file_filter(|path| path.extension().is_none());
        let source = if existing { source.include_existing() } else { source };
        let watched = harness.watch(&source.watch_folder(dir.path()));
        harness.advance(2).unwrap();
        let first = if existing { strings(&["old", "new"]) } else { strings(&["new"]) };
        assert_eq!(watched.all(), [first, strings(&[])]);
    }
}

#[test]
fn an_interval_takes_no_more_bytes_than_its_bound_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let lines: Vec<_> = (0..100).map(|n| format!("line {n:04}")).collect();
    // Two files of 500 bytes each.
    for (name, part) in ["a", "b"].iter().zip(lines.chunks(50)) {
        write(dir.path(), name, 500, part.join("\n") + "\n");
    }
    let harness = harness();
    let source = harness.ctx().source("logs").interval_bytes_max(300);
    let watched = harness.watch(&source.watch_folder(dir.path()));
    let reports: Vec<_> = (0..5).map(|_| harness.step().unwrap().sources[0].taken.clone()).collect();
    let all: Vec<_> = watched.all().into_iter().flatten().flatten().collect();
    assert_eq!(all, lines);
    assert_eq!(reports.iter().map(|taken| taken.records).collect::<Vec<_>>(), [30, 30, 30, 10, 0]);
    // Each file had to wait, and is counted once.
    assert_eq!(reports.iter().map(|taken| taken.deferred).collect::<Vec<_>>(), [2, 0, 0, 0, 0]);
}

#[test]
fn large_files_are_read_by_many_tasks_and_compressed_ones_by_one() {
    let dir = tempfile::tempdir().unwrap();
    let large: String = (0..300_000).map(|n| format!("{n:09}\n")).collect();
    write(dir.path(), "large", 500, &large);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut gzip, b"from a gzip\n").unwrap();
    write(dir.path(), "small.gz", 600, gzip.finish().unwrap());
    let harness = harness();
    let lines = harness.ctx().source("logs").watch_folder(dir.path());
    let watched = harness.watch(&lines.map_partitions(|part| [part.len() as u64]));
    harness.advance(1).unwrap();
    let counts = watched.all().remove(0).unwrap();
    assert_eq!(counts.len(), 3);
    assert!(counts[0] > 100_000 && counts[0] + counts[1] == 300_000 && counts[2] == 1, "{counts:?}");
}

#[test]
fn a_folder_that_is_not_there_is_a_fault() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::local(1);
    ctx.source("logs").watch_folder(dir.path().join("missing")).print();
    ctx.source("days").watch_folder(dir.path().join("gone").join("day=*")).print();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("logs: cannot list") && text.contains("missing: No such file"), "{text}");
    assert!(text.contains("days: cannot list") && text.contains("gone: No such file"), "{text}");
}

#[test]
fn a_folder_that_goes_away_gives_empty_intervals_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("logs");
    fs::create_dir(&path).unwrap();
    let harness = harness();
    let watched = harness.watch(&harness.ctx().source("logs").watch_folder(&path));
    write(&path, "a", 500, "a\n");
    harness.advance(1).unwrap();
    fs::rename(&path, dir.path().join("away")).unwrap();
    harness.advance(1).unwrap();
    write(&dir.path().join("away"), "b", 1_500, "b\n");
    fs::rename(dir.path().join("away"), &path).unwrap();
    harness.advance(1).unwrap();
    assert_eq!(watched.all(), [strings(&["a"]), strings(&[]), strings(&["b"])]);
}

#[test]
fn a_file_that_vanishes_before_it_is_read_fails_the_interval_and_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let harness = harness();
    let source = harness.ctx().source("logs").watch_folder(dir.path());
    write(dir.path(), "fleeting", 500, "gone\n");
    let path = dir.path().join("fleeting");
    // The first output comes before anything reads the file.
    source.for_each_rdd(move |_, _| {
        let _ = fs::remove_file(&path);
    });
    let watched = harness.watch(&source);
    let error = harness.step().unwrap().failure.unwrap();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(error.to_string().contains("fleeting: No such file"), "{error}");
    // It was set aside; the next interval has nothing to do with it.
    harness.advance(1).unwrap();
    assert_eq!(watched.all().last(), Some(&strings(&[])));
}

#[test]
fn lines_that_are_no_text_go_to_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    let letters = dir.path().join(".rejected.jsonl");
    let harness = harness();
    let source = harness.ctx().source("logs").on_error(ErrorPolicy::dead_letter_file(&letters));
    let watched = harness.watch(&source.watch_folder(dir.path()));
    write(dir.path(), "mixed", 500, b"fine\n\xff\nalso fine\n");
    let report = harness.step().unwrap();
    assert_eq!((report.records(), report.malformed()), (2, 1));
    assert_eq!(watched.all(), [strings(&["fine", "also fine"])]);
    let letters = support::letters(&letters);
    assert_eq!((&letters[0]["hex"], &letters[0]["offset"]), (&"ff".into(), &5.into()));
    assert_eq!(letters[0]["interval"], "1970-01-01T00:00:01Z");
    assert_eq!(letters[0]["place"], dir.path().join("mixed").display().to_string());
}

#[test]
fn a_running_program_sees_files_appear_and_stops_when_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = support::program();
    let seen = Watch::of(&ctx.source("logs").watch_folder(dir.path()));
    let reports = support::reports(&ctx);
    let running = support::run(&ctx);
    reports.wait_until(|taken| !taken.is_empty());
    for n in 0..3 {
        fs::write(dir.path().join(".part"), format!("line {n}\n")).unwrap();
        fs::rename(dir.path().join(".part"), dir.path().join(n.to_string())).unwrap();
        seen.wait_for(n + 1);
    }
    running.stop().unwrap();
    assert_eq!(seen.all(), ["line 0", "line 1", "line 2"]);
}

/// A kept copy of what a source reads is read by tasks of its own, which find the same; it counts once.
#[test]
fn what_is_read_for_a_kept_copy_is_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a", 500, b"one\n\xff\nthree\n");
    let harness = harness();
    let lines = harness.ctx().source("logs").on_error(ErrorPolicy::Skip).watch_folder(dir.path());
    let kept = lines.cache();
    let watched =
        [harness.watch(&kept), harness.watch(&kept.window(Duration::from_secs(2), Duration::from_secs(1)))];
    let plain = harness.watch(&lines);
    let report = harness.step().unwrap();
    assert_eq!((report.records(), report.malformed()), (2, 1));
    assert!(watched.iter().chain([&plain]).all(|w| w.all() == [strings(&["one", "three"])]));
}
