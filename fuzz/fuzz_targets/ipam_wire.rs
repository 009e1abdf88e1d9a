//! Parts and summaries of the address space.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| ipam::fuzz::wire(bytes));
