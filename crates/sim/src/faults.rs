//! What goes wrong, and when it may.

use cutwater_core::{BlockId, Event, WorkerId, limits};

use crate::{
    dice::Dice,
    master::Master,
    message::ToMaster,
    network::{MasterId, Node},
    simulation::{Setting, Simulation, What},
    worker::Worker,
};

/// One thing that goes wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// A worker process dies, and its connections with it.
    Kill,
    /// Nothing gets from the master to a worker, or back, or both, for a while that both survive.
    Interrupt { there: bool, back: bool },
    /// The same for so long that each thinks that the other is lost.
    CutOff { there: bool, back: bool },
    /// Nothing gets from one worker to another.
    Apart,
    /// Messages from one to another take longer.
    Delay,
    /// The tasks of a worker take ten times as long.
    Slow,
    /// A worker is asked to leave.
    Drain,
    /// One more worker joins.
    Join,
    /// A worker does not find something that it made.
    Vanish,
    /// A kept dataset is not wanted any longer.
    Unpersist,
    /// A master process dies, alone or with its machine.
    KillMaster { machine: bool },
    /// A master is stopped for a while, or all of them are, so that none takes over.
    Pause { all: bool },
    /// Nothing gets from a master to the store, or back, or both.
    NoStore { there: bool, back: bool },
    /// Whatever is asked of the store may fail, or seem to.
    StoreFails,
    /// Nothing gets from a client to its receiver, or back, or both.
    ClientApart,
    /// Nothing gets from one worker to another, until they think that the other is gone.
    ReceiversApart,
}

impl Fault {
    pub(crate) fn draw(dice: &mut Dice, setting: Setting) -> Self {
        if setting.clients && dice.one_in(5) {
            return if dice.one_in(2) { Self::ClientApart } else { Self::ReceiversApart };
        }
        if setting.takeovers && dice.one_in(4) {
            return match dice.below(10) {
                0..4 => Self::KillMaster { machine: dice.one_in(2) },
                4..7 => Self::Pause { all: setting.clients && dice.one_in(3) },
                7..9 => {
                    let there = dice.one_in(2);
                    Self::NoStore { there, back: !there || dice.one_in(2) }
                }
                _ => Self::StoreFails,
            };
        }
        match dice.below(40) {
            0..10 => Self::Kill,
            10..14 => {
                let there = dice.one_in(2);
                Self::Interrupt { there, back: !there || dice.one_in(2) }
            }
            14..18 => {
                let there = dice.one_in(2);
                Self::CutOff { there, back: !there || dice.one_in(2) }
            }
            18..21 => Self::Apart,
            21..25 => Self::Delay,
            25..30 => Self::Slow,
            30..33 => Self::Drain,
            33..35 => Self::Join,
            35..38 => Self::Vanish,
            _ => Self::Unpersist,
        }
    }
}

impl Simulation {
    pub(crate) fn strike(&mut self, fault: Fault) {
        if let Fault::KillMaster { .. } | Fault::Pause { .. } | Fault::NoStore { .. } | Fault::StoreFails =
            fault
        {
            return self.strike_master(fault);
        }
        let ids: Vec<WorkerId> = self.workers.keys().copied().filter(|id| *id != WorkerId::MASTER).collect();
        let Some(id) = self.dice.pick(&ids) else { return };
        let of = self.workers.get(&id).and_then(|worker| worker.master).unwrap_or(self.master.id);
        let (master, worker) = (Node::Master(of), Node::Worker(id));
        let now_ms = self.now_ms;
        self.log.say(now_ms, format_args!("{fault:?} {id}"));
        match fault {
            Fault::Kill if self.may_lose(id) => self.ends(id, "is killed"),
            // Whoever takes over does not wait so long for it.
            Fault::Interrupt { there, back } if self.is_here(of, id) || self.may_lose(id) => {
                if !self.is_here(of, id) {
                    self.doom(id);
                }
                let ms = self.dice.between(200..limits::SILENCE_MS_MAX - 2_000);
                self.close(&[(master, worker, there), (worker, master, back)], ms);
            }
            Fault::CutOff { there, back } if self.finds_back() || self.may_lose(id) => {
                self.doom(id);
                let ms = self.dice.between(limits::SILENCE_MS_MAX + 2_000..limits::SILENCE_MS_MAX + 6_000);
                self.close(&[(master, worker, there), (worker, master, back)], ms);
            }
            Fault::Apart => {
                if let Some(other) = self.dice.pick(&ids).filter(|other| *other != id) {
                    let ms = self.dice.between(100..4_000);
                    self.close(&[(worker, Node::Worker(other), true)], ms);
                }
            }
            Fault::ReceiversApart => {
                if let Some(other) = self.dice.pick(&ids).filter(|other| *other != id) {
                    let ms = self.dice.between(limits::SILENCE_MS_MAX..limits::SILENCE_MS_MAX + 3_000);
                    self.close(&[(worker, Node::Worker(other), true)], ms);
                }
            }
            Fault::ClientApart => {
                let client = Node::Client(self.dice.below(self.clients.all.len() as u64) as u32);
                let (there, ms) =
                    (self.dice.one_in(2), self.dice.between(100..limits::SILENCE_MS_MAX + 3_000));
                let back = !there || self.dice.one_in(2);
                self.close(&[(client, worker, there), (worker, client, back)], ms);
            }
            Fault::Delay => {
                let to = self.dice.pick(&ids).filter(|to| *to != id).map_or(master, Node::Worker);
                let (ms, for_ms) = (self.dice.between(20..400), self.dice.between(100..3_000));
                self.network.slow_down(worker, to, ms);
                self.at(now_ms + for_ms, What::Open(vec![(worker, to)]));
            }
            Fault::Slow => {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.slow = 10;
                }
                let for_ms = self.dice.between(500..6_000);
                self.at(now_ms + for_ms, What::Calm(id));
            }
            // Who is lost by now, or will be, is no one to hand anything over to.
            Fault::Drain
                if self.clients_may_lose(id, |other| self.stays(other))
                    // If all leave there is nobody to hand anything over to.
                    && (!self.setting.clients || ids.iter().any(|other| *other != id && self.stays(*other)))
                    && (self.setting.takeovers
                        || self.master.links.keys().all(|other| self.will_last(*other))) =>
            {
                if let Some(worker) = self.workers.get_mut(&id) {
                    worker.wants_to_leave = true;
                }
                self.tell_master(id, ToMaster::Draining);
            }
            Fault::Join if ids.len() < 7 => self.at(now_ms, What::Start),
            Fault::Vanish => {
                let Some(worker) = self.workers.get_mut(&id) else { return };
                let made = |block: &&BlockId| !matches!(block, BlockId::Input { .. });
                let blocks: Vec<BlockId> = worker.blocks.keys().filter(made).copied().collect();
                if let Some(block) = self.dice.pick(&blocks) {
                    worker.blocks.remove(&block);
                }
            }
            Fault::Unpersist => {
                let Some(interval) = self.master.first_open.checked_sub(2) else { return };
                if self.ended.contains(&self.master.id) || self.paused.contains_key(&self.master.id) {
                    return;
                }
                if interval >= self.master.horizon {
                    let ids: Vec<_> = self.master.described.names(interval);
                    if let Some(dataset) = self.dice.pick(&ids) {
                        self.step(Event::Unpersisted { dataset });
                    }
                }
            }
            // It would not be fair, or there are enough.
            _ => {}
        }
    }

    /// What goes wrong with masters may go wrong with any of them at any time.
    fn strike_master(&mut self, fault: Fault) {
        let all = self.masters.keys().copied().chain([self.master.id]);
        let ids: Vec<MasterId> = all.filter(|id| !self.ended.contains(id)).collect();
        let Some(id) = self.dice.pick(&ids) else { return };
        let now_ms = self.now_ms;
        self.log.say(now_ms, format_args!("{fault:?} {id}"));
        match fault {
            Fault::KillMaster { machine } => {
                self.turn(id);
                self.paused.remove(&id);
                if machine {
                    self.crashed.insert(id);
                }
                self.master_ends("is killed");
            }
            Fault::Pause { all } => {
                let most_ms = if all { limits::SILENCE_MS_MAX + 4_000 } else { 8_000 };
                let for_ms = self.dice.between(100..most_ms);
                for id in if all { ids } else { vec![id] } {
                    self.paused.entry(id).or_default();
                    self.at(now_ms + for_ms, What::Continue(id));
                }
            }
            Fault::NoStore { there, back } => {
                let ms = self.dice.between(200..6_000);
                self.close(
                    &[(Node::Master(id), Node::Store, there), (Node::Store, Node::Master(id), back)],
                    ms,
                );
            }
            Fault::StoreFails => self.store_fails_until_ms = now_ms + self.dice.between(100..2_000),
            _ => {}
        }
    }

    /// Whether whoever is lost to its master comes back, to it or to the one that takes over.
    fn finds_back(&self) -> bool {
        self.setting.clients || self.setting.takeovers
    }

    /// The worker will be lost to its master, and not come back.
    pub(crate) fn doom(&mut self, id: WorkerId) {
        if !self.finds_back() {
            self.doomed.insert(id);
        }
    }

    /// Whether every received block that is needed is left to somebody else.
    fn may_lose(&self, id: WorkerId) -> bool {
        if !self.clients_may_lose(id, |other| self.stays(other)) {
            return false;
        }
        if self.setting.takeovers {
            // What the master received is written down.
            return true;
        }
        let is_left = |other: &WorkerId| {
            let stays = self.master.links.get(other).is_some_and(|link| !link.leaving);
            *other != id && stays && self.will_last(*other)
        };
        self.needed_of(id).all(|(_, holders)| holders.iter().any(is_left))
    }

    fn is_here(&self, master: MasterId, id: WorkerId) -> bool {
        self.master_of(master).is_some_and(|master| master.links.contains_key(&id))
    }

    fn will_last(&self, id: WorkerId) -> bool {
        self.workers.contains_key(&id) && !self.doomed.contains(&id)
    }

    /// It will last, and wants to.
    fn stays(&self, id: WorkerId) -> bool {
        let leaves = |master: &Master| master.links.get(&id).is_some_and(|link| link.leaving);
        // Without a master, who is found by none ends in time.
        let is_named = |worker: &Worker| {
            worker.names_before.iter().chain([&id]).any(|name| self.store.lease_names(*name))
        };
        let has_master = |worker: &Worker| worker.master.is_some() || is_named(worker);
        let is_found =
            self.workers.get(&id).is_some_and(|worker| has_master(worker) && !worker.wants_to_leave);
        self.will_last(id) && is_found && !self.masters.values().chain([&self.master]).any(leaves)
    }

    fn close(&mut self, ways: &[(Node, Node, bool)], for_ms: u64) {
        let ways = ways.iter().filter(|(.., closes)| *closes).map(|(from, to, _)| (*from, *to));
        let ways: Vec<(Node, Node)> = ways.collect();
        for (from, to) in &ways {
            self.network.close(*from, *to);
        }
        self.at(self.now_ms + for_ms, What::Open(ways));
    }
}
