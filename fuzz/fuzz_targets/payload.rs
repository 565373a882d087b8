//! See `payload::payload`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stegcluster_fuzz::payload::payload(input));
