//! State: keyed tables of which each interval makes a new version (D7).

pub(crate) mod entries;
pub(crate) mod table;

pub use table::{Change, Changes, Iter, Table, key_hash};
