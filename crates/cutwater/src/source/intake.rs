mod buckets;
mod marks;

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cutwater_core::Time;

pub(crate) use self::{
    buckets::Calendar,
    marks::{Mark, Passed, Reached, Span},
};
use self::{
    buckets::{Bucket, Buckets},
    marks::Marks,
};
use super::Malformed;

/// Where a receiver puts records until their interval is cut.
///
/// Properties:
/// - it holds at most what one interval may hold; a receiver that is faster waits, and so does
///   whoever sends to it (back pressure, from the first interval on). With event time it holds records
///   of later intervals too, of each no more than it may hold, and of no more than
///   [pass](crate::Builder::slack) while one waits;
/// - records of an interval leave in the order in which they came;
/// - once stopped it refuses everything new and keeps what it has.
///
/// The receiver's thread puts in, the driver's thread takes out. If the process dies, what is in it
/// was not acknowledged to anyone.
pub struct Intake<T> {
    shared: Arc<Shared<T>>,
}

struct Shared<T> {
    /// Where records go by their own time.
    calendar: Option<Calendar<T>>,
    state: Mutex<State<T>>,
    changed: Condvar,
}

/// What an interval may take from one source.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub records_max: usize,
    pub bytes_max: usize,
}

struct State<T> {
    /// That on records changes with the rate at which they are processed, if there is back pressure.
    bounds: Bounds,
    buckets: Buckets<T>,
    /// How far was read, if what is read stays where it is.
    marks: Marks,
    deferred: u64,
    dropped: u64,
    malformed: Vec<Malformed>,
    stopped: bool,
    closed: bool,
    away: bool,
    on_stop: Vec<Box<dyn FnOnce() + Send>>,
}

/// The program is over; the receiver should return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped;

/// All that was in an intake when an interval was cut.
pub(crate) struct Cut<T> {
    pub records: Vec<T>,
    pub bytes: usize,
    pub deferred: u64,
    pub dropped: u64,
    /// Records of intervals before.
    pub late: u64,
    pub malformed: Vec<Malformed>,
    /// Where reading goes on.
    pub reached: Option<Reached>,
    /// Nothing will be put in after this.
    pub closed: bool,
}

/// Why a record was not taken, and the record.
pub(crate) enum Refused<T> {
    Full(T),
    Stopped(T),
}

impl<T> Intake<T> {
    pub(crate) fn new(bounds: Bounds, calendar: Option<Calendar<T>>) -> Self {
        let state = State {
            bounds,
            buckets: Buckets::default(),
            marks: Marks::default(),
            deferred: 0,
            dropped: 0,
            malformed: Vec::new(),
            stopped: false,
            closed: false,
            away: false,
            on_stop: Vec::new(),
        };
        Self { shared: Arc::new(Shared { calendar, state: Mutex::new(state), changed: Condvar::new() }) }
    }

    /// Puts in a record of `bytes` bytes; waits while the interval is full.
    ///
    /// # Errors
    /// The program is over and the record was not taken.
    pub fn push(&self, record: T, bytes: usize) -> Result<(), Stopped> {
        self.push_from(None, record, bytes)
    }

    /// The same of a record that was read at that place, if it was not read there before.
    pub(crate) fn push_from(&self, span: Option<Span>, record: T, bytes: usize) -> Result<(), Stopped> {
        let label = self.label(&record);
        if let (Some(span), Some(label)) = (span, label)
            && self.passes(span, |marks| marks.has(span.begins, label))
        {
            return Ok(());
        }
        let mut state = self.wait_for_room(label)?;
        state.buckets.put(label, record, bytes, span.map(|span| span.begins));
        if let Some(span) = span {
            state.marks.reach(span.ends);
        }
        Ok(())
    }

    /// Whether what was read there is in an interval already; then it is passed over.
    fn passes(&self, span: Span, is_passed: impl FnOnce(&Marks) -> bool) -> bool {
        let mut state = self.lock();
        let passes = is_passed(&state.marks);
        if passes {
            state.marks.reach(span.ends);
        }
        passes
    }

    /// Reading goes on there, though nothing was put in.
    pub(crate) fn reach(&self, mark: Mark) {
        self.lock().marks.reach(mark);
    }

    /// Some of what is read now was read before.
    pub(crate) fn go_on(&self, passed: Vec<Passed>) {
        self.lock().marks.go_on(passed);
    }

    /// Puts in a record unless that would mean to wait; then it is counted as dropped and `false` is
    /// the answer. For sources that cannot make their senders wait.
    ///
    /// # Errors
    /// The program is over and the record was not taken.
    pub fn push_or_drop(&self, record: T, bytes: usize) -> Result<bool, Stopped> {
        let label = self.label(&record);
        let mut state = self.lock();
        if state.stopped {
            return Err(Stopped);
        }
        let room = !self.is_full(&state, label);
        if room {
            state.buckets.put(label, record, bytes, None);
        } else {
            state.dropped += 1;
        }
        Ok(room)
    }

    /// Puts in a record unless that would mean to wait; then its sender has it back.
    pub(crate) fn try_push(&self, record: T, bytes: usize) -> Result<(), Refused<T>> {
        let label = self.label(&record);
        let mut state = self.lock();
        if state.stopped {
            return Err(Refused::Stopped(record));
        }
        if self.is_full(&state, label) {
            return Err(Refused::Full(record));
        }
        state.buckets.put(label, record, bytes, None);
        Ok(())
    }

    /// Counts records that were given up before they could be put in.
    pub(crate) fn dropped(&self, records: u64) {
        self.lock().dropped += records;
    }

    /// Hands over a record that cannot be understood, for the source's policy to deal with. It takes
    /// room in the interval as others do.
    ///
    /// # Errors
    /// The program is over.
    pub fn malformed(
        &self,
        bytes: &[u8],
        place: impl fmt::Display,
        offset: u64,
        error: impl fmt::Display,
    ) -> Result<(), Stopped> {
        self.malformed_from(None, bytes, place, offset, error)
    }

    /// The same of what was read at that place, if it was not read there before.
    pub(crate) fn malformed_from(
        &self,
        span: Option<Span>,
        bytes: &[u8],
        place: impl fmt::Display,
        offset: u64,
        error: impl fmt::Display,
    ) -> Result<(), Stopped> {
        if let Some(span) = span
            && self.passes(span, |marks| marks.has_malformed(span.begins))
        {
            return Ok(());
        }
        let mut state = self.wait_for_room(None)?;
        if let Some(span) = span {
            state.marks.reach(span.ends);
        }
        state.buckets.next.bytes += bytes.len();
        state.malformed.push(Malformed {
            bytes: bytes.to_owned(),
            place: place.to_string(),
            offset,
            error: error.to_string(),
        });
        Ok(())
    }

    /// Sleeps for `span`, or until the program is over.
    ///
    /// # Errors
    /// The program is over.
    pub fn sleep(&self, span: Duration) -> Result<(), Stopped> {
        let state = self.lock();
        let waited = self.shared.changed.wait_timeout_while(state, span, |state| !state.stopped);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if state.stopped { Err(Stopped) } else { Ok(()) }
    }

    /// Says whether what the receiver reads from is out of reach. While it is, the silence of the source
    /// is [no idleness](crate::source::Standing), and event time waits for what will come when it is
    /// back.
    ///
    /// ```
    /// use cutwater::{Error, source::{Intake, Receiver}};
    ///
    /// struct Poll(fn() -> Option<Vec<String>>);
    ///
    /// impl Receiver<String> for Poll {
    ///     fn receive(&mut self, intake: &Intake<String>) -> Result<(), Error> {
    ///         while intake.sleep(std::time::Duration::from_secs(1)).is_ok() {
    ///             let answer = (self.0)();
    ///             intake.set_away(answer.is_none());
    ///             for line in answer.into_iter().flatten() {
    ///                 let bytes = line.len();
    ///                 let Ok(()) = intake.push(line, bytes) else { break };
    ///             }
    ///         }
    ///         Ok(())
    ///     }
    /// }
    /// ```
    pub fn set_away(&self, away: bool) {
        self.lock().away = away;
    }

    pub(crate) fn is_away(&self) -> bool {
        self.lock().away
    }

    /// Whether the receiver should return.
    pub fn is_stopped(&self) -> bool {
        self.lock().stopped
    }

    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.stopped = true;
        let on_stop = std::mem::take(&mut state.on_stop);
        drop(state);
        self.shared.changed.notify_all();
        for wake in on_stop {
            wake();
        }
    }

    /// Has `wake` called when the program is over, at once if it is: for a receiver that waits where
    /// the intake cannot wake it. One intake has few of them, and none twice.
    pub(crate) fn on_stop(&self, wake: impl FnOnce() + Send + 'static) {
        let mut state = self.lock();
        if state.stopped {
            drop(state);
            wake();
        } else {
            state.on_stop.push(Box::new(wake));
        }
    }

    /// From now on the interval holds at most `records` records; those that are in it already stay.
    pub(crate) fn set_records_max(&self, records: usize) {
        self.lock().bounds.records_max = records;
        self.shared.changed.notify_all();
    }

    /// Everything has been put in.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Takes out the records of interval (from, to].
    pub(crate) fn cut(&self, from: Time, to: Time) -> Cut<T> {
        let mut state = self.lock();
        let (Bucket { records, bytes, .. }, late) = state.buckets.cut(from, to);
        if let Some(calendar) = &self.shared.calendar {
            let ahead = state.buckets.too_far_ahead(to, calendar);
            state.malformed.extend(ahead);
        }
        let held = state.buckets.first();
        let reached = state.marks.cut(to, held);
        let cut = Cut {
            reached,
            records,
            bytes,
            late,
            deferred: std::mem::take(&mut state.deferred),
            dropped: std::mem::take(&mut state.dropped),
            malformed: std::mem::take(&mut state.malformed),
            closed: state.closed,
        };
        drop(state);
        self.shared.changed.notify_all();
        cut
    }

    pub(crate) fn is_empty(&self) -> bool {
        let state = self.lock();
        state.buckets.is_empty() && state.malformed.is_empty()
    }

    fn label(&self, record: &T) -> Option<Time> {
        self.shared.calendar.as_ref().map(|calendar| calendar.label(record))
    }

    fn wait_for_room(&self, label: Option<Time>) -> Result<MutexGuard<'_, State<T>>, Stopped> {
        let mut state = self.lock();
        if !state.stopped && self.is_full(&state, label) {
            state.deferred += 1;
            let full = |state: &mut State<T>| !state.stopped && self.is_full(state, label);
            state = self.shared.changed.wait_while(state, full).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped { Err(Stopped) } else { Ok(state) }
    }

    fn is_full(&self, state: &State<T>, label: Option<Time>) -> bool {
        let calendar = self.shared.calendar.as_ref();
        state.buckets.is_full(label, state.malformed.len(), state.bounds, calendar)
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        // Every change is complete before the lock is let go, so a panic elsewhere spoils nothing.
        self.shared.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Clone for Intake<T> {
    fn clone(&self) -> Self {
        Self { shared: self.shared.clone() }
    }
}

impl<T> fmt::Debug for Intake<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Intake({} records)", self.lock().buckets.len())
    }
}
