//! The examples, run as a user would, on real records.

#![allow(clippy::unwrap_used)]

mod support;

use std::{
    collections::BTreeMap,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
};

use support::{Running, example, run};

fn sample() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/flights-2013-01.csv.gz");
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    text
}

/// The first two columns of the last board: carriers and their flights.
fn carriers(board: &str) -> BTreeMap<String, u64> {
    let last = board.rsplit("carrier  flights").next().unwrap();
    let rows = last.lines().skip(2).filter_map(|line| {
        let (carrier, rest) = line.split('│').next()?.trim().split_once(' ')?;
        Some((carrier.to_owned(), rest.trim().parse().ok()?))
    });
    rows.collect()
}

#[test]
fn flights_are_counted_right() {
    let mut expected = BTreeMap::new();
    for line in sample().lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        if !fields[5].is_empty() {
            *expected.entry(fields[9].to_owned()).or_default() += 1;
        }
    }
    let board = run("flights", &["--batch"]);
    assert_eq!(carriers(&board), expected, "{board}");
    assert!(board.contains("521 malformed"), "cancelled flights are skipped and counted: {board}");
}

/// The same program on worker processes prints the same boards, to the byte; what an interval took is in
/// lines of its own.
#[test]
fn workers_print_what_one_process_prints() {
    let boards = |args: &[&str]| {
        let printed = run("flights", &[&["--batch"], args].concat());
        let boards: Vec<_> = printed.lines().filter(|line| !line.starts_with("interval ")).collect();
        boards.join("\n")
    };
    let one_process = boards(&["--threads", "4"]);
    assert!(one_process.contains("UA"), "{one_process}");
    assert_eq!(boards(&["--threads", "1", "--workers", "4"]), one_process);
}

/// Started again, it has the counts that it had, and of what it counts for itself says since when.
#[test]
fn flights_go_on_after_a_restart() {
    let whole = carriers(&run("flights", &["--batch"]));
    let dir = tempfile::tempdir().unwrap();
    let durable = ["--batch", "--checkpoint", dir.path().to_str().unwrap()];
    let begun = run("flights", &[&durable[..], &["--intervals", "100"]].concat());
    assert!(begun.contains("interval 100 to") && begun.contains("so far"), "{begun}");
    let board = run("flights", &durable);
    assert_eq!(carriers(&board), whole, "{board}");
    assert!(board.contains("since interval 101 ") && !board.contains("so far"), "{board}");
}

/// A master says how workers join it, and one that is started so does its work.
#[test]
fn a_worker_started_by_hand_joins() {
    let mut master = Command::new(example("flights"));
    master.args(["--batch", "--master=127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut master = master.spawn().unwrap();
    let mut said = BufReader::new(master.stderr.take().unwrap());
    let mut line = String::new();
    said.read_line(&mut line).unwrap();
    let joins = line.split_once("start this executable with ").unwrap().1;
    let worker = Command::new(example("flights")).args(joins.split_whitespace()).output().unwrap();
    let board = master.wait_with_output().unwrap();
    assert!(worker.status.success(), "{}", String::from_utf8_lossy(&worker.stderr));
    assert!(worker.stdout.is_empty(), "main runs on the master only");
    let board = String::from_utf8(board.stdout).unwrap();
    assert_eq!(carriers(&board).values().sum::<u64>(), 26_483, "{board}");
}

#[test]
fn the_mean_delay_is_that_of_the_last_thirty_intervals() {
    // Intervals of 6 hours that end at midnight UTC and three times between; the last flight of the
    // sample leaves on 1 February at 04:59 UTC, so the window is the 180 hours before 06:00.
    let mut delays: BTreeMap<String, (f64, f64)> = BTreeMap::new();
    for line in sample().lines().skip(1) {
        let fields: Vec<_> = line.split(',').collect();
        let (month, day, hour) = (&fields[18][5..7], &fields[18][8..10], &fields[18][11..13]);
        let hours = |day: u32, hour: u32| day * 24 + hour;
        let day = day.parse::<u32>().unwrap() + if month == "02" { 31 } else { 0 };
        let minute = hours(day, hour.parse().unwrap()) * 60 + fields[17].parse::<u32>().unwrap();
        let end = hours(32, 6) * 60;
        if let (Ok(delay), true) = (fields[5].parse::<f64>(), minute > end - 180 * 60) {
            let (sum, n) = delays.entry(fields[12].to_owned()).or_default();
            (*sum, *n) = (*sum + delay, *n + 1.0);
        }
    }
    let board = run("flights", &["--batch"]);
    let words: Vec<_> = board.split_whitespace().collect();
    for (origin, (sum, n)) in delays {
        let row = [origin, format!("{:.1}", sum / n), "min".to_owned()];
        assert!(words.windows(3).any(|three| three == row), "{row:?} is not in\n{board}");
    }
}

#[test]
fn a_replay_ends_where_batch_mode_does() {
    let live = run("flights", &["--speed", "1e9"]);
    let batch = run("flights", &["--batch"]);
    let last = |board: &str| {
        let board = board.rsplit("carrier  flights").next().unwrap().to_owned();
        board.lines().filter(|line| !line.starts_with("interval")).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(last(&live), last(&batch));
}

#[test]
fn a_wrong_command_line_lists_every_fault() {
    let output = Command::new(example("flights"))
        .args(["--speed", "0", "--frobnicate", "/nowhere.csv"])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    for fault in ["speed of 0", "--frobnicate", "/nowhere.csv"] {
        assert!(error.contains(fault), "{fault} is not in {error}");
    }
}

#[test]
fn page_views_arrive_over_http() {
    let mut server = Running::start("page_view_server", &["127.0.0.1:0"]);
    let line = server.line();
    let url = line.strip_prefix("page views at ").unwrap();
    let mut views = Running::start("page_views", &["--interval-ms", "300", url]);
    views.wait_for(|line| line.ends_with("/articles/1"));
}
