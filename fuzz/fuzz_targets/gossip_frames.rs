//! The first bytes of a control connection: prologue, and frames in the clear.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip::fuzz::frames(bytes));
