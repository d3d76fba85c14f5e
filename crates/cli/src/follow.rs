//! Shows what a process of a job prints.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::{bail, ensure};
use clap::Args;
use cutwater_core::limits;
use cutwater_wire::agent::{Answer, Exit, ProcessId, Request};
use tokio::time::timeout;

use crate::{
    agents::{self, Agents},
    caller::Connection,
};

/// Which process.
#[derive(Args, Clone, Debug)]
pub struct Logs {
    #[command(flatten)]
    agents: Agents,
    /// The job.
    job: String,
    /// The process: `master`, or `worker-N`.
    #[arg(long, default_value = "master", value_parser = process)]
    process: ProcessId,
    /// The agent that runs it, if several run one of that name.
    #[arg(long, value_name = "HOST")]
    on: Option<String>,
    /// Go on until it ends.
    #[arg(long, short)]
    follow: bool,
}

fn process(text: &str) -> Result<ProcessId, String> {
    match text.strip_prefix("worker-").map(str::parse) {
        None if text == "master" => Ok(ProcessId::Master),
        Some(Ok(number)) => Ok(ProcessId::Worker(number)),
        _ => Err("it is neither `master` nor `worker-N`".to_owned()),
    }
}

/// How far a process was followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// To its end.
    Ended(Exit),
    /// To where it is now, or it was never started.
    SoFar,
}

/// `cutwater logs`: prints what a process has printed.
///
/// # Errors
/// There is no such process, or an agent is lost.
pub async fn run(logs: Logs) -> anyhow::Result<()> {
    let mut agents = logs.agents.connect_some().await?;
    let mut places = Vec::new();
    for (place, agent) in agents.iter_mut().enumerate() {
        if let Answer::Running(jobs) = agent.ask(&Request::Jobs).await? {
            let is_it = |job: &cutwater_wire::agent::Job| {
                job.name == logs.job && job.processes.iter().any(|process| process.id == logs.process)
            };
            places.extend(jobs.iter().any(is_it).then_some(place));
        }
    }
    let place = match (&logs.on, &places[..]) {
        (Some(named), _) => agents::find(&agents, named)?,
        (None, [place]) => *place,
        (None, []) => {
            bail!("no agent knows a {} of a job {}; `cutwater jobs` lists them", logs.process, logs.job)
        }
        (None, places) => {
            let all: Vec<_> = places.iter().map(|place| agents[*place].address.as_str()).collect();
            bail!(
                "several agents run a {} of job {}; choose by `--on`: {}",
                logs.process,
                logs.job,
                all.join(", ")
            )
        }
    };
    show(&mut agents[place], &logs.job, logs.process, logs.follow).await?;
    Ok(())
}

/// Prints what a process has printed, and what it prints until its end if that is to be waited for.
///
/// # Errors
/// There is no such process, the agent is lost, or nobody reads what is printed.
pub async fn show(agent: &mut Connection, job: &str, process: ProcessId, wait: bool) -> anyhow::Result<Seen> {
    let silence = Duration::from_millis(limits::SILENCE_MS_MAX);
    let mut answer = agent.ask(&Request::Follow { job: job.to_owned(), process, wait }).await?;
    loop {
        match answer {
            Answer::Output { error, lost, text } => print(error, lost, &text)?,
            Answer::Quiet => {}
            Answer::End(Some(exit)) => return Ok(Seen::Ended(exit)),
            Answer::End(None) => return Ok(Seen::SoFar),
            answer => bail!("agent {} answers {answer:?}", agent.address),
        }
        let heard = timeout(silence, agent.hear()).await;
        ensure!(heard.is_ok(), "agent {} is silent; job {job} may go on there", agent.address);
        answer = heard??;
    }
}

fn print(error: bool, lost: u64, text: &[u8]) -> io::Result<()> {
    if lost > 0 {
        eprintln!("[{lost} bytes are no longer kept]");
    }
    if error {
        io::stderr().write_all(text)
    } else {
        let mut out = io::stdout();
        out.write_all(text).and_then(|()| out.flush())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_named_as_they_are_listed() {
        for id in [ProcessId::Master, ProcessId::Worker(0), ProcessId::Worker(12)] {
            assert_eq!(process(&id.to_string()), Ok(id));
        }
        assert!(process("worker").is_err() && process("worker-x").is_err() && process("").is_err());
    }
}
