//! Files of checkpoints that are damaged when somebody takes over.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::{
    entries,
    process::{children, exit_code, kill, signal},
    start, start_standby,
    states::{assert_complete, is_program, wait_for, write_input},
};

/// Nobody has what the file held: the master and all workers but one are gone. Of each kind of damage, that of the
/// newest file of states, of the newest checkpoint, and of the older states in it that only a window looks back at.
#[test]
fn a_damaged_checkpoint_is_noticed_by_whoever_takes_over() {
    if is_program() {
        return;
    }
    for damaged in ["state", "checkpoints", "older"] {
        let dir = tempfile::tempdir().unwrap();
        write_input(dir.path());
        let master = start(dir.path());
        wait_for(dir.path(), 2);
        let mut standby = start_standby(dir.path());
        wait_for(dir.path(), 30);
        let workers = children(&master);
        assert_eq!(workers.len(), 3);
        signal(master.id(), "-STOP");
        let durable = dir.path().join("checkpoints");
        match damaged {
            "older" => damage_older(&durable),
            damaged => damage(&durable.join(damaged)),
        }
        for worker in &workers[1..] {
            signal(*worker, "-KILL");
        }
        kill(master);
        assert_eq!(exit_code(&mut standby), Some(0), "{damaged}");
        assert_complete(dir.path());
    }
}

/// Changes the newest file in a folder; or, if that is a folder, every file in it.
fn damage(folder: &Path) {
    damage_all(entries(folder).pop().unwrap());
}

/// Changes the files of all states but the last that were written with the newest checkpoint.
fn damage_older(durable: &Path) {
    let newest = entries(&durable.join("checkpoints")).pop().unwrap();
    let (number, epoch) = newest.file_name().unwrap().to_str().unwrap().split_once('-').unwrap();
    let [number, epoch] = [number, epoch].map(|digits| digits.parse::<u64>().unwrap());
    let folder = durable.join("state").join(format!("{epoch:06}-{number:012}"));
    let time_of = |states: &Path| {
        let name = states.file_name().unwrap().to_str().unwrap();
        name.rsplit_once('-').unwrap().1.parse::<i64>().unwrap()
    };
    let mut states = entries(&folder);
    states.sort_by_key(|states| time_of(states));
    let last = time_of(states.last().unwrap());
    states.retain(|states| time_of(states) < last);
    assert!(!states.is_empty(), "a window looks back at them");
    states.into_iter().for_each(damage_all);
}

fn damage_all(path: PathBuf) {
    let mut all = vec![path];
    while let Some(path) = all.pop() {
        if path.is_dir() { all.extend(entries(&path)) } else { spoil(&path) }
    }
}

fn spoil(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}
