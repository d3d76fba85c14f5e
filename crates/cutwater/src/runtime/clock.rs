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

/// The wall's time.
pub(crate) fn wall() -> Time {
    Time::from_ms(i64::try_from(since_1970().as_millis()).unwrap_or(i64::MAX))
}

/// A number that is larger than that of any run which began before, on machines whose clocks are right: the wall's time
/// in microseconds.
pub(crate) fn epoch() -> u64 {
    u64::try_from(since_1970().as_micros()).unwrap_or(u64::MAX)
}

/// The only place where the wall's time is read.
fn since_1970() -> Duration {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or(Duration::ZERO)
}
