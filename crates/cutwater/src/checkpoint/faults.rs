//! What goes wrong in a folder, on purpose, for tests of what comes after it.

use std::{
    collections::HashMap,
    io,
    sync::{Condvar, Mutex, PoisonError},
};

/// What happens at which step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Of the files whose names begin so.
    pub folder: String,
    /// At the step of this number, from 0 on.
    pub at: u64,
    pub then: Then,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// The process dies.
    Abort,
    /// The process stands still until it is told to go on.
    Stop,
    /// This step fails, and those after it in the folder, so many in all.
    Fail(u64),
    /// This step fails, and all that come after it, whatever they are about.
    FailForEver,
    /// It waits until everything is mended.
    Wait,
}

/// The faults of one folder: none, until one is ordered.
#[derive(Default)]
pub(crate) struct Faults(Mutex<State>, Condvar);

#[derive(Default)]
struct State {
    order: Option<Fault>,
    passed: HashMap<String, u64>,
    is_broken: bool,
}

impl Faults {
    pub fn order(&self, fault: Fault) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).order = Some(fault);
    }

    /// From now on nothing goes wrong. Says whether anything has.
    pub fn mend(&self) -> bool {
        let before = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        self.1.notify_all();
        before.is_broken
    }

    /// A step of what is done for the file `name`.
    pub fn step(&self, name: &str) -> io::Result<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = name.split('/').next().unwrap_or(name).to_owned();
        let passed = state.passed.entry(folder.clone()).or_default();
        let number = *passed;
        *passed += 1;
        let is_due = |fault: &&Fault| {
            let steps = if let Then::Fail(steps) = fault.then { steps } else { 1 };
            fault.folder == folder && (fault.at..fault.at + steps).contains(&number)
        };
        match state.order.as_ref().filter(is_due).map(|fault| fault.then) {
            Some(Then::Abort) => std::process::abort(),
            Some(Then::Stop) => signal_hook::low_level::raise(signal_hook::consts::SIGSTOP)?,
            Some(Then::Fail(_)) => return Err(broken()),
            Some(Then::FailForEver) => state.is_broken = true,
            Some(Then::Wait) => {
                let ordered = |state: &mut State| state.order.is_some();
                state = self.1.wait_while(state, ordered).unwrap_or_else(PoisonError::into_inner);
            }
            None => {}
        }
        if state.is_broken { Err(broken()) } else { Ok(()) }
    }
}

fn broken() -> io::Error {
    io::Error::other("it is broken, on purpose")
}
