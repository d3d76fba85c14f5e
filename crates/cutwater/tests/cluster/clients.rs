//! Records that clients send to workers, some of which are killed.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use cutwater::testing::{Harness, Watched};
use cutwater_client::{Builder, Client};

use crate::{builder, harness, kill, signal, sorted};

fn client(harness: &Harness) -> Builder {
    let access = harness.ctx().client_access().unwrap();
    let address = access.address.to_string();
    Client::builder(&address, "lines")
        .token_file(access.token_file.unwrap())
        .patience(Duration::from_secs(60))
}

/// Clients that send as much as they can, each on a thread of its own.
struct Senders {
    threads: Vec<JoinHandle<()>>,
    sent: Arc<AtomicU64>,
}

const OF_EACH: u64 = 20_000;

impl Senders {
    fn start(harness: &Harness, clients: u64) -> Self {
        let sent = Arc::new(AtomicU64::new(0));
        let start = |n| {
            let (client, sent) = (client(harness).batch_bytes(2_000).build().unwrap(), sent.clone());
            thread::spawn(move || {
                for i in 0..OF_EACH {
                    client.send(format!("{n}:{i}")).unwrap();
                    if i % 100 == 0 {
                        // What is acknowledged must be there whatever happens next.
                        client.flush().unwrap();
                    }
                    sent.fetch_add(1, Relaxed);
                }
                client.flush().unwrap();
                assert_eq!(client.acknowledged(), OF_EACH);
            })
        };
        Self { threads: (0..clients).map(start).collect(), sent }
    }

    /// Runs intervals until so many records were sent.
    fn run_until(&self, harness: &Harness, sent: u64) {
        while self.sent.load(Relaxed) < sent && !self.threads.iter().all(JoinHandle::is_finished) {
            harness.advance(1).unwrap();
        }
    }

    /// Runs intervals until everything is acknowledged.
    fn finish_sending(self, harness: &Harness) {
        self.run_until(harness, u64::MAX);
        self.threads.into_iter().for_each(|thread| thread.join().unwrap());
    }

    /// The same, and one more, which has the last of it.
    fn finish(self, harness: &Harness, seen: &Watched<String>) {
        let clients = self.threads.len() as u64;
        self.finish_sending(harness);
        harness.advance(1).unwrap();
        let seen: Vec<String> = seen.all().into_iter().flatten().flatten().collect();
        let all = (0..clients).flat_map(|n| (0..OF_EACH).map(move |i| format!("{n}:{i}")));
        assert_eq!(seen.len() as u64, clients * OF_EACH, "each record once");
        assert_eq!(sorted(seen), sorted(all.collect()));
    }
}

fn started(workers: usize) -> (Harness, Watched<String>) {
    let harness = harness(workers);
    let seen = harness.watch(&harness.ctx().source("lines").client_lines());
    harness.advance(1).unwrap();
    (harness, seen)
}

/// Runs intervals until something is so.
fn advance_until(harness: &Harness, what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(60);
    while !is_so() {
        assert!(Instant::now() < until, "{what}, even after a minute");
        harness.advance(1).unwrap();
    }
}

#[test]
fn all_workers_receive_and_each_record_counts_once() {
    let (harness, seen) = started(3);
    Senders::start(&harness, 4).finish(&harness, &seen);
}

/// With a client at each worker, whichever is killed: it receives from some and holds replicas for others.
fn one_is_killed(which: usize) {
    let (harness, seen) = started(3);
    let senders = Senders::start(&harness, 5);
    senders.run_until(&harness, 20_000);
    kill(harness.workers()[which]);
    senders.finish(&harness, &seen);
}

/// Counts lines that clients sent, until two of three workers are killed at once: whichever they are, some of it was held by
/// nobody else, and no checkpoint has what was made of it.
fn both_who_held_it_are_killed(allow_lost: bool) -> (Harness, Watched<(String, u64)>) {
    let program = builder(3).allow_lost(allow_lost).checkpoint_every(Duration::from_secs(1000));
    let harness = Harness::with(program, 4);
    let lines = harness.ctx().source("lines").client_lines();
    let counts = harness.watch(&lines.map(|line| (line, 1)).running_reduce(|a, b| a + b));
    harness.advance(1).unwrap();
    // So many blocks that some of what was made of them is on the two, whoever happens to run a task.
    for n in 0..BEFORE {
        send(&harness, &format!("before {n}"));
        harness.advance(1).unwrap();
    }
    advance_until(&harness, "not all is counted", || count(&counts).len() == BEFORE * LINES);
    let [one, other, _] = harness.workers()[..] else { panic!("there are three") };
    kill(one);
    kill(other);
    (harness, counts)
}

/// Clients before, one after another, and lines of each.
const BEFORE: usize = 24;
const LINES: usize = 100;

fn send(harness: &Harness, what: &str) {
    let client = client(harness).batch_bytes(2_000).build().unwrap();
    (0..LINES).for_each(|i| client.send(format!("{what}:{i}")).unwrap());
    client.flush().unwrap();
}

fn count(counts: &Watched<(String, u64)>) -> Vec<(String, u64)> {
    counts.all().into_iter().flatten().next_back().unwrap_or_default()
}

#[test]
fn what_nobody_holds_any_more_is_said_and_not_left_out() {
    let (harness, _counts) = both_who_held_it_are_killed(false);
    let until = Instant::now() + Duration::from_secs(60);
    let error = loop {
        if let Err(error) = harness.advance(1) {
            break error.to_string();
        }
        assert!(Instant::now() < until, "it is as if nothing were lost");
    };
    assert!(error.contains("held by no worker") && error.contains("--allow-lost"), "{error}");
}

#[test]
fn who_allows_it_goes_on_without_what_nobody_holds_any_more() {
    let (harness, counts) = both_who_held_it_are_killed(true);
    let mut lost = 0;
    send(&harness, "after");
    let is_after = |(line, _): &&(String, u64)| line.starts_with("after");
    let until = Instant::now() + Duration::from_secs(60);
    while count(&counts).iter().filter(is_after).count() < LINES {
        assert!(Instant::now() < until, "not all that was sent later is counted");
        lost += harness.step().unwrap().lost_blocks;
    }
    assert!(lost > 0);
    let counts = count(&counts);
    assert!(counts.iter().all(|(_, n)| *n == 1), "nothing counts twice");
    assert!(counts.len() <= (BEFORE + 1) * LINES, "and nothing was made up");
}

#[test]
fn the_first_worker_is_killed_under_its_clients() {
    one_is_killed(0);
}

#[test]
fn the_second_worker_is_killed_under_its_clients() {
    one_is_killed(1);
}

#[test]
fn the_third_worker_is_killed_under_its_clients() {
    one_is_killed(2);
}

/// It is lost, others take what it had received, and it comes back: clients send to it again.
#[test]
fn a_worker_that_is_stopped_under_its_clients_comes_back_to_them() {
    let (harness, seen) = started(3);
    let senders = Senders::start(&harness, 5);
    senders.run_until(&harness, 10_000);
    let stopped = harness.workers()[0];
    signal(stopped, "-STOP");
    advance_until(&harness, "it is not lost", || harness.joined() == 2);
    signal(stopped, "-CONT");
    advance_until(&harness, "it does not come back", || harness.joined() == 3);
    let again = Senders::start(&harness, 3);
    senders.finish_sending(&harness);
    again.finish_sending(&harness);
    harness.advance(1).unwrap();
    let seen: Vec<String> = seen.all().into_iter().flatten().flatten().collect();
    assert_eq!(seen.len() as u64, 8 * OF_EACH, "each record once");
    let all = (0..5).chain(0..3).flat_map(|n| (0..OF_EACH).map(move |i| format!("{n}:{i}")));
    assert_eq!(sorted(seen), sorted(all.collect()));
}

/// What was acknowledged and is in no interval yet is known to the other holder only.
#[test]
fn what_a_killed_worker_had_not_reported_is_in_the_next_interval() {
    let (harness, seen) = started(2);
    let client = client(&harness).build().unwrap();
    (0..100).for_each(|n| client.send(format!("{n}")).unwrap());
    client.flush().unwrap();
    // Whichever of them received it.
    kill(harness.workers()[0]);
    harness.advance(3).unwrap();
    let seen: BTreeSet<String> = seen.all().into_iter().flatten().flatten().collect();
    assert_eq!(seen.len(), 100);
}

#[test]
fn the_last_worker_goes_on_alone() {
    let (harness, seen) = started(2);
    let senders = Senders::start(&harness, 2);
    senders.run_until(&harness, 10_000);
    kill(harness.workers()[1]);
    senders.finish(&harness, &seen);
}

/// A block that lost one holder is read from the other, by intervals that come long after it.
#[test]
fn a_window_reads_what_only_one_holder_has_left() {
    let harness = harness(3);
    let lines = harness.ctx().source("lines").client_lines();
    let second = Duration::from_secs(1);
    let window = harness.watch(&lines.window(10 * second, second));
    harness.advance(1).unwrap();
    let client = client(&harness).build().unwrap();
    (0..1000).for_each(|n| client.send(format!("{n}")).unwrap());
    client.flush().unwrap();
    harness.advance(1).unwrap();
    kill(harness.workers()[1]);
    harness.advance(2).unwrap();
    let last = window.all().pop().flatten().unwrap();
    assert_eq!(last.into_iter().collect::<BTreeSet<_>>().len(), 1000);
}
