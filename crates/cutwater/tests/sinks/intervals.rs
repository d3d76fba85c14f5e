//! When the engine commits, and when it does not.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    time::Duration,
};

use cutwater::{
    Context, Error, ErrorKind, OnFailure, Time,
    output::{Commit, FileSink, Part, Records, Sink},
    testing::Harness,
};
use serde::{Deserialize, Serialize};

use super::{SECOND, lines};

fn text(harness: &Harness, intervals: &[&[&str]]) -> cutwater::DStream<String> {
    let owned = |lines: &&[&str]| lines.iter().map(|line| line.to_string()).collect();
    harness.input(intervals.iter().map(owned).collect::<Vec<_>>())
}

/// Also an output after it that fails keeps an interval from being committed, and the next one goes on.
#[test]
fn an_interval_that_fails_commits_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::new(SECOND);
    let input = text(&harness, &[&["a"], &["b"], &["c"]]);
    input.sink(FileSink::text(dir.path()));
    input.for_each_rdd(|_, t| if t.as_ms() == 2000 { Err(Error::user("no")) } else { Ok(()) });
    for _ in 0..3 {
        harness.step().unwrap();
    }
    assert_eq!(lines(dir.path()), [(1000, vec!["a".to_owned()]), (3000, vec!["c".to_owned()])]);
    let staged: Vec<_> = std::fs::read_dir(dir.path().join("parts")).unwrap().flatten().collect();
    assert_eq!(staged.len(), 2, "what the failed one has staged is discarded");
}

/// A sink is asked for how far it is, and not filled twice.
#[test]
fn a_program_that_starts_again_goes_on_after_the_last_commit() {
    let dir = tempfile::tempdir().unwrap();
    static COMPUTED: AtomicU32 = AtomicU32::new(0);
    let run = |intervals| {
        let harness = Harness::new(SECOND);
        let input = text(&harness, &[&["a"], &["b", "c"], &["d"]]);
        let counted = input.map(|line| {
            COMPUTED.fetch_add(1, Relaxed);
            line
        });
        counted.sink(FileSink::text(dir.path()));
        harness.advance(intervals).unwrap();
    };
    run(2);
    assert_eq!(COMPUTED.load(Relaxed), 3);
    run(3);
    assert_eq!(COMPUTED.load(Relaxed), 4, "what is committed is not even computed");
    let all: Vec<String> = lines(dir.path()).into_iter().flat_map(|(_, lines)| lines).collect();
    assert_eq!(all, ["a", "b", "c", "d"]);
}

/// An interval without a dataset is none to commit, one with an empty dataset is.
#[test]
fn no_dataset_is_no_commit() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::new(SECOND);
    harness.input_or_none([Some(vec!["a".to_owned()]), None, Some(vec![])]).sink(FileSink::text(dir.path()));
    harness.advance(3).unwrap();
    assert_eq!(lines(dir.path()), [(1000, vec!["a".to_owned()]), (3000, vec![])]);
}

#[test]
fn a_stream_that_slides_commits_when_it_has_something() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::new(SECOND);
    text(&harness, &[&["a"], &["b"], &["c"], &["d"]])
        .window(2 * SECOND, 2 * SECOND)
        .sink(FileSink::text(dir.path()));
    harness.advance(4).unwrap();
    assert_eq!(
        lines(dir.path()).iter().map(|(t, all)| (*t, all.len())).collect::<Vec<_>>(),
        [(2000, 2), (4000, 2)]
    );
}

/// A program that goes on after failures stops at this one: nothing that it does counts.
#[test]
fn a_master_after_another_one_stops() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::builder("old")
        .interval(Duration::from_millis(5))
        .threads(1)
        .handle_signals(false)
        .on_failure(OnFailure::Continue)
        .build()
        .unwrap();
    let (sender, stream) = ctx.channel::<String>("lines");
    stream.sink(FileSink::text(dir.path()));
    let folder = dir.path().to_owned();
    stream.for_each_rdd(move |_, _| {
        // Another master begins, whose epoch is larger since it begins later.
        let other = Harness::new(SECOND);
        other.input([vec!["x".to_owned()]]).sink(FileSink::text(&folder));
        other.advance(1)
    });
    sender.send("a".to_owned()).unwrap();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Fenced, "{error}");
    assert!(error.to_string().contains("another master has taken over"), "{error}");
    assert_eq!(lines(dir.path()), [(1000, vec!["x".to_owned()])]);
}

/// What a sink of the tests below is told to do: how many of its next calls fail, and what it has seen.
static CALLS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WRITES_FAIL: AtomicU32 = AtomicU32::new(0);
static COMMITS_FAIL: AtomicU32 = AtomicU32::new(0);

#[derive(Clone, Serialize, Deserialize)]
struct Recorded {
    takes_all: bool,
}

fn fails(times: &AtomicU32) -> Result<(), Error> {
    match times.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)) {
        Ok(_) => Err(Error::external("away for a moment")),
        Err(_) => Ok(()),
    }
}

impl Sink<u32> for Recorded {
    type Token = u32;

    fn open(&self, _: u64) -> Result<Option<Time>, Error> {
        Ok(None)
    }

    fn write(&self, part: &Part, records: Records<'_, u32>) -> Result<u32, Error> {
        if !self.takes_all {
            return Ok(0);
        }
        fails(&WRITES_FAIL)?;
        records.each(|_| Ok(()))?;
        Ok(part.partition)
    }

    fn commit(&self, commit: &Commit<'_, u32>) -> Result<(), Error> {
        CALLS.lock().unwrap().push(format!("commit {} {:?}", commit.interval.as_ms(), commit.tokens));
        fails(&COMMITS_FAIL)
    }

    fn discard(&self, interval: Time, _: &[u32]) -> Result<(), Error> {
        CALLS.lock().unwrap().push(format!("discard {}", interval.as_ms()));
        Err(Error::external("no matter"))
    }
}

/// Tasks and commits that fail for reasons outside are tried again after a pause, so often and no more; tokens come in the
/// order of partitions. One test, since the sink's memory is one.
#[test]
fn failures_outside_are_tried_again() {
    let harness = Harness::new(SECOND);
    harness.input([vec![1, 2, 3], vec![4], vec![5], vec![6]]).sink(Recorded { takes_all: true });
    let calls = || std::mem::take(&mut *CALLS.lock().unwrap());

    // More often than both tasks may fail: the sink was away before it was given a record.
    WRITES_FAIL.store(7, Relaxed);
    COMMITS_FAIL.store(3, Relaxed);
    harness.advance(1).unwrap();
    let commit = "commit 1000 [0, 1]".to_owned();
    assert_eq!(calls(), [commit.clone(), commit.clone(), commit.clone(), commit, "discard 1000".to_owned()]);

    COMMITS_FAIL.store(8, Relaxed);
    let report = harness.step().unwrap();
    assert_eq!(report.failure.unwrap().kind(), ErrorKind::External);
    assert!(report.outputs[0].failure.is_some());
    assert_eq!(calls().len(), 8);

    // It may be committed all the same, so nothing of it is discarded.
    harness.advance(1).unwrap();
    assert_eq!(calls(), ["commit 3000 [0, 1]", "discard 3000"]);
    WRITES_FAIL.store(100, Relaxed);
    assert_eq!(harness.step().unwrap().failure.unwrap().kind(), ErrorKind::External);
    assert!(calls().is_empty());
}

#[test]
fn a_sink_that_does_not_read_to_the_end_is_told_so() {
    let harness = Harness::new(SECOND);
    harness.input([vec![1, 2, 3]]).sink(Recorded { takes_all: false });
    let error = harness.advance(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("before it had taken every record"), "{error}");
}

/// What tasks stage differs from attempt to attempt, and is no sign that a program is not deterministic.
#[test]
fn tasks_run_twice() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::with(Context::builder("twice").interval(SECOND).threads(2).run_twice(true), 2);
    text(&harness, &[&["a", "b"]]).sink(FileSink::text(dir.path()));
    harness.advance(1).unwrap();
    assert_eq!(lines(dir.path()), [(1000, vec!["a".to_owned(), "b".to_owned()])]);
    let files = std::fs::read_dir(dir.path().join("parts/1000")).unwrap().count();
    assert_eq!(files, 2, "the second attempts are discarded");
}

/// Workers in other processes write, the master commits.
#[test]
fn workers_write_and_the_master_commits() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::with(Context::builder("workers").interval(SECOND).threads(1).workers(2), 4);
    let input = text(&harness, &[&["a", "b", "c", "d"], &["e"]]);
    input.map(|line| format!("{line} {}", std::process::id() > 0)).sink(FileSink::text(dir.path()));
    let pids = input.map(|line| (line, std::process::id()));
    let seen = harness.run(&pids, 2).unwrap();
    let here = std::process::id();
    assert!(seen.iter().flatten().all(|(_, pid)| *pid != here), "tasks run in other processes");
    let expected = vec!["a true", "b true", "c true", "d true"];
    assert_eq!(lines(dir.path())[0].1, expected);
    assert_eq!(lines(dir.path())[1].1, ["e true"]);
}
