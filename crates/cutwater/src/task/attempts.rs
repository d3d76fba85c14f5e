use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use cutwater_core::Attempt;
use tokio::sync::Notify;

/// What a running attempt and those who look after it say to each other: that its result does not matter any longer, and
/// how far it is. Both are looked at and said for every few records, which costs nothing that can be measured: hardly
/// anybody but its own thread does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Control(Arc<Said>);

#[derive(Debug, Default)]
struct Said {
    cancelled: AtomicBool,
    read: AtomicU64,
}

// Nothing else is read on the strength of either.
impl Control {
    fn cancel(&self) {
        self.0.cancelled.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub fn is_cancelled(&self) -> bool {
        self.0.cancelled.load(Ordering::Relaxed)
    }

    /// So many records were read up to now.
    #[inline]
    pub fn has_read(&self, records: u64) {
        self.0.read.store(records, Ordering::Relaxed);
    }
}

/// The attempts that a worker was sent and has not reported.
///
/// Whoever hears the master begins and cancels them, and tells it how far they are; compute threads end them. If the process
/// dies, its attempts die with it.
#[derive(Default)]
pub(crate) struct Attempts {
    all: Mutex<HashMap<Attempt, Known>>,
    /// There is one, and was none before.
    begun: Notify,
}

struct Known {
    control: Control,
    since: Instant,
    /// What was told of it last.
    told: u64,
}

impl Attempts {
    /// It was sent, and may be cancelled from now on.
    pub fn begin(&self, attempt: Attempt) -> Control {
        let mut all = self.all();
        if all.is_empty() {
            self.begun.notify_one();
        }
        let known = || Known { control: Control::default(), since: Instant::now(), told: 0 };
        all.entry(attempt).or_insert_with(known).control.clone()
    }

    /// It stops at the next records, if it has not ended.
    pub fn cancel(&self, attempt: Attempt) {
        if let Some(known) = self.all().get(&attempt) {
            known.control.cancel();
        }
    }

    /// All of them stop.
    pub fn cancel_all(&self) {
        self.all().values().for_each(|known| known.control.cancel());
    }

    /// It is about to be reported.
    pub fn end(&self, attempt: Attempt) {
        self.all().remove(&attempt);
    }

    /// Waits while there is none.
    pub async fn any(&self) {
        while self.all().is_empty() {
            self.begun.notified().await;
        }
    }

    /// What those have read that are here for so long, unless that was told already.
    pub fn progress(&self, age: Duration) -> Vec<(Attempt, u64)> {
        let mut all = self.all();
        let old = all.iter_mut().filter(|(_, known)| known.since.elapsed() >= age);
        let news = old.filter_map(|(attempt, known)| {
            let read = known.control.0.read.load(Ordering::Relaxed);
            (std::mem::replace(&mut known.told, read) != read).then_some((*attempt, read))
        });
        news.collect()
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Attempt, Known>> {
        // A panic while the lock is held leaves the map as it was, so a poisoned one is sound.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cutwater_core::StageId;

    use super::*;

    #[test]
    fn an_attempt_that_has_ended_is_not_remembered() {
        let attempts = Attempts::default();
        let attempt = Attempt { stage: StageId(1), partition: 2, number: 0 };
        let control = attempts.begin(attempt);
        attempts.cancel(Attempt { number: 1, ..attempt });
        assert!(!control.is_cancelled());
        attempts.cancel(attempt);
        assert!(control.is_cancelled());
        attempts.end(attempt);
        // Cancelled too late: there is nothing to stop, and nothing is kept for it.
        attempts.cancel(attempt);
        assert!(attempts.all().is_empty());
    }

    #[test]
    fn what_an_attempt_has_read_is_told_once_and_only_of_those_that_take_their_time() {
        let attempts = Attempts::default();
        let attempt = Attempt { stage: StageId(1), partition: 2, number: 0 };
        let control = attempts.begin(attempt);
        assert_eq!(attempts.progress(Duration::ZERO), []);
        control.has_read(10);
        assert_eq!(attempts.progress(Duration::from_secs(3_600)), []);
        assert_eq!(attempts.progress(Duration::ZERO), [(attempt, 10)]);
        assert_eq!(attempts.progress(Duration::ZERO), []);
        control.has_read(12);
        assert_eq!(attempts.progress(Duration::ZERO), [(attempt, 12)]);
        attempts.end(attempt);
        control.has_read(15);
        assert_eq!(attempts.progress(Duration::ZERO), []);
    }
}
