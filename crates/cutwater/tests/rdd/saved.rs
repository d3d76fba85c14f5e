use std::{fs, path::Path, sync::Mutex, time::Duration};

use cutwater::{Context, ErrorKind, testing::Harness};

use crate::{grid, numbers, pairs};

/// Every partition is seen as it is, the empty ones too, and a function that panics fails the action.
#[test]
fn foreach_partition_sees_each_as_it_is() {
    static SEEN: Mutex<Vec<(String, Vec<i64>)>> = Mutex::new(Vec::new());
    let data = numbers(5);
    grid(|ctx, partitions| {
        let rdd = ctx.parallelize_into(partitions, data.clone());
        let note = |word: &String, records| SEEN.lock().unwrap().push((word.clone(), records));
        rdd.with("seen".to_owned()).foreach_partition(note).unwrap();
        let mut seen = std::mem::take(&mut *SEEN.lock().unwrap());
        seen.sort();
        let mut expected: Vec<_> = rdd.collect_partitions().unwrap();
        expected.sort();
        assert_eq!(
            seen,
            expected.into_iter().map(|records| ("seen".to_owned(), records)).collect::<Vec<_>>()
        );
    });
    let ctx = Context::local(2);
    let error =
        ctx.parallelize_into(3, [1, 2, 3]).foreach_partition(|all| assert!(!all.contains(&2), "a two"));
    let error = error.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::User);
    assert!(error.to_string().contains("a two"), "{error}");
}

#[test]
fn what_is_saved_is_read_in_as_many_partitions() {
    let data = pairs(50);
    grid(|ctx, partitions| {
        let dir = tempfile::tempdir().unwrap();
        let into = dir.path().join("pairs");
        let rdd = ctx.parallelize_into(partitions, data.clone());
        rdd.save_records(&into).unwrap();
        let read = ctx.saved_records::<(String, i64)>(&into).unwrap();
        assert_eq!(read.collect_partitions().unwrap(), rdd.collect_partitions().unwrap());
        assert_eq!(names(dir.path()), ["pairs"], "nothing half done is left");
    });
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// A byte that is not what it was, or bytes that are missing: never other records.
#[test]
fn damage_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, into) = (Context::local(2), dir.path().join("numbers"));
    ctx.parallelize_into(2, 1000..1020).save_records(&into).unwrap();
    let part = into.join("part-00001");
    let whole = fs::read(&part).unwrap();
    let read = || ctx.saved_records::<i32>(&into).and_then(|rdd| rdd.collect());
    let fails = |damaged: &[u8], what: &str| {
        fs::write(&part, damaged).unwrap();
        let error = read().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::External, "{error}");
        let text = error.to_string();
        assert!(text.contains("part-00001") && text.contains(what), "{what:?} is not in {text}");
    };
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    fails(&flipped, "is damaged");
    fails(&whole[..whole.len() - 1], "is damaged");
    fails(&whole[..whole.len() - 5], "is damaged");
    fails(b"1000\n1001\n", "it is not a file of saved records");
    fs::write(&part, &whole).unwrap();
    assert_eq!(read().unwrap(), (1000..1020).collect::<Vec<_>>());
}

#[test]
fn a_folder_that_will_not_do_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let ctx = Context::local(1);
    let read = |folder: &Path| ctx.saved_records::<i32>(folder).map(drop).unwrap_err();
    for (error, words) in [
        (read(&dir.path().join("missing")), "cannot read"),
        (read(dir.path()), "holds no records that were saved"),
        (ctx.parallelize([1]).save_records(dir.path()).unwrap_err(), "is there already"),
    ] {
        assert_eq!(error.kind(), ErrorKind::External);
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("saved.rs:"), "{text}");
    }
}

/// An interval that was saved by an earlier run is left as it is; what it left half done is made anew.
#[test]
fn an_interval_that_is_there_is_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let run = |records: Vec<Vec<i32>>| {
        let harness = Harness::new(Duration::from_secs(1));
        harness.input(records).save_records(dir.path());
        harness.advance(2).unwrap();
    };
    run(vec![vec![1], vec![2]]);
    fs::remove_dir_all(dir.path().join("2000")).unwrap();
    fs::create_dir(dir.path().join(".2000.partial")).unwrap();
    fs::write(dir.path().join(".2000.partial/part-00007"), "half").unwrap();
    run(vec![vec![10], vec![20, 30]]);
    assert_eq!(names(dir.path()), ["1000", "2000"]);
    let ctx = Context::local(2);
    assert_eq!(ctx.saved_records::<i32>(dir.path()).unwrap().collect().unwrap(), [1, 20, 30]);
}
