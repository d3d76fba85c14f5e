//! Files that can be read again are split among workers by ranges and copied nowhere.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use cutwater::{Context, DStream, testing::Harness};
use cutwater_certs::{Request, make};

use crate::{
    builder, harness,
    network::{Hosts, hosts},
    processes::{CHILD, Process, say_everything},
};

const LINES: u64 = 100_000;
const LINE_BYTES: u64 = 64;
const FILE_BYTES: u64 = LINES * LINE_BYTES;
const INTERVALS: u64 = 4;

/// Lines that do not shrink much when they are compressed.
fn file(path: &Path) {
    let digits = |n: u64| {
        (0..3).fold(n.wrapping_mul(0x9e37_79b9_7f4a_7c15), |n, _| n.rotate_left(29).wrapping_mul(n | 1))
    };
    let text: String = (0..LINES)
        .map(|n| format!("{:016x}{:016x}{:016x}{n:015}\n", digits(n), digits(n + LINES), digits(!n)))
        .collect();
    assert_eq!(text.len() as u64, FILE_BYTES);
    fs::write(path, text).unwrap();
}

fn lines(ctx: &Context, path: &Path) -> DStream<String> {
    ctx.source("log").text_files([path], FILE_BYTES / INTERVALS)
}

#[test]
fn every_worker_reads_its_ranges_and_no_bytes_move() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    file(&path);
    let harness = harness(3);
    let readers =
        lines(harness.ctx(), &path).map_partitions(|lines| [(std::process::id(), lines.len() as u64)]);
    let readers = harness.watch(&readers);
    let mut bytes = 0;
    for _ in 0..INTERVALS {
        let report = harness.step().unwrap();
        assert_eq!(report.moved_bytes, 0, "in interval {}", report.number);
        bytes += report.bytes();
    }
    assert_eq!(bytes, FILE_BYTES);
    let readers: Vec<(u32, u64)> = readers.all().into_iter().flatten().flatten().collect();
    assert_eq!(readers.iter().map(|(_, lines)| lines).sum::<u64>(), LINES);
    let processes: BTreeSet<u32> = readers.into_iter().map(|(process, _)| process).collect();
    assert_eq!(processes, harness.workers().into_iter().collect());
}

/// What does move is counted: the same lines through a shuffle, and records that the master receives.
#[test]
fn shuffles_and_received_records_move_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    file(&path);
    let shuffled = harness(3);
    shuffled.watch(&lines(shuffled.ctx(), &path).repartition(3).count());
    let moved: u64 = (0..INTERVALS).map(|_| shuffled.step().unwrap().moved_bytes).sum();
    // Of what each worker read, a third stays with it.
    assert!(moved > FILE_BYTES / 2 && moved < FILE_BYTES, "{moved}");

    let received = Harness::with(builder(3), 4);
    let (sender, texts) = received.ctx().channel::<String>("texts");
    received.watch(&texts.count());
    sender.send("x".repeat(10_000)).unwrap();
    let moved: u64 = (0..2).map(|_| received.step().unwrap().moved_bytes).sum();
    // Two workers hold it.
    assert!(moved >= 20_000, "{moved}");
}

/// No test of its own: it counts the lines of a file, at once where they are read or behind a shuffle.
#[test]
fn program() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    say_everything();
    let harness = Harness::with(Context::builder("files").interval(Duration::from_secs(1)), 4);
    let path = std::env::var("CUTWATER_FILE").unwrap();
    let lines = lines(harness.ctx(), Path::new(&path));
    let lines = if std::env::var("CUTWATER_SHUFFLE").is_ok() { lines.repartition(3) } else { lines };
    let counts = harness.watch(&lines.count());
    harness.advance(INTERVALS).unwrap();
    println!("\ncounted {}", counts.all().into_iter().flatten().flatten().sum::<u64>());
}

/// Bytes that have come to all hosts over their network.
fn received_bytes(hosts: &Hosts, count: usize) -> u64 {
    let of = |host| {
        let [ip, words @ ..] = hosts.on(host);
        let mut read = std::process::Command::new(ip);
        let read = read.args(words).args(["cat", "/sys/class/net/net/statistics/rx_bytes"]).output().unwrap();
        String::from_utf8(read.stdout).unwrap().trim().parse::<u64>().unwrap()
    };
    (1..=count).map(of).sum()
}

/// On four machines, by what their network has carried: the handshakes, plans and counts, and no file.
#[test]
fn a_file_goes_over_no_network() {
    let Some(hosts) = hosts(4) else { return };
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("log");
    file(&path);
    let host = |number: usize| vec![format!("10.77.0.{number}").parse().unwrap()];
    let request = Request {
        masters: host(1),
        workers: [host(2), host(3), host(4)].concat(),
        ..Request::new(dir.path())
    };
    let made = make(&request).unwrap();
    let start = |host: usize, own: &[(&str, &str)]| {
        let issued = &made.issued[host - 1];
        let files = [
            ("CUTWATER_FILE", path.to_str().unwrap()),
            ("CUTWATER_TLS_AUTHORITY", made.authority.to_str().unwrap()),
            ("CUTWATER_TLS_CERTIFICATE", issued.certificate.to_str().unwrap()),
            ("CUTWATER_TLS_KEY", issued.key.to_str().unwrap()),
        ];
        Process::run("files::program", &hosts.on(host), &[own, &files].concat())
    };
    let carried = |more: &[(&str, &str)]| {
        let before = received_bytes(&hosts, 4);
        let own = [
            ("CUTWATER_ROLE", "master"),
            ("CUTWATER_MASTER", "10.77.0.1:7077"),
            ("CUTWATER_MIN_WORKERS", "3"),
        ];
        let master = start(1, &[&own[..], more].concat());
        let own = [("CUTWATER_ROLE", "worker"), ("CUTWATER_JOIN", "10.77.0.1:7077")];
        let workers = [2, 3, 4].map(|host| start(host, &own));
        for (status, said) in [master].into_iter().chain(workers).map(Process::end) {
            assert!(status.success(), "{said}");
            assert!(!said.contains("counted ") || said.contains(&format!("counted {LINES}")), "{said}");
        }
        received_bytes(&hosts, 4) - before
    };
    let read = carried(&[]);
    assert!(read < FILE_BYTES / 20, "{read}");
    let shuffled = carried(&[("CUTWATER_SHUFFLE", "1")]);
    assert!(shuffled > FILE_BYTES / 5, "{shuffled}");
}
