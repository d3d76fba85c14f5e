//! For tests: a clock you drive, inputs you list, outputs you compare.
//!
//! ```
//! use std::time::Duration;
//! use cutwater::testing::Harness;
//!
//! let harness = Harness::new(Duration::from_secs(1));
//! let numbers = harness.input([vec![1, 2], vec![], vec![3]]);
//! let doubled = harness.watch(&numbers.map(|n| n * 2));
//! harness.advance(3)?;
//! assert_eq!(doubled.all(), [Some(vec![2, 4]), Some(vec![]), Some(vec![6])]);
//! # Ok::<(), cutwater::Error>(())
//! ```
//!
//! [`SinkKit`] kills a program at every step of a [sink](crate::output::Sink) of yours.

mod harness;
mod listed;
mod probe;
mod sink_kit;
mod steps;

pub use harness::{Harness, Watched};
pub use sink_kit::{SinkChecked, SinkKit};
pub use steps::step;
