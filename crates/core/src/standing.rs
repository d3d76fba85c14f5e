//! Whether a master can be sure that no other has taken over, and whoever waits to do so that it is gone.

use crate::limits;

/// What a master knows of that from the leases that it has written.
///
/// The progress log decides who is master, and a master learns of it with what it writes next. What cannot be undone and is
/// written nowhere, as to take a worker's name from it, by which the next master would find it, needs to know before: a lease
/// that never lay for long was taken by nobody.
///
/// Times are in milliseconds since any fixed moment.
///
/// ```
/// use cutwater_core::{limits, standing::Standing};
///
/// let mut standing = Standing::new(0);
/// standing.beats(500);
/// assert!(standing.is_sure(1_000));
/// standing.beats(500 + limits::LEASE_LOST_MS);
/// assert!(!standing.is_sure(500 + limits::LEASE_LOST_MS), "another may be about to say that it is master");
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct Standing {
    /// When the newest lease began to be written.
    beaten_ms: u64,
    /// Whoever has taken over before has said so by then; nothing if somebody has.
    sure_from_ms: Option<u64>,
}

impl Standing {
    /// That of a master which has just written its first lease.
    pub fn new(now_ms: u64) -> Self {
        Self { beaten_ms: now_ms, sure_from_ms: Some(now_ms) }
    }

    /// A lease is written, which was begun `at_ms`.
    pub fn beats(&mut self, at_ms: u64) {
        if at_ms.saturating_sub(self.beaten_ms) >= limits::LEASE_LOST_MS {
            self.sure_from_ms = self.sure_from_ms.map(|_| at_ms + limits::LEASE_DOUBT_MS);
        }
        self.beaten_ms = at_ms;
    }

    /// Another has taken over, or this one ends and leaves the program to another.
    pub fn concedes(&mut self) {
        self.sure_from_ms = None;
    }

    /// Whether it is certain that no other master runs the program.
    pub fn is_sure(&self, now_ms: u64) -> bool {
        let is_fresh = now_ms.saturating_sub(self.beaten_ms) < limits::LEASE_LOST_MS;
        is_fresh && self.sure_from_ms.is_some_and(|from_ms| from_ms <= now_ms)
    }

    /// Until when it is certain that no other master ran the program, if now, at `now_ms`, a look at the leases that was begun
    /// `looked_ms` has found no later one: whoever had taken over long enough before that look had said so by then. So what has
    /// happened is certain some day to be none of another's doing, also if this master's leases are always late. Nothing if
    /// another has taken over.
    ///
    /// ```
    /// use cutwater_core::{limits, standing::Standing};
    ///
    /// let standing = Standing::new(0);
    /// assert_eq!(standing.sure_until(400, 500), Some(500));
    /// let late_ms = 2 * limits::LEASE_DOUBT_MS;
    /// assert_eq!(standing.sure_until(late_ms, late_ms + 100), Some(late_ms - limits::LEASE_DOUBT_MS));
    /// ```
    pub fn sure_until(&self, looked_ms: u64, now_ms: u64) -> Option<u64> {
        self.sure_from_ms?;
        Some(if self.is_sure(now_ms) { now_ms } else { looked_ms.saturating_sub(limits::LEASE_DOUBT_MS) })
    }
}

/// For how long the lease of a master lay as it was, as far as whoever looks at it every now and then can tell.
///
/// It may have been stopped itself, and the master with it, or have been waiting for the store. So what counts is only the time
/// between looks, and of a long one no more than there is between two leases: in the rest of it nobody looked, and a master that
/// is there writes again before there were enough looks.
///
/// ```
/// use cutwater_core::{limits, standing::Silence};
///
/// let mut silence = Silence::since(0);
/// silence.goes_on(10 * limits::LEASE_LOST_MS);
/// assert!(!silence.is_long(), "it was seen twice");
/// for look in 1..4 {
///     silence.goes_on(10 * limits::LEASE_LOST_MS + look * limits::LEASE_BEAT_MS);
/// }
/// assert!(silence.is_long());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Silence {
    looked_ms: u64,
    lasted_ms: u64,
}

impl Silence {
    /// A lease was seen for the first time, by a look that was over by then.
    pub fn since(now_ms: u64) -> Self {
        Self { looked_ms: now_ms, lasted_ms: 0 }
    }

    /// It was seen again as it was, by a look that was begun `at_ms`.
    pub fn goes_on(&mut self, at_ms: u64) {
        self.lasted_ms += at_ms.saturating_sub(self.looked_ms).min(limits::LEASE_BEAT_MS);
        self.looked_ms = at_ms;
    }

    /// Whether the master counts as gone.
    pub fn is_long(&self) -> bool {
        self.lasted_ms >= limits::LEASE_LOST_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_master_is_gone_after_its_time_if_somebody_looked_all_the_while() {
        let mut silence = Silence::since(7);
        let looks = (1..).map(|look| look * limits::LEASE_POLL_MS);
        let long_ms = looks.take_while(|ms| {
            silence.goes_on(7 + ms);
            !silence.is_long()
        });
        assert_eq!(long_ms.last(), Some(limits::LEASE_LOST_MS - limits::LEASE_POLL_MS));
    }

    /// Whoever has taken over meanwhile may not have said so yet.
    #[test]
    fn who_has_not_written_for_long_is_not_sure_at_once() {
        let mut standing = Standing::new(0);
        assert!(standing.is_sure(limits::LEASE_LOST_MS - 1));
        assert!(!standing.is_sure(limits::LEASE_LOST_MS), "it was not written since");
        standing.beats(limits::LEASE_LOST_MS - 1);
        assert!(standing.is_sure(limits::LEASE_LOST_MS), "it never lay for long");
        let late_ms = 3 * limits::LEASE_LOST_MS;
        let mut ms = late_ms;
        while ms <= late_ms + limits::LEASE_DOUBT_MS {
            standing.beats(ms);
            assert_eq!(standing.is_sure(ms), ms == late_ms + limits::LEASE_DOUBT_MS, "{ms} ms");
            ms += limits::LEASE_BEAT_MS;
        }
        standing.concedes();
        standing.beats(4 * late_ms);
        assert!(!standing.is_sure(4 * late_ms));
        assert_eq!(standing.sure_until(4 * late_ms, 4 * late_ms), None);
    }
}
