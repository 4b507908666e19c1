//! libFuzzer's entry; the test is `src/rewrite.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::rewrite::run(input));
