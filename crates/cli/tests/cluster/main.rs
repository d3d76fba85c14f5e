//! Agents as real processes on loopback, each with a folder of its own, and programs submitted to them.

#![allow(clippy::unwrap_used)]

mod door;
mod encrypted;
#[path = "../../../cutwater/tests/support/garbage.rs"]
mod garbage;
#[path = "../../../cutwater/tests/support/hosts.rs"]
#[allow(dead_code, reason = "these tests use a part of it")]
mod network;
mod processes;
mod readme;
mod set;
mod submit;
