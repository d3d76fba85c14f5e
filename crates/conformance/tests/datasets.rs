//! Every case of datasets passes, however many threads and partitions there are and if every task is run twice.

use std::{fs, path::Path};

use cutwater_conformance::{Options, Report, Table, run};

const TABLES: [(&str, usize); 3] =
    [("dataset_basic", 59), ("dataset_pairs", 26), ("dataset_sort_split_histogram", 38)];

fn all_pass(options: &Options) {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    for (name, cases) in TABLES {
        let text = fs::read_to_string(tables.join(name).with_extension("json")).expect("the table is there");
        let table = Table::parse(&text).expect("it is a table");
        let mut report = Report::default();
        let mut lines = Vec::new();
        for case in &table.cases {
            let verdict = run(case, options).expect("every case of datasets has an operation");
            lines.extend(report.add(&case.id, &verdict));
        }
        assert_eq!(
            report.to_string(),
            format!("{cases} passed, 0 failed, 0 skipped"),
            "{}",
            lines.join("\n")
        );
    }
}

#[test]
fn with_one_thread() {
    all_pass(&Options { threads: 1, ..Options::default() });
}

#[test]
fn with_three_threads() {
    all_pass(&Options { threads: 3, ..Options::default() });
}

#[test]
fn with_other_numbers_of_partitions() {
    for partitions in [1, 5] {
        all_pass(&Options { parallelism: Some(partitions), ..Options::default() });
    }
}

#[test]
fn with_every_task_run_twice() {
    all_pass(&Options { threads: 3, run_twice: true, ..Options::default() });
}
