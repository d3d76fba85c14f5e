//! Masters that are killed, stopped and started again: another goes on with the workers that are there, and every
//! interval's output is what it would have been.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::Write,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cutwater::{Builder, Context, Error, Time};

/// Far more than anything here takes.
const PATIENCE: Duration = Duration::from_secs(90);
const INTERVAL: Duration = Duration::from_millis(100);
const INTERVALS: i64 = 60;

/// Lines of a time in milliseconds, a key and a value, over some seconds.
fn write_input(folder: &Path) {
    let lines: String = (0..INTERVALS * 20).map(|n| format!("{} {} {n}\n", 1 + n * 5, n * n % 43)).collect();
    fs::write(folder.join("input"), lines).unwrap();
}

/// The program: a state, a window, and one that looks back at older states; each interval's records written to a file of their own kind.
fn run(builder: Builder, folder: &Path, out: &str) -> Result<(), Error> {
    let ctx = builder.interval(INTERVAL).handle_signals(false).progress(false).build()?;
    let parse = |line: &str| {
        let mut fields = line.split(' ').map(|field| field.parse::<i64>().map_err(|error| error.to_string()));
        let mut next = || fields.next().unwrap_or_else(|| Err("too short".to_owned()));
        Ok::<_, String>((next()?, next()?, next()?))
    };
    let records =
        ctx.source("records").replay([folder.join("input")], parse, |record| Time::from_ms(record.0));
    let keyed = records.map(|(_, key, value)| (key, value));
    let counts = keyed.running_reduce(|a, b| a + b);
    let window = keyed.reduce_by_key_and_window(|a, b| a.max(b), 6 * INTERVAL, INTERVAL);
    let older =
        counts.window(12 * INTERVAL, INTERVAL).map(|(key, _)| (key % 5, 1)).reduce_by_key(|a, b| a + b);
    for (name, stream) in [("counts", counts), ("window", window), ("older", older)] {
        let file = folder.join(format!("{out}-{name}"));
        stream.for_each_rdd(move |rdd, t| {
            let mut records = rdd.collect()?;
            records.sort_unstable();
            let line = format!("{} {records:?}\n", t.as_ms());
            // In one write, so that a kill leaves no half of it.
            let file = OpenOptions::new().append(true).create(true).open(&file);
            file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::user)
        });
    }
    ctx.run()
}

/// What was written, by interval. One that was run again has given the same.
fn given(folder: &Path, out: &str, name: &str) -> BTreeMap<i64, String> {
    let mut by_time = BTreeMap::new();
    for line in fs::read_to_string(folder.join(format!("{out}-{name}"))).unwrap_or_default().lines() {
        let (time, records) = line.split_once(' ').unwrap();
        let before = by_time.insert(time.parse().unwrap(), records.to_owned());
        assert!(before.is_none_or(|before| before == records), "interval {time} of {name} differs");
    }
    by_time
}

fn assert_complete(folder: &Path) {
    run(Context::builder("takeover").threads(2).batch(true), folder, "expected").unwrap();
    for name in ["counts", "window", "older"] {
        assert_eq!(given(folder, "given", name), given(folder, "expected", name), "{name}");
    }
}

/// The same with records that clients send, until one says that it is the last.
fn run_for_clients(builder: Builder, folder: &Path) -> Result<(), Error> {
    let ctx = builder.interval(INTERVAL).handle_signals(false).build()?;
    let lines = ctx.source("records").client_lines();
    let counts = lines.map(|line| (line, 1u64)).running_reduce(|a, b| a + b);
    let (out, program) = (folder.join("clients"), ctx.clone());
    counts.for_each_rdd(move |rdd, _| {
        let counts = rdd.collect()?;
        if counts.iter().any(|(line, _)| line == "last") {
            program.stop();
        }
        let mut counts: Vec<String> = counts.into_iter().map(|(line, n)| format!("{line} {n}\n")).collect();
        counts.sort_unstable();
        let beside = out.with_extension(format!("{}", std::process::id()));
        let written = fs::write(&beside, counts.concat()).and_then(|()| fs::rename(&beside, &out));
        written.map_err(Error::user)
    });
    let address = ctx.client_access()?.address.to_string();
    let beside = folder.join(format!("address.{}", std::process::id()));
    fs::write(&beside, address)
        .and_then(|()| fs::rename(&beside, folder.join("address")))
        .map_err(Error::user)?;
    ctx.run()
}

/// In a process that was started as the program, is it.
fn is_program() -> bool {
    let Ok(folder) = std::env::var("TAKEOVER_FOLDER") else { return false };
    let folder = PathBuf::from(folder);
    let standby = std::env::var("TAKEOVER_STANDBY").is_ok();
    let parallelism = std::env::var("TAKEOVER_PARALLELISM").map_or(6, |number| number.parse().unwrap());
    let builder = Context::builder("takeover")
        .threads(1)
        .parallelism(parallelism)
        .standby(standby)
        .token_file(folder.join("token"))
        .checkpoint(folder.join("checkpoints").to_str().unwrap())
        .checkpoint_intervals(8);
    let builder = match std::env::var("TAKEOVER_ADDRESS") {
        // Its workers are started by hand.
        Ok(address) => builder.master(address),
        Err(_) => builder.workers(3),
    };
    let ran = match std::env::var("TAKEOVER_CLIENTS") {
        Ok(_) => run_for_clients(builder, &folder),
        Err(_) => run(builder, &folder, "given"),
    };
    match ran {
        Ok(()) => std::process::exit(0),
        Err(error) => {
            eprintln!("the program: {error}");
            std::process::exit(3);
        }
    }
}

fn start(test: &str, folder: &Path, standby: bool) -> Child {
    command(test, folder, standby).spawn().unwrap()
}

fn command(test: &str, folder: &Path, standby: bool) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env("TAKEOVER_FOLDER", folder).stdout(Stdio::null());
    if standby {
        command.env("TAKEOVER_STANDBY", "1");
    }
    command
}

/// A master whose workers are started by hand, and the workers.
struct ByHand<'a> {
    test: &'a str,
    folder: &'a Path,
    address: String,
}

impl<'a> ByHand<'a> {
    fn new(test: &'a str, folder: &'a Path) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self { test, folder, address: free.to_string() }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([self.test, "--exact", "--nocapture"]).env("TAKEOVER_FOLDER", self.folder);
        command.env("CUTWATER_TOKEN", "known to both").stdout(Stdio::null());
        command
    }

    fn master(&self) -> Child {
        self.command().env("TAKEOVER_ADDRESS", &self.address).spawn().unwrap()
    }

    fn workers(&self) -> Vec<Child> {
        let worker = || {
            let mut command = self.command();
            command.env("CUTWATER_ROLE", "worker").env("CUTWATER_JOIN", &self.address);
            command.spawn().unwrap()
        };
        (0..3).map(|_| worker()).collect()
    }
}

/// All are killed before any has been seen to be gone.
fn kill_at_once(processes: Vec<Child>) {
    processes.iter().for_each(|process| signal(process, "-STOP"));
    processes.iter().for_each(|process| signal(process, "-KILL"));
    for mut process in processes {
        process.wait().unwrap();
    }
}

fn signal(process: &Child, signal: &str) {
    let done = Command::new("kill").args([signal, &process.id().to_string()]).status().unwrap();
    assert!(done.success());
}

/// Waits until so many intervals were given out.
fn wait_for(folder: &Path, intervals: usize) {
    let until = Instant::now() + PATIENCE;
    while given(folder, "given", "window").len() < intervals {
        assert!(Instant::now() < until, "{} intervals came", given(folder, "given", "window").len());
        thread::sleep(Duration::from_millis(10));
    }
}

fn exit_code(process: &mut Child) -> Option<i32> {
    let until = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = process.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > until {
            process.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_standby_takes_over_from_a_master_that_is_killed() {
    if is_program() {
        return;
    }
    let test = "a_standby_takes_over_from_a_master_that_is_killed";
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let mut master = start(test, dir.path(), false);
    wait_for(dir.path(), 2);
    let mut standby = start(test, dir.path(), true);
    wait_for(dir.path(), 20);
    signal(&master, "-KILL");
    master.wait().unwrap();
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}

/// What workers hold of states is in other partitions than the next master's, and is not taken for its.
#[test]
fn a_standby_takes_over_with_another_parallelism() {
    if is_program() {
        return;
    }
    let test = "a_standby_takes_over_with_another_parallelism";
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let mut master = start(test, dir.path(), false);
    for (parallelism, taken_over, intervals) in [(4, 2, 20), (9, 28, 40)] {
        // Of two standbys either may be next.
        wait_for(dir.path(), taken_over);
        let mut standby = command(test, dir.path(), true);
        let standby = standby.env("TAKEOVER_PARALLELISM", parallelism.to_string()).spawn().unwrap();
        wait_for(dir.path(), intervals);
        signal(&master, "-KILL");
        master.wait().unwrap();
        master = standby;
    }
    assert_eq!(exit_code(&mut master), Some(0));
    assert_complete(dir.path());
}

/// Whoever comes back finds that another has the log, and ends; it has written nothing that counts.
#[test]
fn a_master_that_was_only_stopped_does_no_harm_when_it_wakes_up() {
    if is_program() {
        return;
    }
    let test = "a_master_that_was_only_stopped_does_no_harm_when_it_wakes_up";
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let mut master = start(test, dir.path(), false);
    wait_for(dir.path(), 2);
    let mut standby = start(test, dir.path(), true);
    wait_for(dir.path(), 15);
    signal(&master, "-STOP");
    wait_for(dir.path(), 30);
    signal(&master, "-CONT");
    assert_eq!(exit_code(&mut master), Some(3));
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}

/// Nobody has what the file held: the master and all workers but one are gone. Of each kind of damage, that of the
/// newest file of states, of the newest checkpoint, and of the older states in it that only a window looks back at.
#[test]
fn a_damaged_checkpoint_is_noticed_by_whoever_takes_over() {
    if is_program() {
        return;
    }
    let test = "a_damaged_checkpoint_is_noticed_by_whoever_takes_over";
    for damaged in ["state", "checkpoints", "older"] {
        let dir = tempfile::tempdir().unwrap();
        write_input(dir.path());
        let mut master = start(test, dir.path(), false);
        wait_for(dir.path(), 2);
        let mut standby = start(test, dir.path(), true);
        wait_for(dir.path(), 30);
        let workers = children(&master);
        assert_eq!(workers.len(), 3);
        signal(&master, "-STOP");
        let durable = dir.path().join("checkpoints");
        match damaged {
            "older" => damage_older(&durable),
            damaged => damage(&durable.join(damaged)),
        }
        for worker in &workers[1..] {
            assert!(Command::new("kill").args(["-KILL", worker]).status().unwrap().success());
        }
        signal(&master, "-KILL");
        master.wait().unwrap();
        assert_eq!(exit_code(&mut standby), Some(0), "{damaged}");
        assert_complete(dir.path());
    }
}

/// The processes that the threads of a process have started.
fn children(process: &Child) -> Vec<String> {
    let threads = fs::read_dir(format!("/proc/{}/task", process.id())).unwrap();
    let of = |thread: PathBuf| fs::read_to_string(thread.join("children")).unwrap();
    let children: String = threads.map(|thread| of(thread.unwrap().path())).collect();
    children.split_ascii_whitespace().map(str::to_owned).collect()
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
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

#[test]
fn a_master_that_is_started_again_finds_its_workers() {
    if is_program() {
        return;
    }
    let test = "a_master_that_is_started_again_finds_its_workers";
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    for intervals in [10, 25, 40] {
        let mut master = start(test, dir.path(), false);
        wait_for(dir.path(), intervals);
        signal(&master, "-KILL");
        master.wait().unwrap();
    }
    assert_eq!(exit_code(&mut start(test, dir.path(), false)), Some(0));
    assert_complete(dir.path());
}

/// What clients were told is safe is counted once, though masters are killed while they send, and a worker with one
/// of them.
#[test]
fn acknowledged_records_count_once_whichever_master_is_killed() {
    if is_program() {
        return;
    }
    let test = "acknowledged_records_count_once_whichever_master_is_killed";
    let dir = tempfile::tempdir().unwrap();
    let start = |standby| {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args([test, "--exact", "--nocapture"]).env("TAKEOVER_FOLDER", dir.path());
        command.env("TAKEOVER_CLIENTS", "1").stdout(Stdio::null());
        if standby {
            command.env("TAKEOVER_STANDBY", "1");
        }
        command.spawn().unwrap()
    };
    let mut master = start(false);
    let until = Instant::now() + PATIENCE;
    while !dir.path().join("address").exists() {
        assert!(Instant::now() < until, "it does not start");
        thread::sleep(Duration::from_millis(10));
    }
    let address = fs::read_to_string(dir.path().join("address")).unwrap();
    let client = cutwater_client::Client::builder(&address, "records").token_file(dir.path().join("token"));
    let client = client.patience(PATIENCE).build().unwrap();
    let mut sent = 0u64;
    let mut send_for = |intervals: u32| {
        let until = Instant::now() + intervals * INTERVAL;
        while Instant::now() < until {
            for _ in 0..20 {
                client.send(format!("record {}", sent % 500).as_bytes()).unwrap();
                sent += 1;
            }
            thread::sleep(Duration::from_millis(2));
        }
    };
    send_for(8);
    for _ in 0..2 {
        let standby = start(true);
        send_for(12);
        signal(&master, "-KILL");
        master.wait().unwrap();
        master = standby;
        send_for(25);
    }
    client.flush().unwrap();
    client.send(b"last").unwrap();
    client.flush().unwrap();
    assert_eq!(exit_code(&mut master), Some(0));
    let mut expected: Vec<String> =
        (0..500).map(|key| format!("record {key} {}\n", (sent - key).div_ceil(500))).collect();
    expected.push("last 1\n".to_owned());
    expected.sort_unstable();
    assert_eq!(fs::read_to_string(dir.path().join("clients")).unwrap(), expected.concat());
}

/// Its silence is all there is to see: nothing of it ends. Workers go on acknowledging, before the takeover and after it, and
/// while the one that was stopped wakes up.
#[test]
fn clients_are_acknowledged_while_a_master_that_was_stopped_is_replaced_and_wakes_up() {
    if is_program() {
        return;
    }
    let test = "clients_are_acknowledged_while_a_master_that_was_stopped_is_replaced_and_wakes_up";
    let dir = tempfile::tempdir().unwrap();
    let start = |standby| command(test, dir.path(), standby).env("TAKEOVER_CLIENTS", "1").spawn().unwrap();
    let address = || fs::read_to_string(dir.path().join("address")).ok();
    let wait_until = |what: &str, is_so: &dyn Fn() -> bool| {
        let until = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < until, "{what}");
            thread::sleep(Duration::from_millis(10));
        }
    };
    let mut master = start(false);
    wait_until("it does not start", &|| address().is_some());
    let first = address().unwrap();
    let client = cutwater_client::Client::builder(&first, "records").token_file(dir.path().join("token"));
    let client = client.patience(PATIENCE).build().unwrap();
    let mut sent = 0u64;
    let mut send = || {
        for _ in 0..1_000 {
            client.send(format!("record {}", sent % 500).as_bytes()).unwrap();
            sent += 1;
        }
        client.flush().unwrap();
        assert_eq!(client.acknowledged(), sent);
    };
    send();
    wait_until("nothing is given out", &|| dir.path().join("clients").exists());
    let mut standby = start(true);
    send();
    signal(&master, "-STOP");
    send();
    wait_until("nobody takes over", &|| address().is_some_and(|address| address != first));
    send();
    signal(&master, "-CONT");
    send();
    assert_eq!(exit_code(&mut master), Some(3));
    send();
    client.send(b"last").unwrap();
    client.flush().unwrap();
    assert_eq!(exit_code(&mut standby), Some(0));
    let mut expected: Vec<String> = (0..500).map(|key| format!("record {key} {}\n", sent / 500)).collect();
    expected.push("last 1\n".to_owned());
    expected.sort_unstable();
    assert_eq!(fs::read_to_string(dir.path().join("clients")).unwrap(), expected.concat());
}

/// Whatever they held is read from the states that were written, and made again from the inputs since.
#[test]
fn all_workers_killed_at_once_are_replaced_by_others() {
    if is_program() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let by_hand = ByHand::new("all_workers_killed_at_once_are_replaced_by_others", dir.path());
    let (mut master, mut workers) = (by_hand.master(), by_hand.workers());
    for intervals in [15, 35] {
        wait_for(dir.path(), intervals);
        kill_at_once(workers);
        workers = by_hand.workers();
    }
    assert_eq!(exit_code(&mut master), Some(0));
    workers.iter_mut().for_each(|worker| assert_eq!(exit_code(worker), Some(0)));
    assert_complete(dir.path());
}

#[test]
fn a_program_goes_on_after_its_master_and_all_workers_are_killed_at_once() {
    if is_program() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let test = "a_program_goes_on_after_its_master_and_all_workers_are_killed_at_once";
    let by_hand = ByHand::new(test, dir.path());
    let mut processes = by_hand.workers();
    let mut master = by_hand.master();
    for intervals in [15, 35] {
        wait_for(dir.path(), intervals);
        processes.push(master);
        kill_at_once(processes);
        (master, processes) = (by_hand.master(), by_hand.workers());
    }
    assert_eq!(exit_code(&mut master), Some(0));
    processes.iter_mut().for_each(|worker| assert_eq!(exit_code(worker), Some(0)));
    assert_complete(dir.path());
}

/// A second one that does not say that it is a standby is a mistake, and the first goes on.
#[test]
fn two_masters_at_a_time_are_refused_and_a_standby_ends_with_the_program() {
    if is_program() {
        return;
    }
    let test = "two_masters_at_a_time_are_refused_and_a_standby_ends_with_the_program";
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let mut master = start(test, dir.path(), false);
    wait_for(dir.path(), 2);
    let (mut second, mut standby) = (start(test, dir.path(), false), start(test, dir.path(), true));
    assert_eq!(exit_code(&mut second), Some(3));
    assert_eq!(exit_code(&mut master), Some(0));
    assert_eq!(exit_code(&mut standby), Some(0));
    assert_complete(dir.path());
}
