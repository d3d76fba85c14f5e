//! What the tests of examples share.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, ChildStdout, Command, Stdio},
};

/// The executable of an example, which cargo has built beside this test's.
pub fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join("examples").join(name);
    assert!(built.exists(), "{} is not built: cargo test -p cutwater-examples", built.display());
    built
}

/// What an example prints until it ends.
pub fn run(name: &str, args: &[&str]) -> String {
    let output = Command::new(example(name)).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// An example at work, which is ended with the test.
pub struct Running {
    child: Child,
    out: BufReader<ChildStdout>,
}

impl Running {
    pub fn start(name: &str, args: &[&str]) -> Self {
        let mut child = Command::new(example(name)).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Self { child, out }
    }

    /// The next line it prints.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.out.read_line(&mut line).unwrap() > 0, "the example has ended");
        line.trim_end().to_owned()
    }

    /// Reads what it prints until a line is as it should be. The examples that print for ever do so in every
    /// interval; one that never prints such a line is waited for as long as a test may take.
    pub fn wait_for(&mut self, is_it: impl Fn(&str) -> bool) -> String {
        let began = std::time::Instant::now();
        loop {
            let line = self.line();
            if is_it(&line) {
                return line;
            }
            assert!(began.elapsed().as_secs() < 60, "the line that was waited for did not come: {line}");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The rows of the last board that was printed, each as its columns' keys and values.
pub fn last_board(printed: &str) -> Vec<Vec<(String, String)>> {
    let lines: Vec<_> = printed.lines().collect();
    let rule = lines.iter().rposition(|line| line.trim_start().starts_with('─')).unwrap();
    let cells = |line: &&str| {
        let cell = |cell: &str| {
            let (key, value) = cell.trim().split_once("  ").unwrap_or_default();
            (key.trim().to_owned(), value.trim().to_owned())
        };
        line.split('│').map(cell).collect()
    };
    lines[rule + 1..].iter().take_while(|line| !line.starts_with("interval ")).map(cells).collect()
}

/// A column of a board.
pub fn column(board: &[Vec<(String, String)>], place: usize) -> Vec<(String, u64)> {
    let cells = board.iter().filter_map(|row| row.get(place)).filter(|cell| !cell.0.is_empty());
    cells.map(|(key, value)| (key.clone(), value.parse().unwrap())).collect()
}

/// The `n` highest of `counts` as examples show them.
pub fn highest(counts: impl IntoIterator<Item = (String, u64)>, n: usize) -> Vec<(String, u64)> {
    let mut all: Vec<_> = counts.into_iter().map(|(key, count)| (count, key)).collect();
    all.sort();
    all.into_iter().rev().take(n).map(|(count, key)| (key, count)).collect()
}
