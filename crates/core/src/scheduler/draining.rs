//! Workers that want to leave.

use crate::{WorkerId, limits};

use super::{Command, Scheduler};

/// A worker that wants to leave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Draining {
    /// It need not stay longer.
    until_ms: u64,
    /// It is yet to say what it holds.
    is_asked: bool,
}

impl Scheduler {
    /// It gets no more tasks, what runs there runs on, and what only it holds is copied to others.
    pub(super) fn worker_draining(&mut self, worker: WorkerId) {
        if self.workers.drain(worker) {
            let until_ms = self.now_ms + limits::DRAIN_MS_MAX;
            self.draining.insert(worker, Draining { until_ms, is_asked: false });
        }
        if let Some(draining) = self.draining.get_mut(&worker) {
            draining.is_asked = false;
            for unit in self.blocks.held_by(worker) {
                self.copies.consider(unit);
            }
        }
    }

    /// What it is going to say may be something that only it holds.
    pub(super) fn worker_asked(&mut self, worker: WorkerId) {
        if let Some(draining) = self.draining.get_mut(&worker) {
            draining.is_asked = true;
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
            .filter(|(worker, draining)| {
                now_ms >= draining.until_ms || (!draining.is_asked && is_done(**worker))
            })
            .map(|(worker, _)| *worker)
            .collect();
        for worker in gone {
            self.draining.remove(&worker);
            self.workers.release_worker(worker);
            self.commands.push(Command::ReleaseWorker { worker });
        }
    }
}
