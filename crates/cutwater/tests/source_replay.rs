//! Files replayed by the time of their records: which interval takes what, and what goes wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use cutwater::{
    Context, DStream, ErrorKind, ErrorPolicy, OnFailure, Time, source::SourceBuilder, testing::Harness,
};
use support::Watch;

fn harness() -> Harness {
    Harness::new(Duration::from_secs(1))
}

/// A line is a time in milliseconds.
fn parse(line: &str) -> Result<i64, String> {
    assert!(line != "panic", "this line is not for me");
    line.parse().map_err(|error| format!("no time: {error}"))
}

fn replay(source: SourceBuilder<'_>, paths: &[PathBuf]) -> DStream<i64> {
    source.replay(paths, parse, |ms| Time::from_ms(*ms))
}

fn written(dir: &Path, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, text).unwrap();
    path
}

fn batch() -> Context {
    let ctx = Context::builder("test").interval(Duration::from_secs(1)).threads(2).handle_signals(false);
    ctx.batch(true).progress(false).build().unwrap()
}

#[test]
fn intervals_take_the_records_of_their_time() {
    let dir = tempfile::tempdir().unwrap();
    let one = written(dir.path(), "one", "ms\n1\n\n999\r\n1000\n1001\n");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(b"ms\n1500\n4000").unwrap();
    let two = written(dir.path(), "two.gz", gzip.finish().unwrap());
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times").header_lines(1), &[one, two]));
    harness.advance(5).unwrap();
    let expected = [vec![1, 999, 1000], vec![1001, 1500], vec![], vec![4000], vec![]];
    assert_eq!(watched.all(), expected.map(Some));
}

#[test]
fn late_records_are_in_the_interval_that_is_being_made_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "500\n400\n1500\n700\n2500\n2400\n1900\n3100\n");
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times"), &[path]));
    let late: Vec<_> = (0..4).map(|_| harness.step().unwrap().sources[0].taken.late).collect();
    let expected = [vec![500, 400], vec![1500, 700], vec![2500, 2400, 1900], vec![3100]];
    assert_eq!(watched.all(), expected.map(Some));
    assert_eq!(late, [0, 1, 1, 0]);
}

#[test]
fn what_does_not_fit_is_deferred_and_comes_first_in_the_next_interval() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "100\n200\n300\n400\n500\n1100\n1200\n600\n3100\n");
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times").interval_records_max(2), &[path]));
    let taken: Vec<_> = (0..5).map(|_| harness.step().unwrap().sources[0].taken.clone()).collect();
    let expected = [vec![100, 200], vec![300, 400], vec![500, 1100], vec![1200, 600], vec![3100]];
    assert_eq!(watched.all(), expected.map(Some));
    let of = |value: fn(&cutwater::source::Taken) -> u64| taken.iter().map(value).collect::<Vec<_>>();
    // In each interval that is full the source knows of one record that waits. Those that waited are
    // not late; the one that came after its interval was complete is.
    assert_eq!(of(|taken| taken.deferred), [1, 1, 1, 1, 0]);
    assert_eq!(of(|taken| taken.late), [0, 0, 0, 1, 0]);
    assert_eq!(of(|taken| taken.bytes), [8, 8, 9, 9, 5]);
}

#[test]
fn a_bound_in_bytes_holds_from_the_first_interval_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "100\n200\n300\n400\n500\n");
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times").interval_bytes_max(8), &[path]));
    harness.advance(3).unwrap();
    assert_eq!(watched.all(), [vec![100, 200], vec![300, 400], vec![500]].map(Some));
}

#[test]
fn a_program_over_the_past_begins_with_its_first_record_and_ends_with_its_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "1357034400000\n1357034401500\n1357034403000\n");
    let ctx = batch();
    let seen = Watch::of(&replay(ctx.source("times"), &[path]));
    let (sender, labels) = std::sync::mpsc::channel();
    ctx.on_interval(move |report| sender.send((report.time.to_string(), report.records())).unwrap());
    ctx.run().unwrap();
    assert_eq!(seen.all().len(), 3);
    let labels: Vec<_> = labels.try_iter().collect();
    let expected = [
        ("2013-01-01T10:00:00Z", 1),
        ("2013-01-01T10:00:01Z", 0),
        ("2013-01-01T10:00:02Z", 1),
        ("2013-01-01T10:00:03Z", 1),
    ];
    assert_eq!(labels, expected.map(|(label, records)| (label.to_owned(), records)));
}

#[test]
fn a_replay_passes_as_fast_as_it_is_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "3600000\n18000000\n");
    let program = |speed| {
        let ctx =
            Context::builder("test").interval(Duration::from_secs(3600)).threads(1).handle_signals(false);
        let ctx = ctx.speed(speed).build().unwrap();
        let seen = Watch::of(&replay(ctx.source("times"), std::slice::from_ref(&path)));
        (ctx, seen)
    };
    // Five intervals of an hour each pass before one does that is told to take longer.
    let ((slow, none), (fast, all)) = (program(0.001), program(36_000.0));
    let slow = support::run(&slow);
    support::run(&fast).wait().unwrap();
    assert_eq!(all.all(), [3_600_000, 18_000_000]);
    assert!(none.all().is_empty());
    slow.stop().unwrap();
}

#[test]
fn a_malformed_line_fails_the_interval_in_which_it_is_met() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "100\n1100\nnonsense\n1200\n2100\n");
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times"), std::slice::from_ref(&path)));
    harness.advance(1).unwrap();
    let error = harness.step().unwrap().failure.unwrap();
    assert_eq!(error.kind(), ErrorKind::Input);
    let text = error.to_string();
    assert!(
        text.contains(&format!("times: malformed record at byte 9 of {}: no time", path.display())),
        "{text}"
    );
    // The interval was set aside whole.
    harness.advance(1).unwrap();
    assert_eq!(watched.all().into_iter().flatten().flatten().collect::<Vec<_>>(), [100, 2100]);
}

#[test]
fn malformed_lines_are_left_out_and_counted_or_kept() {
    let dir = tempfile::tempdir().unwrap();
    let rejected = dir.path().join("rejected.jsonl");
    let path = written(dir.path(), "times", b"bad\n100\n\xff\n200\nlonger than ten\n");
    for policy in [ErrorPolicy::Skip, ErrorPolicy::dead_letter_file(&rejected)] {
        let ctx = batch();
        let times =
            replay(ctx.source("times").on_error(policy).line_bytes_max(10), std::slice::from_ref(&path));
        let (seen, reports) = (Watch::of(&times), support::reports(&ctx));
        ctx.run().unwrap();
        assert_eq!(seen.all(), [100, 200]);
        assert_eq!(reports.sum(|taken| taken.malformed.len() as u64), 3);
    }
    let letters = support::letters(&rejected);
    let offsets: Vec<_> = letters.iter().map(|letter| letter["offset"].as_u64().unwrap()).collect();
    assert_eq!(offsets, [0, 8, 14]);
    assert_eq!(
        (&letters[0]["text"], &letters[1]["hex"], &letters[2]["text"]),
        (&"bad".into(), &"ff".into(), &"longer tha".into())
    );
    assert_eq!(letters[0]["interval"], "1970-01-01T00:00:01Z");
}

#[test]
fn a_file_without_any_record_is_said_to_be_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "no\n".repeat(1_000));
    let ctx = batch();
    let source = ctx.source("times").on_error(ErrorPolicy::Skip).interval_records_max(100);
    replay(source, &[path]).print();
    let error = ctx.run().unwrap_err();
    assert!(error.to_string().contains("times: none of the first 100 lines is a record"), "{error}");
}

#[test]
fn a_panic_fails_the_interval_in_the_name_of_the_source() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(dir.path(), "times", "100\n1100\npanic\n1200\n2100\n");
    let ctx =
        Context::builder("test").interval(Duration::from_secs(1)).threads(2).on_failure(OnFailure::Continue);
    let harness = Harness::with(ctx, 2);
    let watched = harness.watch(&replay(harness.ctx().source("times"), std::slice::from_ref(&path)));
    harness.advance(1).unwrap();
    let error = harness.step().unwrap().failure.unwrap();
    assert_eq!(error.kind(), ErrorKind::User);
    let text = error.to_string();
    let expected = format!("times: panicked at byte 9 of {}: this line is not for me", path.display());
    assert!(text.contains(&expected), "{text}");
    harness.advance(1).unwrap();
    assert_eq!(watched.all().into_iter().flatten().flatten().collect::<Vec<_>>(), [100, 1200, 2100]);
}

#[test]
fn every_file_that_cannot_be_read_is_listed_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = batch();
    replay(ctx.source("times"), &[dir.path().join("missing"), dir.path().to_owned()]).print();
    replay(ctx.source("nothing"), &[]).print();
    let error = ctx.run().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let text = error.to_string();
    assert!(text.contains("for 3 reasons") && text.contains("nothing: no file is given"), "{text}");
    assert!(text.contains("missing: No such file") && text.contains("is a directory"), "{text}");
}

#[test]
fn a_file_that_breaks_off_is_named_with_the_place() {
    let dir = tempfile::tempdir().unwrap();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gzip.write_all("100\n".repeat(100).as_bytes()).unwrap();
    let mut bytes = gzip.finish().unwrap();
    bytes.truncate(bytes.len() / 2);
    let broken = written(dir.path(), "broken.gz", bytes);
    let whole = written(dir.path(), "whole", "1500\n");
    let harness = harness();
    let watched = harness.watch(&replay(harness.ctx().source("times"), &[broken, whole]));
    let error = harness.step().unwrap().failure.unwrap();
    assert_eq!(error.kind(), ErrorKind::External);
    assert!(
        error.to_string().contains("times: cannot read")
            && error.to_string().contains("broken.gz on from byte"),
        "{error}"
    );
    harness.advance(1).unwrap();
    assert_eq!(watched.all().last(), Some(&Some(vec![1500])));
}

#[test]
fn a_stopped_replay_has_ended() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("times");
    let mut file = File::create(&path).unwrap();
    (1..10_000).for_each(|second| writeln!(file, "{second}000").unwrap());
    let ctx = Context::builder("test").interval(Duration::from_secs(1)).threads(1).handle_signals(false);
    let ctx = ctx.speed(100.0).build().unwrap();
    let seen = Watch::of(&replay(ctx.source("times"), &[path]));
    let running = support::run(&ctx);
    seen.wait_for(3);
    running.stop().unwrap();
    assert!(seen.all().len() < 10_000);
}
