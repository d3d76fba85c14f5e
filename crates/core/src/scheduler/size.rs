//! How much is remembered.

use super::Scheduler;

/// How many things a [`Scheduler`] remembers. Whatever grows here while intervals come and go is a leak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Datasets of the lineage.
    pub datasets: usize,
    /// Units of blocks, each counted once for every worker that holds it.
    pub blocks: usize,
    /// Runs of stages.
    pub runs: usize,
    /// Attempts that were launched and not reported.
    pub running: usize,
    /// Workers.
    pub workers: usize,
    /// Kinds of stages of which it is known how long they take.
    pub kinds: usize,
    /// Blocks that are being copied, or are to be.
    pub copies: usize,
}

impl Scheduler {
    /// How much it remembers now.
    ///
    /// ```
    /// use cutwater_core::{Event, Scheduler, WorkerId};
    ///
    /// let mut scheduler = Scheduler::new();
    /// scheduler.step(Event::WorkerJoined { worker: WorkerId(1), slots: 4 });
    /// assert_eq!(scheduler.size().workers, 1);
    /// ```
    pub fn size(&self) -> Size {
        Size {
            datasets: self.datasets.len(),
            blocks: self.blocks.len(),
            runs: self.runs.len(),
            running: self.workers.running(),
            workers: self.workers.len(),
            kinds: self.history.len(),
            copies: self.copies.len(),
        }
    }
}
