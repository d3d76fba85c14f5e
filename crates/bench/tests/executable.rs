//! The executable as a user starts it.

use std::path::Path;
use std::process::{Command, Output};

use cutwater_bench::reference;
use serde_json::Value;

fn bench(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_cutwater-bench"))
        .args(arguments)
        .output()
        .expect("the executable starts")
}

fn generate(out: &Path, records: &str) -> Output {
    bench(&["generate", "--records", records, "--out", out.to_str().expect("a path in UTF-8")])
}

#[test]
fn generate_writes_the_file_and_prints_one_line_of_json() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("text");
    let output = generate(&path, "12345");
    assert!(output.status.success(), "{output:?}");

    let printed = String::from_utf8(output.stdout).unwrap();
    assert_eq!(printed.lines().count(), 1);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["job"], "generate");
    assert_eq!((&report["records"], &report["bytes"]), (&12_345.into(), &1_234_500.into()));
    assert!(
        ["seconds", "records_per_s", "mb_per_s"].iter().all(|f| report[f].as_f64() > Some(0.0)),
        "{report}"
    );
    assert!(report["commit"].is_string() && report["result"].is_u64());

    assert_eq!(path.metadata().unwrap().len(), 1_234_500);
    let words: u64 = reference::count_words(&path, reference::ALL).unwrap().values().sum();
    assert_eq!(words, 123_450);
}

#[test]
fn the_same_seed_gives_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let result = |name: &str| {
        let output = generate(&folder.path().join(name), "1000");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()["result"].as_u64().unwrap()
    };
    assert_eq!(result("a"), result("b"));
}

#[test]
fn a_failure_prints_no_figures_and_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let output = generate(&folder.path().join("missing/text"), "10");
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("missing/text") && message.contains("no directory"), "{message}");
}

#[test]
fn worker_processes_give_the_same_result() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text");
    assert!(generate(&text, "4000").status.success());
    let count = |workers: &str| {
        let text = text.to_str().expect("a path in UTF-8");
        let job = ["wordcount", "--input", text, "--chunk-records", "1000", "--warmup", "1"];
        let output = bench(&[&job[..], &["--threads", "1", "--workers", workers]].concat());
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let (embedded, cluster) = (count("0"), count("2"));
    assert_eq!((&embedded["workers"], &cluster["workers"]), (&0.into(), &2.into()));
    assert_eq!(embedded["result"], cluster["result"]);
    assert!(cluster["rss_mb"].as_f64() > embedded["rss_mb"].as_f64(), "those of the workers count too");
}

#[test]
fn latency_counts_every_record_and_says_whether_delay_grows() {
    let job = ["latency", "--rate", "1000", "--interval-ms", "50", "--intervals", "8", "--warmup", "2"];
    let output = bench(&job);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["job"], &report["intervals"]), (&"latency".into(), &8.into()));
    assert!(report["result"].as_u64() > Some(0) && report["stable"].is_boolean(), "{report}");
    assert!(report["record_delay_ms"]["p99"].as_f64() > Some(0.0), "{report}");
}

#[test]
fn ingest_counts_what_was_acknowledged_in_one_process_and_in_workers() {
    for workers in ["0", "2"] {
        let job =
            ["ingest", "--seconds", "1", "--interval-ms", "100", "--threads", "1", "--workers", workers];
        let output = bench(&job);
        assert!(output.status.success(), "{output:?}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&report["job"], &report["lost"]), (&"ingest".into(), &0.into()));
        assert_eq!((&report["duplicated"], &report["acknowledged"]), (&0.into(), &report["records"]));
        assert!(report["acknowledged"].as_u64() > Some(0) && report["mb_per_s"].as_f64() > Some(0.0));
    }
}

#[test]
fn state_touches_what_it_was_told_to_and_says_how_large_it_is() {
    let output =
        bench(&["state", "--keys", "50000", "--touched", "700", "--intervals", "9", "--warmup", "1"]);
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["intervals"], &report["records"]), (&9.into(), &6_300.into()));
    assert_eq!(report["state_bytes"], 800_000);

    let output = bench(&["state", "--keys", "10", "--touched", "11"]);
    assert_eq!(output.status.code(), Some(1));
}

/// Two workers hold each record, so one may go at any time.
#[test]
fn recovery_loses_nothing_and_draws_the_delays() {
    let folder = tempfile::tempdir().unwrap();
    let svg = folder.path().join("delays.svg");
    let job = ["recovery", "--workers", "3", "--threads", "1", "--rate", "2000", "--seconds", "4"];
    let more =
        ["--interval-ms", "300", "--warmup", "1", "--checkpoint-s", "1", "--svg", svg.to_str().unwrap()];
    let output = bench(&[&job[..], &more].concat());
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["lost"], &report["duplicated"], &report["kill"]), (&0.into(), &0.into(), &1.into()));
    let delays = report["delays_ms"].as_array().unwrap();
    assert!(report["acknowledged"].as_u64() > Some(2_000) && delays.len() >= 13, "{report}");
    assert!((1..delays.len() as u64).contains(&report["killed_at"].as_u64().unwrap()), "{report}");
    assert!(report["late_ms_max"].is_f64() && report["intervals_to_normal"].is_u64(), "{report}");
    let picture = std::fs::read_to_string(svg).unwrap();
    assert_eq!(picture.matches("<rect class=\"bar\"").count(), delays.len());

    let output = bench(&["recovery", "--workers", "2", "--kill", "2"]);
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn straggler_measures_three_runs_whose_answers_are_right() {
    let job = ["straggler", "--workers", "2", "--threads", "1", "--interval-ms", "400", "--intervals", "4"];
    let more = ["--warmup", "1", "--rate", "1000", "--slow", "5", "--task-ms", "5"];
    let output = bench(&[&job[..], &more].concat());
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    for run in ["undisturbed", "without_speculation", "with_speculation"] {
        // Eight partitions on two workers, each of at least 5 ms.
        assert!(report[format!("{run}_p50_ms")].as_f64() >= Some(20.0), "{report}");
        let delays = report[format!("{run}_delays_ms")].as_array();
        assert!(
            delays.is_some_and(|delays| delays.len() == 4 && delays.iter().all(Value::is_f64)),
            "{report}"
        );
    }
    assert_eq!((&report["lost"], &report["intervals"]), (&0.into(), &4.into()));
    assert_eq!(bench(&["straggler", "--workers", "1"]).status.code(), Some(1));
}

#[test]
fn failover_loses_nothing_when_the_master_is_killed() {
    let job = ["failover", "--workers", "3", "--threads", "1", "--rate", "2000", "--seconds", "4"];
    let output = bench(&[&job[..], &["--interval-ms", "300", "--warmup", "1"]].concat());
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["lost"], &report["duplicated"]), (&0.into(), &0.into()));
    assert!(report["acknowledged"].as_u64() > Some(2_000) && report["gap_ms"].is_f64(), "{report}");
    let delays = report["delays_ms"].as_array().unwrap();
    assert_eq!(report["intervals"].as_u64(), Some(delays.len() as u64), "{report}");
    assert!((1..delays.len() as u64).contains(&report["killed_at"].as_u64().unwrap()), "{report}");
    assert_eq!(bench(&["failover"]).status.code(), Some(1));
}

/// What the first seed does was too much for the engine when it was done to it first.
#[test]
fn chaos_counts_every_acknowledged_record_once() {
    let job = ["chaos", "--workers", "4", "--threads", "1", "--rate", "1000", "--minutes", "0.2"];
    let output = bench(&[&job[..], &["--interval-ms", "300", "--checkpoint-s", "2"]].concat());
    assert!(output.status.success(), "{output:?}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["lost"], &report["duplicated"]), (&0.into(), &0.into()));
    assert!(report["kills"].as_u64() > Some(0) && report["acknowledged"].as_u64() > Some(2_000), "{report}");
    assert_eq!(bench(&["chaos", "--workers", "2"]).status.code(), Some(1));
}
