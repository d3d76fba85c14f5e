//! What runs is looked after, and ends when it should.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    process::Stdio,
};

use crate::set::{Listed, Set, embedded, is_there, readings, said, sensors, signal, wait_for};

/// A job that takes a while and has begun, with its name and processes.
fn long(set: &Set, workers: &str) -> (String, Vec<Listed>) {
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let arguments = ["--detach", "--workers", workers, program.to_str().unwrap(), "--", &file];
    let name = set.print("submit", &arguments).trim().to_owned();
    wait_for(|| format!("{:?}", set.jobs()), || !set.print("logs", &[&name]).is_empty());
    let jobs = set.jobs();
    (name, jobs)
}

/// A worker is killed in mid-run: its agent starts it again, it joins, and the program prints what it would
/// have printed.
#[test]
fn a_worker_that_dies_is_started_again_and_joins() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 200));
    let arguments = ["--speed", "20", "--parallelism", "2", &file];
    let submit = [&["--name", "j", program.to_str().unwrap(), "--"], &arguments[..]].concat();
    let mut running = set.command("submit", &submit).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    let mut printed = String::new();
    out.read_line(&mut printed).unwrap();
    let worker = |jobs: &[Listed]| jobs.iter().find(|listed| listed.process == "worker-0").unwrap().clone();
    let before = worker(&set.jobs());
    signal(before.pid().unwrap(), "-KILL");
    let jobs = set.jobs_until(|jobs| worker(jobs).restarts == 1 && worker(jobs).pid().is_some());
    assert_ne!(worker(&jobs).pid(), before.pid());
    out.read_to_string(&mut printed).unwrap();
    assert!(running.wait().unwrap().success());
    assert_eq!(printed, embedded(&program, &[&["--batch", "--threads", "2"], &arguments[2..]].concat()));
    // Only a worker that has joined is told that the program is over, and ends with success.
    let jobs = set.jobs();
    assert_eq!(
        (worker(&jobs).state.as_str(), worker(&jobs).restarts),
        ("ended, exit status 0", 1),
        "{jobs:?}"
    );
}

#[test]
fn stopping_ends_every_process() {
    let set = Set::start(3);
    let (name, jobs) = long(&set, "5");
    let pids: Vec<_> = jobs.iter().filter_map(Listed::pid).collect();
    assert_eq!(pids.len(), 6);
    assert!(pids.iter().all(|pid| is_there(*pid)));
    set.print("stop", &[&name]);
    assert!(!pids.iter().any(|pid| is_there(*pid)), "none is left");
    let ended = set.jobs();
    assert!(ended.iter().all(|listed| listed.state == "ended, exit status 0"), "orderly: {ended:?}");
    let output = set.run("stop", &["nothing"]);
    assert!(said(&output).contains("no agent knows a job nothing"), "{}", said(&output));
}

#[test]
fn an_agent_that_ends_takes_its_processes_along() {
    for with in ["-TERM", "-KILL"] {
        let mut set = Set::start(1);
        let (_, jobs) = long(&set, "2");
        let pids: Vec<_> = jobs.iter().filter_map(Listed::pid).collect();
        assert_eq!(pids.len(), 3);
        set.agents[0].end(with);
        // The kernel ends what a killed agent leaves, a moment later.
        wait_for(|| format!("{with}: some of {pids:?} are there"), || !pids.iter().any(|pid| is_there(*pid)));
        // What it kept is there for the next.
        set.agents[0] = set.agent(0);
        let program = readings();
        let file = sensors(set.dir.path(), 3);
        let output = set.run("submit", &[program.to_str().unwrap(), "--", "--batch", &file]);
        assert!(output.status.success() && !said(&output).contains("sent "), "{}", said(&output));
    }
}

#[test]
fn a_master_that_is_killed_ends_its_job() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let mut submit = set.command("submit", &[program.to_str().unwrap(), "--", &file]);
    let mut submit = submit.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(submit.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let jobs = set.jobs();
    let master = jobs.iter().find(|listed| listed.process == "master").unwrap();
    signal(master.pid().unwrap(), "-KILL");
    assert_eq!(submit.wait().unwrap().code(), Some(137));
    assert!(set.pids().is_empty(), "{:?}", set.jobs());
}

fn master(jobs: &[Listed]) -> Listed {
    jobs.iter().find(|listed| listed.process == "master").unwrap().clone()
}

fn workers(jobs: &[Listed]) -> Vec<(String, Option<u32>)> {
    let workers = jobs.iter().filter(|listed| listed.process != "master");
    workers.map(|listed| (listed.agent.clone(), listed.pid())).collect()
}

/// What the program has written down and what its workers hold is there still: it goes on, with the same workers, and
/// prints each interval as it would have.
#[test]
fn a_master_that_is_killed_is_started_again_where_its_program_goes_on() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 200));
    let checkpoints = set.dir.path().join("checkpoints").display().to_string();
    let arguments = ["--speed", "20", "--parallelism", "2", "--checkpoint", &checkpoints, &file];
    let submit = [&["--name", "j", program.to_str().unwrap(), "--"], &arguments[..]].concat();
    let mut running = set.command("submit", &submit).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(running.stdout.take().unwrap());
    let mut printed = String::new();
    out.read_line(&mut printed).unwrap();
    let before = workers(&set.jobs());
    for restarts in 1..=2 {
        signal(master(&set.jobs()).pid().unwrap(), "-KILL");
        let again = |jobs: &[Listed]| master(jobs).restarts == restarts && master(jobs).pid().is_some();
        assert_eq!(workers(&set.jobs_until(again)), before);
        // It has taken over when there is more.
        let mut line = String::new();
        while line.is_empty() || printed.contains(&line) {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "{:?}", set.jobs());
        }
        printed += &line;
    }
    out.read_to_string(&mut printed).unwrap();
    assert!(running.wait().unwrap().success());
    let jobs = set.jobs();
    assert!(jobs.iter().all(|listed| listed.state == "ended, exit status 0"), "a clean end: {jobs:?}");
    assert_eq!(jobs.iter().map(|listed| listed.restarts).sum::<u32>(), 2, "{jobs:?}");
    // The interval in which it was killed may be there twice.
    let mut lines: Vec<_> = printed.lines().collect();
    lines.dedup();
    let expected = embedded(&program, &["--batch", "--threads", "2", "--parallelism", "2", &file]);
    assert_eq!(lines, expected.lines().collect::<Vec<_>>());
}

/// Its workers may hold what clients were told is safe. Why it fails is said, and when that is mended it goes on with them.
#[test]
fn a_master_that_fails_again_and_again_is_started_again_until_what_is_wrong_is_mended() {
    let set = Set::start(1);
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let checkpoints = set.dir.path().join("checkpoints");
    let mut submit = set.command("submit", &["--name", "j", program.to_str().unwrap(), "--", &file]);
    submit.args(["--checkpoint", checkpoints.to_str().unwrap()]);
    let mut submit = submit.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(submit.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let before = workers(&set.jobs());
    let pid = master(&set.jobs()).pid().unwrap();
    signal(pid, "-STOP");
    fs::rename(&checkpoints, set.dir.path().join("away")).unwrap();
    fs::write(&checkpoints, "in the way").unwrap();
    signal(pid, "-KILL");
    // A worker would be given up.
    let has_failed = |jobs: &[Listed]| {
        master(jobs).restarts == 5 && master(jobs).state == "starts again after exit status 1"
    };
    assert_eq!(workers(&set.jobs_until(has_failed)), before);
    fs::remove_file(&checkpoints).unwrap();
    fs::rename(set.dir.path().join("away"), &checkpoints).unwrap();
    let goes_on = |jobs: &[Listed]| master(jobs).restarts == 6 && master(jobs).pid().is_some();
    assert_eq!(workers(&set.jobs_until(goes_on)), before);
    set.print("stop", &["j"]);
    let mut told = String::new();
    submit.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    submit.wait().unwrap();
    assert!(set.pids().is_empty(), "{:?}", set.jobs());
    assert!(told.contains("checkpoints cannot be kept"), "the reason is shown: {told}");
}

#[test]
fn a_job_whose_master_is_about_to_be_started_again_can_be_stopped() {
    let set = Set::start(1);
    let checkpoints = set.dir.path().join("checkpoints");
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let submit = ["--detach", "--name", "j", program.to_str().unwrap(), "--", "--checkpoint"];
    let mut submit = set.command("submit", &submit);
    assert!(submit.arg(&checkpoints).arg(&file).status().unwrap().success());
    wait_for(|| format!("{:?}", set.jobs()), || !set.print("logs", &["j"]).is_empty());
    // Each wait is longer than the one before.
    for restarts in 1..=3 {
        signal(master(&set.jobs()).pid().unwrap(), "-KILL");
        set.jobs_until(|jobs| master(jobs).restarts == restarts && master(jobs).pid().is_some());
    }
    signal(master(&set.jobs()).pid().unwrap(), "-KILL");
    set.jobs_until(|jobs| master(jobs).state == "starts again after signal 9");
    set.print("stop", &["j"]);
    assert!(set.pids().is_empty(), "{:?}", set.jobs());
    assert_eq!((&*master(&set.jobs()).state, master(&set.jobs()).restarts), ("ended, signal 9", 3));
}

/// Command lines can be read by everyone on a machine.
#[test]
fn the_secret_of_a_run_is_in_no_command_line_and_no_log() {
    let set = Set::start(2);
    let (name, jobs) = long(&set, "2");
    let mut secret = None;
    for pid in jobs.iter().filter_map(Listed::pid) {
        let read = |file: &str| {
            String::from_utf8_lossy(&fs::read(format!("/proc/{pid}/{file}")).unwrap()).into_owned()
        };
        let token =
            read("environ").split('\0').find_map(|v| v.strip_prefix("CUTWATER_TOKEN=").map(str::to_owned));
        let token = token.unwrap();
        assert!(!read("cmdline").contains(&token));
        assert_eq!(secret.get_or_insert(token.clone()), &token, "all of a run have the same");
    }
    let secret = secret.unwrap();
    set.print("stop", &[&name]);
    let shared = fs::read_to_string(set.token()).unwrap();
    for agent in 0..2 {
        assert!(set.log(agent).contains("started"), "{}", set.log(agent));
        assert!(!set.log(agent).contains(&secret) && !set.log(agent).contains(shared.trim()));
    }
}

#[test]
fn what_workers_print_can_be_read() {
    let set = Set::start(2);
    let (name, _) = long(&set, "2");
    let output = set.run("logs", &["--process", "worker-0", &name]);
    assert!(said(&output).contains("several agents run a worker-0"), "{}", said(&output));
    let on = &set.agents[1].address;
    set.print("logs", &["--process", "worker-0", "--on", on, &name]);
    let output = set.run("logs", &["--process", "worker-7", &name]);
    assert!(said(&output).contains("no agent knows a worker-7"), "{}", said(&output));
}
