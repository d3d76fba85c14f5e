//! Random programs and random faults: whatever happens, every job ends with the right result,
//! every slot comes back and no block is left behind.

use std::sync::Arc;

use cutwater_core::{BlockId, Dataset, DatasetId, Event, JobId, PartitionMap, Shape, WorkerId, limits};
use proptest::prelude::*;

use crate::{script::*, world::World};

/// It receives blocks, has no slots and is never lost: received blocks cannot be made again.
const RECEIVER: WorkerId = WorkerId(0);

/// Draws numbers, always the same after the same seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((bits ^ (bits >> 31)) % bound as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }
}

/// The program, which makes datasets from datasets, and the faults.
struct Simulation {
    world: World,
    dice: Dice,
    /// Datasets of records that the program has not forgotten.
    usable: Vec<Dataset>,
    next_dataset: u64,
    next_job: u64,
    next_worker: u32,
    next_input: u64,
    forgotten: u64,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let mut world = World::default();
        world.join(RECEIVER, 0);
        let mut simulation = Self {
            world,
            dice: Dice(seed),
            usable: Vec::new(),
            next_dataset: 0,
            next_job: 0,
            next_worker: 1,
            next_input: 0,
            forgotten: 0,
        };
        for _ in 0..3 {
            simulation.join();
        }
        simulation
    }

    fn join(&mut self) {
        let slots = 1 + self.dice.below(3) as u32;
        self.world.join(WorkerId(self.next_worker), slots);
        self.next_worker += 1;
    }

    fn name(&mut self) -> u64 {
        self.next_dataset += 1;
        self.next_dataset
    }

    fn pick(&mut self) -> Dataset {
        let at = self.dice.below(self.usable.len());
        self.usable[at].clone()
    }

    /// Datasets that make one more usable one; that is the last.
    fn more_datasets(&mut self) -> Vec<Dataset> {
        let kind = if self.usable.is_empty() { 0 } else { self.dice.below(8) };
        let partitions = 1 + self.dice.below(4) as u32;
        let mut made = match kind {
            0 => vec![source(self.name(), partitions)],
            1 => {
                let mut dataset = received(self.name(), partitions);
                for split in Arc::make_mut(&mut dataset.splits) {
                    split.blocks = vec![input(self.next_input)];
                    self.world.hold(RECEIVER, input(self.next_input));
                    self.next_input += 1;
                }
                vec![dataset]
            }
            2 => {
                let parent = self.pick();
                vec![mapped(self.name(), parent.partitions, parent.id.0)]
            }
            3 => {
                let (left, right) = (self.pick(), self.pick());
                let parents = vec![
                    narrow(left.id.0, PartitionMap::Same),
                    narrow(right.id.0, PartitionMap::Shift(left.partitions)),
                ];
                vec![made(self.name(), left.partitions + right.partitions, parents)]
            }
            4 => {
                let parent = self.pick();
                vec![made(self.name(), 2, vec![narrow(parent.id.0, PartitionMap::Coalesce(2))])]
            }
            5 | 6 => {
                let parent = self.pick();
                let pieces = split(self.name(), parent.partitions, parent.id.0, partitions);
                let reduced = reduced(self.name(), partitions, pieces.id.0);
                vec![pieces, reduced]
            }
            _ => {
                // A state: as it was, and what is new for it.
                let (before, new) = (self.pick(), self.pick());
                let pieces = split(self.name(), new.partitions, new.id.0, before.partitions);
                let parents = vec![narrow(before.id.0, PartitionMap::Same), shuffle(pieces.id.0)];
                vec![pieces, kept(made(self.name(), before.partitions, parents))]
            }
        };
        if let Some(last) = made.last_mut() {
            // A union of unions would soon have more partitions than a test wants to see.
            last.keep |= self.dice.one_in(3);
            if last.partitions < 9 {
                self.usable.push(last.clone());
            }
        }
        made
    }

    fn submit(&mut self) {
        let mut datasets = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            datasets.extend(self.more_datasets());
        }
        let target = datasets.last().map(|dataset| dataset.id).expect("it made some");
        self.next_job += 1;
        self.world.submit(JobId(self.next_job), datasets.into_iter().map(Arc::new).collect(), target);
    }

    /// Datasets of which one is split for a shuffle, which some job may read later.
    fn expect(&mut self) {
        let mut datasets = Vec::new();
        for _ in 0..1 + self.dice.below(3) {
            datasets.extend(self.more_datasets());
        }
        let pieces = |dataset: &&Dataset| matches!(dataset.shape, Shape::Pieces(_));
        let targets = datasets.iter().filter(pieces).map(|dataset| dataset.id).collect();
        self.next_job += 1;
        let urgency = JobId::ahead(self.next_job);
        self.world.expect(urgency, datasets.into_iter().map(Arc::new).collect(), targets);
    }

    fn complete_one(&mut self) {
        if !self.world.launched.is_empty() {
            let (at, twice) = (self.dice.below(self.world.launched.len()), self.dice.one_in(10));
            let stops = !self.dice.one_in(3);
            self.world.complete(at, twice, stops);
        }
    }

    fn copy_one(&mut self, may_fail: bool) {
        if !self.world.copies.is_empty() {
            let (at, fails) = (self.dice.below(self.world.copies.len()), may_fail && self.dice.one_in(5));
            self.world.copy(at, fails);
        }
    }

    /// Now a moment passes, now so long that whatever runs is late.
    fn time_passes(&mut self) {
        let ms = if self.dice.one_in(2) { 10 } else { self.dice.below(5_000) as u64 };
        self.world.pass(ms);
    }

    /// Whoever may leave does, sooner or later.
    fn one_leaves(&mut self) {
        if let Some(worker) = self.world.released.first().copied() {
            self.world.lose(worker);
        }
    }

    fn something_happens(&mut self) {
        match self.dice.below(100) {
            0..16 => self.submit(),
            16..20 => self.expect(),
            20..62 => self.complete_one(),
            62..70 => self.time_passes(),
            70..76 => self.copy_one(true),
            76..78 => self.one_leaves(),
            78..80 => {
                let workers: Vec<_> = self.world.workers.keys().skip(1).copied().collect();
                if !workers.is_empty() {
                    let worker = workers[self.dice.below(workers.len())];
                    self.world.step(Event::WorkerDraining { worker });
                }
            }
            80..84 => {
                let at = self.dice.below(self.world.launched.len().max(1));
                // Only first attempts, so that no task fails too often.
                if self.world.launched.get(at).is_some_and(|(_, task)| task.attempt.number == 0) {
                    self.world.fail(at, external());
                }
            }
            84..88 => {
                let workers: Vec<_> = self.world.workers.keys().skip(1).copied().collect();
                if !workers.is_empty() {
                    self.world.lose(workers[self.dice.below(workers.len())]);
                }
            }
            88..92 => self.join(),
            92..94 => self.a_block_vanishes(),
            94..96 => {
                let running: Vec<_> =
                    self.world.jobs.iter().filter(|(_, job)| !job.is_over).map(|(id, _)| *id).collect();
                if !running.is_empty() {
                    self.world.cancel(running[self.dice.below(running.len())]);
                }
            }
            96..98 => {
                if !self.usable.is_empty() {
                    let dataset = self.pick().id;
                    self.world.step(Event::Unpersisted { dataset });
                }
            }
            _ => self.forget_all(),
        }
    }

    /// Without anybody noticing, until somebody wants to read it.
    fn a_block_vanishes(&mut self) {
        let mut blocks = Vec::new();
        for (worker, at) in self.world.workers.iter().skip(1) {
            blocks.extend(at.blocks.keys().map(|block| (*worker, *block)));
        }
        if !blocks.is_empty() {
            let (worker, block) = blocks[self.dice.below(blocks.len())];
            if let Some(at) = self.world.workers.get_mut(&worker) {
                at.blocks.remove(&block);
            }
        }
    }

    /// The program goes on with new datasets; jobs that are running may still need the old ones.
    fn forget_all(&mut self) {
        self.usable.clear();
        let datasets = (self.forgotten + 1..=self.next_dataset).map(DatasetId).collect();
        self.forgotten = self.next_dataset;
        self.world.step(Event::Forgotten { datasets });
    }

    /// Nothing more goes wrong: then everything has to come right.
    fn come_right(mut self) -> World {
        self.join();
        let mut reports = 0;
        while !self.world.launched.is_empty() || !self.world.copies.is_empty() {
            self.complete_one();
            self.copy_one(false);
            reports += 1;
            assert!(reports < 20_000, "the scheduler goes round in circles");
        }
        // Who was slow is forgiven, and who wants to leave is not held back for ever.
        self.world.pass(limits::AVOIDED_MS_MAX + limits::DRAIN_MS_MAX);
        while !self.world.released.is_empty() {
            self.one_leaves();
        }
        for (id, job) in &self.world.jobs {
            assert!(job.is_over, "{id} never ends");
        }
        self.forget_all();
        for (id, worker) in self.world.workers.iter().skip(1) {
            let mut left = worker.blocks.keys().filter(|block| !matches!(block, BlockId::Input { .. }));
            assert_eq!(left.next(), None, "{id} is left with it");
        }
        assert_eq!(self.world.runs(), 0, "nothing is run for nobody");
        let mut left = self.world.datasets.keys().filter(|id| !self.world.let_go.contains(id));
        assert_eq!(left.next(), None, "it is let go");
        self.all_slots_are_there();
        self.world
    }

    fn all_slots_are_there(&mut self) {
        let slots = self.world.workers.values().map(|worker| worker.slots).sum::<usize>();
        let all = source(self.name(), slots as u32 + 1);
        self.next_job += 1;
        let target = all.id;
        self.world.submit(JobId(self.next_job), vec![Arc::new(all)], target);
        assert_eq!(self.world.launched.len(), slots, "capacity before is capacity after");
    }
}

fn simulate(seed: u64, steps: usize) -> World {
    let mut simulation = Simulation::new(seed);
    for _ in 0..steps {
        simulation.something_happens();
    }
    simulation.come_right()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn every_job_ends_right_whatever_fails(seed: u64, steps in 1..300_usize) {
        simulate(seed, steps);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    // Each run has hash maps with seeds of their own, so that an order that escapes them shows.
    #[test]
    fn the_same_seed_gives_the_same_commands(seed: u64) {
        let (first, second) = (simulate(seed, 100), simulate(seed, 100));
        prop_assert_eq!(first.log, second.log);
    }
}

#[test]
fn received_blocks_are_not_touched_by_what_is_forgotten() {
    let world = simulate(7, 200);
    let received = |block: &BlockId| matches!(block, BlockId::Input { .. });
    assert!(world.workers[&RECEIVER].blocks.keys().all(received));
}
