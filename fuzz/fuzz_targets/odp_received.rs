//! What the kernel answers to requests for ports and flows.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| odp::fuzz::received(bytes));
