//! Every case of streams passes, however many threads and partitions there are and if every task is run twice; also
//! those of a program that crashes and is started again, for which this test is started as the program.

use std::{fs, path::Path};

use cutwater_conformance::{Options, Report, Table, run};

const TABLES: [(&str, usize); 13] = [
    ("checkpoint_recovery", 4),
    ("edge_semantics", 16),
    ("error_rules", 3),
    ("lifecycle_and_listener", 1),
    ("map_with_state", 6),
    ("multi_stream", 22),
    ("reduce_by_key_window", 15),
    ("slice_and_retention", 1),
    ("spark_defects", 2),
    ("stateless", 47),
    ("update_state_by_key", 8),
    ("window", 5),
    ("window_aggregates", 9),
];

fn all_pass(options: &Options) {
    let tables = Path::new(env!("CARGO_MANIFEST_DIR")).join("tables");
    for (name, cases) in TABLES {
        let text = fs::read_to_string(tables.join(name).with_extension("json")).expect("the table is there");
        let table = Table::parse(&text).expect("the table is one");
        let mut report = Report::default();
        let mut lines = Vec::new();
        for case in &table.cases {
            let Some(verdict) = run(case, options) else { continue };
            lines.extend(report.add(&case.id, &verdict));
        }
        let all = format!("{cases} passed, 0 failed, 0 skipped");
        assert_eq!(report.to_string(), all, "{name}\n{}", lines.join("\n"));
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

/// Intervals are begun while the ones before are being run.
#[test]
fn with_overlapping_intervals() {
    for threads in [1, 4] {
        all_pass(&Options { threads, overlap: true, ..Options::default() });
    }
}

#[test]
fn with_every_task_run_twice() {
    all_pass(&Options { threads: 3, run_twice: true, ..Options::default() });
}
