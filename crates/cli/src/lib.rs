//! The `cutwater` command: starts programs on a set of machines and looks after them.
//!
//! ```text
//! cutwater submit ──┬── agent ── master of the program
//!                   ├── agent ── worker, worker
//!                   └── agent ── worker, worker
//! ```
//!
//! # Layout
//! - [`submit`], [`jobs`], [`stop`], [`follow`], [`probe`]: what a person asks for, one sub-command each;
//! - [`agents`]: the set of agents that is meant; [`caller`]: a connection to one of them;
//! - [`agent`]: the standing process of a machine; [`launch`]: the step between it and a program;
//!   [`variables`]: what the program is told by its environment;
//! - [`executable`]: what can be said of a program before it is sent anywhere;
//! - [`certs`]: makes certificates; [`access`]: what lets callers and agents speak to each other; [`token`]: the secret they share on one machine.
//!
//! What they say to each other is in `cutwater-wire`, in its module `agent`.

pub mod access;
pub mod agent;
pub mod agents;
pub mod caller;
pub mod certs;
pub mod executable;
pub mod follow;
pub mod jobs;
pub mod launch;
pub mod probe;
pub mod stop;
pub mod submit;
pub mod token;
pub mod variables;
