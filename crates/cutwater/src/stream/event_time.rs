//! Event time: when things happened, as opposed to the interval in which their records arrived.
//!
//! Intervals are by arrival (`paper.md` §1). Where records say themselves when they happened,
//! [`DStream::event_time`] goes by that: [windows](EventStream::window) of event time give their result
//! when the [watermark](watermark) passes their end, and corrections when records arrive late.

mod aggregate_by_key;
mod judge;
mod panes;
mod reduce_by_key;
mod watermark;
mod window;

use std::{
    fmt,
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::Duration,
};

use cutwater_core::Time;

use self::watermark::{ClockSource, Watermark};
pub use self::window::{Emission, EventWindow, EventWindows, Windowed};
use crate::{
    DStream, Record,
    closure::{self, Portable},
    collection::{Collection, With},
    task::{Emit, Flow, Node, Operator, OperatorSpec},
};

/// A stream whose records have times of their own. Made by [`DStream::event_time`].
///
/// Properties:
/// - its datasets are those of the stream it was made from, interval by interval; times only count for
///   [windows](Self::window);
/// - its **watermark** is how far event time is: no record from before it is expected. With each
///   interval it moves to the newest time of any record so far, less the
///   [out-of-orderness](Self::out_of_orderness); it never goes back;
/// - it is that of the records before any [`filter`](Self::filter) or [`map`](Self::map), which hold
///   nothing back;
/// - of a [`union`](Self::union) it is the least of the streams in it, leaving out those that have
///   ended and those that are [idle](Self::idle_after). One whose records cannot get here
///   ([`Standing::Stalled`](crate::source::Standing)) is not idle;
/// - when all sources have ended it is at the end of time, and all windows have passed;
/// - it is computed once per interval, from the records of the interval and from how the sources stood
///   when it was cut, and recorded with it: computed again it is the same.
///
/// Threading and failure: those of a [`DStream`].
pub struct EventStream<T> {
    stamped: DStream<(Time, T)>,
    clock: Arc<Clock>,
}

/// What several streams that follow the same sources have in common.
struct Clock {
    sources: Vec<ClockSource>,
    /// Declared when it is first asked for: until then the sources' options may change.
    watermark: OnceLock<(usize, DStream<Watermark>)>,
}

impl Clock {
    fn new(sources: Vec<ClockSource>) -> Arc<Self> {
        Arc::new(Self { sources, watermark: OnceLock::new() })
    }
}

/// Every record with its time.
struct Stamp<T, E, F>(E, F, PhantomData<fn(T)>);

impl<T: Record, E: Record, F: Fn(&E, &T) -> Time + Portable> Operator for Stamp<T, E, F> {
    type Env = E;
    type Out = (Time, T);

    fn rebuild(values: E) -> Self {
        Self(values, closure::conjure(), PhantomData)
    }

    fn run(&self, node: Node<'_>, partition: u32, emit: &mut Emit<'_, (Time, T)>) -> Flow {
        node.each(0, partition, &mut |record| {
            let time = node.call(|| (self.1)(&self.0, &record));
            emit((time, record))
        })
    }
}

impl<T: Record, E: Record> With<DStream<T>, E> {
    /// [`DStream::event_time`] with the values handed over.
    #[track_caller]
    pub fn event_time<F: Fn(&E, &T) -> Time + Portable>(self, _time_of: F) -> EventStream<T> {
        const { closure::captures_nothing::<F>() };
        let spec = OperatorSpec::new::<Stamp<T, E, F>>("event_time", &self.values);
        // The watermark reads it first and then whatever follows.
        let stamped = self.of.derive("event_time", move |rdd| rdd.narrow(&spec).cache());
        let clock = Clock::new(vec![ClockSource::new(&stamped)]);
        EventStream { stamped, clock }
    }
}

impl<T: Record> DStream<T> {
    /// The same stream with the times at which its records happened, by which its
    /// [windows](EventStream::window) go (`paper.md` §1).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// let second = Duration::from_secs(1);
    /// let harness = Harness::new(second);
    /// // (when in ms, which page), in intervals as they arrived: the last comes late.
    /// let clicks = harness.input([vec![(100, 'a'), (200, 'b')], vec![(1_300, 'a')], vec![(900, 'b')]]);
    /// let counts = clicks
    ///     .event_time(|(ms, _)| Time::from_ms(*ms))
    ///     .map(|(_, page)| (page, 1))
    ///     .window(second)
    ///     .allowed_lateness(second)
    ///     .reduce_by_key(|a, b| a + b);
    /// let lines = counts.map(|w| format!("{:?} of {}: {} {}", w.kind, w.window.start, w.key, w.value));
    /// let lines = lines.transform(|rdd, _| rdd.sort_by(|line| line.clone()));
    /// assert_eq!(
    ///     harness.run(&lines, 3)?,
    ///     [
    ///         vec![],
    ///         // The watermark is at 1.3 s: the window of the first second has passed.
    ///         vec!["Result of 1970-01-01T00:00:00Z: a 1", "Result of 1970-01-01T00:00:00Z: b 1"],
    ///         vec!["Correction of 1970-01-01T00:00:00Z: b 2"],
    ///     ]
    /// );
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn event_time<F: Fn(&T) -> Time + Portable>(&self, time_of: F) -> EventStream<T> {
        const { closure::captures_nothing::<F>() };
        self.with(()).event_time(move |(), record| time_of(record))
    }
}

impl<T: Record> EventStream<T> {
    /// Expects records that happened up to `span` before the newest: the watermark stays so far behind.
    /// Nothing of the kind is expected unless it is said, and then whatever is older than the newest
    /// record of an earlier interval may be late. Of a [`union`](Self::union) it is said for each stream in
    /// it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let times = harness.input([vec![5_000], vec![4_200], vec![7_000]]);
    /// let times = times.event_time(|ms| Time::from_ms(*ms)).out_of_orderness(second);
    /// let watermark = times.watermark().map(|time| time.as_ms());
    /// assert_eq!(harness.run(&watermark, 3)?, [[4_000], [4_000], [6_000]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn out_of_orderness(self, span: Duration) -> Self {
        self.with_sources(|source| source.out_of_orderness = span)
    }

    /// Takes the stream for idle when it had no record for strictly longer than `span` of interval time:
    /// the others of a [`union`](Self::union) then go on without it, until it has records again. If all
    /// are idle, the watermark is as far as any of them was.
    ///
    /// Intervals in which its records could not get here do not count: the source was full, or what it
    /// reads from was away. Unless it is said, a stream is never idle, and only leaves the others alone
    /// when it has ended.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let (a, b) = (harness.input([[1_000], [2_000], [3_000]].map(Vec::from)), harness.input([vec![500]]));
    /// let (a, b) = (a.event_time(|ms| Time::from_ms(*ms)), b.event_time(|ms| Time::from_ms(*ms)));
    /// let watermark = a.union(&b).idle_after(second).watermark().map(|time| time.as_ms());
    /// assert_eq!(harness.run(&watermark, 3)?, [[500], [500], [3_000]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[must_use]
    pub fn idle_after(self, span: Duration) -> Self {
        self.with_sources(|source| source.idle_after = Some(span))
    }

    /// The records of both streams, which must have the same slide. Its watermark is the least of
    /// theirs.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let (a, b) = (harness.input([[1_000], [2_000]].map(Vec::from)), harness.input([vec![], vec![700]]));
    /// let both = a.event_time(|ms| Time::from_ms(*ms)).union(&b.event_time(|ms| Time::from_ms(*ms)));
    /// let watermark = both.watermark().map(|time| time.as_ms());
    /// assert_eq!(harness.run(&watermark, 2)?, [vec![], vec![700]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn union(&self, other: &Self) -> Self {
        let mut sources = self.clock.sources.clone();
        for source in &other.clock.sources {
            if !sources.iter().any(|known| known.is_same(source)) {
                sources.push(source.clone());
            }
        }
        Self { stamped: self.stamped.union(&other.stamped), clock: Clock::new(sources) }
    }

    /// The watermark with each interval: one time, or nothing while there is none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let times = harness.input([vec![], vec![3, 9, 4], vec![7]]).event_time(|ms| Time::from_ms(*ms));
    /// let watermark = times.watermark().map(|time| time.as_ms());
    /// assert_eq!(harness.run(&watermark, 3)?, [vec![], vec![9], vec![9]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn watermark(&self) -> DStream<Time> {
        self.watermarks().1.with(()).filter_map(|(), watermark| watermark.now)
    }

    /// The records with their times, as a stream like any other.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let timed = harness.input([vec![3]]).event_time(|ms| Time::from_ms(*ms)).timed();
    /// assert_eq!(harness.run(&timed, 1)?, [[(Time::from_ms(3), 3)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn timed(&self) -> DStream<(Time, T)> {
        self.stamped.clone()
    }

    /// Hands `values` over to the next operation, whose function takes them as its first parameter.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let times = harness.input([vec![3, 7]]).event_time(|ms| Time::from_ms(*ms));
    /// let many = times.with(5).filter(|threshold, n| n > threshold).timed().map(|(_, n)| n);
    /// assert_eq!(harness.run(&many, 1)?, [[7]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn with<E: Record>(&self, values: E) -> With<Self, E> {
        With::new(self.clone(), values)
    }

    /// The watermarks, and the number of their clock.
    #[track_caller]
    fn watermarks(&self) -> &(usize, DStream<Watermark>) {
        self.clock.watermark.get_or_init(|| {
            let mut graph = self.stamped.ctx.graph();
            let number = graph.event_clocks;
            graph.event_clocks += 1;
            drop(graph);
            (number, watermark::watermark(&self.clock.sources, number))
        })
    }

    fn with_sources(self, change: impl FnMut(&mut ClockSource)) -> Self {
        let mut sources = self.clock.sources.clone();
        sources.iter_mut().for_each(change);
        Self { stamped: self.stamped, clock: Clock::new(sources) }
    }

    /// The same clock for records that were made of these.
    fn of<B>(&self, stamped: DStream<(Time, B)>) -> EventStream<B> {
        EventStream { stamped, clock: self.clock.clone() }
    }
}

/// What was made of a record, each with its time.
struct Timed<I>(Time, I);

impl<I: IntoIterator> IntoIterator for Timed<I> {
    type Item = (Time, I::Item);
    type IntoIter = std::iter::Zip<std::iter::Repeat<Time>, I::IntoIter>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::repeat(self.0).zip(self.1)
    }
}

impl<T: Record, E: Record> With<EventStream<T>, E> {
    /// [`EventStream::map`] with the values handed over.
    #[track_caller]
    pub fn map<B: Record, F: Fn(&E, T) -> B + Portable>(self, f: F) -> EventStream<B> {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        of.of(of.stamped.with(values).map(move |values, (time, record)| (time, f(values, record))))
    }

    /// [`EventStream::filter`] with the values handed over.
    #[track_caller]
    pub fn filter<F: Fn(&E, &T) -> bool + Portable>(self, f: F) -> EventStream<T> {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        of.of(of.stamped.with(values).filter(move |values, (_, record)| f(values, record)))
    }

    /// [`EventStream::flat_map`] with the values handed over.
    #[track_caller]
    pub fn flat_map<B, I, F>(self, f: F) -> EventStream<B>
    where
        B: Record,
        I: IntoIterator<Item = B> + 'static,
        F: Fn(&E, T) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        let Self { of, values } = self;
        of.of(of.stamped.with(values).flat_map(move |values, (time, record)| Timed(time, f(values, record))))
    }
}

impl<T: Record> EventStream<T> {
    /// Each record replaced by `f` of it, which has its time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let times = harness.input([vec![3]]).event_time(|ms| Time::from_ms(*ms));
    /// let doubled = times.map(|n| n * 2).timed();
    /// assert_eq!(harness.run(&doubled, 1)?, [[(Time::from_ms(3), 6)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn map<B: Record, F: Fn(T) -> B + Portable>(&self, f: F) -> EventStream<B> {
        const { closure::captures_nothing::<F>() };
        self.with(()).map(move |(), record| f(record))
    }

    /// The records of which `f` says so. Those it leaves out count for the watermark as well.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let odd = harness.input([vec![3, 8]]).event_time(|ms| Time::from_ms(*ms)).filter(|n| n % 2 == 1);
    /// let watermark = harness.watch(&odd.watermark());
    /// assert_eq!(harness.run(&odd.timed(), 1)?, [[(Time::from_ms(3), 3)]]);
    /// assert_eq!(watermark.all(), [Some(vec![Time::from_ms(8)])]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn filter<F: Fn(&T) -> bool + Portable>(&self, f: F) -> EventStream<T> {
        const { closure::captures_nothing::<F>() };
        self.with(()).filter(move |(), record| f(record))
    }

    /// Each record replaced by those that `f` makes of it, which all have its time.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let harness = Harness::new(Duration::from_secs(1));
    /// let lines = harness.input([vec![(3, "to be".to_owned())]]).event_time(|(ms, _)| Time::from_ms(*ms));
    /// let words = lines.flat_map(|(_, line)| line.split(' ').map(str::to_owned).collect::<Vec<_>>());
    /// let words = words.timed().map(|(at, word)| (at.as_ms(), word));
    /// assert_eq!(harness.run(&words, 1)?, [[(3, "to".to_owned()), (3, "be".to_owned())]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn flat_map<B, I, F>(&self, f: F) -> EventStream<B>
    where
        B: Record,
        I: IntoIterator<Item = B> + 'static,
        F: Fn(T) -> I + Portable,
    {
        const { closure::captures_nothing::<F>() };
        self.with(()).flat_map(move |(), record| f(record))
    }
}

impl<T> Clone for EventStream<T> {
    fn clone(&self) -> Self {
        Self { stamped: self.stamped.clone(), clock: self.clock.clone() }
    }
}

impl<T: Record> fmt::Debug for EventStream<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventStream({:?})", self.stamped)
    }
}
