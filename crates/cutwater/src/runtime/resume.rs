use std::{collections::VecDeque, sync::Arc};

use cutwater_core::{Time, progress::History};
use serde::{Deserialize, Serialize};

use super::{checkpointer::Checkpointer, journal, journal::Journal};
use crate::{
    checkpoint::{manifest::Manifest, operators, program::ProgramRecord, store::Store},
    context::{Context, Graph},
    error::Error,
    source::Recorded,
    stream::{AnyStream, ids},
};

/// What a program writes down, and what it found written down when it started.
///
/// The driver's thread has it. If the process dies, the next one begins here.
pub(super) struct Durable {
    pub journal: Journal,
    pub checkpointer: Checkpointer,
    /// The number of this process among those that have run the program.
    pub epoch: u64,
    store: Store,
    history: History,
    /// The moment of which the states are used; zero if there is none.
    from: (u64, Time),
    /// By the numbers of their intervals, the manifests that are held.
    held: Vec<(u64, Time)>,
}

/// An interval whose input is known from the log.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub number: u64,
    pub time: Time,
    pub input: Vec<Recorded>,
    pub is_aside: bool,
}

/// The input of an interval as it is written down: what each source gave, in the order of their declaration.
#[derive(Serialize, Deserialize)]
pub(super) struct Input(pub Vec<(String, Recorded)>);

impl Durable {
    /// Claims what the program of `ctx` has written down before.
    pub fn open(ctx: &Context, graph: &Graph, url: &str) -> Result<Self, Error> {
        let store = Store::open(url)?;
        operators::check(graph, &store, &ctx.settings().checkpoints.droppable)?;
        let (journal, history, epoch) = Journal::claim(&store)?;
        operators::write(graph, &store)?;
        let run = format!("{epoch:06}");
        let checkpointer = Checkpointer::start(&ctx.settings().checkpoints, store.clone(), &run, None)?;
        Ok(Self {
            journal,
            checkpointer,
            epoch,
            store,
            history,
            from: (0, Time::from_ms(0)),
            held: Vec::new(),
        })
    }

    /// The label before the first interval's: that of the first start, or `zero` if this is it.
    pub fn zero(&self, ctx: &Context, zero: Time) -> Result<Time, Error> {
        let record = ProgramRecord {
            name: ctx.settings().name.clone(),
            interval_ms: u64::try_from(ctx.interval().as_millis()).unwrap_or(u64::MAX),
            parallelism: ctx.engine().parallelism(),
            zero,
        };
        if record.create(&self.store)? {
            return Ok(zero);
        }
        Ok(ProgramRecord::read(&self.store)?.map_or(zero, |record| record.zero))
    }

    /// The last interval whose input is known, if any is.
    pub fn last(&self) -> Option<(u64, Time)> {
        self.history.last()
    }

    /// Gives streams the newest states that can be read. A manifest or file that is damaged is noticed, and an
    /// older one used; without any, states begin anew, from the first interval on.
    pub fn restore(&mut self, ctx: &Context, graph: &Graph, zero: Time) -> Result<(), Error> {
        self.from = (0, zero);
        let mut usable = Vec::new();
        for name in Manifest::names(&self.store)? {
            let used = Manifest::read(&self.store, &name)?.and_then(|manifest| {
                // One is enough; those before it are held as long as they would have been.
                let used = if usable.is_empty() { self.use_states(ctx, graph, &manifest) } else { Ok(()) };
                used.map(|()| manifest).map_err(|error| error.to_string())
            });
            match used {
                Ok(manifest) => usable.push(manifest),
                Err(why) => {
                    if usable.is_empty() {
                        graph.streams.iter().for_each(|stream| stream.begin_anew());
                    }
                    tracing::error!(name, store = self.store.url(), %why, "a checkpoint cannot be used; an older one is tried");
                    self.checkpointer.is_spoiled(name);
                }
            }
        }
        if let Some(newest) = usable.first() {
            self.from = (newest.number, newest.time);
            tracing::info!(interval = %newest.time, store = self.store.url(), "goes on with the states that were written");
            usable.into_iter().rev().for_each(|manifest| self.checkpointer.holds(manifest));
            return Ok(());
        }
        let first = self.history.intervals.first().map(|(number, ..)| *number);
        match first {
            // Nothing was ever removed, or nothing is there.
            None | Some(1) => Ok(()),
            Some(first) => Err(Error::external(format_args!(
                "no checkpoint in {} can be used, and what was before interval {first} is not there any more; begin anew in another place",
                self.store.url()
            ))),
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
        // Read now, so that a damaged file is known of while an older one can take its place.
        named.iter().try_for_each(|(_, stream)| stream.compute_held())
    }

    /// The intervals whose input is known, the oldest first: those that windows look back at, those from which
    /// states are made again, and those whose outputs may not be done. Blocks among their input are held again.
    pub fn known(&self, ctx: &Context, graph: &Graph) -> Result<VecDeque<Known>, Error> {
        let oldest = self.needed_from(graph, self.from.1);
        let mut known = VecDeque::new();
        for (number, time, input) in &self.history.intervals {
            if *time <= oldest {
                continue;
            }
            let Input(sources) = postcard::from_bytes(input).map_err(|error| {
                Error::external(format_args!("the input of interval {time} cannot be understood: {error}"))
            })?;
            let input = in_order(graph, sources, *time)?;
            let blocks = journal::blocks_of(&self.store, *number)?;
            ctx.engine().hold_again(blocks)?;
            let is_aside = self.history.aside.contains(number);
            known.push_back(Known { number: *number, time: *time, input, is_aside });
        }
        Ok(known)
    }

    /// The interval of which the states are used.
    pub fn from(&self) -> (u64, Time) {
        self.from
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
