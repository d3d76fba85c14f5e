//! Which batches of clients were counted, so that what a client sends again counts once.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ClientId, limits};

/// What has been counted of each client of a source.
///
/// Properties:
/// - a client numbers its batches from 0 and sends again, under the same number, what was not acknowledged;
///   so a number that was counted is never counted again;
/// - batches may overtake each other: all below a mark are counted, and above it some
///   ([`CLIENT_GAPS_MAX`](limits::CLIENT_GAPS_MAX));
/// - clients that were not heard of for longest are forgotten
///   ([`CLIENTS_REMEMBERED_MAX`](limits::CLIENTS_REMEMBERED_MAX)).
///
/// The driver's thread asks it when it fixes the input of an interval. If the master dies, it is as much a part of
/// what has to be known about the last interval as the input itself; so it can be serialised.
///
/// ```
/// use cutwater_core::{ClientId, counted::Counted};
///
/// let (mut counted, client) = (Counted::default(), ClientId(1));
/// let new: Vec<bool> = [0, 1, 1, 3, 2, 3, 0, 4].map(|sequence| counted.count(client, sequence)).into();
/// assert_eq!(new, [true, true, false, true, true, false, false, true]);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counted {
    clients: BTreeMap<ClientId, Client>,
    /// How many batches were asked about: the only time there is here.
    now: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Client {
    /// All batches below are counted.
    mark: u64,
    /// Counted above the mark: where a run of them begins, and where it ends.
    above: BTreeMap<u64, u64>,
    heard: u64,
}

impl Counted {
    /// Counts a batch; says whether it was not counted before.
    pub fn count(&mut self, client: ClientId, sequence: u64) -> bool {
        self.now += 1;
        let known = self.clients.entry(client).or_default();
        known.heard = self.now;
        let new = known.count(sequence);
        if self.clients.len() > limits::CLIENTS_REMEMBERED_MAX {
            self.forget_some();
        }
        new
    }

    /// Forgets a sixteenth of the clients at once, so that each costs little.
    fn forget_some(&mut self) {
        let mut heard: Vec<u64> = self.clients.values().map(|client| client.heard).collect();
        heard.sort_unstable();
        if let Some(since) = heard.get(heard.len() / 16) {
            self.clients.retain(|_, client| client.heard >= *since);
        }
    }
}

impl Client {
    fn count(&mut self, sequence: u64) -> bool {
        let before = self.above.range(..=sequence).next_back().map(|(begin, end)| (*begin, *end));
        if sequence < self.mark || before.is_some_and(|(_, end)| sequence < end) {
            return false;
        }
        let begin = match before {
            Some((begin, end)) if end == sequence => begin,
            _ => sequence,
        };
        let end = self.above.remove(&(sequence + 1)).unwrap_or(sequence + 1);
        self.above.insert(begin, end);
        while let Some(run) = self.above.first_entry() {
            let is_next = *run.key() == self.mark;
            if is_next {
                self.mark = run.remove();
            } else if self.above.len() > limits::CLIENT_GAPS_MAX {
                // The client has lost count. The batches of the first gap will not come.
                self.mark = self.above.first_key_value().map_or(self.mark, |(begin, _)| *begin);
            } else {
                break;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever is sent again, and in whatever order within reach: each number counts once.
        #[test]
        fn each_counts_once(sequences in prop::collection::vec(0..60_u64, 0..300)) {
            let (mut counted, mut naive) = (Counted::default(), HashSet::new());
            for sequence in sequences {
                prop_assert_eq!(counted.count(ClientId(7), sequence), naive.insert(sequence));
            }
        }
    }

    #[test]
    fn clients_do_not_share_numbers() {
        let mut counted = Counted::default();
        assert!(counted.count(ClientId(1), 0) && counted.count(ClientId(2), 0));
    }

    #[test]
    fn a_client_in_order_takes_no_more_memory_the_longer_it_sends() {
        let mut counted = Counted::default();
        assert!((0..10_000).all(|sequence| counted.count(ClientId(1), sequence)));
        assert!(counted.clients[&ClientId(1)].above.is_empty());
    }

    #[test]
    fn one_that_leaves_gaps_is_bounded() {
        let mut counted = Counted::default();
        assert!((0..10_000).all(|n| counted.count(ClientId(1), 2 * n + 1)));
        assert!(counted.clients[&ClientId(1)].above.len() <= limits::CLIENT_GAPS_MAX);
        assert!(!counted.count(ClientId(1), 0), "what was given up does not count later");
    }

    #[test]
    fn the_longest_silent_clients_are_forgotten() {
        let mut counted = Counted::default();
        let clients = limits::CLIENTS_REMEMBERED_MAX as u128 + 1;
        for client in 0..clients {
            counted.count(ClientId(client), 0);
        }
        assert!(counted.clients.len() < clients as usize);
        assert!(counted.count(ClientId(0), 0), "forgotten");
        assert!(!counted.count(ClientId(clients - 1), 0), "remembered");
    }
}
