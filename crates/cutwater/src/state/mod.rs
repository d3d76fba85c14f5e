//! State: keyed tables of which each interval makes a new version (D7).

pub(crate) mod changes;
pub(crate) mod entries;
pub(crate) mod key_state;
pub(crate) mod table;
pub(crate) mod timers;
pub(crate) mod tracked;

pub use key_state::State;
pub use table::{Change, Changes, Iter, Table, key_hash};
