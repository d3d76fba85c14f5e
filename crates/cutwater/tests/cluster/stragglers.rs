//! Tasks that take much longer than others.

use std::{
    fs::{self, File},
    path::Path,
    time::Duration,
};

use crate::{harness, wait_until};

/// The first process to come here is slow, whenever it comes: so slow that it would give up.
fn be_slow_if_first(dir: &str) {
    let claim = Path::new(dir).join("slow");
    let me = std::process::id().to_string();
    if File::create_new(&claim).is_ok() {
        fs::write(&claim, &me).unwrap();
    }
    if fs::read_to_string(&claim).unwrap() == me {
        std::thread::sleep(Duration::from_millis(20));
        let waited = Path::new(dir).join("waited");
        let times = fs::read(&waited).map_or(0, |bytes| bytes.len());
        assert!(times < 1_500, "nobody copied this task or told it to stop");
        fs::write(waited, vec![0; times + 1]).unwrap();
    }
}

/// Comes back when so many tasks are here at the same time, each in a slot of its own.
fn meet(dir: &str, n: u64, tasks: usize) {
    File::create(Path::new(dir).join(format!("here-{n}"))).unwrap();
    let here = || {
        let names = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("here-")).count()
    };
    wait_until("not all slots are free", || here() == tasks);
}

#[test]
fn a_slow_task_is_copied_counts_once_and_gives_its_slot_back() {
    let harness = harness(3);
    let ctx = harness.ctx();
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().to_str().unwrap().to_owned();
    let counted = ctx.accumulator::<u64>("records");
    let records = ctx.parallelize_into(3, 0..30_000u64);
    let all = records.with((dir.clone(), counted.clone())).map(|(dir, counted), n| {
        counted.add(1);
        if n % 2 == 0 {
            be_slow_if_first(dir);
        }
        n
    });
    // Alone, the slow attempt would come to the end of its patience long before that of its records.
    assert_eq!(all.collect().unwrap(), (0..30_000).collect::<Vec<_>>());
    assert_eq!(counted.value(), 30_000, "the copy and the original count as one");
    // Three tasks at the same time need three slots: that of the cancelled attempt is back.
    let met = ctx.parallelize_into(3, 0..3u64).with(dir).map(|dir, n| {
        meet(dir, n, 3);
        n
    });
    assert_eq!(met.collect().unwrap(), [0, 1, 2]);
}

/// It takes six times as long as the others, and has read far more than they did long before that shows.
#[test]
fn a_task_that_merely_has_more_records_is_not_copied_although_it_never_had_more_before() {
    let harness = harness(3);
    let ctx = harness.ctx();
    let dir = tempfile::tempdir().unwrap();
    let few = |from: u64| ctx.parallelize_into(1, from..from + 100);
    let all = few(0).union(&few(100)).union(&ctx.parallelize_into(1, 1_000..11_000u64));
    let all = all.with(dir.path().to_str().unwrap().to_owned()).map(|dir, n| {
        if n == 1_000 {
            File::create(Path::new(dir).join(std::process::id().to_string())).unwrap();
        }
        std::thread::sleep(Duration::from_micros(if n < 200 { 5_000 } else { 250 }));
        n
    });
    assert_eq!(all.count().unwrap(), 10_200);
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 1, "one process has begun it");
}

/// When a task fails its job, the others of it are stopped: nobody waits for what they would give.
#[test]
fn tasks_of_a_failed_job_give_their_slots_back() {
    for harness in [harness(2), cutwater::testing::Harness::new(Duration::from_secs(1))] {
        let ctx = harness.ctx();
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().to_str().unwrap().to_owned();
        let failing = ctx.parallelize_into(2, 0..100_000u64).with(dir.clone()).map(|dir, n| {
            let has_begun = Path::new(dir).join("begun");
            if n == 0 {
                wait_until("the other task has not begun", || has_begun.exists());
                panic!("it fails");
            }
            if n >= 50_000 {
                let _ = File::create(has_begun);
                // With all its records it would take minutes.
                std::thread::sleep(Duration::from_millis(10));
            }
            n
        });
        assert!(failing.count().unwrap_err().to_string().contains("it fails"));
        let met = ctx.parallelize_into(2, 0..2u64).with(dir).map(|dir, n| {
            meet(dir, n, 2);
            n
        });
        assert_eq!(met.collect().unwrap(), [0, 1]);
    }
}
