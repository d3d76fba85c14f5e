//! Where results go.
//!
//! [`DStream::for_each_rdd`](crate::DStream::for_each_rdd) calls a function with every interval's dataset, and
//! [`save`](crate::DStream::save) writes each into a folder of its own. What must arrive exactly once, also if
//! machines are lost and masters change, goes into a [`Sink`].

mod act;
mod durable;
mod files;
pub(crate) mod frames;
mod part;
mod save;
mod save_records;
mod sink;
mod staged;

pub(crate) use act::Act;
pub use files::{Committed, CommittedPart, FileSink, FileToken, Frames, Lines, committed};
pub(crate) use save::write_folder;
pub use sink::{AttemptName, Commit, Part, Records, Sink};
