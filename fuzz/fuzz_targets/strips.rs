//! See `targets::strips`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stegcluster_fuzz::targets::strips(input));
