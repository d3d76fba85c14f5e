mod listing;
mod selection;

use std::{
    collections::VecDeque,
    path::{Path, PathBuf},
};

use cutwater_core::{DatasetId, Split, Time};
use serde::{Deserialize, Serialize};

use self::{
    listing::Pattern,
    selection::{Found, Selection},
};
use super::{
    Input, SourceBuilder, Taken,
    builder::FileFilter,
    files::{Ranges, lines_spec},
};
use crate::{
    DStream, Error, Record,
    rdd::{FixedRecords, LineSplit, is_gzip},
    task::{Finding, OperatorSpec},
};

/// The records of the files that appear in a folder.
///
/// The driver's thread lists the folder and tasks read the files where they are. Which files were
/// taken is written down with the interval that took them, if the program writes that down at all.
struct Folder<T> {
    records: Ranges<T>,
    pattern: Pattern,
    filter: Option<Box<FileFilter>>,
    selection: Selection,
    /// Selected files, or parts of them, that are in no interval yet.
    backlog: VecDeque<Portion>,
    parallelism: u32,
    interval_bytes_max: u64,
    /// The last listing failed, and it was said.
    is_away: bool,
    stopped: bool,
}

/// Bytes of a file that have not been taken.
#[derive(Serialize, Deserialize)]
struct Portion {
    path: PathBuf,
    start: u64,
    end: u64,
    /// It had to wait already and was counted.
    waited: bool,
}

/// A task is not worth its trouble for less than so many bytes of a file.
const SPLIT_BYTES_MIN: u64 = 1 << 20;

impl<T: Record> Folder<T> {
    fn look(&mut self, from: Time, to: Time) {
        match self.pattern.list(|path| self.filter.as_ref().is_none_or(|wanted| wanted(path))) {
            Ok(listed) => {
                if std::mem::take(&mut self.is_away) {
                    tracing::info!(source = self.records.name(), "the folder can be listed again");
                }
                let portion =
                    |file: Found| Portion { path: file.path, start: 0, end: file.bytes, waited: false };
                self.backlog.extend(self.selection.select(from, to, listed).into_iter().map(portion));
            }
            // A folder on another machine goes away at times; what appears meanwhile is found later.
            Err(error) if !std::mem::replace(&mut self.is_away, true) => {
                tracing::warn!(source = self.records.name(), %error, "the folder cannot be listed; intervals are empty until it can");
            }
            Err(_) => {}
        }
    }

    /// The ranges of the next interval, from the front of the backlog until it is full.
    fn next(&mut self) -> Vec<LineSplit> {
        let mut room = self.interval_bytes_max;
        let mut splits = Vec::new();
        while let Some(portion) = self.backlog.front_mut()
            && room > 0
        {
            let bytes = portion.end - portion.start;
            // A compressed file cannot be entered in the middle and counts as it lies there.
            let take = if is_gzip(&portion.path) { bytes } else { bytes.min(room) };
            splits.extend(portion.take(take, self.parallelism));
            room = room.saturating_sub(take);
            if take == bytes {
                self.backlog.pop_front();
            }
        }
        splits
    }

    /// How many files have to wait for the first time.
    fn deferred(&mut self) -> u64 {
        // They are at the end: those from earlier intervals are before them.
        let first_time = self.backlog.iter_mut().rev().take_while(|portion| !portion.waited);
        first_time.map(|portion| portion.waited = true).count() as u64
    }
}

impl Portion {
    /// Takes the first `bytes` bytes of it, in as many ranges as are worth a task.
    fn take(&mut self, bytes: u64, parallelism: u32) -> Vec<LineSplit> {
        let (start, path) = (self.start, &self.path);
        self.start += bytes;
        if bytes == 0 {
            return Vec::new();
        }
        if is_gzip(path) {
            return vec![LineSplit { path: path.clone(), start: 0, end: u64::MAX }];
        }
        let parts = (bytes / SPLIT_BYTES_MIN).clamp(1, u64::from(parallelism));
        let cut = |i: u64| start + bytes / parts * i + (bytes % parts).min(i);
        (0..parts).map(|i| LineSplit { path: path.clone(), start: cut(i), end: cut(i + 1) }).collect()
    }
}

impl<T: Record> Input for Folder<T> {
    fn name(&self) -> &str {
        self.records.name()
    }

    fn faults(&mut self) -> Vec<String> {
        match std::fs::read_dir(self.pattern.root()) {
            Ok(_) => Vec::new(),
            Err(error) => {
                vec![format!(
                    "{}: cannot list {}: {error}",
                    self.records.name(),
                    self.pattern.root().display()
                )]
            }
        }
    }

    fn cut(&mut self, from: Time, to: Time) -> Result<Taken, Error> {
        if !self.stopped {
            self.look(from, to);
        }
        let splits = self.next();
        self.records.put(to, splits)?;
        Ok(Taken { deferred: self.deferred(), ..Taken::default() })
    }

    fn recorded(&self, to: Time) -> Option<Vec<Split>> {
        self.records.recorded(to)
    }

    fn replay(&mut self, to: Time, splits: Option<Vec<Split>>) {
        self.records.replay(to, splits);
    }

    fn position(&self) -> Vec<u8> {
        // Names and numbers cannot fail to be encoded.
        postcard::to_allocvec(&(&self.selection, &self.backlog)).unwrap_or_default()
    }

    fn resume(&mut self, position: &[u8]) -> Result<(), Error> {
        (self.selection, self.backlog) = postcard::from_bytes(position).map_err(Error::internal)?;
        Ok(())
    }

    fn set_aside(&mut self, to: Time) {
        // An empty list of ranges cannot fail to be written down.
        let _ = self.records.put(to, Vec::new());
    }

    fn found(&mut self, dataset: DatasetId, findings: &[Finding], taken: &mut Taken) -> Result<(), Error> {
        self.records.found(dataset, findings, taken)
    }

    fn is_exhausted(&self) -> bool {
        self.stopped && self.backlog.is_empty()
    }

    fn is_stalled(&self) -> bool {
        self.is_away || !self.backlog.is_empty()
    }

    fn stop(&mut self) {
        self.stopped = true;
    }

    fn has_pending(&self) -> bool {
        !self.backlog.is_empty()
    }
}

impl SourceBuilder<'_> {
    /// The lines of the files that appear in the folder `path` while the program runs. A component of
    /// `path` may hold `*` and `?` and so stand for many folders.
    ///
    /// At the end of each interval the folder is listed. A file is new if it lies directly in it, its
    /// name does not begin with a dot, it passes the [filter](Self::file_filter), it was modified in
    /// the interval (or within the last minute, if it only came into sight now), and it was not taken
    /// before. So write files elsewhere, or under a name with a dot, and move them in when they are
    /// complete. Those from before the program's first interval are taken only with
    /// [`include_existing`](Self::include_existing), however old they are.
    ///
    /// An interval takes as many bytes of new files as it [may](Self::interval_bytes_max); the rest is
    /// deferred, and counted in files. (The most records are not looked at: nobody knows how many are
    /// in a file before it is read.) A folder that cannot be listed gives empty intervals until it can;
    /// a file that cannot be read fails its interval.
    ///
    /// Times of modification are compared with the labels of intervals, so it goes together with live
    /// sources only.
    ///
    /// ```
    /// # use cutwater::Context;
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let path = dir.path();
    /// let ctx = Context::local(1);
    /// let lines = ctx
    ///     .source("logs")
    ///     .include_existing()
    ///     .file_filter(|path| path.extension().is_some_and(|extension| extension == "log"))
    ///     .watch_folder(path);
    /// # drop(lines);
    /// ```
    #[track_caller]
    pub fn watch_folder(self, path: impl AsRef<Path>) -> DStream<String> {
        let spec = lines_spec(&self.name, &self.policy);
        self.watched(path.as_ref(), spec)
    }

    /// The same for files of records of `record_bytes` bytes each (`api.md` §2). A file that ends within a
    /// record has a malformed one at its end.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::testing::Harness;
    /// # let dir = tempfile::tempdir().unwrap();
    /// let harness = Harness::new(Duration::from_secs(1));
    /// let samples = harness.ctx().source("samples").include_existing().watch_folder_records(dir.path(), 2);
    /// let values = samples.map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
    /// let path = dir.path().join("a");
    /// std::fs::write(&path, [0, 7, 1, 0]).unwrap();
    /// # std::fs::File::open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
    /// assert_eq!(harness.run(&values, 1)?, [[7, 256]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn watch_folder_records(self, path: impl AsRef<Path>, record_bytes: usize) -> DStream<Vec<u8>> {
        if record_bytes == 0 {
            self.ctx.fault(&self.name, "records of 0 bytes cannot be told apart; give them at least 1");
        }
        let spec = OperatorSpec::new::<FixedRecords>(&self.name, &(record_bytes, self.policy.on_task()));
        self.watched(path.as_ref(), spec)
    }

    #[track_caller]
    fn watched<T: Record>(self, path: &Path, spec: OperatorSpec<T>) -> DStream<T> {
        self.only("a watched folder", &["include_existing", "file_filter"]);
        let Self { ctx, name, policy, bounds, include_existing, file_filter, .. } = self;
        let label = name.clone();
        ctx.source_stream(&label, |stream| {
            Box::new(Folder {
                records: Ranges::new(name, policy, ctx.engine(), stream, spec),
                pattern: Pattern::new(path),
                filter: file_filter,
                selection: Selection::new(ctx.interval(), include_existing),
                backlog: VecDeque::new(),
                parallelism: ctx.engine().parallelism(),
                interval_bytes_max: bounds.bytes_max as u64,
                is_away: false,
                stopped: false,
            })
        })
    }
}
