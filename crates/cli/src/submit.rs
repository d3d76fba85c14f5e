//! `cutwater submit`: hands a program to agents, starts it on them and shows what it prints.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail, ensure};
use clap::Args;
use cutwater_wire::{
    agent::{Answer, JobToken, Part, ProcessId, Request, Start, fault_of_name},
    handshake::Secret,
};
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    access::host_of,
    agents::{self, Agents},
    caller::Connection,
    executable::{Executable, machine_name},
    follow::{self, Seen},
    stop,
};

/// What is to be run, and where.
#[derive(Args, Clone, Debug)]
pub struct Submit {
    #[command(flatten)]
    agents: Agents,
    /// Worker processes on all machines together (default: one on each).
    #[arg(long, value_name = "N")]
    workers: Option<u32>,
    /// The job's name (default: the program's, and some letters).
    #[arg(long)]
    name: Option<String>,
    /// The agent that runs the master (default: the first).
    #[arg(long, value_name = "HOST")]
    master_on: Option<String>,
    /// A variable for the environment of the program, on every machine.
    #[arg(long = "env", value_name = "NAME=VALUE", value_parser = variable)]
    environment: Vec<(String, String)>,
    /// Do not wait for the program; print the job's name.
    #[arg(long)]
    detach: bool,
    /// The executable.
    program: PathBuf,
    /// The program's arguments.
    #[arg(last = true)]
    arguments: Vec<String>,
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (name, value) =
        text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("it is not NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Submits a program. The exit status is the program's, or success if it goes on without us.
///
/// # Errors
/// It cannot be started; nothing of it runs then.
pub async fn run(submit: Submit) -> anyhow::Result<ExitCode> {
    let executable = Executable::read(&submit.program)?;
    let name = submit.name.clone().map_or_else(|| name_for(&submit.program), Ok)?;
    if let Some(fault) = fault_of_name(&name) {
        bail!(fault);
    }
    let mut agents = submit.agents.connect_all().await?;
    fits(&executable, &agents)?;
    let master = submit.master_on.as_deref().map_or(Ok(0), |named| agents::find(&agents, named))?;
    let workers = submit.workers.unwrap_or(u32::try_from(agents.len()).unwrap_or(u32::MAX));
    ensure!(workers > 0, "--workers 0: a program needs a worker to run its tasks");
    let shares = shares(workers, agents.len(), master);
    hand_over(&mut agents, &submit.program, &executable).await?;

    let token = JobToken(Secret::new()?.to_text());
    let part = |agent: &Connection, part| Start {
        job: name.clone(),
        executable: executable.hash,
        arguments: submit.arguments.clone(),
        environment: submit.environment.clone(),
        token: token.clone(),
        host: host_of(&agent.address).to_owned(),
        part,
    };
    start(&mut agents, master, &shares, part).await?;
    let at = &agents[master].address;
    eprintln!(
        "job {name}: master on {at}, {workers} workers on {} agents",
        shares.iter().filter(|share| **share > 0).count()
    );
    if submit.detach {
        println!("{name}");
        return Ok(ExitCode::SUCCESS);
    }
    let seen = tokio::select! {
        seen = follow::show(&mut agents[master], &name, ProcessId::Master, true) => seen?,
        interrupted = tokio::signal::ctrl_c() => {
            interrupted?;
            eprintln!("job {name} goes on; `cutwater logs --follow {name}` shows what it prints, `cutwater stop {name}` ends it");
            return Ok(ExitCode::SUCCESS);
        }
    };
    // Its workers know that it is over. Whoever does not is ended.
    stop::everywhere(&mut agents, &name).await?;
    match seen {
        Seen::Ended(exit) => {
            if !exit.is_success() {
                eprintln!("job {name} has ended: {exit}");
            }
            Ok(ExitCode::from(u8::try_from(exit.status()).unwrap_or(u8::MAX)))
        }
        Seen::SoFar => bail!("the program could not be started on {}", agents[master].address),
    }
}

/// A name for a job of that program.
fn name_for(program: &Path) -> anyhow::Result<String> {
    let stem = program.file_stem().unwrap_or_default().to_string_lossy();
    let is_fine = |c: &char| c.is_ascii_alphanumeric() || *c == '-' || *c == '_';
    let stem: String = stem.chars().filter(is_fine).take(40).collect();
    let stem = stem.trim_start_matches(['-', '_']);
    let letters = &Secret::new()?.to_text()[..4];
    Ok(if stem.is_empty() { format!("job-{letters}") } else { format!("{stem}-{letters}") })
}

/// Refuses agents whose processors cannot run it.
fn fits(executable: &Executable, agents: &[Connection]) -> anyhow::Result<()> {
    if let Some(agent) = agents.iter().find(|agent| agent.hello.machine != executable.machine) {
        bail!(
            "the program is for {} and the machine of agent {} is {}; build it for that (`cargo build --target …`)",
            machine_name(executable.machine),
            agent.address,
            machine_name(agent.hello.machine),
        );
    }
    Ok(())
}

/// How many workers each agent has: as many everywhere, and those that are left over from the master's on.
fn shares(workers: u32, agents: usize, master: usize) -> Vec<u32> {
    let all = u32::try_from(agents).unwrap_or(u32::MAX);
    let left_over = (workers % all) as usize;
    let more = |place: usize| (place + agents - master) % agents < left_over;
    (0..agents).map(|place| workers / all + u32::from(more(place))).collect()
}

/// Sees to it that all agents have the executable. It is sent to one; the others get it from that, if they
/// can reach it, so that many machines wait for one slow line only once.
async fn hand_over(agents: &mut [Connection], program: &Path, executable: &Executable) -> anyhow::Result<()> {
    let mut lacking = Vec::new();
    let mut source = None;
    for (place, agent) in agents.iter_mut().enumerate() {
        match agent.ask(&Request::Have(executable.hash)).await? {
            Answer::Held => source = source.or(Some(agent.address.clone())),
            _ => lacking.push(place),
        }
    }
    for place in lacking {
        let agent = &mut agents[place];
        if let Some(from) = source.clone() {
            let fetch = Request::Fetch { executable: executable.hash, from: from.clone() };
            match agent.ask(&fetch).await {
                Ok(_) => {
                    eprintln!("agent {} has got the program from {from}", agent.address);
                    continue;
                }
                Err(error) => eprintln!("{error:#}; so it is sent from here"),
            }
        }
        let bar = ProgressBar::new(executable.bytes).with_message(agent.address.clone());
        bar.set_style(ProgressStyle::with_template(
            "{msg} {bar:40} {bytes}/{total_bytes} {binary_bytes_per_sec}",
        )?);
        let sent = agent.upload(program, executable, |bytes| bar.inc(bytes)).await;
        bar.finish_and_clear();
        if sent? {
            eprintln!("sent {} bytes to agent {}", executable.bytes, agent.address);
        }
        source.get_or_insert_with(|| agent.address.clone());
    }
    Ok(())
}

/// Starts the master, and then workers that join it. If anything cannot be started, nothing is left running.
async fn start(
    agents: &mut [Connection],
    master: usize,
    shares: &[u32],
    part: impl Fn(&Connection, Part) -> Start,
) -> anyhow::Result<()> {
    let workers = shares.iter().sum();
    let begin = part(&agents[master], Part::Master { workers });
    let job = begin.job.clone();
    let listens = match agents[master].ask(&Request::Start(begin)).await? {
        Answer::Started { master: Some(listens) } => listens,
        answer => bail!("agent {} answers {answer:?}", agents[master].address),
    };
    let join = joins_at(&agents[master].address, &listens)?;
    let mut begun = vec![master];
    for (place, count) in shares.iter().enumerate().filter(|(_, count)| **count > 0) {
        let agent = &mut agents[place];
        let threads = (agent.hello.slots / count).max(1);
        let workers = part(agent, Part::Workers { join: join.clone(), count: *count, threads });
        if let Err(error) = agent.ask(&Request::Start(workers)).await {
            for place in begun {
                // What went wrong first is what is to be told.
                let _ = agents[place].ask(&Request::Stop(job.clone())).await;
            }
            return Err(error);
        }
        begun.push(place);
    }
    Ok(())
}

/// Where workers find a master that listens at `listens` on the machine of the agent `agent`: at the name by
/// which that machine is known.
fn joins_at(agent: &str, listens: &str) -> anyhow::Result<String> {
    let host = agent.rsplit_once(':').map_or(agent, |(host, _)| host);
    let port = listens.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
    let port = port.with_context(|| format!("the master says that it listens at {listens:?}"))?;
    Ok(format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_spread_evenly() {
        assert_eq!(shares(3, 3, 0), [1, 1, 1]);
        assert_eq!(shares(5, 3, 0), [2, 2, 1]);
        assert_eq!(shares(5, 3, 2), [2, 1, 2]);
        assert_eq!(shares(1, 3, 1), [0, 1, 0]);
    }

    #[test]
    fn workers_join_by_the_name_of_the_machine() {
        assert_eq!(joins_at("node-a:7078", "0.0.0.0:4000").unwrap(), "node-a:4000");
        assert_eq!(joins_at("[::1]:7078", "[::]:4000").unwrap(), "[::1]:4000");
        assert!(joins_at("node-a:7078", "nowhere").is_err());
    }

    #[test]
    fn a_job_is_called_after_its_program() {
        let name = name_for(Path::new("/opt/a program.v2")).unwrap();
        assert!(name.starts_with("aprogram-") && fault_of_name(&name).is_none(), "{name}");
        assert!(name_for(Path::new("..")).unwrap().starts_with("job-"));
        assert_ne!(name_for(Path::new("a")).unwrap(), name_for(Path::new("a")).unwrap());
    }

    #[test]
    fn variables_have_a_name() {
        assert_eq!(variable("A=b=c").unwrap(), ("A".to_owned(), "b=c".to_owned()));
        assert!(variable("A").is_err() && variable("=b").is_err());
    }
}
