//! Masters that die while they take over: the next takeover begins during the one before.

use std::{
    fs::{self, File},
    path::Path,
    process::Child,
};

use crate::{
    SAYS, clients, entries,
    process::{children, exit_code, kill, program, signal, wait_until},
    start, start_standby, states,
};

/// Kills the master, and the one after it when so many of the workers have come to that; the others are stopped until then.
/// Answers with the third.
fn kill_two(folder: &Path, master: Child, workers: &[u32], come: usize) -> Child {
    let leases = || entries(&folder.join("checkpoints").join("leases"));
    let (before, said) = (leases(), folder.join(format!("said-{come}")));
    workers[come..].iter().for_each(|worker| signal(*worker, "-STOP"));
    kill(master);
    let next = program(folder).env(SAYS, "").stderr(File::create(&said).unwrap()).spawn().unwrap();
    // From its lease on it is the one from which the third takes over.
    wait_until("it does not take over", || {
        let joined = fs::read_to_string(&said).unwrap().matches("a worker joins").count();
        leases().last() > before.last() && joined >= come
    });
    kill(next);
    workers[come..].iter().for_each(|worker| signal(*worker, "-CONT"));
    start_standby(folder)
}

#[test]
fn states_survive_a_master_that_is_killed_while_workers_come_to_it() {
    if states::is_program() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    states::write_input(dir.path());
    let mut master = start(dir.path());
    states::wait_for(dir.path(), 2);
    let workers = children(&master);
    assert_eq!(workers.len(), 3);
    for (intervals, come) in [(8, 0), (24, 1), (40, 2)] {
        states::wait_for(dir.path(), intervals);
        master = kill_two(dir.path(), master, &workers, come);
    }
    assert_eq!(exit_code(&mut master), Some(0));
    states::assert_complete(dir.path());
}

#[test]
fn acknowledged_records_survive_a_master_that_is_killed_while_workers_come_to_it() {
    if clients::is_program() {
        return;
    }
    let (mut trial, mut master) = clients::Trial::start();
    trial.send_all();
    let workers = children(&master);
    assert_eq!(workers.len(), 3);
    for come in [0, 1, 2] {
        let before = clients::address(trial.folder());
        trial.send(clients::KEYS);
        master = kill_two(trial.folder(), master, &workers, come);
        trial.send(clients::KEYS);
        wait_until("nobody takes over", || clients::address(trial.folder()) != before);
        trial.send_all();
    }
    trial.ends(master);
}
