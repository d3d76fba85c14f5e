//! Where receivers run: evenly over the workers, and those that prefer a host on it (`api.md` §7).
//!
//! These are decisions only: no runtime follows them yet.

use std::collections::{BTreeMap, BTreeSet};

/// The place of a worker: the host it is on, and which of the workers there it is.
///
/// ```
/// use cutwater_core::receivers::Place;
///
/// assert_eq!(Place::new("host1", 2).to_string(), "host1/2");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The host's name.
    pub host: String,
    /// The number of the worker, which is unique over all hosts.
    pub worker: u32,
}

impl Place {
    /// A worker on a host.
    pub fn new(host: impl Into<String>, worker: u32) -> Self {
        Self { host: host.into(), worker }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.host, self.worker)
    }
}

/// Where a receiver may be started.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Candidate {
    /// This worker.
    Worker(Place),
    /// Whatever worker there is on this host when the receiver starts.
    Host(String),
}

/// What is known of a receiver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracked {
    /// It runs nowhere and nobody has been asked to start it.
    Inactive,
    /// It is to be started on one of these.
    Scheduled(Vec<Candidate>),
    /// It runs here.
    Active(Place),
}

/// Candidates for all receivers before any runs, `preferred` naming the host that each prefers.
///
/// Properties:
/// - numbers of receivers on workers differ by one at most, as far as preferences allow;
/// - workers left without a receiver are further candidates, spread evenly over the receivers that have the
///   fewest: should the first choice not work out, nobody waits;
/// - a host without workers is a candidate as such; without workers, receivers have no others.
///
/// ```
/// use cutwater_core::receivers::{Candidate, Place, place};
///
/// let workers = [Place::new("a", 0), Place::new("b", 1)];
/// let on = |i: usize| vec![Candidate::Worker(workers[i].clone())];
/// assert_eq!(place(&[None, Some("a".to_owned())], &workers), [on(1), on(0)]);
/// ```
pub fn place(preferred: &[Option<String>], workers: &[Place]) -> Vec<Vec<Candidate>> {
    let mut candidates = vec![Vec::new(); preferred.len()];
    let mut receivers: BTreeMap<&Place, usize> = workers.iter().map(|worker| (worker, 0)).collect();
    // The one with the fewest, and of those the first, so that the same is answered each time.
    let mut least = |on: Option<&str>| {
        let fitting = receivers.iter_mut().filter(|(worker, _)| on.is_none_or(|host| worker.host == host));
        let (worker, count) = fitting.min_by_key(|(_, count)| **count)?;
        *count += 1;
        Some(Candidate::Worker((*worker).clone()))
    };
    // Those that do not care come last: they go where preferences have left room.
    for (at, host) in preferred.iter().enumerate() {
        if let Some(host) = host {
            candidates[at].push(least(Some(host)).unwrap_or_else(|| Candidate::Host(host.clone())));
        }
    }
    for (at, _) in preferred.iter().enumerate().filter(|(_, host)| host.is_none()) {
        candidates[at].extend(least(None));
    }
    for (idle, _) in receivers.into_iter().filter(|(_, count)| *count == 0) {
        if let Some(fewest) = candidates.iter_mut().min_by_key(|candidates| candidates.len()) {
            fewest.push(Candidate::Worker(idle.clone()));
        }
    }
    candidates
}

/// Candidates for one receiver that is to be started again, given what the `others` do: the workers that have
/// least to do, all of those without receivers if there are any, and the host it prefers.
///
/// A receiver that runs on a worker weighs 1 there; one that is scheduled weighs 1 on all of its candidates
/// together.
///
/// ```
/// use cutwater_core::receivers::{Candidate, Place, Tracked, replace};
///
/// let workers = [Place::new("a", 0), Place::new("b", 1)];
/// let others = [Tracked::Active(workers[0].clone())];
/// assert_eq!(replace(None, &others, &workers), [Candidate::Worker(workers[1].clone())].into());
/// ```
pub fn replace(preferred: Option<&str>, others: &[Tracked], workers: &[Place]) -> BTreeSet<Candidate> {
    let mut weights: BTreeMap<&Place, f64> = workers.iter().map(|worker| (worker, 0.0)).collect();
    let mut add = |place: &Place, weight: f64| {
        if let Some(sum) = weights.get_mut(place) {
            *sum += weight;
        }
    };
    for other in others {
        match other {
            Tracked::Inactive => {}
            Tracked::Active(place) => add(place, 1.0),
            Tracked::Scheduled(candidates) => {
                for candidate in candidates {
                    if let Candidate::Worker(place) = candidate {
                        add(place, 1.0 / candidates.len() as f64);
                    }
                }
            }
        }
    }
    // Nothing, or sums of the same fractions: what is equal is equal to the bit, or nearly so.
    let least = weights.values().copied().fold(f64::INFINITY, f64::min);
    let light = weights.into_iter().filter(|(_, weight)| *weight - least < 1e-9);
    let host = preferred.map(|host| Candidate::Host(host.to_owned()));
    light.map(|(place, _)| Candidate::Worker(place.clone())).chain(host).collect()
}
