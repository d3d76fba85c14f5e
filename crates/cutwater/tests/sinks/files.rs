//! What is in the folder of a file sink.

use std::fs;

use cutwater::{
    ErrorKind,
    output::{FileSink, committed},
    testing::Harness,
};

use super::SECOND;

fn written() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let harness = Harness::new(SECOND);
    harness.input([vec![(1, 'a'), (2, 'b')], vec![(3, 'c')]]).sink(FileSink::records(dir.path()));
    harness.advance(2).unwrap();
    dir
}

#[test]
fn files_that_are_not_committed_do_not_count() {
    let dir = written();
    fs::write(dir.path().join("parts/1000/00007-1-0"), "left behind").unwrap();
    let intervals = committed(dir.path()).unwrap();
    let records: Vec<_> = intervals.iter().map(|one| one.records::<(i32, char)>().unwrap()).collect();
    assert_eq!(records, [vec![(1, 'a'), (2, 'b')], vec![(3, 'c')]]);
    assert_eq!(intervals[0].parts.iter().map(|part| part.records).sum::<u64>(), 2);
}

/// Whichever byte of a file is damaged, and if it is gone.
#[test]
fn a_damaged_file_is_named() {
    let dir = written();
    let part = &committed(dir.path()).unwrap()[0].parts[0];
    let whole = fs::read(&part.path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        fs::write(&part.path, damaged).unwrap();
        let error = part.read().unwrap_err();
        assert!(error.to_string().contains(&part.path.display().to_string()), "{error}");
    }
    fs::remove_file(&part.path).unwrap();
    assert_eq!(part.read().unwrap_err().kind(), ErrorKind::External);
}

#[test]
fn a_log_with_a_gap_is_not_read() {
    let dir = written();
    let mut entries: Vec<_> =
        fs::read_dir(dir.path().join("log")).unwrap().flatten().map(|e| e.path()).collect();
    entries.sort();
    assert_eq!(entries.len(), 3, "one for the start and one for each interval");
    fs::remove_file(&entries[1]).unwrap();
    let error = committed(dir.path()).unwrap_err();
    assert!(error.to_string().contains("entry 2") && error.to_string().contains("missing"), "{error}");
}

#[test]
fn records_of_another_type_are_refused() {
    let dir = written();
    assert!(committed(dir.path()).unwrap()[0].records::<String>().is_err());
}

#[test]
fn a_folder_that_nobody_wrote_is_empty() {
    let dir = tempfile::tempdir().unwrap();
    assert!(committed(dir.path()).unwrap().is_empty());
}

/// A program does not start if its sink cannot be opened, and says why.
#[test]
fn a_sink_that_cannot_be_opened_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let harness = Harness::new(SECOND);
    harness.input([vec![1]]).sink(FileSink::records(&file));
    let error = harness.step().unwrap_err();
    assert!(error.to_string().contains("file/log") && error.to_string().contains("`sink` at"), "{error}");
}
