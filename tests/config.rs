//! Texts to models and diagnostics, through the whole pipeline.

use steadfast::core::config::compile::{Compiled, compile};
use steadfast::core::config::model::check::{
    Checker, Forwarding, HttpVersion, Probe, RecordType, Target, VirtualServer,
};
use steadfast::core::config::model::vrrp::{
    Authentication, InitialState, Preemption, TrackEffect, Transport, VrrpVersion,
};
use steadfast::core::config::source::SourceSet;
use steadfast::core::diagnostics::Severity;
use steadfast::core::shared::Shared;
use steadfast::core::time::Interval;

fn read(text: &str) -> Compiled {
    compile(&SourceSet::from_text("test.conf", text))
}

/// Codes of what is at least an error.
fn errors(compiled: &Compiled) -> Vec<&'static str> {
    compiled
        .diagnostics
        .iter()
        .filter(|found| found.severity >= Severity::Error)
        .map(|found| found.code)
        .collect()
}

fn instance(body: &str) -> Compiled {
    read(&format!(
        "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {{\n\
         10.0.0.1\n}}\n{body}\n}}\n"
    ))
}

#[test]
fn an_ordinary_file_means_what_its_author_meant() {
    let compiled = read(include_str!("../keepalived.conf.example"));
    assert_eq!(errors(&compiled), [] as [&str; 0]);
    assert!(compiled.unsupported.is_empty(), "{:?}", compiled.unsupported);
    let config = &compiled.config;
    let [vrrp] = config.vrrp.instances.as_slice() else { panic!() };
    assert_eq!(vrrp.initial_state, InitialState::Master);
    assert_eq!((vrrp.vrid.get(), vrrp.priority.get()), (51, 150));
    assert_eq!(vrrp.authentication, Authentication::Password(*b"1111\0\0\0\0"));
    let [service] = config.check.virtual_servers.as_slice() else { panic!() };
    assert_eq!(service.persistence.as_ref().unwrap().timeout, 50);
    assert_eq!(service.real_servers.len(), 3);
    assert!(service.real_servers.iter().all(|server| !server.checkers.is_empty()));
}

#[test]
fn defaults_are_keepaliveds() {
    let compiled = instance("");
    let vrrp = &compiled.config.vrrp.instances[0];
    assert_eq!(vrrp.priority.get(), 100);
    assert_eq!(vrrp.version, VrrpVersion::V2);
    assert_eq!(vrrp.advert_interval, Interval::from_secs(1));
    assert_eq!(vrrp.preemption, Preemption::After(Interval::ZERO));
    assert_eq!((vrrp.garp.repeat, vrrp.garp.delay), (5, Interval::from_secs(5)));
    assert_eq!((vrrp.addresses[0].prefix, vrrp.addresses[0].scope), (32, 0));
    assert_eq!(vrrp.addresses[0].interface.as_deref(), Some("eth0"));
    assert!(matches!(vrrp.transport, Transport::Multicast { .. }));
    let compiled = read(
        "virtual_server 10.0.0.1 80 {\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n\
         real_server 10.0.1.1 8080 {\nTCP_CHECK {\n}\nHTTP_GET {\nurl {\npath /\n}\n}\n\
         MISC_CHECK {\nmisc_path /bin/true\n}\n}\n}\n",
    );
    let server = &compiled.config.check.virtual_servers[0].real_servers[0];
    let [tcp, http, misc] = server.checkers.as_slice() else { panic!("{server:?}") };
    for checker in [tcp, http, misc] {
        assert_eq!(checker.delay_loop, Interval::from_secs(60));
        assert_eq!(checker.warmup, Interval::from_secs(60));
    }
    assert_eq!((tcp.retry, tcp.delay_before_retry), (1, Interval::from_secs(1)));
    assert_eq!((http.retry, http.delay_before_retry), (1, Interval::from_secs(3)));
    assert_eq!(misc.retry, 0);
    let Probe::Http(http) = &http.probe else { panic!() };
    assert_eq!(http.connect.timeout, Interval::from_secs(5));
    assert_eq!(http.connect.destination.port(), 8080);
    assert_eq!(
        (http.version, http.urls[0].status.as_slice()),
        (HttpVersion::V1_0, &[(200, 299)][..])
    );
}

#[test]
fn values_of_a_service_are_defaults_of_its_servers_and_their_checks() {
    let compiled = read(
        "virtual_server 10.0.0.1 80 {\nlb_algo wrr\nlb_kind DR\nprotocol TCP\ndelay_loop 7\n\
         retry 4\nwarmup 2\nconnect_timeout 3\ninhibit_on_failure\nweight 5\nalpha\n\
         real_server 10.0.1.1 80 {\nTCP_CHECK {\n}\n}\n\
         real_server 10.0.1.2 80 {\nweight 9\ndelay_loop 8\nalpha off\ninhibit_on_failure off\n\
         TCP_CHECK {\nretry 0\nconnect_timeout 0.5\n}\n}\n}\n",
    );
    let service = &compiled.config.check.virtual_servers[0];
    let [first, second] = service.real_servers.as_slice() else { panic!() };
    assert_eq!((first.weight, first.inhibit_on_failure), (5, true));
    assert_eq!((second.weight, second.inhibit_on_failure), (9, false));
    assert_eq!(first.forwarding, Forwarding::DirectRouting);
    let (one, two) = (&first.checkers[0], &second.checkers[0]);
    assert_eq!((one.retry, one.delay_loop, one.alpha), (4, Interval::from_secs(7), true));
    assert_eq!((two.retry, two.delay_loop, two.alpha), (0, Interval::from_secs(8), false));
    let (Probe::Tcp(one), Probe::Tcp(two)) = (&one.probe, &two.probe) else { panic!() };
    assert_eq!((one.timeout, two.timeout), (Interval::from_secs(3), Interval::from_millis(500)));
}

#[test]
fn a_tcp_check_that_speaks_has_its_words_and_one_that_does_not_is_keepaliveds() {
    let checker = |body: &str| {
        let compiled = read(&format!(
            "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\n\
             real_server 10.1.0.1 80 {{\nTCP_CHECK {{\n{body}\n}}\n}}\n}}\n"
        ));
        let errors = errors(&compiled);
        let service = compiled.config.check.virtual_servers.into_iter().next().unwrap();
        (service.real_servers[0].checkers[0].probe.clone(), errors)
    };
    let (probe, errors) = checker("send \"PING\\r\\n\"\nexpect \"^\\+PONG\"\ntls");
    let Probe::Dialogue(dialogue) = probe else { panic!("{probe:?}") };
    assert_eq!((dialogue.send.as_slice(), dialogue.tls.is_some()), (b"PING\r\n".as_slice(), true));
    assert_eq!(dialogue.expect.unwrap().pattern, "^\\+PONG");
    assert_eq!(errors, [] as [&str; 0]);
    assert!(matches!(checker("connect_timeout 3").0, Probe::Tcp(_)));
    assert_eq!(checker("expect \"(\"").1, ["bad-value"]);
    assert_eq!(checker("send \"\\q\"").1, ["bad-value"]);
}

#[test]
fn state_master_without_priority_is_the_address_owner() {
    assert_eq!(instance("state MASTER").config.vrrp.instances[0].priority.get(), 255);
    assert_eq!(instance("state BACKUP").config.vrrp.instances[0].priority.get(), 100);
}

#[test]
fn version_2_rounds_its_interval_and_version_3_keeps_hundredths() {
    let interval = |body: &str| instance(body).config.vrrp.instances[0].advert_interval;
    assert_eq!(interval("advert_int 1.5"), Interval::from_secs(2));
    assert_eq!(interval("advert_int 0.3"), Interval::from_secs(1));
    assert_eq!(interval("version 3\nadvert_int 0.25"), Interval::from_millis(250));
    assert_eq!(interval("version 3\nadvert_int 200"), Interval::from_centis(4095));
    assert_eq!(errors(&instance("advert_int 1.5")), ["advert-int"]);
}

#[test]
fn conflicts_are_settled_and_told() {
    for (body, code) in [
        ("state MASTER\npriority 150\nnopreempt", "nopreempt"),
        ("nopreempt\npreempt_delay 5", "preempt-delay"),
        ("priority 300", "bad-value"),
        ("authentication {\nauth_type PASS\nauth_pass 123456789\n}", "password-too-long"),
        ("authentication {\nauth_type PASS\n}", "authentication"),
        ("virtual_ipaddress_excluded {\n10.0.0.1/40\n}", "bad-value"),
        ("track_script {\nnone\n}", "unknown-script"),
        ("prioritty 5", "unknown-keyword"),
    ] {
        let compiled = instance(body);
        assert_eq!(errors(&compiled), [code], "{body}");
        assert_eq!(compiled.test_exit_code(), 5, "{body}");
        assert_eq!(compiled.config.vrrp.instances.len(), 1, "{body}");
    }
}

#[test]
fn the_default_interface_is_not_for_instances() {
    let text = "global_defs {\ndefault_interface eth0\n}\nvrrp_instance V {\n\
                virtual_router_id 5\nvirtual_ipaddress {\n10.0.0.1 dev eth0\n}\n}\n";
    assert_eq!(errors(&read(text)), ["no-interface"]);
}

#[test]
fn what_a_daemon_cannot_run_with_is_fatal_and_a_missing_word_ends_at_once() {
    let compiled = read("vrrp_instance V {\ninterface eth0\nvirtual_ipaddress {\n10.0.0.1\n}\n}\n");
    assert_eq!((errors(&compiled), compiled.test_exit_code()), (vec!["no-vrid"], 4));
    assert_eq!(compiled.refusal(), Some(Severity::Fatal));
    let compiled = instance("priority");
    assert_eq!(compiled.test_exit_code(), 2);
    assert_eq!(compiled.refusal(), Some(Severity::Missing));
}

#[test]
fn an_unknown_word_gets_a_suggestion_or_its_home() {
    let help = |text: &str| {
        let compiled = read(text);
        let found = compiled.diagnostics.iter().find(|found| found.code == "unknown-keyword");
        found.and_then(|found| found.help.clone()).unwrap_or_default()
    };
    assert_eq!(help("vrrp_instanc V {\n}\n"), "did you mean `vrrp_instance`?");
    assert!(help("global_defs {\nvirtual_router_id 5\n}\n").contains("belongs in `vrrp_instance`"));
}

#[test]
fn known_words_without_effect_are_listed_by_name_and_place_and_cost_nothing() {
    let compiled = read("global_defs {\nrouter_id x\ndbus_service_name y\nenable_dbus\n}\n");
    let words: Vec<_> = compiled.unsupported.iter().map(|found| found.keyword.as_str()).collect();
    assert_eq!(words, ["dbus_service_name", "enable_dbus"]);
    assert!(compiled.unsupported.iter().all(|found| found.span.end > found.span.start));
    assert_eq!(compiled.test_exit_code(), 0);
}

#[test]
fn scripts_are_split_into_words_and_keep_their_account() {
    let compiled = read(
        "vrrp_script a {\nscript \"/bin/x 'one two' three\"\nuser nobody nogroup\n}\n\
         vrrp_script b {\nscript /bin/y\nweight -20\nrise 2\nfall 3\ninterval 0.5\n}\n\
         vrrp_instance V {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n\
         notify \"/bin/n arg\" root\ntrack_script {\na\nb weight 7 reverse\n}\n}\n",
    );
    assert_eq!(errors(&compiled), [] as [&str; 0]);
    let vrrp = &compiled.config.vrrp;
    assert_eq!(vrrp.scripts[0].script.words, ["/bin/x", "one two", "three"]);
    let user = vrrp.scripts[0].script.user.as_ref().unwrap();
    assert_eq!((user.user.as_str(), user.group.as_deref()), ("nobody", Some("nogroup")));
    assert_eq!(vrrp.scripts[1].effect, TrackEffect::Weight(-20));
    assert_eq!(vrrp.scripts[1].timeout, Interval::from_millis(500));
    let tracked = &vrrp.instances[0].track_scripts;
    assert_eq!(
        (tracked[0].effect, tracked[1].effect),
        (TrackEffect::Fault, TrackEffect::Weight(-7))
    );
    let notify = vrrp.instances[0].notify.any.as_ref().unwrap();
    assert_eq!(notify.words, ["/bin/n", "arg"]);
    assert_eq!(notify.user.as_ref().unwrap().user, "root");
}

#[test]
fn fwmarks_groups_and_ports_follow_the_dialects_rules() {
    let compiled = read(
        "virtual_server_group G {\n10.0.0.1-3 80\nfwmark 9\n}\n\
         virtual_server group G {\nlb_algo rr\nlb_kind NAT\nprotocol UDP\nreal_server 10.0.1.1 53 {\n}\n}\n\
         virtual_server fwmark 7 {\nlb_algo rr\nlb_kind DR\nreal_server fd00::1 80 {\n}\n}\n\
         virtual_server 10.0.0.9 443 {\nlb_algo rr\nlb_kind DR\nprotocol tcp\nreal_server 10.0.1.1 80 {\nTCP_CHECK {\n}\n}\n}\n\
         virtual_server fwmark 8 {\nlb_algo rr\nlb_kind NAT\nreal_server 10.0.1.1 82 {\n}\n}\n",
    );
    let [group, mark, direct, mapped] = compiled.config.check.virtual_servers.as_slice() else {
        panic!()
    };
    assert!(matches!(&group.target, Target::Group { name, .. } if name == "G"));
    assert!(matches!(
        mark.target,
        Target::Fwmark { mark: 7, family: steadfast::core::config::model::Family::Inet6 }
    ));
    let port_of = |service: &Shared<VirtualServer>| service.real_servers[0].address.port();
    let checked_port =
        |service: &Shared<VirtualServer>| match &service.real_servers[0].checkers[0].probe {
            Probe::Tcp(connect) => connect.destination.port(),
            other => panic!("{other:?}"),
        };
    assert_eq!([mark, direct, mapped].map(port_of), [0, 443, 82]);
    // The port is that of the table: checks ask where the file says.
    assert_eq!(checked_port(direct), 80);
    assert_eq!(errors(&compiled), ["fwmark-port", "port-mismatch"]);
}

#[test]
fn a_service_of_every_port_is_persistent_and_one_that_is_there_twice_is_two() {
    let service = |target: &str| {
        format!(
            "virtual_server {target} {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nreal_server 10.0.1.1 80 {{\n}}\n}}\n"
        )
    };
    let groups = "virtual_server_group G {\n10.0.0.1\n10.0.0.2 80\nfwmark 9\n}\n\
                  virtual_server_group H {\n10.0.0.3 80\nfwmark 8\n}\n";
    let services = ["group G", "group H", "10.0.0.4", "10.0.0.5 80", "10.0.0.5 80"].map(service);
    let compiled = read(&format!("{groups}{}", services.concat()));
    let found = &compiled.config.check.virtual_servers;
    let persistence: Vec<_> =
        found.iter().map(|found| found.persistence.as_ref().map(|found| found.timeout)).collect();
    assert_eq!(persistence, [Some(360), None, Some(360), None, None]);
    assert_eq!(errors(&compiled), [] as [&str; 0]);
}

#[test]
fn a_broken_object_never_changes_another_one() {
    let good = "vrrp_instance B {\ninterface eth1\nvirtual_router_id 52\nvirtual_ipaddress {\n\
                10.0.0.2\n}\n}\n";
    let alone = read(good).config.vrrp.instances;
    let broken = "vrrp_instance A {\ninterface eth0\nvirtual_router_id 51\nvirtual_ipaddress {\n\
                  10.0.0.1\n}\nauthentication {\nauth_type PASS\nauth_pass x\n}\n}\n";
    for (at, _) in broken.match_indices(['{', '}']) {
        let mut damaged = broken.to_owned();
        damaged.remove(at);
        let compiled = read(&format!("{damaged}{good}"));
        let found = compiled.config.vrrp.instances.iter().find(|found| found.name == "B");
        assert_eq!(found, alone.first(), "without the brace at {at}");
        assert!(!errors(&compiled).is_empty(), "without the brace at {at}");
    }
}

/// The checkers of a server at 10.0.0.2 port 8080.
fn checkers(blocks: &str) -> (Compiled, Vec<Shared<Checker>>) {
    let compiled = read(&format!(
        "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\ndelay_loop 7\n\
         real_server 10.0.0.2 8080 {{\n{blocks}\n}}\n}}\n"
    ));
    let checkers = compiled.config.check.virtual_servers[0].real_servers[0].checkers.clone();
    (compiled, checkers)
}

fn four(checkers: Vec<Shared<Checker>>) -> [Probe; 4] {
    let probes: Vec<_> = checkers.into_iter().map(|checker| checker.probe.clone()).collect();
    probes.try_into().unwrap()
}

#[test]
fn each_checker_has_its_own_defaults() {
    let (compiled, found) =
        checkers("SMTP_CHECK {\n}\nDNS_CHECK {\n}\nUDP_CHECK {\n}\nPING_CHECK {\n}");
    assert_eq!(errors(&compiled), [] as [&str; 0]);
    assert!(compiled.unsupported.is_empty(), "{:?}", compiled.unsupported);
    let timing: Vec<_> =
        found.iter().map(|found| (found.retry, found.delay_before_retry)).collect();
    let second = Interval::from_secs(1);
    let dns = (3, Interval::from_secs(7));
    assert_eq!(timing, [(1, second), dns, (1, second), (1, second)]);
    let [smtp, dns, udp, ping] = four(found);
    let Probe::Smtp(smtp) = smtp else { panic!("{smtp:?}") };
    assert_eq!(smtp.helo, "smtpchecker.keepalived.org");
    let Probe::Dns(dns) = dns else { panic!("{dns:?}") };
    assert_eq!((dns.record, dns.name.len()), (RecordType::Soa, 0));
    let Probe::Udp(udp) = udp else { panic!("{udp:?}") };
    assert_eq!((&udp.payload, &udp.reply), (&None, &None));
    let Probe::Ping(connect) = ping else { panic!("{ping:?}") };
    assert_eq!(connect.destination, "10.0.0.2:8080".parse().unwrap());
}

#[test]
fn an_smtp_check_has_one_more_checker_for_each_host() {
    let (compiled, found) = checkers(
        "SMTP_CHECK {\nhelo_name me.example\nconnect_timeout 2\nhost {\nconnect_ip 10.0.0.3\n\
         connect_port 25\n}\nhost {\nbindto fd00::1\n}\n}",
    );
    assert_eq!(errors(&compiled), ["mixed-family"], "that host is left out");
    let probes: Vec<_> = found
        .iter()
        .map(|found| match &found.probe {
            Probe::Smtp(smtp) => (smtp.connect.destination.to_string(), smtp.helo.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        probes,
        [("10.0.0.2:8080".to_owned(), "me.example"), ("10.0.0.3:25".to_owned(), "me.example")]
    );
}

#[test]
fn words_of_dns_and_udp_checks_are_read_and_bad_ones_are_told() {
    let (compiled, found) = checkers(
        "DNS_CHECK {\ntype MX\nname example.com.\nname other\n}\n\
         UDP_CHECK {\npayload 00ff 1\nrequire_reply \"4x\"\nmin_reply_length 2\n}\n\
         DNS_CHECK {\ntype mx\nname a..b\n}\n\
         UDP_CHECK {\npayload\nrequire_reply zz\nmin_reply_length 300\n}",
    );
    assert_eq!(
        errors(&compiled),
        ["duplicate", "bad-value", "bad-value", "missing-value", "bad-value", "reply-length"]
    );
    let [dns, udp, plain_dns, plain_udp] = four(found);
    let Probe::Dns(dns) = dns else { panic!("{dns:?}") };
    assert_eq!((dns.record, dns.name.join(".")), (RecordType::Mx, "example.com".to_owned()));
    let Probe::Udp(udp) = udp else { panic!("{udp:?}") };
    assert_eq!(udp.payload, Some(vec![0, 255, 1]));
    let reply = udp.reply.unwrap();
    assert_eq!((reply.start[0].value, reply.start[0].mask), (0x40, 0xf0));
    assert_eq!((reply.shortest, reply.longest), (2, 255));
    let Probe::Dns(dns) = plain_dns else { panic!("{plain_dns:?}") };
    assert_eq!((dns.record, dns.name.len()), (RecordType::Soa, 0));
    let Probe::Udp(udp) = plain_udp else { panic!("{plain_udp:?}") };
    assert!(udp.reply.is_some_and(|reply| reply.start.is_empty()), "a reply is still required");
}

#[test]
fn a_pattern_that_cannot_be_used_is_told_and_left_out() {
    let url = |words: &str| {
        let (compiled, found) = checkers(&format!("HTTP_GET {{\nurl {{\npath /\n{words}\n}}\n}}"));
        let http = found[0].probe.as_http().unwrap().clone();
        (errors(&compiled), compiled.unsupported.len(), http.urls[0].regex.is_some())
    };
    let none: &[&str] = &[];
    assert_eq!(url("regex \"a+\"\nregex_options ungreedy dupnames"), (none.to_vec(), 0, true));
    assert_eq!(url("regex \"a+\"\nregex_options firstline"), (none.to_vec(), 1, true));
    assert_eq!(url("regex \"(\""), (vec!["bad-regex"], 0, false));
    assert_eq!(url("regex_no_match"), (vec!["no-regex"], 0, false));
}

/// keepalived says nothing and apologises for ever.
#[test]
fn a_quorum_that_its_hysteresis_keeps_out_of_reach_is_spoken_of() {
    let warnings = |quorum, hysteresis, more: &str| -> Vec<String> {
        let compiled = read(&format!(
            "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nquorum {quorum}\n\
             hysteresis {hysteresis}\n{more}\n\
             real_server 10.0.1.1 80 {{\nweight 2\nTCP_CHECK {{\n}}\n}}\n\
             real_server 10.0.1.2 80 {{\nweight 1\nTCP_CHECK {{\n}}\n}}\n}}\n"
        ));
        assert_eq!(errors(&compiled), [] as [&str; 0]);
        assert_eq!(compiled.config.check.virtual_servers[0].hysteresis, hysteresis);
        let code = "hysteresis-above-weight";
        let found = compiled.diagnostics.iter().filter(|found| found.code == code);
        found.map(|found| found.message.clone()).collect()
    };
    assert_eq!(warnings(2, 1, ""), [] as [&str; 0]);
    assert_eq!(warnings(3, 0, ""), [] as [&str; 0]);
    assert!(warnings(3, 1, "")[0].ends_with("quorum_up is never run"));
    let found = warnings(3, 2, "sorry_server 10.0.1.9 80");
    let [text] = found.as_slice() else { panic!("{found:?}") };
    assert!(text.contains("3 and hysteresis 2 are above the total weight 3"), "{text}");
    assert!(text.ends_with("clients are always sent to 10.0.1.9:80"), "{text}");
}
