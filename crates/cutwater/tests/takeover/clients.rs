//! Programs whose records clients send.

use std::{
    fs::{self, File},
    path::Path,
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use cutwater::{Builder, Error};
use cutwater_client::Client;
use tempfile::TempDir;

use crate::{
    ByHand, INTERVAL, TOKEN, builder, entries,
    process::{self, PATIENCE, children, exit_code, kill, signal, wait_until},
    start, start_standby,
};

pub const KEYS: u64 = 500;

/// A file that has the program's output fail, and one that has it end before it runs.
pub const FAILS: &str = "fails";
pub const FAILS_BEFORE: &str = "fails-before";

/// The program: how often each line came, until one says that it is the last.
pub fn run(builder: Builder, folder: &Path) -> Result<(), Error> {
    let ctx = builder.build()?;
    if folder.join(FAILS_BEFORE).exists() {
        return Err(Error::user("it is made to fail"));
    }
    let lines = ctx.source("records").client_lines();
    let counts = lines.map(|line| (line, 1u64)).running_reduce(|a, b| a + b);
    let (out, program, refuses) = (folder.join("counts"), ctx.clone(), folder.join(FAILS));
    counts.for_each_rdd(move |rdd, _| {
        let counts = rdd.collect()?;
        if refuses.exists() {
            return Err(Error::user("it is made to fail"));
        }
        if counts.iter().any(|(line, _)| line == "last") {
            program.stop();
        }
        let mut counts: Vec<String> = counts.into_iter().map(|(line, n)| format!("{line} {n}\n")).collect();
        counts.sort_unstable();
        write(&out, &counts.concat())
    });
    write(&folder.join("address"), &ctx.client_access()?.address.to_string())?;
    ctx.run()
}

/// Whoever reads finds all of it, or all that was there before.
fn write(file: &Path, content: &str) -> Result<(), Error> {
    let beside = file.with_extension(format!("{}", std::process::id()));
    let written = fs::write(&beside, content).and_then(|()| fs::rename(&beside, file));
    written.map_err(Error::user)
}

pub fn is_program() -> bool {
    process::is_program(|folder| run(builder(folder), folder))
}

/// A program and a client of it.
pub struct Trial {
    dir: TempDir,
    client: Client,
    sent: u64,
    /// By clients before this one.
    before: u64,
}

impl Trial {
    /// Started, with its first master.
    pub fn start() -> (Self, Child) {
        Self::start_by(start)
    }

    /// The same with a master that is started so.
    pub fn start_by<M>(start: impl FnOnce(&Path) -> M) -> (Self, M) {
        let dir = tempfile::tempdir().unwrap();
        let master = start(dir.path());
        wait_until("it does not start", || address(dir.path()).is_some());
        let client = client(dir.path());
        (Self { dir, client, sent: 0, before: 0 }, master)
    }

    /// The same with processes that are started by hand; more of them can be.
    pub fn start_by_hand<P>(start: impl FnOnce(&ByHand) -> P) -> (Self, ByHand, P) {
        let (trial, (by_hand, processes)) = Self::start_by(|folder| {
            // Whoever is first would make one that is not known.
            fs::write(folder.join("token"), TOKEN).unwrap();
            let by_hand = ByHand::new(folder);
            let processes = start(&by_hand);
            (by_hand, processes)
        });
        (trial, by_hand, processes)
    }

    pub fn folder(&self) -> &Path {
        self.dir.path()
    }

    pub fn send(&mut self, records: u64) {
        for _ in 0..records {
            self.client.send(format!("record {}", self.sent % KEYS)).unwrap();
            self.sent += 1;
        }
    }

    pub fn send_for(&mut self, intervals: u32) {
        let until = Instant::now() + intervals * INTERVAL;
        while Instant::now() < until {
            self.send(20);
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Sends two of each key, and waits until they are acknowledged.
    pub fn send_all(&mut self) {
        self.send(2 * KEYS);
        self.client.flush().unwrap();
        assert_eq!(self.before + self.client.acknowledged(), self.sent);
    }

    /// A client of the program as it is reached now.
    pub fn connect(&mut self) {
        (self.client, self.before) = (client(self.dir.path()), self.sent);
    }

    /// Has the program end, which has counted each record once.
    pub fn ends(mut self, master: Child) {
        self.end(master);
    }

    /// The same, and its files stay.
    pub fn end(&mut self, mut master: Child) {
        self.client.flush().unwrap();
        self.client.send(b"last").unwrap();
        self.client.flush().unwrap();
        assert_eq!(exit_code(&mut master), Some(0));
        assert_eq!(self.counts(), self.expected(&["last 1\n"]));
    }

    /// Whether it has counted each record once.
    pub fn has_counted_all(&self) -> bool {
        self.counts() == self.expected(&[])
    }

    fn counts(&self) -> String {
        fs::read_to_string(self.folder().join("counts")).unwrap_or_default()
    }

    fn expected(&self, and: &[&str]) -> String {
        let count = |key: u64| format!("record {key} {}\n", (self.sent - key).div_ceil(KEYS));
        let mut expected: Vec<String> = (0..KEYS).map(count).collect();
        expected.extend(and.iter().map(|line| (*line).to_owned()));
        expected.sort_unstable();
        expected.concat()
    }
}

fn client(folder: &Path) -> Client {
    let client = Client::builder(&address(folder).unwrap(), "records");
    client.token_file(folder.join("token")).patience(PATIENCE).build().unwrap()
}

pub fn address(folder: &Path) -> Option<String> {
    fs::read_to_string(folder.join("address")).ok()
}

/// What clients were told is safe is counted once, though masters are killed while they send.
#[test]
fn acknowledged_records_count_once_whichever_master_is_killed() {
    if is_program() {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    trial.send_for(8);
    for _ in 0..2 {
        let standby = start_standby(trial.folder());
        trial.send_for(12);
        kill(master);
        master = standby;
        trial.send_for(25);
    }
    trial.ends(master);
}

/// Its silence is all there is to see: nothing of it ends. Workers go on acknowledging, before the takeover and after it, and
/// while the one that was stopped wakes up.
#[test]
fn clients_are_acknowledged_while_a_master_that_was_stopped_is_replaced_and_wakes_up() {
    if is_program() {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    let first = address(trial.folder());
    trial.send_all();
    wait_until("nothing is given out", || trial.folder().join("counts").exists());
    let standby = start_standby(trial.folder());
    trial.send_all();
    signal(master.id(), "-STOP");
    trial.send_all();
    wait_until("nobody takes over", || address(trial.folder()) != first);
    trial.send_all();
    signal(master.id(), "-CONT");
    trial.send_all();
    assert_eq!(exit_code(&mut master), Some(3));
    trial.send_all();
    trial.ends(standby);
}

/// A program that makes no checkpoint.
fn without_checkpoints(folder: &Path) -> Command {
    let mut command = process::program(folder);
    command.env("CUTWATER_CHECKPOINT_MS", "600000").env("CUTWATER_CHECKPOINT_INTERVALS", "1000");
    command
}

/// Starts it where records are lost, and hears that it refuses to go on.
fn refuses(folder: &Path) {
    let says = folder.join("says");
    // Its workers are left, and would keep a pipe open.
    let refused = without_checkpoints(folder).stderr(File::create(&says).unwrap()).status().unwrap();
    let said = fs::read_to_string(&says).unwrap();
    assert!(said.contains("held by no worker") && said.contains("--allow-lost"), "{said}");
    assert_eq!(refused.code(), Some(3));
}

/// Starts a master, and waits until it has its workers.
fn starts_again(folder: &Path, mut command: Command) -> Child {
    fs::remove_file(folder.join("address")).unwrap();
    let master = command.spawn().unwrap();
    wait_until("it does not start again", || address(folder).is_some());
    master
}

/// The same without the lost ones, to its end.
fn goes_on_without_them(folder: &Path) {
    let mut allowed = without_checkpoints(folder);
    allowed.env("CUTWATER_ALLOW_LOST", "true");
    let mut allowed = starts_again(folder, allowed);
    let client = client(folder);
    client.send("last").unwrap();
    client.flush().unwrap();
    assert_eq!(exit_code(&mut allowed), Some(0));
}

/// The checkpoints are as good as they were: no other would help, and none is given up.
#[test]
fn what_is_lost_with_two_workers_does_not_make_checkpoints_useless() {
    if is_program() {
        return;
    }
    let (mut trial, master) = Trial::start();
    trial.send_all();
    let folder = trial.folder();
    let counts = || fs::read_to_string(folder.join("counts")).unwrap_or_default();
    wait_until("they are not counted", || counts().lines().count() as u64 == KEYS);
    let checkpoints = folder.join("checkpoints").join("checkpoints");
    let newest = || checkpoints.exists().then(|| entries(&checkpoints).pop());
    for _ in 0..2 {
        let before = newest();
        wait_until("there is no checkpoint", || newest() != before);
    }
    let workers = children(&master);
    kill(master);
    let master = starts_again(folder, without_checkpoints(folder));
    // Some at each worker.
    let clients: Vec<Client> = (0..8).map(|_| client(folder)).collect();
    for client in &clients {
        client.send("since").unwrap();
        client.flush().unwrap();
    }
    wait_until("they are not counted", || counts().contains("since 8\n"));
    // Their interval is over, as the log says with the next.
    let log = || entries(&folder.join("checkpoints").join("log")).len();
    let before = log();
    wait_until("there is no other interval", || log() > before + 3);
    kill(master);
    workers[1..].iter().for_each(|worker| signal(*worker, "-KILL"));
    refuses(folder);
    goes_on_without_them(folder);
    let before = |key: u64| counts().contains(&format!("record {key} 2\n"));
    assert!((0..KEYS).all(before), "{}", counts());
}

/// With all workers all that clients sent since the last checkpoint is lost.
#[test]
fn a_program_whose_workers_were_all_killed_says_what_is_lost_and_goes_on_if_it_may() {
    if is_program() {
        return;
    }
    let (mut trial, master) = Trial::start_by(|folder| without_checkpoints(folder).spawn().unwrap());
    trial.send_all();
    let counts = trial.folder().join("counts");
    let lines = || fs::read_to_string(&counts).unwrap_or_default().lines().count() as u64;
    wait_until("they are not counted", || lines() == KEYS);
    let workers = children(&master);
    kill(master);
    workers.into_iter().for_each(|worker| signal(worker, "-KILL"));
    refuses(trial.folder());
    goes_on_without_them(trial.folder());
    assert_eq!(fs::read_to_string(&counts).unwrap(), "last 1\n", "and nothing else is left");
}
