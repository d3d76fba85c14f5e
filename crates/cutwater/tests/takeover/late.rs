//! Workers that come to a takeover when others have their part.

use std::fs;

use crate::{
    clients::{Trial, is_program},
    named,
    process::{exit_code, kill, signal, wait_until},
};

#[test]
fn a_worker_that_comes_too_late_comes_as_a_new_one() {
    if is_program() {
        return;
    }
    let (mut trial, by_hand, (master, mut workers)) =
        Trial::start_by_hand(|by_hand| (by_hand.master(), by_hand.workers()));
    let folder = trial.folder().to_owned();
    wait_until("they do not come", || named(&folder) == 3);
    trial.send_all();
    let late = workers[0].id();
    signal(late, "-STOP");
    kill(master);
    let says = folder.join("says");
    let next = by_hand.master_that_says(&says);
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
