//! Workers and masters are killed, stopped and continued at random, while clients send: at the end each acknowledged
//! record is counted once.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    cli::{ChaosOptions, Common},
    counts::{program::Program, trial::Trial},
    error::BenchError,
    generate::random::SplitMix64,
    jobs::recovery,
    report::Report,
};

/// Length of an interval unless told otherwise, in milliseconds.
const INTERVAL_MS: u64 = 500;
/// Intervals that have to come after a fault before the next: two workers hold a record, and after the loss of one
/// a third is to hold it before another may be lost.
const CALM_INTERVALS: u64 = 4;
/// The longest pause beyond that, in milliseconds.
const PAUSE_MS_MAX: u64 = 1_500;
/// How long a process may be stopped, in milliseconds: from what nobody notices to when it counts as lost.
const STOPPED_MS: [u64; 3] = [150, 1_800, 7_000];

/// What is done to the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    KillWorker,
    KillMaster,
    /// Both at the same moment.
    KillMasterAndWorker,
    KillStandby,
    StopWorker,
    StopMaster,
}

const FAULTS: [Fault; 6] = [
    Fault::KillWorker,
    Fault::KillMaster,
    Fault::KillMasterAndWorker,
    Fault::KillStandby,
    Fault::StopWorker,
    Fault::StopMaster,
];

/// How often what was done.
#[derive(Debug, Default)]
struct Done {
    killed_workers: u64,
    killed_masters: u64,
    stopped: u64,
    takeovers: u64,
}

/// Runs the job.
///
/// # Errors
/// The options cannot be served, or the program did not survive.
pub fn run(common: &Common, options: &ChaosOptions) -> Result<Report, BenchError> {
    if common.workers < 3 {
        return Err(BenchError::Refused(
            "two workers hold each record, and one is killed at a time: give --workers 3 or more".into(),
        ));
    }
    let interval_ms = common.interval_ms.unwrap_or(INTERVAL_MS);
    let base = recovery::program(common, interval_ms, options.checkpoint_s, recovery::PARTITIONS_PER_SLOT);
    let program = Program { survives_master: true, ..base };
    let (done, ended) = Trial::run(&program, common.workers, 1.0, |trial| {
        trial.cluster.start_standby()?;
        trial.load.set_rate(options.rate);
        trial.wait_for(CALM_INTERVALS)?;
        let mut chaos = Chaos { trial, random: SplitMix64::new(options.seed), done: Done::default() };
        chaos.go_on_for(Duration::from_secs_f64(options.minutes * 60.0))?;
        chaos.done.takeovers += chaos.trial.cluster.overtaken;
        Ok(chaos.done)
    })?;
    let measured = ended.measured(&ended.outputs, interval_ms);
    Ok(Report::new("chaos", common.threads(), common.workers, measured)
        .with("seed", options.seed)
        .with("minutes", options.minutes)
        .with("rate", options.rate)
        .with("kills", done.killed_workers + done.killed_masters)
        .with("killed_workers", done.killed_workers)
        .with("killed_masters", done.killed_masters)
        .with("stopped", done.stopped)
        .with("takeovers", done.takeovers)
        .checked(&ended))
}

/// Does one thing after another, and has the program recover in between.
struct Chaos<'a> {
    trial: &'a mut Trial,
    random: SplitMix64,
    done: Done,
}

impl Chaos<'_> {
    fn go_on_for(&mut self, how_long: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + how_long;
        while Instant::now() < until {
            let fault = FAULTS[self.below(FAULTS.len() as u64) as usize];
            let last = self.trial.outputs.last().map_or(0.0, |last| last.due_ms);
            eprintln!("after interval {last}: {fault:?}");
            self.commit(fault)?;
            self.replace_workers()?;
            self.trial.wait_for(CALM_INTERVALS)?;
            // Only now, so that it does not try for the same place as the one that has just taken over.
            if self.trial.cluster.masters.len() < 2 {
                self.trial.cluster.start_standby()?;
            }
            let pause_ms = self.below(PAUSE_MS_MAX);
            thread::sleep(Duration::from_millis(pause_ms));
        }
        Ok(())
    }

    fn commit(&mut self, fault: Fault) -> Result<(), BenchError> {
        let chosen = self.below(self.trial.cluster.workers.len() as u64) as usize;
        match fault {
            Fault::KillWorker => self.kill_worker(chosen),
            Fault::KillMaster => self.kill_master(0),
            Fault::KillMasterAndWorker => {
                self.kill_master(0)?;
                self.kill_worker(chosen)
            }
            Fault::KillStandby => self.kill_master(1),
            Fault::StopWorker => {
                self.trial.cluster.workers[chosen].signal(Signal::STOP)?;
                self.sleep_stopped();
                self.trial.cluster.workers[chosen].signal(Signal::CONT)
            }
            Fault::StopMaster => self.stop_master(),
        }
    }

    fn kill_worker(&mut self, chosen: usize) -> Result<(), BenchError> {
        self.done.killed_workers += 1;
        self.trial.cluster.workers.remove(chosen).kill()
    }

    /// The first runs the program; if it is the one, the other takes over.
    fn kill_master(&mut self, which: usize) -> Result<(), BenchError> {
        self.done.killed_masters += 1;
        self.done.takeovers += u64::from(which == 0);
        self.trial.cluster.masters.remove(which).kill()
    }

    fn stop_master(&mut self) -> Result<(), BenchError> {
        self.trial.cluster.masters[0].signal(Signal::STOP)?;
        self.sleep_stopped();
        self.trial.cluster.masters[0].signal(Signal::CONT)
    }

    fn sleep_stopped(&mut self) {
        self.done.stopped += 1;
        let [least_ms, middle_ms, most_ms] = STOPPED_MS;
        // Most are short; who is away for long counts as lost.
        let most_ms = if self.below(3) == 0 { most_ms } else { middle_ms };
        let ms = least_ms + self.below(most_ms - least_ms);
        thread::sleep(Duration::from_millis(ms));
    }

    /// For every worker that is gone comes a new one: also for those that ended by themselves, because they were
    /// stopped for so long that the others went on without them.
    fn replace_workers(&mut self) -> Result<(), BenchError> {
        let cluster = &mut self.trial.cluster;
        let mut left = Vec::new();
        let before = cluster.wanted;
        for mut worker in cluster.workers.drain(..) {
            if worker.ended()?.is_none() {
                left.push(worker);
            }
        }
        cluster.workers = left;
        while cluster.workers.len() < before {
            cluster.start_worker(&[])?;
        }
        Ok(())
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.random.draw() % bound
    }
}
