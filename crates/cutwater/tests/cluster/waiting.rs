//! Workers and masters that do not come.

use std::time::Duration;

use crate::processes::Process;

const SOON: Duration = Duration::from_millis(50);

#[test]
fn no_worker_is_said_with_what_to_do() {
    let error = crate::builder(0).master("127.0.0.1:0").min_workers(2).join_wait(SOON).build().unwrap_err();
    let said = error.to_string();
    assert!(said.contains("0 of 2 workers have joined within 50ms"), "{said}");
    assert!(said.contains("start more with `--worker --join 127.0.0.1:"), "{said}");
}

/// A worker comes, and has too few slots: the master says so while it waits, and when it gives up.
#[test]
fn too_few_slots_are_counted() {
    let master = Process::master(
        "127.0.0.1:0",
        &[("CUTWATER_TOKEN", "both"), ("CUTWATER_MIN_SLOTS", "3"), ("CUTWATER_JOIN_WAIT_MS", "3000")],
    );
    let environment = [("CUTWATER_TOKEN", "both"), ("CUTWATER_THREADS", "2")];
    let _worker = Process::worker(&master.address(), &environment);
    master.wait_for("1 of 1 workers have joined, with 2 of 3 slots; waiting for more");
    master.wait_for("1 of 1 workers have joined, with 2 of 3 slots within 3s; start more with");
    assert!(!master.end().0.success());
}

#[test]
fn a_program_begins_when_there_are_enough() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both"), ("CUTWATER_MIN_SLOTS", "3")]);
    let join = |threads| {
        Process::worker(&master.address(), &[("CUTWATER_TOKEN", "both"), ("CUTWATER_THREADS", threads)])
    };
    let (_two, _one) = (join("2"), join("1"));
    assert_eq!(master.wait_for("answers "), crate::processes::expected(3));
}

/// The only worker is lost: the master says that it waits, and goes on when another has joined.
#[test]
fn failure_5_the_loss_of_the_last_worker_is_said() {
    const WAITS: &str = "there is work and no worker; waiting for one to join";
    let token = [("CUTWATER_TOKEN", "both")];
    let mut master = Process::master("127.0.0.1:0", &token);
    let worker = Process::worker(&master.address(), &token);
    assert_eq!(master.wait_for("answers "), crate::processes::expected(1));
    // With what it held; it is killed.
    drop(worker);
    master.wait_for("a worker is gone");
    assert!(!master.said().contains(WAITS), "there was nothing to do");
    master.tell();
    master.wait_for(WAITS);
    assert!(!master.said().contains("counted "));
    let _another = Process::worker(&master.address(), &token);
    assert_eq!(master.wait_for("counted "), "10");
}

#[test]
fn no_master_is_said_with_what_to_do() {
    // A port that was free a moment ago.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let environment = [("CUTWATER_TOKEN", "both"), ("CUTWATER_JOIN_WAIT_MS", "50")];
    let (status, said) = Process::worker(&address, &environment).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("no master at {address} after 50ms")), "{said}");
    assert!(said.contains("is it running, and is `--join` its address?"), "{said}");
}

#[test]
fn a_worker_says_how_much_memory_it_has() {
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both")]);
    let environment = [("CUTWATER_TOKEN", "both"), ("CUTWATER_MEMORY_MB", "1234")];
    let _worker = Process::worker(&master.address(), &environment);
    master.wait_for("memory_mb=1234");
}

#[test]
fn an_address_for_blocks_that_is_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let master = Process::master("127.0.0.1:0", &[("CUTWATER_TOKEN", "both")]);
    let environment = [("CUTWATER_TOKEN", "both"), ("CUTWATER_BIND", &*address)];
    let (status, said) = Process::worker(&master.address(), &environment).end();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("cannot listen on {address} to serve blocks")), "{said}");
    assert!(said.contains("`--bind` chooses another"), "{said}");
}
