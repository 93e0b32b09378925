//! The fuzzers' inputs again, as an ordinary test: `fuzz/corpus/TARGET/*`.

use std::path::Path;

fn replay(target: &str, run: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        println!("{}", path.display());
        run(&bytes);
        // Cut short, an input is another one.
        for cut in [bytes.len() / 2, bytes.len().saturating_sub(1)] {
            run(&bytes[..cut]);
        }
        count += 1;
    }
    assert!(count > 0, "{} is empty", folder.display());
}

#[test]
fn configurations_that_the_fuzzer_found_are_harmless() {
    replay("config", steadfast::core::config::fuzz);
    replay("handed", steadfast::core::config::handed::fuzz);
}

#[test]
fn adverts_that_the_fuzzer_found_are_harmless() {
    replay("advert", steadfast::vrrp::packet::advert::fuzz);
    replay("hmac_trailer", steadfast::vrrp::packet::hmac::fuzz);
}

#[test]
fn netlink_replies_that_the_fuzzer_found_are_harmless() {
    replay("netlink_reply", steadfast::ipvs::message::fuzz);
}

#[test]
fn http_answers_that_the_fuzzer_found_are_harmless() {
    replay("http_answer", steadfast::check::probe::answer::fuzz);
}

#[test]
fn answers_of_the_other_checks_that_the_fuzzer_found_are_harmless() {
    replay("smtp_reply", steadfast::check::probe::smtp_reply::fuzz);
    replay("dns_answer", steadfast::check::probe::dns_message::fuzz);
    replay("icmp_echo", steadfast::check::probe::echo::fuzz);
    replay("expect", steadfast::check::probe::expect::fuzz);
    replay("agent_reply", steadfast::check::probe::agent_reply::fuzz);
    replay("grpc_health", steadfast::check::probe::grpc_health::fuzz);
}

#[test]
fn bfd_packets_and_news_that_the_fuzzer_found_are_harmless() {
    replay("bfd_packet", steadfast::bfd::packet::fuzz);
    replay("bfd_news", steadfast::core::bfd_news::fuzz);
}

#[test]
fn notes_of_dead_processes_that_the_fuzzer_found_are_harmless() {
    replay("remains", steadfast::vrrp::remains::fuzz);
}

#[test]
fn messages_of_snmp_agents_that_the_fuzzer_found_are_harmless() {
    replay("agentx", steadfast::snmp::pdu::fuzz);
}
