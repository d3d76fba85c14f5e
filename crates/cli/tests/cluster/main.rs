//! Agents as real processes on loopback, each with a folder of its own, and programs submitted to them.

#![allow(clippy::unwrap_used)]

mod door;
mod encrypted;
mod processes;
mod set;
mod submit;
