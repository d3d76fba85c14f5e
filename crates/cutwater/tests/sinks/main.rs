//! Sinks: what is seen outside is each interval once, whatever dies in between.
// Where a helper of a test meets an error, the test has failed.
#![allow(clippy::unwrap_used)]

mod files;
mod intervals;
mod kit;

use std::{fmt::Debug, path::Path, time::Duration};

use cutwater::{Record, output};

const SECOND: Duration = Duration::from_secs(1);

/// What is committed, as text.
fn read<T: Record + Debug>(folder: impl AsRef<Path>) -> Result<String, cutwater::Error> {
    let mut text = String::new();
    for interval in output::committed(folder)? {
        text += &format!("{}: {:?}\n", interval.interval.as_ms(), interval.records::<T>()?);
    }
    Ok(text)
}

/// The lines that are committed, by the label of their interval.
fn lines(folder: impl AsRef<Path>) -> Vec<(i64, Vec<String>)> {
    let intervals = output::committed(folder).unwrap();
    intervals.iter().map(|one| (one.interval.as_ms(), one.lines().unwrap())).collect()
}
