//! What a stranger sends to a host that accepted, or dialed, its connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip::fuzz::stranger(bytes));
