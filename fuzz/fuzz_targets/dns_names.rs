//! What peers tell a table of names.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::fuzz::names(bytes));
