use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use cutwater_core::{
    BlockId, Time, limits,
    progress::{Claim, Entry, History, News, Outcome, Writer},
};

use super::{clock, worker};
use crate::{
    block::Block,
    checkpoint::{file::Kind, store::Store},
    error::Error,
};

const ENTRY: Kind = Kind::new(b"pl", 1, "entry of the progress log");
const BLOCKS: Kind = Kind::new(b"in", 1, "input of an interval");

/// The progress log of the program in its store (`cutwater_core::progress`).
///
/// Properties:
/// - the input of an interval is written before any output of it runs; the interval may be computed meanwhile;
/// - what this process has received is written with it, since nobody could give it again;
/// - once another master has claimed the log, this one writes nothing any more, and says so;
/// - entries and inputs that no restart needs are removed.
///
/// The driver's thread hands entries over and waits; a thread of its own writes. If the process dies, the log says
/// all that outputs can depend on.
pub(super) struct Journal {
    to_writer: Option<Sender<ToWriter>>,
    thread: Option<JoinHandle<()>>,
    state: Arc<(Mutex<State>, Condvar)>,
}

/// How far the writer is.
#[derive(Default)]
struct State {
    /// The last interval whose input is written.
    durable: u64,
    failure: Option<Error>,
}

enum ToWriter {
    Interval {
        number: u64,
        time: Time,
        input: Vec<u8>,
        blocks: Vec<(BlockId, Block)>,
    },
    SetAside {
        number: u64,
    },
    Completed {
        number: u64,
    },
    /// No restart needs anything from before this interval.
    NeededFrom {
        number: u64,
    },
}

impl Journal {
    /// Claims the log of `store` for this process. Answers with what it says so far, the epoch of this process, and how many
    /// there were before.
    pub fn claim(store: &Store) -> Result<(Self, History, u64, u64), Error> {
        let (epoch, ordinal) = new_epoch(store)?;
        let (mut history, mut entries) = (History::default(), Vec::new());
        let mut next = 0;
        for name in store.list(LOG)? {
            let Some(position) = name.rsplit('/').next().and_then(|name| name.parse().ok()) else { continue };
            let entry = read(store, position)?;
            entries.push((position, number_of(&entry)));
            history.take(entry);
            next = position + 1;
        }
        let mut claim = Claim::new(epoch, next);
        let writer = loop {
            let (position, entry) = (claim.position(), claim.entry(history.completed));
            if create(store, position, &entry)? {
                entries.push((position, None));
                break claim.written();
            }
            let found = read(store, position)?;
            match claim.taken_by(&found) {
                Outcome::Written => {
                    entries.push((position, None));
                    break claim.written();
                }
                Outcome::Again => {
                    entries.push((position, number_of(&found)));
                    history.take(found);
                }
                Outcome::Fenced => return Err(fenced()),
            }
        };
        remove_unnamed_inputs(store, &entries)?;
        let (to_writer, work) = bounded(limits::JOURNAL_ENTRIES_MAX);
        let state: Arc<(Mutex<State>, Condvar)> = Arc::default();
        let completed = history.completed;
        let mut thread = Thread {
            store: store.clone(),
            writer,
            completed,
            said: completed,
            entries,
            state: state.clone(),
        };
        let thread = worker::spawn("cutwater-journal", move || thread.run(&work))?;
        Ok((Self { to_writer: Some(to_writer), thread: Some(thread), state }, history, epoch, ordinal))
    }

    /// Has the input of an interval written down: what its sources gave, and the blocks among it that this
    /// process has received.
    pub fn interval(&self, number: u64, time: Time, input: Vec<u8>, blocks: Vec<(BlockId, Block)>) {
        self.tell(ToWriter::Interval { number, time, input, blocks });
    }

    /// The interval was set aside.
    pub fn set_aside(&self, number: u64) {
        self.tell(ToWriter::SetAside { number });
    }

    /// All outputs of the interval are done.
    pub fn completed(&self, number: u64) {
        self.tell(ToWriter::Completed { number });
    }

    /// No restart needs anything from before this interval.
    pub fn needed_from(&self, number: u64) {
        self.tell(ToWriter::NeededFrom { number });
    }

    /// Waits until the input of the interval is written.
    ///
    /// # Errors
    /// It could not be, or another master has taken over.
    pub fn wait_for(&self, number: u64) -> Result<(), Error> {
        let state = self.state.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = |state: &mut State| state.durable < number && state.failure.is_none();
        let state = self.state.1.wait_while(state, waiting).unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// Whether nothing is written any more, since something could not be.
    pub fn has_failed(&self) -> bool {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner).failure.is_some()
    }

    fn tell(&self, what: ToWriter) {
        if let Some(to_writer) = &self.to_writer {
            // A writer that has failed has said why; whoever waits for it is told.
            let _ = to_writer.send(what);
        }
    }
}

impl Drop for Journal {
    /// What was said is written.
    fn drop(&mut self) {
        drop(self.to_writer.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Removes inputs that no entry is about: their entry was never written, or was removed by a process that came no
/// further. An interval of the same number would be taken to have had them.
fn remove_unnamed_inputs(store: &Store, entries: &[(u64, Option<u64>)]) -> Result<(), Error> {
    let named: HashSet<String> = entries.iter().filter_map(|(_, about)| about.map(input_name)).collect();
    let unnamed = store.list(INPUTS)?.into_iter().filter(|name| !named.contains(name));
    unnamed.into_iter().try_for_each(|name| store.delete(&name))
}

/// The blocks that were written with the input of an interval.
pub(super) fn blocks_of(store: &Store, number: u64) -> Result<Vec<(BlockId, Vec<u8>)>, Error> {
    let name = input_name(number);
    let Some(file) = store.get(&name)? else { return Ok(Vec::new()) };
    BLOCKS.open_value(&file).map_err(|why| damaged(store, &name, &why))
}

struct Thread {
    store: Store,
    writer: Writer,
    completed: u64,
    /// What the log says of it.
    said: u64,
    /// The entries that are there, each with the interval that it is about.
    entries: Vec<(u64, Option<u64>)>,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Thread {
    fn run(&mut self, work: &Receiver<ToWriter>) {
        let linger = Duration::from_millis(limits::JOURNAL_LINGER_MS);
        loop {
            let done = match work.recv_timeout(linger) {
                Ok(what) => self.take(what),
                // The next interval would have said so, but there is none yet.
                Err(RecvTimeoutError::Timeout) => self.say_completed(),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.say_completed().map_err(|error| tracing::error!(%error, "the progress log"));
                    return;
                }
            };
            if let Err(error) = done {
                tracing::error!(%error, "the progress log cannot be written");
                self.state().failure = Some(error);
                self.state.1.notify_all();
                return;
            }
        }
    }

    fn take(&mut self, what: ToWriter) -> Result<(), Error> {
        match what {
            ToWriter::Interval { number, time, input, blocks } => {
                if !blocks.is_empty() {
                    let bytes =
                        |(id, block): (BlockId, Block)| Ok((id, block.to_bytes().map_err(Error::from)?));
                    let blocks = blocks.into_iter().map(bytes).collect::<Result<Vec<_>, Error>>()?;
                    self.store
                        .put(&input_name(number), BLOCKS.seal_value(&blocks).map_err(Error::internal)?)?;
                }
                self.append(News::Interval { number, time, input })?;
                self.state().durable = number;
                self.state.1.notify_all();
                Ok(())
            }
            ToWriter::SetAside { number } => {
                self.completed = number;
                self.append(News::SetAside { number })
            }
            ToWriter::Completed { number } => {
                self.completed = number;
                Ok(())
            }
            ToWriter::NeededFrom { number } => {
                // It stays for longer, and is tried again with what comes after it.
                let removed = self.remove_before(number);
                let _ = removed.map_err(|error| tracing::warn!(%error, "the progress log"));
                Ok(())
            }
        }
    }

    fn say_completed(&mut self) -> Result<(), Error> {
        if self.said < self.completed { self.append(News::Completed) } else { Ok(()) }
    }

    fn append(&mut self, news: News) -> Result<(), Error> {
        let (position, entry) = (self.writer.position(), self.writer.entry(self.completed, news));
        if create(&self.store, position, &entry)? {
            self.writer.written();
        } else if self.writer.taken_by(&entry, &read(&self.store, position)?) == Outcome::Fenced {
            return Err(fenced());
        }
        self.entries.push((position, number_of(&entry)));
        self.said = self.completed;
        Ok(())
    }

    /// From the oldest on, so that what is left has no gap whenever the process dies.
    fn remove_before(&mut self, number: u64) -> Result<(), Error> {
        // The newest entry tells who has the log and how far it is.
        let newest = self.entries.len().saturating_sub(1);
        let is_old = |(_, about): &(u64, Option<u64>)| about.is_none_or(|about| about < number);
        let old = self.entries[..newest].iter().take_while(|entry| is_old(entry)).count();
        let mut removed = 0;
        let done = self.entries[..old].iter().try_for_each(|(position, about)| {
            self.store.delete(&log_name(*position))?;
            about.map_or(Ok(()), |number| self.store.delete(&input_name(number)))?;
            removed += 1;
            Ok(())
        });
        self.entries.drain(..removed);
        done
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

const LOG: &str = "log";
const INPUTS: &str = "input";

fn log_name(position: u64) -> String {
    format!("{LOG}/{position:020}")
}

fn input_name(number: u64) -> String {
    format!("{INPUTS}/{number:020}")
}

fn number_of(entry: &Entry) -> Option<u64> {
    match entry.news {
        News::Interval { number, .. } | News::SetAside { number } => Some(number),
        News::Claimed | News::Completed => None,
    }
}

/// A number larger than that of any process that has run the program before, and how many have.
fn new_epoch(store: &Store) -> Result<(u64, u64), Error> {
    let before = store.list("epochs")?;
    let ordinal = before.len() as u64;
    let mut epoch = before.last().and_then(|name| name.rsplit('/').next()?.parse().ok()).unwrap_or(0u64);
    // Later than that of a run which claimed nothing, for sinks that have seen it.
    epoch = epoch.max(clock::epoch());
    loop {
        epoch += 1;
        let who = format!("process {}\n", std::process::id()).into_bytes();
        if store.create(&format!("epochs/{epoch:020}"), who)? {
            return Ok((epoch, ordinal));
        }
    }
}

fn create(store: &Store, position: u64, entry: &Entry) -> Result<bool, Error> {
    store.create(&log_name(position), ENTRY.seal_value(entry).map_err(Error::internal)?)
}

fn read(store: &Store, position: u64) -> Result<Entry, Error> {
    let name = log_name(position);
    let file = store.get(&name)?.ok_or_else(|| damaged(store, &name, "it is not there any more"))?;
    ENTRY.open_value(&file).map_err(|why| damaged(store, &name, &why))
}

fn damaged(store: &Store, name: &str, why: &str) -> Error {
    Error::external(format_args!("cannot use {name} of {}: {why}", store.url()))
}

fn fenced() -> Error {
    Error::fenced("it has claimed the progress log, and this one writes nothing any more")
}
