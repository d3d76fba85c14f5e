//! Reads the command line. What there is to do is in the library, one module for each sub-command.

use std::{
    ffi::OsString,
    io::{IsTerminal, stderr},
    net::SocketAddr,
    num::NonZero,
    path::PathBuf,
    process::ExitCode,
    thread,
};

use clap::{Parser, Subcommand};
use cutwater_cli::{access::Access, agent, certs, follow, jobs, launch, probe, stop, submit};

/// Runs programs of cutwater on a set of machines.
#[derive(Parser)]
#[command(version, name = "cutwater")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs on each machine, and there what is submitted.
    Agent {
        /// Where it listens.
        #[arg(long, value_name = "ADDRESS", default_value = cutwater_cli::agents::USUAL)]
        listen: SocketAddr,
        /// The folder where it keeps executables, and what programs print.
        #[arg(long, value_name = "FOLDER")]
        dir: PathBuf,
        /// Tasks that the workers of a job run at a time (default: as many as there are cores).
        #[arg(long, value_name = "N")]
        slots: Option<u32>,
        #[command(flatten)]
        access: Access,
    },
    /// Runs a program: hands it to the agents, starts it there and shows what it prints. Ctrl-C leaves it
    /// running.
    Submit(Box<submit::Submit>),
    /// Lists what runs where.
    Jobs(jobs::Jobs),
    /// Ends a job.
    Stop(stop::Stop),
    /// Prints what a process of a job has printed.
    Logs(follow::Logs),
    /// Makes a private authority, and certificates for masters, workers and clients, for connections beyond
    /// loopback.
    Certs(certs::Certs),
    /// Asks a master or worker whether it answers.
    Probe(probe::Probe),
    /// Becomes a program that ends with its agent.
    #[command(hide = true)]
    Launch {
        #[arg(long)]
        agent: u32,
        program: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<OsString>,
    },
}

fn main() -> ExitCode {
    let terminal = stderr().is_terminal();
    tracing_subscriber::fmt().with_writer(stderr).with_ansi(terminal).with_target(false).init();
    match run(Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cutwater: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    if let Command::Launch { agent, program, arguments } = command {
        match launch::become_program(agent, program, arguments)? {}
    }
    if let Command::Certs(certs) = command {
        println!("{}", certs::run(certs)?);
        return Ok(ExitCode::SUCCESS);
    }
    // One thread: processes are tied to the thread that starts them (`launch`).
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::Agent { listen, dir, slots, access } => {
                let cores = thread::available_parallelism().map_or(1, NonZero::get);
                let slots = slots.unwrap_or(u32::try_from(cores).unwrap_or(u32::MAX)).max(1);
                agent::run(agent::Options { listen, folder: dir, slots, access }).await?;
            }
            Command::Submit(submit) => return submit::run(*submit).await,
            Command::Jobs(jobs) => jobs::run(jobs).await?,
            Command::Stop(stop) => stop::run(stop).await?,
            Command::Logs(logs) => follow::run(logs).await?,
            Command::Probe(probe) => probe::run(probe).await?,
            Command::Certs(_) | Command::Launch { .. } => {}
        }
        Ok(ExitCode::SUCCESS)
    })
}
