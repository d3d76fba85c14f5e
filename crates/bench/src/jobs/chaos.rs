//! Workers and masters are killed, stopped and continued at random, while clients send: at the end each acknowledged
//! record is counted once.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;

use crate::{
    cli::{ChaosOptions, Common},
    counts::{
        cluster::{HeldBy, Process},
        program::Program,
        trial::Trial,
    },
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

/// What is done to the masters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToMasters {
    Nothing,
    Kill,
    KillStandby,
    Stop,
}

/// What is done to the workers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ToWorkers {
    Nothing,
    Kill,
    /// Two that hold nothing together.
    KillTwo,
    Stop,
}

/// What is done to the processes, all of it at the same moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fault {
    masters: ToMasters,
    workers: ToWorkers,
}

impl Fault {
    /// Any of them, as likely as any other.
    fn draw(random: &mut SplitMix64) -> Self {
        const MASTERS: [ToMasters; 4] =
            [ToMasters::Nothing, ToMasters::Kill, ToMasters::KillStandby, ToMasters::Stop];
        const WORKERS: [ToWorkers; 4] =
            [ToWorkers::Nothing, ToWorkers::Kill, ToWorkers::KillTwo, ToWorkers::Stop];
        // The first of all is nothing at all.
        let drawn = 1 + below(random, 15) as usize;
        Self { masters: MASTERS[drawn / 4], workers: WORKERS[drawn % 4] }
    }

    fn is_of_several(self) -> bool {
        let kills_two = self.workers == ToWorkers::KillTwo;
        kills_two || (self.masters != ToMasters::Nothing && self.workers != ToWorkers::Nothing)
    }
}

/// Two that hold nothing together, if there are such: of each it is known who holds what it has received, if anybody does.
fn apart(drawn: u64, held: &[Option<HeldBy>]) -> Option<[usize; 2]> {
    let known: Vec<(usize, &HeldBy)> =
        held.iter().enumerate().filter_map(|(at, held)| Some((at, held.as_ref()?))).collect();
    let pairs = known.iter().flat_map(|one| known.iter().map(move |other| (one, other)));
    let are_apart = |(one, other): &(&(usize, &HeldBy), &(usize, &HeldBy))| {
        one.0 < other.0 && one.1.holder != other.1.worker && other.1.holder != one.1.worker
    };
    let apart: Vec<[usize; 2]> = pairs.filter(are_apart).map(|(one, other)| [one.0, other.0]).collect();
    match apart.len() as u64 {
        0 => None,
        count => Some(apart[(drawn % count) as usize]),
    }
}

fn below(random: &mut SplitMix64, bound: u64) -> u64 {
    random.draw() % bound
}

/// How often what was done.
#[derive(Debug, Default)]
struct Done {
    /// Several things at once.
    at_once: u64,
    killed_workers: u64,
    /// Two workers at once.
    killed_pairs: u64,
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
            "two workers hold each record, and one of any two may be killed: give --workers 3 or more".into(),
        ));
    }
    let interval_ms = common.interval_ms.unwrap_or(INTERVAL_MS);
    let base = recovery::program(common, interval_ms, options.checkpoint_s, recovery::PARTITIONS_PER_SLOT);
    let program = Program { survives_master: true, ..base };
    let (done, ended) = Trial::run(&program, common.workers, 1.0, |trial| {
        trial.cluster.start_standby()?;
        trial.load.set_rate(options.rate);
        trial.wait_for(CALM_INTERVALS)?;
        let checkpoint_intervals = (options.checkpoint_s * 1e3 / interval_ms as f64).ceil() as u64;
        let mut chaos = Chaos {
            trial,
            random: SplitMix64::new(options.seed),
            settled_intervals: 2 * checkpoint_intervals,
            done: Done::default(),
        };
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
        .with("at_once", done.at_once)
        .with("killed_workers", done.killed_workers)
        .with("killed_pairs", done.killed_pairs)
        .with("killed_masters", done.killed_masters)
        .with("stopped", done.stopped)
        .with("takeovers", done.takeovers)
        .checked(&ended))
}

/// Does one thing after another, and has the program recover in between.
struct Chaos<'a> {
    trial: &'a mut Trial,
    random: SplitMix64,
    /// So many, and what was copied after a loss, to whomever, has been let go.
    settled_intervals: u64,
    done: Done,
}

impl Chaos<'_> {
    fn go_on_for(&mut self, how_long: Duration) -> Result<(), BenchError> {
        let until = Instant::now() + how_long;
        while Instant::now() < until {
            let fault = Fault::draw(&mut self.random);
            let chosen = self.choose(fault.workers)?;
            let last = self.trial.outputs.last().map_or(0.0, |last| last.due_ms);
            eprintln!("after interval {last}: {fault:?}");
            self.commit(fault, &chosen)?;
            self.replace_workers()?;
            self.trial.wait_for(CALM_INTERVALS)?;
            // Only now, so that it does not try for the same place as the one that has just taken over.
            if self.trial.cluster.masters.len() < 2 {
                self.trial.cluster.start_standby()?;
            }
            let pause_ms = below(&mut self.random, PAUSE_MS_MAX);
            thread::sleep(Duration::from_millis(pause_ms));
        }
        Ok(())
    }

    fn commit(&mut self, fault: Fault, chosen: &[usize]) -> Result<(), BenchError> {
        self.done.at_once += u64::from(fault.is_of_several());
        let cluster = &mut self.trial.cluster;
        let (mut killed, mut stopped) = (Vec::new(), Vec::new());
        match fault.workers {
            ToWorkers::Nothing => {}
            ToWorkers::Stop => stopped.extend(chosen.iter().map(|at| &cluster.workers[*at])),
            ToWorkers::Kill | ToWorkers::KillTwo => {
                self.done.killed_workers += chosen.len() as u64;
                self.done.killed_pairs += u64::from(chosen.len() == 2);
                killed.extend(chosen.iter().rev().map(|at| cluster.workers.remove(*at)));
            }
        }
        match fault.masters {
            ToMasters::Nothing => {}
            ToMasters::Stop => stopped.push(&cluster.masters[0]),
            // The first runs the program, and the other takes over.
            ToMasters::Kill | ToMasters::KillStandby => {
                let which = usize::from(fault.masters == ToMasters::KillStandby);
                self.done.killed_masters += 1;
                self.done.takeovers += u64::from(which == 0);
                killed.push(cluster.masters.remove(which));
            }
        }
        self.done.stopped += stopped.len() as u64;
        stopped.iter().try_for_each(|process| process.signal(Signal::STOP))?;
        killed.iter().try_for_each(|process| process.signal(Signal::KILL))?;
        killed.iter_mut().try_for_each(Process::kill)?;
        if !stopped.is_empty() {
            thread::sleep(stopped_for(&mut self.random));
        }
        stopped.iter().try_for_each(|process| process.signal(Signal::CONT))
    }

    /// To which workers something is done, in order. If it is to two and there are none that hold nothing together, to one.
    fn choose(&mut self, what: ToWorkers) -> Result<Vec<usize>, BenchError> {
        // As many are drawn whatever the workers do, so that the faults to come are the same.
        let (drawn, mut chosen) = (self.random.draw(), None);
        if what == ToWorkers::KillTwo {
            let before = self.held();
            // What was received before has been let go then.
            self.trial.wait_for(self.settled_intervals)?;
            let now = self.held().into_iter().zip(before);
            let all_along: Vec<_> =
                now.map(|(now, before)| now.filter(|now| before.as_ref() == Some(now))).collect();
            chosen = apart(drawn, &all_along);
        }
        let workers = self.trial.cluster.workers.len() as u64;
        let any = below(&mut self.random, workers) as usize;
        Ok(chosen.map_or_else(|| vec![any], Vec::from))
    }

    /// Who holds what each worker receives.
    fn held(&self) -> Vec<Option<HeldBy>> {
        self.trial.cluster.workers.iter().map(Process::held_by).collect()
    }

    /// For every worker that is gone comes a new one: also for those that ended by themselves, because they were
    /// stopped for so long that the others went on without them.
    fn replace_workers(&mut self) -> Result<(), BenchError> {
        let cluster = &mut self.trial.cluster;
        let mut left = Vec::new();
        let wanted = cluster.wanted;
        for mut worker in cluster.workers.drain(..) {
            if worker.ended()?.is_none() {
                left.push(worker);
            }
        }
        cluster.workers = left;
        while cluster.workers.len() < wanted {
            cluster.start_worker(&[])?;
        }
        Ok(())
    }
}

/// For how long something is stopped.
fn stopped_for(random: &mut SplitMix64) -> Duration {
    let [least_ms, middle_ms, most_ms] = STOPPED_MS;
    // Most are short; who is away for long counts as lost.
    let most_ms = if below(random, 3) == 0 { most_ms } else { middle_ms };
    Duration::from_millis(least_ms + below(random, most_ms - least_ms))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Workers by number, each with the number of who holds what it receives.
    fn drawn(holders: &[usize]) -> BTreeSet<[usize; 2]> {
        let name = |number: usize| format!("w{number}");
        let held = |(at, holder): (usize, &usize)| Some(HeldBy { worker: name(at), holder: name(*holder) });
        let held: Vec<_> = holders.iter().enumerate().map(held).collect();
        (0..200).filter_map(|drawn| apart(drawn, &held)).collect()
    }

    #[test]
    fn two_that_are_killed_at_once_hold_nothing_together() {
        assert_eq!(drawn(&[1, 2, 0]), BTreeSet::new(), "of three each has two neighbours");
        assert_eq!(drawn(&[1, 2, 3, 0]), BTreeSet::from([[0, 2], [1, 3]]));
        // One has another hold it than the next.
        assert_eq!(drawn(&[2, 2, 3, 0]), BTreeSet::from([[0, 1], [1, 3]]));
        assert_eq!(apart(0, &[None, None]), None, "of whom nothing is known");
    }

    #[test]
    fn every_fault_is_drawn_and_none_is_nothing() {
        let mut random = SplitMix64::new(1);
        let drawn: Vec<Fault> = (0..500).map(|_| Fault::draw(&mut random)).collect();
        let kinds = drawn.iter().map(|fault| (fault.masters as u8, fault.workers as u8));
        let kinds: BTreeSet<_> = kinds.collect();
        assert!(kinds.len() == 15 && !kinds.contains(&(0, 0)), "{kinds:?}");
        let several: BTreeSet<_> =
            drawn.iter().filter(|fault| fault.is_of_several()).map(|fault| format!("{fault:?}")).collect();
        assert_eq!(several.len(), 10, "{several:?}");
    }
}
