//! libFuzzer's entry; the test is `src/splice.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::splice::run(input));
