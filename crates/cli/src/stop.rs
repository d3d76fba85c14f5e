//! Ends a job on all agents.

use anyhow::ensure;
use clap::Args;
use cutwater_wire::agent::{Answer, ProcessId, Request};

use crate::{agents::Agents, caller::Connection};

/// Which job.
#[derive(Args, Clone, Debug)]
pub struct Stop {
    #[command(flatten)]
    agents: Agents,
    /// The job.
    job: String,
}

/// `cutwater stop`: ends a job, and returns when nothing of it runs any longer.
///
/// # Errors
/// No agent knows it, or one is lost.
pub async fn run(stop: Stop) -> anyhow::Result<()> {
    let mut agents = stop.agents.connect_some().await?;
    let mut is_known = false;
    for agent in &mut agents {
        is_known |= runs(agent, &stop.job).await?.is_some();
    }
    ensure!(is_known, "no agent knows a job {}; `cutwater jobs` lists them", stop.job);
    everywhere(&mut agents, &stop.job).await?;
    println!("job {} is stopped", stop.job);
    Ok(())
}

/// Ends a job, where its master is first: it processes what was received, and for that it needs its workers.
///
/// # Errors
/// An agent is lost.
pub async fn everywhere(agents: &mut [Connection], job: &str) -> anyhow::Result<()> {
    let mut order = Vec::new();
    for (place, agent) in agents.iter_mut().enumerate() {
        if let Some(has_master) = runs(agent, job).await? {
            order.push((!has_master, place));
        }
    }
    order.sort_unstable();
    for (_, place) in order {
        agents[place].ask(&Request::Stop(job.to_owned())).await?;
    }
    Ok(())
}

/// Whether the agent knows the job, and if so, whether it has its master.
async fn runs(agent: &mut Connection, job: &str) -> anyhow::Result<Option<bool>> {
    let Answer::Running(jobs) = agent.ask(&Request::Jobs).await? else { return Ok(None) };
    let found = jobs.into_iter().find(|running| running.name == job);
    Ok(found.map(|job| job.processes.iter().any(|process| process.id == ProcessId::Master)))
}
