//! What the RFCs ask of a configuration of VRRP; each test of a conformance item is named after it.

use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::model::vrrp::Authentication;
use steadfast::core::config::source::SourceSet;
use steadfast::core::diagnostics::Severity;

fn read(words: &str, addresses: &str) -> Compiled {
    let text = format!(
        "vrrp_instance V {{\ninterface eth0\n{words}\nvirtual_ipaddress {{\n{addresses}\n}}\n}}\n"
    );
    compile(&SourceSet::from_text("a.conf", text))
}

fn errors(compiled: &Compiled) -> Vec<&'static str> {
    let found = compiled.diagnostics.iter().filter(|found| found.severity >= Severity::Error);
    found.map(|found| found.code).collect()
}

#[test]
fn v_035_version_3_and_strict_mode_have_no_authentication() {
    let password = "virtual_router_id 1\nauthentication {\nauth_type PASS\nauth_pass 1111\n}\n";
    for more in ["version 3", "strict_mode on"] {
        let found = read(&format!("{password}{more}"), "10.0.0.1");
        assert!(errors(&found).contains(&"authentication"), "{more}");
        assert_eq!(found.config.vrrp.instances[0].authentication, Authentication::None, "{more}");
    }
    let found = read(&format!("{password}version 2"), "10.0.0.1");
    let password = Authentication::Password(*b"1111\0\0\0\0");
    assert_eq!(found.config.vrrp.instances[0].authentication, password);
}

#[test]
fn v_048_an_instance_has_addresses_of_one_family() {
    for (list, kept) in
        [("10.0.0.1\nfe80::1\n10.0.0.2", "10.0.0.1 10.0.0.2"), ("fe80::1\n10.0.0.1", "fe80::1")]
    {
        let found = read("virtual_router_id 1", list);
        assert_eq!(errors(&found), ["mixed-family"], "{list}");
        let addresses = found.config.vrrp.instances[0].addresses.iter();
        let addresses: Vec<String> = addresses.map(|found| found.address.to_string()).collect();
        assert_eq!(addresses.join(" "), kept);
    }
}

#[test]
fn v_050_and_v_029_addresses_stay_in_the_order_of_the_file() {
    let found = read("virtual_router_id 1", "10.0.0.9\n10.0.0.1\n10.0.0.5");
    let addresses = found.config.vrrp.instances[0].addresses.iter();
    let addresses: Vec<String> = addresses.map(|found| found.address.to_string()).collect();
    assert_eq!(addresses, ["10.0.0.9", "10.0.0.1", "10.0.0.5"]);
}

#[test]
fn v_101_and_v_021_numbers_out_of_range_are_errors() {
    let faults = |words: &str| errors(&read(words, "10.0.0.1"));
    for vrid in ["0", "256", "-1", "x"] {
        assert!(!faults(&format!("virtual_router_id {vrid}")).is_empty(), "VRID {vrid}");
    }
    let with = |words: &str| faults(&format!("virtual_router_id 1\n{words}"));
    for good in [
        "priority 1",
        "priority 254",
        "advert_int 1",
        "advert_int 255",
        "version 3\nadvert_int 0.01",
        "version 3\nadvert_int 40.95",
    ] {
        assert!(with(good).is_empty(), "{good}: {:?}", with(good));
    }
    for bad in [
        "priority 0",
        "priority 256",
        "advert_int 0",
        "advert_int 256",
        "version 3\nadvert_int 0.001",
        "version 3\nadvert_int 40.96",
        "version 4",
    ] {
        assert!(!with(bad).is_empty(), "{bad}");
    }
    // Half seconds are for version 3.
    let found = read("virtual_router_id 1\nversion 2\nadvert_int 1.4", "10.0.0.1");
    assert_eq!(found.config.vrrp.instances[0].advert_interval.as_millis(), 1000);
}
