use std::{
    collections::HashSet,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::JoinHandle,
    time::Duration,
};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use cutwater_core::{
    BlockId, Time, limits,
    progress::{Checkpoint, Claim, Entry, History, News, Outcome, Writer},
};

use super::{clock, worker};
use crate::{
    block::Block,
    checkpoint::{file::Kind, store::Store},
    error::Error,
    patience,
};

const ENTRY: Kind = Kind::new(b"pl", 2, "entry of the progress log");
const BLOCKS: Kind = Kind::new(b"in", 1, "input of an interval");

/// The progress log of the program in its store (`cutwater_core::progress`).
///
/// Properties:
/// - the input of an interval is written before any output of it runs; the interval may be computed meanwhile;
/// - what this process has received is written with it, since nobody could give it again;
/// - once another master has claimed the log, this one writes nothing any more, and says so;
/// - entries and inputs that no restart needs are removed.
///
/// The threads of the driver and of checkpoints hand entries over and wait; a thread of its own writes. If the process dies, the log says
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
    /// How many intervals are over, as far as the writer was told, and as far as the log says.
    over: u64,
    said: u64,
    /// How often it was to be said which checkpoints are held, and how often it was.
    holds: u64,
    holds_said: u64,
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
    /// These checkpoints are held from now on, and no others.
    Held {
        checkpoints: Vec<Checkpoint>,
    },
    /// No restart needs anything from before this interval.
    NeededFrom {
        number: u64,
    },
    /// Which intervals are over is to be in the log now.
    SayCompleted,
}

impl Journal {
    /// Claims the log of `store` for this process if it `is_free`, which is asked once it is known where the log ends: a master
    /// that goes on has written there by the time that this one does. Answers with what it says so far, the epoch of this process,
    /// and how many there were before; with nothing if it is not free.
    pub fn claim_if(
        store: &Store,
        is_free: impl Fn() -> Result<bool, Error>,
    ) -> Result<Option<(Self, History, u64, u64)>, Error> {
        let (epoch, ordinal) = new_epoch(store)?;
        let (history, entries, writer) = loop {
            let (mut history, mut entries, next) = read_all(store)?;
            let mut claim = Claim::new(epoch, &history, next).map_err(|_| fenced())?;
            loop {
                let (position, entry) = (claim.position(), claim.entry(history.completed));
                if !is_free()? {
                    return Ok(None);
                }
                if create(store, position, &entry)? {
                    entries.push((position, entry));
                    break;
                }
                let Some(Ok(found)) = read(store, position)? else {
                    claim.taken_by_torn();
                    continue;
                };
                match claim.taken_by(&found) {
                    Outcome::Written => {
                        entries.push((position, found));
                        break;
                    }
                    Outcome::Again => {
                        entries.push((position, found.clone()));
                        history.take(found);
                    }
                    Outcome::Fenced => return Err(fenced()),
                }
            }
            let last = numbers(store, LOG)?.last().copied().unwrap_or(0);
            // If not, another master has written on and removed what was there: all is read anew.
            if let Some(writer) = claim.written(last) {
                break (history, entries, writer);
            }
        };
        remove_unnamed_inputs(store, &entries, epoch)?;
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
        let journal = Self { to_writer: Some(to_writer), thread: Some(thread), state };
        Ok(Some((journal, history, epoch, ordinal)))
    }

    /// The same, whether or not it is free.
    #[cfg(test)]
    pub fn claim(store: &Store) -> Result<(Self, History, u64, u64), Error> {
        Self::claim_if(store, || Ok(true)).map(|claimed| claimed.expect("it is taken"))
    }

    /// Has the input of an interval written down: what its sources gave, and the blocks among it that this
    /// process has received.
    pub fn interval(&self, number: u64, time: Time, input: Vec<u8>, blocks: Vec<(BlockId, Block)>) {
        self.tell(ToWriter::Interval { number, time, input, blocks });
    }

    /// The interval was set aside.
    pub fn set_aside(&self, number: u64) {
        self.lock().over = number;
        self.tell(ToWriter::SetAside { number });
    }

    /// All outputs of the interval are done.
    pub fn completed(&self, number: u64) {
        self.lock().over = number;
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
        let waiting = |state: &mut State| state.durable < number && state.failure.is_none();
        let state = self.state.1.wait_while(self.lock(), waiting).unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// Waits until the log says which intervals are over, as far as it was told: those are not run again. The input of
    /// the next one says so too, unless it was written before.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for).
    pub fn wait_until_said(&self) -> Result<(), Error> {
        let not_said = |state: &mut State| state.said < state.over && state.failure.is_none();
        if not_said(&mut self.lock()) {
            self.tell(ToWriter::SayCompleted);
        }
        let state = self.state.1.wait_while(self.lock(), not_said).unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().map_or(Ok(()), Err)
    }

    /// Has it written down that these checkpoints are held from now on, the oldest first, and no others, and waits until
    /// it is: what none of them needs may go then. Only one thread says so.
    ///
    /// # Errors
    /// Those of [`wait_for`](Self::wait_for).
    pub fn hold(&self, checkpoints: Vec<Checkpoint>) -> Result<(), Error> {
        self.lock().holds += 1;
        self.tell(ToWriter::Held { checkpoints });
        let not_said = |state: &mut State| state.holds_said < state.holds && state.failure.is_none();
        let state = self.state.1.wait_while(self.lock(), not_said).unwrap_or_else(PoisonError::into_inner);
        state.failure.clone().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether nothing is written any more, since something could not be.
    pub fn has_failed(&self) -> bool {
        self.lock().failure.is_some()
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

/// Removes inputs of this master and those before that no entry is about: their entry was never written, or was removed by
/// a process that came no further. Those of a later master are its own, whose entries may be yet to be written.
fn remove_unnamed_inputs(store: &Store, entries: &[(u64, Entry)], epoch: u64) -> Result<(), Error> {
    let name = |entry: &Entry| number_of(entry).map(|about| input_name(about, entry.epoch));
    let named: HashSet<String> = entries.iter().filter_map(|(_, entry)| name(entry)).collect();
    let is_later = |name: &String| {
        let by = name.rsplit('-').next().and_then(|by| by.parse().ok());
        by.is_some_and(|by: u64| by > epoch)
    };
    let unnamed = store.list(INPUTS)?.into_iter().filter(|name| !named.contains(name) && !is_later(name));
    unnamed.into_iter().try_for_each(|name| store.delete(&name))
}

/// The blocks that the master of that epoch has written with the input of an interval.
pub(super) fn blocks_of(store: &Store, number: u64, epoch: u64) -> Result<Vec<(BlockId, Vec<u8>)>, Error> {
    let name = input_name(number, epoch);
    let Some(file) = store.get(&name)? else { return Ok(Vec::new()) };
    BLOCKS.open_value(&file).map_err(|why| damaged(store, &name, &why))
}

struct Thread {
    store: Store,
    writer: Writer,
    completed: u64,
    /// What the log says of it.
    said: u64,
    /// The entries that are there.
    entries: Vec<(u64, Entry)>,
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
                    let name = input_name(number, self.writer.epoch());
                    patience::JOURNAL.call("the input of an interval", || {
                        self.store.put(&name, BLOCKS.seal_value(&blocks).map_err(Error::internal)?)
                    })?;
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
            ToWriter::SayCompleted => self.say_completed(),
            ToWriter::Held { checkpoints } => {
                self.append(News::Held { checkpoints })?;
                self.state().holds_said += 1;
                self.state.1.notify_all();
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
        let (store, writer) = (&self.store, &mut self.writer);
        patience::JOURNAL.call("an entry of the progress log", || {
            if create(store, position, &entry)? {
                writer.written();
                return Ok(());
            }
            // Its own is there if only the answer was lost. What cannot be read was to be the claim of another.
            let found = read(store, position)?.and_then(Result::ok);
            let outcome = found.map_or(Outcome::Fenced, |found| writer.taken_by(&entry, &found));
            if outcome == Outcome::Written { Ok(()) } else { Err(fenced()) }
        })?;
        self.entries.push((position, entry));
        self.said = self.completed;
        self.state().said = self.said;
        self.state.1.notify_all();
        Ok(())
    }

    /// From the oldest on, so that what is left has no gap whenever the process dies.
    fn remove_before(&mut self, number: u64) -> Result<(), Error> {
        // The newest entry tells who has the log and how far it is. Claims stay, and need not be looked at again.
        let newest = self.entries.len().saturating_sub(1);
        let is_old = |entry: &Entry| entry.may_be_removed(number) || entry.news == News::Claimed;
        let old = self.entries[..newest].iter().take_while(|(_, entry)| is_old(entry)).count();
        let mut done = 0;
        let removed = self.entries[..old].iter().try_for_each(|(position, entry)| {
            if entry.may_be_removed(number) {
                self.store.delete(&log_name(*position))?;
                number_of(entry)
                    .map_or(Ok(()), |about| self.store.delete(&input_name(about, entry.epoch)))?;
            }
            done += 1;
            Ok(())
        });
        self.entries.drain(..done);
        removed
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

/// Each master has names of its own: one that was overtaken may still write what it was about to.
fn input_name(number: u64, epoch: u64) -> String {
    format!("{INPUTS}/{number:020}-{epoch:020}")
}

fn number_of(entry: &Entry) -> Option<u64> {
    match entry.news {
        News::Interval { number, .. } | News::SetAside { number } => Some(number),
        News::Claimed | News::Completed | News::Held { .. } => None,
    }
}

/// A number larger than that of any process that has run the program before, and how many have. Nobody else is given
/// either, whoever begins at the same time.
fn new_epoch(store: &Store) -> Result<(u64, u64), Error> {
    loop {
        // Later than that of a run which claimed nothing, for sinks that have seen it.
        let epoch = numbers(store, "epochs")?.last().copied().unwrap_or(0).max(clock::epoch()) + 1;
        let who = format!("process {}\n", std::process::id()).into_bytes();
        if !store.create(&format!("epochs/{epoch:020}"), who)? {
            continue;
        }
        // How many there were is known only now. Whoever is not the last knows neither.
        let epochs = numbers(store, "epochs")?;
        if epochs.last() == Some(&epoch) {
            return Ok((epoch, epochs.len() as u64 - 1));
        }
    }
}

/// The objects of a folder whose names are numbers, in order.
fn numbers(store: &Store, folder: &str) -> Result<Vec<u64>, Error> {
    let number = |name: &String| name.rsplit('/').next()?.parse().ok();
    Ok(store.list(folder)?.iter().filter_map(number).collect())
}

/// What the log says, its entries, and the place after the last.
fn read_all(store: &Store) -> Result<(History, Vec<(u64, Entry)>, u64), Error> {
    let (mut history, mut entries) = (History::default(), Vec::new());
    let (mut torn, mut next) = (None::<(String, String)>, 0);
    for position in numbers(store, LOG)? {
        next = position + 1;
        match read(store, position)? {
            Some(Ok(entry)) => {
                if let Some((name, why)) = torn.take()
                    && !Entry::is_torn_before(Some(&entry))
                {
                    return Err(damaged(store, &name, &why));
                }
                history.take(entry.clone());
                entries.push((position, entry));
            }
            Some(Err(why)) => torn = Some((log_name(position), why)),
            // Whoever is master has removed it, since nobody needs it.
            None => {}
        }
    }
    if let Some((name, why)) = torn {
        tracing::warn!(
            name,
            why,
            "the last entry of the progress log was not written to its end, and nothing depends on it"
        );
    }
    Ok((history, entries, next))
}

/// The entries of a log and their places, for tests of what is left of it.
#[cfg(test)]
pub(crate) fn entries(store: &Store) -> Result<Vec<(u64, Entry)>, Error> {
    read_all(store).map(|(_, entries, _)| entries)
}

fn create(store: &Store, position: u64, entry: &Entry) -> Result<bool, Error> {
    store.create(&log_name(position), ENTRY.seal_value(entry).map_err(Error::internal)?)
}

/// The entry at a place, or why it cannot be read; nothing if there is none.
fn read(store: &Store, position: u64) -> Result<Option<Result<Entry, String>>, Error> {
    Ok(store.get(&log_name(position))?.map(|file| ENTRY.open_value(&file)))
}

fn damaged(store: &Store, name: &str, why: &str) -> Error {
    Error::external(format_args!("cannot use {name} of {}: {why}", store.url()))
}

fn fenced() -> Error {
    Error::fenced("it has claimed the progress log, and this one writes nothing any more")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::faults::{Fault, Then};

    fn interval(journal: &Journal, number: u64) -> Result<(), Error> {
        journal.interval(number, Time::from_ms(number as i64), vec![1], Vec::new());
        journal.wait_for(number)
    }

    /// A journal whose writer is as far as all that it was told.
    fn settled(journal: Journal, store: &Store) -> Vec<u64> {
        drop(journal);
        numbers(store, LOG).unwrap()
    }

    #[test]
    fn who_wakes_late_finds_its_place_taken_although_old_entries_are_gone() {
        let (_dir, store) = Store::temporary();
        let (old, ..) = Journal::claim(&store).unwrap();
        interval(&old, 1).unwrap();
        let (new, ..) = Journal::claim(&store).unwrap();
        for number in 2..6 {
            interval(&new, number).unwrap();
            new.completed(number);
        }
        new.needed_from(5);
        interval(&new, 6).unwrap();
        let error = interval(&old, 2).unwrap_err();
        assert_eq!(error.kind(), crate::error::ErrorKind::Fenced, "{error}");
        assert_eq!(settled(new, &store), [0, 2, 6, 7], "the two claims, and what is needed");
    }

    #[test]
    fn an_entry_that_was_not_written_to_its_end_stops_nobody_if_nobody_read_it() {
        let (_dir, store) = Store::temporary();
        let (first, ..) = Journal::claim(&store).unwrap();
        interval(&first, 1).unwrap();
        let last = settled(first, &store).last().copied().unwrap();
        // Its machine went down while it wrote.
        store.put(&log_name(last + 1), b"pl".to_vec()).unwrap();
        let (second, history, ..) = Journal::claim(&store).unwrap();
        assert_eq!(history.last().map(|(number, _)| number), Some(1));
        interval(&second, 2).unwrap();
        drop(second);
        let (third, history, ..) = Journal::claim(&store).unwrap();
        assert_eq!(history.last().map(|(number, _)| number), Some(2));
        drop(third);
        // One that another was written after was whole.
        store.put(&log_name(1), b"pl".to_vec()).unwrap();
        store.delete(&log_name(2)).unwrap();
        store.delete(&log_name(3)).unwrap();
        assert!(Journal::claim(&store).is_err());
    }

    #[test]
    fn a_later_master_that_has_claimed_the_log_is_not_followed_by_an_earlier_one() {
        let (_dir, store) = Store::temporary();
        let (later, ..) = Journal::claim(&store).unwrap();
        let (position, entry) = (1, Entry { epoch: u64::MAX, completed: 0, news: News::Claimed });
        assert!(create(&store, position, &entry).unwrap());
        let error = Journal::claim(&store).err().unwrap();
        assert_eq!(error.kind(), crate::error::ErrorKind::Fenced, "{error}");
        drop(later);
    }

    /// At each step of writing an entry the store fails and does so once more; it may be there by then.
    #[test]
    fn what_cannot_be_written_at_once_is_tried_again_and_is_there_once() {
        let (_dir, store) = Store::temporary();
        let (journal, ..) = Journal::claim(&store).unwrap();
        for at in 0..6 {
            store.faults().mend();
            store.faults().order(Fault { folder: LOG.to_owned(), at, then: Then::Fail(2) });
            interval(&journal, at + 1).unwrap();
        }
        drop(journal);
        store.faults().mend();
        let about = |(_, entry): &(u64, Entry)| number_of(entry);
        let numbers: Vec<u64> = entries(&store).unwrap().iter().filter_map(about).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    }

    /// Whoever it is that runs the program goes on.
    #[test]
    fn a_log_that_is_not_free_is_not_claimed() {
        let (_dir, store) = Store::temporary();
        let (first, ..) = Journal::claim(&store).unwrap();
        assert!(Journal::claim_if(&store, || Ok(false)).unwrap().is_none());
        first.interval(1, Time::from_ms(1), Vec::new(), Vec::new());
        first.wait_for(1).unwrap();
    }

    #[test]
    fn a_store_that_stays_away_ends_the_log() {
        let (_dir, store) = Store::temporary();
        let (journal, ..) = Journal::claim(&store).unwrap();
        store.faults().mend();
        store.faults().order(Fault { folder: LOG.to_owned(), at: 0, then: Then::FailForEver });
        let said = interval(&journal, 1).unwrap_err().to_string();
        assert!(said.contains("on purpose") && journal.has_failed(), "{said}");
    }

    /// Every one of them names datasets, blocks and workers by its number.
    #[test]
    fn masters_that_begin_at_the_same_time_have_numbers_of_their_own() {
        let (_dir, store) = Store::temporary();
        let begin = || {
            let store = store.clone();
            std::thread::spawn(move || new_epoch(&store).unwrap())
        };
        let threads: Vec<_> = (0..8).map(|_| begin()).collect();
        let begun: Vec<(u64, u64)> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        let ordinals: std::collections::BTreeSet<u64> = begun.iter().map(|(_, ordinal)| *ordinal).collect();
        assert_eq!(ordinals.len(), begun.len(), "{begun:?}");
    }
}
