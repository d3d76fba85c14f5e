//! What outlives processes: state, as it was at the end of some interval, and which input each interval had.
//!
//! - [`store`]: the place for it, a [`folder`] or an object store; [`file`]: what tells a damaged file;
//! - [`saved`]: a state written by the tasks that have it, and read by those that lack it; [`spread`]: by those of
//!   another number of partitions;
//! - [`manifest`]: the states of one moment, written last; [`program`]: what must not change from start to start;
//! - [`operators`]: what has state, to be compared when a program starts again, perhaps changed.
//!
//! Nothing here knows threads or intervals: when to write, what to read and what may go is decided in `runtime`.

#[cfg(test)]
mod crashes;
#[cfg(test)]
pub(crate) mod faults;
pub(crate) mod file;
mod folder;
pub(crate) mod manifest;
pub(crate) mod operators;
#[cfg(test)]
mod pauses;
pub(crate) mod program;
#[cfg(all(test, feature = "s3"))]
mod s3;
pub(crate) mod saved;
pub(crate) mod spread;
pub(crate) mod store;
