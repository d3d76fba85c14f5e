use std::sync::atomic::{AtomicUsize, Ordering};

/// Tells whoever asks where receivers are to begin with the next one, so that all have as many clients.
///
/// The first client begins with the first receiver, the second with the second, and so on. Whom each goes to when its
/// receiver is gone comes by turns too: clients of one that is lost would all go to its neighbour otherwise.
///
/// The network thread of a master asks it. A master that takes over begins with the first again.
#[derive(Debug, Default)]
pub(crate) struct Turns(AtomicUsize);

impl Turns {
    /// The receivers in the order in which this client is to try them.
    pub fn next(&self, receivers: Vec<String>) -> Vec<String> {
        in_turn(receivers, self.0.fetch_add(1, Ordering::Relaxed))
    }
}

fn in_turn(mut receivers: Vec<String>, turn: usize) -> Vec<String> {
    let count = receivers.len();
    if count > 0 {
        receivers.rotate_left(turn % count);
    }
    if let Some((_, others)) = receivers.split_first_mut()
        && !others.is_empty()
    {
        others.rotate_left(turn / count % others.len());
    }
    receivers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(receivers: &str, clients: usize) -> Vec<String> {
        let receivers = receivers.chars().map(String::from);
        (0..clients).map(|turn| in_turn(receivers.clone().collect(), turn).concat()).collect()
    }

    #[test]
    fn receivers_have_as_many_clients_and_so_have_those_that_are_left() {
        let round = told("abcd", 12);
        assert_eq!(round[..4], ["abcd", "bcda", "cdab", "dabc"]);
        for place in ["a", "b", "c", "d"] {
            assert_eq!(round.iter().filter(|order| order.starts_with(place)).count(), 3);
            let next = round.iter().filter_map(|order| order.strip_prefix(place)).map(|rest| &rest[..1]);
            let mut next: Vec<_> = next.chain([place]).collect();
            next.sort_unstable();
            assert_eq!(next, ["a", "b", "c", "d"], "clients of {place} go to all others");
        }
    }

    #[test]
    fn one_receiver_and_none_have_an_order_too() {
        assert_eq!(told("a", 3), ["a", "a", "a"]);
        assert_eq!(told("", 2), ["", ""]);
    }
}
