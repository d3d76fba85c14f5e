use std::{
    collections::{BTreeMap, BTreeSet},
    panic::Location,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, Weak,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use cutwater_core::{DatasetId, Time, limits};

use super::{
    look_ahead::LookAhead,
    persist::Keep,
    saving::{LastSaved, StateAt, StateOf, restore},
    timeline::Timeline,
};
use crate::{
    Record,
    checkpoint::{
        manifest::SavedState,
        saved::{Saving, fits},
        store::Store,
    },
    error::Error,
    rdd::Rdd,
    runtime::Engine,
    source::{Standing, StandingAt},
    task::on_master,
};

/// A stream as the graph holds it.
///
/// Properties (those of the model, `paper.md` §11, and two for keeping house):
/// - `slide`: it is asked only at multiples of it, counted from zero time;
/// - `parents`: streams it is made from, each with how much older than the question what it needs
///   may be, and `made`, whether that is all that it is made from;
/// - `compute`: its dataset at a time, from the datasets of its parents and, where there is state,
///   from its own dataset before;
/// - `generated`: what it has answered; a time is computed once;
/// - `remember`: for how long answers are kept;
/// - `state`, of a stream whose dataset is made from the one before: how checkpoints write it.
///
/// Only the driver's thread asks. No lock is held while `compute` runs, since it asks other streams.
pub(crate) struct StreamNode<T> {
    /// The operation and its place in the program.
    label: Arc<str>,
    place: &'static Location<'static>,
    /// The same with the name that the user gave it.
    named: OnceLock<Arc<str>>,
    given: OnceLock<Box<str>>,
    slide: Duration,
    parents: Vec<super::Parent>,
    made: Made,
    is_of_its_interval: bool,
    /// How the sources stand that it is made from. A stream that is made from none is a source.
    sources: Vec<Arc<StandingAt>>,
    timeline: Arc<Timeline>,
    compute: Box<Compute<T>>,
    generated: Mutex<BTreeMap<Time, Option<Rdd<T>>>>,
    /// What its kept datasets are called that a master before has made, and how many partitions they had.
    names: Mutex<BTreeMap<Time, (DatasetId, u32)>>,
    /// Times whose intervals failed.
    aside: Mutex<BTreeSet<Time>>,
    remember: Mutex<Duration>,
    /// What the operation is called, wherever it is in the program.
    operation: Box<str>,
    /// How its datasets are saved, if each is made from the one before.
    state: Option<Saving<T>>,
    /// What was saved, the last at the end, and in which files.
    saved: Mutex<Vec<LastSaved<T>>>,
    /// How many of its last datasets were not computed.
    behind: AtomicU32,
    /// The stream of the same datasets, kept, which all windows over it read. The graph holds it.
    kept: Mutex<Weak<StreamNode<T>>>,
    /// How they are kept, where its records lie in kept datasets: those of a window, in the datasets of
    /// the stream it is over.
    keep: OnceLock<Arc<Mutex<Keep<T>>>>,
}

/// What the dataset of a stream at a time is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Made {
    /// From whatever its function looks at.
    OfAnything,
    /// From the datasets of its parents at the same time and from nothing else, by a function of ours that describes
    /// it and does no more.
    OfItsInterval,
    /// The same, as the write side of a shuffle that is part of another stream's operation. Nobody else asks for it,
    /// so that it has no name, and keeps no answer when an interval is over.
    ForAShuffle,
}

pub(crate) type Compute<T> = dyn Fn(Time, Option<Rdd<T>>) -> Result<Option<Rdd<T>>, Error> + Send + Sync;

/// A stream when the type of its records does not matter.
pub(crate) trait AnyStream: Send + Sync {
    fn slide(&self) -> Duration;
    fn label(&self) -> Arc<str>;
    /// Where the program calls the operation.
    fn place(&self) -> &'static Location<'static>;
    /// Gives it a name, and the streams inside the same operation too.
    fn name(&self, name: &str);
    /// Keeps answers for at least `span`, and makes parents keep what that takes.
    fn remember(&self, span: Duration);
    /// Lets answers go that nobody can ask for after `now`. What is behind them goes with them, where what
    /// is stored may not be lost.
    fn forget(&self, now: Time, may_be_lost: bool);
    /// Lets go of what is behind datasets up to `now` that are stored, where what is stored cannot be lost.
    fn cut_lineage(&self, now: Time);
    /// Lets go of the answers that are made from `time`: the interval failed.
    fn retract(&self, time: Time);
    /// Whether its dataset at a time follows from what sources were cut into for that time, and to ask for it is to
    /// describe it and no more: it may be asked for before the interval before is over.
    fn is_of_its_interval(&self) -> bool;
    /// Whether it is part of another stream's operation.
    fn is_for_a_shuffle(&self) -> bool;
    /// Finds what of its dataset at `time` may be made before the interval before is over.
    fn look_ahead(&self, time: Time, ahead: &mut LookAhead);
    /// The time of the program that it belongs to.
    fn timeline(&self) -> &Arc<Timeline>;
    /// How the sources stand that it is made from.
    fn sources(&self) -> &[Arc<StandingAt>];
    /// What the operation is called, wherever it is in the program, and the name that the user gave it.
    fn operation(&self) -> (&str, Option<&str>);
    /// Whether its datasets are what a source was cut into.
    fn is_source(&self) -> bool;
    /// For how long answers are kept.
    fn remembered(&self) -> Duration;
    /// The name of its dataset at `time`, if that was made and is kept, and how many partitions it has.
    fn kept_at(&self, time: Time) -> Option<(DatasetId, u32)>;
    /// Its dataset at `time`, if that is kept and in so many partitions, is to be called so: workers may hold it under
    /// that name.
    fn name_at(&self, time: Time, name: DatasetId, partitions: u32);
    /// The names that were given so.
    fn named(&self) -> Vec<DatasetId>;
    /// Lets go of them.
    fn unname(&self);
    /// Lets go of all answers.
    fn begin_anew(&self);
    /// Computes the datasets that it holds.
    fn compute_held(&self) -> Result<(), Error>;
    /// Computes its newest dataset, if it has state, and those before it that somebody looks back at.
    fn compute_states(&self) -> Result<(), Error>;
    /// Whether its dataset at a time is made from the one before.
    fn has_state(&self) -> bool;
    /// What its records are: for a stream with state, the types of keys and states.
    fn types(&self) -> &'static str;
    /// For a stream with state: what it was at `time`, to be saved, and before that as far back as somebody looks.
    fn states_until(self: Arc<Self>, time: Time) -> Vec<Box<dyn StateAt>>;
    /// What is wrong with a file of its state, if that was written by a program in which the type is another.
    fn fits(&self, file: &[u8]) -> Result<(), String>;
    /// Begins with a state that was saved.
    fn restore(&self, saved: &SavedState, engine: &Arc<Engine>, store: &Store) -> Result<(), Error>;
    /// Whether its records may be missing from the interval `time`, which is the newest: what its sources
    /// say together.
    fn standing(&self, time: Time) -> Standing {
        Standing::together(self.sources().iter().map(|source| source.at(time)))
    }
}

impl<T: Record> StreamNode<T> {
    #[track_caller]
    pub fn new(
        (operation, label): (&str, String),
        slide: Duration,
        parents: Vec<super::Parent>,
        timeline: Arc<Timeline>,
        (made, state): (Made, Option<Saving<T>>),
        compute: Box<Compute<T>>,
    ) -> Self {
        let mut sources: Vec<Arc<StandingAt>> = Vec::new();
        for source in parents.iter().flat_map(|(parent, _)| parent.sources()) {
            if !sources.iter().any(|known| Arc::ptr_eq(known, source)) {
                sources.push(source.clone());
            }
        }
        if parents.is_empty() {
            sources.push(Arc::default());
        }
        let is_of_its_interval =
            made != Made::OfAnything && parents.iter().all(|(parent, _)| parent.is_of_its_interval());
        Self {
            label: label.into(),
            place: Location::caller(),
            named: OnceLock::new(),
            given: OnceLock::new(),
            slide,
            made,
            is_of_its_interval,
            parents,
            sources,
            timeline,
            compute,
            generated: Mutex::default(),
            names: Mutex::default(),
            aside: Mutex::default(),
            remember: Mutex::new(Duration::ZERO),
            operation: operation.into(),
            state,
            saved: Mutex::default(),
            behind: AtomicU32::new(0),
            kept: Mutex::default(),
            keep: OnceLock::new(),
        }
    }

    /// Whether the stream has anything to say at `time` (`api.md` §4.2).
    pub fn is_valid(&self, time: Time) -> bool {
        self.timeline.zero().is_some_and(|zero| time > zero && Self::is_aligned(time, zero, self.slide))
    }

    /// Whether `time` is a multiple of `slide` from `zero`.
    pub fn is_aligned(time: Time, zero: Time, slide: Duration) -> bool {
        (time.as_ms() - zero.as_ms()) % slide.as_millis().max(1) as i64 == 0
    }

    /// The label before the first interval's. `None` before the start.
    pub fn zero(&self) -> Option<Time> {
        self.timeline.zero()
    }

    /// The dataset at `time`; `None` if there is none.
    pub fn at(&self, time: Time) -> Result<Option<Rdd<T>>, Error> {
        if !self.is_valid(time) {
            return Ok(None);
        }
        if self.state.is_some() {
            // From the oldest missing one on, so that each finds the one before it and the calls
            // do not nest as deep as the stream is old.
            let zero = self.timeline.zero().unwrap_or(time);
            let last = self.lock().range(..=time).next_back().map(|(t, _)| *t);
            let mut next = last.unwrap_or(zero) + self.slide;
            while next < time {
                self.generate(next)?;
                next = next + self.slide;
            }
        }
        self.generate(time)
    }

    /// Fixes the answer for `time`: what a source was cut into.
    pub fn put(&self, time: Time, rdd: Option<Rdd<T>>) {
        self.lock().insert(time, rdd);
    }

    /// How its datasets are saved, if it has state.
    pub fn saving(&self) -> Option<&Saving<T>> {
        self.state.as_ref()
    }

    /// What was saved of it, the last at the end.
    pub fn saved(&self) -> std::sync::MutexGuard<'_, Vec<LastSaved<T>>> {
        self.saved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody looks further back than to its last state and the one before, from which that is made.
    pub fn looks_back(&self) -> bool {
        self.remembered() > self.slide * 2
    }

    /// The answers up to `time` that were given and are held, the oldest first.
    pub fn generated_until(&self, time: Time) -> Vec<(Time, Option<Rdd<T>>)> {
        self.lock().range(..=time).map(|(time, rdd)| (*time, rdd.clone())).collect()
    }

    /// The answer for `time` if it was given already.
    pub fn generated(&self, time: Time) -> Option<Rdd<T>> {
        self.lock().get(&time).cloned().flatten()
    }

    /// The stream of its kept datasets, if there is one.
    pub fn kept(&self) -> Option<Arc<Self>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).upgrade()
    }

    pub fn set_kept(&self, kept: &Arc<Self>) {
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(kept);
    }

    /// Its records lie in datasets that are kept as `keep` says.
    pub fn keep_as(&self, keep: Arc<Mutex<Keep<T>>>) {
        // Said once, by the operation that makes the stream.
        let _ = self.keep.set(keep);
    }

    pub fn keep(&self) -> Option<&Arc<Mutex<Keep<T>>>> {
        self.keep.get()
    }

    /// The times of which there is still an answer, oldest first.
    pub fn held(&self) -> Vec<Time> {
        self.lock().keys().copied().collect()
    }

    fn generate(&self, time: Time) -> Result<Option<Rdd<T>>, Error> {
        if let Some(known) = self.lock().get(&time) {
            return Ok(known.clone());
        }
        let before = if self.state.is_some() { self.generated(time - self.slide) } else { None };
        let mut rdd = match (self.compute)(time, before.clone()) {
            // It fails even without records, and its interval has said so already.
            Err(_) if self.aside().contains(&time) => before,
            made => made?,
        };
        if let (Some(rdd), Some(name)) = (&mut rdd, self.named.get()) {
            rdd.relabel(&self.label, name);
        }
        if let Some(rdd) = &mut rdd {
            self.rename(time, rdd);
        }
        self.lock().insert(time, rdd.clone());
        Ok(rdd)
    }

    /// Calls a dataset by the name under which workers may hold it.
    pub fn rename(&self, time: Time, rdd: &mut Rdd<T>) {
        if let Some((name, partitions)) = self.names().get(&time) {
            rdd.rename(*name, *partitions);
        }
    }

    fn names(&self) -> std::sync::MutexGuard<'_, BTreeMap<Time, (DatasetId, u32)>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Computes a state if nobody has looked at one for so long that what they are made from piles up.
    fn catch_up(&self, state: &Rdd<T>, may_be_lost: bool) {
        let node = state.node();
        let behind = if node.is_stored() { 0 } else { self.behind.load(Ordering::Relaxed) + 1 };
        self.behind.store(behind, Ordering::Relaxed);
        // A failure is of the interval in which somebody looks.
        if behind >= limits::STATE_BEHIND_MAX && state.compute().is_ok() {
            if !may_be_lost {
                node.cut_if_stored();
            }
            self.behind.store(0, Ordering::Relaxed);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<Time, Option<Rdd<T>>>> {
        self.generated.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn aside(&self) -> std::sync::MutexGuard<'_, BTreeSet<Time>> {
        self.aside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Record> AnyStream for StreamNode<T> {
    fn slide(&self) -> Duration {
        self.slide
    }

    fn label(&self) -> Arc<str> {
        self.named.get().unwrap_or(&self.label).clone()
    }

    fn place(&self) -> &'static Location<'static> {
        self.place
    }

    fn name(&self, name: &str) {
        // The first name given counts.
        let _ = self.given.set(name.into());
        let _ = self.named.set(format!("`{name}`, {}", self.label).into());
        for (parent, _) in &self.parents {
            if parent.place() == self.place {
                parent.name(name);
            }
        }
    }

    fn remember(&self, span: Duration) {
        let mut mine = self.remember.lock().unwrap_or_else(PoisonError::into_inner);
        // A state is made from the one before it.
        let asked_for = mine.max(span).max(self.slide * if self.state.is_some() { 2 } else { 1 });
        if self.made != Made::ForAShuffle {
            *mine = asked_for;
        }
        for (parent, older) in &self.parents {
            parent.remember(asked_for + *older);
        }
    }

    fn forget(&self, now: Time, may_be_lost: bool) {
        let remembered = self.remembered();
        if self.state.is_some() && !remembered.is_zero() {
            // Nobody may have asked if the interval failed, or if what is asked for slides slowly. The
            // next state is made from this one, and what this one is made from may go now. If it
            // cannot be made, whoever asks next is told.
            if let Ok(Some(state)) = self.at(now) {
                self.catch_up(&state, may_be_lost);
            }
        }
        let before = now - remembered;
        self.names().retain(|time, _| *time > before);
        self.aside().retain(|time| *time > before);
        let mut generated = self.lock();
        let kept = generated.split_off(&Time::from_ms(before.as_ms() + 1));
        let old = std::mem::replace(&mut *generated, kept);
        // Let go without the lock: the end of a dataset has work to do. One that a later dataset is
        // still to be computed from stays behind that until then.
        drop(generated);
        drop(old);
    }

    fn cut_lineage(&self, now: Time) {
        let all: Vec<_> = self.lock().range(..=now).filter_map(|(_, rdd)| rdd.clone()).collect();
        for rdd in all {
            rdd.kept_node().cut_if_stored();
        }
    }

    fn retract(&self, time: Time) {
        let gone = if self.is_of_its_interval {
            // What it has answered for a time after that has nothing to do with it.
            self.lock().extract_if(time..=time, |_, _| true).collect()
        } else {
            self.lock().split_off(&time)
        };
        drop(gone);
        self.aside().insert(time);
    }

    fn is_of_its_interval(&self) -> bool {
        self.is_of_its_interval
    }

    fn is_for_a_shuffle(&self) -> bool {
        self.made == Made::ForAShuffle
    }

    fn look_ahead(&self, time: Time, ahead: &mut LookAhead) {
        if !self.is_valid(time) || !ahead.streams.insert(std::ptr::from_ref(self).addr()) {
            return;
        }
        if !self.is_of_its_interval {
            self.parents.iter().for_each(|(parent, _)| parent.look_ahead(time, ahead));
        } else if let Ok(Some(rdd)) = on_master(|| self.at(time)) {
            // Whatever is wrong with it, whoever asks in its interval is told.
            ahead.look_at(rdd.node());
        }
    }

    fn timeline(&self) -> &Arc<Timeline> {
        &self.timeline
    }

    fn sources(&self) -> &[Arc<StandingAt>] {
        &self.sources
    }

    fn operation(&self) -> (&str, Option<&str>) {
        (&self.operation, self.given.get().map(|name| &**name))
    }

    fn is_source(&self) -> bool {
        self.parents.is_empty() && self.state.is_none()
    }

    fn remembered(&self) -> Duration {
        *self.remember.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn kept_at(&self, time: Time) -> Option<(DatasetId, u32)> {
        let rdd = self.generated(time)?;
        let dataset = &rdd.node().dataset;
        dataset.keep.then_some((dataset.id, dataset.partitions))
    }

    fn name_at(&self, time: Time, name: DatasetId, partitions: u32) {
        self.names().insert(time, (name, partitions));
    }

    fn named(&self) -> Vec<DatasetId> {
        self.names().values().map(|(name, _)| *name).collect()
    }

    fn unname(&self) {
        self.names().clear();
    }

    fn begin_anew(&self) {
        let gone = std::mem::take(&mut *self.lock());
        let saved = std::mem::take(&mut *self.saved());
        drop((gone, saved));
    }

    fn compute_held(&self) -> Result<(), Error> {
        let held: Vec<_> = self.lock().values().flatten().cloned().collect();
        held.iter().try_for_each(|rdd| rdd.compute().map(drop))
    }

    fn compute_states(&self) -> Result<(), Error> {
        if self.state.is_none() {
            return Ok(());
        }
        let mut held: Vec<_> = self.lock().values().cloned().collect();
        if !self.looks_back() {
            held.drain(..held.len().saturating_sub(1));
        }
        held.iter().flatten().try_for_each(|rdd| rdd.compute().map(drop))
    }

    fn has_state(&self) -> bool {
        self.state.is_some()
    }

    fn types(&self) -> &'static str {
        std::any::type_name::<T>()
    }

    fn states_until(self: Arc<Self>, time: Time) -> Vec<Box<dyn StateAt>> {
        StateOf::until(&self, time)
    }

    fn fits(&self, file: &[u8]) -> Result<(), String> {
        // It runs what the program says of its types.
        match on_master(|| Ok(fits::<T>(file))) {
            Ok(fits) => fits,
            Err(error) => Err(error.to_string()),
        }
    }

    fn restore(&self, saved: &SavedState, engine: &Arc<Engine>, store: &Store) -> Result<(), Error> {
        restore(self, saved, engine, store)
    }
}
