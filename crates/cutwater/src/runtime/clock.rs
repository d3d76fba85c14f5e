use std::time::{Duration, Instant};

use cutwater_core::Time;

/// When an interval may begin.
///
/// Labels are in the time of the records, or of the wall where records have none of their own; the
/// clock says how that time passes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Clock {
    /// `zero` was at `began`, and time passes `speed` times as fast as the wall's.
    Paced { zero: Time, began: Instant, speed: f64 },
    /// An interval begins when the one before has ended.
    Eager,
}

impl Clock {
    /// The moment at which interval `time` is due; `None` if that is whenever we are ready.
    pub fn due(&self, time: Time) -> Option<Instant> {
        match self {
            Self::Paced { zero, began, speed } => Some(*began + time.since(*zero).div_f64(*speed)),
            Self::Eager => None,
        }
    }
}

/// The wall's time. The only place where it is read.
pub(crate) fn wall() -> Time {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Time::from_ms(i64::try_from(since.unwrap_or(Duration::ZERO).as_millis()).unwrap_or(i64::MAX))
}
