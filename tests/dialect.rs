//! Words that work together: defaults that hang on other words, lines with a grammar of their own,
//! and what is told of words without an effect.

use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::model::Family;
use steadfast::core::config::model::check::Probe;
use steadfast::core::config::model::hmac::HmacSecret;
use steadfast::core::config::model::link::VirtualLink;
use steadfast::core::config::model::route::{
    Encapsulation, Insertion, NameTable, Named, Route, RouteKind, Rule, RuleAction,
};
use steadfast::core::config::model::track::{FileEffect, ParameterMatch};
use steadfast::core::config::model::vrrp::{Instance, TrackEffect};
use steadfast::core::config::source::SourceSet;
use steadfast::core::diagnostics::Severity;
use steadfast::core::time::Interval;

fn read(text: &str) -> Compiled {
    compile(&SourceSet::from_text("test.conf", text))
}

fn errors(compiled: &Compiled) -> Vec<&'static str> {
    let found = compiled.diagnostics.iter().filter(|found| found.severity >= Severity::Error);
    found.map(|found| found.code).collect()
}

fn instance(body: &str) -> String {
    format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{\n\
         10.0.0.1\n}}\n{body}\n}}\n"
    )
}

fn first(text: &str) -> Instance {
    read(text).config.vrrp.instances[0].as_ref().clone()
}

fn route(line: &str) -> Option<Route> {
    first(&instance(&format!("virtual_routes {{\n{line}\n}}"))).routes.first().cloned()
}

fn rule(line: &str) -> Option<Rule> {
    first(&instance(&format!("virtual_rules {{\n{line}\n}}"))).rules.first().cloned()
}

#[test]
fn routes_are_read_as_iproute2_reads_them() {
    let found =
        route("src 10.0.0.1 10.1.0.0/16 via 10.0.0.254 dev eth0 table 100 metric 7").unwrap();
    assert_eq!((found.destination.length, found.metric, found.tracked), (16, Some(7), true));
    assert_eq!(found.hop.gateway, Some([10, 0, 0, 254].into()));
    assert_eq!((found.table, found.protocol), (Named::Number(100), Named::Number(18)));
    assert_eq!(found.insertion, Insertion::Prepend);

    let found = route("default via inet6 fe80::1 dev eth0 pref high expires 60").unwrap();
    assert_eq!((found.family, found.destination.length), (Family::Inet6, 0));
    assert!(found.destination.address.is_ipv6());

    let found = route("to blackhole 10.1.0.0/16 no_track protocol static").unwrap();
    assert_eq!((found.kind, found.protocol), (RouteKind::Blackhole, Named::Number(4)));

    let found = route("default nexthop via 10.0.0.2 dev eth0 weight 3 nexthop dev eth1 onlink");
    let hops = found.unwrap().next_hops;
    assert_eq!(hops.iter().map(|next| next.weight).collect::<Vec<_>>(), [3, 1]);
    assert!(hops[1].hop.onlink && hops[1].hop.gateway.is_none());

    let found = route("10.1.0.0/16 dev eth0 mtu lock 1400 rtt 2000 rttvar 1s congctl lock bbr");
    let metrics = found.unwrap().metrics;
    assert!(metrics.mtu.unwrap().locked && metrics.congestion_control.unwrap().locked);
    // In eighths of a millisecond.
    assert_eq!(metrics.round_trip.unwrap().value, Interval::from_millis(250));
    assert_eq!(metrics.round_trip_variance.unwrap().value, Interval::from_secs(1));

    let found = route("10.1.0.0/16 dev eth0 encap mpls 16/17 table uplink").unwrap();
    assert_eq!(found.hop.encapsulation, Some(Encapsulation::Mpls(vec![16, 17])));
    assert_eq!(found.table, Named::Name { table: NameTable::Tables, name: "uplink".into() });
    let found = route("10.1.0.0/16 dev eth0 encap ip6 dst fd00::1 hoplimit 9 src fd00::2 metric 5");
    let found = found.unwrap();
    let Some(Encapsulation::Ip(tunnel)) = found.hop.encapsulation else { panic!() };
    assert_eq!((tunnel.hop_limit, found.metric), (Some(9), Some(5)));
}

#[test]
fn lists_take_each_line_or_each_word() {
    let members = |group: &str| {
        let second = instance("").replace(" V ", " W ").replace("51", "52");
        let text = format!("{}{second}vrrp_sync_group G {{\n{group}\n}}\n", instance(""));
        read(&text).config.vrrp.sync_groups[0].members.clone()
    };
    assert_eq!(members("group {\nV W\n}"), ["V", "W"]);
    assert_eq!(members("group {\nV\nW\n}"), ["V", "W"]);
    let addresses = |list: &str| {
        let text = instance(&format!("virtual_ipaddress {{\n{list}\n}}"));
        let found = first(&text).addresses;
        found.into_iter().skip(1).map(|address| address.address.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(addresses("10.1.0.1\n10.1.0.2"), ["10.1.0.1", "10.1.0.2"]);
    assert_eq!(addresses("10.1.0.1 10.1.0.2"), ["10.1.0.1"], "one address for each line");
}

#[test]
fn a_faulty_route_is_left_out_and_its_neighbours_stay() {
    for line in [
        "dev eth0",
        "10.1.0.0/16 via fd00::1",
        "10.1.0.0/16 dev eth0 expires 5",
        "10.1.0.0/16 dev eth0 xyzzy",
        "10.1.0.0/16 nexthop weight 3",
        "fd00::/64 dev eth0 realms 5",
    ] {
        let text = instance(&format!("virtual_routes {{\n{line}\n10.2.0.0/16 dev eth0\n}}"));
        let compiled = read(&text);
        let routes = &compiled.config.vrrp.instances[0].routes;
        assert_eq!(routes.len(), 1, "{line}");
        assert_eq!(errors(&compiled).len(), 1, "{line}");
        assert_eq!(compiled.test_exit_code(), 5, "{line}");
    }
    // A route without an interface stands, but cannot be tracked.
    let compiled = read(&instance("virtual_routes {\n10.1.0.0/16 via 10.0.0.2\n}"));
    assert!(!compiled.config.vrrp.instances[0].routes[0].tracked);
    assert_eq!(errors(&compiled), ["not-tracked"]);
}

#[test]
fn rules_have_one_action_and_a_preference_in_falling_order() {
    let found = rule("from 10.0.0.0/8 fwmark 0x10/0xff table main preference 50 oif eth1").unwrap();
    assert_eq!((found.action, found.preference), (RuleAction::Table(Named::Number(254)), 50));
    assert_eq!(found.mark.map(|mark| (mark.mark, mark.mask)), Some((16, 255)));
    let found = rule("sport 80 preference 5 unreachable").unwrap();
    assert_eq!(found.source_ports.map(|ports| (ports.first, ports.last)), Some((80, 80)));

    let body = "virtual_rules {\nfrom 10.0.0.0/8 table 5\nto 10.0.0.0/8 table 5\n}";
    let compiled = read(&instance(body));
    let rules = &compiled.config.vrrp.instances[0].rules;
    let preferences: Vec<_> = rules.iter().map(|rule| rule.preference).collect();
    assert_eq!(preferences, [16384, 16383]);
    assert_eq!(errors(&compiled), ["no-preference", "no-preference"]);

    for line in [
        "from 10.0.0.0/8 preference 5",
        "from 10.0.0.0/8 to fd00::/8 table 5 preference 5",
        "table 5 blackhole preference 5",
        "goto 4 preference 5",
        "nop realms 5 preference 5",
    ] {
        assert_eq!(rule(line), None, "{line}");
    }
}

#[test]
fn announcements_of_a_lower_priority_follow_those_of_a_new_master() {
    let garp = |globals: &str| {
        let text = format!("global_defs {{\n{globals}\n}}\n{}", instance(""));
        first(&text).garp
    };
    let set = garp("vrrp_garp_master_delay 2\nvrrp_garp_master_repeat 3");
    assert_eq!((set.lower_priority_delay, set.lower_priority_repeat), (Interval::from_secs(2), 3));
    let least = garp("vrrp_min_garp\nvrrp_garp_master_repeat 2");
    assert_eq!((least.delay, least.repeat, least.lower_priority_repeat), (Interval::ZERO, 2, 2));
}

#[test]
fn a_virtual_mac_has_the_number_of_its_router() {
    let vmac = |text: &str| match first(text).virtual_link.clone() {
        Some(VirtualLink::Vmac(vmac)) => vmac,
        other => panic!("{other:?}"),
    };
    let usual = vmac(&instance("use_vmac"));
    assert_eq!((usual.name.as_str(), usual.address), ("vrrp.51", [0, 0, 0x5e, 0, 1, 51]));
    let five = vmac(&instance("use_vmac 02:00:00:00:00"));
    assert_eq!(five.address, [2, 0, 0, 0, 0, 51]);
    let six = vmac(
        "global_defs {\nvmac_prefix v\n}\nvrrp_instance V {\ninterface eth0\n\
                    virtual_router_id 7\nuse_vmac\nvirtual_ipaddress {\nfe80::1\n}\n}\n",
    );
    assert_eq!((six.name.as_str(), six.address), ("v.7", [0, 0, 0x5e, 0, 2, 7]));
    // Unicast peers answer to the interface's own address.
    assert!(first(&instance("use_vmac\nunicast_peer {\n10.0.0.5\n}")).transmit_on_base);
}

#[test]
fn a_keyed_trailer_has_a_window_of_three_adverts_and_hides_its_key() {
    let body = "advert_int 4\nauth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\n\
                key 2 file:/etc/key\nactive_key 2\n}\nauthentication {\nauth_type PASS\nauth_pass x\n}";
    let compiled = read(&instance(body));
    let found = compiled.config.vrrp.instances[0].hmac.clone().unwrap();
    assert_eq!((found.window, found.active_key), (Interval::from_secs(12), 2));
    assert_eq!(found.keys[1].secret, HmacSecret::File("/etc/key".into()));
    assert!(!format!("{compiled:?}").contains("[48, 49"), "a key must not be printed");
}

#[test]
fn mail_alerts_fall_back_from_the_special_to_the_general() {
    let text = |globals: &str| {
        format!(
            "global_defs {{\n{globals}\n}}\n{}virtual_server 10.0.0.1 80 {{\nlb_algo rr\n\
             lb_kind NAT\nprotocol TCP\nreal_server 10.0.1.1 80 {{\n}}\n}}\n",
            instance("")
        )
    };
    for (globals, expected) in [
        ("", (false, false, true)),
        ("smtp_alert", (true, true, true)),
        ("smtp_alert off", (false, false, false)),
        ("smtp_alert\nsmtp_alert_vrrp off", (false, true, true)),
        ("smtp_alert_checker off", (false, false, false)),
    ] {
        let config = read(&text(globals)).config;
        let service = &config.check.virtual_servers[0];
        let found = (
            config.vrrp.instances[0].smtp_alert,
            service.smtp_alert,
            service.real_servers[0].smtp_alert,
        );
        assert_eq!(found, expected, "{globals}");
    }
}

#[test]
fn tracked_objects_give_their_weights_to_lines_that_have_none() {
    let objects = "track_file F {\nfile /tmp/f\nweight 3\n}\n\
                   vrrp_track_process P {\nprocess nginx -g x\nparam_match partial\nweight -4\n}\n\
                   bfd_instance B {\nneighbor_ip 10.0.0.2\nweight 5 reverse\n}\n";
    let body = "track_file {\nF\n}\ntrack_process {\nP\n}\ntrack_bfd {\nB\n}";
    let compiled = read(&format!("{}{objects}", instance(body)));
    assert_eq!(errors(&compiled), [] as [&str; 0]);
    let config = &compiled.config;
    let found = &config.vrrp.instances[0];
    assert_eq!(found.track_files[0].effect, FileEffect::Times(3));
    assert_eq!(found.track_processes[0].effect, TrackEffect::Weight(-4));
    assert_eq!(found.track_bfd[0].effect, TrackEffect::Weight(-5));
    let process = &config.vrrp.processes[0];
    assert_eq!(process.parameters, ["-g", "x"]);
    assert_eq!(process.parameter_match, Some(ParameterMatch::Partial));
    assert!(process.full_command, "parameters are not in the short name");
}

#[test]
fn static_entries_stand_on_the_default_interface_and_follow_groups_that_exist() {
    let group = "track_group G {\ngroup {\nV\nW\n}\n}\ntrack_group E {\ngroup {\nW\n}\n}\n";
    let entries = "static_ipaddress {\n10.2.0.1/24\n10.2.0.2/24 dev eth1 track_group G\n}\n\
                   static_routes {\n10.3.0.0/16 dev eth1 track_group E\n}\n";
    let compiled = read(&format!("{group}{entries}{}", instance("")));
    assert_eq!(errors(&compiled), ["empty-group"]);
    let vrrp = &compiled.config.vrrp;
    assert_eq!(vrrp.track_groups[0].members, ["V"]);
    assert_eq!(vrrp.static_addresses[0].interface.as_deref(), Some("eth0"));
    assert_eq!(vrrp.static_addresses[1].track_group.as_deref(), Some("G"));
    assert_eq!(vrrp.static_routes[0].track_group, None, "its group was left out");
}

#[test]
fn a_word_without_effect_is_told_where_it_stands() {
    let compiled = read(&format!("global_defs {{\nenable_dbus\n}}\n{}", instance("")));
    let found: Vec<_> = compiled
        .unsupported
        .iter()
        .map(|found| (found.block.as_str(), found.keyword.as_str()))
        .collect();
    assert_eq!(found, [("global_defs", "enable_dbus")]);
    assert_eq!(compiled.test_exit_code(), 0);
}

#[test]
fn made_interfaces_have_names_of_their_own() {
    let router = |name: &str, interface: &str, address: &str, body: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id 5\n{body}\n\
             virtual_ipaddress {{\n{address}\n}}\n}}\n"
        )
    };
    let text = [
        router("A", "eth0", "10.0.0.1", "use_vmac"),
        router("B", "eth1", "10.0.1.1", "use_vmac"),
        router("C", "eth0", "fe80::1", "use_vmac"),
        router("D", "eth2", "10.0.2.1", "use_vmac vrrp.5"),
        router("E", "eth3", "10.0.3.1", "use_vmac vrrp.5"),
    ];
    let compiled = read(&text.concat());
    let names: Vec<_> = compiled
        .config
        .vrrp
        .instances
        .iter()
        .map(|instance| match &instance.virtual_link {
            Some(VirtualLink::Vmac(vmac)) => vmac.name.as_str(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(names, ["vrrp1.5", "vrrp2.5", "vrrp6.5", "vrrp.5", "vrrp3.5"]);
    assert_eq!(errors(&compiled), ["duplicate-link"]);
}

/// The names, places and MAC addresses are those that keepalived 2.2.7 makes of these words.
#[test]
fn addresses_get_virtual_macs_of_their_own_where_they_ask_for_them() {
    let router = |name: &str, interface: &str, body: &str| {
        format!(
            "vrrp_instance {name} {{\ninterface {interface}\nvirtual_router_id 51\n{body}\n}}\n"
        )
    };
    let first = "use_vmac_addr\nvirtual_ipaddress {\n10.0.1.1 dev eth0 use_vmac\n10.0.1.2\n\
                 10.0.1.3 dev eth0\n10.0.2.1 dev eth1\n10.0.2.2 dev eth1\n}\n\
                 virtual_ipaddress_excluded {\nfd00:2::1 dev eth1\n}";
    let second = "use_vmac bbb 02:11:22:33:44:55\nvirtual_ipaddress {\n10.0.3.1\n\
                  10.0.3.2 dev eth2 use_vmac\n10.0.2.3 dev eth1 use_vmac\n10.0.2.4 dev eth1\n}\n\
                  virtual_ipaddress_excluded {\nfd00:3::1\nfd00:2::3 dev eth1 use_vmac\n}";
    let text = [router("A", "eth0", first), router("B", "eth2", second)].concat();
    let places = |text: &str| -> Vec<Vec<String>> {
        let instances = read(text).config.vrrp.instances;
        let places = |instance: &Instance| {
            let all = instance.addresses.iter().chain(&instance.excluded_addresses);
            all.map(|address| address.interface.as_deref().unwrap_or_default().to_owned()).collect()
        };
        instances.iter().map(|instance| places(instance)).collect()
    };
    assert_eq!(
        places(&text),
        [
            vec!["vrrp.51", "eth0", "eth0", "vrrp1.51", "vrrp1.51", "vrrp6.51"],
            // An IPv4 virtual MAC serves no IPv6 address: keepalived puts it on the interface beneath, but
            // asks for fd00:2::3 on the MAC address of IPv4, which the kernel refuses.
            vec!["bbb", "bbb", "vrrp2.51", "eth1", "eth2", "vrrp6.51"],
        ]
    );
    let compiled = read(&text);
    let links = |place: usize| -> Vec<_> {
        let instance = &compiled.config.vrrp.instances[place];
        let links = instance.address_links.iter();
        links.map(|link| (link.base.as_str(), link.vmac.name.as_str(), link.vmac.address)).collect()
    };
    let standard = |kind| [0, 0, 0x5e, 0, kind, 51];
    assert_eq!(
        links(0),
        [
            ("eth0", "vrrp.51", standard(1)),
            ("eth1", "vrrp1.51", standard(1)),
            ("eth1", "vrrp6.51", standard(2)),
        ]
    );
    let custom = [2, 0x11, 0x22, 0x33, 0x44, 0x55];
    // Both instances have the number 51, so the IPv6 one is shared: a network has a MAC address once.
    assert_eq!(links(1), [("eth1", "vrrp2.51", custom), ("eth1", "vrrp6.51", standard(2))]);
    assert!(compiled.diagnostics.iter().any(|found| found.code == "same-mac"));
    assert_eq!(errors(&compiled), [] as [&str; 0], "keepalived says it when it starts only");
    let named = places(&format!("global_defs {{\nvmac_addr_prefix foo\n}}\n{text}"));
    assert_eq!(named[0], ["foo.51", "eth0", "eth0", "foo1.51", "foo1.51", "foo6.51"]);
}

#[test]
fn strict_mode_corrects_what_is_written_and_is_silent_about_defaults() {
    let compiled = read(&instance("strict_mode"));
    assert_eq!(errors(&compiled), [] as [&str; 0]);
    let found = &compiled.config.vrrp.instances[0];
    assert!(found.lower_priority_no_advert && !found.accept);
    assert_eq!(found.garp.lower_priority_repeat, 0);
    for body in [
        "down_timer_adverts 5",
        "lower_prio_no_advert off",
        "garp_lower_prio_repeat 5",
        "higher_prio_send_advert",
        "accept",
        "state MASTER\npriority 100",
    ] {
        let compiled = read(&instance(&format!("strict_mode\n{body}")));
        assert_eq!(errors(&compiled), ["strict"], "{body}");
        let vrrp = &compiled.config.vrrp.instances[0];
        assert_eq!((vrrp.down_timer_adverts, vrrp.higher_priority_send_advert), (3, false));
    }
}

#[test]
fn weights_of_a_groups_member_are_told_to_mean_nothing() {
    let body = "track_interface {\neth5 weight 5\n}";
    let second = "vrrp_instance W {\ninterface eth1\nvirtual_router_id 52\n\
                  virtual_ipaddress {\n10.1.0.1\n}\n}\n";
    let group = |words: &str| {
        let text = format!("vrrp_sync_group G {{\ngroup {{\nV\nW\n}}\n{words}\n}}\n");
        read(&format!("{}{second}{text}", instance(body)))
    };
    assert_eq!(errors(&group("")), ["group-weight"]);
    assert_eq!(errors(&group("sync_group_tracking_weight")), [] as [&str; 0]);
}

#[test]
fn members_of_a_group_tell_priorities_as_it_says_unless_they_say_it_themselves() {
    let text = |global: &str, group: &str| {
        let router = |name: &str, vrid: u8, word: &str| {
            instance(word)
                .replace("vrrp_instance V", &format!("vrrp_instance {name}"))
                .replace("id 51", &format!("id {vrid}"))
        };
        let on = router("B", 2, "notify_priority_changes on");
        let off = router("C", 3, "notify_priority_changes off");
        let group = format!("vrrp_sync_group G {{\ngroup {{\nA\nB\nC\n}}\n{group}\n}}\n");
        format!("global_defs {{\n{global}\n}}\n{group}{}{on}{off}", router("A", 1, ""))
    };
    let told = |global, group| -> Vec<bool> {
        let config = read(&text(global, group)).config;
        config.vrrp.instances.iter().map(|instance| instance.notify_priority_changes).collect()
    };
    assert_eq!(told("", ""), [false, true, false]);
    assert_eq!(told("", "notify_priority_changes"), [true, true, false]);
    assert_eq!(told("vrrp_notify_priority_changes", ""), [true, true, false]);
    let global = "vrrp_notify_priority_changes";
    assert_eq!(told(global, "notify_priority_changes off"), [false, true, false]);
}

#[test]
fn http2_asks_for_what_its_grammar_allows_and_words_of_tls_need_tls() {
    let service = |head: &str, check: &str| {
        read(&format!(
            "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n{head}\n\
             real_server 10.0.1.1 80 {{\n{check}\n}}\n}}\n"
        ))
    };
    let url = |path: &str| format!("HTTP_GET {{\nurl {{\npath {path}\n}}\nhttp_protocol 2\n}}");
    let grpc = |words: &str| format!("GRPC_CHECK {{\n{words}\n}}");
    let no_host = "virtualhost not/a/host";
    for (head, check, faults, checks) in [
        ("", url("/a?b=c"), &[][..], 1),
        ("", url("\"/a b\""), &["http2-url"], 0),
        ("", url("a"), &["http2-url"], 0),
        ("", url("\"/a#b\""), &["http2-url"], 0),
        (no_host, url("/"), &["http2-url"], 0),
        // HTTP/1 sends them as they are.
        (no_host, url("\"/a b\"").replace(" 2", " 1.1"), &[], 1),
        ("", grpc("enable_sni"), &["no-tls"], 1),
        ("", grpc("enable_sni off"), &[], 1),
        ("", grpc("verify\ntls"), &[], 1),
        (no_host, grpc(""), &["bad-value"], 0),
        (no_host, grpc("authority web"), &[], 1),
    ] {
        let compiled = service(head, &check);
        assert_eq!(errors(&compiled), faults, "{head} {check}");
        let found = &compiled.config.check.virtual_servers[0].real_servers[0].checkers;
        assert_eq!(found.len(), checks, "{head} {check}");
    }
    // The place of the word, not of the block.
    let compiled = service("", &grpc("service x\nverify"));
    let place = compiled.diagnostics.iter().find(|found| found.code == "no-tls").unwrap().span;
    let other = service("", &grpc("verify")).diagnostics;
    let before = other.iter().find(|found| found.code == "no-tls").unwrap().span;
    assert_ne!(place, before);
    let compiled = service("virtualhost of-the-service", &grpc(""));
    let checker = &compiled.config.check.virtual_servers[0].real_servers[0].checkers[0];
    let Probe::Grpc(probe) = &checker.probe else { panic!("{checker:?}") };
    assert_eq!(probe.authority.as_deref(), Some("of-the-service"));
}
