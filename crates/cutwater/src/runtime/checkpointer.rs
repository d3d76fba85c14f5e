use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use cutwater_core::{Time, limits};

use super::{journal::Journal, worker};
use crate::{
    checkpoint::{
        manifest::{MANIFESTS_HELD, Manifest},
        saved::{STATES, Target},
        store::Store,
    },
    context::Checkpoints,
    error::Error,
    rdd::DatasetNode,
    stream::{AnyStream, StateAt, ids},
};

/// Writes the states of a program down every now and then, behind the computation.
///
/// Properties:
/// - the driver's thread says which interval has ended; whatever is written is written by tasks, and waited for
///   by a thread of its own: no interval waits for it, unless so many have passed since the last of which the states
///   are written that what the next are made from would pile up;
/// - the manifest is written last, when all files it names are on disk, and then the progress log says that it is held;
///   only then may lost states be read from them, and what is behind those states be forgotten;
/// - a file is removed when no manifest that is held and no dataset that is alive refers to it.
///
/// If the process dies at any moment, what the manifests name that the log calls held is there, and all else is removed
/// by the next one that writes there. If another has taken over, the log takes nothing any more: what this one has
/// written does not count, and it removes nothing that the log did not let go of before.
pub(super) struct Checkpointer {
    settings: Checkpoints,
    to_writer: Option<Sender<Work>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// When the last was begun, and what has passed since.
    begun: Instant,
    since_begun: Passed,
    /// What had passed before that since the last that was written: it counts until the last that was begun is written.
    before_begun: Passed,
    _folder: Option<OwnFolder>,
}

/// What states are made from: so many intervals that took so much in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Passed {
    intervals: u64,
    bytes: u64,
}

impl Passed {
    fn and(self, other: Self) -> Self {
        Self { intervals: self.intervals + other.intervals, bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// Whether it is as much as usually passes between two checkpoints, so many times, if so many workers hold it.
    fn is(self, times: u64, settings: &Checkpoints, workers: usize) -> bool {
        self.intervals >= settings.intervals_max.saturating_mul(times)
            || self.bytes_of_one(workers) >= limits::CHECKPOINT_INPUT_BYTES.saturating_mul(times)
    }

    /// What each of so many workers holds. In a program of one process that one holds everything.
    fn bytes_of_one(self, workers: usize) -> u64 {
        let holders = limits::REPLICAS.min(workers).max(1) as u64;
        self.bytes.saturating_mul(holders) / workers.max(1) as u64
    }
}

#[derive(Default)]
struct Shared {
    writing: Mutex<Writing>,
    ended: Condvar,
    /// The intervals of which the states are held, the oldest first.
    held: Mutex<Vec<(u64, Time)>>,
}

/// What becomes of the states that were begun last.
#[derive(Default)]
struct Writing {
    /// They are still being written.
    is_busy: bool,
    /// Why they could not be.
    failure: Option<Error>,
    /// Somebody waits until that is known.
    #[cfg(test)]
    is_awaited: bool,
}

impl Shared {
    fn held(&self) -> MutexGuard<'_, Vec<(u64, Time)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writing(&self) -> MutexGuard<'_, Writing> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self) -> MutexGuard<'_, Writing> {
        let mut writing = self.writing();
        #[cfg(test)]
        {
            writing.is_awaited = writing.is_busy;
        }
        writing =
            self.ended.wait_while(writing, |writing| writing.is_busy).unwrap_or_else(PoisonError::into_inner);
        #[cfg(test)]
        {
            writing.is_awaited = false;
        }
        writing
    }

    /// Nothing is being written any more.
    fn end(&self, result: Result<(), Error>) {
        let mut writing = self.writing();
        writing.is_busy = false;
        writing.failure = result.err();
        drop(writing);
        self.ended.notify_all();
    }
}

/// Whoever waits for a writer that has panicked is told.
struct Ends(Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        if self.0.writing().is_busy {
            self.0.end(Err(Error::internal("the thread that writes states has ended")));
        }
    }
}

enum Work {
    /// The states of one moment are to be written.
    Write { number: u64, time: Time, states: Vec<(String, Box<dyn StateAt>)> },
    /// These are there.
    Hold(Manifest),
    /// This manifest cannot be used.
    Spoiled(String),
}

impl Checkpointer {
    /// One that writes to `store`, for the master of that epoch and under names that no other uses, and says in the
    /// `journal`, if there is one, what is held.
    pub fn start(
        settings: &Checkpoints,
        store: Store,
        epoch: u64,
        journal: Option<Arc<Journal>>,
        folder: Option<OwnFolder>,
    ) -> Result<Self, Error> {
        let (to_writer, work) = bounded(1);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            epoch,
            journal,
            shared: shared.clone(),
            manifests: Vec::new(),
            spoiled: Vec::new(),
            // Whatever a process before has left, which may be what no manifest names.
            files: store.list(STATES)?.into_iter().collect(),
            store,
            alive: Vec::new(),
        };
        let ends = Ends(shared.clone());
        let thread = worker::spawn("cutwater-checkpoint", move || {
            let _ends = ends;
            writer.run(&work);
        })?;
        Ok(Self {
            settings: settings.clone(),
            to_writer: Some(to_writer),
            writer: Some(thread),
            shared,
            begun: Instant::now(),
            since_begun: Passed::default(),
            before_begun: Passed::default(),
            _folder: folder,
        })
    }

    /// One that writes to a folder that goes with the program.
    pub fn for_this_run(settings: &Checkpoints) -> Result<Self, Error> {
        let folder = OwnFolder::new()?;
        let url = folder.0.to_string_lossy().into_owned();
        Self::start(settings, Store::open(&url)?, 0, None, Some(folder))
    }

    /// This was written by a process before and is used now: it is held like those that are written now.
    pub fn holds(&self, manifest: Manifest) {
        self.shared.held().push((manifest.number, manifest.time));
        if let Some(to_writer) = &self.to_writer {
            let _ = to_writer.send(Work::Hold(manifest));
        }
    }

    /// A manifest that cannot be used, or does not count, is removed with the next one that is written.
    pub fn is_spoiled(&self, name: String) {
        if let Some(to_writer) = &self.to_writer {
            let _ = to_writer.send(Work::Spoiled(name));
        }
    }

    /// The oldest interval of which the states are held.
    pub fn oldest_held(&self) -> Option<(u64, Time)> {
        self.shared.held().first().copied()
    }

    /// An interval has ended well that had taken so many bytes in, which as many workers hold as there are now. Begins to
    /// write if it is time to; waits until what was begun is written, if too much has passed since what was written before.
    ///
    /// # Errors
    /// States could not be written for so long that what they are made from must not grow any more.
    pub fn ended(
        &mut self,
        interval: (u64, Time),
        (bytes, workers): (u64, usize),
        streams: &[Arc<dyn AnyStream>],
    ) -> Result<(), Error> {
        self.ended_at(Instant::now(), interval, (bytes, workers), streams)
    }

    fn ended_at(
        &mut self,
        now: Instant,
        (number, time): (u64, Time),
        (bytes, workers): (u64, usize),
        streams: &[Arc<dyn AnyStream>],
    ) -> Result<(), Error> {
        self.since_begun = self.since_begun.and(Passed { intervals: 1, bytes });
        let passed = self.before_begun.and(self.since_begun);
        let is_too_much = passed.is(limits::LINEAGE_BEHIND_MAX, &self.settings, workers);
        let mut has_failed = {
            let writing = if is_too_much { self.shared.wait() } else { self.shared.writing() };
            if writing.is_busy {
                return Ok(());
            }
            writing.failure.is_some()
        };
        if has_failed && is_too_much {
            // The last try before an interval fails.
            self.begin(now, (number, time), streams);
            has_failed = self.shared.wait().failure.is_some();
        }
        if !has_failed {
            self.before_begun = Passed::default();
        } else if is_too_much {
            let failure = self.shared.writing().failure.clone();
            return failure.map_or(Ok(()), |failure| Err(failure.at("state cannot be written")));
        }
        let is_time = now.saturating_duration_since(self.begun) >= self.settings.every;
        if is_time || self.since_begun.is(1, &self.settings, workers) {
            // If one failed, this is another try.
            self.begin(now, (number, time), streams);
        }
        Ok(())
    }

    /// Begins to write. Nothing else is being written.
    fn begin(&mut self, now: Instant, (number, time): (u64, Time), streams: &[Arc<dyn AnyStream>]) {
        let named = ids(streams).into_iter().zip(streams);
        let states = named.flat_map(|(id, stream)| {
            let states = stream.clone().states_until(time);
            states.into_iter().map(move |state| (id.clone(), state))
        });
        let states: Vec<_> = states.collect();
        *self.shared.writing() = Writing { is_busy: true, ..Writing::default() };
        let sent = self.to_writer.as_ref().map(|writer| writer.send(Work::Write { number, time, states }));
        if !matches!(sent, Some(Ok(()))) {
            self.shared.end(Err(Error::internal("the thread that writes states has ended")));
        }
        self.begun = now;
        self.before_begun = self.before_begun.and(std::mem::take(&mut self.since_begun));
    }

    /// Writes the last states and waits until they are written.
    ///
    /// # Errors
    /// They could not be written.
    pub fn finish(&mut self, last: (u64, Time), streams: &[Arc<dyn AnyStream>]) -> Result<(), Error> {
        if self.since_begun.intervals > 0 {
            drop(self.shared.wait());
            self.begin(Instant::now(), last, streams);
        }
        self.end();
        self.shared.writing().failure.take().map_or(Ok(()), Err)
    }

    fn end(&mut self) {
        drop(self.to_writer.take());
        if let Some(writer) = self.writer.take() {
            // One that panicked has said so.
            let _ = writer.join();
        }
    }

    #[cfg(test)]
    pub fn is_writing(&self) -> bool {
        self.shared.writing().is_busy
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The thread that waits for what is written.
struct Writer {
    store: Store,
    epoch: u64,
    journal: Option<Arc<Journal>>,
    shared: Arc<Shared>,
    /// Those that are held, the oldest first.
    manifests: Vec<Manifest>,
    /// Manifests that cannot be used or do not count.
    spoiled: Vec<String>,
    /// All files that were written and not removed.
    files: BTreeSet<String>,
    /// Datasets that are read from files when they are lost.
    alive: Vec<(Weak<DatasetNode>, Vec<String>)>,
}

impl Writer {
    fn run(&mut self, work: &Receiver<Work>) {
        for work in work {
            let (number, time, states) = match work {
                Work::Write { number, time, states } => (number, time, states),
                Work::Spoiled(name) => {
                    self.spoiled.push(name);
                    continue;
                }
                Work::Hold(manifest) => {
                    self.files.extend(manifest.files().map(str::to_owned));
                    self.manifests.push(manifest);
                    continue;
                }
            };
            let began = Instant::now();
            let written = self.write(number, time, states);
            match &written {
                Ok(()) => tracing::debug!(interval = %time, took = ?began.elapsed(), "states are written"),
                Err(error) => {
                    tracing::error!(interval = %time, number, %error, "states could not be written; the last ones that were are kept, and it is tried again");
                }
            }
            self.shared.end(written);
        }
    }

    fn write(
        &mut self,
        number: u64,
        time: Time,
        mut states: Vec<(String, Box<dyn StateAt>)>,
    ) -> Result<(), Error> {
        let folder = format!("{STATES}/{:06}-{number:012}", self.epoch);
        let mut manifest =
            Manifest { number, epoch: self.epoch, time, states: Vec::with_capacity(states.len()) };
        let target = Target::look(&self.store)?;
        for (id, state) in &mut states {
            manifest.states.push(state.write(id, &target, &folder)?);
        }
        // One that may be there and is not counted is removed with the next, like its files.
        manifest.write(&self.store).inspect_err(|_| self.spoiled.push(manifest.name()))?;
        self.files.extend(manifest.files().map(str::to_owned));
        self.hold(&manifest).inspect_err(|_| self.spoiled.push(manifest.name()))?;
        for (_, state) in states {
            self.alive.extend(state.settle(&self.store)?);
        }
        self.manifests.push(manifest);
        let removed = self.remove_unneeded();
        *self.shared.held() = self.manifests.iter().map(|held| (held.number, held.time)).collect();
        removed
    }

    /// From now on the last of those before are held, and this one: the others are let go.
    fn hold(&self, newest: &Manifest) -> Result<(), Error> {
        let Some(journal) = &self.journal else { return Ok(()) };
        let all = self.manifests.iter().chain([newest]).map(Manifest::checkpoint);
        journal.hold(all.skip((self.manifests.len() + 1).saturating_sub(MANIFESTS_HELD)).collect())
    }

    fn remove_unneeded(&mut self) -> Result<(), Error> {
        while let Some(name) = self.spoiled.last() {
            self.store.delete(name)?;
            self.spoiled.pop();
        }
        while self.manifests.len() > MANIFESTS_HELD {
            // First what refers to files and then the files.
            self.manifests[0].remove(&self.store)?;
            self.manifests.remove(0);
        }
        self.alive.retain(|(dataset, _)| dataset.strong_count() > 0);
        let mut needed: BTreeSet<&str> = self.manifests.iter().flat_map(Manifest::files).collect();
        needed.extend(self.alive.iter().flat_map(|(_, files)| files).map(String::as_str));
        let unneeded: Vec<String> =
            self.files.iter().filter(|file| !needed.contains(file.as_str())).cloned().collect();
        for file in unneeded {
            self.store.delete(&file)?;
            self.files.remove(&file);
        }
        Ok(())
    }
}

/// A folder for what need not outlive the program.
pub(super) struct OwnFolder(PathBuf);

impl OwnFolder {
    fn new() -> Result<Self, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("cutwater-{}-{number}.states", std::process::id()));
        // One of a process of the same number that died.
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path)
            .map_err(|error| Error::external(format_args!("cannot create {}: {error}", path.display())))?;
        Ok(Self(path))
    }
}

impl Drop for OwnFolder {
    fn drop(&mut self) {
        // It is in nobody's way but the folder's.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use std::{thread, time::Duration};

    use super::*;
    use crate::checkpoint::faults::{Fault, Then};

    fn checkpointer(intervals_max: u64, then: Then) -> (tempfile::TempDir, Store, Checkpointer) {
        let (dir, store) = Store::temporary();
        let settings = Checkpoints { every: Duration::MAX, intervals_max, ..Checkpoints::default() };
        let checkpointer = Checkpointer::start(&settings, store.clone(), 1, None, None).unwrap();
        store.faults().order(Fault { folder: "checkpoints".to_owned(), at: 0, then });
        (dir, store, checkpointer)
    }

    fn at(number: u64) -> (u64, Time) {
        (number, Time::from_ms(number as i64))
    }

    /// States are written when so much time has passed since they were last begun to be, and not with each interval.
    #[test]
    fn so_much_time_lies_between_two_checkpoints() {
        const SECOND: Duration = Duration::from_secs(1);
        let (_dir, store) = Store::temporary();
        let settings = Checkpoints { every: 10 * SECOND, intervals_max: 1_000, ..Checkpoints::default() };
        let mut checkpointer = Checkpointer::start(&settings, store, 1, None, None).unwrap();
        let start = checkpointer.begun;
        let mut newest = |ms: u32, number| {
            checkpointer.ended_at(start + SECOND * ms / 1_000, at(number), (0, 0), &[]).unwrap();
            drop(checkpointer.shared.wait());
            checkpointer.shared.held().last().map(|(number, _)| *number)
        };
        // Intervals of a second, of which one comes late, and from then on so do those of checkpoints.
        let ends_ms = (1..=19).map(|n| n * 1_000).chain((20..=40).map(|n| n * 1_000 + 500));
        let seen: Vec<_> = ends_ms.zip(1..).map(|(ms, number)| newest(ms, number)).collect();
        let expected = [vec![None; 9], vec![Some(10); 10], vec![Some(20); 10], vec![Some(30); 10]].concat();
        assert_eq!(seen[..39], expected);
        assert_eq!(seen[39], Some(40));
    }

    /// Each of four workers holds half of what came, and each of the two that are left all of it.
    #[test]
    fn states_are_written_the_sooner_the_fewer_hold_what_they_are_made_from() {
        const PART: u64 = limits::CHECKPOINT_INPUT_BYTES / 4;
        let (_dir, store) = Store::temporary();
        let settings = Checkpoints { every: Duration::MAX, intervals_max: 1_000, ..Checkpoints::default() };
        let mut checkpointer = Checkpointer::start(&settings, store, 1, None, None).unwrap();
        let mut written = |number, workers| {
            checkpointer.ended(at(number), (PART, workers), &[]).unwrap();
            drop(checkpointer.shared.wait());
            checkpointer.shared.held().last().is_some_and(|(last, _)| *last == number)
        };
        let with_four: Vec<_> = (1..=13).filter(|number| written(*number, 4)).collect();
        assert_eq!(with_four, [8]);
        // Five have passed since, which is enough for two.
        let with_two: Vec<_> = (14..=22).filter(|number| written(*number, 2)).collect();
        assert_eq!(with_two, [14, 18, 22]);
        let with_one: Vec<_> = (23..=30).filter(|number| written(*number, 1)).collect();
        assert_eq!(with_one, [26, 30]);
        let in_one_process: Vec<_> = (31..=38).filter(|number| written(*number, 0)).collect();
        assert_eq!(in_one_process, [34, 38]);
    }

    /// The first states hang, and the interval waits that is the last that may: by their number, and by what they took in.
    #[test]
    fn no_more_intervals_lie_behind_than_may() {
        for (intervals_max, bytes, waits) in [(3, 0, 12), (100, limits::CHECKPOINT_INPUT_BYTES / 2, 8)] {
            let (_dir, store, mut checkpointer) = checkpointer(intervals_max, Then::Wait);
            let (shared, ended) = (checkpointer.shared.clone(), Arc::new(AtomicU64::new(0)));
            let count = ended.clone();
            let program = thread::spawn(move || {
                for number in 1..=50 {
                    checkpointer.ended(at(number), (bytes, 0), &[]).unwrap();
                    count.store(number, Ordering::SeqCst);
                }
            });
            while !shared.writing().is_awaited && !program.is_finished() {
                thread::yield_now();
            }
            assert_eq!(ended.load(Ordering::SeqCst), waits - 1);
            store.faults().mend();
            program.join().unwrap();
            assert_eq!(ended.load(Ordering::SeqCst), 50);
        }
    }

    /// Each interval tries again then, and fails until there is a try that does not.
    #[test]
    fn intervals_fail_while_too_many_lie_behind() {
        let (_dir, store, mut checkpointer) = checkpointer(2, Then::FailForEver);
        let mut ended = |number| {
            drop(checkpointer.shared.wait());
            checkpointer.ended(at(number), (0, 0), &[])
        };
        for number in 1..=7 {
            ended(number).unwrap();
        }
        for number in 8..=10 {
            let said = ended(number).unwrap_err().to_string();
            assert!(said.contains("state cannot be written") && said.contains("on purpose"), "{said}");
        }
        store.faults().mend();
        for number in 11..=40 {
            ended(number).unwrap();
        }
    }
}
