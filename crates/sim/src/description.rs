//! A program as one master describes it, and as a reference that nothing happens to does.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use cutwater_core::{BlockId, Dataset, DatasetId, OpId, Parent, PartitionMap, Shape, Split, Stage};

use crate::{
    program::{self, ASIDE, Made, NAMED_APART_BITS, NAMES, Program, Stream},
    store::File,
};

/// The datasets of a program under the names that a master gives them.
#[derive(Debug, Default)]
pub struct Description {
    first_name: u64,
    /// Names that masters before gave, under which workers may hold something.
    named: BTreeMap<Made, DatasetId>,
    /// States that were written down: under which name, and in how many partitions.
    files: BTreeMap<Made, (File, u32)>,
    /// Intervals that were set aside.
    aside: BTreeSet<u64>,
    datasets: BTreeMap<Made, Arc<Dataset>>,
    made: HashMap<DatasetId, Made>,
}

/// What a worker has to know of a stage beside what the stage says: of each dataset in it or read by it, what it is and
/// how many partitions it has.
#[derive(Debug)]
pub struct Plan {
    pub stage: Arc<Stage>,
    pub known: BTreeMap<DatasetId, (Made, u32)>,
}

impl Description {
    /// One that gives names from `ordinal`, the number of masters before, on.
    pub fn new(ordinal: u64) -> Self {
        Self { first_name: ordinal << NAMED_APART_BITS, ..Self::default() }
    }

    /// The dataset has this name, since workers may hold it under that.
    pub fn call(&mut self, what: Made, name: DatasetId) {
        self.named.insert(what, name);
    }

    /// The names that masters before gave.
    pub fn called(&self) -> impl Iterator<Item = DatasetId> {
        self.named.values().copied()
    }

    /// Those of intervals before `t` that were not described.
    pub fn called_before(&self, t: u64) -> Vec<DatasetId> {
        let before = self.named.range(..Made(t.saturating_mul(NAMES)));
        before.filter(|(what, _)| !self.datasets.contains_key(what)).map(|(_, name)| *name).collect()
    }

    /// The interval was set aside: for those after it, it has no records, and what is made of it is called otherwise.
    pub fn set_aside(&mut self, t: u64) {
        self.aside.insert(t);
    }

    /// The state is read from files that were written under this name.
    pub fn read_from(&mut self, what: Made, file: File, partitions: u32) {
        self.files.insert(what, (file, partitions));
    }

    /// The datasets of interval `t` that can be described, parents first, given the blocks that were received. Of
    /// intervals before all that the program begins with some cannot be, and nobody asks for them.
    pub fn describe(&mut self, program: &Program, t: u64, received: &[Vec<Split>]) -> Vec<Arc<Dataset>> {
        let mut datasets = Vec::new();
        for at in 0..program.streams.len() {
            let what = Made::of(t, at);
            let mut dataset = Dataset {
                id: self.name(what),
                op: OpId(2 * at as u64 + 1),
                partitions: 0,
                parents: Vec::new(),
                splits: [].into(),
                shape: Shape::Records,
                keep: program.keeps[at],
                label: format!("stream {at}").into(),
            };
            if let Some((file, partitions)) = self.files.get(&what) {
                dataset.partitions = *partitions;
                dataset.splits = reading(*file, *partitions);
                self.add(what, dataset, &mut datasets);
                continue;
            }
            let of = match program.streams[at] {
                Stream::Received { .. } => None,
                Stream::Mapped { of }
                | Stream::Reduced { of, .. }
                | Stream::State { of, .. }
                | Stream::Window { of, .. } => Some(of),
            };
            if of.is_some_and(|of| !self.datasets.contains_key(&Made::of(t, of))) {
                continue;
            }
            match program.streams[at] {
                Stream::Received { source } => {
                    let splits = &received[source as usize];
                    dataset.partitions = splits.len() as u32;
                    dataset.splits = splits.as_slice().into();
                }
                Stream::Mapped { of } => {
                    dataset.partitions = self.partitions(Made::of(t, of));
                    dataset.parents = vec![same(self.name(Made::of(t, of)))];
                }
                Stream::Reduced { of, partitions } => {
                    dataset.partitions = partitions;
                    dataset.parents = vec![self.split(t, at, of, partitions, &mut datasets)];
                }
                Stream::State { of, partitions } => {
                    dataset.partitions = partitions;
                    if t > 0 {
                        let before = Made::of(t - 1, at);
                        if !self.datasets.contains_key(&before) {
                            continue;
                        }
                        dataset.parents.push(same(self.name(before)));
                    }
                    dataset.parents.push(self.split(t, at, of, partitions, &mut datasets));
                }
                Stream::Window { of, intervals } => {
                    let range = t.saturating_sub(intervals - 1)..=t;
                    if range.clone().any(|s| !self.datasets.contains_key(&Made::of(s, of))) {
                        continue;
                    }
                    for s in range {
                        let map = PartitionMap::Shift(dataset.partitions);
                        dataset.parents.push(Parent::Narrow { dataset: self.name(Made::of(s, of)), map });
                        dataset.partitions += self.partitions(Made::of(s, of));
                    }
                }
            }
            self.add(what, dataset, &mut datasets);
        }
        datasets
    }

    /// What the dataset is called.
    pub fn name(&self, what: Made) -> DatasetId {
        let aside = if self.aside.contains(&what.interval()) { ASIDE } else { 0 };
        self.named.get(&what).copied().unwrap_or(DatasetId(self.first_name + what.0 + aside))
    }

    /// A dataset as it was described.
    pub fn get(&self, what: Made) -> Option<&Arc<Dataset>> {
        self.datasets.get(&what)
    }

    /// What is called so.
    pub fn what(&self, name: DatasetId) -> Option<Made> {
        self.made.get(&name).copied()
    }

    /// How many partitions the dataset of that name has.
    pub fn partitions_of(&self, name: DatasetId) -> u32 {
        self.what(name).map_or(0, |what| self.partitions(what))
    }

    /// The names of the datasets of interval `t`.
    pub fn names(&self, t: u64) -> Vec<DatasetId> {
        let of = Made(t * NAMES)..Made((t + 1) * NAMES);
        self.datasets.range(of).map(|(_, dataset)| dataset.id).collect()
    }

    /// What a worker has to know of a stage.
    pub fn plan(&self, stage: Arc<Stage>) -> Plan {
        let mut known = BTreeMap::new();
        for dataset in &stage.datasets {
            let parents = dataset.parents.iter().map(Parent::dataset);
            for name in parents.chain([dataset.id]) {
                let what = self.what(name).unwrap_or(Made(u64::MAX));
                known.insert(name, (what, self.partitions_of(name)));
            }
        }
        Plan { stage, known }
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
        self.made.insert(dataset.id, Made(u64::MAX));
        self.datasets.insert(Made(u64::MAX), dataset.clone());
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
        let what = Made::split(t, at);
        let id = self.name(what);
        let pieces = Dataset {
            id,
            op: OpId(2 * at as u64),
            partitions: self.partitions(Made::of(t, of)),
            parents: vec![same(self.name(Made::of(t, of)))],
            splits: [].into(),
            shape: Shape::Pieces(partitions),
            keep: false,
            label: format!("split for stream {at}").into(),
        };
        self.add(what, pieces, datasets);
        Parent::Shuffle { dataset: id }
    }

    fn add(&mut self, what: Made, dataset: Dataset, datasets: &mut Vec<Arc<Dataset>>) {
        let dataset = Arc::new(dataset);
        self.made.insert(dataset.id, what);
        self.datasets.insert(what, dataset.clone());
        datasets.push(dataset);
    }

    fn partitions(&self, what: Made) -> u32 {
        self.datasets.get(&what).map_or(0, |dataset| dataset.partitions)
    }
}

/// The blocks that sources gave.
pub fn blocks_of(input: &[Vec<Split>]) -> impl Iterator<Item = &BlockId> {
    input.iter().flatten().flat_map(|split| &split.blocks)
}

/// What the partitions of a dataset read that was written under the name `file`.
pub fn reading(file: File, partitions: u32) -> Arc<[Split]> {
    let place = [file.epoch.to_le_bytes(), file.dataset.0.to_le_bytes()].concat();
    let split = Split { blocks: Vec::new(), place: place.into() };
    vec![split; partitions as usize].into()
}

/// Under which name that was written.
pub fn file_of(place: &[u8]) -> Option<File> {
    let (epoch, dataset) = place.split_at_checked(8)?;
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
    Some(File { epoch: number(epoch)?, dataset: DatasetId(number(dataset)?) })
}

fn same(dataset: DatasetId) -> Parent {
    Parent::Narrow { dataset, map: PartitionMap::Same }
}

/// What every partition is when nothing ever fails: the program run from its first interval on, by one who has all
/// that was received and loses nothing.
#[derive(Debug, Default)]
pub struct Reference {
    described: Description,
    /// What the blocks hold that intervals consist of, as far as it is of the interval.
    blocks: HashMap<BlockId, u64>,
    values: HashMap<(Made, u32), u64>,
    /// What each interval consists of.
    intervals: Vec<Vec<Vec<Split>>>,
}

impl Reference {
    /// The next interval consists of these blocks, source by source.
    pub fn take(&mut self, program: &Program, input: &[Vec<Split>], holding: impl Fn(&BlockId) -> u64) {
        self.blocks.extend(blocks_of(input).map(|block| (*block, holding(block))));
        self.described.describe(program, self.intervals(), input);
        self.intervals.push(input.to_vec());
    }

    /// The interval was set aside, and for those after it, it had no records.
    pub fn set_aside(&mut self, program: &Program, t: u64) {
        let Some(input) = self.intervals.get_mut(t as usize) else { return };
        for block in blocks_of(&std::mem::replace(input, vec![Vec::new(); input.len()])) {
            self.blocks.remove(block);
        }
        self.values.retain(|(what, _), _| what.interval() < t);
        for (t, input) in (0..).zip(&self.intervals).skip(t as usize) {
            self.described.describe(program, t, input);
        }
    }

    /// How many intervals there were.
    pub fn intervals(&self) -> u64 {
        self.intervals.len() as u64
    }

    /// Whether the block is of an interval.
    pub fn knows(&self, block: &BlockId) -> bool {
        self.blocks.contains_key(block)
    }

    /// What a partition is.
    pub fn right(&mut self, what: Made, partition: u32) -> u64 {
        if let Some(value) = self.values.get(&(what, partition)) {
            return *value;
        }
        let Some(dataset) = self.described.get(what).cloned() else {
            return program::made(what, partition, &[]);
        };
        let blocks = dataset.splits.get(partition as usize).into_iter().flat_map(|split| &split.blocks);
        let mut inputs: Vec<u64> = blocks.map(|block| self.blocks.get(block).copied().unwrap_or(0)).collect();
        for parent in &dataset.parents {
            let partitions = self.described.partitions_of(parent.dataset());
            let Some(from) = self.described.what(parent.dataset()) else { continue };
            match parent {
                Parent::Narrow { map, .. } => {
                    inputs.extend(map.of(partition, partitions).map(|partition| self.right(from, partition)));
                }
                Parent::Shuffle { .. } => {
                    let piece = |map| program::piece(self.right(from, map), partition);
                    inputs.extend((0..partitions).map(piece));
                }
            }
        }
        let value = program::made(what, partition, &inputs);
        self.values.insert((what, partition), value);
        value
    }

    /// How many partitions it has.
    pub fn partitions(&self, what: Made) -> u32 {
        self.described.get(what).map_or(0, |dataset| dataset.partitions)
    }
}
