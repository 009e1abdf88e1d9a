//! What such a machine finds on its disk.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipam::fuzz::kept(bytes));
