//! Runs the simulator over many seeds, or one with its log, and measures the scheduler alone.

use std::process::ExitCode;

use clap::Parser;
use cutwater_sim::{Outcome, Setting, Simulation, load};

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
    /// Set clusters up so that the master holds what it has received, and all workers may be lost.
    #[arg(long)]
    master_holds: bool,
    /// Measure how much of a core the scheduler takes with a thousand workers.
    #[arg(long)]
    scheduler_load: bool,
}

fn main() -> ExitCode {
    let Options { seeds, seed, log, meta, master_holds, scheduler_load } = Options::parse();
    let run = |seed, print| Simulation::run_in(Setting { master_holds }, seed, print);
    if scheduler_load {
        println!("{}", load::measure(&load::Shape::default()));
        return ExitCode::SUCCESS;
    }
    if log {
        let outcome = run(seed, true);
        println!("seed {seed}: {outcome}");
        return if outcome.violation.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut failed = 0u64;
    let (mut intervals, mut events) = (0u64, 0u64);
    for seed in seed..seed.saturating_add(seeds) {
        let outcome = run(seed, false);
        intervals += outcome.intervals;
        events += outcome.events;
        let again = meta.then(|| run(seed, false));
        if let Some(why) = fault(&outcome, again.as_ref()) {
            failed += 1;
            println!("seed {seed}: {why}; `--seed {seed} --log` tells how it came to it");
        }
    }
    println!("{seeds} seeds, {intervals} intervals, {events} events: {failed} seeds failed");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong with what came of a seed, and of the same seed once more if it was run twice.
fn fault(outcome: &Outcome, again: Option<&Outcome>) -> Option<String> {
    if let Some(violation) = &outcome.violation {
        return Some(violation.clone());
    }
    let differs = again.is_some_and(|again| again != outcome);
    differs.then(|| "run twice, it went two ways".to_owned())
}
