//! `cutwater-bench`: every figure that cutwater claims, measured by one executable.
//!
//! A sub-command runs one job, checks the job's answer against a naive reference, and prints exactly one
//! line of JSON on standard output. Progress and explanations go to standard error. The exit code is 0
//! only if the checks held, so a wrong answer can never be quoted as a fast one.
//!
//! # Layout
//!
//! - [`by_hand`]: the same work in a plain loop, for a ratio
//! - [`cli`]: the sub-commands and their options
//! - [`counts`]: keyed counts by processes that are killed, for several jobs
//! - [`generate`]: the input that the text jobs read
//! - [`jobs`]: what is measured, one job a file
//! - [`measure`]: which intervals count, and how long they took
//! - [`mod@reference`]: slow, obvious answers to compare the engine's with
//! - [`report`]: the line of JSON
//! - [`svg`]: a picture for the README
//! - [`error`]: why a run failed
//!
//! It is a library under a thin executable so that tests can call the parts that a job is checked by.

pub mod by_hand;
pub mod cli;
pub mod counts;
pub mod error;
pub mod generate;
pub mod jobs;
pub mod measure;
pub mod reference;
pub mod report;
pub mod svg;
