#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| fibrpc::fuzz::trace_context(input));
