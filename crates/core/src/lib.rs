//! What cutwater *decides*: which tasks to run, where, and what to do when one fails.
//!
//! Nothing here does I/O, starts a thread, reads a clock or draws a random number. The
//! [`Scheduler`] is a function `step(event) -> commands`; a runtime feeds it events and carries
//! out its commands. So every decision can be tested by a script of events.
//!
//! # Layout, in the order of the flow
//! - [`id`]: the names of things. [`Time`]: the label of an interval.
//! - [`lineage`]: what a dataset is, for someone who does not compute it.
//! - [`stage`]: lineage cut at its shuffles.
//! - [`task`]: one partition of one stage, its attempts and how they fail. [`located`]: where the pieces it
//!   reads are.
//! - [`scheduler`]: events in, commands out.
//! - [`progress`]: which input each interval had, and which master may say so. [`standing`]: whether one can be sure that it
//!   is the only one.
//! - [`rate`]: how much an interval may take. [`allocation`]: how many workers there are.
//!   [`receivers`]: on which of them receivers run.
//! - [`clients`]: what workers receive, who holds it, and in which interval it is. [`counted`]: which batches were
//!   counted.
//! - [`operators`]: what a changed program makes of the states that were written.
//! - [`text`]: times as people read them.
//! - [`limits`]: every bound of the engine, with its reason.
//!
//! # What may not live here
//! Types of records, closures, sockets, files, threads, clocks, `async`.

pub mod allocation;
pub mod clients;
pub mod counted;
pub mod id;
pub mod limits;
pub mod lineage;
pub mod located;
pub mod operators;
pub mod progress;
pub mod rate;
pub mod receivers;
pub mod scheduler;
pub mod stage;
pub mod standing;
pub mod task;
pub mod text;
mod time;

pub use id::{BlockId, ClientId, DatasetId, JobId, OpId, StageId, WorkerId};
pub use lineage::{Dataset, Parent, PartitionMap, Shape, Split};
pub use located::{Located, Whereabouts};
pub use scheduler::{Command, Event, Scheduler};
pub use stage::Stage;
pub use task::{Attempt, Task, TaskError};
pub use time::{Time, TimeError};
