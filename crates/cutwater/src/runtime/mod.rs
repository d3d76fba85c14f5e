//! The only place with threads, sockets and clocks.
//!
//! - [`engine`]: what datasets call to have themselves computed;
//! - [`unclaimed`]: what is found in datasets that nobody has needed yet;
//! - [`master`]: the loop that feeds the scheduler and carries out its commands; [`link`]: how it
//!   reaches a worker, in this process or another; [`holding`]: received blocks on their way to workers;
//! - [`receive`]: what workers receive from clients;
//! - [`worker`]: compute threads that run tasks;
//! - [`cluster`]: workers in other processes;
//! - [`driver`]: the loop over intervals; [`event_times`]: what it tells of event time;
//! - [`resume`]: how a program goes on after a restart;
//! - [`lease`]: which master runs the program, for those who wait to;
//! - [`journal`]: which input each interval had, written before it runs;
//! - [`checkpointer`]: states written behind the computation;
//! - [`clock`]: when an interval ends; [`signals`]: when everything ends.

mod checkpointer;
pub(crate) mod clock;
pub(crate) mod cluster;
pub(crate) mod driver;
mod engine;
mod event_times;
mod holding;
mod journal;
mod lease;
mod link;
mod master;
#[cfg(test)]
mod played;
mod progress;
mod receive;
mod resume;
mod signals;
mod unclaimed;
mod used;
mod worker;

pub use engine::ClientAccess;
pub(crate) use engine::{Described, Engine, Urgency};
#[cfg(test)]
pub(crate) use journal::entries;
#[cfg(test)]
pub(crate) use lease::runs;
use resume::Begins;
pub(crate) use resume::Durable;
