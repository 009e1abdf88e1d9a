//! A resolv.conf, a domain, a name.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dns::fuzz::resolv_conf(bytes));
