use std::collections::{BTreeSet, VecDeque};

use crate::limits;

/// The last of all that were put in: as many blocks as there are in any interval that may be needed
/// ([`BLOCKS_KNOWN_MAX`](limits::BLOCKS_KNOWN_MAX)).
#[derive(Clone, Debug)]
pub struct Remembered<T> {
    all: BTreeSet<T>,
    /// The oldest first.
    order: VecDeque<T>,
}

impl<T> Default for Remembered<T> {
    fn default() -> Self {
        Self { all: BTreeSet::new(), order: VecDeque::new() }
    }
}

impl<T: Copy + Ord> Remembered<T> {
    /// It is remembered from now on, unless it is already.
    pub fn insert(&mut self, one: T) {
        if self.all.insert(one) {
            self.order.push_back(one);
        }
        if self.order.len() > limits::BLOCKS_KNOWN_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.all.remove(&oldest);
        }
    }

    /// Whether it is.
    pub fn contains(&self, one: &T) -> bool {
        self.all.contains(one)
    }
}
