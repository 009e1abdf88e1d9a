//! A question that a container asks.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::fuzz::query(bytes));
