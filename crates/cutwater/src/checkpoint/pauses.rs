//! Masters that are stopped at some step of writing and removing what is durable, while another takes over, and wake up: what
//! they do then harms nobody. The lease and the checkpoints are those of the other, and so are the outputs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    process::{Child, Command},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use super::{
    crashes::{INTERVALS, MORE, Program, command, durable, folder, go_on, held, is_program, undisturbed},
    manifest::Manifest,
    store::Store,
};
use crate::runtime::{entries, runs};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// When the one that was stopped wakes up.
#[derive(Clone, Copy, Debug)]
enum Wakes {
    /// The other has just claimed the log, and reads what there is.
    AtOnce,
    /// The other has written and removed states, of the same intervals too.
    Later,
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}, after a minute");
        thread::sleep(Duration::from_millis(2));
    }
}

fn is_stopped(process: &Child) -> bool {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|fields| fields.trim_start().starts_with('T'))
}

/// Has a master go on that was stopped, and waits for its end.
fn wake(process: &mut Child) {
    let woken = Command::new("kill").args(["-CONT", &process.id().to_string()]).status().unwrap();
    assert!(woken.success());
    wait_until("it does not end", || process.try_wait().unwrap().is_some());
}

fn epochs(store: &Store) -> usize {
    entries(store).unwrap().iter().map(|(_, entry)| entry.epoch).collect::<BTreeSet<_>>().len()
}

/// What another has done to the master that runs, whose epoch is the last in the log.
fn harm(store: &Store) -> Vec<String> {
    let mut harm = Vec::new();
    let last = entries(store).unwrap().last().map(|(_, entry)| entry.epoch);
    if runs(store) != last {
        harm.push(format!("the lease is that of {:?}, and the log {last:?}'s", runs(store)));
    }
    for checkpoint in held(store) {
        match Manifest::read(store, &checkpoint).unwrap() {
            Err(why) => harm.push(format!("{checkpoint:?} is held: {why}")),
            Ok(manifest) => {
                let missing = manifest.files().filter(|file| store.get(file).unwrap().is_none());
                harm.extend(missing.map(|file| format!("{checkpoint:?} needs {file}")));
            }
        }
    }
    harm
}

/// A master is stopped at that step, another takes over, and the first wakes up. Says what is wrong then; nothing if there
/// is no such step.
fn stopped_at(test: &str, of: &str, at: u64, wakes: Wakes, expected: &BTreeSet<String>) -> Option<String> {
    let (dir, what) = (folder(), format!("stopped at step {at} of {of}, wakes {wakes:?}"));
    let store = Store::open(&durable(dir.path())).unwrap();
    let mut old = command(test, dir.path(), "stopped", of, at, 0).spawn().unwrap();
    wait_until("it neither stops nor ends", || is_stopped(&old) || old.try_wait().unwrap().is_some());
    if !is_stopped(&old) {
        return None;
    }
    let before = epochs(&store);
    let mut wrong = Vec::new();
    let ran = thread::scope(|scope| {
        let (old, store, dir): (_, _, &Path) = (&mut old, &store, dir.path());
        let mut old = match wakes {
            Wakes::Later => Some(old),
            Wakes::AtOnce => {
                scope.spawn(move || {
                    wait_until("nobody takes over", || epochs(store) > before);
                    wake(old);
                });
                None
            }
        };
        let new = Program::to(dir, INTERVALS + MORE / 2).standby();
        let mut ran = 0;
        new.run_and(|number| {
            ran += 1;
            if (ran == 2 || number == INTERVALS)
                && let Some(old) = old.take()
            {
                wake(old);
            }
            wrong.extend(harm(store));
        })
    });
    let ran = ran.map_err(|error| format!("{what}: it cannot take over: {error}\n"));
    let wrong: String = wrong.iter().map(|harm| format!("{what}: {harm}\n")).collect();
    Some(ran.err().unwrap_or_default() + &wrong + &go_on(dir.path(), expected, 0, &what))
}

#[test]
fn a_master_that_is_stopped_at_any_step_and_overtaken_does_no_harm_when_it_wakes() {
    if is_program() {
        return;
    }
    let test = thread::current().name().unwrap().to_owned();
    let expected = undisturbed();
    // Of each folder, every so many steps.
    let steps = [
        ("leases", 2),
        ("log", 9),
        ("input", 9),
        ("state", 9),
        ("checkpoints", 4),
        ("operators", 2),
        ("programs", 2),
    ];
    let cases: Vec<(&str, u64, Wakes)> = steps
        .into_iter()
        .flat_map(|(of, every)| (0..8).map(move |nth| (of, nth * every + nth % 2)))
        .flat_map(|(of, at)| [Wakes::AtOnce, Wakes::Later].map(|wakes| (of, at, wakes)))
        .collect();
    let next = AtomicUsize::new(0);
    // Most of the time they wait until the lease is old.
    let threads: Vec<(usize, String)> = thread::scope(|scope| {
        let run = || {
            let (mut stopped, mut wrong) = (0, String::new());
            while let Some((of, at, wakes)) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                let found = stopped_at(&test, of, *at, *wakes, &expected);
                stopped += usize::from(found.is_some());
                wrong += &found.unwrap_or_default();
            }
            (stopped, wrong)
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(run)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let wrong: String = threads.iter().map(|(_, wrong)| wrong.as_str()).collect();
    let stopped: usize = threads.iter().map(|(stopped, _)| stopped).sum();
    assert!(wrong.is_empty(), "{wrong}");
    println!("{stopped} of {} were stopped", cases.len());
    assert!(stopped >= 40, "only {stopped} were stopped");
}
