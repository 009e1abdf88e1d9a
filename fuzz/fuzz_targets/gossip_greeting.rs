//! What somebody says after a true handshake.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip::fuzz::greeting(bytes));
