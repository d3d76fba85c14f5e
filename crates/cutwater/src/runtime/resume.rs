use std::{collections::VecDeque, sync::Arc, time::Duration};

use cutwater_core::{
    BlockId, DatasetId, Time,
    progress::{Checkpoint, History, Interval},
};
use serde::{Deserialize, Serialize};

use super::{
    checkpointer::Checkpointer,
    cluster::Role,
    journal,
    journal::Journal,
    lease::{Keeper, Lease, Workers},
};
use crate::{
    checkpoint::{
        manifest::{Manifest, SavedState},
        operators,
        program::ProgramRecord,
        store::Store,
    },
    context::{Context, Graph, Settings},
    error::Error,
    source::Recorded,
    stream::{AnyStream, ids},
};

/// What a program writes down, and what it found written down when it started.
///
/// The driver's thread has it. If the process dies, the next one begins here.
pub(crate) struct Durable {
    pub(super) journal: Arc<Journal>,
    pub(super) checkpointer: Checkpointer,
    pub(super) keeper: Arc<Keeper>,
    /// Larger than that of any process that has run the program before.
    pub(super) epoch: u64,
    /// How many have.
    ordinal: u64,
    /// Those of the master that ran it last: of one that ended in good order those that it had lost.
    workers: Workers,
    store: Store,
    history: History,
    /// How many partitions there were at the last start where the program gives no number.
    parallelism: Option<u32>,
    /// The moment of which the states are used; zero if there is none.
    from: (u64, Time),
    /// The manifests that are used or held in case that one cannot be, the newest first.
    usable: Vec<Manifest>,
    /// Those that cannot be used.
    spoilt: Vec<Checkpoint>,
    /// Up to which interval it is written down what its kept datasets are called.
    pub(super) named_until: Option<Time>,
    /// By the numbers of their intervals, the manifests that are held.
    held: Vec<(u64, Time)>,
}

/// How a master begins: what there was before it.
#[derive(Clone, Default)]
pub(crate) struct Begins {
    /// How many masters there were. Whatever it names has a name that none of theirs has.
    ordinal: u64,
    pub(super) epoch: u64,
    /// Workers of the one before, and where they are.
    pub(super) workers: Workers,
    /// To be told who the workers are.
    pub(super) keeper: Option<Arc<Keeper>>,
}

impl Begins {
    /// Datasets, jobs and stages are named from here on.
    pub fn first_name(&self) -> u64 {
        self.ordinal << 40
    }

    /// And workers.
    pub fn first_worker(&self) -> u32 {
        (self.ordinal as u32) << 12
    }
}

/// An interval whose input is known from the log.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub number: u64,
    pub time: Time,
    pub input: Vec<Recorded>,
    pub is_aside: bool,
}

/// The input of an interval as it is written down.
#[derive(Serialize, Deserialize)]
pub(super) struct Input {
    /// How many partitions there were where the program gives no number.
    pub parallelism: u32,
    /// What each source gave, in the order of their declaration.
    pub sources: Vec<(String, Recorded)>,
    /// Kept datasets of intervals that were over by then: workers may still hold them when another master takes over.
    pub kept: Vec<Kept>,
}

/// What a kept dataset is called.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept {
    /// The number of its stream.
    pub stream: u32,
    pub time: Time,
    pub name: DatasetId,
    pub partitions: u32,
}

impl Durable {
    /// Claims what a program of these settings has written down before, if it writes anything down. Waits until no
    /// other master runs it.
    pub fn open(settings: &Settings) -> Result<Option<Self>, Error> {
        let Some(url) = &settings.checkpoints.url else { return Ok(None) };
        if matches!(settings.role, Role::Worker { .. }) {
            return Ok(None);
        }
        let store = Store::open(url)?;
        let (takes_over, (journal, history, epoch, ordinal)) = loop {
            let found = Lease::await_free(&store, settings.checkpoints.standby)?;
            if let Some(claimed) = Journal::claim_if(&store, || Lease::is_still(&store, found.as_ref()))? {
                break (found.is_some(), claimed);
            }
        };
        // Whoever wrote there before is over.
        store.sweep()?;
        let parallelism = ProgramRecord::read(&store)?.map(|record| record.parallelism);
        let (keeper, workers) = Keeper::start(&store, epoch, takes_over)?;
        let keeper = Arc::new(keeper);
        let (journal, settings) = (Arc::new(journal), &settings.checkpoints);
        let checkpointer = Checkpointer::start(settings, store.clone(), epoch, Some(journal.clone()), None)?;
        let held: Vec<String> = history.held.iter().map(Manifest::name_of).collect();
        // A master that was overtaken may have left them, or one that died before they counted.
        Manifest::names(&store)?
            .into_iter()
            .filter(|name| !held.contains(name))
            .for_each(|name| checkpointer.is_spoiled(name));
        Ok(Some(Self {
            journal,
            checkpointer,
            keeper,
            workers,
            epoch,
            ordinal,
            store,
            history,
            parallelism,
            from: (0, Time::from_ms(0)),
            usable: Vec::new(),
            spoilt: Vec::new(),
            named_until: None,
            held: Vec::new(),
        }))
    }

    /// Compares the program with the one that has written here.
    pub fn compare(&self, ctx: &Context, graph: &Graph) -> Result<(), Error> {
        // Workers that are there run the same program, and what they hold is of its types.
        let newest = match self.history.held.last().filter(|_| !self.takes_over()) {
            Some(newest) => Manifest::read(&self.store, newest)?.ok(),
            None => None,
        };
        operators::check(graph, &self.store, &ctx.settings().checkpoints.droppable, newest.as_ref())?;
        operators::write(graph, &self.store, self.epoch)
    }

    /// What a master needs to know that begins.
    pub fn begins(&self) -> Begins {
        let workers = self.workers.clone();
        Begins { ordinal: self.ordinal, epoch: self.epoch, workers, keeper: Some(self.keeper.clone()) }
    }

    /// None of the workers of the master before is there: they are gone, or run another executable.
    pub fn nobody_came(&mut self) {
        self.workers.here.clear();
    }

    /// How many partitions there were at the last start where the program gives no number.
    pub fn parallelism(&self) -> Option<u32> {
        self.parallelism
    }

    /// The label before the first interval's: that of the first start, or `zero` if this is it.
    pub fn zero(&self, ctx: &Context, zero: Time) -> Result<Time, Error> {
        let before = ProgramRecord::read(&self.store)?;
        let record = ProgramRecord {
            name: ctx.settings().name.clone(),
            interval_ms: u64::try_from(ctx.interval().as_millis()).unwrap_or(u64::MAX),
            parallelism: ctx.engine().parallelism(),
            zero: before.as_ref().map_or(zero, |before| before.zero),
        };
        if let Some(before) = before.filter(|before| before.parallelism != record.parallelism) {
            let (was, is, store) = (before.parallelism, record.parallelism, self.store.url());
            tracing::info!(was, is, store, "the parallelism was changed; keys are spread anew");
        }
        record.write(&self.store, self.epoch)?;
        Ok(record.zero)
    }

    /// The last interval whose input is known, if any is.
    pub fn last(&self) -> Option<(u64, Time)> {
        self.history.last()
    }

    /// Gives streams the newest states that can be read. A manifest or file that is damaged is noticed, and an
    /// older one used; without any, states begin anew, from the first interval on.
    pub fn restore(&mut self, ctx: &Context, graph: &Graph, zero: Time) -> Result<(), Error> {
        self.from = (0, zero);
        self.usable.clear();
        for checkpoint in self.history.held.clone().into_iter().rev() {
            if self.spoilt.contains(&checkpoint) {
                continue;
            }
            let used = Manifest::read(&self.store, &checkpoint)?.and_then(|manifest| {
                // One is enough; those before it are held as long as they would have been.
                let used =
                    if self.usable.is_empty() { self.use_states(ctx, graph, &manifest) } else { Ok(()) };
                used.map(|()| manifest).map_err(|error| error.to_string())
            });
            match used {
                Ok(manifest) => self.usable.push(manifest),
                Err(why) => {
                    if self.usable.is_empty() {
                        graph.streams.iter().for_each(|stream| stream.begin_anew());
                    }
                    self.spoil(checkpoint, &why);
                }
            }
        }
        if let Some(newest) = self.usable.first() {
            self.from = (newest.number, newest.time);
            tracing::info!(interval = %newest.time, store = self.store.url(), "goes on with the states that were written");
            return Ok(());
        }
        let first = self.history.intervals.first().map(|interval| interval.number);
        match first {
            // Nothing was ever removed, or nothing is there.
            None | Some(1) => Ok(()),
            Some(first) => Err(Error::external(format_args!(
                "no checkpoint in {} can be used, and what was before interval {first} is not there any more; begin anew in another place",
                self.store.url()
            ))),
        }
    }

    /// The states that were given cannot be read after all, and streams have let go of them.
    pub fn give_up(&mut self, why: &Error) {
        if !self.usable.is_empty() {
            let checkpoint = self.usable.remove(0).checkpoint();
            self.spoil(checkpoint, &why.to_string());
        }
    }

    /// Whether there are states that could be given up for others.
    pub fn has_states(&self) -> bool {
        !self.usable.is_empty()
    }

    fn spoil(&mut self, checkpoint: Checkpoint, why: &str) {
        let name = Manifest::name_of(&checkpoint);
        tracing::error!(name, store = self.store.url(), %why, "a checkpoint cannot be used; an older one is tried");
        self.checkpointer.is_spoiled(name);
        self.spoilt.push(checkpoint);
    }

    /// Holds what is used, and what may be if that cannot be.
    pub fn hold(&mut self) {
        for manifest in self.usable.drain(..).rev() {
            self.checkpointer.holds(manifest);
        }
    }

    fn use_states(&self, ctx: &Context, graph: &Graph, manifest: &Manifest) -> Result<(), Error> {
        let named: Vec<(String, &Arc<dyn AnyStream>)> =
            ids(&graph.streams).into_iter().zip(&graph.streams).collect();
        for saved in &manifest.states {
            let stream = named.iter().find(|(id, stream)| *id == saved.stream && stream.has_state());
            let Some((_, stream)) = stream else {
                tracing::warn!(
                    stream = saved.stream,
                    "a state was written that no stream of the program has; it is dropped"
                );
                continue;
            };
            stream.restore(saved, ctx.engine(), &self.store)?;
        }
        // What is new begins here: the records of the intervals before are not there any more.
        let is_saved = |id: &str| manifest.states.iter().any(|saved| saved.stream == *id);
        for (id, stream) in named.iter().filter(|(id, stream)| stream.has_state() && !is_saved(id)) {
            let since_zero = manifest.time.as_ms() - self.from.1.as_ms();
            let slide_ms = i64::try_from(stream.slide().as_millis()).unwrap_or(i64::MAX);
            let time = Time::from_ms(manifest.time.as_ms() - since_zero % slide_ms);
            let nothing = SavedState { stream: id.clone(), time, by_key_groups: false, chains: None };
            stream.restore(&nothing, ctx.engine(), &self.store)?;
        }
        if self.takes_over() {
            // Most of what was made of it is where it was; what is not is read when that is known.
            return Ok(());
        }
        // Read now, so that a damaged file is known of while an older one can take its place.
        named.iter().try_for_each(|(_, stream)| stream.compute_held())
    }

    /// The intervals whose input is known, the oldest first: those that windows look back at, those from which
    /// states are made again, and those whose outputs may not be done. Blocks among their input are held again. Besides,
    /// the blocks for which nobody will ask: of intervals before, and of those that were set aside.
    pub(super) fn known(
        &self,
        ctx: &Context,
        graph: &Graph,
    ) -> Result<(VecDeque<Known>, Vec<BlockId>), Error> {
        let oldest = self.needed_from(graph, self.from.1);
        let (mut known, mut released) = (VecDeque::new(), Vec::new());
        for Interval { epoch, number, time, input } in &self.history.intervals {
            let sources = understood(*time, input)?.sources;
            let is_aside = self.history.aside.contains(number);
            if *time <= oldest || is_aside {
                // The master before may not have come to say so.
                released.extend(sources.iter().flat_map(|(_, recorded)| recorded.blocks()));
            }
            if *time <= oldest {
                continue;
            }
            if !is_aside {
                ctx.engine().hold_again(journal::blocks_of(&self.store, *number, *epoch)?)?;
            }
            let input = in_order(graph, sources, *time)?;
            known.push_back(Known { number: *number, time: *time, input, is_aside });
        }
        Ok((known, released))
    }

    /// The interval of which the states are used.
    pub fn from(&self) -> (u64, Time) {
        self.from
    }

    /// Gives the datasets to come the names that they had before, under which workers may hold them; but for those
    /// that are in other partitions now.
    pub fn name_kept(&self, ctx: &Context, graph: &Graph) -> Result<(), Error> {
        for Interval { time, input, .. } in &self.history.intervals {
            let Input { parallelism, kept, .. } = understood(*time, input)?;
            for Kept { stream, time, name, partitions } in kept {
                let stream = graph.streams.get(stream as usize);
                if let Some(stream) = stream.filter(|_| parallelism == ctx.engine().parallelism()) {
                    stream.name_at(time, name, partitions);
                }
            }
        }
        Ok(())
    }

    /// The intervals up to `over`, the last that is over, of which it is not written down what their kept datasets are
    /// called. There are two if the next was begun before the last was over.
    pub fn unnamed(&self, over: Time, interval: Duration) -> impl Iterator<Item = Time> + use<> {
        let until = self.named_until.unwrap_or(over - interval);
        let next = move |time: &Time| Some(*time + interval);
        std::iter::successors(Some(until + interval), next).take_while(move |time| *time <= over)
    }

    /// Whether workers of a master before may hold what they held.
    pub fn takes_over(&self) -> bool {
        !self.workers.here.is_empty()
    }

    /// Whether that interval's state is known without computing anything before.
    pub fn is_before_states(&self, number: u64) -> bool {
        number <= self.from.0
    }

    /// Whether all outputs of that interval are done.
    pub fn is_completed(&self, number: u64) -> bool {
        number <= self.history.completed
    }

    /// What lies before this, nobody looks back at from `time` on.
    fn needed_from(&self, graph: &Graph, time: Time) -> Time {
        let sources = graph.streams.iter().filter(|stream| stream.is_source());
        sources.map(|stream| time - stream.remembered()).min().unwrap_or(time)
    }

    /// Lets go of what no restart needs any more.
    pub fn forget(&mut self, graph: &Graph) {
        let Some(oldest) = self.checkpointer.oldest_held() else { return };
        if self.held.last() == Some(&oldest) {
            return;
        }
        self.held = vec![oldest];
        let (number, time) = oldest;
        let before = (time.as_ms() - self.needed_from(graph, time).as_ms()).max(0) as u64;
        let interval_ms =
            graph.streams.iter().map(|stream| stream.slide()).min().map_or(1, |slide| slide.as_millis());
        let intervals = u128::from(before).div_ceil(interval_ms.max(1));
        self.journal.needed_from((number + 1).saturating_sub(u64::try_from(intervals).unwrap_or(u64::MAX)));
    }
}

fn understood(time: Time, input: &[u8]) -> Result<Input, Error> {
    postcard::from_bytes(input).map_err(|error| {
        Error::external(format_args!("the input of interval {time} cannot be understood: {error}"))
    })
}

/// What each source of the program gave, in the order in which they are declared now.
fn in_order(graph: &Graph, mut sources: Vec<(String, Recorded)>, time: Time) -> Result<Vec<Recorded>, Error> {
    let mut find = |name: &str| {
        let at = sources.iter().position(|(known, _)| known == name);
        at.map(|at| sources.remove(at).1).ok_or_else(|| {
            Error::config(&[format!(
                "the source {name} was not there when interval {time} was cut; begin anew in another place, or name sources as they were"
            )])
        })
    };
    graph.inputs.iter().map(|input| find(input.name())).collect()
}
