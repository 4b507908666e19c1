//! libFuzzer's entry; the test is `src/roles.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::roles::run(input));
