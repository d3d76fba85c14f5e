//! How a program ends when it is told to: real processes, real signals.

#![allow(clippy::unwrap_used)]

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::atomic::{AtomicU64, Ordering::SeqCst},
    time::Duration,
};

use cutwater::{
    Context, Error,
    source::{Intake, Receiver},
};

/// Says what this process is to be when it is started by one of the tests below.
const ROLE: &str = "CUTWATER_TEST_ROLE";

static RECEIVED: AtomicU64 = AtomicU64::new(0);
static PROCESSED: AtomicU64 = AtomicU64::new(0);

/// Numbers without end.
struct Numbers;

impl Receiver<u64> for Numbers {
    fn receive(&mut self, intake: &Intake<u64>) -> Result<(), Error> {
        println!("\nreceiving");
        while intake.push(1, 8).is_ok() {
            RECEIVED.fetch_add(1, SeqCst);
            if intake.sleep(Duration::from_millis(1)).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// No test of its own: the program of the processes that the tests start.
#[test]
fn program() {
    let Ok(role) = std::env::var(ROLE) else { return };
    let interval = Duration::from_millis(if role == "waiting" { 600_000 } else { 50 });
    let ctx = Context::builder("signals").threads(1).interval(interval).build().unwrap();
    let numbers = ctx.source("numbers").receiver(Numbers);
    numbers.for_each_rdd(move |rdd, _| {
        PROCESSED.fetch_add(rdd.count()?, SeqCst);
        println!("\ninterval");
        if role == "stuck" {
            std::thread::sleep(Duration::from_secs(600));
        }
        Ok::<(), Error>(())
    });
    ctx.run().unwrap();
    println!("\nended {} {}", RECEIVED.load(SeqCst), PROCESSED.load(SeqCst));
}

/// A process that is ended with the test.
struct Program(Child);

impl Program {
    fn start(role: &str) -> Self {
        let test = std::env::current_exe().unwrap();
        let mut command = Command::new(test);
        command.args(["program", "--exact", "--nocapture"]).env(ROLE, role);
        Self(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Reads what it prints up to a line that begins with `wanted`, and answers with that line.
    fn wait_for(&mut self, wanted: &str) -> String {
        let mut lines = BufReader::with_capacity(1, self.0.stdout.as_mut().unwrap()).lines();
        let found = lines.find_map(|line| line.ok().filter(|line| line.starts_with(wanted)));
        found.unwrap_or_else(|| panic!("the program ended without {wanted:?}"))
    }

    fn signal(&self, name: &str) {
        let done =
            Command::new("kill").args([&format!("-{name}"), &self.0.id().to_string()]).status().unwrap();
        assert!(done.success());
    }

    fn end(&mut self) -> (ExitStatus, String) {
        let mut said = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        (self.0.wait().unwrap(), said)
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn stops_gracefully(signal: &str, role: &str, after: &str) {
    let mut program = Program::start(role);
    program.wait_for(after);
    program.signal(signal);
    let ended = program.wait_for("ended");
    let counts: Vec<u64> = ended.split(' ').skip(1).map(|n| n.parse().unwrap()).collect();
    assert_eq!(counts[0], counts[1], "what was received is processed");
    let (status, said) = program.end();
    assert!(status.success() && said.contains("stopping when what was received is processed"), "{said}");
}

#[test]
fn ctrl_c_processes_what_was_received() {
    stops_gracefully("INT", "busy", "interval");
}

#[test]
fn so_does_sigterm() {
    stops_gracefully("TERM", "busy", "interval");
}

#[test]
fn a_program_that_waits_for_its_interval_stops_too() {
    stops_gracefully("INT", "waiting", "receiving");
}

#[test]
fn a_second_ctrl_c_stops_at_once() {
    let mut program = Program::start("stuck");
    program.wait_for("interval");
    program.signal("INT");
    let mut stderr = BufReader::with_capacity(1, program.0.stderr.take().unwrap());
    let mut said = String::new();
    stderr.read_line(&mut said).unwrap();
    assert!(said.contains("once more to stop at once"), "{said}");
    program.signal("INT");
    assert_eq!(program.0.wait().unwrap().code(), Some(130));
}
