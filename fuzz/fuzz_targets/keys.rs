//! libFuzzer's entry; the test is `src/keys.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::keys::run(input));
