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
//! - `failing`: in which intervals functions of the program fail.
//! - `clients`: what sends records, how workers take them in, and how they come into intervals. What decides in it is
//!   `cutwater_core::clients`.
//! - `faults`: what goes wrong. `invariants`: what must hold all the same.
//! - `simulation`: the clock, and everything that will happen.
//! - `load`: how much of a core the scheduler takes when there are a thousand workers.
//!
//! # What is simulated
//! A cluster is set up in one of some [ways](Setting). In two there is one master that never fails. In the third there
//! are two processes that want to be master, and others started in their places when they end: they die, alone or with
//! their machines; they are stopped and go on; they are cut off from workers, from the store, or from both, one way or
//! both ways; the store fails, answers that it failed when it did not, and is left with torn objects. Workers outlive
//! their masters, join the next, and say what they hold. Each master keeps what it has received itself and writes it down
//! with the interval; states are written down, and the log says which of them are held; outputs go to a sink in the store, which
//! is fenced by epochs. What a task makes for a shuffle is combined or is not; if it is, a second worker may be told to hold it.
//!
//! There may be clients, too: they send batches to workers, which hand them to a second one, and acknowledge. They send
//! again what was not acknowledged, to another worker, when one dies, is cut off or is silent. Of what was acknowledged one
//! holder is left by whatever goes wrong; then it must be in one interval, once. A worker that is lost to its master, or that
//! comes to one which does not know it, comes back under another name with what it holds; it may be the last holder. A lease names
//! those that are lost, and whoever takes over calls them. Masters are stopped for so long that all workers leave them, both of them at once now and
//! then. What is lost with workers that no master has found in time is counted apart. There is always a worker that does not want
//! to leave.
//!
//! And intervals may overlap: while one is run, what follows from the next alone is expected of the scheduler, if its input is
//! written down; and workers fetch what they are told that tasks will probably read, now and then.
//!
//! And functions of the program may fail, always or some times: the interval is set aside, for those after it it had no records, and
//! what it is made from goes when the log says so. A master that takes over before that runs it again, and may find that it does
//! not fail any more.
//!
//! In the end nothing fails for some intervals, and what masters have written is compared with what a restart may need.
//!
//! Every [plant](Plant) is something done wrong on purpose, so that an invariant can be seen to object.
//!
//! # What is not
//! Of intervals that are begun early, more than the write sides of shuffles. Names of workers are given by the simulation, not by masters.

mod clients;
mod description;
mod dice;
mod durable;
mod failing;
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

pub use simulation::{GivenUp, Outcome, Plant, Setting, Simulation};
