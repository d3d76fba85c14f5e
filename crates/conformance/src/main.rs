//! Runs tables and says what differs. The exit status is 0 only if nothing failed and nothing was
//! skipped.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::{Parser, ValueEnum};
use cutwater_conformance::{Options, Report, Table, run};

/// Runs tables of expected answers through the public API of cutwater.
#[derive(Parser)]
struct Cli {
    /// Compute threads.
    #[arg(long, default_value_t = Options::default().threads, value_name = "N")]
    threads: usize,
    /// Partitions where a case gives no number (default: as many as threads).
    #[arg(long, value_name = "N")]
    parallelism: Option<u32>,
    /// Run every task twice and compare what it gives.
    #[arg(long)]
    run_twice: bool,
    /// Begin every interval while the one before is being run.
    #[arg(long)]
    overlap: bool,
    /// Where tasks run: `local`, in this process, or `cluster`, in worker processes on this machine.
    #[arg(long, value_enum, default_value_t = Runtime::Local)]
    runtime: Runtime,
    /// Worker processes of a cluster.
    #[arg(long, default_value_t = 3, value_name = "N")]
    workers: usize,
    /// Kill a worker process (-9) after batch K of every case of streams, and go on; in a case of no more than K
    /// batches after the last but one, which is before the first if there is only one. Needs `--runtime cluster`.
    #[arg(long, value_name = "K")]
    kill_worker_after_batch: Option<u64>,
    /// Tables to run.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    Local,
    Cluster,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run_all(&cli, &mut io::stdout().lock()) {
        Ok(report) if report.is_clean() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(message) => {
            // Nothing is left to tell anybody if standard error is gone too.
            let _ = writeln!(io::stderr(), "cutwater-conformance: {message}");
            ExitCode::from(2)
        }
    }
}

fn run_all(cli: &Cli, out: &mut impl Write) -> Result<Report, String> {
    if cli.kill_worker_after_batch.is_some() && (cli.runtime == Runtime::Local || cli.workers < 2) {
        return Err("--kill-worker-after-batch needs --runtime cluster with 2 workers or more, of which one is killed".to_owned());
    }
    let options = Options {
        threads: cli.threads,
        parallelism: cli.parallelism,
        run_twice: cli.run_twice,
        overlap: cli.overlap,
        workers: if cli.runtime == Runtime::Cluster { cli.workers } else { 0 },
        kill_worker_after: cli.kill_worker_after_batch,
    };
    let mut report = Report::default();
    for file in &cli.files {
        let text =
            fs::read_to_string(file).map_err(|error| format!("cannot read {}: {error}", file.display()))?;
        let table = Table::parse(&text).map_err(|error| format!("{}: {error}", file.display()))?;
        for case in &table.cases {
            let Some(verdict) = run(case, &options) else { continue };
            for line in report.add(&case.id, &verdict) {
                writeln!(out, "{line}").map_err(|error| format!("cannot print: {error}"))?;
            }
        }
    }
    writeln!(out, "{report}").map_err(|error| format!("cannot print: {error}"))?;
    Ok(report)
}
