use std::{
    fs,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crossbeam_channel::Sender;
use cutwater_core::{
    WorkerId, limits,
    standing::{Silence, Standing},
};
use serde::{Deserialize, Serialize};

use super::{master::ToMaster, worker};
use crate::{
    checkpoint::{file::Kind, store::Store},
    error::Error,
};

const LEASE: Kind = Kind::new(b"ls", 4, "lease of a master");
const FOLDER: &str = "leases";

/// Each master has a name of its own, in the order of the epochs: one that was overtaken may still write its own.
fn name(epoch: u64) -> String {
    format!("{FOLDER}/{epoch:020}")
}

/// Which master runs the program, written anew every now and then while it does.
///
/// It decides nothing: who may write is decided by the progress log. It tells a standby when to try, and whoever
/// takes over where the workers are. The newest is never removed, so whoever was overtaken finds one that is newer than its
/// own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lease {
    pub epoch: u64,
    /// Counts how often it was written.
    beat: u64,
    process: Process,
    stands: Stands,
    /// It names nobody as long as it has not looked whom the one before had last.
    workers: Option<Workers>,
}

/// Where workers serve their blocks, for whoever takes over.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Workers {
    /// Those that the master counts on, and are the next's.
    pub here: Vec<(WorkerId, String)>,
    pub lost: Lost,
}

impl Workers {
    pub fn all(&self) -> impl Iterator<Item = &(WorkerId, String)> {
        self.here.iter().chain(&self.lost.0)
    }
}

/// Those that count as lost, the last that were. Others have their part, but they may be there all the same, and hold what nobody
/// else does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Lost(Vec<(WorkerId, String)>);

impl Lost {
    /// A worker is lost that was there. Only so many are remembered: most are gone for good.
    pub fn put(&mut self, worker: WorkerId, address: String) {
        self.come(&address);
        if self.0.len() >= limits::LOST_NAMED_MAX {
            self.0.remove(0);
        }
        self.0.push((worker, address));
    }

    /// A worker is here that is reached there: it is the one that was lost, or has its place.
    pub fn come(&mut self, address: &str) {
        self.0.retain(|(_, lost)| lost != address);
    }
}

/// How a master stands to its program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Stands {
    /// It runs it.
    Runs,
    /// It has ended, and the program has not: nobody has to wait for anything but the workers that it names, and those
    /// wait for whoever is next.
    Left,
    /// The program has ended in good order.
    Over,
}

/// A process, among all that ever ran where it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Process {
    /// The start of the machine, and the space of its process ids.
    machine: String,
    id: u32,
    started: String,
}

impl Process {
    fn own() -> Self {
        let id = std::process::id();
        Self { machine: machine(), id, started: started(id).unwrap_or_default() }
    }

    /// Whether it can be seen from here that it has ended.
    fn has_ended(&self) -> bool {
        self.machine == machine() && started(self.id).is_none_or(|started| started != self.started)
    }
}

fn machine() -> String {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let ids = fs::read_link("/proc/self/ns/pid").map(|link| link.display().to_string()).unwrap_or_default();
    format!("{} {ids}", boot.trim())
}

/// When the process was started; nothing if it has ended, even if its parent has not asked how.
fn started(id: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let mut fields = stat.rsplit(')').next()?.split_ascii_whitespace();
    let state = fields.next()?;
    (state != "Z" && state != "X").then(|| fields.nth(18).map(str::to_owned)).flatten()
}

impl Lease {
    /// That of the last master. A damaged one tells nothing.
    fn read(store: &Store) -> Result<Option<Self>, Error> {
        let mut looked = Vec::new();
        loop {
            let names = store.list(FOLDER)?;
            // Who has removed one meanwhile has written a later one before.
            if names == looked {
                return Ok(None);
            }
            for name in names.iter().rev() {
                let lease = store.get(name)?.and_then(|file| LEASE.open_value(&file).ok());
                if lease.is_some() {
                    return Ok(lease);
                }
            }
            looked = names;
        }
    }

    /// There was one, and whoever takes over leaves a later one: it was not a master that removed it.
    fn is_gone(store: &Store) -> Error {
        Error::external(format_args!(
            "the lease of the program's master is not in {} any more: was it removed, or is the place not mounted? Nothing is begun anew where a program ran: bring it back and start this process again, or give it another place",
            store.url()
        ))
    }

    /// The workers of the last master before that epoch.
    fn workers_before(store: &Store, epoch: u64) -> Result<Workers, Error> {
        for name in store.list(FOLDER)?.iter().rev().filter(|other| **other < name(epoch)) {
            let lease = store.get(name)?.and_then(|file| LEASE.open_value::<Self>(&file).ok());
            if let Some(workers) = lease.and_then(|lease| lease.workers) {
                return Ok(workers);
            }
        }
        Ok(Workers::default())
    }

    fn write(&self, store: &Store) -> Result<(), Error> {
        store.put(&name(self.epoch), LEASE.seal_value(self).map_err(Error::internal)?)
    }

    /// Waits until no master runs the program; unless it `may_wait`, says that one does as soon as that is known.
    /// Answers with the lease of the one that did, if it did not end in good order. A process that has waited for
    /// a program that then ended has nothing to do, and ends.
    ///
    /// # Errors
    /// The store cannot be read, has lost the lease that was there, or a master runs the program and this one may not wait.
    pub fn await_free(store: &Store, may_wait: bool) -> Result<Option<Self>, Error> {
        Self::await_free_by(|| Self::read(store), store, may_wait)
    }

    /// Whether it is still as it was when it was found to be free. Nobody takes it over at this moment, then, and no master that
    /// was taken for dead has come back to life.
    pub fn is_still(store: &Store, found: Option<&Self>) -> Result<bool, Error> {
        let now = Self::read(store)?;
        Ok(match &now {
            None if found.is_some() => return Err(Self::is_gone(store)),
            // Nobody runs the program, whoever did before.
            Some(now) if found.is_none() => now.stands == Stands::Over,
            now => now.as_ref() == found,
        })
    }

    fn await_free_by(
        mut read: impl FnMut() -> Result<Option<Self>, Error>,
        store: &Store,
        may_wait: bool,
    ) -> Result<Option<Self>, Error> {
        let began = Instant::now();
        let now_ms = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (mut seen, mut waited) = (read()?, false);
        let mut silence = Silence::since(now_ms());
        loop {
            let Some(lease) = &seen else { return Ok(None) };
            match lease.stands {
                Stands::Over if waited => {
                    tracing::info!(store = store.url(), "the program has ended, and so does its standby");
                    std::process::exit(0);
                }
                Stands::Over => return Ok(None),
                Stands::Left => return Ok(seen),
                Stands::Runs => {}
            }
            if lease.process.has_ended() || silence.is_long() {
                return Ok(seen);
            }
            thread::sleep(Duration::from_millis(limits::LEASE_POLL_MS));
            let looks_ms = now_ms();
            let now = read()?;
            if now.is_none() {
                return Err(Self::is_gone(store));
            }
            if now.as_ref() == Some(lease) {
                silence.goes_on(looks_ms);
            } else {
                silence = Silence::since(now_ms());
            }
            if now.as_ref().is_some_and(|now| now != lease) {
                if !may_wait {
                    return Err(Error::config(&[format!(
                        "a master runs this program with the checkpoints at {} (process {}); stop it first, or start this one with `--standby` to take over when it is gone",
                        store.url(),
                        lease.process.id
                    )]));
                }
                waited = true;
            }
            seen = now;
        }
    }
}

/// Writes the lease of this process for as long as it lives.
///
/// A thread of its own writes; the master's thread says who the workers are. If the process dies, the lease is not
/// written any more, and that is how others know.
pub(super) struct Keeper {
    store: Store,
    epoch: u64,
    state: Arc<(Mutex<State>, Condvar)>,
    thread: Option<JoinHandle<()>>,
}

struct State {
    workers: Workers,
    /// In milliseconds since then.
    standing: Standing,
    began: Instant,
    /// When the master last asked whether another may have taken over, and it was not certain. It is told when it is.
    doubted_ms: Option<u64>,
    news: bool,
    /// The keeper ends.
    over: bool,
    /// The program has ended in good order.
    program_over: bool,
    /// Workers hold what nobody else has, so that they are the next master's if the program has not ended.
    workers_needed: bool,
    /// To be told if another master takes over.
    master: Option<Sender<ToMaster>>,
}

impl Keeper {
    /// Writes the first, and removes those of the masters before. Answers with the workers of the last of them; if this one does
    /// not take over, with those that were lost to it. It is about to call them, and if it dies before they have come, whoever
    /// takes over next has to find them.
    ///
    /// Who the last had is looked up when it lets nobody in any more: it does so only if it finds no later lease than its
    /// own after it has named them.
    pub fn start(store: &Store, epoch: u64, takes_over: bool) -> Result<(Self, Workers), Error> {
        let mut lease =
            Lease { epoch, beat: 0, process: Process::own(), stands: Stands::Runs, workers: None };
        lease.write(store)?;
        let mut workers = Lease::workers_before(store, epoch)?;
        if !takes_over {
            workers.here.clear();
        }
        let (standing, began) = (Standing::new(0), Instant::now());
        lease.workers = Some(workers.clone());
        lease.write(store)?;
        let (doubted_ms, news, over, program_over, master) = Default::default();
        let workers_needed = !workers.here.is_empty();
        let state = State {
            workers: workers.clone(),
            standing,
            began,
            doubted_ms,
            news,
            over,
            program_over,
            workers_needed,
            master,
        };
        let state = Arc::new((Mutex::new(state), Condvar::new()));
        let older = store.list(FOLDER)?.into_iter().filter(|other| *other < name(epoch));
        older.into_iter().try_for_each(|older| store.delete(&older))?;
        let (to, shared) = (store.clone(), state.clone());
        let thread = worker::spawn("cutwater-lease", move || while keep(&to, &mut lease, &shared) {})?;
        Ok((Self { store: store.clone(), epoch, state, thread: Some(thread) }, workers))
    }

    /// That master is told if another takes over: what it waits for will never come.
    pub fn tell(&self, master: Sender<ToMaster>) {
        lock(&self.state.0).master = Some(master);
    }

    /// Whether another master runs the program by now, and has the workers.
    pub fn is_overtaken(&self) -> bool {
        matches!(Lease::read(&self.store), Ok(Some(found)) if found.epoch > self.epoch)
    }

    /// Whether it is certain that no other master runs the program.
    pub fn is_sure(&self) -> bool {
        let state = lock(&self.state.0);
        state.standing.is_sure(state.now_ms())
    }

    /// Nothing if it is certain that no other master runs the program; otherwise what time it is here. The master is told until
    /// when it [was certain](ToMaster::SureUntil) once that time has come.
    pub fn doubts(&self) -> Option<u64> {
        let mut state = lock(&self.state.0);
        let now_ms = state.now_ms();
        let doubt = (!state.standing.is_sure(now_ms)).then_some(now_ms);
        state.doubted_ms = doubt.or(state.doubted_ms);
        doubt
    }

    /// Another has, or this one ends and leaves the program to another.
    pub fn concede(&self) {
        lock(&self.state.0).standing.concedes();
    }

    /// The program has ended in good order: nobody is to take over.
    pub fn program_is_over(&self) {
        lock(&self.state.0).program_over = true;
    }

    /// Whether workers hold what nobody else has, such as records that clients were told are safe. Answers with what was said
    /// before.
    pub fn workers_needed(&self, needed: bool) -> bool {
        std::mem::replace(&mut lock(&self.state.0).workers_needed, needed)
    }

    /// Whether workers are to be left as they are when this process ends.
    pub fn leaves_workers(&self) -> bool {
        let state = lock(&self.state.0);
        state.workers_needed && !state.program_over
    }

    /// Who takes over has to find them.
    pub fn workers(&self, workers: Workers) {
        let mut state = lock(&self.state.0);
        (state.workers, state.news) = (workers, true);
        self.state.1.notify_all();
    }

    /// Whether somebody is named there, or is about to be.
    pub fn names(&self, address: &str) -> bool {
        lock(&self.state.0).workers.all().any(|(_, named)| named == address)
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// There was no later lease when one looked.
    fn tell_sure(&mut self, looked_ms: u64) {
        if let (Some(doubted_ms), Some(master)) = (self.doubted_ms, &self.master)
            && let Some(until_ms) = self.standing.sure_until(looked_ms, self.now_ms())
        {
            self.doubted_ms = (until_ms < doubted_ms).then_some(doubted_ms);
            let _ = master.send(ToMaster::SureUntil(until_ms));
        }
    }
}

/// Writes the lease once more; says whether to go on.
fn keep(store: &Store, lease: &mut Lease, shared: &(Mutex<State>, Condvar)) -> bool {
    let beat = Duration::from_millis(limits::LEASE_BEAT_MS);
    let state = lock(&shared.0);
    let waited = shared.1.wait_timeout_while(state, beat, |state| !state.news && !state.over);
    let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
    state.news = false;
    let over = state.over;
    lease.stands = match (over, state.program_over) {
        (_, true) => Stands::Over,
        (true, false) => Stands::Left,
        (false, false) => Stands::Runs,
    };
    let to_name = state.workers.clone();
    let looked_ms = state.now_ms();
    drop(state);
    match is_overtaken(store, lease, shared) {
        Some(true) => return false,
        Some(false) => lock(&shared.0).tell_sure(looked_ms),
        None => {}
    }
    let names_others = lease.workers.as_ref() != Some(&to_name);
    let before = lease.workers.replace(to_name);
    lease.beat += 1;
    let begun_ms = lock(&shared.0).now_ms();
    let written = lease.write(store);
    match &written {
        Ok(()) => lock(&shared.0).standing.beats(begun_ms),
        Err(error) => tracing::warn!(%error, "the lease cannot be written; a standby may take over"),
    }
    if names_others {
        // A later master either is found now, or finds whom this one has named.
        match written.ok().and_then(|()| is_overtaken(store, lease, shared)) {
            Some(true) => return false,
            Some(false) => tell_named(lease, shared),
            // It is not known, and tried again.
            None => lease.workers = before,
        }
    }
    !over
}

/// Whether there is a later master, if that can be told. This one hears of it.
fn is_overtaken(store: &Store, lease: &Lease, shared: &(Mutex<State>, Condvar)) -> Option<bool> {
    match Lease::read(store) {
        Ok(Some(found)) if found.epoch > lease.epoch => {
            tracing::error!("another master has taken the program over");
            let mut state = lock(&shared.0);
            state.standing.concedes();
            if let Some(master) = state.master.take() {
                let _ = master.send(ToMaster::Overtaken);
            }
            Some(true)
        }
        Ok(_) => Some(false),
        // Nobody is told anything wrong by that; it is tried again.
        Err(error) => {
            tracing::warn!(%error, "the lease cannot be read");
            None
        }
    }
}

fn tell_named(lease: &Lease, shared: &(Mutex<State>, Condvar)) {
    if let Some(master) = &lock(&shared.0).master {
        let here = lease.workers.iter().flat_map(|workers| &workers.here);
        let _ = master.send(ToMaster::Named(here.map(|(worker, _)| *worker).collect()));
    }
}

/// The epoch of the master that runs the program, as far as the lease says, for tests of what becomes of it.
#[cfg(test)]
pub(crate) fn runs(store: &Store) -> Option<u64> {
    let lease = Lease::read(store).ok()??;
    (lease.stands == Stands::Runs).then_some(lease.epoch)
}

/// Leaves the lease of a master of that epoch that died with these workers, for tests of who takes over.
#[cfg(test)]
pub(super) fn leave(store: &Store, epoch: u64, workers: &[(WorkerId, String)]) {
    let process = Process { started: "never".to_owned(), ..Process::own() };
    let workers = Workers { here: workers.to_vec(), lost: Lost::default() };
    let (stands, workers) = (Stands::Runs, Some(workers));
    let written = Lease { epoch, beat: 0, process, stands, workers }.write(store);
    written.expect("a lease can be written");
}

#[cfg(test)]
impl Keeper {
    /// The lease lay for long, and another master may have taken over: for an hour, unless it is certain again.
    pub(crate) fn doubt(&self) {
        let mut state = lock(&self.state.0);
        let hour_ms = state.now_ms() + 3_600_000;
        state.standing.beats(hour_ms);
        assert!(!state.standing.is_sure(hour_ms));
    }

    pub(crate) fn be_certain(&self) {
        let mut state = lock(&self.state.0);
        state.standing = Standing::new(state.now_ms());
    }
}

/// Whom it names.
#[cfg(test)]
pub(crate) fn named(store: &Store) -> Workers {
    let lease = Lease::read(store).ok().flatten();
    lease.and_then(|lease| lease.workers).unwrap_or_default()
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Keeper {
    fn drop(&mut self) {
        lock(&self.state.0).over = true;
        self.state.1.notify_all();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn one_that_is_kept_is_not_free_and_one_that_ended_in_good_order_is() {
        let (_dir, store) = Store::temporary();
        assert_eq!(Lease::await_free(&store, false).unwrap(), None);
        let (keeper, _) = Keeper::start(&store, 7, false).unwrap();
        let error = Lease::await_free(&store, false).unwrap_err().to_string();
        assert!(error.contains("--standby"), "{error}");
        keeper.program_is_over();
        drop(keeper);
        assert_eq!(Lease::await_free(&store, false).unwrap(), None);
    }

    /// It has read the lease, and judges later. That time is not the master's silence.
    #[test]
    fn one_that_is_kept_is_not_free_for_whoever_was_stopped_between_reading_and_judging() {
        let (_dir, store) = Store::temporary();
        let (_keeper, _) = Keeper::start(&store, 1, false).unwrap();
        let read = || Lease::read(&store).unwrap().unwrap();
        let (before, mut looks) = (read(), 0);
        let reads_and_is_stopped = || {
            looks += 1;
            if looks > 2 {
                return Ok(Some(read()));
            }
            // It has read before the next was written.
            let began = Instant::now();
            let lost = Duration::from_millis(limits::LEASE_LOST_MS);
            while looks == 2 && (began.elapsed() <= lost || read().beat < before.beat + 2) {
                thread::yield_now();
            }
            Ok(Some(before.clone()))
        };
        let error = Lease::await_free_by(reads_and_is_stopped, &store, false).unwrap_err().to_string();
        assert!(error.contains("--standby"), "{error}");
    }

    /// A place that is not mounted any more looks as if no program had ever run there.
    #[test]
    fn where_a_lease_was_and_is_no_more_nothing_is_begun_anew() {
        let (dir, store) = Store::temporary();
        leave(&store, 1, &[]);
        let found = Lease::await_free(&store, true).unwrap();
        assert!(Lease::is_still(&store, found.as_ref()).unwrap());
        let running = Lease { stands: Stands::Runs, process: Process::own(), ..found.clone().unwrap() };
        let removed = || fs::remove_dir_all(dir.path().join(FOLDER));
        let mut looks = 0;
        let standby = Lease::await_free_by(
            || {
                looks += 1;
                if looks == 1 {
                    return Ok(Some(running.clone()));
                }
                removed().unwrap();
                Lease::read(&store)
            },
            &store,
            true,
        );
        let error = standby.unwrap_err().to_string();
        assert!(error.contains("is the place not mounted?"), "{error}");
        let error = Lease::is_still(&store, found.as_ref()).unwrap_err().to_string();
        assert!(error.contains("is the place not mounted?"), "{error}");
    }

    #[test]
    fn what_was_found_free_may_be_taken_as_long_as_nobody_has_come() {
        let (_dir, store) = Store::temporary();
        assert!(Lease::is_still(&store, None).unwrap());
        leave(&store, 1, &[]);
        let found = Lease::await_free(&store, false).unwrap();
        assert!(found.is_some() && Lease::is_still(&store, found.as_ref()).unwrap());
        assert!(!Lease::is_still(&store, None).unwrap());
        let (keeper, _) = Keeper::start(&store, 2, true).unwrap();
        assert!(!Lease::is_still(&store, found.as_ref()).unwrap());
        keeper.program_is_over();
        drop(keeper);
        assert!(Lease::is_still(&store, None).unwrap());
    }

    /// They hold what it needed.
    #[test]
    fn one_that_ended_before_its_program_is_free_at_once_and_names_its_workers() {
        let (_dir, store) = Store::temporary();
        let workers = here(3);
        let (keeper, _) = Keeper::start(&store, 7, false).unwrap();
        keeper.workers(workers.clone());
        drop(keeper);
        let left = Lease::await_free(&store, false).unwrap().unwrap();
        assert_eq!((left.epoch, left.stands, left.workers), (7, Stands::Left, Some(workers.clone())));
        let (keeper, found) = Keeper::start(&store, 8, true).unwrap();
        assert_eq!(found, workers);
        assert!(keeper.leaves_workers(), "it has not let them come yet");
    }

    #[test]
    fn one_of_a_process_that_is_gone_is_free_at_once() {
        let (_dir, store) = Store::temporary();
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let process = Process { id: child.id(), started: started(child.id()).unwrap(), ..Process::own() };
        let lease = Lease { epoch: 1, beat: 1, process, stands: Stands::Runs, workers: Some(here(3)) };
        assert!(!lease.process.has_ended());
        child.kill().unwrap();
        child.wait().unwrap();
        lease.write(&store).unwrap();
        assert_eq!(Lease::await_free(&store, false).unwrap(), Some(lease));
    }

    fn here(worker: u32) -> Workers {
        Workers { here: vec![(WorkerId(worker), "there".to_owned())], lost: Lost::default() }
    }

    fn named(epoch: u64, workers: Option<Workers>) -> Lease {
        Lease { epoch, beat: 0, process: Process::own(), stands: Stands::Runs, workers }
    }

    /// It had not come to call them.
    #[test]
    fn who_dies_at_once_leaves_the_workers_of_the_one_before_in_the_lease() {
        let (_dir, store) = Store::temporary();
        let workers = here(3);
        named(2, Some(workers.clone())).write(&store).unwrap();
        // This one had not come to look.
        named(3, None).write(&store).unwrap();
        let (_keeper, found) = Keeper::start(&store, 4, true).unwrap();
        assert_eq!(found, workers);
        assert_eq!(Lease::read(&store).unwrap().unwrap().workers, Some(workers));
        assert_eq!(store.list(FOLDER).unwrap(), [name(4)]);
    }

    /// They may hold what nobody else does, however many masters come and go, and whether or not the program had ended.
    #[test]
    fn those_that_are_lost_are_named_until_they_come_or_too_many_are() {
        let (_dir, store) = Store::temporary();
        let mut workers = here(3);
        workers.lost.put(WorkerId(4), "elsewhere".to_owned());
        let (keeper, _) = Keeper::start(&store, 1, false).unwrap();
        keeper.workers(workers.clone());
        assert!(keeper.names("there") && keeper.names("elsewhere"));
        drop(keeper);
        let (keeper, found) = Keeper::start(&store, 2, true).unwrap();
        assert_eq!(found, workers);
        keeper.program_is_over();
        drop(keeper);
        let (_keeper, found) = Keeper::start(&store, 3, false).unwrap();
        assert_eq!(found, Workers { here: Vec::new(), lost: workers.lost.clone() });
        workers.lost.come("elsewhere");
        assert_eq!(workers, here(3));
        let last = 2 * limits::LOST_NAMED_MAX as u32;
        (1..=last).for_each(|worker| workers.lost.put(WorkerId(worker), worker.to_string()));
        let lost = workers.lost.0;
        assert_eq!((lost.len(), lost.last().unwrap().0), (limits::LOST_NAMED_MAX, WorkerId(last)));
    }

    /// Whoever takes over finds them, then.
    #[test]
    fn a_master_hears_when_the_lease_names_a_worker_unless_it_is_overtaken() {
        let (_dir, store) = Store::temporary();
        let (to_master, told) = crossbeam_channel::unbounded();
        let (keeper, _) = Keeper::start(&store, 1, false).unwrap();
        keeper.tell(to_master);
        keeper.workers(here(3));
        assert!(matches!(told.recv(), Ok(ToMaster::Named(named)) if named == BTreeSet::from([WorkerId(3)])));
        assert_eq!(Lease::workers_before(&store, 2).unwrap(), here(3));
        named(2, None).write(&store).unwrap();
        keeper.workers(here(4));
        assert!(matches!(told.recv(), Ok(ToMaster::Overtaken)), "the other has its workers by now");
    }

    #[test]
    fn who_was_overtaken_leaves_the_lease_alone() {
        let (_dir, store) = Store::temporary();
        let (old, _) = Keeper::start(&store, 1, false).unwrap();
        let (new, _) = Keeper::start(&store, 2, true).unwrap();
        drop(old);
        let newest = || Lease::read(&store).unwrap().unwrap();
        assert_eq!((newest().epoch, newest().stands), (2, Stands::Runs));
        drop(new);
        assert_eq!((newest().epoch, newest().stands), (2, Stands::Left));
    }

    /// It had read that it was the newest, and was stopped before it wrote: also after the other has ended.
    #[test]
    fn who_writes_its_lease_late_is_taken_for_nobody() {
        let (_dir, store) = Store::temporary();
        let (old, _) = Keeper::start(&store, 1, false).unwrap();
        let lease = Lease::read(&store).unwrap().unwrap();
        drop(Keeper::start(&store, 2, true).unwrap());
        lease.write(&store).unwrap();
        assert_eq!(Lease::read(&store).unwrap().unwrap().epoch, 2);
        assert!(old.is_overtaken());
        drop(Keeper::start(&store, 3, true).unwrap());
        assert_eq!(store.list(FOLDER).unwrap(), [name(3)], "what it left goes");
    }
}
