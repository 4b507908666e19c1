//! libFuzzer's entry; the test is `src/snapshot.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| etcdprefix_fuzz::snapshot::run(input));
