//! See `peer::message`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stegcluster_fuzz::peer::message(input));
