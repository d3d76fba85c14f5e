use std::{
    collections::{BTreeMap, HashSet, VecDeque},
    sync::Arc,
};

use cutwater_core::limits;
use cutwater_wire::{
    agent::{self, Exit, Part, ProcessId, Start, State, fault_of_name},
    handshake::ExecutableHash,
};

/// What an agent decides: which processes are to run, which are to be started again and when, and what
/// becomes of a job whose master has ended.
///
/// Properties:
/// - it starts nothing and waits for nothing: it is told what happened and at what time, and answers with
///   [`Order`]s;
/// - a worker that fails is started again while its job runs, later each time, until it has failed too
///   often in a row;
/// - a master that fails is started again if its program [goes on](Self::goes_on) where it was: one that begins anew is
///   not what it was. It is not given up, since with it would go its workers, and what clients were told is safe with those:
///   whoever looks after the job mends what is wrong, or stops it;
/// - a job ends as a whole: when its master has ended, or it is to stop, nothing of it is started again;
/// - whoever was asked to end and has not within [`STOP_GRACE_MS`](limits::STOP_GRACE_MS) is killed;
/// - of jobs that are over the last [`JOBS_REMEMBERED`](limits::JOBS_REMEMBERED) are remembered.
///
/// The agent's one thread uses it. If the agent dies, so do its processes, and there is nothing to remember.
#[derive(Default)]
pub struct Jobs {
    jobs: BTreeMap<String, Job>,
    /// Those that are over, the oldest first.
    over: VecDeque<String>,
}

struct Job {
    executable: ExecutableHash,
    processes: BTreeMap<ProcessId, Process>,
    /// Whether its master may be started again.
    goes_on: bool,
    /// When it is killed, once it is to end.
    ending: Option<u64>,
}

struct Process {
    start: Arc<Start>,
    state: State,
    since_ms: u64,
    restarts: u32,
    failures_in_a_row: u32,
    /// When it is started again, while it waits.
    again_ms: u64,
}

/// What the agent is to do about a process of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Start it.
    Start(String, ProcessId, Arc<Start>),
    /// Ask it to end.
    Ask(String, ProcessId),
    /// End it.
    Kill(String, ProcessId),
    /// Forget the job and what its processes have printed.
    Forget(String),
}

impl Jobs {
    /// A part of a job is to run. Its processes count as running from now on; whoever starts them says how
    /// that went by [`started`](Self::started) or [`not_started`](Self::not_started).
    ///
    /// # Errors
    /// It cannot run, for the reason that is given.
    pub fn add(&mut self, start: Start, now_ms: u64) -> Result<Vec<Order>, String> {
        let name = start.job.clone();
        if let Some(fault) = fault_of_name(&name) {
            return Err(fault);
        }
        if let Part::Workers { count, .. } = start.part
            && !(1..=limits::JOB_WORKERS_MAX).contains(&count)
        {
            return Err(format!("{count} workers: it must be 1 to {}", limits::JOB_WORKERS_MAX));
        }
        if let Some(job) = self.jobs.get(&name).filter(|job| !job.is_over()) {
            let runs = |wanted: &ProcessId| job.processes.contains_key(wanted);
            if ids(&start.part).any(|id| runs(&id)) || job.executable != start.executable {
                return Err(format!(
                    "job {name} runs here already; `--name` chooses another name, `cutwater stop {name}` ends it"
                ));
            }
            if job.ending.is_some() {
                return Err(format!("job {name} is ending"));
            }
        } else {
            let running = self.jobs.values().filter(|job| !job.is_over()).count();
            if running >= limits::JOBS_MAX {
                return Err(format!("{running} jobs run here, which is the most that may"));
            }
            self.over.retain(|over| *over != name);
            let (executable, processes) = (start.executable, BTreeMap::new());
            let job = Job { executable, processes, goes_on: false, ending: None };
            self.jobs.insert(name.clone(), job);
        }
        let start = Arc::new(start);
        let mut orders = Vec::new();
        if let Some(job) = self.jobs.get_mut(&name) {
            for id in ids(&start.part) {
                job.processes.insert(id, Process::new(start.clone(), now_ms));
                orders.push(Order::Start(name.clone(), id, start.clone()));
            }
        }
        Ok(orders)
    }

    /// A process was started.
    pub fn started(&mut self, job: &str, id: ProcessId, pid: u32) {
        if let Some(process) = self.process(job, id) {
            process.state = State::Running { pid };
        }
    }

    /// The program of a job has written down what it needs to go on where it was: its master may be started again.
    pub fn goes_on(&mut self, job: &str) {
        if let Some(job) = self.jobs.get_mut(job) {
            job.goes_on = true;
        }
    }

    /// A process could not be started. It is not tried again: the machine itself refuses.
    pub fn not_started(&mut self, job: &str, id: ProcessId, why: String, now_ms: u64) -> Vec<Order> {
        if let Some(process) = self.process(job, id) {
            process.enter(State::NotStarted(why), now_ms);
        }
        self.settle(job, now_ms)
    }

    /// A process has ended.
    pub fn ended(&mut self, job: &str, id: ProcessId, exit: Exit, now_ms: u64) -> Vec<Order> {
        let may_go_on = |job: &Job| job.ending.is_none() && (id != ProcessId::Master || job.goes_on);
        let may_go_on = self.jobs.get(job).is_some_and(may_go_on);
        if let Some(process) = self.process(job, id) {
            process.ended(exit, may_go_on, id == ProcessId::Master, now_ms);
        }
        self.settle(job, now_ms)
    }

    /// A job is to end. Its master is asked first, since it knows how to end the program; where it is on
    /// another machine, workers are.
    pub fn stop(&mut self, name: &str, now_ms: u64) -> Vec<Order> {
        let Some(job) = self.jobs.get_mut(name).filter(|job| !job.is_over()) else { return Vec::new() };
        job.end(now_ms);
        let has_master = job.runs(&ProcessId::Master);
        let asked = job.processes.keys().filter(|id| job.runs(id));
        let asked = asked.filter(|id| !has_master || **id == ProcessId::Master);
        let orders: Vec<_> = asked.map(|id| Order::Ask(name.to_owned(), *id)).collect();
        [orders, self.settle(name, now_ms)].concat()
    }

    /// All jobs are to end.
    pub fn stop_all(&mut self, now_ms: u64) -> Vec<Order> {
        let names: Vec<_> = self.jobs.keys().cloned().collect();
        names.iter().flat_map(|name| self.stop(name, now_ms)).collect()
    }

    /// It is so late now. Called no later than [`next_ms`](Self::next_ms) says.
    pub fn tick(&mut self, now_ms: u64) -> Vec<Order> {
        let mut orders = Vec::new();
        for (name, job) in &mut self.jobs {
            if let Some(kill_ms) = job.ending {
                if now_ms >= kill_ms && !job.is_over() {
                    let running = job.processes.keys().filter(|id| job.runs(id));
                    orders.extend(running.map(|id| Order::Kill(name.clone(), *id)));
                    // Again if that was not the end of it, which only a process in the kernel survives.
                    job.ending = Some(now_ms + limits::STOP_GRACE_MS);
                }
                continue;
            }
            for (id, process) in &mut job.processes {
                if matches!(process.state, State::Waiting { .. }) && now_ms >= process.again_ms {
                    process.restarts += 1;
                    process.enter(State::Running { pid: 0 }, now_ms);
                    orders.push(Order::Start(name.clone(), *id, process.start.clone()));
                }
            }
        }
        orders
    }

    /// When there is something to do if nothing happens before.
    pub fn next_ms(&self) -> Option<u64> {
        let of_job = |job: &Job| match job.ending {
            Some(kill_ms) => (!job.is_over()).then_some(kill_ms),
            None => {
                let waiting = job.processes.values().filter(|p| matches!(p.state, State::Waiting { .. }));
                waiting.map(|process| process.again_ms).min()
            }
        };
        self.jobs.values().filter_map(of_job).min()
    }

    /// Whether nothing of a job runs or will.
    pub fn is_over(&self, job: &str) -> bool {
        self.jobs.get(job).is_none_or(Job::is_over)
    }

    /// How a process is, if there is such a one.
    pub fn state(&self, job: &str, id: ProcessId) -> Option<&State> {
        Some(&self.jobs.get(job)?.processes.get(&id)?.state)
    }

    /// How many processes of a job run.
    pub fn running(&self, name: &str) -> usize {
        self.jobs.get(name).map_or(0, |job| job.processes.keys().filter(|id| job.runs(id)).count())
    }

    /// The executables of jobs that are not over.
    pub fn in_use(&self) -> HashSet<ExecutableHash> {
        self.jobs.values().filter(|job| !job.is_over()).map(|job| job.executable).collect()
    }

    /// Everything there is, for people.
    pub fn list(&self, now_ms: u64) -> Vec<agent::Job> {
        let process = |(id, process): (&ProcessId, &Process)| agent::Process {
            id: *id,
            state: process.state.clone(),
            restarts: process.restarts,
            for_ms: now_ms.saturating_sub(process.since_ms),
        };
        let job = |(name, job): (&String, &Job)| agent::Job {
            name: name.clone(),
            executable: job.executable,
            processes: job.processes.iter().map(process).collect(),
        };
        self.jobs.iter().map(job).collect()
    }

    fn process(&mut self, job: &str, id: ProcessId) -> Option<&mut Process> {
        self.jobs.get_mut(job)?.processes.get_mut(&id)
    }

    /// What follows for the whole job from what became of one of its processes.
    fn settle(&mut self, name: &str, now_ms: u64) -> Vec<Order> {
        let Some(job) = self.jobs.get_mut(name) else { return Vec::new() };
        let mut orders = Vec::new();
        let master = job.processes.get(&ProcessId::Master).filter(|master| master.is_over());
        if let Some(master) = master
            && job.ending.is_none()
        {
            // Its workers know and end by themselves, unless they wait for another master.
            if job.goes_on && !master.has_succeeded() {
                let running = job.processes.keys().filter(|id| job.runs(id));
                orders.extend(running.map(|id| Order::Ask(name.to_owned(), *id)));
            }
            job.end(now_ms);
        }
        if !job.is_over() || self.over.iter().any(|over| over == name) {
            return orders;
        }
        self.over.push_back(name.to_owned());
        let surplus = self.over.len().saturating_sub(limits::JOBS_REMEMBERED);
        let forgotten: Vec<_> = self.over.drain(..surplus).collect();
        for name in &forgotten {
            self.jobs.remove(name);
        }
        orders.extend(forgotten.into_iter().map(Order::Forget));
        orders
    }
}

impl Job {
    fn is_over(&self) -> bool {
        self.processes.values().all(Process::is_over)
    }

    fn runs(&self, id: &ProcessId) -> bool {
        self.processes.get(id).is_some_and(|process| matches!(process.state, State::Running { .. }))
    }

    /// From now on nothing of it is started again.
    fn end(&mut self, now_ms: u64) {
        self.ending.get_or_insert(now_ms + limits::STOP_GRACE_MS);
        for process in self.processes.values_mut() {
            if let State::Waiting { exit } = process.state {
                process.enter(State::Ended { exit, given_up: false }, now_ms);
            }
        }
    }
}

impl Process {
    fn new(start: Arc<Start>, now_ms: u64) -> Self {
        // It has no number before it was started, which is at once.
        let state = State::Running { pid: 0 };
        Self { start, state, since_ms: now_ms, restarts: 0, failures_in_a_row: 0, again_ms: 0 }
    }

    fn is_over(&self) -> bool {
        matches!(self.state, State::Ended { .. } | State::NotStarted(_))
    }

    fn has_succeeded(&self) -> bool {
        matches!(self.state, State::Ended { exit, .. } if exit.is_success())
    }

    fn enter(&mut self, state: State, now_ms: u64) {
        self.state = state;
        self.since_ms = now_ms;
    }

    fn ended(&mut self, exit: Exit, may_go_on: bool, is_master: bool, now_ms: u64) {
        if exit.is_success() || !may_go_on {
            return self.enter(State::Ended { exit, given_up: false }, now_ms);
        }
        if now_ms.saturating_sub(self.since_ms) >= limits::RESTART_FORGIVEN_MS {
            self.failures_in_a_row = 0;
        }
        self.failures_in_a_row += 1;
        if self.failures_in_a_row > limits::RESTARTS_MAX && !is_master {
            return self.enter(State::Ended { exit, given_up: true }, now_ms);
        }
        let doubled = limits::RESTART_MS_MIN.saturating_mul(2_u64.saturating_pow(self.failures_in_a_row - 1));
        self.again_ms = now_ms + doubled.min(limits::RESTART_MS_MAX);
        self.enter(State::Waiting { exit }, now_ms);
    }
}

/// The processes of a part.
fn ids(part: &Part) -> Box<dyn Iterator<Item = ProcessId>> {
    match part {
        Part::Master { .. } => Box::new(std::iter::once(ProcessId::Master)),
        Part::Workers { count, .. } => Box::new((0..*count).map(ProcessId::Worker)),
    }
}

#[cfg(test)]
mod tests;
