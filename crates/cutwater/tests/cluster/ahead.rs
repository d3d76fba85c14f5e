//! Pieces that are fetched while other map tasks still run.

use std::{
    fs::{self, File, OpenOptions},
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

use cutwater::testing::Harness;
use serde::{Deserialize, Serialize, Serializer};

use crate::{builder, kill, sorted};

/// A record that writes down, in a folder, by which process it is made bytes: that is when it is fetched.
#[derive(Clone, Deserialize)]
struct Marked {
    n: u64,
    dir: String,
}

impl Serialize for Marked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if !self.dir.is_empty() {
            let mut file = OpenOptions::new().create(true).append(true).open(fetched(&self.dir)).unwrap();
            file.write_all(format!("{} {}\n", self.n, std::process::id()).as_bytes()).unwrap();
        }
        #[derive(Serialize)]
        struct Plain<'a> {
            n: u64,
            dir: &'a str,
        }
        Plain { n: self.n, dir: &self.dir }.serialize(serializer)
    }
}

fn fetched(dir: &str) -> std::path::PathBuf {
    Path::new(dir).join("fetched")
}

/// Each record that was fetched so far, and from which process.
fn all_fetched(dir: &str) -> Vec<(u64, u32)> {
    let lines = fs::read_to_string(fetched(dir)).unwrap_or_default();
    let (whole, _) = lines.rsplit_once('\n').unwrap_or_default();
    let pair = |line: &str| {
        let (n, process) = line.split_once(' ').unwrap();
        (n.parse().unwrap(), process.parse().unwrap())
    };
    whole.lines().map(pair).collect()
}

/// What a map task does that is not to end before something was fetched.
fn wait_until_fetched(dir: &str) {
    let until = Instant::now() + Duration::from_secs(60);
    while all_fetched(dir).is_empty() {
        assert!(Instant::now() < until, "nothing was fetched while a map task still ran");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether this is the first time that it comes about.
fn is_first(dir: &str) -> bool {
    File::create_new(Path::new(dir).join("done")).is_ok()
}

/// Who dies when the pieces of the first tasks were fetched and the last one still runs.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Dies {
    Nobody,
    /// Of whom they were fetched.
    Holder,
    /// Who runs the last task, and has fetched some.
    Reader,
}

/// Without speculation, so that who fetches what depends on nobody's pace.
fn harness(workers: usize) -> Harness {
    Harness::with(builder(workers).speculation(false), 4)
}

/// Numbers by key, from as many tasks as there are workers, the last of which waits until others' pieces were fetched.
fn grouped(workers: u32, dies: Dies) -> (Vec<(u64, u64)>, Vec<(u64, u32)>) {
    let harness = harness(workers as usize);
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap().to_owned();
    let last = u64::from(workers) * 10 - 1;
    let numbers = harness.ctx().parallelize_into(workers, 0..=last);
    let marked = numbers.with((dir.clone(), last, dies)).map(|(dir, last, dies), n| {
        if n == *last {
            wait_until_fetched(dir);
            if *dies != Dies::Nobody && is_first(dir) {
                match dies {
                    Dies::Holder => kill(all_fetched(dir)[0].1),
                    _ => std::process::abort(),
                }
            }
        }
        (n, Marked { n: n * n, dir: dir.clone() })
    });
    let squares = marked.partition_by(workers).map(|(n, marked)| (n, marked.n));
    (sorted(squares.collect().unwrap()), all_fetched(&dir))
}

fn squares(workers: u32) -> Vec<(u64, u64)> {
    (0..u64::from(workers) * 10).map(|n| (n, n * n)).collect()
}

#[test]
fn what_is_there_is_fetched_before_the_last_map_task_ends_and_only_once() {
    let (answer, fetched) = grouped(2, Dies::Nobody);
    assert_eq!(answer, squares(2));
    let mut distinct = sorted(fetched.clone());
    distinct.dedup();
    assert_eq!(fetched.len(), distinct.len(), "{fetched:?}");
}

#[test]
fn a_holder_that_dies_after_its_pieces_were_fetched_changes_nothing() {
    assert_eq!(grouped(3, Dies::Holder).0, squares(3));
}

#[test]
fn a_reader_that_dies_with_what_it_has_fetched_changes_nothing() {
    assert_eq!(grouped(3, Dies::Reader).0, squares(3));
}

/// The tasks of an interval run where the states of the one before are, and are expected there.
#[test]
fn a_state_is_brought_what_is_there_before_the_interval_is_read_whole() {
    let run = |workers: usize, dir: &str, dies: Dies| {
        let harness = harness(workers);
        let intervals = (0..5u64).map(|t| (0..40).map(|n| (t, n)).collect::<Vec<_>>());
        let marks = harness.input(intervals).with((dir.to_owned(), dies)).map(|(dir, dies), (t, n)| {
            let waits = t == 3 && !dir.is_empty();
            if waits && n == 39 {
                wait_until_fetched(dir);
                if *dies == Dies::Holder && is_first(dir) {
                    kill(all_fetched(dir)[0].1);
                }
            }
            (n % 7, Marked { n: n * t, dir: if waits { dir.clone() } else { String::new() } })
        });
        let sums = marks.update_state_by_key(|marked: Vec<Marked>, sum: Option<u64>| {
            Some(sum.unwrap_or(0) + marked.iter().map(|marked| marked.n).sum::<u64>())
        });
        let seen = harness.watch(&sums);
        harness.advance(5).unwrap();
        seen.all().into_iter().map(|records| sorted(records.unwrap_or_default())).collect::<Vec<_>>()
    };
    let expected = run(0, "", Dies::Nobody);
    for dies in [Dies::Nobody, Dies::Holder] {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(run(3, dir.path().to_str().unwrap(), dies), expected, "{dies:?}");
    }
}
