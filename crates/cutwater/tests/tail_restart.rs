//! Followed files across restarts and takeovers: whatever is killed, every line is in the sink once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "support/process.rs"]
mod process;

use std::{
    collections::BTreeSet,
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Child,
    thread,
    time::{Duration, SystemTime},
};

use cutwater::{
    Context, Error, Time,
    output::{FileSink, committed},
};
use process::{exit_code, kill, wait_until};

const LAST: &str = "last";

/// The program: every line of the log, until one says that it is the last.
fn run(folder: &Path) -> Result<(), Error> {
    let builder = Context::builder("followed").interval(Duration::from_millis(50)).threads(1);
    let builder =
        builder.checkpoint(folder.join("checkpoints").display().to_string()).checkpoint_intervals(5);
    let builder = builder.handle_signals(false).slack(Duration::from_millis(200));
    let builder = match env::var_os("TAIL_WORKERS") {
        Some(_) => builder.workers(2).token_file(folder.join("token")),
        None => builder,
    };
    let ctx = builder.standby(env::var_os("TAIL_STANDBY").is_some()).build()?;
    let source = ctx.source("log").include_existing();
    let path = folder.join("service.log");
    let lines = match env::var_os("TAIL_EVENT_TIME") {
        // Lines begin with the time at which they were written, in milliseconds.
        Some(_) => source.event_time(|line: &String| time_of(line)).tail(path),
        None => source.tail(path),
    };
    let program = ctx.clone();
    lines.for_each_rdd(move |rdd, _| {
        if rdd.collect()?.iter().any(|line| line.ends_with(LAST)) {
            program.stop();
        }
        Ok::<(), Error>(())
    });
    lines.sink(FileSink::text(folder.join("sink")));
    ctx.run()
}

fn time_of(line: &str) -> Time {
    Time::from_ms(line.split(' ').next().and_then(|time| time.parse().ok()).unwrap_or(0))
}

/// In a process that was started as the program, is it.
fn is_program() -> bool {
    process::is_program(run)
}

/// A log that is written, and processes that follow it.
struct Trial {
    folder: tempfile::TempDir,
    variables: Vec<&'static str>,
    written: BTreeSet<String>,
}

impl Trial {
    fn new(variables: &[&'static str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, variables: variables.to_vec(), written: BTreeSet::new() }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("service.log")
    }

    fn start(&self, and: &[&str]) -> Child {
        let mut command = process::program(self.folder.path());
        for variable in self.variables.iter().chain(and) {
            command.env(variable, "1");
        }
        command.spawn().unwrap()
    }

    /// Writes so many lines, each in pieces, so that whoever reads may find half of it.
    fn write(&mut self, lines: usize, last: &str) {
        let mut log = OpenOptions::new().create(true).append(true).open(self.log()).unwrap();
        for n in 0..lines {
            let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_millis();
            // Some happened a while before, and so are in intervals before those of the lines before them.
            let happened = now - 30 * (n as u128 % 4);
            let end = if n + 1 == lines { last } else { "" };
            let line = format!("{happened} {} {end}", self.written.len());
            log.write_all(&line.as_bytes()[..5]).unwrap();
            log.write_all(&line.as_bytes()[5..]).unwrap();
            log.write_all(b"\n").unwrap();
            self.written.insert(line);
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn in_sink(&self) -> Vec<String> {
        let Ok(intervals) = committed(self.folder.path().join("sink")) else { return Vec::new() };
        intervals.iter().flat_map(|interval| interval.lines().unwrap()).collect()
    }

    /// Waits until so many lines are in the sink.
    fn wait_for(&self, lines: usize) {
        wait_until(&format!("{lines} lines have not come"), || self.in_sink().len() >= lines);
    }

    /// The program is killed while it reads so many lines, of which it has given out some.
    fn is_killed_amid(&mut self, lines: usize) {
        let program = self.start(&[]);
        let before = self.in_sink().len();
        self.write(lines, "");
        self.wait_for(before + 50);
        kill(program);
    }

    /// The program reads its last line and ends, and each line was given out once.
    fn ends(mut self, mut program: Child) {
        self.write(1, LAST);
        assert_eq!(exit_code(&mut program), Some(0));
        self.assert_complete();
    }

    fn assert_complete(&self) {
        let found = self.in_sink();
        let distinct: BTreeSet<String> = found.iter().cloned().collect();
        let missing: Vec<_> = self.written.difference(&distinct).collect();
        assert!(missing.is_empty(), "{} of {} are missing: {missing:?}", missing.len(), self.written.len());
        assert_eq!(found.len(), self.written.len(), "some are there twice");
    }
}

/// Killed while it reads, and lines are written while it is not there.
#[test]
fn a_program_that_is_killed_goes_on_where_it_read_to() {
    if is_program() {
        return;
    }
    let mut trial = Trial::new(&[]);
    for _ in 0..4 {
        trial.is_killed_amid(300);
        trial.write(100, "");
    }
    let program = trial.start(&[]);
    trial.ends(program);
}

/// What rotation does while nobody looks: the file is moved, or copied and cut short.
#[test]
fn a_file_that_was_rotated_meanwhile_is_read_to_its_end_first() {
    if is_program() {
        return;
    }
    let mut trial = Trial::new(&[]);
    let log = trial.log();
    for copied in [false, true, false] {
        trial.is_killed_amid(300);
        trial.write(50, "");
        let old = log.with_extension("log.1");
        if copied {
            fs::copy(&log, &old).unwrap();
            OpenOptions::new().write(true).open(&log).unwrap().set_len(0).unwrap();
        } else {
            fs::rename(&log, &old).unwrap();
        }
        trial.write(50, "");
    }
    let program = trial.start(&[]);
    trial.ends(program);
}

/// Records of later intervals are held when one is cut; they are read again, and those between them are not.
#[test]
fn lines_that_are_in_intervals_by_their_own_time_are_in_one() {
    if is_program() {
        return;
    }
    let mut trial = Trial::new(&["TAIL_EVENT_TIME"]);
    for _ in 0..4 {
        trial.is_killed_amid(400);
        trial.write(50, "");
    }
    let program = trial.start(&[]);
    trial.ends(program);
}

#[test]
fn a_standby_goes_on_where_the_master_before_read_to() {
    if is_program() {
        return;
    }
    let mut trial = Trial::new(&["TAIL_WORKERS"]);
    let mut master = trial.start(&[]);
    for _ in 0..2 {
        let before = trial.in_sink().len();
        trial.write(100, "");
        trial.wait_for(before + 50);
        let standby = trial.start(&["TAIL_STANDBY"]);
        trial.write(400, "");
        kill(master);
        trial.write(100, "");
        master = standby;
    }
    trial.ends(master);
}
