//! What workers receive from clients.
//!
//! ```text
//! client ── batches ──▶ door ──▶ inbox ── entries ──▶ peer's replicas
//!        ◀─ acknowledged ──────────┘  ◀── held ───────────┘
//!                                  │
//!                    master: report your blocks ──▶ the interval's input
//! ```
//!
//! What is decided here is in [`cutwater_core::clients`]: the blocks that this worker fills, and what it holds of others.
//!
//! - [`inbox`]: both, shared by the connections and by whoever hears the master;
//! - [`buffers`]: memory for batches, used again and again;
//! - [`clients`]: connections of clients; [`http`]: the same for other languages;
//! - [`door`]: where they come in if the worker is in the program's own process;
//! - [`replicate`]: the stream of entries between two workers;
//! - [`turns`]: which client goes to which worker, said by the master.
//!
//! Nothing here looks at records.

mod buffers;
mod clients;
mod door;
mod http;
mod inbox;
mod replicate;
mod turns;

pub(crate) use clients::serve_client;
pub(crate) use door::Door;
#[cfg(any(test, feature = "decoders"))]
pub(crate) use http::records_of;
pub(crate) use http::{serve_directions, serve_http, speaks_http};
pub(crate) use inbox::{Inbox, Keeps};
pub(crate) use replicate::{replicate, serve_receiver};
pub(crate) use turns::Turns;
