//! Each option of services, servers and checkers: loaded with one value, reloaded with another.
//! The kernel is asked for what the change needs and for nothing else, and whoever was not changed
//! keeps what is known of it.

use std::collections::{BTreeMap, BTreeSet};

use steadfast::core::config::keywords;
use steadfast::ipvs::model::ServiceKey;
use steadfast::ipvs::plan::Operation;

use super::rig::{Rig, read};

/// Where the lines of a row stand.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the service.
    Service,
    /// In its first server, which is alive.
    Living,
    /// In its second server, which is dead.
    Dead,
    /// In the check of each of its servers.
    Check(&'static str),
    /// In the url of such a check.
    Url(&'static str),
    /// In the group that the service is of.
    Group,
    /// Outside.
    Root,
}
use Place::{Check, Dead, Group, Living, Root, Service, Url};

type Row = (Place, &'static str, &'static str, &'static str, &'static [&'static str]);

/// Place, option, lines before, lines after, what the kernel is asked for: `=` changes, `+` adds,
/// `-` removes; `service`, else the last number of a server.
const ROWS: &[Row] = &[
    (Service, "ip_family", "", "ip_family inet", &[]),
    (Service, "delay_loop", "delay_loop 10", "delay_loop 20", &[]),
    (Service, "lb_algo", "lb_algo rr", "lb_algo wrr", &["=service"]),
    (Service, "lvs_sched", "lvs_sched rr", "lvs_sched wlc", &["=service"]),
    (Service, "lb_kind", "lb_kind NAT", "lb_kind DR", &["=1", "=3"]),
    (Service, "lvs_method", "lvs_method NAT", "lvs_method TUN type gre", &["=1", "=3"]),
    (Service, "hashed", "lb_algo sh", "lb_algo sh\nhashed", &[]),
    (Service, "flag-1", "", "flag-1", &["=service"]),
    (Service, "flag-2", "", "flag-2", &["=service"]),
    (Service, "flag-3", "", "flag-3", &["=service"]),
    (Service, "sh-port", "lb_algo sh", "lb_algo sh\nsh-port", &["=service"]),
    (Service, "sh-fallback", "lb_algo sh", "lb_algo sh\nsh-fallback", &["=service"]),
    (Service, "mh-port", "lb_algo mh\nmh-port", "lb_algo mh", &["=service"]),
    (Service, "mh-fallback", "lb_algo mh\nmh-fallback", "lb_algo mh", &["=service"]),
    (Service, "persistence_timeout", "", "persistence_timeout 60", &["=service"]),
    (Service, "persistence_timeout", "persistence_timeout 60", "", &["=service"]),
    (
        Service,
        "persistence_granularity",
        "persistence_timeout 60",
        "persistence_timeout 60\npersistence_granularity 255.255.255.0",
        &["=service"],
    ),
    (
        Service,
        "persistence_engine",
        "persistence_timeout 60\npersistence_engine sip",
        "persistence_timeout 60",
        &["=service"],
    ),
    (Service, "ha_suspend", "", "ha_suspend", &[]),
    (Service, "ha_suspend", "ha_suspend", "", &[]),
    (Service, "smtp_alert", "smtp_alert off", "smtp_alert on", &[]),
    (
        Service,
        "virtualhost",
        "virtualhost a\nreal_server 10.1.0.4 80 {\nHTTP_GET {\nurl {\npath /\n}\n}\n}",
        "virtualhost b\nreal_server 10.1.0.4 80 {\nHTTP_GET {\nurl {\npath /\n}\n}\n}",
        &[],
    ),
    (Service, "snmp_name", "snmp_name a", "snmp_name b", &[]),
    (Service, "alpha", "", "alpha", &[]),
    (Service, "alpha", "alpha", "", &[]),
    (Service, "omega", "", "omega", &[]),
    // 6 of weight 2 are alive: of three servers, two.
    (Service, "quorum", "quorum 1", "quorum 4", &[]),
    (Service, "quorum", "quorum 1", "quorum 5", &[]),
    (Service, "quorum", SORRY, "sorry_server 10.1.0.9 80\nquorum 5", &["+9", "-1", "-3"]),
    (Service, "quorum", "sorry_server 10.1.0.9 80\nquorum 5", SORRY, &["+1", "+3", "-9"]),
    // With hysteresis, a state in between stays what it was: up.
    (
        Service,
        "hysteresis",
        "sorry_server 10.1.0.9 80\nquorum 4",
        "sorry_server 10.1.0.9 80\nquorum 4\nhysteresis 2",
        &[],
    ),
    (Service, "quorum_up", "quorum_up /bin/true", "quorum_up /bin/false", &[]),
    (Service, "quorum_down", "quorum_down /bin/true", "quorum_down /bin/false", &[]),
    (Service, "inhibit_on_failure", "", "inhibit_on_failure", &["+2"]),
    (Service, "inhibit_on_failure", "inhibit_on_failure", "", &["-2"]),
    (Service, "retry", "retry 2", "retry 3", &[]),
    (Service, "delay_before_retry", "delay_before_retry 2", "delay_before_retry 3", &[]),
    (Service, "warmup", "warmup 2", "warmup 3", &[]),
    (Service, "connect_timeout", "connect_timeout 2", "connect_timeout 3", &[]),
    (Service, "weight", "weight 2", "weight 3", &["=1", "=3"]),
    (Service, "sorry_server", "", SORRY, &[]),
    (
        Service,
        "sorry_server",
        "quorum 5\nsorry_server 10.1.0.8 80",
        "quorum 5\nsorry_server 10.1.0.9 80",
        &["+9", "-8"],
    ),
    (
        Service,
        "sorry_server",
        "quorum 5",
        "quorum 5\nsorry_server 10.1.0.9 80",
        &["+9", "-1", "-3"],
    ),
    (
        Service,
        "sorry_server_inhibit",
        SORRY,
        "sorry_server 10.1.0.9 80\nsorry_server_inhibit",
        &["+9"],
    ),
    (
        Service,
        "sorry_server_lvs_method",
        "quorum 5\nsorry_server 10.1.0.9 80",
        "quorum 5\nsorry_server 10.1.0.9 80\nsorry_server_lvs_method DR",
        &["=9"],
    ),
    (Service, "real_server", "", "real_server 10.1.0.4 80 {\n}", &["+4"]),
    (Service, "real_server", "real_server 10.1.0.4 80 {\n}", "", &["-4"]),
    // Of the protocol as of an address: another service. What is known of its servers comes along.
    (Service, "protocol", "protocol TCP", "protocol UDP", &["+service", "+1", "+3", "-service"]),
    (Service, "ops", "protocol UDP", "protocol UDP\nops", &["=service"]),
    (Living, "weight", "weight 2", "weight 5", &["=1"]),
    (Living, "weight", "weight 2", "weight 0", &["=1"]),
    (Dead, "weight", "weight 2", "weight 5", &[]),
    (Dead, "weight", "inhibit_on_failure\nweight 2", "inhibit_on_failure\nweight 5", &[]),
    (Living, "lvs_method", "lvs_method NAT", "lvs_method TUN", &["=1"]),
    (Dead, "lvs_method", "lvs_method NAT", "lvs_method TUN", &[]),
    (Living, "uthreshold", "uthreshold 10", "uthreshold 20", &["=1"]),
    (Dead, "uthreshold", "uthreshold 10", "uthreshold 20", &[]),
    (Living, "lthreshold", "uthreshold 9\nlthreshold 1", "uthreshold 9\nlthreshold 2", &["=1"]),
    (Living, "inhibit_on_failure", "", "inhibit_on_failure", &[]),
    (Dead, "inhibit_on_failure", "", "inhibit_on_failure", &["+2"]),
    (Dead, "inhibit_on_failure", "inhibit_on_failure on", "inhibit_on_failure off", &["-2"]),
    (Living, "notify_up", "notify_up /bin/true", "notify_up /bin/false", &[]),
    (Dead, "notify_down", "notify_down /bin/true", "notify_down /bin/false", &[]),
    (Living, "alpha", "alpha off", "alpha on", &[]),
    (Dead, "alpha", "alpha on", "alpha off", &[]),
    (Living, "retry", "retry 2", "retry 3", &[]),
    (Living, "delay_before_retry", "delay_before_retry 2", "delay_before_retry 3", &[]),
    (Living, "warmup", "warmup 2", "warmup 3", &[]),
    (Living, "connect_timeout", "connect_timeout 2", "connect_timeout 3", &[]),
    (Living, "delay_loop", "delay_loop 11", "delay_loop 12", &[]),
    (Dead, "delay_loop", "delay_loop 11", "delay_loop 12", &[]),
    (Service, "drain_time", "drain_time 10", "drain_time 20", &[]),
    (Living, "drain_time", "drain_time 10", "drain_time 20", &[]),
    (Dead, "drain_time", "drain_time 10", "drain_time 20", &[]),
    (Service, "slow_start", "slow_start 10", "slow_start 20", &[]),
    (Living, "slow_start", "slow_start 10", "slow_start 20", &[]),
    (Dead, "slow_start", "slow_start 10", "slow_start 20", &[]),
    (Living, "smtp_alert", "smtp_alert on", "smtp_alert off", &[]),
    (
        Living,
        "virtualhost",
        "virtualhost a\nHTTP_GET {\nurl {\npath /\n}\n}",
        "virtualhost b\nHTTP_GET {\nurl {\npath /\n}\n}",
        &[],
    ),
    (Living, "snmp_name", "snmp_name a", "snmp_name b", &[]),
    (Living, "TCP_CHECK", "", "TCP_CHECK {\nconnect_port 99\n}", &[]),
    (Living, "TCP_CHECK", "TCP_CHECK {\nconnect_port 99\n}", "", &[]),
    (Dead, "TCP_CHECK", "", "TCP_CHECK {\nconnect_port 99\n}", &[]),
    (Dead, "TCP_CHECK", "TCP_CHECK {\nconnect_port 99\n}", "", &[]),
    (Living, "PING_CHECK", "", "PING_CHECK {\n}", &[]),
    (Living, "UDP_CHECK", "", "UDP_CHECK {\n}", &[]),
    (Living, "DNS_CHECK", "", "DNS_CHECK {\n}", &[]),
    (Living, "SMTP_CHECK", "", "SMTP_CHECK {\n}", &[]),
    (Living, "HTTP_GET", "", "HTTP_GET {\nurl {\npath /\n}\n}", &[]),
    (Dead, "SSL_GET", "", "SSL_GET {\nurl {\npath /\n}\n}", &[]),
    (Living, "MISC_CHECK", "", "MISC_CHECK {\nmisc_path /bin/true\n}", &[]),
    (Living, "FILE_CHECK", "", "FILE_CHECK {\ntrack_file two\n}", &["=1"]),
    (Dead, "FILE_CHECK", "", "FILE_CHECK {\ntrack_file two\n}", &[]),
    (Check("FILE_CHECK"), "track_file", "track_file two", "track_file five", &["=1", "=3"]),
    (
        Check("FILE_CHECK"),
        "weight",
        "track_file two\nweight 1",
        "track_file two\nweight 2",
        &["=1", "=3"],
    ),
    (
        Check("FILE_CHECK"),
        "weight",
        "track_file two\nweight 0 reverse",
        "track_file two\nweight 0",
        &["-1", "-3"],
    ),
    (Check("MISC_CHECK"), "misc_path", "misc_path /bin/true", "misc_path /bin/false", &[]),
    (Check("MISC_CHECK"), "misc_timeout", "misc_timeout 3", "misc_timeout 4", &[]),
    (Check("MISC_CHECK"), "misc_dynamic", "", "misc_dynamic", &[]),
    (Check("MISC_CHECK"), "user", "user root", "user nobody", &[]),
    (Check("DNS_CHECK"), "type", "type A", "type MX", &[]),
    (Check("DNS_CHECK"), "name", "name a.org", "name b.org", &[]),
    (Check("UDP_CHECK"), "payload", "payload 00", "payload 01", &[]),
    (Check("UDP_CHECK"), "require_reply", "require_reply 00", "require_reply 01", &[]),
    (
        Check("UDP_CHECK"),
        "min_reply_length",
        "require_reply\nmin_reply_length 1",
        "require_reply\nmin_reply_length 2",
        &[],
    ),
    (
        Check("UDP_CHECK"),
        "max_reply_length",
        "require_reply\nmax_reply_length 8",
        "require_reply\nmax_reply_length 9",
        &[],
    ),
    (Check("TCP_CHECK"), "send", "send a", "send b", &[]),
    (Check("TCP_CHECK"), "expect", "expect a", "expect b", &[]),
    (Check("TCP_CHECK"), "tls", "", "tls", &[]),
    (Check("SMTP_CHECK"), "helo_name", "helo_name a", "helo_name b", &[]),
    (Check("SMTP_CHECK"), "host", "host {\nconnect_port 1\n}", "host {\nconnect_port 2\n}", &[]),
    (Check("HTTP_GET"), "virtualhost", "virtualhost a", "virtualhost b", &[]),
    (Check("HTTP_GET"), "http_protocol", "http_protocol 1.0", "http_protocol 1.1", &[]),
    (Check("HTTP_GET"), "http_protocol", "http_protocol 1.1", "http_protocol 2", &[]),
    (Check("HTTP_GET"), "fast_recovery", "", "fast_recovery", &[]),
    (Check("HTTP_GET"), "url", "", "url {\npath /more\n}", &[]),
    (Check("HTTP_GET"), "nb_get_retry", "nb_get_retry 2", "nb_get_retry 3", &[]),
    (Check("SSL_GET"), "enable_sni", "", "enable_sni", &[]),
    (Check("SSL_GET"), "tls_compliant", "", "tls_compliant", &[]),
    (Check("SSL_GET"), "verify", "", "verify", &[]),
    (Check("SSL_GET"), "expiry_warning", "expiry_warning 7", "expiry_warning 8", &[]),
    (Check("TCP_CHECK"), "expiry_warning", "tls\nexpiry_warning 7", "tls\nexpiry_warning 8", &[]),
    (Check("TCP_CHECK"), "enable_sni", "tls", "tls\nenable_sni", &[]),
    (Check("TCP_CHECK"), "sni_name", "tls\nsni_name a", "tls\nsni_name b", &[]),
    (Check("TCP_CHECK"), "verify", "tls", "tls\nverify", &[]),
    (Check("AGENT_CHECK"), "send", "send a", "send b", &[]),
    (Check("AGENT_CHECK"), "path", "path /a", "path /b", &[]),
    (Living, "AGENT_CHECK", "", "AGENT_CHECK {\n}", &[]),
    (Check("GRPC_CHECK"), "service", "service a", "service b", &[]),
    (Check("GRPC_CHECK"), "authority", "authority a", "authority b", &[]),
    (Check("GRPC_CHECK"), "virtualhost", "virtualhost a", "virtualhost b", &[]),
    (Check("GRPC_CHECK"), "tls", "", "tls", &[]),
    (Check("GRPC_CHECK"), "enable_sni", "tls", "tls\nenable_sni", &[]),
    (Check("GRPC_CHECK"), "sni_name", "tls\nsni_name a", "tls\nsni_name b", &[]),
    (Check("GRPC_CHECK"), "verify", "tls", "tls\nverify", &[]),
    (Check("GRPC_CHECK"), "expiry_warning", "tls\nexpiry_warning 7", "tls\nexpiry_warning 8", &[]),
    (Living, "GRPC_CHECK", "", "GRPC_CHECK {\n}", &[]),
    (Check("MISC_CHECK"), "expect", "expect a", "expect b", &[]),
    (Check("SSL_GET"), "sni_name", "enable_sni\nsni_name a", "enable_sni\nsni_name b", &[]),
    (Url("SSL_GET"), "tls_compliant", "", "tls_compliant", &[]),
    (Url("HTTP_GET"), "path", "path /a", "path /b", &[]),
    (Url("HTTP_GET"), "digest", "", "digest 00112233445566778899aabbccddeeff", &[]),
    (Url("HTTP_GET"), "status_code", "status_code 200", "status_code 204", &[]),
    (Url("HTTP_GET"), "virtualhost", "virtualhost a", "virtualhost b", &[]),
    (Url("HTTP_GET"), "regex", "regex a", "regex b", &[]),
    (Url("HTTP_GET"), "regex_no_match", "regex a", "regex a\nregex_no_match", &[]),
    (Url("HTTP_GET"), "regex_options", "regex a", "regex a\nregex_options caseless", &[]),
    (Url("HTTP_GET"), "regex_min_offset", "regex a", "regex a\nregex_min_offset 1", &[]),
    (
        Url("HTTP_GET"),
        "regex_stack",
        "regex a\nregex_stack 1000 8000",
        "regex a\nregex_stack 1000 9000",
        &[],
    ),
    (Url("HTTP_GET"), "regex_max_offset", "regex a", "regex a\nregex_max_offset 9", &[]),
    (Group, "ADDRESS_ENTRY", "", "10.0.0.2 80", &["+service", "+1", "+3"]),
    (Group, "ADDRESS_ENTRY", "10.0.0.2 80", "", &["-service"]),
    (Group, "fwmark_entry", "", "fwmark 7", &["+service", "+1", "+3"]),
    (Group, "fwmark_entry", "fwmark 7", "", &["-service"]),
    (Root, "ca", "SSL {\nca /a\n}", "SSL {\nca /b\n}", &[]),
    (Root, "certificate", "SSL {\ncertificate /a\n}", "SSL {\ncertificate /b\n}", &[]),
    (Root, "key", "SSL {\nkey /a\n}", "SSL {\nkey /b\n}", &[]),
    (Root, "password", "SSL {\npassword a\n}", "SSL {\npassword b\n}", &[]),
    (Root, "SSL", "", "SSL {\nca /b\n}", &[]),
];

const SORRY: &str = "sorry_server 10.1.0.9 80";

/// Options that all checks have. None of them is the kernel's business.
const SHARED: &[(&str, &str, &str)] = &[
    ("connect_ip", "connect_ip 10.2.0.1", "connect_ip 10.2.0.2"),
    ("connect_port", "connect_port 81", "connect_port 82"),
    ("bindto", "bindto 10.9.0.1", "bindto 10.9.0.2"),
    ("bind_port", "bind_port 1001", "bind_port 1002"),
    ("bind_if", "bind_if eth0", "bind_if eth1"),
    ("connect_timeout", "connect_timeout 4", "connect_timeout 5"),
    ("fwmark", "fwmark 1", "fwmark 2"),
    ("retry", "retry 2", "retry 3"),
    ("delay_before_retry", "delay_before_retry 2", "delay_before_retry 4"),
    ("delay_loop", "delay_loop 8", "delay_loop 9"),
    ("warmup", "warmup 2", "warmup 3"),
    ("alpha", "alpha off", "alpha on"),
    ("log_all_failures", "log_all_failures off", "log_all_failures on"),
    ("fall", "fall 3", "fall 4"),
    ("rise", "rise 1", "rise 2"),
    ("reentry", "reentry 0", "reentry 1"),
];
const CHECKS: &[&str] = &[
    "TCP_CHECK",
    "AGENT_CHECK",
    "GRPC_CHECK",
    "PING_CHECK",
    "UDP_CHECK",
    "DNS_CHECK",
    "SMTP_CHECK",
    "MISC_CHECK",
    "HTTP_GET",
    "SSL_GET",
];

/// Blocks whose options must all stand here.
const BLOCKS: &[&str] = &["virtual_server", "virtual_server_group", "SSL"];
/// Words that have no row.
const EXCUSED: &[(&str, &str)] = &[
    ("BFD_CHECK", "follows a session, not a probe"),
    ("SSL_GET/url", "the same as HTTP_GET's, by the same code"),
    ("SSL_GET", "the same as HTTP_GET's but for enable_sni and tls_compliant"),
    ("HTTP_GET/enable_sni", "no TLS there"),
    ("HTTP_GET/sni_name", "no TLS there"),
    ("SMTP_CHECK/host", "makes a checker of its own with the shared options"),
];

/// Rows whose two texts mean the same.
const SAME: &[&str] = &["ip_family", "hashed"];

fn text(place: Place, lines: &str) -> String {
    let check = |kind: &str, own: &str, url: &str| {
        let body = match kind {
            "HTTP_GET" | "SSL_GET" => format!("url {{\npath /\n{url}\n}}\n{own}"),
            "MISC_CHECK" => format!("misc_path /bin/true\n{own}"),
            _ => own.to_owned(),
        };
        format!("{kind} {{\n{body}\n}}")
    };
    let plain = check("TCP_CHECK", "", "");
    let checks = match place {
        // MISC_CHECK may name its script once only.
        Check(kind) if lines.starts_with("misc_path") => format!("{kind} {{\n{lines}\n}}"),
        Check("FILE_CHECK") => format!("{plain}\nFILE_CHECK {{\n{lines}\n}}"),
        Check(kind) => check(kind, lines, ""),
        Url(kind) => check(kind, "", lines),
        Service | Living | Dead | Group | Root => plain,
    };
    let inside = |wanted: bool| if wanted { lines } else { "" };
    let service = inside(matches!(place, Service));
    let (living, dead) = (inside(matches!(place, Living)), inside(matches!(place, Dead)));
    let files: String = [("two", 2), ("five", 5)]
        .map(|(name, _)| format!("track_file {name} {{\nfile /run/{name}\nweight 1\n}}\n"))
        .concat();
    let head = match place {
        Group => format!(
            "virtual_server_group web {{\n10.0.0.1 80\n{lines}\n}}\nvirtual_server group web"
        ),
        Root => format!("{lines}\nvirtual_server 10.0.0.1 80"),
        Service | Living | Dead | Check(_) | Url(_) => "virtual_server 10.0.0.1 80".to_owned(),
    };
    format!(
        "{files}{head} {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nweight 2\nretry 1\n\
         delay_loop 10\n{service}\n\
         real_server 10.1.0.1 80 {{\n{living}\n{checks}\n}}\n\
         real_server 10.1.0.2 80 {{\n{dead}\n{checks}\n}}\n\
         real_server 10.1.0.3 80 {{\n{checks}\n}}\n}}\n\
         virtual_server 10.0.0.99 80 {{\nlb_algo wlc\nlb_kind DR\nprotocol TCP\n\
         real_server 10.3.0.1 80 {{\nTCP_CHECK {{\n}}\n}}\n\
         real_server 10.3.0.2 80 {{\nTCP_CHECK {{\n}}\n}}\n}}\n"
    )
}

/// In the words of the table.
fn word(operation: &Operation) -> String {
    let other = match operation.service() {
        ServiceKey::Address { address, .. } if address.to_string() == "10.0.0.99" => "other ",
        ServiceKey::Address { .. } | ServiceKey::Fwmark { .. } => "",
    };
    let last = |key: &steadfast::ipvs::model::DestinationKey| {
        key.address.to_string().rsplit('.').next().unwrap_or_default().to_owned()
    };
    let (sign, what) = match operation {
        Operation::AddService { .. } => ('+', "service".to_owned()),
        Operation::SetService { .. } => ('=', "service".to_owned()),
        Operation::RemoveService { .. } => ('-', "service".to_owned()),
        Operation::AddDestination { key, .. } => ('+', last(key)),
        Operation::SetDestination { key, .. } => ('=', last(key)),
        Operation::RemoveDestination { key, .. } => ('-', last(key)),
    };
    format!("{other}{sign}{what}")
}

/// Runs a row; what is wrong with it.
fn faults((place, option, before, after, expected): Row) -> Vec<String> {
    let mut faults = Vec::new();
    let (before, after) = (text(place, before), text(place, after));
    for text in [&before, &after] {
        let unknown = read(text).diagnostics.into_iter().find(|found| {
            ["unknown-keyword", "bad-value", "missing-argument"].contains(&found.code)
        });
        faults.extend(unknown.map(|found| format!("not read: {found:?}")));
    }
    if (read(&before).config == read(&after).config) != SAME.contains(&option) {
        faults.push("the two texts mean the same, or do not".to_owned());
    }
    let mut rig = Rig::new(&before);
    for (name, value) in [("two", 2), ("five", 5)] {
        let name = name.to_owned();
        rig.engine.handle(rig.now, steadfast::check::engine::Input::FileChanged { name, value });
    }
    rig.kill("10.1.0.2");
    rig.kill("10.3.0.2");
    rig.run(60);
    rig.operations();
    let known: BTreeMap<_, _> = rig.checkers().into_iter().collect();
    let asked: usize = rig.seen.probes.values().sum();
    let next: BTreeSet<_> = rig.seen.cancelled.clone();
    rig.reload(&after);
    let found: Vec<String> = rig.operations().iter().map(word).collect();
    if found != expected {
        faults.push(format!("asked for {found:?}, needed {expected:?}"));
    }
    if rig.seen.probes.values().sum::<usize>() != asked {
        faults.push("the reload itself asks servers".to_owned());
    }
    for (meaning, checker) in rig.checkers() {
        let Some(old) = known.get(&meaning) else { continue };
        if (old.id, old.memory) != (checker.id, checker.memory) {
            faults.push(format!("forgot what was known of {meaning}"));
        }
        if rig.seen.cancelled.difference(&next).any(|id| *id == old.id) {
            faults.push(format!("cancelled a probe of {meaning}"));
        }
    }
    for (_, server) in rig.servers() {
        let ours =
            ["10.1.0.2", "10.3.0.2"].contains(&server.config.address.ip().to_string().as_str());
        let by_file = before.contains("weight 0");
        if server.up == ours && !(by_file && after.contains("FILE_CHECK")) {
            faults.push(format!("{} is up: {}", server.config.address, server.up));
        }
    }
    // Later, with everybody asked again, nothing moves either.
    rig.run(60);
    let later: Vec<String> = rig.operations().iter().map(word).collect();
    if !later.is_empty() {
        faults.push(format!("later asked for {later:?}"));
    }
    faults
}

fn rows() -> Vec<Row> {
    let shared = CHECKS.iter().flat_map(|kind| {
        let none: &[&str] = &[];
        SHARED
            .iter()
            .map(move |(option, before, after)| (Check(kind), *option, *before, *after, none))
    });
    let network = |row: &Row| {
        let connection = SHARED.iter().position(|(option, ..)| *option == row.1) < Some(7);
        !(matches!(row.0, Check("MISC_CHECK")) && connection)
    };
    ROWS.iter().copied().chain(shared.filter(network)).collect()
}

#[test]
fn each_option_asks_the_kernel_for_what_it_needs_and_keeps_what_is_known() {
    let rows = rows();
    let mut wrong = Vec::new();
    for row in &rows {
        for fault in faults(*row) {
            wrong.push(format!("{:?} {}: {fault}", row.0, row.1));
        }
        // Back again: as many operations, the opposite ones; only that nobody else is touched and
        // nothing is forgotten is asked here.
        let (place, option, before, after, _) = *row;
        for fault in faults((place, option, after, before, &[])) {
            if !fault.starts_with("asked for") || fault.contains("other") {
                wrong.push(format!("{place:?} {option} back: {fault}"));
            }
        }
    }
    println!("{} rows, each there and back", rows.len());
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Another name of a group, a group in place of an address, a server that moves: the kernel hears of
/// what is new to it, and a server that is known to be dead stays out.
#[test]
fn a_server_that_is_known_elsewhere_is_known() {
    let server = |last: u8| format!("real_server 10.1.0.{last} 80 {{\nTCP_CHECK {{\n}}\n}}\n");
    let service = |name: &str, servers: &str| {
        format!(
            "virtual_server {name} {{\nlb_algo rr\nlb_kind NAT\nprotocol TCP\nalpha\n{servers}}}\n"
        )
    };
    let group = |name: &str| format!("virtual_server_group {name} {{\n10.0.0.1 80\n}}\n");
    let both = server(1) + &server(2);
    let plain = service("10.0.0.1 80", &both);
    let old = group("old") + &service("group old", &both);
    let new = group("new") + &service("group new", &both);
    let more = plain.clone() + &service("10.0.0.5 80", &both);
    let added = ["+service", "+1"].as_slice();
    for (before, after, expected) in [
        (&old, &new, [].as_slice()),
        (&plain, &new, &[]),
        (&old, &plain, &[]),
        (&plain, &more, added),
    ] {
        let mut rig = Rig::new(before);
        rig.kill("10.1.0.2");
        rig.run(100);
        rig.operations();
        rig.reload(after);
        let found: Vec<String> = rig.operations().iter().map(word).collect();
        assert_eq!(found, expected, "{before} to {after}");
        rig.revive("10.1.0.2");
        rig.run(100);
        assert!(rig.server("10.1.0.2").up);
    }
}

#[test]
fn every_option_has_its_row() {
    let place = |place: Place, option: &str| match place {
        Service => format!("virtual_server/{option}"),
        Living | Dead => format!("virtual_server/real_server/{option}"),
        Check(kind) => format!("virtual_server/real_server/{kind}/{option}"),
        Url(kind) => format!("virtual_server/real_server/{kind}/url/{option}"),
        Group => format!("virtual_server_group/{option}"),
        Root => format!("SSL/{option}"),
    };
    let there: BTreeSet<String> = rows().iter().map(|row| place(row.0, row.1)).collect();
    let missing: Vec<String> = keywords::all()
        .iter()
        .chain(keywords::additions())
        .filter(|row| BLOCKS.iter().any(|block| row.block.split('/').next() == Some(block)))
        .map(|row| format!("{}/{}", row.block, row.name))
        .filter(|word| !there.contains(word))
        .filter(|word| !EXCUSED.iter().any(|(excused, _)| word.contains(excused)))
        .collect();
    assert_eq!(missing, [] as [&str; 0]);
}

#[test]
fn after_a_reload_there_is_one_copy_of_what_has_not_changed() {
    let text = |weight| {
        let server = |last, weight| {
            format!("real_server 10.1.0.{last} 80 {{\nweight {weight}\nTCP_CHECK {{\n}}\n}}\n")
        };
        let service = |last, weight| {
            let (one, two) = (server(1, weight), server(2, 1));
            format!("virtual_server 10.0.0.{last} 80 {{\nprotocol TCP\n{one}{two}}}\n")
        };
        service(1, weight) + &service(2, 1)
    };
    let old = read(&text(1)).config.check;
    let mut new = read(&text(5)).config.check;
    let as_written = new.clone();
    new.share_with(&old);
    assert_eq!(new, as_written);
    let [changed, same] = new.virtual_servers.as_slice() else { panic!() };
    let [old_changed, old_same] = old.virtual_servers.as_slice() else { panic!() };
    assert!(std::ptr::eq(&raw const **same, &raw const **old_same));
    let (server, old_server) = (&changed.real_servers[1], &old_changed.real_servers[1]);
    assert!(std::ptr::eq(&raw const **server, &raw const **old_server));
    let (server, old_server) = (&changed.real_servers[0], &old_changed.real_servers[0]);
    assert_eq!((server.weight, old_server.weight), (5, 1));
    let (check, old_check) = (&server.checkers[0], &old_server.checkers[0]);
    assert!(std::ptr::eq(&raw const **check, &raw const **old_check));
}

/// Two servers, or the first alone, with a time for the second to leave.
fn leaving(second: bool) -> String {
    let server = |last| format!("real_server 10.1.0.{last} 80 {{\nTCP_CHECK {{\n}}\n}}\n");
    let second = if second { server(2) } else { String::new() };
    format!("virtual_server 10.0.0.1 80 {{\nprotocol TCP\ndrain_time 60\n{}{second}}}\n", server(1))
}

#[test]
fn a_server_that_is_taken_out_keeps_its_connections_until_the_last_has_ended() {
    let mut rig = Rig::new(&leaving(true));
    rig.run(10);
    rig.connect("10.1.0.2", 3);
    rig.operations();
    rig.reload(&leaving(false));
    assert_eq!(rig.operations().iter().map(word).collect::<Vec<_>>(), ["=2"]);
    assert_eq!(rig.weight("10.1.0.2"), Some(0));
    rig.run(5);
    rig.count();
    assert_eq!(rig.weight("10.1.0.2"), Some(0), "it still has connections");
    rig.connect("10.1.0.2", 0);
    rig.count();
    assert_eq!(rig.weight("10.1.0.2"), None);
    assert!(rig.said("Removing drained service [10.1.0.2]:tcp:80"));
}

#[test]
fn a_server_that_is_taken_out_has_no_longer_than_its_time() {
    let mut rig = Rig::new(&leaving(true));
    rig.run(10);
    rig.connect("10.1.0.2", 3);
    rig.reload(&leaving(false));
    // Another reload does not begin the time anew.
    rig.run(30);
    rig.reload(
        &(leaving(false) + "virtual_server 10.0.0.9 80 {\nreal_server 10.1.0.9 80 {\n}\n}\n"),
    );
    rig.run(29);
    rig.count();
    assert_eq!(rig.weight("10.1.0.2"), Some(0));
    rig.run(2);
    assert_eq!(rig.weight("10.1.0.2"), None);
}

#[test]
fn a_server_that_comes_back_while_it_leaves_serves_again_and_a_dead_one_leaves_at_once() {
    let mut rig = Rig::new(&leaving(true));
    rig.run(10);
    rig.connect("10.1.0.2", 3);
    rig.reload(&leaving(false));
    rig.reload(&leaving(true));
    assert_eq!(rig.weight("10.1.0.2"), Some(1));
    rig.run(100);
    assert_eq!(rig.weight("10.1.0.2"), Some(1), "no timer is left");
    rig.kill("10.1.0.2");
    rig.run(200);
    rig.reload(&leaving(false));
    assert_eq!(rig.weight("10.1.0.2"), None);
}
