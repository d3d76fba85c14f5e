//! How far event time is: the watermark, computed once per interval.
//!
//! It is a stream of state with one record: what has been seen of each source, and the watermark that
//! follows from it. What an interval showed of its records is in their partitions; how its sources
//! stood is written into the description of the dataset when the interval is cut. So it is recorded
//! with the interval, and computing it again gives the same.

use std::{marker::PhantomData, sync::Arc, time::Duration};

use cutwater_core::{Parent as Edge, PartitionMap, Time};
use serde::{Deserialize, Serialize};

use crate::{
    DStream, Record,
    checkpoint::saved::{Saving, Whole},
    collection::Collection,
    rdd::{DatasetNode, Rdd},
    source::Standing,
    stream::{
        AnyStream, Parent,
        stateful::{describe_interval, in_place},
    },
    task::{Emit, Finding, Flow, Node, Operator, OperatorSpec},
};

/// The watermark when all sources have ended: every window has passed.
pub(super) const END_OF_TIME: Time = Time::from_ms(i64::MAX);

/// A stream of records with times, as the watermark looks at it.
#[derive(Clone)]
pub(super) struct ClockSource {
    /// The greatest time of each partition, as the write side of a shuffle into one.
    newest: DStream<Option<Time>>,
    pub out_of_orderness: Duration,
    pub idle_after: Option<Duration>,
}

impl ClockSource {
    #[track_caller]
    pub fn new<T: Record>(stamped: &DStream<(Time, T)>) -> Self {
        let spec = OperatorSpec::new::<Newest<T>>("event_time", &());
        let newest = stamped.derive("event_time", move |rdd| rdd.pieces(&spec, 1));
        Self { newest, out_of_orderness: Duration::ZERO, idle_after: None }
    }

    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.newest.node, &other.newest.node)
            && (self.out_of_orderness, self.idle_after) == (other.out_of_orderness, other.idle_after)
    }
}

struct Newest<T>(PhantomData<fn(T)>);

impl<T: Record> Operator for Newest<T> {
    type Env = ();
    type Out = Option<Time>;

    fn rebuild((): ()) -> Self {
        Self(PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Option<Time>>) -> Flow {
        let mut newest = None;
        node.each::<(Time, T)>(0, partition, &mut |(time, _)| {
            newest = newest.max(Some(time));
            Flow::Continue(())
        })?;
        emit(newest)
    }
}

/// The watermark of an interval, and what the next one's follows from.
///
/// Properties:
/// - `now` is where event time is with the records of the interval, `before` where it was without:
///   what is late is judged by `before`, so that no record is late because of another of its interval;
/// - neither ever goes back.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Watermark {
    pub before: Option<Time>,
    pub now: Option<Time>,
    sources: Vec<Seen>,
}

/// What has been seen of a source.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Seen {
    newest: Option<Time>,
    /// The last interval in which it was not silent, or in which its silence said nothing.
    active: Time,
}

/// What is fixed for an interval when it is cut, and travels with its dataset.
#[derive(Serialize, Deserialize)]
struct Interval {
    time: Time,
    has_before: bool,
    /// Of each source whether it has a dataset, and how it stands.
    sources: Vec<(bool, Standing)>,
}

/// The watermark of the interval before, advanced by what the interval shows.
struct Advance {
    clock: usize,
    slide: Duration,
    /// Out-of-orderness and idle time of each source.
    sources: Vec<(Duration, Option<Duration>)>,
}

impl Operator for Advance {
    type Env = (usize, Duration, Vec<(Duration, Option<Duration>)>);
    type Out = Watermark;

    fn rebuild((clock, slide, sources): Self::Env) -> Self {
        Self { clock, slide, sources }
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, Watermark>) -> Flow {
        let interval: Interval = node.interval(partition)?;
        let before: Option<Watermark> = if interval.has_before { node.only(0, partition)? } else { None };
        let mut watermark = before.unwrap_or_default();
        // A source is silent from the beginning of the first interval on.
        watermark
            .sources
            .resize(self.sources.len(), Seen { newest: None, active: interval.time - self.slide });
        let mut parent = usize::from(interval.has_before);
        for (seen, (has_records, standing)) in watermark.sources.iter_mut().zip(&interval.sources) {
            let mut newest = None;
            if *has_records {
                node.pieces::<Option<Time>>(parent, partition, |time| {
                    newest = newest.max(*time);
                    Flow::Continue(())
                })?;
                parent += 1;
            }
            seen.newest = seen.newest.max(newest);
            if newest.is_some() || *standing == Standing::Stalled {
                seen.active = interval.time;
            }
        }
        watermark.before = watermark.now;
        watermark.now = watermark.now.max(self.reached(&interval, &watermark.sources));
        node.report(partition, Finding::Watermark { clock: self.clock, at: watermark.now });
        emit(watermark)
    }
}

impl Advance {
    /// Where sources that may still have something to say are, the furthest behind counting.
    fn reached(&self, interval: &Interval, seen: &[Seen]) -> Option<Time> {
        let standings = interval.sources.iter().map(|(_, standing)| *standing);
        if standings.clone().all(|standing| standing == Standing::Ended) {
            return Some(END_OF_TIME);
        }
        let reached = |(seen, (slack, _)): (&Seen, &(Duration, _))| seen.newest.map(|time| time - *slack);
        let holds = |standing: Standing, seen: &Seen, idle_after: Option<Duration>| match standing {
            Standing::Ended => false,
            Standing::Stalled => true,
            Standing::Flowing => idle_after.is_none_or(|span| seen.active + span >= interval.time),
        };
        let all = || seen.iter().zip(&self.sources);
        let holding =
            all().zip(standings).filter(|((seen, (_, idle)), standing)| holds(*standing, seen, *idle));
        // `None` is behind everything. If nobody holds time back, it is as far as anyone says.
        holding.map(|(source, _)| reached(source)).min().unwrap_or_else(|| all().map(reached).max().flatten())
    }
}

/// The stream of watermarks over `sources`, for the clock of that number. There is one from the first
/// interval on, in one partition.
#[track_caller]
pub(super) fn watermark(sources: &[ClockSource], clock: usize) -> DStream<Watermark> {
    let (ctx, slide) = (sources[0].newest.ctx.clone(), sources[0].newest.slide());
    let options = sources.iter().map(|source| (source.out_of_orderness, source.idle_after)).collect();
    let spec = OperatorSpec::new::<Advance>("event_time", &(clock, slide, options));
    let newest: Vec<_> = sources.iter().map(|source| source.newest.node.clone()).collect();
    let parents: Vec<Parent> = newest.iter().map(|node| (node.clone() as _, Duration::ZERO)).collect();
    let engine = ctx.engine().clone();
    let saving = Saving::new::<Whole>("event_time");
    ctx.stateful_stream("event_time", slide, parents, saving, move |time, before| {
        let datasets = newest.iter().map(|node| node.at(time)).collect::<Result<Vec<_>, _>>()?;
        let standings = newest.iter().map(|node| node.standing(time));
        let interval = Interval {
            time,
            has_before: before.is_some(),
            sources: datasets.iter().map(Option::is_some).zip(standings).collect(),
        };
        let before = before.map(|rdd| in_place(&rdd));
        let newest = datasets.into_iter().flatten().map(|rdd| {
            let edge = Edge::Shuffle { dataset: rdd.node().dataset.id };
            (rdd.node().clone(), edge)
        });
        let mut node = DatasetNode::new(&engine, 1, before.into_iter().chain(newest).collect(), &spec.any);
        describe_interval(&mut node, &interval)?;
        Ok(Some(node.of(&spec)))
    })
}

/// What an operator that reads the watermark has as a parent: all partitions read its only one.
pub(super) fn read(watermark: &Rdd<Watermark>) -> (Arc<DatasetNode>, PartitionMap) {
    (watermark.node().clone(), PartitionMap::All)
}
