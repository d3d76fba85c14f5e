//! Workers that want to leave.

use crate::{WorkerId, limits};

use super::{Command, Scheduler};

impl Scheduler {
    /// It gets no more tasks, what runs there runs on, and what only it holds is copied to others.
    pub(super) fn worker_draining(&mut self, worker: WorkerId) {
        if self.workers.drain(worker) {
            self.draining.insert(worker, self.now_ms + limits::DRAIN_MS_MAX);
            for unit in self.blocks.held_by(worker) {
                self.copies.consider(unit);
            }
        }
    }

    /// Lets those go that nobody needs any longer, and those that have taken too long.
    pub(super) fn let_go_drained(&mut self) {
        if self.draining.is_empty() {
            return;
        }
        let (workers, copies, blocks) = (&self.workers, &self.copies, &self.blocks);
        let is_done = |worker| workers.is_idle(worker) && !copies.wait_for(worker, blocks);
        let now_ms = self.now_ms;
        let gone: Vec<WorkerId> = self
            .draining
            .iter()
            .filter(|(worker, until_ms)| now_ms >= **until_ms || is_done(**worker))
            .map(|(worker, _)| *worker)
            .collect();
        for worker in gone {
            self.draining.remove(&worker);
            self.workers.release_worker(worker);
            self.commands.push(Command::ReleaseWorker { worker });
        }
    }
}
