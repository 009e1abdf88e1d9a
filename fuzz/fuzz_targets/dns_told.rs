//! Messages and summaries of names.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::fuzz::told(bytes));
