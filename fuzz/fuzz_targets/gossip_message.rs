//! A message of a neighbor's control connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip::fuzz::message(bytes));
