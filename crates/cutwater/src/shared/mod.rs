//! What the functions of a program share with each other and with the master: values that all of them
//! read ([`Broadcast`]), and values that all of them add to ([`Accumulator`]).

mod accumulate;
mod accumulator;
mod broadcast;
mod tally;

pub use accumulate::Accumulate;
pub use accumulator::Accumulator;
pub(crate) use accumulator::Accumulators;
pub use broadcast::Broadcast;
pub(crate) use tally::{Contribution, counts_in, tallied};
