//! Workers that join, leave and are lost while a program runs, which goes on.

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use cutwater::testing::Harness;
use cutwater_client::Client;

use crate::{builder, sorted, wait_until};

/// A program that more workers can join, which are started as this test once more.
struct Open {
    harness: Harness,
    token: tempfile::NamedTempFile,
}

impl Open {
    fn new(workers: usize, parallelism: u32) -> Self {
        let mut token = tempfile::NamedTempFile::new().unwrap();
        token.write_all(b"known to all").unwrap();
        // A copy of a task would be a second computation, and is not what these tests are about.
        let builder = builder(workers).parallelism(parallelism).speculation(false).token_file(token.path());
        Self { harness: Harness::with(builder, parallelism), token }
    }

    /// One more worker, once it has joined.
    fn one_more(&self) -> Joined {
        let before = self.harness.joined();
        let test = std::thread::current().name().unwrap().to_owned();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([&test, "--exact", "--nocapture"]).stdin(Stdio::null()).stdout(Stdio::null());
        command
            .env("CUTWATER_ROLE", "worker")
            .env("CUTWATER_JOIN", self.harness.master().unwrap().to_string());
        command.env("CUTWATER_TOKEN", fs::read_to_string(self.token.path()).unwrap());
        let joined = Joined(command.spawn().unwrap());
        wait_until("it has not joined", || self.harness.joined() > before);
        joined
    }
}

/// Ends with the test at the latest.
struct Joined(Child);

impl Joined {
    fn signal(&self, signal: &str) {
        let sent = Command::new("kill").args([signal, &self.0.id().to_string()]).status().unwrap();
        assert!(sent.success());
    }

    fn ended(&mut self) -> Option<ExitStatus> {
        self.0.try_wait().unwrap()
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// So many that each worker of a few receives from some of them; they send to the source `lines` in rounds.
struct Clients(Vec<Client>);

impl Clients {
    const COUNT: u64 = 8;

    fn of(program: &Open) -> Self {
        let address = program.harness.ctx().client_access().unwrap().address.to_string();
        let client = |_| Client::builder(&address, "lines").token_file(program.token.path()).build().unwrap();
        Self((0..Self::COUNT).map(client).collect())
    }

    /// A line from each, once it is acknowledged.
    fn send(&self, round: u64) {
        for (n, client) in self.0.iter().enumerate() {
            client.send(format!("{n}:{round}")).unwrap();
            client.flush().unwrap();
        }
    }

    /// What they have sent in that many rounds, in order.
    fn lines(rounds: u64) -> Vec<String> {
        sorted((0..Self::COUNT).flat_map(|n| (0..rounds).map(move |round| format!("{n}:{round}"))).collect())
    }
}

/// Numbers of an interval, and what their running sums by key are after it.
fn numbers(t: u64) -> Vec<u64> {
    (0..60).map(|n| 100 * t + n).collect()
}

fn sums(t: u64) -> Vec<(u64, u64)> {
    let mut sums = BTreeMap::new();
    (0..=t).flat_map(numbers).for_each(|n| *sums.entry(n % 17).or_insert(0) += n);
    sums.into_iter().collect()
}

/// Takes note of a record in a file to which all processes write.
fn note(file: &str, n: u64) {
    let mut file = OpenOptions::new().append(true).create(true).open(file).unwrap();
    file.write_all(format!("{n}\n").as_bytes()).unwrap();
}

#[test]
fn a_worker_told_to_leave_hands_over_its_state_and_nothing_is_computed_again() {
    let program = Open::new(2, 6);
    let mut third = program.one_more();
    let dir = tempfile::tempdir().unwrap();
    let seen_file = dir.path().join("seen").to_str().unwrap().to_owned();
    let harness = &program.harness;
    let keyed = harness.input((0..1_000).map(numbers)).with(seen_file.clone()).map(|file, n| {
        note(file, n);
        (n % 17, n)
    });
    let seen = harness.watch(&keyed.running_reduce(|a, b| a + b));
    harness.advance(4).unwrap();

    third.signal("-TERM");
    let mut status = None;
    let mut intervals = 4;
    wait_until("it has not left", || {
        harness.advance(1).unwrap();
        intervals += 1;
        status = third.ended();
        status.is_some()
    });
    assert_eq!(status.and_then(|status| status.code()), Some(0), "it leaves in good order");
    wait_until("its end was not noticed", || harness.joined() == 2);
    harness.advance(3).unwrap();
    intervals += 3;

    let answers = seen.all();
    assert_eq!(answers.len() as u64, intervals);
    for (t, records) in (0..).zip(answers) {
        assert_eq!(sorted(records.unwrap()), sums(t), "interval {t}");
    }
    let mut computed: Vec<u64> =
        fs::read_to_string(Path::new(&seen_file)).unwrap().lines().map(|n| n.parse().unwrap()).collect();
    computed.sort_unstable();
    let mut once: Vec<u64> = (0..intervals).flat_map(numbers).collect();
    once.sort_unstable();
    assert_eq!(computed, once, "each record of each interval was looked at once");
}

#[test]
fn a_second_signal_ends_a_worker_at_once() {
    let program = Open::new(1, 2);
    let mut second = program.one_more();
    second.signal("-TERM");
    wait_until("it does not end", || {
        let ended = second.ended();
        if ended.is_none() {
            second.signal("-TERM");
        }
        ended.is_some()
    });
    wait_until("its end was not noticed", || program.harness.joined() == 1);
    assert_eq!(program.harness.ctx().parallelize(0..10).count().unwrap(), 10);
}

#[test]
fn a_newcomer_gets_its_share_of_state_and_then_nothing_moves() {
    let program = Open::new(2, 6);
    let harness = &program.harness;
    let keyed = harness.input((0..1_000).map(numbers)).map(|n| (n % 17, n));
    // A record for each partition: the process in which its state is, and the state.
    let sums_at = keyed
        .running_reduce(|a, b| a + b)
        .map_partitions(|sums| vec![(std::process::id(), sums.into_iter().collect::<Vec<_>>())]);
    let seen = harness.watch(&sums_at);
    let processes = || -> Vec<u32> {
        sorted(seen.all().pop().unwrap().unwrap().into_iter().map(|(process, _)| process).collect())
    };
    harness.advance(6).unwrap();
    let third = program.one_more();
    let id = third.0.id();
    assert!(!processes().contains(&id));
    // It is given a partition when it has a free slot, which on a busy machine may be some intervals later.
    wait_until("not all three have two of six partitions", || {
        harness.advance(1).unwrap();
        let at = processes();
        at.chunk_by(|one, other| one == other).all(|same| same.len() == 2)
    });
    assert!(processes().contains(&id));
    let still: u64 = (0..8).map(|_| harness.step().unwrap().moved_partitions).sum();
    assert_eq!(still, 0, "what has moved stays");
    for (t, records) in (0..).zip(seen.all()) {
        let records = records.unwrap().into_iter().flat_map(|(_, sums)| sums).collect();
        assert_eq!(sorted(records), sums(t), "interval {t}");
    }
}

/// Two losses, one after the other, of the two workers that held all that clients had sent, and that nobody else held: in between
/// it was held twice again.
#[test]
fn received_blocks_are_held_by_two_again_after_a_loss() {
    let program = Open::new(2, 4);
    let harness = &program.harness;
    // The window reads all that was received.
    let lines = harness.ctx().source("lines").client_lines();
    let seen = harness.watch(&lines.window(Duration::from_secs(64), Duration::from_secs(1)));
    harness.advance(1).unwrap();
    let clients = Clients::of(&program);
    for round in 0..6 {
        clients.send(round);
        harness.advance(1).unwrap();
    }
    let newcomers = [program.one_more(), program.one_more()];
    for worker in harness.workers() {
        let left = harness.joined() - 1;
        crate::kill(worker);
        wait_until("its loss was not noticed", || harness.joined() <= left);
        wait_until("blocks are held too few times", || harness.copies() == 0);
    }
    harness.advance(1).unwrap();
    assert_eq!(sorted(seen.all().pop().unwrap().unwrap()), Clients::lines(6));
    drop(newcomers);
}

/// Of four workers, each of which holds what the one before receives, one is lost, and another while it is to hold in its place
/// what the first held: it is stopped, so that it does not. Then there is one more loss.
#[test]
fn records_of_clients_are_held_by_two_again_although_another_is_lost_meanwhile() {
    let program = Open::new(1, 4);
    let harness = &program.harness;
    // The window reads all that was received.
    let lines = harness.ctx().source("lines").client_lines();
    let seen = harness.watch(&lines.window(Duration::from_secs(64), Duration::from_secs(1)));
    harness.advance(1).unwrap();
    let others = [program.one_more(), program.one_more(), program.one_more()];
    let clients = Clients::of(&program);
    for round in 0..10 {
        clients.send(round);
        harness.advance(1).unwrap();
    }
    others[1].signal("-STOP");
    crate::kill(harness.workers()[0]);
    wait_until("its loss was not noticed", || harness.joined() == 3);
    assert!(harness.copies() > 0, "one is to hold something, and cannot");
    crate::kill(others[1].0.id());
    wait_until("its loss was not noticed", || harness.joined() == 2);
    wait_until("blocks are held too few times", || harness.copies() == 0);
    crate::kill(others[0].0.id());
    wait_until("its loss was not noticed", || harness.joined() == 1);
    harness.advance(1).unwrap();
    assert_eq!(sorted(seen.all().pop().unwrap().unwrap()), Clients::lines(10));
}

/// A process that is stopped keeps its connection and says nothing: it is lost all the same. When it goes on it finds that
/// it is not wanted as what it was, comes back as a newcomer, and gets its share.
#[test]
fn failure_3_a_worker_that_falls_silent_is_lost_like_one_that_dies_and_comes_back() {
    let program = Open::new(2, 6);
    let mut silent = program.one_more();
    let harness = &program.harness;
    let keyed = harness.input((0..1_000).map(numbers)).map(|n| (n % 17, n));
    let at = keyed.running_reduce(|a, b| a + b).map(|(key, sum)| (key, sum, std::process::id()));
    let seen = harness.watch(&at);
    harness.advance(2).unwrap();
    silent.signal("-STOP");
    harness.advance(2).unwrap();
    wait_until("its silence was not noticed", || harness.joined() == 2);
    harness.advance(2).unwrap();
    silent.signal("-CONT");
    wait_until("it does not come back", || harness.joined() == 3);
    assert!(silent.ended().is_none(), "it is the same process");
    harness.advance(10).unwrap();
    let answers = seen.all();
    for (t, records) in (0..).zip(&answers) {
        let records = records.clone().unwrap().into_iter().map(|(key, sum, _)| (key, sum)).collect();
        assert_eq!(sorted(records), sums(t), "interval {t}");
    }
    let has_some = |t: usize| answers[t].as_ref().unwrap().iter().any(|(.., at)| *at == silent.0.id());
    assert!(!has_some(5) && has_some(15), "it has state again");
    silent.signal("-TERM");
    wait_until("it does not leave when it is asked", || {
        harness.advance(1).unwrap();
        silent.ended().is_some_and(|status| status.success())
    });
}

#[test]
fn failure_5_without_any_worker_the_program_waits_for_one() {
    let program = Open::new(1, 2);
    let harness = &program.harness;
    let seen = harness
        .watch(&harness.input((0..100).map(numbers)).map(|n| (n % 17, n)).running_reduce(|a, b| a + b));
    harness.advance(2).unwrap();
    crate::kill(harness.workers()[0]);
    wait_until("its loss was not noticed", || harness.joined() == 0);
    // The next interval waits, until there is somebody to run it.
    let joined = std::thread::scope(|scope| {
        let advancing = scope.spawn(|| harness.advance(1));
        let joined = program.one_more();
        advancing.join().unwrap().unwrap();
        joined
    });
    harness.advance(1).unwrap();
    for (t, records) in (0..).zip(seen.all()) {
        assert_eq!(sorted(records.unwrap()), sums(t), "interval {t}");
    }
    drop(joined);
}

/// Who joins one by one holds replicas for the one before, and not all for the same: two of four are lost that are not next to
/// each other, and no record is.
#[test]
fn workers_that_join_one_by_one_hold_replicas_in_turn() {
    let program = Open::new(1, 4);
    let harness = &program.harness;
    let seen = harness.watch(&harness.ctx().source("lines").client_lines());
    harness.advance(1).unwrap();
    let others = [program.one_more(), program.one_more(), program.one_more()];
    let clients = Clients::of(&program);
    for round in 0..10 {
        clients.send(round);
        harness.advance(1).unwrap();
    }
    clients.send(10);
    [harness.workers()[0], others[1].0.id()].into_iter().for_each(crate::kill);
    wait_until("their loss was not noticed", || harness.joined() == 2);
    harness.advance(2).unwrap();
    let seen: Vec<String> = seen.all().into_iter().flatten().flatten().collect();
    assert_eq!(sorted(seen), Clients::lines(11));
}
