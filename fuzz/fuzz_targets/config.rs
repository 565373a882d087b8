//! See `yaml::config`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| stegcluster_fuzz::yaml::config(input));
