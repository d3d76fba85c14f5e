//! Runs one job and prints its line of JSON. What there is to run is in [`cutwater_bench::cli`].

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use cutwater_bench::cli::{Cli, Job};
use cutwater_bench::error::BenchError;
use cutwater_bench::report::Report;
use cutwater_bench::{counts, generate, jobs};

/// The allocator that the README recommends to programs, so that the figures are those a user gets.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let name = cli.job.name();
    let printed = match &cli.job {
        Job::Program(options) => counts::program::run(&options.folder).map_err(|error| error.to_string()),
        _ => run(&cli).map_err(|error| error.to_string()).and_then(|report| print(&report)),
    };
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // Nothing is left to tell anybody if standard error is gone too.
            let _ = writeln!(io::stderr(), "cutwater-bench {name}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Prints the line, also of a run whose check failed: what was lost is a figure.
fn print(report: &Report) -> Result<(), String> {
    // Not `println!`, which panics when the reader has gone.
    writeln!(io::stdout(), "{}", report.to_json()).map_err(|error| format!("cannot print: {error}"))?;
    report.fault.clone().map_or(Ok(()), Err)
}

fn run(cli: &Cli) -> Result<Report, BenchError> {
    match &cli.job {
        Job::Generate(options) => generate::run(options),
        Job::Grep(options) => jobs::grep::run(&cli.common, options),
        Job::Wordcount(options) => jobs::wordcount::run(&cli.common, options),
        Job::Window(options) => jobs::window::run(&cli.common, options),
        Job::Topk(options) => jobs::topk::run(&cli.common, options),
        Job::Empty => jobs::empty::run(&cli.common),
        Job::Ingest(options) => jobs::ingest::run(&cli.common, options),
        Job::Latency(options) => jobs::latency::run(&cli.common, options),
        Job::Program(_) => Err(BenchError::Refused("the processes of a program report nothing".into())),
        Job::Recovery(options) => jobs::recovery::run(&cli.common, options),
        Job::Straggler(options) => jobs::straggler::run(&cli.common, options),
        Job::Failover(options) => jobs::failover::run(&cli.common, options),
        Job::Chaos(options) => jobs::chaos::run(&cli.common, options),
        Job::State(options) => jobs::state::run(&cli.common, options),
    }
}
