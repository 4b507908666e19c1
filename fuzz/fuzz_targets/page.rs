//! libFuzzer's entry; the test is `src/page.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::page::run(input));
