//! Programs in processes of their own, to be killed: each is the running test, started once more.
#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cutwater::Error;

/// Far more than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// In a process that was started as the program, where its files are.
const FOLDER: &str = "CUTWATER_TEST_FOLDER";

/// In a process that was started as the program, is it, and ends with it: by 3 if it fails.
pub fn is_program(run: impl FnOnce(&Path) -> Result<(), Error>) -> bool {
    let Ok(folder) = env::var(FOLDER) else { return false };
    if let Err(error) = run(Path::new(&folder)) {
        eprintln!("the program: {error}");
        std::process::exit(3);
    }
    std::process::exit(0);
}

/// The running test, to be the program with its files in that folder.
pub fn program(folder: &Path) -> Command {
    let test = thread::current().name().unwrap().to_owned();
    let mut command = Command::new(env::current_exe().unwrap());
    command.args([&test, "--exact", "--nocapture"]).env(FOLDER, folder).stdout(Stdio::null());
    command
}

/// Waits until something is so; what nobody ever makes so is an error of the program, not a test that hangs.
#[track_caller]
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < until, "{what}, even after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(5));
    }
}

pub fn signal(process: u32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// Ends a process as a crash does.
pub fn kill(mut process: Child) {
    signal(process.id(), "-KILL");
    process.wait().unwrap();
}

/// Waits for its end.
pub fn exit_code(process: &mut Child) -> Option<i32> {
    let mut status = None;
    let until = Instant::now() + PATIENCE;
    while status.is_none() && Instant::now() < until {
        status = process.try_wait().unwrap();
        thread::sleep(Duration::from_millis(5));
    }
    if status.is_none() {
        process.kill().unwrap();
    }
    status.expect("it does not end").code()
}

/// The processes that the threads of a process have started.
pub fn children(process: &Child) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of = |thread: PathBuf| fs::read_to_string(thread.join("children")).unwrap();
    let children: String = threads.map(|thread| of(thread.unwrap().path())).collect();
    children.split_ascii_whitespace().map(|child| child.parse().unwrap()).collect()
}
