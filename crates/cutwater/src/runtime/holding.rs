use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;
use crossbeam_channel::Sender;
use cutwater_core::{BlockId, WorkerId, limits};
use cutwater_wire::message::ToWorker;

use super::link::Link;

/// Received blocks on their way to the workers that are to hold them.
///
/// Properties:
/// - a block goes to two workers, or to as many as there are if there are fewer;
/// - whoever received it waits until all of them hold it;
/// - a worker that is lost meanwhile is replaced, and without any worker the block waits for one.
///
/// Only the master's thread touches it. If the process dies, nobody was told that the blocks are safe.
#[derive(Default)]
pub(super) struct Holding {
    blocks: HashMap<BlockId, Block>,
    /// How many blocks each waiting thread waits for.
    waiting: HashMap<u64, (usize, Sender<()>)>,
    begun: u64,
    /// Workers that want to leave, to whom nothing is given while there are others.
    leaving: BTreeSet<WorkerId>,
    /// Those of them of which the scheduler has heard.
    asked_to_drain: BTreeSet<WorkerId>,
    /// Those of them that were told that they may: what they still say that they hold is as good as lost.
    released: BTreeSet<WorkerId>,
    /// Whose turn it is to hold a block first, so that all hold as many.
    turn: usize,
}

struct Block {
    bytes: Bytes,
    /// Who has been sent it and has not answered.
    asked: BTreeSet<WorkerId>,
    held: BTreeSet<WorkerId>,
    for_whom: u64,
}

impl Holding {
    pub fn begin(
        &mut self,
        blocks: Vec<(BlockId, Bytes)>,
        reply: Sender<()>,
        links: &BTreeMap<WorkerId, Link>,
    ) {
        if blocks.is_empty() {
            let _ = reply.send(());
            return;
        }
        self.begun += 1;
        self.waiting.insert(self.begun, (blocks.len(), reply));
        for (id, bytes) in blocks {
            let (asked, held) = Default::default();
            let mut block = Block { bytes, asked, held, for_whom: self.begun };
            self.turn += 1;
            block.ask(id, self.turn, links, &self.leaving, &self.released);
            self.blocks.insert(id, block);
        }
    }

    /// The worker holds it; answers with how many bytes it was sent.
    pub fn held(&mut self, worker: WorkerId, id: BlockId) -> u64 {
        let Some(block) = self.blocks.get_mut(&id).filter(|_| !self.released.contains(&worker)) else {
            return 0;
        };
        let bytes = block.bytes.len() as u64;
        block.asked.remove(&worker);
        block.held.insert(worker);
        self.finish(id);
        bytes
    }

    pub fn joined(&mut self, links: &BTreeMap<WorkerId, Link>) {
        for (id, block) in self.blocks.iter_mut().filter(|(_, block)| block.asked.is_empty()) {
            self.turn += 1;
            block.ask(*id, self.turn, links, &self.leaving, &self.released);
        }
    }

    /// Whether a block waits for a worker to come, since there is none that could hold it.
    pub fn lacks_workers(&self) -> bool {
        self.blocks.values().any(|block| block.asked.is_empty() && block.held.is_empty())
    }

    pub fn leaves(&mut self, worker: WorkerId) {
        self.leaving.insert(worker);
    }

    /// Workers that want to leave and have said of all blocks that they were sent that they hold them. Others
    /// have to, and cannot know of a block that is on its way. There may be other reasons why one may not yet.
    pub fn ready_to_leave(&mut self, may_leave: impl Fn(WorkerId) -> bool) -> Vec<WorkerId> {
        let waits = |worker: &WorkerId| self.blocks.values().any(|block| block.asked.contains(worker));
        let ready = self.leaving.iter().filter(|worker| !self.asked_to_drain.contains(worker));
        let ready = ready.filter(|worker| !waits(worker) && may_leave(**worker));
        let ready: Vec<WorkerId> = ready.copied().collect();
        self.asked_to_drain.extend(&ready);
        ready
    }

    /// Those that were ready to leave and have been asked something since. They are ready once more later.
    pub fn wait_again(&mut self, may_leave: impl Fn(WorkerId) -> bool) -> Vec<WorkerId> {
        self.asked_to_drain.extract_if(.., |worker| !may_leave(*worker)).collect()
    }

    pub fn released(&mut self, worker: WorkerId) {
        self.released.insert(worker);
    }

    /// Whether it was told that it may leave.
    pub fn is_released(&self, worker: WorkerId) -> bool {
        self.released.contains(&worker)
    }

    pub fn lost(&mut self, worker: WorkerId, links: &BTreeMap<WorkerId, Link>) {
        self.leaving.remove(&worker);
        self.released.remove(&worker);
        self.asked_to_drain.remove(&worker);
        let mut done = Vec::new();
        for (id, block) in &mut self.blocks {
            block.held.remove(&worker);
            if block.asked.remove(&worker) {
                self.turn += 1;
                block.ask(*id, self.turn, links, &self.leaving, &self.released);
            }
            done.push(*id);
        }
        done.into_iter().for_each(|id| self.finish(id));
    }

    /// Nobody is waited for any longer, and somebody holds it.
    fn finish(&mut self, id: BlockId) {
        let Some(block) = self.blocks.get(&id).filter(|b| b.asked.is_empty() && !b.held.is_empty()) else {
            return;
        };
        let for_whom = block.for_whom;
        self.blocks.remove(&id);
        if let Some((left, reply)) = self.waiting.get_mut(&for_whom) {
            *left -= 1;
            if *left == 0 {
                // Whoever waited may have given up.
                let _ = reply.send(());
                self.waiting.remove(&for_whom);
            }
        }
    }
}

impl Block {
    /// Sends it to as many workers as still have to hold it, beginning with the one whose turn it is.
    fn ask(
        &mut self,
        id: BlockId,
        turn: usize,
        links: &BTreeMap<WorkerId, Link>,
        leaving: &BTreeSet<WorkerId>,
        released: &BTreeSet<WorkerId>,
    ) {
        let free = |worker: &WorkerId| {
            !self.asked.contains(worker) && !self.held.contains(worker) && !released.contains(worker)
        };
        let workers = || links.iter().filter(|(_, link)| link.is_worker()).map(|(id, _)| *id);
        let mut candidates: Vec<WorkerId> = workers().filter(free).collect();
        if workers().any(|worker| !leaving.contains(&worker)) {
            candidates.retain(|worker| !leaving.contains(worker));
        }
        let missing = limits::REPLICAS.saturating_sub(self.asked.len() + self.held.len());
        let begin = turn % candidates.len().max(1);
        for worker in candidates.iter().cycle().skip(begin).take(missing.min(candidates.len())) {
            if let Some(link) = links.get(worker) {
                link.tell_away(ToWorker::Hold(id, self.bytes.clone()));
                self.asked.insert(*worker);
            }
        }
    }
}
