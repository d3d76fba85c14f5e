//! Who is let in, and what becomes of who is not.

use std::process::{Command, Output};

use crate::{
    garbage::{GARBAGE, send},
    harness,
};

/// Starts this test again as a worker of the master at `join`, and waits for its end.
fn worker(join: &str, token: &str) -> Output {
    let test = std::thread::current().name().unwrap().to_owned();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([&test, "--exact", "--nocapture"]);
    command.env("CUTWATER_ROLE", "worker").env("CUTWATER_JOIN", join).env("CUTWATER_TOKEN", token);
    command.output().unwrap()
}

#[test]
fn garbage_costs_a_master_nothing() {
    let harness = harness(1);
    for garbage in GARBAGE {
        let heard = send(harness.master().unwrap(), garbage);
        // Its greeting or a refusal.
        let refusal = b"HTTP/1.1 401 Unauthorized";
        assert!(heard.is_empty() || heard.starts_with(b"cutwater") || heard.starts_with(refusal));
    }
    assert_eq!(harness.ctx().parallelize(0..10).count().unwrap(), 10, "the program goes on");
}

#[test]
fn a_wrong_token_is_refused_and_said_to_be() {
    let harness = harness(1);
    let refused = worker(&harness.master().unwrap().to_string(), "a guess");
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("the secret token is not that of this run"), "{said}");
    assert!(!said.contains("a guess"), "a token is not printed: {said}");
    assert_eq!(harness.ctx().parallelize(0..10).count().unwrap(), 10);
}

#[test]
fn another_executable_is_refused_and_both_are_named() {
    // The same program with a byte more is another executable.
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy");
    let mut bytes = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    bytes.push(0);
    std::fs::write(&copy, bytes).unwrap();
    std::fs::set_permissions(&copy, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();

    let token_file = dir.path().join("token");
    std::fs::write(&token_file, "known to both").unwrap();
    std::fs::set_permissions(&token_file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let builder = crate::builder(1).token_file(&token_file);
    let harness = cutwater::testing::Harness::with(builder, 2);

    let test = std::thread::current().name().unwrap().to_owned();
    let mut command = Command::new(&copy);
    command.args([&test, "--exact", "--nocapture"]).env("CUTWATER_ROLE", "worker");
    command.env("CUTWATER_JOIN", harness.master().unwrap().to_string());
    command.env("CUTWATER_TOKEN", "known to both");
    let refused = command.output().unwrap();
    let said = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{said}");
    assert!(said.contains("runs executable") && said.contains("start the same file on both"), "{said}");
}

#[test]
fn a_token_that_others_can_read_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "everyone's").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    let error = crate::builder(1).token_file(&file).build().unwrap_err().to_string();
    assert!(error.contains("chmod 600") && error.contains(file.to_str().unwrap()), "{error}");
}

#[test]
fn an_address_in_use_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let error = crate::builder(1).master(address).build().unwrap_err().to_string();
    assert!(error.contains(&address.to_string()) && error.contains("another master"), "{error}");
}

/// A worker that ends before it joins is said to have, and nobody waits half a minute for it.
#[test]
fn a_worker_that_cannot_start_is_reported() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "one").unwrap();
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    // Without a harness the worker is started with the arguments of this process, which lead to no
    // context when there is nothing to run.
    if std::env::var("CUTWATER_ROLE").is_ok() {
        return;
    }
    let builder = crate::builder(1).token_file(&file);
    let test = std::thread::current().name().unwrap().to_owned();
    let harness = std::panic::catch_unwind(|| cutwater::testing::Harness::with(builder, 2));
    let said = harness.err().and_then(|panic| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
    assert!(said.contains("ended before it joined"), "{test}: {said}");
}
