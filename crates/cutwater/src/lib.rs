//! Stream processing in ordinary Rust.
//!
//! A program describes streams ([`DStream`]) with closures; cutwater cuts them into short intervals
//! and runs each as a small deterministic batch job over immutable datasets ([`Rdd`]) that remember
//! how they were made.
//!
//! ```
//! use std::time::Duration;
//! use cutwater::{Context, Error};
//!
//! let ctx = Context::builder("words").interval(Duration::from_millis(50)).threads(1).build()?;
//! let (sender, lines) = ctx.channel::<String>("lines");
//! let ones = lines.pairs(|line, emit| line.split(' ').for_each(|word| emit(word, 1u64)));
//! let counts = ones.running_reduce(|a, b| a + b);
//! counts.for_each_rdd(|rdd, t| {
//!     println!("{t}: {:?}", rdd.top_by(3, |c| c.1)?);
//!     Ok::<(), Error>(())
//! });
//! sender.send("to be or not to be".to_owned())?;
//! drop(sender); // nothing more will come, so the program ends by itself
//! ctx.run()?;
//! # Ok::<(), Error>(())
//! ```
//!
//! # Layout, in the order in which data flows
//! - [`source`]: where records come from; `block`: immutable pieces of data;
//! - [`Context`] and `stream/`: the graph of streams, built once by the program;
//! - `rdd/`: datasets, one operation a file;
//! - `shared/`: values that all functions read, or add to;
//! - `task/`: what a compute thread runs; `shuffle/`: records brought together by key;
//! - [`state`]: keyed tables with a version for each interval;
//! - [`output`]: where results go;
//! - `runtime/`: what runs programs: driver, master, workers, and the sockets between processes;
//! - [`testing`]: a clock you drive, inputs you list, outputs you compare.
//!
//! What is decided (stages, scheduling, recovery) is in `cutwater-core`.

mod block;
mod checkpoint;
mod closure;
mod collection;
mod context;
mod error;
pub mod output;
mod patience;
mod placement;
mod rdd;
mod record;
mod runtime;
mod shared;
mod shuffle;
pub mod source;
pub mod state;
mod stream;
mod task;
pub mod testing;

#[cfg(feature = "decoders")]
#[doc(hidden)]
pub use runtime::cluster::decoders;

pub use closure::Portable;
pub use collection::{Collection, With};
pub use context::{
    Builder, Context, Event, EventTimeReport, IntervalReport, OnFailure, OutputReport, Running, SourceReport,
};
pub use cutwater_core::{Time, TimeError, rate::Pid};
pub use cutwater_wire::compression::Compression;
pub use error::{Error, ErrorKind};
pub use rdd::{Estimate, Rdd, Stats, StorageLevel};
pub use record::{Key, Record};
pub use runtime::ClientAccess;
pub use shared::{Accumulate, Accumulator, Broadcast};
pub use source::{DeadLetter, DeadLetters, ErrorPolicy, Malformed};
pub use state::State;
pub use stream::{
    DStream, Done, Emission, EventStream, EventWindow, EventWindows, MapWithState, Session, StateSpec,
    StateStream, Streams, Windowed,
};

/// The programs of the README compile, and the one that can run does.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
mod readme {}
