//! A program is handed over, runs, and is shown.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read},
    net::{TcpListener, TcpStream},
    os::unix::fs::PermissionsExt,
    process::Stdio,
    thread,
};

use crate::set::{Set, built, embedded, is_there, readings, said, sensors, signal};

/// The files of executables in the folder of an agent.
fn executables(set: &Set, agent: usize) -> Vec<String> {
    let entries = fs::read_dir(set.folder(agent).join("executables")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn it_prints_what_one_process_prints_and_is_sent_once() {
    let set = Set::start(3);
    let (program, file) = (readings(), sensors(set.dir.path(), 30));
    let arguments = ["--batch", "--parallelism", "3", &file];
    let submit = || {
        let submit = [&[program.to_str().unwrap(), "--"], &arguments[..]].concat();
        let output = set.run("submit", &submit);
        assert!(output.status.success(), "{}", said(&output));
        (String::from_utf8(output.stdout.clone()).unwrap(), said(&output))
    };
    let expected = embedded(&program, &arguments);
    assert_eq!(expected.lines().count(), 30);

    let (printed, told) = submit();
    assert_eq!(printed, expected);
    assert!(told.contains("all readings are summed"), "standard error is shown too: {told}");
    assert!(told.contains("3 workers on 3 agents"), "{told}");
    assert_eq!(told.matches("sent ").count(), 1, "sent to one: {told}");
    assert_eq!(told.matches("has got the program from").count(), 2, "the others get it from that: {told}");
    let hash = blake3::hash(&fs::read(&program).unwrap()).to_string();
    for agent in 0..3 {
        assert_eq!(executables(&set, agent), [hash.as_str()]);
    }

    let (printed, told) = submit();
    assert_eq!(printed, expected);
    assert!(!told.contains("sent ") && !told.contains("has got"), "it is there already: {told}");
}

/// A way to `address` for one connection only.
fn way_for_one(address: &str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (way, address) = (listener.local_addr().unwrap().to_string(), address.to_owned());
    thread::spawn(move || {
        let (near, _) = listener.accept().unwrap();
        drop(listener);
        let far = TcpStream::connect(address).unwrap();
        let (mut from, mut to) = (far.try_clone().unwrap(), near.try_clone().unwrap());
        let back = thread::spawn(move || {
            let _ = io::copy(&mut from, &mut to);
            to.shutdown(std::net::Shutdown::Write)
        });
        let _ = io::copy(&mut (&near), &mut (&far));
        let _ = far.shutdown(std::net::Shutdown::Write);
        back.join()
    });
    way
}

/// An agent that cannot reach the one which has the executable is sent it as well.
#[test]
fn what_cannot_be_fetched_is_sent() {
    let mut set = Set::start(2);
    let file = sensors(set.dir.path(), 3);
    let program = readings();
    set.agents[0].address = way_for_one(&set.agents[0].address);
    let output = set.run("submit", &[program.to_str().unwrap(), "--", "--batch", &file]);
    let told = said(&output);
    assert!(output.status.success(), "{told}");
    assert!(told.contains("cannot reach an agent") && told.contains("so it is sent from here"), "{told}");
    let sent = format!("sent {} bytes", fs::metadata(&program).unwrap().len());
    assert_eq!(told.matches(&sent).count(), 2, "{told}");
}

#[test]
fn flights_print_what_they_print_in_one_process() {
    let program = built("examples/flights", "cutwater-examples");
    let boards = |printed: String| {
        // What an interval took is in lines of its own.
        printed.lines().filter(|line| !line.starts_with("interval ")).collect::<Vec<_>>().join("\n")
    };
    let set = Set::start(2);
    let arguments = ["--workers", "4", program.to_str().unwrap(), "--", "--batch", "--parallelism", "4"];
    let printed = boards(set.print("submit", &arguments));
    assert!(printed.contains("UA"), "{printed}");
    assert_eq!(printed, boards(embedded(&program, &["--batch", "--threads", "4"])));
}

#[test]
fn the_exit_status_is_the_programs() {
    let set = Set::start(1);
    let program = readings();
    let file = set.dir.path().join("bad.csv");
    fs::write(&file, "second,sensor,value\n1,s\n").unwrap();
    let output = set.run("submit", &[program.to_str().unwrap(), "--", "--batch", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("2 fields, not 3"), "{}", said(&output));
}

#[test]
fn what_ends_before_it_waits_for_workers_is_said_to() {
    let set = Set::start(1);
    let program = readings();
    let output = set.run("submit", &[program.to_str().unwrap(), "--", "--frobnicate"]);
    // The program names its own faults before it starts anything, or when it is to run.
    assert!(!output.status.success());
    assert!(said(&output).contains("--frobnicate"), "{}", said(&output));
    let output =
        set.run("submit", &[env!("CARGO_BIN_EXE_cutwater"), "--", "jobs", "--agents", "127.0.0.1:1"]);
    assert!(!output.status.success());
    assert!(said(&output).contains("before it waited for workers"), "{}", said(&output));
    assert!(set.pids().is_empty());
}

#[test]
fn ctrl_c_leaves_it_running() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let mut submit = set.command("submit", &["--name", "long", program.to_str().unwrap(), "--", &file]);
    let mut submit = submit.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(submit.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    signal(submit.id(), "-INT");
    let mut told = String::new();
    submit.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(submit.wait().unwrap().success(), "{told}");
    assert!(told.contains("cutwater logs --follow long") && told.contains("cutwater stop long"), "{told}");
    assert_eq!(set.pids().len(), 3, "a master and two workers go on");

    // Whoever comes back sees it from the beginning, until it ends.
    let mut logs = set.command("logs", &["--follow", "long"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut again = BufReader::new(logs.stdout.take().unwrap());
    let mut line = String::new();
    again.read_line(&mut line).unwrap();
    assert_eq!(line, first);
    let stopped = set.print("stop", &["long"]);
    assert!(stopped.contains("job long is stopped"), "{stopped}");
    assert!(logs.wait().unwrap().success());
}

#[test]
fn a_name_is_taken_while_its_job_runs() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let arguments = ["--detach", "--name", "one", program.to_str().unwrap(), "--", &file];
    assert_eq!(set.print("submit", &arguments), "one\n");
    let before = set.pids();
    let output = set.run("submit", &arguments);
    assert!(said(&output).contains("job one runs here already"), "{}", said(&output));
    assert_eq!(set.pids(), before, "the first goes on");
    assert!(before.iter().all(|pid| is_there(*pid)));
    let output = set.run("submit", &["--name", "../one", program.to_str().unwrap()]);
    assert!(said(&output).contains("a job cannot be called"), "{}", said(&output));
}

#[test]
fn the_master_runs_where_it_is_to() {
    let set = Set::start(2);
    let (program, file) = (readings(), sensors(set.dir.path(), 600));
    let other = &set.agents[1].address;
    let arguments =
        ["--detach", "--master-on", other, "--workers", "1", program.to_str().unwrap(), "--", &file];
    set.print("submit", &arguments);
    let jobs = set.jobs();
    assert!(jobs.iter().all(|listed| listed.agent == *other) && jobs.len() == 2, "{jobs:?}");
    let output = set.run("submit", &["--master-on", "elsewhere", program.to_str().unwrap()]);
    assert!(said(&output).contains("elsewhere is none of the agents"), "{}", said(&output));
    let output = set.run("submit", &["--master-on", "127.0.0.1", program.to_str().unwrap()]);
    assert!(said(&output).contains("is more than one of the agents"), "{}", said(&output));
}

#[test]
fn what_cannot_run_there_is_refused_before_it_is_sent() {
    let set = Set::start(1);
    let path = set.dir.path().join("other");
    let mut bytes = fs::read(readings()).unwrap();
    // The processor in the head of an ELF file: another than this machine's.
    let other = if bytes[18] == 183 { 62 } else { 183 };
    bytes[18] = other;
    fs::write(&path, &bytes).unwrap();
    let refused = |mode, path: &str| {
        fs::set_permissions(set.dir.path().join("other"), fs::Permissions::from_mode(mode)).unwrap();
        let output = set.run("submit", &[path]);
        assert!(!output.status.success());
        said(&output)
    };
    let path = path.to_str().unwrap();
    let told = refused(0o755, path);
    assert!(
        told.contains("the program is for") && told.contains("aarch64") && told.contains("x86_64"),
        "{told}"
    );
    assert!(refused(0o644, path).contains("is not executable (chmod +x)"));
    assert!(refused(0o644, "/bin/true").contains("no program of cutwater"));
    assert!(refused(0o644, concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).contains("is not executable"));
    assert!(executables(&set, 0).is_empty());
}

#[test]
fn who_cannot_be_reached_is_named() {
    let mut set = Set::start(2);
    set.agents[1].end("-TERM");
    let gone = set.agents[1].address.clone();
    let output = set.run("submit", &[readings().to_str().unwrap()]);
    assert!(!output.status.success());
    let told = said(&output);
    assert!(
        told.contains(&format!("cannot reach an agent at {gone}")) && told.contains("cutwater agent"),
        "{told}"
    );
    // Looking at what runs is possible all the same.
    let output = set.run("jobs", &[]);
    assert!(output.status.success() && said(&output).contains(&gone), "{}", said(&output));
}
