use std::{
    env,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use cutwater_core::limits;

use super::token::Token;
use crate::{
    context::{JOIN, ROLE, TOKEN},
    error::Error,
};

/// How worker processes are started: this executable, with the arguments that lead it to where the
/// program makes its context, which is where it becomes a worker.
#[derive(Clone, Debug, Default)]
pub(crate) struct Start {
    /// In place of the arguments of this process.
    pub arguments: Option<Vec<String>>,
}

/// Workers that this process has started. They end with the program; dropping this makes sure.
pub(crate) struct Children(Vec<Child>);

impl Children {
    /// Starts so many, which join at `master`.
    pub fn start(count: usize, start: &Start, master: &str, token: Option<&Token>) -> Result<Self, Error> {
        let mut children = Self(Vec::with_capacity(count));
        if count == 0 {
            return Ok(children);
        }
        let executable = env::current_exe()
            .map_err(|error| Error::external(format_args!("cannot find this executable: {error}")))?;
        let arguments = start.arguments.clone().unwrap_or_else(|| env::args().skip(1).collect());
        for number in 0..count {
            let mut command = Command::new(&executable);
            command.args(&arguments).stdin(Stdio::null());
            command.env(ROLE, "worker").env(JOIN, master);
            if let Some(token) = token {
                command.env(TOKEN, token.as_text());
            }
            let child = command.spawn().map_err(|error| {
                Error::external(format_args!("cannot start worker process {number}: {error}"))
            })?;
            children.0.push(child);
        }
        Ok(children)
    }

    /// What a worker process that has ended already says about it.
    pub fn ended(&mut self) -> Option<String> {
        self.0.iter_mut().enumerate().find_map(|(number, child)| {
            let status = child.try_wait().ok().flatten()?;
            Some(format!("worker process {number} ended before it joined: {status}"))
        })
    }

    /// They work for another master now.
    pub fn disown(&mut self) {
        self.0.clear();
    }

    /// The process ids of the workers.
    pub fn ids(&self) -> Vec<u32> {
        self.0.iter().map(Child::id).collect()
    }
}

impl Drop for Children {
    fn drop(&mut self) {
        let until = Instant::now() + Duration::from_millis(limits::ENDING_MS_MAX);
        for child in &mut self.0 {
            while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(2));
            }
            // It has ended or is about to; either way nothing of it may stay behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
