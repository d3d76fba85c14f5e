use std::sync::{Mutex, PoisonError};

use cutwater_core::Time;
use serde::{Deserialize, Serialize};

/// How a source stood when an interval was cut: whether its silence means anything.
///
/// A source without records may be idle, and then event time goes on without it; or its records
/// cannot get here, and then event time waits for them. Which of the two is a fact of the interval:
/// it is found out once, when the interval is cut, and recorded with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Standing {
    /// What there was is in the interval.
    #[default]
    Flowing,
    /// There is more that could not get into the interval: it was full, or what the source reads from
    /// is out of reach.
    Stalled,
    /// Nothing will come any more.
    Ended,
}

impl Standing {
    /// That of several sources together: stalled with any, ended with all.
    pub(crate) fn together(all: impl IntoIterator<Item = Self>) -> Self {
        let merged = all.into_iter().reduce(|a, b| match (a, b) {
            (Self::Stalled, _) | (_, Self::Stalled) => Self::Stalled,
            (Self::Ended, Self::Ended) => Self::Ended,
            _ => Self::Flowing,
        });
        merged.unwrap_or_default()
    }
}

/// The standing of one source in the newest interval. The driver writes it when it cuts the interval;
/// streams that are made from the source read it.
#[derive(Debug, Default)]
pub(crate) struct StandingAt(Mutex<Option<(Time, Standing)>>);

impl StandingAt {
    pub fn note(&self, time: Time, standing: Standing) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((time, standing));
    }

    pub fn at(&self, time: Time) -> Standing {
        let noted = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.filter(|(noted, _)| *noted == time).map_or(Standing::Flowing, |(_, standing)| standing)
    }
}
