use std::sync::{Mutex, OnceLock, PoisonError};

use cutwater_core::Time;

/// When the program began and how far it is.
#[derive(Default)]
pub(crate) struct Timeline {
    zero: OnceLock<Time>,
    now: Mutex<Option<Time>>,
}

impl Timeline {
    pub fn begin(&self, zero: Time) {
        // A program is started once; a second call would find the same zero.
        let _ = self.zero.set(zero);
    }

    /// The label before the first interval's. `None` before the start.
    pub fn zero(&self) -> Option<Time> {
        self.zero.get().copied()
    }

    /// The input of the interval `now` is fixed.
    pub fn reach(&self, now: Time) {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// The last interval of which the input is fixed: what lies after it cannot be asked for yet.
    pub fn now(&self) -> Option<Time> {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
