//! Following a file: it grows, is rotated in both ways, is not there yet, and holds what is no line.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod support;

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

use cutwater::{Context, ErrorKind, ErrorPolicy, Event, source::Standing};
use support::{Watch, program};

/// A folder for the test, and a path in it.
fn log() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("service.log");
    (dir, path)
}

fn append(path: &Path, bytes: impl AsRef<[u8]>) {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.unwrap().write_all(bytes.as_ref()).unwrap();
}

/// How the first source stood in each interval.
struct Standings(Receiver<Standing>);

impl Standings {
    fn of(ctx: &Context) -> Self {
        let (tell, standings) = mpsc::channel();
        ctx.on_event(move |event| {
            if let Event::Completed(report) = event {
                // Whoever listens has gone when the test is over.
                let _ = tell.send(report.sources[0].standing);
            }
        });
        Self(standings)
    }

    fn wait_for(&self, standing: Standing) {
        while self.0.recv_timeout(Duration::from_secs(20)).unwrap() != standing {}
    }
}

#[test]
fn what_is_appended_is_taken_line_by_line() {
    let (_dir, path) = log();
    fs::write(&path, "from before\nbegun before").unwrap();
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").tail(&path));
    let standings = Standings::of(&ctx);
    let running = support::run(&ctx);
    standings.wait_for(Standing::Flowing);
    append(&path, " the start\none\r\ntw");
    seen.wait_for(2);
    append(&path, "o\n");
    seen.wait_for(3);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["begun before the start", "one", "two"]);
}

#[test]
fn what_is_there_is_taken_too_if_it_is_asked_for() {
    let (_dir, path) = log();
    let expected: Vec<_> = (0..20_000).map(|n| format!("line {n}")).collect();
    fs::write(&path, expected.join("\n") + "\n").unwrap();
    let ctx = program();
    let lines = ctx.source("log").include_existing().interval_records_max(5_000).tail(&path);
    let (seen, reports) = (Watch::of(&lines), support::reports(&ctx));
    let running = support::run(&ctx);
    seen.wait_for(20_000);
    running.stop().unwrap();
    assert_eq!(seen.all(), expected);
    assert!(reports.taken().iter().all(|taken| taken.records <= 5_000), "no more than an interval may hold");
}

#[test]
fn a_file_that_is_not_there_yet_is_waited_for() {
    let (_dir, path) = log();
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").tail(&path));
    let standings = Standings::of(&ctx);
    let running = support::run(&ctx);
    standings.wait_for(Standing::Stalled);
    fs::write(&path, "first\n").unwrap();
    seen.wait_for(1);
    standings.wait_for(Standing::Flowing);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["first"]);
}

/// As `logrotate` does it: rename, and the writer, which still has the old file, makes another when it is told to.
#[test]
fn a_file_that_was_renamed_is_read_to_its_end_before_the_one_in_its_place() {
    let (dir, path) = log();
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").include_existing().tail(&path));
    let running = support::run(&ctx);
    let (mut lines, mut expected) = (0, Vec::new());
    for rotation in 0..4 {
        let mut writer = File::create(&path).unwrap();
        writeln!(writer, "{rotation} begins").unwrap();
        // Seen before the next rotation: twice between two looks would be once too often.
        lines += 1;
        seen.wait_for(lines);
        fs::rename(&path, dir.path().join(format!("service.log.{rotation}"))).unwrap();
        write!(writer, "{rotation} after the rename\n{rotation} without an end").unwrap();
        expected.extend(
            ["begins", "after the rename", "without an end"].map(|what| format!("{rotation} {what}")),
        );
        lines += 2;
    }
    File::create(&path).unwrap();
    seen.wait_for(lines);
    running.stop().unwrap();
    assert_eq!(seen.all(), expected);
}

#[test]
fn a_file_that_another_is_moved_over_is_followed_by_it() {
    let (dir, path) = log();
    let beside = dir.path().join("beside");
    append(&path, "one\n");
    let ctx = program();
    let seen = Watch::of(&ctx.source("log").include_existing().tail(&path));
    let running = support::run(&ctx);
    for n in 1..4 {
        seen.wait_for(n);
        append(&beside, format!("of file {n}\n"));
        fs::rename(&beside, &path).unwrap();
    }
    seen.wait_for(4);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["one", "of file 1", "of file 2", "of file 3"]);
}

#[test]
fn a_file_that_was_cut_short_is_read_from_its_beginning() {
    let (_dir, path) = log();
    append(&path, "the first line\nbegun");
    let ctx = program();
    let lines = ctx.source("log").include_existing().tail(&path);
    let (seen, reports) = (Watch::of(&lines), support::reports(&ctx));
    let running = support::run(&ctx);
    seen.wait_for(1);
    OpenOptions::new().write(true).open(&path).unwrap().set_len(0).unwrap();
    append(&path, "second\n");
    seen.wait_for(2);
    reports.wait_until(|taken| taken.iter().map(|taken| taken.dropped).sum::<u64>() == 1);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["the first line", "second"]);
}

#[test]
fn what_is_no_line_goes_to_the_policy_with_its_file_and_offset() {
    let (dir, path) = log();
    let letters = dir.path().join("rejected.jsonl");
    append(&path, b"fine\n\xff\xfe\nmuch too long a line\nend\nalso too long, and begun before");
    let ctx = program();
    let policy = ErrorPolicy::dead_letter_file(&letters);
    let source = ctx.source("log").on_error(policy).line_bytes_max(8).include_existing();
    let seen = Watch::of(&source.tail(&path));
    let running = support::run(&ctx);
    seen.wait_for(2);
    append(&path, " the end\nlast\n");
    seen.wait_for(3);
    running.stop().unwrap();
    assert_eq!(seen.all(), ["fine", "end", "last"]);
    let found: Vec<_> =
        support::letters(&letters).iter().map(|letter| letter["offset"].as_u64().unwrap()).collect();
    assert_eq!(found, [5, 8, 33]);
    assert!(support::letters(&letters).iter().all(|letter| letter["place"] == path.to_str().unwrap()));
}

/// Offsets are those in the file, also where its beginning is passed over.
#[test]
fn what_is_no_record_fails_the_interval_unless_something_else_is_said() {
    let (_dir, path) = log();
    append(&path, "[1,\"a\"]\n");
    let ctx = program();
    ctx.source("pairs").tail_json::<(u32, String)>(&path).print();
    let standings = Standings::of(&ctx);
    let running = support::run(&ctx);
    standings.wait_for(Standing::Flowing);
    append(&path, "nonsense\n");
    let error = running.wait().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    assert!(error.to_string().contains("pairs: malformed record at byte 8 of "), "{error}");
}

#[test]
fn a_folder_is_refused_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::local(1);
    ctx.source("log").header_lines(1).tail(dir.path()).print();
    let error = ctx.run().unwrap_err().to_string();
    assert!(error.contains("log: cannot follow") && error.contains("it is a folder"), "{error}");
    assert!(error.contains("`header_lines` has no meaning for a file that is followed"), "{error}");
}
