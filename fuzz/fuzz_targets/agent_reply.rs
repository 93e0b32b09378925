#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| steadfast::check::probe::agent_reply::fuzz(data));
