//! What peers tell a machine that hands out addresses.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipam::fuzz::told(bytes));
