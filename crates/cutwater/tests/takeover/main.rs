//! Masters that are killed, stopped and started again: another goes on with the workers that are there, and every
//! interval's output is what it would have been.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod again;
mod clients;
mod copies;
mod damage;
mod elsewhere;
mod ends;
mod late;
mod paused;
#[path = "../support/process.rs"]
mod process;
mod states;

use std::{
    env,
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command},
    time::Duration,
};

use cutwater::{Builder, Context};

const INTERVAL: Duration = Duration::from_millis(100);

const STANDBY: &str = "TAKEOVER_STANDBY";
const PARALLELISM: &str = "TAKEOVER_PARALLELISM";
const ADDRESS: &str = "TAKEOVER_ADDRESS";
/// Whether it says what it sees.
const SAYS: &str = "TAKEOVER_SAYS";

/// What all programs here have in common, and what is said to each in its environment.
fn builder(folder: &Path) -> Builder {
    if env::var(SAYS).is_ok() {
        tracing_subscriber::fmt().with_writer(std::io::stderr).with_ansi(false).init();
    }
    let parallelism = env::var(PARALLELISM).map_or(6, |number| number.parse().unwrap());
    let builder = Context::builder("takeover")
        .interval(INTERVAL)
        .threads(1)
        .parallelism(parallelism)
        .standby(env::var(STANDBY).is_ok())
        .token_file(folder.join("token"))
        .checkpoint(folder.join("checkpoints").to_str().unwrap())
        .checkpoint_intervals(8)
        .handle_signals(false)
        .progress(false);
    match env::var(ADDRESS) {
        // Its workers are started by hand.
        Ok(address) => builder.master(address),
        Err(_) => builder.workers(3),
    }
}

fn start(folder: &Path) -> Child {
    process::program(folder).spawn().unwrap()
}

fn start_standby(folder: &Path) -> Child {
    process::program(folder).env(STANDBY, "1").spawn().unwrap()
}

/// What is in a folder, by name.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

/// How many workers the newest lease names.
fn named(folder: &Path) -> usize {
    let lease = entries(&folder.join("checkpoints").join("leases")).pop();
    let lease = lease.and_then(|lease| fs::read(lease).ok()).unwrap_or_default();
    lease.windows(10).filter(|address| address == b"127.0.0.1:").count()
}

/// What masters and workers prove who they are by, where workers are started by hand.
const TOKEN: &str = "known to both";

/// A master whose workers are started by hand, and the workers.
struct ByHand {
    folder: PathBuf,
    address: String,
}

impl ByHand {
    fn new(folder: &Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { folder: folder.to_owned(), address: free.to_string() }
    }

    fn command(&self) -> Command {
        let mut command = process::program(&self.folder);
        command.env("CUTWATER_TOKEN", TOKEN);
        command
    }

    fn master(&self) -> Child {
        self.command().env(ADDRESS, &self.address).spawn().unwrap()
    }

    /// One that says in a file what it sees.
    fn master_that_says(&self, says: &Path) -> Child {
        let mut command = self.command();
        command.env(ADDRESS, &self.address).env(SAYS, "").stderr(File::create(says).unwrap());
        command.spawn().unwrap()
    }

    /// One that joins whoever is at that address.
    fn worker(&self, master: &str) -> Command {
        let mut command = self.command();
        command.env("CUTWATER_ROLE", "worker").env("CUTWATER_JOIN", master);
        command
    }

    fn workers(&self) -> Vec<Child> {
        (0..3).map(|_| self.worker(&self.address).spawn().unwrap()).collect()
    }
}
