use cutwater_wire::agent::JobToken;
use proptest::prelude::*;

use super::*;

const MASTER: ProcessId = ProcessId::Master;
const WORKER: ProcessId = ProcessId::Worker(0);

fn start(job: &str, part: Part) -> Start {
    let token = JobToken("secret".to_owned());
    let (arguments, environment) = (Vec::new(), Vec::new());
    let (job, executable, host) = (job.to_owned(), ExecutableHash([1; 32]), "localhost".to_owned());
    Start { job, executable, arguments, environment, token, host, part }
}

fn workers(count: u32) -> Part {
    Part::Workers { join: "127.0.0.1:1".to_owned(), count, threads: 1 }
}

/// A job with a master and so many workers, all started.
fn running(count: u32) -> Jobs {
    let mut jobs = Jobs::default();
    for part in [Part::Master { workers: count }, workers(count)] {
        for order in jobs.add(start("j", part), 0).unwrap() {
            let Order::Start(job, id, _) = order else { panic!("{order:?}") };
            jobs.started(&job, id, 1);
        }
    }
    jobs
}

fn state(jobs: &Jobs, id: ProcessId) -> State {
    jobs.state("j", id).unwrap().clone()
}

#[test]
fn a_worker_that_fails_is_started_again_later_and_later() {
    let (mut jobs, mut now) = (running(1), 1000);
    let mut waits = Vec::new();
    for _ in 0..limits::RESTARTS_MAX {
        assert!(jobs.ended("j", WORKER, Exit::Signal(9), now).is_empty());
        let next = jobs.next_ms().unwrap();
        assert!(jobs.tick(next - 1).is_empty(), "not before its time");
        assert!(matches!(&jobs.tick(next)[..], [Order::Start(job, WORKER, _)] if job == "j"));
        assert!(jobs.tick(next).is_empty(), "once");
        waits.push(next - now);
        now = next;
    }
    assert_eq!(waits, [250, 500, 1000, 2000, 4000]);
    jobs.ended("j", WORKER, Exit::Code(1), now);
    assert_eq!(state(&jobs, WORKER), State::Ended { exit: Exit::Code(1), given_up: true });
    assert!(!jobs.is_over("j"), "the master and other workers go on");
    assert_eq!(jobs.list(now)[0].processes[1].restarts, limits::RESTARTS_MAX);
}

#[test]
fn failures_that_are_far_apart_are_not_in_a_row() {
    let (mut jobs, mut now) = (running(1), 0);
    for _ in 0..5 * limits::RESTARTS_MAX {
        now += limits::RESTART_FORGIVEN_MS;
        jobs.ended("j", WORKER, Exit::Code(1), now);
        assert_eq!(jobs.next_ms(), Some(now + limits::RESTART_MS_MIN));
        now += limits::RESTART_MS_MIN;
        jobs.tick(now);
    }
}

#[test]
fn a_worker_that_was_told_to_end_is_not_started_again() {
    let mut jobs = running(1);
    jobs.ended("j", WORKER, Exit::Code(0), 10);
    assert_eq!(jobs.next_ms(), None);
    assert_eq!(state(&jobs, WORKER), State::Ended { exit: Exit::Code(0), given_up: false });
}

#[test]
fn the_job_ends_with_its_master() {
    let mut jobs = running(2);
    jobs.ended("j", WORKER, Exit::Code(1), 10);
    assert!(jobs.ended("j", MASTER, Exit::Code(3), 20).is_empty(), "workers find out by themselves");
    assert_eq!(state(&jobs, WORKER), State::Ended { exit: Exit::Code(1), given_up: false });
    // One that does not is killed.
    let kill = jobs.next_ms().unwrap();
    assert_eq!(kill, 20 + limits::STOP_GRACE_MS);
    assert_eq!(jobs.tick(kill), [Order::Kill("j".to_owned(), ProcessId::Worker(1))]);
    jobs.ended("j", ProcessId::Worker(1), Exit::Signal(9), kill);
    assert!(jobs.is_over("j"));
    assert_eq!(jobs.next_ms(), None);
}

/// Later each time, and for ever: its workers hold what clients were told is safe.
#[test]
fn a_master_that_goes_on_is_started_again() {
    let (mut jobs, mut now) = (running(1), 1000);
    jobs.goes_on("j");
    let mut waited_ms = 0;
    for failures in 1..=20 * limits::RESTARTS_MAX {
        assert!(jobs.ended("j", MASTER, Exit::Signal(9), now).is_empty());
        assert_eq!(state(&jobs, MASTER), State::Waiting { exit: Exit::Signal(9) });
        let waits_ms = jobs.next_ms().unwrap() - now;
        assert!(waits_ms > waited_ms || waits_ms == limits::RESTART_MS_MAX);
        (now, waited_ms) = (now + waits_ms, waits_ms);
        assert!(matches!(&jobs.tick(now)[..], [Order::Start(job, MASTER, _)] if job == "j"));
        assert_eq!(jobs.list(now)[0].processes[0].restarts, failures);
    }
    assert!(matches!(state(&jobs, WORKER), State::Running { .. }));
}

#[test]
fn a_master_that_has_ended_well_or_is_to_stop_is_not_started_again() {
    let mut jobs = running(1);
    jobs.goes_on("j");
    jobs.ended("j", MASTER, Exit::Code(0), 10);
    assert_eq!(state(&jobs, MASTER), State::Ended { exit: Exit::Code(0), given_up: false });

    let mut jobs = running(1);
    jobs.goes_on("j");
    jobs.ended("j", MASTER, Exit::Signal(9), 10);
    assert_eq!(jobs.stop("j", 20), [Order::Ask("j".to_owned(), WORKER)], "there is no master to ask");
    assert_eq!(state(&jobs, MASTER), State::Ended { exit: Exit::Signal(9), given_up: false });
    jobs.ended("j", WORKER, Exit::Code(0), 30);
    assert!(jobs.is_over("j") && jobs.next_ms().is_none());
    // The next of that name says anew whether it goes on.
    jobs.add(start("j", Part::Master { workers: 1 }), 40).unwrap();
    jobs.ended("j", MASTER, Exit::Signal(9), 50);
    assert!(jobs.is_over("j"));
}

#[test]
fn the_master_is_asked_to_stop_first() {
    let mut jobs = running(2);
    assert_eq!(jobs.stop("j", 10), [Order::Ask("j".to_owned(), MASTER)]);
    assert_eq!(jobs.tick(10 + limits::STOP_GRACE_MS).len(), 3, "and then all are killed");
    let mut away = Jobs::default();
    away.add(start("j", workers(2)), 0).unwrap();
    let asked = [0, 1].map(|n| Order::Ask("j".to_owned(), ProcessId::Worker(n)));
    assert_eq!(away.stop("j", 10), asked, "workers of a master elsewhere");
    assert!(away.stop("nobody", 10).is_empty());
}

#[test]
fn a_name_is_taken_while_its_job_runs() {
    let mut jobs = running(1);
    let refused = jobs.add(start("j", workers(1)), 0).unwrap_err();
    assert!(refused.contains("runs here already") && refused.contains("--name"), "{refused}");
    jobs.ended("j", MASTER, Exit::Code(0), 1);
    jobs.ended("j", WORKER, Exit::Code(0), 1);
    assert_eq!(jobs.add(start("j", workers(1)), 2).unwrap().len(), 1);
    assert!(jobs.state("j", MASTER).is_none(), "what was before is forgotten");
}

#[test]
fn there_is_a_most_of_everything() {
    let mut jobs = Jobs::default();
    for count in [0, limits::JOB_WORKERS_MAX + 1] {
        assert!(jobs.add(start("j", workers(count)), 0).unwrap_err().contains("workers"));
    }
    assert!(jobs.add(start("../j", workers(1)), 0).is_err());
    for n in 0..limits::JOBS_MAX {
        jobs.add(start(&n.to_string(), workers(1)), 0).unwrap();
    }
    assert!(jobs.add(start("more", workers(1)), 0).unwrap_err().contains("the most"));
    let end = |jobs: &mut Jobs, name: &str| jobs.ended(name, WORKER, Exit::Code(0), 0);
    (0..limits::JOBS_MAX).for_each(|n| assert!(end(&mut jobs, &n.to_string()).is_empty()));
    jobs.add(start("more", workers(1)), 0).unwrap();
    assert_eq!(end(&mut jobs, "more"), [Order::Forget("0".to_owned())]);
    assert_eq!(jobs.list(0).len(), limits::JOBS_REMEMBERED);
}

proptest! {
    /// Whatever happens in whatever order: only what runs is told to end, and only what does not is started.
    #[test]
    fn orders_fit_what_is(events in prop::collection::vec((0..7u8, 0..4u32, 0..3i32), 0..200)) {
        let mut jobs = Jobs::default();
        let mut alive = HashSet::new();
        let mut now = 0;
        for (event, which, how) in events {
            now += u64::from(which) * 2000;
            let id = if which == 3 { MASTER } else { ProcessId::Worker(which) };
            let orders = match event {
                0 => jobs.add(start("j", workers(3)), now).unwrap_or_default(),
                1 => jobs.add(start("j", Part::Master { workers: 3 }), now).unwrap_or_default(),
                2 | 3 if alive.remove(&id) => jobs.ended("j", id, Exit::Code(how), now),
                4 => jobs.stop("j", now),
                5 => {
                    jobs.goes_on("j");
                    Vec::new()
                }
                _ => jobs.tick(now),
            };
            for order in orders {
                match order {
                    Order::Start(_, id, _) => prop_assert!(alive.insert(id), "{id} runs twice"),
                    Order::Ask(_, id) | Order::Kill(_, id) => prop_assert!(alive.contains(&id)),
                    Order::Forget(_) => {}
                }
            }
            prop_assert_eq!(jobs.running("j"), alive.len());
        }
        // However it is, it can be ended.
        jobs.stop("j", now);
        for id in jobs.tick(now + limits::STOP_GRACE_MS) {
            if let Order::Kill(_, id) = id {
                jobs.ended("j", id, Exit::Signal(9), now);
            }
        }
        prop_assert!(jobs.is_over("j"));
    }
}
