#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast::vrrp::packet::hmac::fuzz(data));
