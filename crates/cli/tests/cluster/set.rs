//! A set of agents, and what the tests ask of it.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{self, ChildStdout, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

/// Agents with separate folders and one token.
pub struct Set {
    pub dir: TempDir,
    pub agents: Vec<Agent>,
}

/// A process that ends with the test.
pub struct Child(pub process::Child);

pub struct Agent {
    child: Child,
    pub address: String,
    // Whoever prints to a pipe that nobody holds is ended by that.
    _out: BufReader<ChildStdout>,
}

/// A line of `cutwater jobs`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub job: String,
    pub agent: String,
    pub process: String,
    pub state: String,
    pub restarts: u32,
}

impl Listed {
    pub fn pid(&self) -> Option<u32> {
        self.state.strip_prefix("running, pid ")?.parse().ok().filter(|pid| *pid > 0)
    }
}

pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cutwater"));
    command.args(arguments);
    command
}

impl Set {
    /// So many agents, each with two slots.
    pub fn start(count: usize) -> Self {
        let mut set = Self { dir: tempfile::tempdir().unwrap(), agents: Vec::new() };
        for number in 0..count {
            let agent = set.agent(number);
            set.agents.push(agent);
        }
        set
    }

    /// One more agent, which is not in the list.
    pub fn agent(&self, number: usize) -> Agent {
        let mut command = command(&["agent", "--listen", "127.0.0.1:0", "--slots", "2", "--dir"]);
        command.arg(self.folder(number)).arg("--token-file").arg(self.token());
        let log = fs::File::create(self.dir.path().join(format!("log-{number}"))).unwrap();
        let mut child = command.stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        out.read_line(&mut line).unwrap();
        let address = line.strip_prefix("agent listens on ").and_then(|rest| rest.split(' ').next());
        let address = address.unwrap_or_else(|| panic!("{}", self.log(number))).to_owned();
        Agent { child: Child(child), address, _out: out }
    }

    pub fn folder(&self, number: usize) -> PathBuf {
        self.dir.path().join(format!("agent-{number}"))
    }

    pub fn token(&self) -> PathBuf {
        self.dir.path().join("token")
    }

    /// What an agent has logged.
    pub fn log(&self, number: usize) -> String {
        fs::read_to_string(self.dir.path().join(format!("log-{number}"))).unwrap()
    }

    pub fn addresses(&self) -> String {
        self.agents.iter().map(|agent| agent.address.as_str()).collect::<Vec<_>>().join(",")
    }

    /// A command to these agents.
    pub fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = command(&[name, "--agents", &self.addresses(), "--token-file"]);
        command.arg(self.token()).args(arguments).stdin(Stdio::null());
        command
    }

    pub fn run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }

    /// What a command prints, which has to succeed.
    pub fn print(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.run(name, arguments);
        assert!(output.status.success(), "{name} {arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What `cutwater jobs` lists.
    pub fn jobs(&self) -> Vec<Listed> {
        let table = self.print("jobs", &[]);
        let row = |line: &str| {
            let mut cells =
                line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned);
            let mut next = || cells.next().unwrap();
            let (job, agent, process, state, _for) = (next(), next(), next(), next(), next());
            Listed { job, agent, process, state, restarts: next().parse().unwrap() }
        };
        table.lines().skip(1).map(row).collect()
    }

    /// Waits until the list is as it should be.
    pub fn jobs_until(&self, is_it: impl Fn(&[Listed]) -> bool) -> Vec<Listed> {
        let mut jobs = Vec::new();
        wait_for(
            || format!("{:?}", self.jobs()),
            || {
                jobs = self.jobs();
                is_it(&jobs)
            },
        );
        jobs
    }

    /// The numbers of all processes that run.
    pub fn pids(&self) -> Vec<u32> {
        self.jobs().iter().filter_map(Listed::pid).collect()
    }
}

impl Agent {
    pub fn pid(&self) -> u32 {
        self.child.0.id()
    }

    /// Sends a signal, and waits for the end.
    pub fn end(&mut self, with: &str) {
        signal(self.pid(), with);
        self.child.0.wait().unwrap();
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended already; what an agent runs ends with it, however that may be.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A small program that is built with these tests.
pub fn readings() -> PathBuf {
    built("examples/readings", "cutwater-cli")
}

/// What cargo has built beside this test.
pub fn built(name: &str, package: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let built = test.parent().and_then(Path::parent).unwrap().join(name);
    assert!(built.exists(), "{} is not built: cargo build -p {package} --examples", built.display());
    built
}

/// Readings of so many seconds, in a file.
pub fn sensors(dir: &Path, seconds: u64) -> String {
    let mut text = "second,sensor,value\n".to_owned();
    for second in 1..=seconds {
        (0..20).for_each(|n| text += &format!("{second},s{},{}\n", (n * second) % 7, n * n + second));
    }
    let file = dir.join(format!("readings-{seconds}.csv"));
    fs::write(&file, text).unwrap();
    file.to_str().unwrap().to_owned()
}

/// What the program prints in one process.
pub fn embedded(program: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn signal(pid: u32, with: &str) {
    let done = Command::new("kill").args([with, &pid.to_string()]).status().unwrap();
    assert!(done.success(), "kill {with} {pid}");
}

/// Whether a process is there, and is more than an entry that waits to be read.
pub fn is_there(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with('Z'))
}

/// Waits for an outcome; long enough for a machine that is busy with everything else.
pub fn wait_for(otherwise: impl Fn() -> String, mut is_it: impl FnMut() -> bool) {
    let began = Instant::now();
    while !is_it() {
        assert!(began.elapsed() < Duration::from_secs(90), "{}", otherwise());
        thread::sleep(Duration::from_millis(20));
    }
}
