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

/// Of three workers two are lost, one under a master that has what that one held copied, and one under the next.
#[test]
fn a_copy_is_told_to_the_next_master() {
    if process::is_program(run) {
        return;
    }
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
    // Some at each worker.
    let clients: Vec<Client> = (0..8).map(client).collect();
    let send = |round: u32| {
        for (n, client) in clients.iter().enumerate() {
            client.send(format!("{n}:{round}")).unwrap();
            client.flush().unwrap();
        }
    };
    for round in 0..4 {
        send(round);
        master.advance();
    }
    signal(workers[0], "-KILL");
    master.wait_for("2 0");
    // This is in no interval.
    send(4);
    kill(master.process);
    let mut master = Master::start(dir.path());
    master.wait_for("2 0");
    signal(workers[1], "-KILL");
    master.wait_for("1 0");
    // What was run before may be run again first.
    let mut sent: Vec<String> =
        (0..8).flat_map(|n| (0..=4).map(move |round| format!("{n}:{round}"))).collect();
    sent.sort_unstable();
    wait_until("records are lost", || master.advance() == sent);
    drop(master.to);
    assert_eq!(process::exit_code(&mut master.process), Some(0));
}
