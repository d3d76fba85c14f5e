//! The step between an agent and a program: makes sure that the program ends with the agent, and becomes
//! the program.
//!
//! A process that is started survives whoever started it, unless the kernel is told otherwise, and that is
//! told by the process itself. So the agent starts this, which tells, and then is replaced.

use std::{
    convert::Infallible, ffi::OsString, io, os::unix::process::CommandExt, path::PathBuf, process::Command,
    thread, time::Duration,
};

use anyhow::{Context, ensure};
use cutwater_core::limits;
use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Becomes `program`, and ends when the process `agent` does.
///
/// # Errors
/// It cannot; the agent may be gone already.
pub fn become_program(agent: u32, program: PathBuf, arguments: Vec<OsString>) -> anyhow::Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot be tied to the agent")?;
    // An agent that ended before that would not be noticed any more.
    let parent = getppid().map(Pid::as_raw_nonzero).map(|pid| pid.get().unsigned_abs());
    ensure!(parent == Some(agent), "the agent {agent} has ended");
    let mut command = Command::new(&program);
    command.args(arguments);
    for _ in 0..limits::BUSY_TRIES_MAX {
        let error = command.exec();
        if error.kind() != io::ErrorKind::ExecutableFileBusy {
            return Err(error).with_context(|| format!("cannot run {}", program.display()));
        }
        // Another process that is just being started may have inherited the open file for a moment.
        thread::sleep(Duration::from_millis(limits::BUSY_RETRY_MS));
    }
    anyhow::bail!("cannot run {}: it is still being written", program.display())
}
