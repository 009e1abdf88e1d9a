//! What neighbors tell a mesh: records, bans, digests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| gossip::fuzz::mesh_told(bytes));
