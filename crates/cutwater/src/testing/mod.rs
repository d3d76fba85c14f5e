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

mod harness;
mod listed;

pub use harness::{Harness, Watched};
