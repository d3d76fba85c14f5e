#![no_main]

#[path = "../../crates/wire/tests/decoders/targets.rs"]
#[allow(dead_code, missing_docs)]
mod targets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| targets::names(bytes));
