//! Intervals that are begun while the one before them is still being run: what is gained, and that nothing else changes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
    thread,
    time::{Duration, Instant},
};

use cutwater::{Builder, Context, Error, Event, OnFailure};

const SECOND: Duration = Duration::from_secs(1);

/// Far more than anything here takes; who waits so long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Each has one number, its own.
const INTERVALS: u64 = 12;

/// What is peculiar to a run.
#[derive(Clone, Copy, Default)]
struct Run {
    fails_at: Option<u64>,
    /// An output of that interval never ends.
    hangs_at: Option<u64>,
    stops_at: Option<u64>,
}

fn mark(folder: &str, what: &str, n: u64) -> PathBuf {
    Path::new(folder).join(format!("{what}-{n}"))
}

fn wait_for(file: &Path) {
    let since = Instant::now();
    while !file.exists() {
        assert!(since.elapsed() < PATIENCE, "{} is not made", file.display());
        thread::sleep(Duration::from_millis(1));
    }
}

fn write_input(folder: &Path) {
    let lines: String = (1..=INTERVALS).map(|n| format!("{n:02}\n")).collect();
    fs::write(folder.join("input"), lines).unwrap();
}

/// One task before each shuffle and one after it, in every interval, and two slots. Those after it wait until the next
/// interval's before it have run. What is given out goes to a file, a
/// line for each output and interval.
fn build(builder: Builder, folder: &Path, run: Run) -> Result<Context, Error> {
    let builder = builder.interval(SECOND).parallelism(1).batch(true).progress(false).handle_signals(false);
    let ctx = builder.build()?;
    let lines = ctx.source("numbers").text_files([folder.join("input")], 3);
    let (added, at) = (ctx.accumulator::<u64>("added"), folder.to_str().unwrap().to_owned());
    let numbers = lines.with((at.clone(), added.clone())).map(|(folder, added), line| {
        let n: u64 = line.parse().unwrap();
        added.add(n);
        fs::write(mark(folder, "map", n), "").unwrap();
        (n % 3, n)
    });
    // When a program stops, what was begun is the last.
    let last = run.stops_at.map_or(INTERVALS, |n| n + 1);
    let sums = numbers.reduce_by_key(|a, b| a + b).with((at, last, run.fails_at)).map(
        |(folder, last, fails_at), (key, n)| {
            if n < *last {
                wait_for(&mark(folder, "map", n + 1));
            }
            assert!(*fails_at != Some(n), "fails at {n}");
            (key, n)
        },
    );
    let totals = numbers.running_reduce(|a, b| a + b);
    let window = numbers.reduce_by_key_and_window(|a, b| a.max(b), 3 * SECOND, SECOND);
    let (given, program, first) = (folder.join("given"), ctx.clone(), folder.to_owned());
    let zero = Arc::new(Mutex::new(None));
    let number = move |t: cutwater::Time| {
        // Files have no times of their own: the first interval is the one that begins the program.
        let mut zero = zero.lock().unwrap();
        let name = first.join("zero");
        let known = fs::read_to_string(&name).ok().and_then(|text| text.parse::<i64>().ok());
        let zero = *zero.get_or_insert(known.unwrap_or(t.as_ms() - 1000));
        fs::write(name, zero.to_string()).unwrap();
        ((t.as_ms() - zero) / 1000) as u64
    };
    let number = Arc::new(number);
    let write = move |name: &str, n: u64, mut records: Vec<(u64, u64)>| {
        records.sort_unstable();
        // In one write, so that a kill leaves no half of it.
        let line = format!("{name} {n} {records:?}\n");
        let file = OpenOptions::new().append(true).create(true).open(&given);
        file.and_then(|mut file| file.write_all(line.as_bytes())).map_err(Error::user)
    };
    let (out, label, at) = (write.clone(), number.clone(), folder.to_owned());
    sums.for_each_rdd(move |rdd, t| {
        let n = label(t);
        let sums = rdd.collect();
        // What the interval added and nothing else, also if it fails.
        out("added", n, vec![(0, added.take())])?;
        out("sums", n, sums?)?;
        if run.stops_at == Some(n) {
            program.stop();
        }
        if run.hangs_at == Some(n) {
            fs::write(mark(at.to_str().unwrap(), "hangs", n), "").map_err(Error::user)?;
            loop {
                thread::park();
            }
        }
        Ok::<(), Error>(())
    });
    for (name, stream) in [("totals", totals), ("window", window)] {
        let (out, label) = (write.clone(), number.clone());
        stream.for_each_rdd(move |rdd, t| out(name, label(t), rdd.collect()?));
    }
    Ok(ctx)
}

/// What was given out, with what was counted or without. What was given out again was the same.
fn given(folder: &Path, is_counted: bool) -> BTreeMap<(String, u64), String> {
    let mut given = BTreeMap::new();
    for line in fs::read_to_string(folder.join("given")).unwrap().lines() {
        let mut words = line.splitn(3, ' ');
        let mut word = || words.next().unwrap().to_owned();
        let (name, n, records) = (word(), word().parse().unwrap(), word());
        if name == "added" && !is_counted {
            continue;
        }
        let before = given.insert((name, n), records.clone());
        assert!(before.is_none_or(|before| before == records), "{line} differs");
    }
    given
}

/// What is to be given out, if that interval fails.
fn expected(failed: Option<u64>) -> BTreeMap<(String, u64), String> {
    let mut expected = BTreeMap::new();
    for n in 1..=INTERVALS {
        let mut put = |name: &str, records: Vec<(u64, u64)>| {
            expected.insert((name.to_owned(), n), format!("{records:?}"));
        };
        put("added", vec![(0, n)]);
        if failed != Some(n) {
            put("sums", vec![(n % 3, n)]);
        }
        // Outputs beside the one that fails are done.
        let counted = |other: &u64| Some(*other) != failed || *other == n;
        let (mut totals, mut window) = (BTreeMap::new(), BTreeMap::new());
        for other in (1..=n).filter(counted) {
            *totals.entry(other % 3).or_insert(0) += other;
        }
        for other in (n.saturating_sub(2).max(1)..=n).filter(counted) {
            window.insert(other % 3, other);
        }
        put("totals", totals.into_iter().collect());
        put("window", window.into_iter().collect());
    }
    expected
}

fn two_slots() -> Builder {
    Context::builder("overlap").threads(2)
}

/// Without it each interval would wait for the next one for ever.
#[test]
fn maps_of_the_next_interval_run_while_reduces_run() {
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let ctx = build(two_slots(), dir.path(), Run::default()).unwrap();
    let events = Arc::new(Mutex::new(Vec::new()));
    let seen = events.clone();
    ctx.on_event(move |event| {
        let mut seen = seen.lock().unwrap();
        match event {
            Event::Submitted { time, .. } => seen.push((*time, 0, 0)),
            Event::Started { time, .. } => seen.push((*time, 1, 0)),
            Event::OutputStarted { time, id, .. } => seen.push((*time, 2 + 2 * id, 0)),
            Event::OutputCompleted { time, output } => seen.push((*time, 3 + 2 * output.id, 0)),
            Event::Completed(report) => seen.push((report.time, 8, report.sources[0].taken.records)),
            _ => {}
        }
    });
    ctx.run().unwrap();
    assert_eq!(given(dir.path(), true), expected(None));
    let events = events.lock().unwrap();
    assert!(events.is_sorted(), "those of an interval come after those of the one before: {events:?}");
    let records: Vec<u64> = events.iter().filter(|(_, what, _)| *what == 8).map(|(.., n)| *n).collect();
    assert_eq!(records, [1; INTERVALS as usize], "what was found in an interval is in its report");
}

/// The same, and an interval fails while the next is on its way.
#[test]
fn an_interval_that_fails_takes_nothing_from_the_next() {
    for fails_at in [1, 5, 6, 11] {
        let dir = tempfile::tempdir().unwrap();
        write_input(dir.path());
        let run = Run { fails_at: Some(fails_at), ..Run::default() };
        let ctx = build(two_slots().on_failure(OnFailure::Continue), dir.path(), run).unwrap();
        let failed = Arc::new(Mutex::new(Vec::new()));
        let seen = failed.clone();
        ctx.on_interval(move |report| {
            assert_eq!(report.sources[0].taken.records, 1);
            seen.lock().unwrap().extend(report.failure.as_ref().map(|_| report.number));
        });
        ctx.run().unwrap();
        assert_eq!(*failed.lock().unwrap(), [fails_at]);
        assert_eq!(given(dir.path(), true), expected(Some(fails_at)));
    }
}

/// The furthest interval of which a task runs may be one after that whose outputs run; or none, as the program says.
#[test]
fn no_more_than_two_are_on_their_way() {
    static RUNNING: AtomicU64 = AtomicU64::new(0);
    static AHEAD: AtomicU64 = AtomicU64::new(0);
    for overlap in [true, false] {
        RUNNING.store(0, SeqCst);
        AHEAD.store(0, SeqCst);
        let dir = tempfile::tempdir().unwrap();
        let lines: String = (1..=50).map(|n| format!("{n:02}\n")).collect();
        fs::write(dir.path().join("input"), lines).unwrap();
        let builder = two_slots().parallelism(1).batch(true).progress(false).overlap(overlap);
        let ctx = builder.build().unwrap();
        ctx.on_event(|event| {
            if let Event::Started { .. } = event {
                RUNNING.fetch_add(1, SeqCst);
            }
        });
        let lines = ctx.source("numbers").text_files([dir.path().join("input")], 3);
        let numbers = lines.map(|line| {
            let n: u64 = line.parse().unwrap();
            AHEAD.fetch_max(n.saturating_sub(RUNNING.load(SeqCst)), SeqCst);
            ((), n)
        });
        // The other slot has time to run whatever may run.
        let idle = |((), n)| {
            thread::sleep(Duration::from_millis(2));
            n
        };
        let sums = numbers.reduce_by_key(|a, b| a + b).map(idle);
        sums.for_each_rdd(|rdd, _| rdd.collect().map(drop));
        ctx.run().unwrap();
        assert_eq!(RUNNING.load(SeqCst), 50);
        assert_eq!(AHEAD.load(SeqCst), u64::from(overlap), "overlap: {overlap}");
    }
}

/// In a process that was started as the program, is it.
fn is_program() -> bool {
    let Ok(folder) = std::env::var("OVERLAP_FOLDER") else { return false };
    let folder = PathBuf::from(folder);
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse().unwrap());
    let run = Run { fails_at: None, hangs_at: number("HANGS_AT"), stops_at: number("STOPS_AT") };
    let builder = match number("WORKERS") {
        None | Some(0) => two_slots(),
        Some(workers) => {
            // Two slots each, since one who comes late to another master is sent away; and none for copies of tasks
            // that wait.
            let builder = two_slots().workers(workers as usize).speculation(false);
            builder.token_file(folder.join("token"))
        }
    };
    let builder = builder.checkpoint(folder.join("checkpoints").to_str().unwrap()).checkpoint_intervals(3);
    match build(builder, &folder, run).and_then(|ctx| ctx.run()) {
        Ok(()) => true,
        Err(error) => panic!("the program: {error}"),
    }
}

fn child(test: &str, folder: &Path, variables: &[(&str, u64)]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([test, "--exact", "--nocapture"]).env("OVERLAP_FOLDER", folder).stdout(Stdio::null());
    command.envs(variables.iter().map(|(name, value)| (name, value.to_string())));
    command
}

#[test]
fn it_is_so_with_workers_in_other_processes() {
    if is_program() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let test = "it_is_so_with_workers_in_other_processes";
    assert!(child(test, dir.path(), &[("WORKERS", 2)]).status().unwrap().success());
    assert_eq!(given(dir.path(), true), expected(None));
}

/// Killed (-9) when the input of the next interval is written down and its first tasks have run, and stopped there;
/// each time it goes on with both.
#[test]
fn a_program_that_is_killed_in_between_goes_on_with_both() {
    if is_program() {
        return;
    }
    // Workers live on, and another master has them.
    for workers in [0, 2] {
        is_killed_in_between(workers);
    }
}

fn is_killed_in_between(workers: u64) {
    let dir = tempfile::tempdir().unwrap();
    write_input(dir.path());
    let test = "a_program_that_is_killed_in_between_goes_on_with_both";
    let child = |variables: &[(&str, u64)]| {
        let mut child = child(test, dir.path(), variables);
        child.env("WORKERS", workers.to_string());
        child
    };
    for n in [1, 2, 5, 9] {
        let mut program = child(&[("HANGS_AT", n)]).spawn().unwrap();
        wait_for(&mark(dir.path().to_str().unwrap(), "hangs", n));
        assert!(mark(dir.path().to_str().unwrap(), "map", n + 1).exists());
        program.kill().unwrap();
        program.wait().unwrap();
    }
    assert!(child(&[("STOPS_AT", 10)]).status().unwrap().success());
    let times = |given: &BTreeMap<(String, u64), String>| {
        given.keys().filter(|(name, _)| name == "totals").map(|(_, n)| *n).collect::<BTreeSet<u64>>()
    };
    assert_eq!(times(&given(dir.path(), false)), (1..=11).collect(), "what was taken is given out");
    assert!(child(&[]).status().unwrap().success());
    // Accumulators are not in checkpoints: a new process counts from nothing, and what is computed again.
    let mut expected = expected(None);
    expected.retain(|(name, _), _| name != "added");
    assert_eq!(given(dir.path(), false), expected);
}
