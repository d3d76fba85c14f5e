//! A streaming program in miniature: which streams it has, and what is made from what.
//!
//! A partition is a number, made from the numbers that it is made from. Who reads a wrong block, or too few, or
//! one twice, makes a wrong number.

use std::hash::{DefaultHasher, Hash, Hasher};

use cutwater_core::{BlockId, ClientId, DatasetId};

use crate::dice::Dice;

/// One stream of a program, by what it is made from. Streams are meant by their place.
#[derive(Clone, Copy, Debug)]
pub enum Stream {
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
#[derive(Clone, Debug)]
pub struct Program {
    pub streams: Vec<Stream>,
    pub keeps: Vec<bool>,
    /// Streams whose datasets are wanted at every interval.
    outputs: Vec<usize>,
    /// How many sources receive.
    pub sources: u32,
    /// The one of them that clients send to.
    pub clients: Option<u32>,
}

/// What a dataset is, whatever a master calls it: the stream and the interval that it is of, and whether it is split
/// for a shuffle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Made(pub u64);

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
        Self { streams, keeps, outputs, sources, clients: None }
    }

    /// The same, and of what clients send there is a state.
    pub fn with_clients(mut self) -> Self {
        let (source, of) = (self.sources, self.streams.len());
        self.streams.extend([Stream::Received { source }, Stream::State { of, partitions: 2 }]);
        self.keeps.extend([false, true]);
        self.outputs.push(of + 1);
        Self { sources: source + 1, clients: Some(source), ..self }
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

    /// What may be made of interval `t` before those before it are over, since it follows from the interval alone: the write
    /// sides of the shuffles nearest to the sources, and what they are made from.
    pub fn begun_early(&self, t: u64) -> (Vec<Made>, Vec<Made>) {
        let is_of_interval = |mut at: usize| {
            while let Stream::Mapped { of } = self.streams[at] {
                at = of;
            }
            matches!(self.streams[at], Stream::Received { .. })
        };
        let alone = (0..self.streams.len()).filter(|at| is_of_interval(*at)).map(|at| Made::of(t, at));
        let splits = self.streams.iter().enumerate().filter_map(|(at, stream)| match stream {
            Stream::Reduced { of, .. } | Stream::State { of, .. } if is_of_interval(*of) => {
                Some(Made::split(t, at))
            }
            _ => None,
        });
        (alone.collect(), splits.collect())
    }

    /// The most datasets that an interval has.
    pub fn datasets_max(&self) -> usize {
        2 * self.streams.len()
    }

    /// What is wanted of interval `t`.
    pub fn wanted(&self, t: u64) -> impl Iterator<Item = Made> {
        self.outputs.iter().map(move |at| Made::of(t, *at))
    }

    /// The states of interval `t`.
    pub fn states(&self, t: u64) -> impl Iterator<Item = Made> {
        let states = (0..self.streams.len()).filter(|at| matches!(self.streams[*at], Stream::State { .. }));
        states.map(move |at| Made::of(t, at))
    }

    /// What may stay on workers of interval `t`.
    pub fn kept(&self, t: u64) -> impl Iterator<Item = Made> {
        (0..self.streams.len()).filter(|at| self.keeps[*at]).map(move |at| Made::of(t, at))
    }
}

/// Records that a task reads of each of its inputs.
pub const RECORDS: u64 = 20;

/// Names that an interval has at most.
pub const NAMES: u64 = 64;

/// Masters name things apart from each other's from here on: their names have the same lower bits.
pub const NAMED_APART_BITS: u32 = 40;

impl Made {
    /// The dataset of stream `at` at interval `t`.
    pub fn of(t: u64, at: usize) -> Self {
        Self(t * NAMES + 2 * at as u64 + 1)
    }

    /// The same, split for the shuffle that the stream reads from.
    pub fn split(t: u64, at: usize) -> Self {
        Self(t * NAMES + 2 * at as u64)
    }

    pub fn interval(self) -> u64 {
        self.0 / NAMES
    }

    /// Whether it is split for a shuffle, and combining leaves little of it before. It does for every other stream.
    pub fn is_combined(self) -> bool {
        self.0.is_multiple_of(4)
    }
}

/// What is added to the name of a dataset of an interval that was set aside: it is another one than was tried.
pub const ASIDE: u64 = NAMES / 2;

/// Whether a dataset is of an interval that was set aside.
pub fn is_aside(id: DatasetId) -> bool {
    id.0 % NAMES >= ASIDE
}

/// The interval that a dataset is of.
pub fn interval_of(id: DatasetId) -> u64 {
    (id.0 & ((1 << NAMED_APART_BITS) - 1)) / NAMES
}

/// What a received block holds. Two masters may have received different things under one name.
pub fn received(block: &BlockId, by: u32) -> u64 {
    if by == 0 { hash(block) } else { hash(&(block, by)) }
}

/// What a batch holds.
pub fn batch(client: ClientId, sequence: u64) -> u64 {
    hash(&(client, sequence))
}

/// What batches are together.
pub fn batches(of: &[u64]) -> u64 {
    hash(&of)
}

/// What a partition holds that is made from those.
pub fn made(what: Made, partition: u32, inputs: &[u64]) -> u64 {
    hash(&(what, partition, inputs))
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
