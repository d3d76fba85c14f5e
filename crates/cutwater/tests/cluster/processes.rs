//! Masters and workers that are started one by one, as people start them: nothing of a cluster is in their
//! code, all of it in their environment.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::{Arc, Condvar, Mutex},
    thread,
    time::{Duration, SystemTime},
};

use cutwater::{Builder, Context, testing::Harness};
use cutwater_certs::{Request, Role, make};
use tempfile::TempDir;

/// Far more than anything here takes; a test that waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Set in processes that are a program, and not a test.
pub const CHILD: &str = "CUTWATER_TEST_PROGRAM";

/// No test of its own: the program of the processes below. It prints what it computes, and then counts
/// once more for each line that it is sent.
#[test]
fn program() {
    if std::env::var(CHILD).is_err() {
        return;
    }
    say_everything();
    // The harness would have workers started by the name of this test; here nobody starts any.
    let (answers, harness) = answers(Context::builder("processes"));
    println!("\nanswers {answers}");
    for _ in std::io::stdin().lines() {
        println!("\ncounted {}", harness.ctx().parallelize(0..10).count().unwrap());
    }
}

/// Everything that any part of a process has to say, since some of it must never be said.
pub fn say_everything() {
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
}

/// What a program with windows, shuffles and state answers, as text.
pub fn answers(builder: Builder) -> (String, Harness) {
    const SECOND: Duration = Duration::from_secs(1);
    let harness = Harness::with(builder.interval(SECOND), 4);
    let numbers: Vec<Vec<u64>> = (0..6).map(|t| (0..50).map(|i| i * i % 37 + t).collect()).collect();
    let input = harness.input(numbers);
    let keyed = input.with(7u64).map(|m, n| (n % m, n));
    let sums = keyed.reduce_by_key_and_window(|a, b| a + b, 3 * SECOND, SECOND);
    let counts = keyed.map_values(|_| 1u64).running_reduce(|a, b| a + b);
    let joined = sums.join(&counts).map(|(key, (sum, n))| (n % 5, (key, sum)));
    let answers = harness.run(&joined.group_by_key(), 6).unwrap();
    (format!("{answers:?}"), harness)
}

/// What the same program answers in one process with so many compute threads.
pub fn expected(threads: usize) -> String {
    answers(Context::builder("one process").threads(threads)).0
}

/// A process, and what it says.
pub struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    said: Arc<(Mutex<String>, Condvar)>,
    readers: Vec<thread::JoinHandle<()>>,
}

impl Process {
    /// The program above, in this environment; `within` is a command that runs it, or nothing.
    pub fn start(within: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run("processes::program", within, environment)
    }

    /// The same for another program, by the name of the test that it is.
    pub fn run(program: &str, within: &[&str], environment: &[(&str, &str)]) -> Self {
        let test = std::env::current_exe().unwrap();
        let mut words = within.iter().map(PathBuf::from).collect::<Vec<_>>();
        words.push(test);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).args([program, "--exact", "--nocapture"]);
        command.env(CHILD, "1").env("CUTWATER_THREADS", "1").envs(environment.iter().copied());
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let said: Arc<(Mutex<String>, Condvar)> = Arc::default();
        let follow = |stream: Box<dyn Read + Send>, said: Arc<(Mutex<String>, Condvar)>| {
            thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    said.0.lock().unwrap().push_str(&(line + "\n"));
                    said.1.notify_all();
                }
            })
        };
        let readers = vec![
            follow(Box::new(child.stdout.take().unwrap()), said.clone()),
            follow(Box::new(child.stderr.take().unwrap()), said.clone()),
        ];
        Self { stdin: child.stdin.take(), child, said, readers }
    }

    pub fn master(address: &str, environment: &[(&str, &str)]) -> Self {
        let own = [("CUTWATER_ROLE", "master"), ("CUTWATER_MASTER", address)];
        Self::start(&[], &[&own, environment].concat())
    }

    pub fn worker(join: &str, environment: &[(&str, &str)]) -> Self {
        let own = [("CUTWATER_ROLE", "worker"), ("CUTWATER_JOIN", join)];
        Self::start(&[], &[&own, environment].concat())
    }

    /// Waits until it has said this, on either of its streams, and answers with the rest of the line.
    pub fn wait_for(&self, wanted: &str) -> String {
        let rest = |said: &str| {
            let (_, rest) = said.split_once(wanted)?;
            rest.split_once('\n').map(|(line, _)| line.trim().to_owned())
        };
        let said = self.said.0.lock().unwrap();
        let (said, _) = self.said.1.wait_timeout_while(said, PATIENCE, |said| rest(said).is_none()).unwrap();
        rest(&said).unwrap_or_else(|| panic!("it did not say {wanted:?}, but:\n{said}"))
    }

    pub fn said(&self) -> String {
        self.said.0.lock().unwrap().clone()
    }

    /// Where a master is to be joined.
    pub fn address(&self) -> String {
        let line = self.wait_for("start this executable with --worker --join ");
        line.split(' ').next().unwrap().to_owned()
    }

    /// Has the program compute something.
    pub fn ask(&mut self) -> String {
        self.tell();
        self.wait_for("counted ")
    }

    /// The same, and waits for nothing.
    pub fn tell(&mut self) {
        writeln!(self.stdin.as_mut().unwrap()).unwrap();
    }

    /// Nothing more will be asked; what it has said, and how it ended.
    pub fn end(mut self) -> (ExitStatus, String) {
        drop(self.stdin.take());
        let status = self.child.wait().unwrap();
        self.readers.drain(..).for_each(|reader| reader.join().unwrap());
        (status, self.said())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It has ended, or its test has failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Certificates of one authority, for a host and this machine.
pub struct Certs {
    folder: TempDir,
}

impl Certs {
    pub fn new(host: &str) -> Self {
        Self::valid_from(host, None)
    }

    /// They were valid for a day, long ago.
    pub fn expired(host: &str) -> Self {
        Self::valid_from(host, Some(SystemTime::now() - Duration::from_secs(5 * 86_400)))
    }

    fn valid_from(host: &str, from: Option<SystemTime>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let host = || vec![host.parse().unwrap()];
        let request =
            Request { masters: host(), workers: host(), clients: host(), ..Request::new(folder.path()) };
        make(&Request { days: 1, from, ..request }).unwrap();
        Self { folder }
    }

    /// Replaces all of them by others of the same authority that are valid.
    pub fn renew(&self, host: &str) {
        for role in Role::ALL {
            self.pair(role).iter().for_each(|file| std::fs::remove_file(file).unwrap());
        }
        let host = || vec![host.parse().unwrap()];
        let request =
            Request { masters: host(), workers: host(), clients: host(), ..Request::new(self.path()) };
        assert!(!make(&request).unwrap().is_new_authority);
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The file of a role's certificate and of its key. There is one host.
    pub fn pair(&self, role: Role) -> [String; 2] {
        let names = std::fs::read_dir(self.path()).unwrap().map(|entry| entry.unwrap().path());
        let of_role =
            |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with(&role.to_string());
        let mut files: Vec<String> =
            names.filter(of_role).map(|path| path.to_str().unwrap().to_owned()).collect();
        // `…-key.pem` goes before `….pem`.
        files.sort();
        let [key, certificate] = files.try_into().unwrap();
        [certificate, key]
    }

    pub fn authority(&self) -> String {
        self.path().join("authority.pem").to_str().unwrap().to_owned()
    }

    /// The environment of a process of that role.
    pub fn environment(&self, role: Role) -> Vec<(&'static str, String)> {
        let [certificate, key] = self.pair(role);
        vec![
            ("CUTWATER_TLS_AUTHORITY", self.authority()),
            ("CUTWATER_TLS_CERTIFICATE", certificate),
            ("CUTWATER_TLS_KEY", key),
        ]
    }
}

/// Both, as `Process` takes them.
pub fn with<'a>(
    more: &[(&'a str, &'a str)],
    environment: &'a [(&'a str, String)],
) -> Vec<(&'a str, &'a str)> {
    more.iter().copied().chain(environment.iter().map(|(name, value)| (*name, value.as_str()))).collect()
}
