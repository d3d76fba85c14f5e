//! What holds in one process holds where tasks run in others: records, functions and errors have been to another
//! process and back.

use std::{fs, path::Path};

use cutwater_conformance::{Options, Report, Table, run};

/// Each case starts worker processes, which takes longer than all of the rest, so one in so many is run;
/// `cutwater-conformance --runtime cluster` runs all of them.
const ONE_IN: usize = 5;

fn with_workers(workers: usize) -> Options {
    Options { threads: 1, workers, ..Options::default() }
}

/// Runs some cases of the tables whose names `select` wants; at least `cases` of them pass and none fails.
fn some_pass(options: &Options, select: impl Fn(&str) -> bool, cases: usize) {
    let mut tables: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tables"))
        .expect("the tables are there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.file_stem().is_some_and(|name| select(&name.to_string_lossy())))
        .collect();
    tables.sort();
    let mut report = Report::default();
    let mut lines = Vec::new();
    for path in tables {
        let text = fs::read_to_string(path).expect("it can be read");
        let table = Table::parse(&text).expect("it is a table");
        let of_streams_or_datasets = table.cases.iter().filter(|case| case.is_for_runner());
        for case in of_streams_or_datasets.step_by(ONE_IN) {
            let Some(verdict) = run(case, options) else { continue };
            lines.extend(report.add(&case.id, &verdict));
        }
    }
    assert!(report.failed == 0 && report.passed >= cases, "{report}\n{}", lines.join("\n"));
}

#[test]
fn datasets() {
    some_pass(&with_workers(2), |table| table.starts_with("dataset_"), 24);
}

#[test]
fn streams() {
    some_pass(&with_workers(2), |table| !table.starts_with("dataset_"), 25);
}

/// The state of programs and what windows look back at, of which a part is lost with the worker.
#[test]
fn streams_one_of_whose_workers_is_killed() {
    let options = Options { kill_worker_after: Some(2), ..with_workers(3) };
    some_pass(&options, |table| !table.starts_with("dataset_"), 25);
}
