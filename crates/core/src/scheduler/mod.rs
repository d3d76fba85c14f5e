//! Events in, commands out.

mod command;
mod event;

pub use command::Command;
pub use event::Event;

/// Decides which task runs where.
#[derive(Debug, Default)]
pub struct Scheduler {}

impl Scheduler {
    /// A scheduler that knows no worker and no dataset.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes note of what happened and says what is to be done now, in order.
    pub fn step(&mut self, event: Event) -> Vec<Command> {
        let _ = event;
        Vec::new()
    }
}
