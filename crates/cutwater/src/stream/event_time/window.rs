use std::{fmt, time::Duration};

use cutwater_core::{Time, limits};
use serde::{Deserialize, Serialize};

use super::{
    EventStream,
    judge::{Judged, judged, late},
    watermark::Watermark,
};
use crate::{DStream, Record, collection::With};

/// A window of event time: [start, end), on the grid that begins with 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EventWindow {
    /// The first moment in it.
    pub start: Time,
    /// The first moment after it.
    pub end: Time,
}

/// Why a value of a window is given out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Emission {
    /// The window has passed: the value of all its records that were in time.
    Result,
    /// Records arrived after the window had passed, within the allowed lateness: the value with them, in
    /// the place of what was given out before, if anything was.
    Correction,
}

/// What the records of a key come to that happened within a window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Windowed<K, A> {
    /// When they happened.
    pub window: EventWindow,
    /// Their key.
    pub key: K,
    /// What they come to.
    pub value: A,
    /// Whether it is given out for the first time.
    pub kind: Emission,
}

/// How windows lie, and for how long they take late records.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(super) struct Windows {
    size: Duration,
    slide: Duration,
    lateness: Duration,
}

impl Windows {
    /// Windows are made of slices that lie wholly in or out of each: as long as what size and slide have
    /// in common.
    fn slice(&self) -> Duration {
        let (mut a, mut b) = (self.size.as_millis(), self.slide.as_millis());
        while b > 0 {
            (a, b) = (b, a % b);
        }
        Duration::from_millis(u64::try_from(a).unwrap_or(u64::MAX))
    }

    /// The beginning of the slice that `time` is in.
    pub fn slice_of(&self, time: Time) -> Time {
        time.floor(self.slice())
    }

    /// The ends of the windows that `time` is in, the last first. Between windows that are further apart
    /// than they are long, there is none.
    pub fn ends(&self, time: Time) -> impl Iterator<Item = Time> {
        let Self { size, slide, .. } = *self;
        let starts = std::iter::successors(Some(time.floor(slide)), move |start| Some(*start - slide));
        starts.map(move |start| start + size).take_while(move |end| *end > time)
    }

    /// Whether the window that ends at `end` has passed.
    pub fn has_passed(&self, end: Time, watermark: Option<Time>) -> bool {
        watermark.is_some_and(|watermark| end <= watermark)
    }

    /// Whether the window that ends at `end` takes no records any more.
    pub fn is_closed(&self, end: Time, watermark: Option<Time>) -> bool {
        self.has_passed(end + self.lateness, watermark)
    }

    /// Windows that end at this or earlier are closed.
    pub fn closed_until(&self, watermark: Time) -> Time {
        watermark - self.lateness
    }

    pub fn ending(&self, end: Time) -> EventWindow {
        EventWindow { start: end - self.size, end }
    }
}

/// A stream in windows of event time. Made by [`EventStream::window`].
///
/// Properties:
/// - a window is [start, end) in event time, and of each key;
/// - its result is given out once, in the interval with which the
///   [watermark](EventStream) reaches its end; keys without records have none;
/// - records that arrive later, while the watermark is less than the
///   [allowed lateness](Self::allowed_lateness) past the end, give a correction in the interval in which
///   they arrive, with the value of all records so far;
/// - when the watermark is that far the window is closed, its state is gone, and further records do not
///   count; records of which all windows are closed are [`late`](Self::late). Whether a record is late
///   depends on the intervals before its own;
/// - so every record is in a window or late, unless windows are further apart than they are long;
/// - an interval costs by its records and by the keys of the windows that pass.
///
/// Threading and failure: those of a [`DStream`].
pub struct EventWindows<T> {
    of: EventStream<T>,
    /// Its number in the program.
    number: usize,
    pub(super) windows: Windows,
    pub(super) judged: DStream<Judged<T>>,
}

impl<T: Record> EventStream<T> {
    /// The stream in windows of `size` in event time, one after the other. See
    /// [`EventWindows`] for when they give their results.
    ///
    /// A size that is no whole number of milliseconds, or none, is a fault of the program.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let sales = harness.input([vec![(100, 5), (900, 7)], vec![(1_000, 1)]]);
    /// let totals = sales
    ///     .event_time(|(ms, _)| Time::from_ms(*ms))
    ///     .map(|(_, price)| ("all".to_owned(), price))
    ///     .window(second)
    ///     .reduce_by_key(|a, b| a + b);
    /// let totals = totals.map(|w| (w.window.start.as_ms(), w.window.end.as_ms(), w.value));
    /// assert_eq!(harness.run(&totals, 2)?, [vec![], vec![(0, 1_000, 12)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn window(&self, size: Duration) -> EventWindows<T> {
        self.sliding_window(size, size)
    }

    /// The stream in windows of `size` in event time, of which one begins every `slide`. Each record is in
    /// as many as there are slides in the size, at most ten thousand; where `slide` is longer, those in
    /// between are in none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let sales = harness.input([vec![(1_100, 5)], vec![(2_100, 7)], vec![(4_000, 1)]]);
    /// let totals = sales
    ///     .event_time(|(ms, _)| Time::from_ms(*ms))
    ///     .map(|(_, price)| ((), price))
    ///     .sliding_window(2 * second, second)
    ///     .reduce_by_key(|a, b| a + b);
    /// let totals = totals.map(|w| (w.window.start.as_ms(), w.value));
    /// assert_eq!(harness.run(&totals, 3)?, [vec![], vec![(0, 5)], vec![(1_000, 12), (2_000, 7)]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn sliding_window(&self, size: Duration, slide: Duration) -> EventWindows<T> {
        let whole_size = self.whole("window", size);
        let whole_slide = if slide == size { whole_size } else { self.whole("slide", slide) };
        let most = limits::EVENT_WINDOWS_MAX;
        if whole_size.as_millis().div_ceil(whole_slide.as_millis()) > most {
            let fault = format_args!(
                "with windows of {size:?} every {slide:?} a record would be in more than {most}; let them slide further"
            );
            self.stamped.ctx.fault("window", fault);
        }
        let windows = Windows { size: whole_size, slide: whole_slide, lateness: Duration::ZERO };
        EventWindows::new(self.clone(), windows)
    }
}

impl<T: Record> EventStream<T> {
    #[track_caller]
    fn whole(&self, what: &str, span: Duration) -> Duration {
        if span.is_zero() || !span.as_nanos().is_multiple_of(1_000_000) {
            let fault = format_args!("a {what} of {span:?} is not a positive number of whole milliseconds");
            self.stamped.ctx.fault("window", fault);
        }
        Duration::from_millis(
            u64::try_from(span.as_millis()).unwrap_or(u64::MAX).clamp(1, limits::SPAN_MS_MAX),
        )
    }
}

impl<T: Record> EventWindows<T> {
    #[track_caller]
    fn new(of: EventStream<T>, windows: Windows) -> Self {
        let clock = of.watermarks().0;
        let number = of.stamped.ctx.graph().event_windows.len();
        let judged = judged(&of.stamped, &of.watermarks().1, windows, number);
        of.stamped.ctx.graph().event_windows.push((judged.node.clone(), clock));
        Self { of, number, windows, judged }
    }

    /// Windows take records until the watermark is `lateness` past their end, and give corrections. None
    /// are taken after the end unless it is said.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Emission, Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let times = harness.input([vec![500], vec![1_000], vec![600], vec![2_000], vec![700]]);
    /// let windows = times.event_time(|ms| Time::from_ms(*ms)).map(|ms| ((), ms)).window(second);
    /// let windows = windows.allowed_lateness(second);
    /// let counts = windows.aggregate_by_key(0, |count, _| count + 1, |a, b| a + b);
    /// let counts = harness.watch(&counts.map(|w| (w.window.start.as_ms(), w.value, w.kind)));
    /// let late = harness.watch(&windows.late().map(|(_, ms)| ms));
    /// harness.advance(5)?;
    /// let (result, correction) = (Emission::Result, Emission::Correction);
    /// let expected = [vec![], vec![(0, 1, result)], vec![(0, 2, correction)], vec![(1_000, 1, result)], vec![]];
    /// assert_eq!(counts.all(), expected.map(Some));
    /// // With 2 s the watermark is a second past the first window.
    /// assert_eq!(late.all(), [vec![], vec![], vec![], vec![], vec![700]].map(Some));
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    #[must_use]
    pub fn allowed_lateness(self, lateness: Duration) -> Self {
        let Self { of, number, windows, .. } = self;
        let windows = Windows { lateness, ..windows };
        let judged = judged(&of.stamped, &of.watermarks().1, windows, number);
        // In the place of what was said before.
        of.stamped.ctx.graph().event_windows[number].0 = judged.node.clone();
        Self { of, number, windows, judged }
    }

    /// The records that came too late for all their windows: a stream like any other. How many they are is
    /// in the [report](crate::EventTimeReport) of each interval too, for as long as an output needs them or
    /// what the windows hold.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let times = harness.input([vec![500], vec![1_000], vec![600, 1_100]]);
    /// let windows = times.event_time(|ms| Time::from_ms(*ms)).window(second);
    /// let late = harness.watch(&windows.late());
    /// let counted: Vec<_> = (0..3).map(|_| harness.step().map(|report| report.late())).collect::<Result<_, _>>()?;
    /// assert_eq!(late.all(), [vec![], vec![], vec![600]].map(Some));
    /// assert_eq!(counted, [0, 0, 1]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    #[track_caller]
    pub fn late(&self) -> DStream<T> {
        late(&self.judged)
    }

    /// Hands `values` over to the next operation, whose functions take them as their first parameter.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use cutwater::{Time, testing::Harness};
    /// # let second = Duration::from_secs(1);
    /// # let harness = Harness::new(second);
    /// let times = harness.input([vec![500, 700], vec![1_000]]).event_time(|ms| Time::from_ms(*ms));
    /// let windows = times.map(|ms| ((), ms)).window(second);
    /// let capped = windows.with(999).reduce_by_key(|most, a, b| (a + b).min(*most)).map(|w| w.value);
    /// assert_eq!(harness.run(&capped, 2)?, [vec![], vec![999]]);
    /// # Ok::<(), cutwater::Error>(())
    /// ```
    pub fn with<E: Record>(&self, values: E) -> With<Self, E> {
        With::new(self.clone(), values)
    }

    pub(super) fn watermarks(&self) -> &DStream<Watermark> {
        &self.of.watermarks().1
    }
}

impl<T> Clone for EventWindows<T> {
    fn clone(&self) -> Self {
        let Self { of, number, windows, judged } = self;
        Self { of: of.clone(), number: *number, windows: *windows, judged: judged.clone() }
    }
}

impl<T: Record> fmt::Debug for EventWindows<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventWindows({:?} of {:?})", self.windows, self.of)
    }
}

impl fmt::Display for EventWindow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}
