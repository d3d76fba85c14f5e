use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
    time::Instant,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use cutwater_core::{Time, limits};

use super::worker;
use crate::{
    checkpoint::{
        manifest::{MANIFESTS_HELD, Manifest},
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
///   by a thread of its own: no interval waits for it, unless so many have passed since the last that was
///   written that what they are made from would pile up;
/// - the manifest is written last, when all files it names are on disk; only then may lost states be read from
///   them, and what is behind those states be forgotten;
/// - a file is removed when no manifest that is held and no dataset that is alive refers to it.
///
/// If the process dies at any moment, what the last manifest names is there, and files that no manifest names are
/// removed by the next one that writes there.
pub(super) struct Checkpointer {
    settings: Checkpoints,
    to_writer: Option<Sender<Work>>,
    writer: Option<JoinHandle<()>>,
    shared: Arc<Shared>,
    /// When the last was begun, and how much has happened since.
    begun: Instant,
    intervals: u64,
    bytes: u64,
    /// How many intervals lay between the last that was written and the last that was begun.
    behind: u64,
    _folder: Option<OwnFolder>,
}

#[derive(Default)]
struct Shared {
    busy: AtomicBool,
    failure: Mutex<Option<Error>>,
    /// The intervals of which the states are held, the oldest first.
    held: Mutex<Vec<(u64, Time)>>,
}

impl Shared {
    fn held(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Time)>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// One that writes to `store`, under names that no other process uses: they begin with `run`.
    pub fn start(
        settings: &Checkpoints,
        store: Store,
        run: &str,
        folder: Option<OwnFolder>,
    ) -> Result<Self, Error> {
        let (to_writer, work) = bounded(1);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer {
            run: run.to_owned(),
            shared: shared.clone(),
            manifests: Vec::new(),
            spoiled: Vec::new(),
            // Whatever a process before has left, which may be what no manifest names.
            files: store.list(STATES)?.into_iter().collect(),
            store,
            alive: Vec::new(),
        };
        let thread = worker::spawn("cutwater-checkpoint", move || writer.run(&work))?;
        Ok(Self {
            settings: settings.clone(),
            to_writer: Some(to_writer),
            writer: Some(thread),
            shared,
            begun: Instant::now(),
            intervals: 0,
            bytes: 0,
            behind: 0,
            _folder: folder,
        })
    }

    /// One that writes to a folder that goes with the program.
    pub fn for_this_run(settings: &Checkpoints) -> Result<Self, Error> {
        let folder = OwnFolder::new()?;
        let url = folder.0.to_string_lossy().into_owned();
        Self::start(settings, Store::open(&url)?, "run", Some(folder))
    }

    /// This was written by a process before and is used now: it is held like those that are written now.
    pub fn holds(&self, manifest: Manifest) {
        self.shared.held().push((manifest.number, manifest.time));
        if let Some(to_writer) = &self.to_writer {
            let _ = to_writer.send(Work::Hold(manifest));
        }
    }

    /// A manifest that cannot be used is removed with the next one that is written.
    pub fn is_spoiled(&self, name: String) {
        if let Some(to_writer) = &self.to_writer {
            let _ = to_writer.send(Work::Spoiled(name));
        }
    }

    /// The oldest interval of which the states are held.
    pub fn oldest_held(&self) -> Option<(u64, Time)> {
        self.shared.held().first().copied()
    }

    /// An interval has ended well that had taken so many bytes in. Begins to write if it is time to.
    ///
    /// # Errors
    /// States could not be written for so long that what they are made from must not grow any more.
    pub fn ended(
        &mut self,
        (number, time): (u64, Time),
        bytes: u64,
        streams: &[Arc<dyn AnyStream>],
    ) -> Result<(), Error> {
        self.intervals += 1;
        self.bytes += bytes;
        let is_due = self.begun.elapsed() >= self.settings.every
            || self.intervals >= self.settings.intervals_max
            || self.bytes >= limits::CHECKPOINT_INPUT_BYTES;
        if !is_due {
            return Ok(());
        }
        if self.shared.busy.load(Ordering::Acquire) {
            let must_wait = self.intervals >= self.settings.intervals_max * limits::LINEAGE_BEHIND_MAX
                || self.bytes >= limits::CHECKPOINT_INPUT_BYTES * limits::LINEAGE_BEHIND_MAX;
            if !must_wait {
                return Ok(());
            }
        }
        let failure = self.failure().take();
        let behind = self.intervals + if failure.is_some() { self.behind } else { 0 };
        if let Some(failure) = failure
            && behind >= self.settings.intervals_max * limits::LINEAGE_BEHIND_MAX
        {
            return Err(failure.at("state cannot be written"));
        }
        // If one failed, this is another try.
        self.begin(number, time, streams);
        self.behind = behind;
        Ok(())
    }

    /// Begins to write, and waits for what is being written.
    fn begin(&mut self, number: u64, time: Time, streams: &[Arc<dyn AnyStream>]) {
        let named = ids(streams).into_iter().zip(streams);
        let states = named.flat_map(|(id, stream)| {
            let states = stream.clone().states_until(time);
            states.into_iter().map(move |state| (id.clone(), state))
        });
        let states: Vec<_> = states.collect();
        if let Some(to_writer) = &self.to_writer {
            self.shared.busy.store(true, Ordering::Release);
            // The writer ends with this value only.
            let _ = to_writer.send(Work::Write { number, time, states });
        }
        (self.begun, self.intervals, self.bytes) = (Instant::now(), 0, 0);
    }

    /// Writes the last states and waits until they are written.
    ///
    /// # Errors
    /// They could not be written.
    pub fn finish(&mut self, last: (u64, Time), streams: &[Arc<dyn AnyStream>]) -> Result<(), Error> {
        if self.intervals > 0 {
            self.begin(last.0, last.1, streams);
        }
        self.end();
        self.failure().take().map_or(Ok(()), Err)
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
        self.shared.busy.load(Ordering::Acquire)
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<Error>> {
        self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The folder of the files that states consist of.
const STATES: &str = "state";

/// The thread that waits for what is written.
struct Writer {
    store: Store,
    run: String,
    shared: Arc<Shared>,
    /// Those that are held, the oldest first.
    manifests: Vec<Manifest>,
    /// Manifests that cannot be used.
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
            match self.write(number, time, states) {
                Ok(()) => tracing::debug!(interval = %time, took = ?began.elapsed(), "states are written"),
                Err(error) => {
                    tracing::error!(interval = %time, number, %error, "states could not be written; the last ones that were are kept, and it is tried again");
                    *self.shared.failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                }
            }
            self.shared.busy.store(false, Ordering::Release);
        }
    }

    fn write(
        &mut self,
        number: u64,
        time: Time,
        mut states: Vec<(String, Box<dyn StateAt>)>,
    ) -> Result<(), Error> {
        let folder = format!("{STATES}/{}-{number:012}", self.run);
        let mut manifest = Manifest { number, time, states: Vec::with_capacity(states.len()) };
        for (id, state) in &mut states {
            manifest.states.push(state.write(id, &self.store, &folder)?);
        }
        // One that may be there and is not counted is removed with the next, like its files.
        manifest.write(&self.store).inspect_err(|_| self.spoiled.push(manifest.name()))?;
        // It may be that of an interval that was run again, in the place of one that cannot be used.
        self.spoiled.retain(|spoiled| *spoiled != manifest.name());
        self.files.extend(manifest.files().map(str::to_owned));
        for (_, state) in states {
            self.alive.extend(state.settle(&self.store)?);
        }
        self.manifests.push(manifest);
        let removed = self.remove_unneeded();
        *self.shared.held() = self.manifests.iter().map(|held| (held.number, held.time)).collect();
        removed
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
