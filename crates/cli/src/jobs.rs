//! `cutwater jobs`: what runs where.

use std::time::Duration;

use clap::Args;
use cutwater_core::text::in_largest_unit;
use cutwater_wire::agent::{Answer, Process, Request, State};

use crate::agents::Agents;

/// Of which agents.
#[derive(Args, Clone, Debug)]
pub struct Jobs {
    #[command(flatten)]
    agents: Agents,
}

/// Lists the jobs of all agents, with their processes.
///
/// # Errors
/// No agent can be reached, or one is lost.
pub async fn run(jobs: Jobs) -> anyhow::Result<()> {
    let heads = ["JOB", "AGENT", "PROCESS", "STATE", "FOR", "RESTARTS", "EXECUTABLE"].map(str::to_owned);
    let mut rows = vec![heads];
    for agent in &mut jobs.agents.connect_some().await? {
        let Answer::Running(jobs) = agent.ask(&Request::Jobs).await? else { continue };
        for job in jobs {
            for process in job.processes {
                let (span, unit) = in_largest_unit(Duration::from_millis(process.for_ms));
                rows.push([
                    job.name.clone(),
                    agent.address.clone(),
                    process.id.to_string(),
                    state(&process),
                    format!("{span:.0} {unit}"),
                    process.restarts.to_string(),
                    job.executable.to_string(),
                ]);
            }
        }
    }
    print!("{}", table(&rows));
    Ok(())
}

fn state(process: &Process) -> String {
    match &process.state {
        State::Running { pid } => format!("running, pid {pid}"),
        State::Waiting { exit } => format!("starts again after {exit}"),
        State::Ended { exit, given_up: false } => format!("ended, {exit}"),
        State::Ended { exit, given_up: true } => format!("given up after {exit}"),
        State::NotStarted(why) => format!("not started: {why}"),
    }
}

fn table<const N: usize>(rows: &[[String; N]]) -> String {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        cells.join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_what_is_in_them() {
        let rows = [["A", "B"], ["long", "x"]].map(|row| row.map(str::to_owned));
        assert_eq!(table(&rows), "A     B\nlong  x\n");
    }
}
