//! Programs that end in the midst of an interval and are started again: what they give out in the end is what they
//! would have given out without that, and nothing is asked of anyone but the folder with the checkpoints.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::{
    collections::{BTreeMap, HashMap},
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
};

use cutwater::{
    Builder, Context, ErrorKind, Time,
    output::{FileSink, committed},
    testing::Harness,
};
use every_state::{SECOND, clicks, states};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[path = "support/every_state.rs"]
mod every_state;

const INTERVALS: u64 = 20;

fn builder() -> Builder {
    Context::builder("restart").interval(SECOND).threads(2).checkpoint_intervals(3)
}

/// Runs the program until it is at its end, or ends the process like a crash in interval `abort_at`.
fn program(folder: &Path, abort_at: Option<i64>) {
    let builder = builder().checkpoint(folder.join("checkpoints").to_str().unwrap());
    let builder = match std::env::var("RESTART_PARALLELISM") {
        Ok(parallelism) => builder.parallelism(parallelism.parse().unwrap()),
        Err(_) => builder,
    };
    let harness = Harness::with(builder, 3);
    harness.overlap(std::env::var_os("RESTART_OVERLAP").is_some());
    let input = harness.input(clicks(INTERVALS, 30));
    let states = states(&input);
    states[0].sink(FileSink::text(folder.join("sink")));
    for (number, stream) in states.into_iter().enumerate() {
        let file = folder.join(format!("{number}.out"));
        stream.for_each_rdd(move |rdd, t| {
            let mut records = rdd.collect()?;
            records.sort();
            let mut file = OpenOptions::new().append(true).create(true).open(&file).unwrap();
            writeln!(file, "{} {}", t.as_ms(), records.join("; ")).unwrap();
            if number == 2 && abort_at == Some(t.as_ms() / 1000) {
                std::process::abort();
            }
            Ok::<(), cutwater::Error>(())
        });
    }
    while harness.step().unwrap().time < Time::from_ms(INTERVALS as i64 * 1000) {}
}

/// What was given out, by stream and interval. An interval may have been run again, with the same answer.
fn given(folder: &Path) -> Vec<BTreeMap<i64, String>> {
    let read = |number: usize| {
        let mut by_time = BTreeMap::new();
        for line in fs::read_to_string(folder.join(format!("{number}.out"))).unwrap().lines() {
            let (time, records) = line.split_once(' ').unwrap();
            let time = time.parse().unwrap();
            let before = by_time.insert(time, records.to_owned());
            assert!(
                before.is_none_or(|before| before == records),
                "interval {time} of stream {number} differs"
            );
        }
        by_time
    };
    let files = fs::read_dir(folder).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "out")
    });
    (0..files.count()).map(read).collect()
}

/// What was committed to the sink, interval by interval.
fn in_sink(folder: &Path) -> Vec<Vec<String>> {
    let intervals = committed(folder.join("sink")).unwrap();
    intervals.iter().map(|interval| interval.lines().unwrap()).collect()
}

/// Starts this test again as the program.
fn child(test: &str, folder: &Path, abort_at: Option<i64>) -> bool {
    child_with(Command::new(std::env::current_exe().unwrap()), test, folder, abort_at)
}

fn child_with(mut command: Command, test: &str, folder: &Path, abort_at: Option<i64>) -> bool {
    command.args([test, "--exact", "--nocapture"]).env("RESTART_FOLDER", folder);
    if let Some(interval) = abort_at {
        command.env("RESTART_ABORT_AT", interval.to_string());
    }
    let output = command.output().unwrap();
    if abort_at.is_none() {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

/// In a process that was started as the program, runs it; and says so.
fn is_program() -> bool {
    let Ok(folder) = std::env::var("RESTART_FOLDER") else { return false };
    let abort_at = std::env::var("RESTART_ABORT_AT").ok().map(|interval| interval.parse().unwrap());
    program(&PathBuf::from(folder), abort_at);
    true
}

fn undisturbed() -> Vec<BTreeMap<i64, String>> {
    let dir = tempfile::tempdir().unwrap();
    program(dir.path(), None);
    given(dir.path())
}

#[test]
fn a_program_that_crashes_again_and_again_gives_what_it_would_have() {
    if is_program() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    for interval in [1, 2, 5, 6, 7, 12, 13, 19, 20] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        if interval % 2 == 1 {
            // The next interval is begun when it ends.
            command.env("RESTART_OVERLAP", "");
        }
        assert!(!child_with(
            command,
            "a_program_that_crashes_again_and_again_gives_what_it_would_have",
            dir.path(),
            Some(interval)
        ));
    }
    child("a_program_that_crashes_again_and_again_gives_what_it_would_have", dir.path(), None);
    let undisturbed = tempfile::tempdir().unwrap();
    program(undisturbed.path(), None);
    let expected = given(undisturbed.path());
    for (stream, (given, expected)) in given(dir.path()).into_iter().zip(expected).enumerate() {
        assert_eq!(given, expected, "stream {stream}");
    }
    // Outputs may run again; what a sink has of an interval it has once.
    let in_sink = [dir.path(), undisturbed.path()].map(in_sink);
    assert_eq!(in_sink[0].len() as u64, INTERVALS);
    assert_eq!(in_sink[0], in_sink[1]);
}

/// Each start spreads the states over another number of partitions, also those that crash before they have written any.
#[test]
fn a_program_that_crashes_goes_on_with_another_parallelism() {
    if is_program() {
        return;
    }
    let test = "a_program_that_crashes_goes_on_with_another_parallelism";
    let dir = tempfile::tempdir().unwrap();
    for (interval, parallelism) in [(5, 3), (6, 5), (8, 2), (14, 7), (15, 1), (20, 4)] {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.env("RESTART_PARALLELISM", parallelism.to_string());
        assert!(!child_with(command, test, dir.path(), Some(interval)));
    }
    child(test, dir.path(), None);
    let undisturbed = tempfile::tempdir().unwrap();
    program(undisturbed.path(), None);
    for (stream, (given, expected)) in given(dir.path()).iter().zip(given(undisturbed.path())).enumerate() {
        assert_eq!(*given, expected, "stream {stream}");
    }
    // Its lines come in the order of the partitions.
    let sorted = |folder: &Path| -> Vec<_> {
        let sort = |mut lines: Vec<String>| {
            lines.sort();
            lines
        };
        in_sink(folder).into_iter().map(sort).collect()
    };
    assert_eq!(sorted(dir.path()), sorted(undisturbed.path()));
}

/// What is the process's own begins anew; data that are refreshed are states.
#[test]
fn data_that_are_refreshed_outlive_a_process_and_accumulators_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let run = |start: i64, intervals| {
        let builder = builder().checkpoint_intervals(1).checkpoint(dir.path().to_str().unwrap());
        let harness = Harness::with(builder, 1);
        let input = harness.input((1..=20i64).map(|number| vec![((), number)]));
        // Whoever makes them, and when.
        let made = Arc::new(Mutex::new(Vec::new()));
        let calls = made.clone();
        let data = harness.ctx().refreshed(5, move |ctx, t| {
            calls.lock().unwrap().push(t.as_ms() / 1000);
            Ok(ctx.parallelize([((), (start, t.as_ms() / 1000))]))
        });
        let records = harness.ctx().accumulator::<i64>("records");
        let counted = input.with(records.clone()).map(|records, record| {
            records.add(1);
            record
        });
        let seen = harness.watch(&counted.join(&data).map(|(_, (number, data))| (number, data)));
        harness.advance(intervals).unwrap();
        let seen: Vec<_> = seen.all().into_iter().flatten().flatten().collect();
        (seen, made.lock().unwrap().clone(), records.value())
    };
    let (seen, made, counted) = run(1, 8);
    assert_eq!((seen.last(), made, counted), (Some(&(8, (1, 6))), vec![1, 6], 8));
    let (seen, made, counted) = run(2, 4);
    // The last states may be those before the sixth interval, and then its data are made again.
    let from = if made.contains(&6) { 2 } else { 1 };
    assert_eq!(seen, [(9, (from, 6)), (10, (from, 6)), (11, (2, 11)), (12, (2, 11))]);
    assert!(made == [11] || made == [6, 11], "{made:?}");
    assert!(counted < 12, "{counted} were counted again");
}

/// Files of the newest checkpoint, of the one before, and of its manifest are spoilt in turn.
#[test]
fn a_damaged_checkpoint_is_noticed_and_an_older_one_used() {
    if is_program() {
        return;
    }
    let test = "a_damaged_checkpoint_is_noticed_and_an_older_one_used";
    let expected = undisturbed();
    for damage in ["manifest", "state", "missing"] {
        let dir = tempfile::tempdir().unwrap();
        assert!(!child(test, dir.path(), Some(15)));
        let files = |folder: &str| {
            let mut files = Vec::new();
            let mut folders = vec![dir.path().join("checkpoints").join(folder)];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() { folders.push(path) } else { files.push(path) }
                }
            }
            files.sort();
            files
        };
        assert!(files("checkpoints").len() >= 2, "two are held at least");
        let victim = match damage {
            "manifest" => files("checkpoints").pop().unwrap(),
            _ => files("state").pop().unwrap(),
        };
        if damage == "missing" {
            fs::remove_file(&victim).unwrap();
        } else {
            let mut bytes = fs::read(&victim).unwrap();
            let middle = bytes.len() / 2;
            bytes[middle] ^= 1;
            fs::write(&victim, bytes).unwrap();
        }
        child(test, dir.path(), None);
        for (stream, (given, expected)) in given(dir.path()).into_iter().zip(&expected).enumerate() {
            assert_eq!(&given, expected, "{damage}, stream {stream}");
        }
    }
}

#[test]
fn another_program_or_interval_is_refused_with_every_reason() {
    let dir = tempfile::tempdir().unwrap();
    let url = dir.path().to_str().unwrap();
    let harness = Harness::with(builder().checkpoint(url), 2);
    let _seen = harness.watch(&harness.input([vec![1]]).count());
    harness.advance(1).unwrap();
    drop(harness);

    let other = Context::builder("another").interval(2 * SECOND).threads(1).checkpoint(url);
    let harness = Harness::with(other, 2);
    let _seen = harness.watch(&harness.input([vec![1]]).count());
    let error = harness.step().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let error = error.to_string();
    for reason in ["the program \"restart\"", "intervals of 1000 ms"] {
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn a_source_that_cannot_go_on_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::with(builder().checkpoint(dir.path().to_str().unwrap()), 2);
    let (_queue, numbers) = harness.ctx().source("numbers").queue::<u32>(true);
    let _seen = harness.watch(&numbers);
    let error = harness.step().unwrap_err().to_string();
    assert!(error.contains("numbers") && error.contains("cannot go on after a restart"), "{error}");
}

/// What no restart needs any more does not pile up.
#[test]
fn old_files_go() {
    let dir = tempfile::tempdir().unwrap();
    let count = |folder: &str| fs::read_dir(dir.path().join(folder)).map_or(0, Iterator::count);
    let harness = Harness::with(builder().checkpoint(dir.path().to_str().unwrap()), 2);
    let input = harness.input((0..200u32).map(|t| (0..50).map(|n| (n, t)).collect::<Vec<_>>()));
    let _seen = harness.watch(&input.running_reduce(|a, b| a + b));
    harness.advance(200).unwrap();
    drop(harness);
    assert_eq!(count("checkpoints"), 2);
    // Two checkpoints, each three intervals or some more apart, and what came since.
    assert!(count("log") < 60 && count("input") < 60, "{} entries, {} inputs", count("log"), count("input"));
    assert!(count("state") <= 30, "{} folders of states", count("state"));
}

/// A program that keeps sums under the names it is given, of intervals in which each key has a 1.
fn named_sums(
    folder: &Path,
    names: &[&str],
    allow: &str,
    intervals: u64,
) -> Result<Vec<Vec<u64>>, cutwater::Error> {
    let builder =
        builder().checkpoint(folder.to_str().unwrap()).args(["", "--allow-drop", allow].map(str::to_owned));
    let harness = Harness::with(builder, 1);
    let input = harness.input((0..INTERVALS).map(|_| vec![('a', 1u64)]));
    let sums = names.iter().map(|name| input.running_reduce(|a, b| a + b).named(name));
    let watched: Vec<_> = sums.map(|sum| harness.watch(&sum)).collect();
    harness.advance(intervals)?;
    let last = |all: Vec<Option<Vec<(char, u64)>>>| {
        all.into_iter().flatten().flatten().map(|(_, sum)| sum).collect()
    };
    Ok(watched.iter().map(|watched| last(watched.all())).collect())
}

/// What was changed is found before the program starts; what keeps its name keeps its state, in whichever order.
#[test]
fn a_changed_program_loses_no_state_unless_it_may() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(named_sums(dir.path(), &["one", "two"], "", 2).unwrap(), [[1, 2], [1, 2]]);
    let error = named_sums(dir.path(), &["two"], "", 1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.to_string().ends_with("kept          two\ndropped       one"), "{error}");
    assert!(error.to_string().contains("--allow-drop one"), "{error}");
    // Whoever was refused has changed nothing.
    assert_eq!(named_sums(dir.path(), &["two", "one"], "", 1).unwrap(), [[3], [3]]);
    assert_eq!(named_sums(dir.path(), &["two"], "zero, one", 1).unwrap(), [[4]]);
    assert_eq!(named_sums(dir.path(), &["two"], "", 1).unwrap(), [[5]]);
}

/// The same name for a state of another type.
#[test]
fn a_state_of_another_type_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    named_sums(dir.path(), &["sum"], "", 1).unwrap();
    let harness = Harness::with(builder().checkpoint(dir.path().to_str().unwrap()).allow_drop("sum"), 1);
    let input = harness.input([vec![('a', 1u32)]]);
    let error = harness.run(&input.running_reduce(|a, b| a + b).named("sum"), 1).unwrap_err().to_string();
    assert!(
        error.contains("incompatible  sum: was running_reduce of") && error.contains("<char, u64>"),
        "{error}"
    );
}

/// A struct of which the program is changed: it has another field then.
#[derive(Clone, Debug, PartialEq)]
struct Visits {
    count: u64,
    page: String,
}

static HAS_PAGES: AtomicBool = AtomicBool::new(false);

impl Serialize for Visits {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match HAS_PAGES.load(Relaxed) {
            true => (&self.page, self.count).serialize(serializer),
            false => self.count.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Visits {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match HAS_PAGES.load(Relaxed) {
            true => {
                let (page, count) = Deserialize::deserialize(deserializer)?;
                Self { count, page }
            }
            false => Self { count: Deserialize::deserialize(deserializer)?, page: String::new() },
        })
    }
}

/// The same name of a struct with other fields, beside a state that fits.
#[test]
fn a_state_whose_type_is_called_as_it_was_and_is_another_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let run = |intervals| {
        let builder = builder().checkpoint_intervals(1).checkpoint(dir.path().to_str().unwrap());
        let harness = Harness::with(builder, 1);
        let visits = (0..INTERVALS as u32).map(|t| (0..50).map(|n| (n * t % 97, 1u64)).collect());
        let visits = harness.input(visits);
        let sums = visits.running_reduce(|a, b| a + b).named("sums");
        let by_page = visits.update_state_by_key(|values, known: Option<Visits>| {
            let count = known.map_or(0, |known| known.count) + values.iter().sum::<u64>();
            Some(Visits { count, page: "/".to_owned() })
        });
        let _by_page = harness.watch(&by_page.map_values(|visits| visits.count).named("counts"));
        let _sums = harness.watch(&sums);
        harness.advance(intervals)
    };
    run(4).unwrap();
    HAS_PAGES.store(true, Relaxed);
    let error = run(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Config);
    let said = error.to_string();
    assert!(said.contains("incompatible  update_state_by_key-1: its types,"), "{said}");
    assert!(
        said.contains("Visits") && said.contains("are others") && said.contains("kept          sums"),
        "{said}"
    );
    // Whoever was refused has changed nothing.
    HAS_PAGES.store(false, Relaxed);
    run(4).unwrap();
}

/// A map in a state gives its entries in another order each time; it is the same type all the same.
#[test]
fn a_state_that_keeps_no_order_fits() {
    let dir = tempfile::tempdir().unwrap();
    for started in 1..=2 {
        let builder = builder().checkpoint_intervals(1).checkpoint(dir.path().to_str().unwrap());
        let harness = Harness::with(builder, 1);
        let clicks =
            harness.input((0..INTERVALS as u32).map(|t| (0..50).map(|n| (n % 3, t * 50 + n)).collect()));
        let seen = clicks.update_state_by_key(|values, known: Option<HashMap<u32, String>>| {
            let mut seen = known.unwrap_or_default();
            seen.extend(values.into_iter().map(|value| (value, value.to_string())));
            Some(seen)
        });
        let seen = harness.watch(&seen.map(|(_, seen)| seen.len()).reduce(|a, b| a + b));
        while harness.step().unwrap().number < started * 4 {}
        assert_eq!(seen.all().pop(), Some(Some(vec![started as usize * 200])));
    }
}

/// Its sums begin with the first interval after the states that were written.
#[test]
fn a_state_that_is_new_begins_after_the_states_that_were_written() {
    let dir = tempfile::tempdir().unwrap();
    named_sums(dir.path(), &["one"], "", 7).unwrap();
    let sums = named_sums(dir.path(), &["one", "new"], "", 2).unwrap();
    assert_eq!(sums[0], [8, 9]);
    // States are written every third interval or so; those after them are computed again.
    assert!(sums[1][0] < 8 && sums[1][1] == sums[1][0] + 1, "{sums:?}");
    let sums = named_sums(dir.path(), &["one", "new"], "", 4).unwrap();
    assert_eq!(sums[0], [10, 11, 12, 13]);
    assert!(sums[1].is_sorted_by(|a, b| a + 1 == *b), "{sums:?}");
}

/// Counts, with states written after every interval, in a folder of which a part can be made unusable.
fn counting(folder: &Path) -> (Harness, cutwater::testing::Watched<(u32, u64)>) {
    let builder = builder().checkpoint_intervals(1).checkpoint(folder.to_str().unwrap());
    let harness = Harness::with(builder, 2);
    let input = harness.input((0..400).map(|_| vec![(1u32, 1u64)]));
    let seen = harness.watch(&input.running_reduce(|a, b| a + b));
    (harness, seen)
}

/// Nothing can be written there, whoever tries.
fn make_unusable(folder: &Path) {
    fs::rename(folder, folder.with_extension("away")).unwrap();
    fs::write(folder, "in the way").unwrap();
}

fn make_usable(folder: &Path) {
    fs::remove_file(folder).unwrap();
    fs::rename(folder.with_extension("away"), folder).unwrap();
}

/// The store takes no states: intervals go on for a while, then one says why; after a restart nothing is missing.
#[test]
fn states_that_cannot_be_written_do_not_pile_up_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (harness, _seen) = counting(dir.path());
    harness.advance(10).unwrap();
    make_unusable(&dir.path().join("state"));
    let failure = (0..300).find_map(|_| harness.step().unwrap().failure).expect("it ends at some time");
    let said = failure.to_string();
    assert!(said.contains("state cannot be written"), "{said}");
    drop(harness);
    make_usable(&dir.path().join("state"));
    let (harness, seen) = counting(dir.path());
    let report = harness.step().unwrap();
    assert!(report.failure.is_none(), "{:?}", report.failure);
    assert_eq!(seen.all(), [Some(vec![(1, report.number)])]);
}

/// No output is given out of an interval whose input could not be written down.
#[test]
fn without_a_progress_log_nothing_is_given_out() {
    let dir = tempfile::tempdir().unwrap();
    let (harness, seen) = counting(dir.path());
    harness.advance(10).unwrap();
    make_unusable(&dir.path().join("log"));
    for _ in 0..3 {
        let said = harness.step().unwrap().failure.expect("it cannot be written").to_string();
        assert!(said.contains("cannot write log/"), "{said}");
    }
    assert_eq!(seen.all().len(), 10);
    drop(harness);
    make_usable(&dir.path().join("log"));
    let (harness, seen) = counting(dir.path());
    // That the tenth was over may not have been written, and then it is run again.
    while harness.step().unwrap().number < 11 {}
    assert_eq!(seen.all().pop(), Some(Some(vec![(1, 11)])));
}
