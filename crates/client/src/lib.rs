//! Sends records to a cutwater program, and tells when they are safe.
//!
//! A record is acknowledged when two workers of the program hold it, so that the loss of any one machine loses
//! nothing that was acknowledged. What was not acknowledged when a worker is lost is sent again, to another; it
//! counts once however often it is sent.
//!
//! ```no_run
//! use cutwater_client::Client;
//!
//! let client = Client::builder("127.0.0.1:7077", "events").build()?;
//! for n in 0..1_000 {
//!     client.send(format!("event {n}"))?; // gathered into batches; waits while too much is on its way
//! }
//! client.flush()?; // until all of them are acknowledged
//! assert_eq!(client.acknowledged(), 1_000);
//! # Ok::<(), cutwater_client::ClientError>(())
//! ```
//!
//! # Layout
//! - [`Builder`]: who to send to, and how;
//! - [`Client`]: what a program calls, on any of its threads;
//! - `pending`: records that are not acknowledged;
//! - `courier`: the thread that carries them to a receiver;
//! - `token`: what proves that a client may send.

mod builder;
mod client;
mod courier;
mod error;
mod pending;
mod token;

pub use builder::Builder;
pub use client::Client;
pub use cutwater_wire::tls::TlsFiles;
pub use error::ClientError;

/// What the page on sending says compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../book/sending.md")]
mod page {}
