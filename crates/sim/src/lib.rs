//! The scheduler of cutwater among simulated workers: whatever fails, every output is that of an undisturbed run.
//!
//! All chance comes from one seed, so a run that found a fault can be had again, with its log.
//!
//! # Layout
//! - `dice`: chance. `log`: what happened.
//! - `program`: a streaming program in miniature. `description`: its datasets as a master describes them, and what they
//!   are when nothing ever fails.
//! - `message`, `network`, `store`: what is between processes. `worker`, `master`: the processes.
//! - `durable`: what a master does beside running intervals where another may take over: lease, epoch, progress log,
//!   manifests, outputs. What decides in it is `cutwater_core::progress`; the rest does what `cutwater`'s runtime does.
//! - `faults`: what goes wrong. `invariants`: what must hold all the same.
//! - `simulation`: the clock, and everything that will happen.
//! - `load`: how much of a core the scheduler takes when there are a thousand workers.
//!
//! # What is simulated
//! A cluster is set up in one of three [ways](Setting). In two there is one master that never fails. In the third there
//! are two processes that want to be master, and others started in their places when they end: they die, alone or with
//! their machines; they are stopped and go on; they are cut off from workers, from the store, or from both, one way or
//! both ways; the store fails, answers that it failed when it did not, and is left with torn objects. Workers outlive
//! their masters, join the next, and say what they hold. Each master keeps what it has received itself and writes it down
//! with the interval; outputs go to a sink in the store, which is fenced by epochs.
//!
//! Every [plant](Plant) is something done wrong on purpose, so that an invariant can be seen to object.
//!
//! # What is not
//! Records of clients, which workers receive and replicate among themselves: what that takes is in `cutwater`'s runtime,
//! not in `core`. Intervals that fail and are set aside. Names of workers are given by the simulation, not by masters.

mod description;
mod dice;
mod durable;
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

pub use simulation::{Outcome, Plant, Setting, Simulation};
