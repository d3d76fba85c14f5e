//! The store against a real server of S3's protocol, which `scripts/minio` builds; without it these tests say that they
//! were skipped.
//!
//! Credentials come from the environment, so each part of a test is a process of its own, started with them.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    env, fs,
    io::{BufRead, BufReader},
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::store::Store;
use crate::{Context, Time, testing::Harness};

const USER: &str = "cutwater-test";
const SECRET: &str = "not-to-be-seen-in-any-error";
const URL: &str = "s3://programs/one";
/// Which part of a test a process is.
const PART: &str = "CUTWATER_TEST_S3_PART";
const FILE: &str = "CUTWATER_TEST_S3_FILE";

/// How long the server may take until it listens.
const START: Duration = Duration::from_secs(60);

struct Server {
    process: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Server {
    /// The server with an empty bucket; `None`, and a word about it, if it was not built.
    fn start() -> Option<Self> {
        let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/minio");
        let program = env::var_os("CUTWATER_TEST_MINIO").map_or(built, PathBuf::from);
        if !program.exists() {
            println!("skipped: {} is not there; scripts/minio builds it", program.display());
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        // A folder in its folder is a bucket.
        fs::create_dir_all(folder.path().join("data/programs")).unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let process = Command::new(program)
            .args(["server", "--quiet", "--address", &address, "--console-address", "127.0.0.1:0"])
            .arg(folder.path().join("data"))
            .env("MINIO_ROOT_USER", USER)
            .env("MINIO_ROOT_PASSWORD", SECRET)
            .env("HOME", folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, address, folder };
        let began = Instant::now();
        while !server.is_ready() {
            assert!(began.elapsed() < START, "the server does not answer at {}", server.address);
            thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    /// Whether it serves what it has, and not only listens.
    fn is_ready(&self) -> bool {
        use std::io::Write;
        let Ok(mut stream) = TcpStream::connect(&self.address) else { return false };
        let asked = write!(stream, "GET /minio/health/ready HTTP/1.0\r\nHost: {}\r\n\r\n", self.address);
        let mut line = String::new();
        asked.is_ok()
            && BufReader::new(stream).read_line(&mut line).is_ok()
            && line.split(' ').nth(1) == Some("200")
    }

    /// Starts this test again as `part`.
    fn run(&self, part: &str, secret: &str) -> Output {
        let test = thread::current().name().unwrap().to_owned();
        Command::new(env::current_exe().unwrap())
            .args([&test, "--exact", "--nocapture"])
            .env(PART, part)
            .env(FILE, self.folder.path().join("given"))
            .env("AWS_ACCESS_KEY_ID", USER)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            .env("AWS_ENDPOINT", format!("http://{}", self.address))
            .env("AWS_ALLOW_HTTP", "true")
            .env("AWS_REGION", "us-east-1")
            .output()
            .unwrap()
    }

    fn succeeds(&self, part: &str) {
        let output = self.run(part, SECRET);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn part() -> Option<String> {
    env::var(PART).ok()
}

#[test]
fn objects_come_back_and_one_of_many_creates_an_object() {
    if part().is_none() {
        if let Some(server) = Server::start() {
            server.succeeds("objects");
        }
        return;
    }
    let store = Store::open(URL).unwrap();
    for name in ["a/2", "a/1", "b/c/3"] {
        store.put(name, name.as_bytes().to_vec()).unwrap();
    }
    store.put("a/2", b"again".to_vec()).unwrap();
    assert_eq!(store.list("a").unwrap(), ["a/1", "a/2"]);
    assert_eq!(store.get("a/2").unwrap().unwrap(), b"again");
    store.delete("a/1").unwrap();
    store.delete("a/1").unwrap();
    assert_eq!((store.get("a/1").unwrap(), store.list("nowhere").unwrap()), (None, Vec::new()));
    for lease in ["lease/1", "lease/2", "lease/3"] {
        let tries = (0..8u8).map(|n| {
            let store = store.clone();
            thread::spawn(move || (n, store.create(lease, vec![n]).unwrap()))
        });
        let tries: Vec<_> = tries.collect::<Vec<_>>().into_iter().map(|t| t.join().unwrap()).collect();
        let winners: Vec<u8> = tries.iter().filter(|(_, won)| *won).map(|(n, _)| *n).collect();
        assert_eq!(winners.len(), 1, "{lease}");
        assert_eq!(store.get(lease).unwrap().unwrap(), winners);
    }
}

#[test]
fn a_wrong_secret_is_refused_and_no_error_tells_it() {
    if part().is_none() {
        let Some(server) = Server::start() else { return };
        let output = server.run("refused", "another-secret-that-is-wrong");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        return;
    }
    let error = Store::open(URL).unwrap().put("a", Vec::new()).unwrap_err().to_string();
    assert!(error.contains(URL) && error.contains("cannot write a"), "{error}");
    assert!(!error.contains("another-secret"), "{error}");
}

const INTERVALS: i64 = 12;

/// Counts clicks, and ends the process in interval `abort_at`, when its output was given out.
fn program(given: PathBuf, abort_at: Option<i64>) {
    use std::io::Write;
    let builder = Context::builder("counts").interval(Duration::from_secs(1)).threads(2);
    let harness = Harness::with(builder.checkpoint(URL).checkpoint_intervals(2), 2);
    let clicks =
        harness.input((0..INTERVALS as u64).map(|t| (0..40u64).map(|n| (n % 7, t)).collect::<Vec<_>>()));
    clicks.running_reduce(|a, b| a + b).for_each_rdd(move |rdd, t| {
        let mut records = rdd.collect()?;
        records.sort_unstable();
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&given).unwrap();
        writeln!(file, "{} {records:?}", t.as_ms()).unwrap();
        if abort_at == Some(t.as_ms() / 1000) {
            std::process::abort();
        }
        Ok::<(), crate::Error>(())
    });
    while harness.step().unwrap().time < Time::from_ms(INTERVALS * 1000) {}
}

#[test]
fn a_program_that_crashes_goes_on_from_s3() {
    if let Some(part) = part() {
        return program(PathBuf::from(env::var_os(FILE).unwrap()), part.parse().ok());
    }
    let Some(server) = Server::start() else { return };
    for interval in ["5", "6", "11"] {
        assert!(!server.run(interval, SECRET).status.success(), "it was to crash in interval {interval}");
    }
    server.succeeds("to the end");
    let mut given: Vec<String> = Vec::new();
    for line in fs::read_to_string(server.folder.path().join("given")).unwrap().lines() {
        // An interval may be run again, with the same answer.
        if given.last().is_none_or(|last| last != line) {
            given.push(line.to_owned());
        }
    }
    // Of 40 records the keys 0 to 4 have six and the others five.
    let expected = (1..=INTERVALS as u64).map(|t| {
        let sum = t * (t - 1) / 2;
        let counts: Vec<_> = (0..7u64).map(|key| (key, sum * if key < 5 { 6 } else { 5 })).collect();
        format!("{} {counts:?}", t * 1000)
    });
    assert_eq!(given, expected.collect::<Vec<_>>());
}
