//! The only place with threads, sockets and clocks.
//!
//! - [`engine`]: what datasets call to have themselves computed;
//! - [`master`]: the loop that feeds the scheduler and carries out its commands;
//! - [`worker`]: compute threads that run tasks;
//! - [`driver`]: the loop over intervals; [`event_times`]: what it tells of event time;
//! - [`clock`]: when an interval ends; [`signals`]: when everything ends.

pub(crate) mod clock;
pub(crate) mod driver;
mod engine;
mod event_times;
mod master;
mod progress;
mod signals;
mod worker;

pub(crate) use engine::Engine;
