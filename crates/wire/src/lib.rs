//! What the processes of a cluster say to each other.
//!
//! # Layout, from the bytes upwards
//! - [`frame`]: messages as checked pieces of a stream of bytes;
//! - [`tls`]: encryption and certificates, with their roles; [`channel`]: a stream that has them or not;
//! - [`handshake`]: who is at the other end, and whether it may be; [`credentials`]: all that is needed for it;
//! - [`plan`]: stages, sent once as templates and filled in each interval;
//! - [`names`]: many blocks in few bytes; [`fetched`]: blocks on their way, [`compression`] among it;
//! - [`client`]: records from clients, and who holds them;
//! - [`message`]: everything else that master and workers tell each other;
//! - [`agent`]: what is said to the standing processes that start them.
//!
//! Everything that arrives is bounded before memory is taken for it, and decoding never panics:
//! whoever sends garbage gets an error and costs nothing.
//!
//! # What may not live here
//! Sockets, threads and clocks (they are in `cutwater`'s `runtime/`), and types of records: those
//! are bytes here.

pub mod agent;
pub mod channel;
pub mod client;
pub mod compression;
pub mod credentials;
pub mod fetched;
pub mod frame;
pub mod handshake;
pub mod message;
pub mod names;
pub mod plan;
pub mod tls;

mod error;

pub use error::WireError;

/// The version of everything in this crate. Processes of different versions refuse each other.
pub const PROTOCOL_VERSION: u16 = 2;
