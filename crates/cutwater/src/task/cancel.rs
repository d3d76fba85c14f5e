use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use cutwater_core::Attempt;

/// Says to a running attempt that its result does not matter any longer. It is looked at for every few
/// records, which costs nothing that can be measured: nobody writes it until somebody does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    #[inline]
    pub fn is_raised(&self) -> bool {
        // Nothing else is read on the strength of it.
        self.0.load(Ordering::Relaxed)
    }
}

/// The attempts that a worker was sent and has not reported.
///
/// Whoever hears the master begins and cancels them, compute threads end them. If the process dies, its
/// attempts die with it.
#[derive(Default)]
pub(crate) struct Attempts(Mutex<HashMap<Attempt, Cancel>>);

impl Attempts {
    /// It was sent, and may be cancelled from now on.
    pub fn begin(&self, attempt: Attempt) -> Cancel {
        self.all().entry(attempt).or_default().clone()
    }

    /// It stops at the next records, if it has not ended.
    pub fn cancel(&self, attempt: Attempt) {
        if let Some(cancel) = self.all().get(&attempt) {
            cancel.raise();
        }
    }

    /// All of them stop.
    pub fn cancel_all(&self) {
        self.all().values().for_each(Cancel::raise);
    }

    /// It is about to be reported.
    pub fn end(&self, attempt: Attempt) {
        self.all().remove(&attempt);
    }

    fn all(&self) -> MutexGuard<'_, HashMap<Attempt, Cancel>> {
        // A panic while the lock is held leaves the map as it was, so a poisoned one is sound.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        let cancel = attempts.begin(attempt);
        attempts.cancel(Attempt { number: 1, ..attempt });
        assert!(!cancel.is_raised());
        attempts.cancel(attempt);
        assert!(cancel.is_raised());
        attempts.end(attempt);
        // Cancelled too late: there is nothing to stop, and nothing is kept for it.
        attempts.cancel(attempt);
        assert!(attempts.all().is_empty());
    }
}
