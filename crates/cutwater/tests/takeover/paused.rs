//! Masters and workers that are stopped for so long that they could take each other for dead, and go on: nobody takes over, and
//! what workers hold is written nowhere.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Child,
    time::Duration,
};

use crate::{
    INTERVAL, SAYS, builder, clients, entries,
    process::{children, exit_code, is_program, program, signal, wait_until},
    start_standby,
};

/// The program of clients with so many workers, none of whose states is written.
fn is_program_of(workers: usize) -> bool {
    is_program(|folder| {
        let builder = builder(folder).checkpoint_intervals(1_000).checkpoint_every(1_000 * INTERVAL);
        clients::run(builder.workers(workers), folder)
    })
}

/// What a master and the workers that it has started say.
struct Said(PathBuf);

impl Said {
    fn start(folder: &Path) -> (Child, Self) {
        let said = folder.join("said");
        let master = program(folder).env(SAYS, "").stderr(File::create(&said).unwrap()).spawn().unwrap();
        (master, Self(said))
    }

    fn wait_for(&self, what: &str, times: usize) {
        let said = || fs::read_to_string(&self.0).unwrap().matches(what).count();
        wait_until(&format!("{what:?} is not said {times} times"), || said() >= times);
    }
}

#[test]
fn acknowledged_records_survive_a_master_that_is_stopped_until_all_workers_have_left_it() {
    if is_program_of(3) {
        return;
    }
    let (mut trial, (master, said)) = clients::Trial::start_by(Said::start);
    trial.send_all();
    wait_until("nothing is given out", || trial.folder().join("counts").exists());
    signal(master.id(), "-STOP");
    trial.send_all();
    said.wait_for("lost the master", 3);
    trial.send_all();
    signal(master.id(), "-CONT");
    said.wait_for("begins anew", 3);
    trial.send_all();
    trial.ends(master);
}

/// A worker that was stopped comes back when the only other one that held what it holds is gone.
#[test]
fn acknowledged_records_survive_with_a_worker_that_was_stopped_until_its_master_had_lost_it() {
    if is_program_of(2) {
        return;
    }
    let (mut trial, (master, said)) = clients::Trial::start_by(Said::start);
    trial.send_all();
    wait_until("nothing is given out", || trial.folder().join("counts").exists());
    let workers = children(&master);
    trial.send_all();
    signal(workers[0], "-STOP");
    said.wait_for("a worker is gone", 1);
    signal(workers[1], "-KILL");
    said.wait_for("a worker is gone", 2);
    signal(workers[0], "-CONT");
    trial.send_all();
    trial.ends(master);
}

/// As when their machine was: what passed meanwhile was nobody's silence. The standby looks first.
#[test]
fn a_standby_that_was_stopped_together_with_its_master_does_not_take_over() {
    if is_program_of(3) {
        return;
    }
    let (mut trial, master) = clients::Trial::start();
    let mut standby = start_standby(trial.folder());
    // It has seen the master by then.
    trial.send_for(20);
    let both = [standby.id(), master.id()];
    both.iter().for_each(|process| signal(*process, "-STOP"));
    let lease = entries(&trial.folder().join("checkpoints").join("leases")).pop().unwrap();
    let age = || fs::metadata(&lease).unwrap().modified().unwrap().elapsed().unwrap_or_default();
    wait_until("somebody writes the lease", || age() > Duration::from_secs(2));
    both.iter().for_each(|process| signal(*process, "-CONT"));
    trial.send_all();
    trial.send_for(20);
    trial.end(master);
    assert_eq!(exit_code(&mut standby), Some(0));
}
