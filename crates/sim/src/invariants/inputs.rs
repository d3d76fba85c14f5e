use std::collections::BTreeSet;

/// No interval runs before its input is written down: a master that dies then knows what it was.
#[derive(Default)]
pub(crate) struct Inputs {
    recorded: BTreeSet<u64>,
}

impl Inputs {
    pub fn recorded(&mut self, interval: u64) {
        self.recorded.insert(interval);
    }

    pub fn submitted(&self, interval: u64) -> Result<(), String> {
        if self.recorded.contains(&interval) {
            return Ok(());
        }
        Err(format!("interval {interval} runs, and its input is written nowhere"))
    }
}
