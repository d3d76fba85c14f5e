//! The scheduler of cutwater among simulated workers: whatever fails, every output is that of an undisturbed run.
//!
//! All chance comes from one seed, so a run that found a fault can be had again, with its log.
//!
//! # Layout
//! - `dice`: chance. `log`: what happened.
//! - `program`: a streaming program in miniature, and what its outputs are when nothing ever fails.
//! - `message`, `network`, `store`: what is between processes. `worker`, `master`: the processes.
//! - `faults`: what goes wrong. `invariants`: what must hold all the same.
//! - `simulation`: the clock, and everything that will happen.
//! - `load`: how much of a core the scheduler takes when there are a thousand workers.
//!
//! A second master would be another node of the network, with a store that fences the first; the processes are
//! kept apart for that.

mod dice;
mod faults;
mod invariants;
mod log;
mod master;
mod message;
mod network;
mod program;
mod simulation;
mod store;
mod worker;

pub mod load;

pub use simulation::{Outcome, Setting, Simulation};
