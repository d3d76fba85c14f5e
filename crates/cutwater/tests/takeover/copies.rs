//! Received blocks that were copied after a loss, and the next master.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::Duration,
};

use cutwater::{Error, testing::Harness};
use cutwater_client::Client;
use tempfile::TempDir;

use crate::{
    builder,
    process::{self, children, kill, program, signal, wait_until},
};

const SECOND: Duration = Duration::from_secs(1);

/// The program: all that clients have sent. It runs an interval when it is told to, and says what it sees of its workers when
/// it is asked.
fn run(folder: &Path) -> Result<(), Error> {
    // Nothing is written of it, so that all of it is read from what workers hold.
    let builder =
        builder(folder).interval(SECOND).checkpoint_intervals(1_000).checkpoint_every(1_000 * SECOND);
    let harness = Harness::with(builder, 4);
    let lines = harness.ctx().source("records").client_lines();
    let seen = harness.watch(&lines.window(1_000 * SECOND, SECOND));
    fs::write(folder.join("address"), harness.ctx().client_access()?.address.to_string())
        .map_err(Error::user)?;
    for asked in std::io::stdin().lines() {
        match &*asked.map_err(Error::user)? {
            "workers" => println!("\nworkers {} {}", harness.joined(), harness.copies()),
            _ => {
                harness.advance(1)?;
                let mut lines = seen.all().pop().flatten().unwrap_or_default();
                lines.sort_unstable();
                println!("\nseen {}", lines.join(" "));
            }
        }
    }
    Ok(())
}

/// A master that does what it is told.
struct Master {
    process: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

impl Master {
    fn start(folder: &Path) -> Self {
        let mut process = program(folder).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (to, from) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        Self { process, to, from: BufReader::new(from) }
    }

    fn ask(&mut self, what: &str, answer: &str) -> String {
        writeln!(self.to, "{what}").unwrap();
        let mut lines = (&mut self.from).lines().map(Result::unwrap);
        lines.find_map(|line| line.strip_prefix(answer).map(str::to_owned)).expect("it ends")
    }

    /// All that is seen in one more interval.
    fn advance(&mut self) -> Vec<String> {
        let seen = self.ask("advance", "seen ");
        seen.split_ascii_whitespace().map(str::to_owned).collect()
    }

    /// How many workers there are, and how many blocks are held by too few of them.
    fn wait_for(&mut self, workers: &str) {
        wait_until(&format!("it does not see {workers}"), || self.ask("workers", "workers ") == workers);
    }
}

/// A program with its first master and three workers, and clients that send to each of these.
struct Trial {
    dir: TempDir,
    workers: Vec<u32>,
    clients: Vec<Client>,
    /// All that was acknowledged.
    sent: Vec<String>,
    rounds: u32,
}

impl Trial {
    fn start() -> (Self, Master) {
        let dir = tempfile::tempdir().unwrap();
        let mut master = Master::start(dir.path());
        master.wait_for("3 0");
        let workers = children(&master.process);
        master.advance();
        let address = fs::read_to_string(dir.path().join("address")).unwrap();
        let client = |_| {
            let client = Client::builder(&address, "records").token_file(dir.path().join("token"));
            client.patience(process::PATIENCE).build().unwrap()
        };
        let clients = (0..8).map(client).collect();
        (Self { dir, workers, clients, sent: Vec::new(), rounds: 0 }, master)
    }

    fn send(&mut self) {
        for (n, client) in self.clients.iter().enumerate() {
            let record = format!("{n}:{}", self.rounds);
            client.send(&record).unwrap();
            client.flush().unwrap();
            self.sent.push(record);
        }
        self.rounds += 1;
        self.sent.sort_unstable();
    }

    /// Sends what is in so many intervals, and something that is in none.
    fn run(&mut self, master: &mut Master, intervals: u32) {
        for _ in 0..intervals {
            self.send();
            master.advance();
        }
        self.send();
    }

    fn next_master(&self) -> Master {
        Master::start(self.dir.path())
    }

    /// Has the program end, which sees all that was sent.
    fn ends(self, mut master: Master) {
        // What was run before may be run again first.
        wait_until("records are lost", || master.advance() == self.sent);
        drop(master.to);
        assert_eq!(process::exit_code(&mut master.process), Some(0));
    }
}

/// Of three workers two are lost, one under a master that has what that one held copied, and one under the next.
#[test]
fn a_copy_is_told_to_the_next_master() {
    if process::is_program(run) {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    trial.run(&mut master, 4);
    master.advance();
    signal(trial.workers[0], "-KILL");
    master.wait_for("2 0");
    // This is in no interval.
    trial.send();
    kill(master.process);
    let mut master = trial.next_master();
    master.wait_for("2 0");
    signal(trial.workers[1], "-KILL");
    master.wait_for("1 0");
    trial.ends(master);
}

/// Of three workers two are lost, one while there is no master, and one when the next has come. What was held with the first is
/// copied in between, whether it was in an interval or not.
#[test]
fn what_is_lost_without_a_master_is_held_by_two_again() {
    if process::is_program(run) {
        return;
    }
    let (mut trial, mut master) = Trial::start();
    trial.run(&mut master, 4);
    kill(master.process);
    signal(trial.workers[0], "-KILL");
    let mut master = trial.next_master();
    // What was in no interval is known of when one is cut.
    master.advance();
    master.wait_for("2 0");
    signal(trial.workers[1], "-KILL");
    master.wait_for("1 0");
    trial.ends(master);
}
