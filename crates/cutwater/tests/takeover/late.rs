//! Workers that come to a takeover when others have their part.

use std::{
    fs::{self, File},
    path::Path,
    process::Child,
};

use crate::{
    ADDRESS, ByHand, SAYS,
    clients::{Trial, is_program},
    entries,
    process::{exit_code, kill, signal, wait_until},
};

/// Starts a master that says what it sees.
fn start(by_hand: &ByHand<'_>, says: &Path) -> Child {
    let mut command = by_hand.command();
    command.env(ADDRESS, &by_hand.address).env(SAYS, "").stderr(File::create(says).unwrap());
    command.spawn().unwrap()
}

/// How many workers the newest lease names.
fn named(folder: &Path) -> usize {
    let lease = entries(&folder.join("checkpoints").join("leases")).pop();
    let lease = lease.and_then(|lease| fs::read(lease).ok()).unwrap_or_default();
    lease.windows(10).filter(|address| address == b"127.0.0.1:").count()
}

#[test]
fn a_worker_that_comes_too_late_comes_as_a_new_one() {
    if is_program() {
        return;
    }
    let (mut address, mut workers) = (String::new(), Vec::new());
    let (mut trial, master) = Trial::start_by(|folder| {
        fs::write(folder.join("token"), "known to both").unwrap();
        let by_hand = ByHand::new(folder);
        workers = by_hand.workers();
        address.clone_from(&by_hand.address);
        by_hand.master()
    });
    let folder = trial.folder().to_owned();
    let by_hand = ByHand { folder: &folder, address };
    wait_until("they do not come", || named(&folder) == 3);
    trial.send_all();
    let late = workers[0].id();
    signal(late, "-STOP");
    kill(master);
    let says = folder.join("says");
    let next = start(&by_hand, &says);
    let has_said = |what: &str| fs::read_to_string(&says).unwrap().contains(what);
    wait_until("it waits", || has_said("has not come, and counts as lost"));
    signal(late, "-CONT");
    wait_until("it does not come", || has_said("is there again, and begins anew") && named(&folder) == 3);
    trial.send_all();
    trial.ends(next);
    for worker in &mut workers {
        assert_eq!(exit_code(worker), Some(0));
    }
}
