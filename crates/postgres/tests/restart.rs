//! Programs with checkpoints whose results go to a real server, and whose masters are killed and stopped, or whose server is:
//! whoever goes on adds each row once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../../cutwater/tests/support/process.rs"]
mod process;
mod support;

use std::{
    env, fs,
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use cutwater::{Context, Error, Time};
use cutwater_postgres::PostgresSink;
use postgres::{Client, Transaction};
use process::{exit_code, kill, signal, wait_until};
use support::Server;

const SERVER: &str = "RESTART_SERVER";
const INTERVAL: Duration = Duration::from_millis(100);
const INTERVALS: i64 = 60;
const RECORDS_PER_INTERVAL: i64 = 20;
const RECORDS: i64 = INTERVALS * RECORDS_PER_INTERVAL;
const KEYS: i64 = 7;
/// Connections of sinks that are at the first statement of a commit.
const SESSIONS: &str =
    "FROM pg_stat_activity WHERE application_name = 'cutwater' AND query LIKE '%FOR UPDATE'";
/// Whether a sink waits to copy rows into its staging table.
const STAGING_WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
    WHERE application_name = 'cutwater' AND query LIKE 'COPY%' AND wait_event_type = 'Lock'";
/// Calls that find no server, of tasks that stage at a time, and of the master, which commits alone. With the pauses before them
/// the latter take 1.6 s; when the server is there again, there are more to come for as long at least.
const STAGES_REFUSED: usize = 5;
const COMMITS_REFUSED: usize = 5;

/// The program: its records, which are only added to a table, and what there is of each key so far.
fn run(folder: &Path, server: &str) -> Result<(), Error> {
    let builder = Context::builder("restart").interval(INTERVAL).threads(1).workers(2);
    let builder = builder.parallelism(3).standby(env::var_os("RESTART_STANDBY").is_some());
    let builder = builder.token_file(folder.join("token"));
    let builder =
        builder.checkpoint(folder.join("checkpoints").display().to_string()).checkpoint_intervals(4);
    let ctx = builder.handle_signals(false).progress(false).build()?;
    let parse = |line: &str| line.parse::<i64>().map_err(|error| error.to_string());
    // They happened one after the other.
    let happened = |n: &i64| Time::from_ms(1 + n * INTERVAL.as_millis() as i64 / RECORDS_PER_INTERVAL);
    let records = ctx.source("records").replay([folder.join("input")], parse, happened);
    let counts = records.map(|n| (n % KEYS, 1)).running_reduce(|a, b| a + b);
    records.map(|n| (n,)).sink(PostgresSink::<(i64,)>::new(server, "records", ["n"]));
    counts.sink(PostgresSink::<(i64, i64)>::new(server, "counts", ["key", "n"]).keyed_by(["key"]));
    ctx.run()
}

/// In a process that was started as the program, is it.
fn is_program() -> bool {
    process::is_program(|folder| run(folder, &env::var(SERVER).unwrap()))
}

/// A server, the program's folder, and what is started of it.
struct Trial {
    server: Server,
    folder: tempfile::TempDir,
}

impl Trial {
    fn new() -> Option<Self> {
        let (server, folder) = (Server::start()?, tempfile::tempdir().unwrap());
        let lines: String = (0..RECORDS).map(|n| format!("{n}\n")).collect();
        fs::write(folder.path().join("input"), lines).unwrap();
        Some(Self { server, folder })
    }

    fn command(&self) -> Command {
        let mut command = process::program(self.folder.path());
        command.env(SERVER, self.server.connection());
        command
    }

    fn master(&self) -> Child {
        self.command().spawn().unwrap()
    }

    fn standby(&self) -> Child {
        self.command().env("RESTART_STANDBY", "").spawn().unwrap()
    }

    /// Waits until what the server answers to `sql` is true.
    fn wait_until(&self, sql: &str) {
        let mut client = self.server.client();
        // The tables are not there at first.
        wait_until(&format!("not so: {sql}"), || {
            client.query(sql, &[]).is_ok_and(|rows| rows.first().is_some_and(|row| row.get(0)))
        });
    }

    fn wait_for_intervals(&self, intervals: i64) {
        self.wait_until(&format!("SELECT count(*) >= {} FROM records", intervals * RECORDS_PER_INTERVAL));
    }

    /// A commit to `table` waits in its transaction for what this one holds.
    fn hold_up_commits<'a>(&self, client: &'a mut Client, table: &str) -> Transaction<'a> {
        let mut lock = client.transaction().unwrap();
        lock.query("SELECT * FROM cutwater_sinks WHERE name = $1 FOR UPDATE", &[&table]).unwrap();
        self.wait_until(&format!("SELECT count(*) > 0 {SESSIONS} AND wait_event_type = 'Lock'"));
        lock
    }

    /// Does it while a commit to `table` waits in its transaction for what we hold.
    fn while_a_commit_waits(&self, table: &str, act: impl FnOnce()) {
        let mut client = self.server.client();
        let lock = self.hold_up_commits(&mut client, table);
        act();
        lock.rollback().unwrap();
    }

    /// Each row is there once, and nothing else.
    fn assert_complete(&self) {
        let missing = format!(
            "SELECT n::text FROM generate_series(0, {RECORDS} - 1) n EXCEPT SELECT n::text FROM records"
        );
        assert_eq!(self.server.ask(&missing), [""; 0]);
        let twice = "SELECT n || ' ×' || count(*) FROM records GROUP BY n HAVING count(*) > 1";
        assert_eq!(self.server.ask(twice), [""; 0]);
        let counts: Vec<String> =
            (0..KEYS).map(|key| format!("{key} {}", (RECORDS - key + KEYS - 1) / KEYS)).collect();
        assert_eq!(self.server.ask("SELECT key || ' ' || n FROM counts ORDER BY key"), counts);
        assert_eq!(self.server.ask("SELECT n::text FROM records_staged"), [""; 0]);
        let committed = format!(
            "SELECT (min(committed_ms) >= {0} AND min(committed_ms) = max(committed_ms))::text FROM cutwater_sinks",
            INTERVALS * INTERVAL.as_millis() as i64
        );
        assert_eq!(self.server.ask(&committed), ["true"]);
    }
}

#[test]
fn a_program_that_is_killed_and_started_again_adds_each_row_once() {
    if is_program() {
        return;
    }
    let Some(trial) = Trial::new() else {
        return;
    };
    for intervals in [5, 17, 30, 44] {
        let master = trial.master();
        trial.wait_for_intervals(intervals);
        // One table has the interval, and the other has not.
        trial.while_a_commit_waits("counts", || kill(master));
    }
    assert_eq!(exit_code(&mut trial.master()), Some(0));
    trial.assert_complete();
}

#[test]
fn a_standby_adds_what_is_missing() {
    if is_program() {
        return;
    }
    let Some(trial) = Trial::new() else { return };
    let master = trial.master();
    trial.wait_for_intervals(2);
    let mut standby = trial.standby();
    trial.wait_for_intervals(20);
    kill(master);
    assert_eq!(exit_code(&mut standby), Some(0));
    trial.assert_complete();
}

/// The server is shut down twice in the midst of what a sink asks of it, for some seconds: while workers stage, and while the
/// master commits. All sessions end, and nobody answers until the server is started again. The program lives through it.
#[test]
fn a_server_that_is_started_again_is_outlasted() {
    if is_program() {
        return;
    }
    let Some(mut trial) = Trial::new() else { return };
    let mut master = trial.master();
    trial.wait_for_intervals(5);

    // When the last commit of an interval waits, the next to want the table is who stages for the interval after it.
    let (mut client, mut other) = (trial.server.client(), trial.server.client());
    let commits = trial.hold_up_commits(&mut client, "counts");
    let mut stages = other.transaction().unwrap();
    stages.batch_execute("LOCK TABLE records_staged").unwrap();
    commits.rollback().unwrap();
    trial.wait_until(STAGING_WAITS);
    trial.server.restart_after(STAGES_REFUSED);
    drop(stages);

    let mut client = trial.server.client();
    let commits = trial.hold_up_commits(&mut client, "counts");
    trial.server.restart_after(COMMITS_REFUSED);
    drop(commits);

    assert_eq!(exit_code(&mut master), Some(0));
    trial.assert_complete();
}

/// The master is stopped in the midst of a transaction that holds the locks of the sink: the server ends it, the other
/// goes on, and when the first wakes up, what it began to commit is refused.
#[test]
fn a_transaction_of_a_master_that_was_overtaken_is_fenced() {
    if is_program() {
        return;
    }
    let Some(trial) = Trial::new() else { return };
    let said = trial.folder.path().join("said");
    let mut master = trial.command().stderr(fs::File::create(&said).unwrap()).spawn().unwrap();
    trial.wait_for_intervals(2);
    let mut standby = trial.standby();
    trial.wait_for_intervals(15);

    trial.while_a_commit_waits("records", || signal(master.id(), "-STOP"));
    trial.wait_until(&format!("SELECT count(*) > 0 {SESSIONS} AND state = 'idle in transaction'"));
    trial.wait_for_intervals(30);
    signal(master.id(), "-CONT");
    assert_eq!(exit_code(&mut master), Some(3));
    let said = fs::read_to_string(said).unwrap();
    assert!(said.contains("table records belongs to the master of epoch"), "{said}");
    assert_eq!(exit_code(&mut standby), Some(0));
    trial.assert_complete();
}
