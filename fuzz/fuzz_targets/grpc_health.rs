#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast::check::probe::grpc_health::fuzz(data));
