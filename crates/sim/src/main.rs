//! Runs the simulator over many seeds, or one with its log, and measures the scheduler alone.

use std::process::ExitCode;

use clap::{Parser, ValueEnum};
use cutwater_sim::{GivenUp, Outcome, Plant, Setting, Simulation, load};

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
    /// How clusters are set up: one after the other in each of these ways, unless one is chosen.
    #[arg(long, value_enum)]
    cluster: Option<Cluster>,
    /// Do this wrong on purpose: the seeds that fail are those in which it is found.
    #[arg(long, value_enum)]
    plant: Option<Plant>,
    /// Measure how much of a core the scheduler takes with a thousand workers.
    #[arg(long)]
    scheduler_load: bool,
}

/// How a cluster is set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Cluster {
    /// One master that never fails, and of every received block one holder is left.
    OneMaster,
    /// The same, and the master holds what it has received, so that all workers may be lost.
    MasterHolds,
    /// Masters that die, are stopped and are cut off from their workers and from the store, where others take over.
    Standby,
    /// One master that never fails, and intervals that overlap.
    Overlap,
    /// Intervals that overlap where masters take over from each other.
    StandbyOverlap,
    /// One master that never fails, and clients that send records to workers.
    Clients,
    /// Clients where masters take over from each other.
    StandbyClients,
    /// One master that never fails, and intervals that do.
    Failures,
    /// Intervals that fail, clients, and masters that take over from each other.
    StandbyFailures,
}

impl Cluster {
    fn setting(self) -> Setting {
        match self {
            Self::OneMaster => Setting::ONE_MASTER,
            Self::MasterHolds => Setting::MASTER_HOLDS,
            Self::Standby => Setting::STANDBY,
            Self::Overlap => Setting::OVERLAP,
            Self::StandbyOverlap => Setting::STANDBY_OVERLAP,
            Self::Clients => Setting::CLIENTS,
            Self::StandbyClients => Setting::STANDBY_CLIENTS,
            Self::Failures => Setting::FAILURES,
            Self::StandbyFailures => Setting::STANDBY_FAILURES,
        }
    }
}

fn main() -> ExitCode {
    let Options { seeds, seed, log, meta, cluster, plant, scheduler_load } = Options::parse();
    if scheduler_load {
        println!("{}", load::measure(&load::Shape::default()));
        return ExitCode::SUCCESS;
    }
    let clusters = cluster.map_or_else(|| Cluster::value_variants().to_vec(), |cluster| vec![cluster]);
    let mut all_hold = true;
    for cluster in clusters {
        let name = cluster.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        let setting = Setting { plant, ..cluster.setting() };
        let run = |seed, print| Simulation::run_in(setting, seed, print);
        if log {
            let outcome = run(seed, true);
            println!("{name}, seed {seed}: {outcome}");
            all_hold &= outcome.violation.is_none();
            continue;
        }
        let mut failed = 0u64;
        let (mut intervals, mut set_aside, mut events, mut masters) = (0u64, 0u64, 0u64, 0u64);
        let mut given_up = GivenUp::default();
        for seed in seed..seed.saturating_add(seeds) {
            let outcome = run(seed, false);
            intervals += outcome.intervals;
            set_aside += outcome.set_aside;
            events += outcome.events;
            masters += outcome.masters;
            given_up.with_both += outcome.given_up.with_both;
            given_up.with_one += outcome.given_up.with_one;
            let again = meta.then(|| run(seed, false));
            if let Some(why) = fault(&outcome, again.as_ref()) {
                failed += 1;
                println!(
                    "seed {seed}: {why}; `--cluster {name} --seed {seed} --log` tells how it came to it"
                );
            }
        }
        let GivenUp { with_both, with_one } = given_up;
        println!(
            "{name}: {seeds} seeds, {intervals} intervals ({set_aside} set aside), {events} events, {masters} masters, {with_both} batches lost with both their holders, {with_one} with one: {failed} seeds failed"
        );
        all_hold &= failed == 0;
    }
    if all_hold { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What is wrong with what came of a seed, and of the same seed once more if it was run twice.
fn fault(outcome: &Outcome, again: Option<&Outcome>) -> Option<String> {
    if let Some(violation) = &outcome.violation {
        return Some(violation.clone());
    }
    let differs = again.is_some_and(|again| again != outcome);
    differs.then(|| "run twice, it went two ways".to_owned())
}
