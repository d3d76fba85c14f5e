//! Runs the simulator over many seeds, or one with its log, and measures the scheduler alone.

use std::process::ExitCode;

use clap::Parser;
use cutwater_sim::{Outcome, Simulation, load};

/// The scheduler of cutwater among simulated workers: each seed is a program, a cluster and what fails in it.
#[derive(Parser)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// The first of them; with --log the only one.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Run one seed and print what happens in it.
    #[arg(long)]
    log: bool,
    /// Run each seed twice and compare: the same seed must give the same log.
    #[arg(long)]
    meta: bool,
    /// Measure how much of a core the scheduler takes with a thousand workers.
    #[arg(long)]
    scheduler_load: bool,
}

fn main() -> ExitCode {
    let Options { seeds, seed, log, meta, scheduler_load } = Options::parse();
    if scheduler_load {
        println!("{}", load::measure(&load::Shape::default()));
        return ExitCode::SUCCESS;
    }
    if log {
        let outcome = Simulation::run(seed, true);
        println!("seed {seed}: {outcome}");
        return if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut failed = 0u64;
    let (mut intervals, mut events) = (0u64, 0u64);
    for seed in seed..seed.saturating_add(seeds) {
        let outcome = Simulation::run(seed, false);
        intervals += outcome.intervals;
        events += outcome.events;
        if let Some(why) = fault(seed, &outcome, meta) {
            failed += 1;
            println!("seed {seed}: {why}; `--seed {seed} --log` tells how it came to it");
        }
    }
    println!("{seeds} seeds, {intervals} intervals, {events} events: {failed} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn fault(seed: u64, outcome: &Outcome, meta: bool) -> Option<String> {
    if let Some(violation) = &outcome.violation {
        return Some(violation.clone());
    }
    let differs = meta && Simulation::run(seed, false) != *outcome;
    differs.then(|| "run twice, it went two ways".to_owned())
}
