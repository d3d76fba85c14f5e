//! Results of a cutwater program in PostgreSQL: each interval's rows exactly once.
//!
//! ```no_run
//! use cutwater::Context;
//! use cutwater_postgres::PostgresSink;
//!
//! let ctx = Context::builder("words").build()?;
//! let (sender, words) = ctx.channel::<String>("words");
//! let counts = words.map(|word| (word, 1u64)).reduce_by_key(|a, b| a + b);
//! // A row is a tuple; what is not one yet is made one by `map`.
//! counts.sink(PostgresSink::new("host=localhost user=cutwater dbname=results", "counts", ["word", "n"]));
//! # drop(sender);
//! ctx.run()?;
//! # Ok::<(), cutwater::Error>(())
//! ```
//!
//! # Layout
//! - [`Row`], [`Column`]: what a record is in a table;
//! - [`PostgresSink`]: stages rows and commits them;
//! - `tables`: the statements; `connection`: connections, and whose move it is when one fails; `encryption`: which of them
//!   are encrypted, and whom they believe.

mod connection;
mod encryption;
mod row;
mod sink;
mod tables;

pub use row::{Column, Row};
pub use sink::{PostgresSink, PostgresToken};

#[doc(no_inline)]
pub use bytes::BytesMut;
#[doc(no_inline)]
pub use postgres::types::{IsNull, Type};
