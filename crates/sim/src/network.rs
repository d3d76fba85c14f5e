use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use cutwater_core::WorkerId;

use crate::dice::Dice;

/// A process that is a master, or waits to be one. Counts all that there ever were.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MasterId(pub u32);

impl fmt::Display for MasterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "m{}", self.0)
    }
}

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node {
    /// A master.
    Master(MasterId),
    /// A worker.
    Worker(WorkerId),
    /// The store.
    Store,
    /// A client.
    Client(u32),
}

/// How long messages take, and which ways are closed.
///
/// Properties:
/// - between two ends messages arrive in the order in which they were sent, as TCP has it; over different
///   connections in any order;
/// - a closed way holds messages back and loses none: who closes a connection loses what was on it.
#[derive(Debug, Default)]
pub struct Network {
    closed: BTreeSet<(Node, Node)>,
    slow_ms: BTreeMap<(Node, Node), u64>,
    /// When the last message over each way arrives.
    last_ms: BTreeMap<(Node, Node), u64>,
}

impl Network {
    /// When a message that is sent now arrives, if the way is open then.
    pub fn arrival_ms(&mut self, from: Node, to: Node, now_ms: u64, dice: &mut Dice) -> u64 {
        let spike = if dice.one_in(50) { dice.below(200) } else { 0 };
        let slow_ms = self.slow_ms.get(&(from, to)).copied().unwrap_or(0);
        let at_ms = now_ms + 1 + dice.below(4) + spike + slow_ms;
        let last_ms = self.last_ms.entry((from, to)).or_default();
        *last_ms = at_ms.max(*last_ms);
        *last_ms
    }

    /// Whether nothing gets from one to the other.
    pub fn is_closed(&self, from: Node, to: Node) -> bool {
        self.closed.contains(&(from, to))
    }

    /// From now on nothing gets from one to the other.
    pub fn close(&mut self, from: Node, to: Node) {
        self.closed.insert((from, to));
    }

    /// From now on messages get through again.
    pub fn open(&mut self, from: Node, to: Node) {
        self.closed.remove(&(from, to));
        self.slow_ms.remove(&(from, to));
    }

    /// From now on every message takes so much longer.
    pub fn slow_down(&mut self, from: Node, to: Node, ms: u64) {
        self.slow_ms.insert((from, to), ms);
    }

    /// Everything works.
    pub fn heal(&mut self) {
        self.closed.clear();
        self.slow_ms.clear();
    }
}
