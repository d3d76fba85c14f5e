use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{self, Child, ChildStdin, Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use super::{
    Harness,
    probe::Probe,
    steps::{self, MARK, Order},
};
use crate::{Context, Error, Record, output::Sink};

/// What tells a process that it is run by the kit: an order, an epoch and a place.
const VARIABLE: &str = "CUTWATER_SINK_KIT";

const PARTITIONS: u32 = 2;

/// How long a program may say nothing. Far longer than any step takes; a sink that is waited for so long keeps the next
/// master out.
const PATIENCE: Duration = Duration::from_secs(60);

/// Tests whether a [`Sink`] holds to its contract, by killing a program between every two of its steps.
///
/// A small program sends the given intervals into the sink, in processes of its own: this test, started again. At each
/// step of it (before and after each call, and wherever the sink itself says [`step`](super::step)) the process
/// - dies, and another one starts;
/// - dies, another one starts and dies at the same step, and a third one starts;
/// - stops, another master takes over and comes to its end, and then the first one goes on where it was.
///
/// Besides, in all of them every partition is written by an attempt that fails and by two at the same time, commits
/// are repeated, and attempts come too late. What can be read in the end must be byte for byte what an undisturbed
/// program leaves.
///
/// ```no_run
/// use cutwater::{output::{FileSink, committed}, testing::SinkKit};
///
/// # // The body of a test.
/// let lines = |of: &[&str]| of.iter().map(|line| line.to_string()).collect::<Vec<_>>();
/// let kit = SinkKit::new([lines(&["a", "b", "c"]), lines(&["d"])], |place| FileSink::text(place));
/// let dir = tempfile::tempdir().unwrap();
/// let checked = kit.check(
///     |run| dir.path().join(run).display().to_string(),
///     |place| Ok(format!("{:?}", committed(place)?.iter().map(|i| i.lines()).collect::<Vec<_>>())),
/// );
/// assert!(checked?.steps > 20);
/// # Ok::<(), cutwater::Error>(())
/// ```
#[derive(Debug)]
pub struct SinkKit {
    /// The test, by the name of its thread.
    test: String,
    intervals: usize,
    runs: usize,
}

/// What a kit has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SinkChecked {
    /// Steps at which the program was killed, and at which another master took over.
    pub steps: usize,
    /// Processes that were started.
    pub runs: usize,
}

/// How a process came to its end.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Done,
    Failed(String),
    Killed,
}

impl SinkKit {
    /// A kit that sends `intervals` into what `sink` makes for a place. It is to be made first in a test, before
    /// anything that must not happen in each of the processes: in those that the kit has started it runs the program
    /// and does not return.
    ///
    /// # Panics
    /// It is called on a thread that does not bear the name of a test.
    pub fn new<T: Record, S: Sink<T>>(
        intervals: impl IntoIterator<Item = Vec<T>>,
        sink: impl Fn(&str) -> S,
    ) -> Self {
        let intervals: Vec<Vec<T>> = intervals.into_iter().collect();
        if let Ok(told) = env::var(VARIABLE) {
            run(told.splitn(3, '|'), intervals, sink);
        }
        let test = thread::current().name().filter(|name| *name != "main").map(str::to_owned);
        let test = test.expect("a kit is made on the thread of a test");
        Self { test, intervals: intervals.len(), runs: 0 }
    }

    /// Checks the sink. `place` makes of the name of a run where its sink is; `read` reads there what everybody can see.
    ///
    /// # Errors
    /// The first thing that was found, with what was done before.
    pub fn check(
        mut self,
        mut place: impl FnMut(&str) -> String,
        read: impl Fn(&str) -> Result<String, Error>,
    ) -> Result<SinkChecked, Error> {
        let undisturbed = place("undisturbed");
        finished(&self.start(Order::LeaveAlone, 1, &undisturbed)?.wait().0, "an undisturbed run")?;
        let expected = read(&undisturbed)?;
        let again = self.start(Order::Nothing, 2, &undisturbed)?.wait().0;
        finished(&again, "a second run over the same intervals")?;
        same(&expected, &read(&undisturbed)?, "a second run over the same intervals")?;

        let what = "attempts that fail, come twice or too late";
        let here = place("many_attempts");
        let (end, steps) = self.start(Order::Nothing, 1, &here)?.wait();
        finished(&end, what)?;
        same(&expected, &read(&here)?, what)?;

        let last_commit = steps.iter().rposition(|step| step == "before commit");
        for (at, step) in steps.iter().enumerate() {
            let what = format!("killed at step {at}, {step}");
            let here = place(&format!("killed_{at}"));
            killed(self.start(Order::Die(at), 1, &here)?.wait().0, &what)?;
            finished(&self.start(Order::Nothing, 2, &here)?.wait().0, &what)?;
            same(&expected, &read(&here)?, &what)?;

            let what = format!("killed at step {at}, {step}, and then again");
            let here = place(&format!("killed_twice_{at}"));
            killed(self.start(Order::Die(at), 1, &here)?.wait().0, &what)?;
            // There are fewer steps if something was committed before.
            self.start(Order::Die(at), 2, &here)?.wait();
            finished(&self.start(Order::Nothing, 3, &here)?.wait().0, &what)?;
            same(&expected, &read(&here)?, &what)?;

            let what = format!("paused at step {at}, {step}, while another master took over");
            let here = place(&format!("paused_{at}"));
            let mut old = self.start(Order::Pause(at), 1, &here)?;
            old.listen();
            let new = self.start(Order::Nothing, 2, &here)?.wait().0;
            finished(&new, &format!("the master that took over from one {what}"))?;
            same(&expected, &read(&here)?, &what)?;
            let end = old.go_on().wait().0;
            same(&expected, &read(&here)?, &format!("{what}, and went on"))?;
            // Once it has begun its last commit, that may have been done before the other came.
            if Some(at) <= last_commit && !matches!(&end, End::Failed(why) if why.starts_with("Fenced")) {
                return Err(Error::user(format_args!("{what}: it was not fenced, but {end:?}")));
            }
        }
        Ok(SinkChecked { steps: steps.len(), runs: self.runs })
    }

    /// How many intervals the program has.
    pub fn intervals(&self) -> usize {
        self.intervals
    }

    fn start(&mut self, order: Order, epoch: u64, place: &str) -> Result<Process, Error> {
        self.runs += 1;
        let failed = |error| Error::external(format_args!("cannot start this test again: {error}"));
        let mut child = Command::new(env::current_exe().map_err(failed)?)
            .args([&*self.test, "--exact", "--nocapture", "--test-threads=1"])
            .env(VARIABLE, format!("{}|{epoch}|{place}", order.to_text()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(failed)?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (stdin, stdout) = pipes.ok_or_else(|| Error::internal("a process has no pipes"))?;
        // Bounded by the steps of the program. The thread ends with the process.
        let (to, out) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| to.send(line))
        });
        Ok(Process { child, stdin: Some(stdin), out, steps: Vec::new(), failed: None, done: false })
    }
}

/// A program that was started.
struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    out: mpsc::Receiver<String>,
    steps: Vec<String>,
    failed: Option<String>,
    done: bool,
}

impl Process {
    /// Reads what it says until it has paused, or until its end.
    fn listen(&mut self) {
        loop {
            let line = match self.out.recv_timeout(PATIENCE) {
                Ok(line) => line,
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    let after = self.steps.last().map_or("its start", |step| step);
                    self.failed = Some(format!("it hangs: nothing happened for {PATIENCE:?} after {after}"));
                    let _ = self.child.kill();
                    return;
                }
            };
            let said = line.strip_prefix(MARK).unwrap_or_default();
            if let Some((_, name)) = said.strip_prefix("step ").and_then(|step| step.split_once(' ')) {
                self.steps.push(name.to_owned());
            } else if let Some(why) = said.strip_prefix("failed ") {
                self.failed = Some(why.to_owned());
            }
            self.done |= said == "done";
            if said == "paused" {
                return;
            }
        }
    }

    fn go_on(mut self) -> Self {
        if let Some(mut stdin) = self.stdin.take() {
            // If it is gone, that shows in its end.
            let _ = stdin.write_all(b"\n");
        }
        self
    }

    /// How it ends, and the steps it has passed.
    fn wait(mut self) -> (End, Vec<String>) {
        self.listen();
        let _ = self.child.wait();
        let end = match self.failed.take() {
            Some(why) => End::Failed(why),
            None if self.done => End::Done,
            None => End::Killed,
        };
        (end, std::mem::take(&mut self.steps))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Whatever the test has come to, nothing stays behind.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn finished(end: &End, what: &str) -> Result<(), Error> {
    if *end == End::Done {
        Ok(())
    } else {
        Err(Error::user(format_args!("{what}: the program did not finish: {end:?}")))
    }
}

fn killed(end: End, what: &str) -> Result<(), Error> {
    if end == End::Killed {
        Ok(())
    } else {
        Err(Error::user(format_args!("{what}: it never came there: {end:?}")))
    }
}

fn same(expected: &str, found: &str, what: &str) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(Error::user(format_args!(
        "{what}: what can be read is not what an undisturbed run leaves.\nexpected: {expected}\nfound:    {found}"
    )))
}

/// What a process of the kit does: the program, under its order.
fn run<'a, T: Record, S: Sink<T>>(
    mut told: impl Iterator<Item = &'a str>,
    intervals: Vec<Vec<T>>,
    sink: impl Fn(&str) -> S,
) -> ! {
    let mut next = || told.next().unwrap_or_default();
    let (order, epoch, place) = (next().parse(), next().parse(), next());
    let (Ok(order), Ok(epoch)) = (order, epoch) else {
        eprintln!("{VARIABLE} is set, and not by a kit");
        process::exit(2);
    };
    let builder = Context::builder("sink kit").interval(Duration::from_secs(1)).threads(2).epoch(epoch);
    let harness = Harness::with(builder, PARTITIONS);
    let count = intervals.len();
    let input = harness.input(intervals);
    match order {
        Order::LeaveAlone => input.sink(sink(place)),
        _ => input.sink(Probe(sink(place))),
    }
    steps::obey(order);
    let failed = (0..count).find_map(|_| harness.step().map_or_else(Some, |report| report.failure));
    match failed {
        Some(error) => {
            steps::say(format_args!("failed {:?}: {error}", error.kind()).to_string().replace('\n', " "))
        }
        None => steps::say("done"),
    }
    process::exit(0)
}
