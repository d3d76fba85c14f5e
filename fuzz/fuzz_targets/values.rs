#![no_main]

use cutwater::decoders;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoders::values(bytes));
