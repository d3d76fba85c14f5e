//! A streaming program in miniature: what datasets it has at each interval, and what they hold.
//!
//! A partition is a number, made from the numbers that it is made from. Who reads a wrong block, or too few, or
//! one twice, makes a wrong number.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use cutwater_core::{BlockId, Dataset, DatasetId, OpId, Parent, PartitionMap, Shape, Split};

use crate::dice::Dice;

/// One stream of a program, by what it is made from. Streams are meant by their place.
#[derive(Clone, Copy, Debug)]
enum Stream {
    /// What a source received, a partition for each block.
    Received { source: u32 },
    /// Partition by partition.
    Mapped { of: usize },
    /// Across a shuffle.
    Reduced { of: usize, partitions: u32 },
    /// Its own state of the interval before, and what is new for it across a shuffle.
    State { of: usize, partitions: u32 },
    /// Another stream's partitions of the last intervals.
    Window { of: usize, intervals: u64 },
}

/// A program of some streams, drawn at random.
#[derive(Debug)]
pub struct Program {
    streams: Vec<Stream>,
    keeps: Vec<bool>,
    /// Streams whose datasets are wanted at every interval.
    outputs: Vec<usize>,
    /// How many sources receive.
    pub sources: u32,
    described: HashMap<DatasetId, Arc<Dataset>>,
    values: HashMap<(DatasetId, u32), u64>,
}

/// Names that an interval has at most.
const NAMES: u64 = 64;

impl Program {
    /// A program of up to ten streams.
    pub fn draw(dice: &mut Dice) -> Self {
        let sources = 1 + dice.below(2) as u32;
        let mut streams: Vec<Stream> = (0..sources).map(|source| Stream::Received { source }).collect();
        for _ in 0..dice.between(2..8) {
            let of = dice.below(streams.len() as u64) as usize;
            let partitions = dice.between(1..6) as u32;
            streams.push(match dice.below(8) {
                0 | 1 => Stream::Mapped { of },
                2 | 3 => Stream::Reduced { of, partitions },
                4..7 => Stream::State { of, partitions },
                _ if matches!(streams[of], Stream::Window { .. }) => Stream::Mapped { of },
                _ => Stream::Window { of, intervals: dice.between(2..5) },
            });
        }
        let mut keeps: Vec<bool> = streams.iter().map(|_| dice.one_in(5)).collect();
        let mut outputs = vec![streams.len() - 1];
        for (at, stream) in streams.iter().enumerate() {
            match stream {
                Stream::State { .. } => {
                    keeps[at] = true;
                    outputs.push(at);
                }
                Stream::Window { of, .. } => keeps[*of] = true,
                _ => {}
            }
        }
        outputs.sort_unstable();
        outputs.dedup();
        Self { streams, keeps, outputs, sources, described: HashMap::new(), values: HashMap::new() }
    }

    /// How many intervals before an interval it may still look at, besides its state.
    pub fn looks_back(&self) -> u64 {
        // A window may be over what is made from another.
        let windows = self.streams.iter().map(|stream| match stream {
            Stream::Window { intervals, .. } => *intervals - 1,
            _ => 0,
        });
        1 + windows.sum::<u64>()
    }

    /// The most datasets that an interval has.
    pub fn datasets_max(&self) -> usize {
        2 * self.streams.len()
    }

    /// The datasets of interval `t`, parents first, given the blocks that were received.
    pub fn describe(&mut self, t: u64, received: &[Vec<BlockId>]) -> Vec<Arc<Dataset>> {
        let first = self.described.len();
        let mut datasets = Vec::new();
        for at in 0..self.streams.len() {
            let (id, op) = (name(t, at, 1), OpId(2 * at as u64 + 1));
            let mut dataset = Dataset {
                id,
                op,
                partitions: 0,
                parents: Vec::new(),
                splits: [].into(),
                shape: Shape::Records,
                keep: self.keeps[at],
                label: format!("stream {at}").into(),
            };
            match self.streams[at] {
                Stream::Received { source } => {
                    let blocks = &received[source as usize];
                    dataset.partitions = blocks.len() as u32;
                    dataset.splits = blocks
                        .iter()
                        .map(|block| Split { blocks: vec![*block], ..Split::default() })
                        .collect();
                }
                Stream::Mapped { of } => {
                    dataset.partitions = self.partitions(t, of);
                    dataset.parents = vec![same(name(t, of, 1))];
                }
                Stream::Reduced { of, partitions } => {
                    dataset.partitions = partitions;
                    dataset.parents = vec![self.split(t, at, of, partitions, &mut datasets)];
                }
                Stream::State { of, partitions } => {
                    dataset.partitions = partitions;
                    if t > 0 {
                        dataset.parents.push(same(name(t - 1, at, 1)));
                    }
                    dataset.parents.push(self.split(t, at, of, partitions, &mut datasets));
                }
                Stream::Window { of, intervals } => {
                    for s in t.saturating_sub(intervals - 1)..=t {
                        let map = PartitionMap::Shift(dataset.partitions);
                        dataset.parents.push(Parent::Narrow { dataset: name(s, of, 1), map });
                        dataset.partitions += self.partitions(s, of);
                    }
                }
            }
            self.add(dataset, &mut datasets);
        }
        debug_assert_eq!(self.described.len() - first, datasets.len());
        datasets
    }

    /// What is wanted of interval `t`.
    pub fn wanted(&self, t: u64) -> Vec<DatasetId> {
        self.outputs.iter().map(|at| name(t, *at, 1)).collect()
    }

    /// The states of interval `t`.
    pub fn states(&self, t: u64) -> Vec<Arc<Dataset>> {
        let states = (0..self.streams.len()).filter(|at| matches!(self.streams[*at], Stream::State { .. }));
        states.map(|at| self.described[&name(t, at, 1)].clone()).collect()
    }

    /// The datasets of interval `t`.
    pub fn names(&self, t: u64) -> Vec<DatasetId> {
        (t * NAMES..(t + 1) * NAMES).map(DatasetId).filter(|id| self.described.contains_key(id)).collect()
    }

    /// A dataset as the program described it.
    pub fn dataset(&self, id: DatasetId) -> &Arc<Dataset> {
        &self.described[&id]
    }

    /// What a partition is when nothing ever fails.
    pub fn right(&mut self, id: DatasetId, partition: u32) -> u64 {
        if let Some(value) = self.values.get(&(id, partition)) {
            return *value;
        }
        let dataset = self.described[&id].clone();
        let blocks = dataset.splits.get(partition as usize).into_iter().flat_map(|split| &split.blocks);
        let mut inputs: Vec<u64> = blocks.map(received).collect();
        for parent in &dataset.parents {
            let from = parent.dataset();
            let partitions = self.described[&from].partitions;
            match parent {
                Parent::Narrow { map, .. } => {
                    inputs.extend(map.of(partition, partitions).map(|partition| self.right(from, partition)));
                }
                Parent::Shuffle { .. } => {
                    inputs.extend((0..partitions).map(|map| piece(self.right(from, map), partition)));
                }
            }
        }
        let value = made(id, partition, &inputs);
        self.values.insert((id, partition), value);
        value
    }

    /// A dataset beside the program that is made from nothing.
    pub fn plain(&mut self, partitions: u32) -> Arc<Dataset> {
        let dataset = Arc::new(Dataset {
            id: DatasetId(u64::MAX),
            op: OpId(u64::MAX),
            partitions,
            parents: Vec::new(),
            splits: vec![Split::default(); partitions as usize].into(),
            shape: Shape::Records,
            keep: false,
            label: "as many tasks as there are slots".into(),
        });
        self.described.insert(dataset.id, dataset.clone());
        dataset
    }

    fn split(
        &mut self,
        t: u64,
        at: usize,
        of: usize,
        partitions: u32,
        datasets: &mut Vec<Arc<Dataset>>,
    ) -> Parent {
        let (id, op) = (name(t, at, 0), OpId(2 * at as u64));
        let pieces = Dataset {
            id,
            op,
            partitions: self.partitions(t, of),
            parents: vec![same(name(t, of, 1))],
            splits: [].into(),
            shape: Shape::Pieces(partitions),
            keep: false,
            label: format!("split for stream {at}").into(),
        };
        self.add(pieces, datasets);
        Parent::Shuffle { dataset: id }
    }

    fn add(&mut self, dataset: Dataset, datasets: &mut Vec<Arc<Dataset>>) {
        let dataset = Arc::new(dataset);
        self.described.insert(dataset.id, dataset.clone());
        datasets.push(dataset);
    }

    fn partitions(&self, t: u64, at: usize) -> u32 {
        self.described[&name(t, at, 1)].partitions
    }
}

fn name(t: u64, at: usize, part: u64) -> DatasetId {
    DatasetId(t * NAMES + 2 * at as u64 + part)
}

/// The interval that a dataset is of.
pub fn interval_of(id: DatasetId) -> u64 {
    id.0 / NAMES
}

fn same(dataset: DatasetId) -> Parent {
    Parent::Narrow { dataset, map: PartitionMap::Same }
}

/// What a received block holds.
pub fn received(block: &BlockId) -> u64 {
    hash(block)
}

/// What a partition holds that is made from those.
pub fn made(id: DatasetId, partition: u32, inputs: &[u64]) -> u64 {
    hash(&(id, partition, inputs))
}

/// What a partition writes for one of the other side.
pub fn piece(value: u64, reduce: u32) -> u64 {
    hash(&(value, reduce))
}

fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
