//! Programs that die, or whose folder does, at every single step of writing and removing what is durable: the next start
//! goes on, gives what an undisturbed run gives, finds all that it needs, and leaves nothing that nobody needs.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeSet,
    env, fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use cutwater_core::progress::{Checkpoint, Entry, History, News};

use super::{
    faults::{Fault, Then},
    manifest::{MANIFESTS_HELD, Manifest},
    store::Store,
};
use crate::{Context, Error, runtime::entries, testing::Harness};

/// Where the program of a test is to run, and what is to go wrong there.
const FOLDER: &str = "CUTWATER_TEST_CRASHES_FOLDER";
const FAULT: &str = "CUTWATER_TEST_CRASHES_FAULT";
/// How many workers it has in other processes.
const WORKERS: &str = "CUTWATER_TEST_CRASHES_WORKERS";

const SECOND: Duration = Duration::from_secs(1);
/// After so many the program ends, in good order or not.
pub(super) const INTERVALS: u64 = 12;
/// So many more it takes when it is started again, in which whatever was left is to go.
pub(super) const MORE: u64 = 6;

/// All the folders in which something durable lies.
const FOLDERS: [&str; 8] =
    ["epochs", "leases", "log", "input", "state", "checkpoints", "programs", "operators"];

/// The program: two states, and windows that look back at what was before.
pub(super) struct Program {
    folder: PathBuf,
    fault: Option<Fault>,
    /// Whether it waits until no other master runs it.
    standby: bool,
    /// In other processes.
    workers: usize,
    /// At which it ends.
    intervals: u64,
    /// Between one checkpoint and the next.
    every: u64,
}

impl Program {
    /// It ends in good order.
    pub fn to(folder: &Path, intervals: u64) -> Self {
        Self { folder: folder.to_owned(), fault: None, standby: false, workers: 0, intervals, every: 2 }
    }

    /// The same, once no other master runs it, with a checkpoint of each interval.
    pub fn standby(self) -> Self {
        Self { standby: true, every: 1, ..self }
    }

    /// Runs it, or what is left of it, to its end or until it can run no further.
    fn run(self) -> Result<(), Error> {
        self.run_and(|_| {})
    }

    /// The same, and does something after each interval, by its number.
    pub fn run_and(self, mut after: impl FnMut(u64)) -> Result<(), Error> {
        let Self { folder, fault, standby, workers, intervals, every } = self;
        let url = durable(&folder);
        if let Some(fault) = fault {
            Store::open(&url)?.faults().order(fault);
        }
        let builder = Context::builder("crashes").interval(SECOND).threads(2).parallelism(2);
        let builder = builder.workers(workers).checkpoint(url).checkpoint_intervals(every).standby(standby);
        let harness = Harness::try_with(builder, 2)?;
        let interval = |t| (0..20u64).map(|n| (n * n % 7, t + n)).collect::<Vec<_>>();
        let clicks = harness.input((0..INTERVALS + MORE).map(interval));
        let sums = clicks.running_reduce(|a, b| a + b);
        let window = clicks.reduce_by_key_and_window_inverse(|a, b| a + b, |a, b| a - b, 3 * SECOND, SECOND);
        let of_state = sums.window(3 * SECOND, SECOND).map(|(key, sum)| (key % 2, sum));
        let of_state = of_state.reduce_by_key(u64::max);
        for (name, stream) in [("sums", sums), ("window", window), ("of state", of_state)] {
            let file = folder.join("given");
            stream.for_each_rdd(move |rdd, t| {
                let mut records = rdd.collect()?;
                records.sort_unstable();
                // In one write, so that a crash leaves no half of it.
                let line = format!("{:05} {name} {records:?}\n", t.as_ms());
                let file = fs::OpenOptions::new().append(true).create(true).open(&file);
                file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::user)
            });
        }
        loop {
            let report = harness.step()?;
            harness.wait_until_written();
            if let Some(failure) = report.failure {
                return Err(failure);
            }
            after(report.number);
            if report.number >= intervals {
                return Ok(());
            }
        }
    }
}

/// Where the program writes what must outlive it.
pub(super) fn durable(folder: &Path) -> String {
    folder.join("durable").to_str().unwrap().to_owned()
}

/// In a process that was started as the program, or as a worker of it, is it.
pub(super) fn is_program() -> bool {
    let Some(folder) = env::var_os(FOLDER).map(PathBuf::from) else { return false };
    let is_worker = env::var_os("CUTWATER_ROLE").is_some();
    let told = env::var(FAULT).unwrap();
    let [who, of, at] = told.split(' ').collect::<Vec<_>>().try_into().unwrap();
    let is_meant = match who {
        // The first that comes.
        "worker" => is_worker && fs::File::create_new(folder.join("meant")).is_ok(),
        _ => !is_worker,
    };
    let then = if who == "stopped" { Then::Stop } else { Then::Abort };
    let fault = Fault { folder: of.to_owned(), at: at.parse().unwrap(), then };
    let workers = env::var(WORKERS).unwrap().parse().unwrap();
    Program { fault: is_meant.then_some(fault), workers, ..Program::to(&folder, INTERVALS) }.run().unwrap();
    true
}

/// This test again as the program, of which `who` dies, or is stopped, at that step of what is done in that folder of the
/// durable ones.
pub(super) fn command(test: &str, folder: &Path, who: &str, of: &str, at: u64, workers: usize) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([test, "--exact", "--nocapture"])
        .env(FOLDER, folder)
        .env(WORKERS, workers.to_string())
        .env(FAULT, format!("{who} {of} {at}"))
        .stdout(Stdio::null())
        // To a file: workers that live on have it too.
        .stderr(fs::File::create(folder.join("said")).unwrap());
    command
}

/// Starts it. Says whether the program came to its end.
fn start(folder: &Path, who: &str, of: &str, at: u64, workers: usize) -> bool {
    use std::os::unix::process::ExitStatusExt;
    let test = thread::current().name().unwrap().to_owned();
    let status = command(&test, folder, who, of, at, workers).status().unwrap();
    let said = folder.join("said");
    let is_meant = status.success() || status.signal() == Some(6);
    assert!(is_meant, "step {at} of {of}: {status}, {}", fs::read_to_string(said).unwrap());
    status.success()
}

/// A folder in memory where there is one: what dies here are processes and not the machine, and there is much to write.
pub(super) fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

/// What was given out. An interval that was run again has given the same.
fn given(folder: &Path) -> BTreeSet<String> {
    let given = fs::read_to_string(folder.join("given")).unwrap_or_default();
    given.lines().map(str::to_owned).collect()
}

pub(super) fn undisturbed() -> BTreeSet<String> {
    let dir = folder();
    Program::to(dir.path(), INTERVALS + MORE).run().unwrap();
    let given = given(dir.path());
    assert_eq!(given.len() as u64, 3 * (INTERVALS + MORE));
    given
}

/// Every file there is, by name, and every folder in which there is nothing.
fn all_there(folder: &Path) -> BTreeSet<String> {
    let (mut there, mut folders) = (BTreeSet::new(), vec![folder.to_owned()]);
    while let Some(inner) = folders.pop() {
        let entries: Vec<PathBuf> =
            fs::read_dir(&inner).unwrap().map(|entry| entry.unwrap().path()).collect();
        let name = |path: &Path| path.strip_prefix(folder).unwrap().to_str().unwrap().to_owned();
        if entries.is_empty() {
            there.insert(name(&inner) + "/");
        }
        let (more, files): (Vec<_>, Vec<_>) = entries.into_iter().partition(|path| path.is_dir());
        folders.extend(more);
        there.extend(files.iter().map(|file| name(file)));
    }
    there
}

/// What is wrong: outputs that are not those of an undisturbed run, something missing that a checkpoint names, or
/// something that nobody needs.
fn faults(folder: &Path, expected: &BTreeSet<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unless = |is_so: bool, fault: String| {
        if !is_so {
            faults.push(fault)
        }
    };
    let given = given(folder);
    unless(
        &given == expected,
        format!("outputs differ: {:?}", given.symmetric_difference(expected).collect::<Vec<_>>()),
    );
    let store = Store::open(&durable(folder)).unwrap();
    let (mut needed, mut states_from) = (BTreeSet::new(), u64::MAX);
    let held = held(&store);
    let names: Vec<String> = held.iter().map(Manifest::name_of).collect();
    let manifests = Manifest::names(&store).unwrap();
    unless(
        held.len() == MANIFESTS_HELD && names == manifests,
        format!("checkpoints: {manifests:?}, and held are {names:?}"),
    );
    for checkpoint in &held {
        let manifest = match Manifest::read(&store, checkpoint).unwrap() {
            Ok(manifest) => manifest,
            Err(why) => {
                unless(false, format!("{checkpoint:?} is held: {why}"));
                continue;
            }
        };
        states_from = states_from.min(manifest.number);
        needed.extend(manifest.files().map(str::to_owned));
    }
    let there = all_there(&folder.join("durable"));
    let named = |of: &str| there.iter().filter(|name| name.starts_with(of)).cloned().collect::<BTreeSet<_>>();
    let states = named("state/");
    unless(
        needed.is_subset(&states),
        format!("needed, and not there: {:?}", needed.difference(&states).collect::<Vec<_>>()),
    );
    unless(
        states.is_subset(&needed),
        format!("needed by nobody: {:?}", states.difference(&needed).collect::<Vec<_>>()),
    );
    let left: Vec<_> = there.iter().filter(|name| name.contains('#') || name.ends_with('/')).collect();
    unless(left.is_empty(), format!("begun and left: {left:?}"));
    let number = |name: &String| name.rsplit('/').next()?.parse::<u64>().ok();
    // Windows look back at some intervals before the states, and the last that were written are not gone by yet.
    let inputs: Vec<u64> = named("input/").iter().filter_map(number).collect();
    let old: Vec<_> = inputs.iter().filter(|number| **number + 8 <= states_from).collect();
    unless(old.is_empty(), format!("states are of {states_from} on, and inputs of {old:?} are there"));
    // Claims stay, each at its place; what lay between them and is old has gone from the beginning on.
    let log = entries(&store).unwrap();
    let log = log.iter().skip_while(|(_, entry)| entry.news == News::Claimed).map(|(number, _)| number);
    let first_number = log.clone().next().copied();
    unless(log.is_sorted_by(|a, b| *a + 1 == **b), format!("the log has a gap after {first_number:?}"));
    faults
}

/// The checkpoints that the log says are held.
pub(super) fn held(store: &Store) -> Vec<Checkpoint> {
    let mut history = History::default();
    entries(store).unwrap().into_iter().for_each(|(_, entry)| history.take(entry));
    history.held
}

/// Goes on with what is there, to the end, and says what is wrong then.
pub(super) fn go_on(folder: &Path, expected: &BTreeSet<String>, workers: usize, what: &str) -> String {
    if let Err(error) = (Program { workers, ..Program::to(folder, INTERVALS + MORE) }).run() {
        return format!("{what}: it cannot go on: {error}\n");
    }
    faults(folder, expected).iter().map(|fault| format!("{what}: {fault}\n")).collect()
}

#[test]
fn a_program_that_dies_at_any_step_goes_on() {
    if is_program() {
        return;
    }
    let (expected, mut wrong) = (undisturbed(), String::new());
    for of in FOLDERS {
        let mut at = 0;
        loop {
            let dir = folder();
            if start(dir.path(), "master", of, at, 0) {
                break;
            }
            wrong += &go_on(dir.path(), &expected, 0, &format!("died at step {at} of {of}"));
            at += 1;
        }
        println!("{at} steps of {of}");
        assert!(at >= 3, "{of}: only {at} steps");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// The first start dies at the first step, the next one at its second, and so on, until one comes to the end.
#[test]
fn a_program_that_dies_a_step_later_each_time_comes_to_its_end() {
    if is_program() {
        return;
    }
    let (expected, mut wrong) = (undisturbed(), String::new());
    for of in FOLDERS {
        let (dir, mut starts) = (folder(), 0);
        while !start(dir.path(), "master", of, starts, 0) {
            starts += 1;
        }
        println!("{of}: {starts} starts died");
        assert!(starts >= 3, "{of}: only {starts} died");
        wrong += &go_on(dir.path(), &expected, 0, &format!("died {starts} times at steps of {of}"));
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// From some step on nothing can be written or removed any more, as if the disk were gone, and it comes back later.
#[test]
fn a_folder_that_fails_from_any_step_on_loses_nothing() {
    let (expected, mut wrong) = (undisturbed(), String::new());
    for of in FOLDERS {
        for at in 0.. {
            let dir = folder();
            let store = Store::open(&durable(dir.path())).unwrap();
            let fault = Fault { folder: of.to_owned(), at, then: Then::FailForEver };
            let ended = Program { fault: Some(fault), ..Program::to(dir.path(), INTERVALS) }.run();
            if !store.faults().mend() {
                assert!(at >= 3, "{of}: only {at} steps");
                println!("{at} steps of {of}");
                break;
            }
            if let Err(error) = ended {
                let said = error.to_string();
                let is_clear = said.contains("it is broken, on purpose") && said.contains(store.url());
                assert!(is_clear, "step {at} of {of}: {said}");
            }
            // A process that ends leaves no lease that is kept, but this one goes on.
            let _ = fs::remove_dir_all(dir.path().join("durable/leases"));
            wrong += &go_on(dir.path(), &expected, 0, &format!("failed from step {at} of {of} on"));
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// With workers in other processes, which go on when the master dies, and find another one.
#[test]
fn a_master_that_dies_at_steps_is_followed_by_another() {
    if is_program() {
        return;
    }
    let (expected, mut wrong) = (undisturbed(), String::new());
    // Those of states are removals only: workers write them. The last three are written before any has come.
    for (of, every) in [
        ("log", 9),
        ("input", 9),
        ("state", 9),
        ("checkpoints", 3),
        ("leases", 5),
        ("epochs", 2),
        ("programs", 2),
        ("operators", 2),
    ] {
        let mut at = every / 2;
        loop {
            let dir = folder();
            if start(dir.path(), "master", of, at, 2) {
                break;
            }
            wrong += &go_on(dir.path(), &expected, 2, &format!("the master died at step {at} of {of}"));
            at += every;
        }
        println!("{at} steps of {of}");
        assert!(at > every, "{of}: only {at} steps");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A worker dies while it writes states, and the program goes on without it, in the same process.
#[test]
fn a_worker_that_dies_at_steps_of_writing_states_costs_nothing() {
    if is_program() {
        return;
    }
    let (expected, mut wrong) = (undisturbed(), String::new());
    for at in (0..30).step_by(4) {
        let dir = folder();
        assert!(start(dir.path(), "worker", "state", at, 2), "the master lives");
        wrong += &go_on(dir.path(), &expected, 2, &format!("a worker died at step {at}"));
    }
    assert!(wrong.is_empty(), "{wrong}");
}

/// A checkpoint that cannot be used goes, and that of the same interval which another master writes does not.
#[test]
fn a_spoilt_checkpoint_that_is_written_again_is_there() {
    let (expected, dir) = (undisturbed(), folder());
    let to = |intervals| Program { every: 1, ..Program::to(dir.path(), intervals) };
    to(INTERVALS).run().unwrap();
    let store = Store::open(&durable(dir.path())).unwrap();
    let newest = held(&store).pop().unwrap();
    store.put(&Manifest::name_of(&newest), b"not what it was".to_vec()).unwrap();
    // That the interval was over did not come to be written, nor what was held then.
    let is_so = |entry: &Entry| entry.completed < newest.number;
    for (position, _) in entries(&store).unwrap().into_iter().filter(|(_, entry)| !is_so(entry)) {
        store.delete(&format!("log/{position:020}")).unwrap();
    }
    to(INTERVALS).run().unwrap();
    let names = Manifest::names(&store).unwrap();
    assert!(!names.contains(&Manifest::name_of(&newest)), "{names:?}");
    let again = held(&store).pop().unwrap();
    assert_eq!(again.number, newest.number);
    assert!(Manifest::read(&store, &again).unwrap().is_ok() && names.contains(&Manifest::name_of(&again)));
    let wrong = go_on(dir.path(), &expected, 0, "a spoilt checkpoint");
    assert!(wrong.is_empty(), "{wrong}");
}
