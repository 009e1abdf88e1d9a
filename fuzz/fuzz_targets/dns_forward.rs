//! What other servers answer to a question that is passed on.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::fuzz::forward(bytes));
