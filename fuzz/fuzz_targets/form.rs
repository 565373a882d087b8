//! See `form::form`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stegcluster_fuzz::form::form(input));
