//! How many workers a program has: more of them while intervals take too long, fewer while they are quickly done
//! (`api.md` §9).
//!
//! These are decisions only: no runtime follows them yet.

use std::{num::NonZeroU32, time::Duration};

/// When to ask for workers and when to let go of one.
///
/// ```
/// use std::time::Duration;
/// use cutwater_core::allocation::{Decision, Policy};
///
/// let (policy, second) = (Policy::default(), Duration::from_secs(1));
/// assert!(matches!(policy.decide(2 * second, second), Some(Decision::More(n)) if n.get() == 2));
/// assert_eq!(policy.decide(second / 2, second), None);
/// assert_eq!(policy.decide(second / 10, second), Some(Decision::Fewer));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// How often there is a decision, in which all intervals since the last one count.
    pub every: Duration,
    /// From this share of an interval that processing takes on there are more workers.
    pub up: f64,
    /// Up to this share there are fewer.
    pub down: f64,
    /// The fewest workers, if not as many as there are receivers.
    pub workers_min: Option<u32>,
    /// The most workers, if there is a bound.
    pub workers_max: Option<u32>,
}

/// What a [`Policy`] wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// So many more workers.
    More(NonZeroU32),
    /// One worker fewer.
    Fewer,
}

impl Default for Policy {
    /// Every minute; above nine tenths of an interval and below three tenths, so that a program settles between.
    fn default() -> Self {
        Self { every: Duration::from_secs(60), up: 0.9, down: 0.3, workers_min: None, workers_max: None }
    }
}

impl Policy {
    /// What is wrong with it, if anything is.
    ///
    /// ```
    /// use cutwater_core::allocation::Policy;
    ///
    /// assert_eq!(Policy::default().fault(), None);
    /// let fault = Policy { up: 0.2, ..Policy::default() }.fault();
    /// assert!(fault.is_some_and(|fault| fault.contains("0.2 is not above 0.3")));
    /// ```
    pub fn fault(&self) -> Option<String> {
        let Self { every, up, down, workers_min, workers_max } = *self;
        if every.is_zero() {
            return Some("a decision every 0 ms is too often".to_owned());
        }
        if !(down > 0.0 && up.is_finite()) {
            return Some(format!("shares of {up} and {down} of an interval are not above 0"));
        }
        if up <= down {
            return Some(format!("for more workers a share of {up} is not above {down}, that for fewer"));
        }
        match (workers_min, workers_max) {
            (Some(0), _) | (_, Some(0)) => Some("a bound of 0 workers leaves nobody to work".to_owned()),
            (Some(min), Some(max)) if min > max => {
                Some(format!("at least {min} workers are more than {max}"))
            }
            _ => None,
        }
    }

    /// What to do if intervals of `interval` took `processing` on average since the last decision.
    pub fn decide(&self, processing: Duration, interval: Duration) -> Option<Decision> {
        let ratio = processing.as_secs_f64() / interval.as_secs_f64();
        if ratio >= self.up {
            // The cast saturates.
            Some(Decision::More(NonZeroU32::new(ratio.round() as u32).unwrap_or(NonZeroU32::MIN)))
        } else {
            (ratio <= self.down).then_some(Decision::Fewer)
        }
    }

    /// How many workers to ask for in all where there are `workers` of them and so many `more` are wanted: at least
    /// one for each receiver if nothing else is said.
    ///
    /// ```
    /// use std::num::NonZeroU32;
    /// use cutwater_core::allocation::Policy;
    ///
    /// let policy = Policy { workers_max: Some(3), ..Policy::default() };
    /// assert_eq!(policy.total(2, NonZeroU32::MAX, 1), 3);
    /// assert_eq!(policy.total(0, NonZeroU32::MIN, 2), 2);
    /// ```
    pub fn total(&self, workers: u32, more: NonZeroU32, receivers: u32) -> u32 {
        let total = workers.saturating_add(more.get()).max(self.fewest(receivers));
        self.workers_max.map_or(total, |max| total.min(max))
    }

    /// Which of `workers` to let go of: the last without a receiver, unless there are no more than the fewest.
    /// The last to have come has least that others would miss.
    ///
    /// ```
    /// use cutwater_core::allocation::Policy;
    ///
    /// assert_eq!(Policy::default().let_go(&["a", "b", "c"], &["c"]), Some("b"));
    /// assert_eq!(Policy::default().let_go(&["a"], &[]), None);
    /// ```
    pub fn let_go<W: Copy + PartialEq>(&self, workers: &[W], with_receiver: &[W]) -> Option<W> {
        // Receivers may share workers, but each worker that has one stays in any case.
        let fewest = self.fewest(u32::try_from(with_receiver.len()).unwrap_or(u32::MAX));
        let some_to_spare = workers.len() > usize::try_from(fewest).unwrap_or(usize::MAX);
        let free = workers.iter().rev().find(|worker| !with_receiver.contains(worker));
        free.copied().filter(|_| some_to_spare)
    }

    fn fewest(&self, receivers: u32) -> u32 {
        self.workers_min.unwrap_or(receivers.max(1))
    }
}
