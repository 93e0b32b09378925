#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast::bfd::packet::fuzz(data));
