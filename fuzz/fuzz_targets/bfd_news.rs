#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast::core::bfd_news::fuzz(data));
