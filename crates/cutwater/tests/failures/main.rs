//! What happens when something goes wrong: who is blamed, what goes on, and what is left behind.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

mod after;
mod blame;
mod config_file;
mod configuration;
mod leftovers;

use std::time::Duration;

use cutwater::{Context, testing::Harness};

const SECOND: Duration = Duration::from_secs(1);

fn harness(threads: usize) -> Harness {
    Harness::with(Context::builder("failing").interval(SECOND).threads(threads), 2)
}
