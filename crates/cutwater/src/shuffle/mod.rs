//! Shuffles: records split by key group on one side, merged in map-partition order on the other.
//!
//! The write side of a shuffle is an operator that emits one piece for each partition of the read
//! side; the read side is an operator that asks for its pieces. Both are ordinary operators.

mod combiner;
mod split;

pub(crate) use combiner::{BATCH, Combiner, List, Merge};
pub(crate) use split::split_by_key;
