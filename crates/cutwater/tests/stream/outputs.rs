use std::{fs, path::Path, sync::mpsc};

use cutwater::{Error, ErrorKind};

use crate::{SECOND, harness};

#[test]
fn print_runs() {
    let harness = harness(SECOND, 2, 2);
    let input = harness.input([(0..30).collect::<Vec<_>>(), vec![], vec![1]]);
    input.print();
    input.print_first(3);
    input.map(|n| (n, format!("{n}"))).print_first(0);
    for _ in 0..3 {
        assert_eq!(harness.step().unwrap().outputs_done(), 3);
    }
}

/// Outputs of an interval are done in the order of declaration, intervals one after the other.
#[test]
fn outputs_keep_their_order() {
    let harness = harness(SECOND, 4, 2);
    let input = harness.input([vec![1], vec![2]]);
    let (sender, seen) = mpsc::channel();
    for output in 0..3 {
        let sender = sender.clone();
        input.for_each_rdd(move |rdd, t| {
            sender.send((t.as_ms(), output, rdd.collect()?)).map_err(Error::user)?;
            Ok::<(), Error>(())
        });
    }
    drop(sender);
    harness.advance(2).unwrap();
    drop(harness);
    let expected = [1, 2].into_iter().flat_map(|t| (0..3).map(move |o| (i64::from(t) * 1000, o, vec![t])));
    assert_eq!(seen.iter().collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn read(file: impl AsRef<Path>) -> String {
    fs::read_to_string(file).unwrap()
}

#[test]
fn save_writes_a_folder_an_interval_and_a_file_a_partition() {
    for threads in [1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("deep/er");
        let harness = harness(SECOND, threads, 2);
        let input = harness.input_or_none([Some(vec![1, 2, 3]), None, Some(vec![])]);
        input.save(&into, |n| format!("n={n}"));
        harness.advance(3).unwrap();
        assert_eq!(names(&into), ["1000", "3000"], "no dataset, no folder; and nothing half done is left");
        assert_eq!(names(&into.join("1000")), ["part-00000", "part-00001"]);
        assert_eq!(read(into.join("1000/part-00000")), "n=1\n");
        assert_eq!(read(into.join("1000/part-00001")), "n=2\nn=3\n");
        assert_eq!(read(into.join("3000/part-00000")), "");
    }
}

#[test]
fn save_never_overwrites_a_finished_interval() {
    let dir = tempfile::tempdir().unwrap();
    let run = |records: Vec<Vec<i32>>| {
        let harness = harness(SECOND, 2, 1);
        harness.input(records).save(dir.path(), i32::to_string);
        harness.advance(2).unwrap();
    };
    run(vec![vec![1], vec![2]]);
    fs::remove_dir_all(dir.path().join("2000")).unwrap();
    // What an earlier run left half done is in nobody's way.
    fs::create_dir(dir.path().join(".2000.partial")).unwrap();
    fs::write(dir.path().join(".2000.partial/part-00007"), "half").unwrap();
    run(vec![vec![10], vec![20]]);
    assert_eq!(names(dir.path()), ["1000", "2000"]);
    assert_eq!(read(dir.path().join("1000/part-00000")), "1\n");
    assert_eq!(names(&dir.path().join("2000")), ["part-00000"]);
    assert_eq!(read(dir.path().join("2000/part-00000")), "20\n");
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("a-file");
    fs::write(&file, "in the way").unwrap();
    let harness = harness(SECOND, 1, 1);
    let at = line!() + 1;
    harness.input([vec![1]]).save(file.join("below"), i32::to_string);
    let error = harness.advance(1).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::External);
    let text = error.to_string();
    assert!(text.contains("a-file/below") && text.contains(&format!("outputs.rs:{at}")), "{text}");
    assert_eq!(text.matches("outputs.rs:").count(), 1, "its place is said once: {text}");
    assert_eq!(read(&file), "in the way");
}

/// An interval that fails while it is saved leaves nothing that could be taken for its result.
#[test]
fn a_save_that_fails_leaves_nothing() {
    for threads in [1, 4] {
        let dir = tempfile::tempdir().unwrap();
        let harness = harness(SECOND, threads, 4);
        let input = harness.input([vec![1, 2, 3, 4], vec![5]]);
        let at = line!() + 1;
        input.save(dir.path(), |n| if *n == 3 { panic!("three") } else { n.to_string() });
        let error = harness.advance(1).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::User);
        let text = error.to_string();
        assert!(text.contains(&format!("`save` at {}:{at}", file!())), "{text}");
        assert!(!text.contains("src/output"), "the line is the program's: {text}");
        assert!(text.contains("three"), "{text}");
        harness.advance(1).unwrap();
        assert_eq!(names(dir.path()), ["2000"]);
    }
}

#[test]
fn save_with_values() {
    let folder = tempfile::tempdir().unwrap();
    let harness = harness(SECOND, 2, 1);
    harness.input([vec![1, 2]]).with("n=".to_owned()).save(folder.path(), |prefix, n| format!("{prefix}{n}"));
    harness.advance(1).unwrap();
    assert_eq!(fs::read_to_string(folder.path().join("1000/part-00000")).unwrap(), "n=1\nn=2\n");
}
