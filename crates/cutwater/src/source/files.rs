use std::{
    collections::HashMap,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use cutwater_core::{DatasetId, Split, Time};

use super::{ErrorPolicy, Input, SourceBuilder, Taken};
use crate::{
    DStream, Error, Record,
    rdd::{DatasetNode, LineSplit, Lines, is_gzip},
    runtime::Engine,
    stream::StreamNode,
    task::{Finding, OperatorSpec},
};

/// Records that the tasks which need them read where they are: an interval is a list of ranges of files, or of
/// blocks that workers hold, and nothing is copied.
pub(crate) struct Ranges<T> {
    name: String,
    engine: Arc<Engine>,
    stream: Arc<StreamNode<T>>,
    spec: OperatorSpec<T>,
    policy: ErrorPolicy,
    /// Which interval a dataset is of, for as long as somebody may ask for it: a window may be the first
    /// to read it, intervals later.
    datasets: HashMap<DatasetId, Time>,
}

impl<T: Record> Ranges<T> {
    pub fn new(
        name: String,
        policy: ErrorPolicy,
        engine: &Arc<Engine>,
        stream: &Arc<StreamNode<T>>,
        spec: OperatorSpec<T>,
    ) -> Self {
        Self { name, engine: engine.clone(), stream: stream.clone(), spec, policy, datasets: HashMap::new() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn engine(&self) -> &Arc<Engine> {
        &self.engine
    }

    /// Makes ranges of files the interval's dataset.
    pub fn put(&mut self, to: Time, splits: Vec<LineSplit>) -> Result<(), Error> {
        self.put_splits(to, splits.into_iter().map(LineSplit::into_split).collect::<Result<_, _>>()?);
        Ok(())
    }

    /// Makes whatever `splits` say the interval's dataset.
    pub fn put_splits(&mut self, to: Time, splits: Vec<Split>) {
        let rdd = DatasetNode::source(&self.engine, splits, &self.spec.any).of(&self.spec);
        let stream = &self.stream;
        self.datasets.retain(|_, time| stream.generated(*time).is_some());
        self.datasets.insert(rdd.node().dataset.id, to);
        stream.put(to, Some(rdd));
    }

    /// What the dataset of an interval is made of.
    pub fn recorded(&self, time: Time) -> Option<Vec<Split>> {
        self.stream.generated(time).map(|rdd| rdd.node().dataset.splits.to_vec())
    }

    /// The interval's dataset is made of these ranges. What was found in them was counted when they were cut.
    pub fn replay(&mut self, time: Time, splits: Option<Vec<Split>>) {
        let rdd =
            splits.map(|splits| DatasetNode::source(&self.engine, splits, &self.spec.any).of(&self.spec));
        self.stream.put(time, rdd);
    }

    /// Counts what tasks read, and hands what they could not read to the policy.
    pub fn found(&self, dataset: DatasetId, findings: &[Finding], taken: &mut Taken) -> Result<(), Error> {
        let Some(interval) = self.datasets.get(&dataset) else { return Ok(()) };
        let mut malformed = Vec::new();
        for finding in findings {
            match finding {
                Finding::Read { records, bytes } => {
                    taken.records += records;
                    taken.bytes += bytes;
                }
                Finding::Malformed(record) => malformed.push(record.clone()),
                // The master keeps these for the program.
                Finding::Added(_) | Finding::Watermark { .. } | Finding::Late { .. } => {}
            }
        }
        let applied = self.policy.apply(&self.name, *interval, &malformed);
        taken.malformed.append(&mut malformed);
        applied
    }
}

/// How tasks that read lines are called: by the name of their source and the place where it is declared.
#[track_caller]
pub(crate) fn lines_spec(name: &str, policy: &ErrorPolicy) -> OperatorSpec<String> {
    OperatorSpec::new::<Lines>(name, &policy.on_task())
}

/// Files taken a range of bytes an interval, the next interval beginning when the last has ended.
struct FileRanges {
    lines: Ranges<String>,
    paths: Vec<PathBuf>,
    range_bytes: u64,
    /// The file that is being read, and from where.
    at: (usize, u64),
    sizes: Vec<u64>,
}

impl FileRanges {
    /// The next range as one split for each task that can run at once.
    fn next(&mut self) -> Vec<LineSplit> {
        let (file, start) = self.at;
        let (Some(path), Some(&size)) = (self.paths.get(file), self.sizes.get(file)) else {
            return Vec::new();
        };
        // A compressed file cannot be entered in the middle.
        let whole = is_gzip(path);
        let end = if whole { size } else { size.min(start + self.range_bytes) };
        self.at = if end == size { (file + 1, 0) } else { (file, end) };
        if whole {
            return vec![LineSplit { path: path.clone(), start: 0, end: u64::MAX }];
        }
        let parts = u64::from(self.lines.engine.parallelism());
        let cut = |i: u64| start + (end - start) * i / parts;
        (0..parts).map(|i| LineSplit { path: path.clone(), start: cut(i), end: cut(i + 1) }).collect()
    }
}

impl Input for FileRanges {
    fn name(&self) -> &str {
        &self.lines.name
    }

    fn faults(&mut self) -> Vec<String> {
        let mut faults = Vec::new();
        if self.paths.is_empty() {
            faults.push(format!("{}: no file is given", self.lines.name));
        }
        for path in &self.paths {
            match fs::metadata(path).and_then(|metadata| fs::File::open(path).map(|_| metadata.len())) {
                Ok(size) => self.sizes.push(size),
                Err(error) => {
                    faults.push(format!("{}: cannot read {}: {error}", self.lines.name, path.display()))
                }
            }
        }
        faults
    }

    fn cut(&mut self, _: Time, to: Time) -> Result<Taken, Error> {
        let splits = self.next();
        self.lines.put(to, splits)?;
        Ok(Taken::default())
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.lines.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.lines.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        // A pair of numbers cannot fail to be encoded.
        postcard::to_allocvec(&(self.at.0 as u64, self.at.1)).unwrap_or_default()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        let (file, at): (u64, u64) = postcard::from_bytes(position).map_err(Error::internal)?;
        self.at = (file as usize, at);
        let shrunk = self.paths.get(self.at.0).zip(self.sizes.get(self.at.0)).filter(|(_, size)| **size < at);
        match shrunk {
            Some((path, size)) => Err(Error::external(format_args!(
                "{}: {} has {size} bytes and was read to byte {at} before; it is not the same file",
                self.lines.name,
                path.display()
            ))),
            None => Ok(()),
        }
    }

    fn set_aside(&mut self, to: Time) {
        // An empty list of ranges cannot fail to be written down.
        let _ = self.lines.put(to, Vec::new());
    }

    fn is_past(&self) -> bool {
        true
    }

    fn is_eager(&self) -> bool {
        true
    }

    fn found(&mut self, dataset: DatasetId, findings: &[Finding], taken: &mut Taken) -> Result<(), Error> {
        self.lines.found(dataset, findings, taken)
    }

    fn is_exhausted(&self) -> bool {
        self.at.0 >= self.paths.len()
    }

    fn progress(&self) -> Option<f64> {
        let total: u64 = self.sizes.iter().sum();
        let done = self.sizes.iter().take(self.at.0).sum::<u64>() + self.at.1;
        Some(if total == 0 { 1.0 } else { done as f64 / total as f64 })
    }

    fn stop(&mut self) {
        self.at = (self.paths.len(), 0);
    }
}

impl SourceBuilder<'_> {
    /// The lines of files, `range_bytes` bytes of them an interval, as fast as they are processed: an
    /// interval begins when the one before has ended. A line belongs to the interval in which it
    /// begins; a file that ends in `.gz` is decompressed and is one interval.
    #[track_caller]
    pub fn text_files<P: AsRef<Path>>(
        self,
        paths: impl IntoIterator<Item = P>,
        range_bytes: u64,
    ) -> DStream<String> {
        self.only("files read by ranges", &[]);
        let Self { ctx, name, policy, .. } = self;
        let paths = paths.into_iter().map(|path| path.as_ref().to_owned()).collect();
        let (label, spec) = (name.clone(), lines_spec(&name, &policy));
        ctx.source_stream(&label, |stream| {
            Box::new(FileRanges {
                lines: Ranges::new(name, policy, ctx.engine(), stream, spec),
                paths,
                range_bytes: range_bytes.max(1),
                at: (0, 0),
                sizes: Vec::new(),
            })
        })
    }
}
