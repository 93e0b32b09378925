//! What SIGUSR1 writes for the check process, in keepalived's layout: its names of lines, their order and
//! indentation. What only this program knows has lines of its own at the end of the block it belongs to.
//!
//! Some of keepalived's lines are not here, since there is nothing behind them: the version of IPVS that
//! it was compiled with, `previous effective_weight`, the numbers of accounts.

mod checkers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::engine::{CheckEngine, ServerState, ServiceState};
use super::event::{family_of, protocol_of};
use super::virtual_server::destination_key;
use crate::core::config::model::check::{
    CheckConfig, Defaults, FileCheckEffect, Forwarding, GroupEntry, Persistence, Probe, Protocol,
    Scheduler, Target, TlsIdentity, Tunnel, TunnelChecksum, VirtualServerGroup,
};
use crate::core::config::model::track::{FileEffect, TrackFile};
use crate::core::config::model::{Config, Family};
use crate::core::data_file::{
    enabled, globals, heading, line, on_off, script, seconds, words_line, yes_no,
};

/// The data file.
pub fn data(engine: &CheckEngine, config: &Config) -> String {
    let mut text = globals(&config.global);
    let out = &mut text;
    tls(out, engine, &config.check.tls);
    topology(out, engine, &config.check);
    checkers::all(out, engine);
    track_files(out, engine, &config.track_files);
    track_sessions(out, engine);
    text
}

fn tls(text: &mut String, engine: &CheckEngine, identity: &TlsIdentity) {
    let written = *identity != TlsIdentity::default();
    let servers = engine.services().iter().flat_map(|service| &service.servers);
    let mut probes = servers.flat_map(|server| &server.checkers).map(|own| &own.config.probe);
    let asked = probes.any(|probe| probe.as_http().is_some_and(|http| http.tls.is_some()));
    if !written && !asked {
        return;
    }
    heading(text, 0, "SSL definitions");
    if !written {
        words_line(text, 1, "Using autogen SSL context");
    }
    for (name, file) in [
        ("CA-file", &identity.ca),
        ("Certificate file", &identity.certificate),
        ("Key file", &identity.key),
    ] {
        if let Some(file) = file {
            words_line(text, 1, format_args!("{name} : {file}"));
        }
    }
}

fn topology(text: &mut String, engine: &CheckEngine, config: &CheckConfig) {
    heading(text, 0, "LVS Topology");
    if let Some(saved) = engine.saved_probes() {
        words_line(text, 1, format_args!("Shared checks: {saved} probes saved"));
    }
    if engine.unasked_probes() > 0 {
        let unasked = engine.unasked_probes();
        words_line(text, 1, format_args!("Checks that could not be made: {unasked}"));
    }
    for found in &config.groups {
        group(text, found, engine);
    }
    for found in engine.services() {
        service(text, found, engine);
    }
}

// ---- groups

fn group(text: &mut String, group: &VirtualServerGroup, engine: &CheckEngine) {
    heading(text, 1, "Virtual server group");
    let has = |family| {
        let mut entries = group.entries.iter();
        let of = |entry: &GroupEntry| match entry {
            GroupEntry::Addresses { first, .. } => Family::of(first.ip()) == family,
            GroupEntry::Fwmark { .. } => false,
        };
        yes_no(entries.any(of))
    };
    let (four, six) = (has(Family::Inet), has(Family::Inet6));
    let name = &group.name;
    line(text, 1, "Virtual Server Group", format_args!("{name}, IPv4 = {four}, IPv6 = {six}"));
    let services = || {
        let of = |service: &&ServiceState| matches!(&service.config.target, Target::Group { name, .. } if *name == group.name);
        engine.services().iter().filter(of)
    };
    let of = |protocol| {
        let own = services().filter(|found| protocol_of(&found.config.target) == Some(protocol));
        own.map(in_table).sum::<usize>()
    };
    let by_family =
        |wanted| services().filter(|found| family(found) == wanted).map(in_table).sum::<usize>();
    for entry in &group.entries {
        match entry {
            GroupEntry::Addresses { first, count } => {
                let (first, port) = (first.ip(), first.port());
                if *count > 1 {
                    let last = last(first, *count);
                    words_line(text, 3, format_args!("VIP Range = {first}-{last}, VPORT = {port}"));
                } else {
                    words_line(text, 3, format_args!("VIP = {first}, VPORT = {port}"));
                }
                let (tcp, udp) = (of(Protocol::Tcp), of(Protocol::Udp));
                let sctp = of(Protocol::Sctp);
                words_line(text, 5, format_args!("Alive: {tcp} tcp, {udp} udp, {sctp} sctp"));
            }
            GroupEntry::Fwmark { mark, .. } => {
                line(text, 3, "FWMARK", mark);
                let (four, six) = (by_family(Family::Inet), by_family(Family::Inet6));
                words_line(text, 5, format_args!("Alive: {four} IPv4, {six} IPv6"));
            }
        }
        // Nothing is written in the middle of a reload.
        words_line(text, 5, "reloaded = False");
    }
}

fn last(first: IpAddr, count: u32) -> IpAddr {
    let more = count.saturating_sub(1);
    match first {
        IpAddr::V4(first) => Ipv4Addr::from_bits(first.to_bits().saturating_add(more)).into(),
        IpAddr::V6(first) => {
            std::net::Ipv6Addr::from_bits(first.to_bits().saturating_add(more.into())).into()
        }
    }
}

// ---- services

fn family(service: &ServiceState) -> Family {
    let first = service.config.real_servers.first().map(|server| server.address.ip());
    family_of(&service.config.target, first)
}

fn apologises(service: &ServiceState) -> bool {
    !service.quorum && service.config.sorry_server.is_some()
}

/// Whether the kernel's table has the server.
fn is_set(service: &ServiceState, server: &ServerState) -> bool {
    (server.up && !apologises(service)) || server.config.inhibit_on_failure
}

fn in_table(service: &ServiceState) -> usize {
    service.servers.iter().filter(|server| is_set(service, server)).count()
}

/// The port that its servers have: where the packets stay as they are, the service's.
fn port(service: &ServiceState, address: SocketAddr, forwarding: Forwarding) -> u16 {
    match (&service.config.target, service.keys.first()) {
        (Target::Address { .. } | Target::Fwmark { .. }, Some(key)) => {
            destination_key(key, address, forwarding).port
        }
        (Target::Group { .. }, _) | (_, None) => address.port(),
    }
}

fn service(text: &mut String, service: &ServiceState, engine: &CheckEngine) {
    let config = &service.config;
    heading(text, 1, "Virtual server");
    match &config.target {
        Target::Address { address, .. } => {
            let (address, port) = (address.ip(), address.port());
            words_line(text, 1, format_args!("VS VIP = {address}, VPORT = {port}"));
        }
        Target::Fwmark { mark, .. } => line(text, 1, "VS FWMARK", mark),
        Target::Group { .. } => line(text, 1, "VS GROUP", service.told_as()),
    }
    if let Some(host) = &config.defaults.virtualhost {
        line(text, 3, "VirtualHost", host);
    }
    if let Some(name) = &config.snmp_name {
        line(text, 3, "SNMP name", format_args!("'{name}'"));
    }
    let inet = family(service) == Family::Inet;
    line(text, 3, "Address family", if inet { "inet" } else { "inet6" });
    line(text, 3, "connection timeout", seconds(config.defaults.connect_timeout));
    line(text, 3, "delay_loop", seconds(config.defaults.delay_loop));
    line(text, 3, "lvs_sched", &config.scheduler.name);
    // The kernel's own flag: it cannot be asked for.
    line(text, 3, "Hashed", enabled(false));
    scheduler_flags(text, &config.scheduler);
    line(text, 3, "One packet scheduling", enabled(config.one_packet));
    if let Some(persistence) = &config.persistence {
        lasting(text, persistence, inet);
    }
    let protocol = protocol_of(&config.target).map_or("none", Protocol::name);
    line(text, 3, "protocol", protocol);
    words_line(text, 3, format_args!("alpha is {}", on_off(config.alpha)));
    words_line(text, 3, format_args!("omega is {}", on_off(config.omega)));
    retries(text, &config.defaults);
    inhibit(text, 3, config.defaults.inhibit);
    let hysteresis = config.hysteresis;
    line(text, 3, "quorum", format_args!("{}, hysteresis = {hysteresis}", config.quorum));
    for (name, found) in [("up", &config.quorum_up), ("down", &config.quorum_down)] {
        if let Some(found) = found {
            line(text, 3, &format!("Quorum {name} notify script"), script(found));
        }
    }
    if config.ha_suspend {
        words_line(text, 3, "Using HA suspend");
    }
    line(text, 3, "Using smtp notification", yes_no(config.smtp_alert));
    let plain = matches!(
        config.forwarding,
        Forwarding::Masquerade | Forwarding::DirectRouting | Forwarding::Tunnel(Tunnel::Ipip)
    );
    // As keepalived: of a tunnel with options it leaves out the first word, and that of a sorry server it
    // does not indent.
    let name = if plain { "default forwarding method" } else { "forwarding method" };
    line(text, 3, name, method(config.forwarding));
    sorry(text, service);
    // A service that is configured is in the table; nothing is written in the middle of a reload.
    line(text, 3, "alive", 1);
    line(text, 3, "quorum_state_up", u8::from(service.quorum));
    line(text, 3, "reloaded", 0);
    if service.suspended {
        words_line(text, 3, "suspended: its addresses are not on this host");
    }
    for leaving in &service.leaving {
        let name = service.server_name(&leaving.config);
        words_line(text, 3, format_args!("draining: {name}"));
    }
    for found in &service.servers {
        server(text, service, found, engine);
    }
}

fn scheduler_flags(text: &mut String, scheduler: &Scheduler) {
    let names: &[&str] = match scheduler.name.as_str() {
        "sh" => &["sh-port", "sh-fallback"],
        "mh" => &["mh-port", "mh-fallback"],
        _ => &["flag-1", "flag-2", "flag-3"],
    };
    // IP_VS_SVC_F_SCHED1 to 3; of `sh` and `mh`, the first is the fallback.
    let bits: &[u32] = if names.len() == 2 { &[0x10, 0x08] } else { &[0x08, 0x10, 0x20] };
    for (name, bit) in names.iter().zip(bits) {
        line(text, 3, name, enabled(scheduler.flags & bit != 0));
    }
}

fn lasting(text: &mut String, persistence: &Persistence, inet: bool) {
    line(text, 3, "persistence timeout", persistence.timeout);
    let bits = persistence.granularity;
    if inet && bits < 32 {
        let mask = u32::MAX.checked_shl(32 - u32::from(bits)).unwrap_or(0);
        line(text, 3, "persistence granularity", Ipv4Addr::from_bits(mask));
    } else if !inet && bits < 128 {
        line(text, 3, "persistence granularity", bits);
    }
}

fn retries(text: &mut String, defaults: &Defaults) {
    if defaults.retry > 0 {
        line(text, 3, "Retry count", defaults.retry);
    }
    if !defaults.delay_before_retry.is_zero() {
        line(text, 3, "Retry delay", seconds(defaults.delay_before_retry));
    }
    if !defaults.warmup.is_zero() {
        line(text, 3, "Warmup", seconds(defaults.warmup));
    }
}

fn inhibit(text: &mut String, indent: usize, on: bool) {
    words_line(text, indent, format_args!("Inhibit on failure is {}", on_off(on)));
}

fn method(forwarding: Forwarding) -> String {
    let checked = |checksum| match checksum {
        TunnelChecksum::None => "no checksum",
        TunnelChecksum::Outer => "checksum",
        TunnelChecksum::Remote => "remote checksum",
    };
    match forwarding {
        Forwarding::Masquerade => "NAT".to_owned(),
        Forwarding::DirectRouting => "DR".to_owned(),
        Forwarding::Tunnel(Tunnel::Ipip) => "TUN, type = IPIP".to_owned(),
        Forwarding::Tunnel(Tunnel::Gue { port, checksum }) => {
            format!("TUN, type = GUE, port = {port}, {}", checked(checksum))
        }
        Forwarding::Tunnel(Tunnel::Gre { checksum }) => {
            format!("TUN, type = GRE, {}", checked(checksum))
        }
    }
}

fn sorry(text: &mut String, service: &ServiceState) {
    let Some(sorry) = &service.config.sorry_server else { return };
    let port = port(service, sorry.address, sorry.forwarding);
    let address = SocketAddr::new(sorry.address.ip(), port);
    let protocol = protocol_of(&service.config.target);
    line(text, 3, "sorry server", super::event::endpoint(address, protocol));
    let options =
        matches!(sorry.forwarding, Forwarding::Tunnel(Tunnel::Gue { .. } | Tunnel::Gre { .. }));
    line(text, if options { 3 } else { 5 }, "forwarding method", method(sorry.forwarding));
    inhibit(text, 5, sorry.inhibit);
}

// ---- servers

fn server(text: &mut String, service: &ServiceState, server: &ServerState, engine: &CheckEngine) {
    let (config, extras) = (&server.config, &server.config.extras);
    heading(text, 3, "Real server");
    let (address, port) = (config.address.ip(), port(service, config.address, config.forwarding));
    let (weight, effective) = (server.weight(), server.effective_weight());
    let words =
        format_args!("{address}, RPORT = {port}, WEIGHT = {weight} EFF WEIGHT = {effective}");
    line(text, 3, "RIP", words);
    line(text, 3, "forwarding method", method(config.forwarding));
    words_line(text, 3, format_args!("Alpha is {}", on_off(config.defaults.alpha)));
    line(text, 3, "connection timeout", seconds(config.defaults.connect_timeout));
    let range = config.thresholds;
    line(text, 3, "connection limit range", format_args!("{} -> {}", range.lower, range.upper));
    line(text, 3, "Delay loop", seconds(config.defaults.delay_loop));
    retries(text, &config.defaults);
    inhibit(text, 3, config.inhibit_on_failure);
    for (name, found) in [("up", &extras.notify_up), ("down", &extras.notify_down)] {
        if let Some(found) = found {
            line(text, 5, &format!("RS {name} notify script"), script(found));
        }
    }
    let host = &config.defaults.virtualhost;
    if let Some(own) = host
        && *host != service.config.defaults.virtualhost
    {
        line(text, 4, "VirtualHost", format_args!("'{own}'"));
    }
    if let Some(name) = &extras.snmp_name {
        line(text, 3, "SNMP name", name);
    }
    line(text, 3, "Using smtp notification", yes_no(config.smtp_alert));
    line(text, 3, "initial weight", config.weight);
    line(text, 3, "effective weight", effective);
    line(text, 3, "alive", u8::from(server.up));
    line(text, 3, "num failed checkers", failed(server, engine));
    line(text, 3, "RS set", u8::from(is_set(service, server)));
    line(text, 3, "reloaded", 0);
    if !extras.file_checks.is_empty() {
        words_line(text, 3, "Tracked Files");
    }
    for check in &extras.file_checks {
        words_line(text, 5, format_args!("{}, {}", check.file, file_effect(check.effect)));
    }
    if !extras.bfd_checks.is_empty() {
        words_line(text, 3, "Tracked BFDs");
    }
    for check in &extras.bfd_checks {
        words_line(text, 5, &check.name);
    }
}

fn failed(server: &ServerState, engine: &CheckEngine) -> usize {
    let asked = server.checkers.iter().filter(|checker| !checker.memory.health.is_up()).count();
    let sessions = server.config.extras.bfd_checks.iter();
    let down = sessions.filter(|check| !checkers::session_up(engine, check)).count();
    let files = server.config.extras.file_checks.iter();
    asked + down + files.filter(|check| !engine.file_effect(check).0).count()
}

fn file_effect(effect: FileCheckEffect) -> String {
    match effect {
        FileCheckEffect::DownUnlessZero => "weight 0".to_owned(),
        FileCheckEffect::DownIfZero => "weight 0 reverse".to_owned(),
        FileCheckEffect::Times(times) => reversed(times),
    }
}

/// A negative weight is `reverse`, which the model has worked in.
fn reversed(times: i64) -> String {
    let reverse = if times < 0 { " reverse" } else { "" };
    format!("weight {}{reverse}", times.unsigned_abs())
}

// ---- what they track

fn track_files(text: &mut String, engine: &CheckEngine, files: &[TrackFile]) {
    if !files.is_empty() {
        heading(text, 0, "Checker track files");
    }
    for file in files {
        line(text, 1, "Track file", &file.name);
        line(text, 3, "File", &file.path);
        line(text, 3, "Status", engine.file(&file.name).unwrap_or(0));
        let weight = match file.effect {
            FileEffect::FaultUnlessZero => "0".to_owned(),
            FileEffect::FaultIfZero => "0 reverse".to_owned(),
            FileEffect::Times(times) => {
                reversed(times.into()).trim_start_matches("weight ").to_owned()
            }
        };
        line(text, 3, "Weight", weight);
        words_line(text, 3, "Tracking instances :");
        for service in engine.services() {
            for server in &service.servers {
                let name = service.server_name(&server.config);
                for check in &server.config.extras.file_checks {
                    if check.file == file.name {
                        let effect = file_effect(check.effect);
                        let service = service.told_as();
                        words_line(text, 5, format_args!("{service} -> {name}, {effect}"));
                    }
                }
            }
        }
    }
}

fn track_sessions(text: &mut String, engine: &CheckEngine) {
    let mut by_name = std::collections::BTreeMap::<&str, Vec<String>>::new();
    for service in engine.services() {
        for server in &service.servers {
            for name in server.sessions() {
                by_name.entry(name).or_default().push(service.server_name(&server.config));
            }
        }
    }
    if !by_name.is_empty() {
        heading(text, 0, "Checker track BFDs");
    }
    for (name, servers) in by_name {
        line(text, 1, "Checker Track BFD", name);
        words_line(text, 3, "Tracking RS :");
        for server in servers {
            words_line(text, 3, server);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::engine::Input;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;
    use crate::core::time::Timestamp;
    use crate::ipvs::model::Table;

    fn shown(text: &str) -> String {
        let config = compile(&SourceSet::from_text("test.conf", text)).config;
        let engine = CheckEngine::new(Timestamp::ZERO, &config.check, &Table::new(), 5);
        let text = data(&engine, &config);
        let place = text.find(" ------< Virtual").unwrap_or_else(|| panic!("{text}"));
        text[place..].to_owned()
    }

    /// Each line of a service and a server as keepalived 2.2.7 has it, without the numbers of accounts and
    /// `previous effective_weight`.
    #[test]
    fn a_service_and_its_server_are_shown_in_keepalived_s_words() {
        let text = "virtual_server 10.77.1.200 80 {\nprotocol TCP\ndelay_loop 1\nlvs_sched mh\nmh-port\n\
            lvs_method NAT\npersistence_timeout 60\npersistence_granularity 255.255.255.0\n\
            virtualhost example.net\nquorum 2\nhysteresis 1\nquorum_up \"/usr/bin/true up\"\n\
            ha_suspend\nalpha\nomega\nsmtp_alert\nretry 1\ndelay_before_retry 1\nsnmp_name first\n\
            connect_timeout 4\nsorry_server 10.77.1.99 80\n\
            real_server 10.77.1.22 80 {\nweight 3\nuthreshold 100\nlthreshold 50\n\
            notify_up \"/usr/bin/true rup\"\nvirtualhost rs.example.net\nsnmp_name one\n\
            lvs_method TUN type gue port 6080 csum\n}\n}";
        let expected = " ------< Virtual server >------\n VS VIP = 10.77.1.200, VPORT = 80\n   \
            VirtualHost = example.net\n   SNMP name = 'first'\n   Address family = inet\n   \
            connection timeout = 4.000000\n   delay_loop = 1.000000\n   lvs_sched = mh\n   \
            Hashed = disabled\n   mh-port = enabled\n   mh-fallback = disabled\n   \
            One packet scheduling = disabled\n   persistence timeout = 60\n   \
            persistence granularity = 255.255.255.0\n   protocol = TCP\n   alpha is ON\n   \
            omega is ON\n   Retry count = 1\n   Retry delay = 1.000000\n   \
            Inhibit on failure is OFF\n   quorum = 2, hysteresis = 1\n   \
            Quorum up notify script = '/usr/bin/true' 'up'\n   Using HA suspend\n   \
            Using smtp notification = yes\n   default forwarding method = NAT\n   \
            sorry server = [10.77.1.99]:tcp:80\n     forwarding method = NAT\n     \
            Inhibit on failure is OFF\n   alive = 1\n   quorum_state_up = 1\n   reloaded = 0\n   \
            ------< Real server >------\n   \
            RIP = 10.77.1.22, RPORT = 80, WEIGHT = 3 EFF WEIGHT = 3\n   \
            forwarding method = TUN, type = GUE, port = 6080, checksum\n   Alpha is ON\n   \
            connection timeout = 4.000000\n   connection limit range = 50 -> 100\n   \
            Delay loop = 1.000000\n   Retry count = 1\n   Retry delay = 1.000000\n   \
            Inhibit on failure is OFF\n     RS up notify script = '/usr/bin/true' 'rup'\n    \
            VirtualHost = 'rs.example.net'\n   SNMP name = one\n   \
            Using smtp notification = yes\n   initial weight = 3\n   effective weight = 3\n   \
            alive = 1\n   num failed checkers = 0\n   RS set = 1\n   reloaded = 0\n";
        assert_eq!(shown(text), expected);
    }

    #[test]
    fn a_group_tells_which_of_its_services_serve() {
        let text = "virtual_server_group g {\n10.77.1.210 80\n10.77.1.211-213 80\nfwmark 9\n}\n\
            virtual_server group g {\nprotocol UDP\nlvs_sched rr\nlvs_method TUN type gre csum\n\
            sorry_server 10.77.1.99 80\nreal_server 10.77.1.21 80 {\n}\n\
            real_server 10.77.1.22 80 {\n}\n}";
        let text = shown(text);
        let group = " ------< Virtual server group >------\n \
            Virtual Server Group = g, IPv4 = yes, IPv6 = no\n   \
            VIP = 10.77.1.210, VPORT = 80\n     Alive: 0 tcp, 2 udp, 0 sctp\n     \
            reloaded = False\n   VIP Range = 10.77.1.211-10.77.1.213, VPORT = 80\n     \
            Alive: 0 tcp, 2 udp, 0 sctp\n     reloaded = False\n   FWMARK = 9\n     \
            Alive: 2 IPv4, 0 IPv6\n     reloaded = False\n \
            ------< Virtual server >------\n VS GROUP = [g]:0\n   Address family = inet\n";
        assert!(text.starts_with(group), "{text}");
        // As keepalived, a tunnel with options has other words, and is not indented.
        let method = "   forwarding method = TUN, type = GRE, checksum\n";
        let sorry = format!("{method}   sorry server = [10.77.1.99]:udp:80\n{method}     Inhibit");
        assert!(text.contains(&sorry), "{text}");
    }

    #[test]
    fn files_and_sessions_that_servers_depend_on_are_shown_with_them() {
        let text = "track_file tf {\nfile /run/tf\nweight 2\n}\n\
            bfd_instance bf {\nneighbor_ip 10.77.1.21\n}\n\
            virtual_server 10.77.1.200 80 {\nlvs_sched rr\nlvs_method NAT\nprotocol TCP\n\
            real_server 10.77.1.21 80 {\nweight 2\nBFD_CHECK {\nname bf\n}\n\
            FILE_CHECK {\ntrack_file tf\nweight 3 reverse\n}\n}\n}";
        let config = compile(&SourceSet::from_text("test.conf", text)).config;
        let mut engine = CheckEngine::new(Timestamp::ZERO, &config.check, &Table::new(), 5);
        let number = Input::FileChanged { name: "tf".into(), value: 3 };
        engine.handle(Timestamp::ZERO, number);
        let session = Input::SessionChanged { name: "bf".into(), up: false };
        engine.handle(Timestamp::ZERO, session);
        let text = data(&engine, &config);
        let server = "WEIGHT = 0 EFF WEIGHT = -7\n";
        assert!(text.contains(server), "{text}");
        let end = "   initial weight = 2\n   effective weight = -7\n   alive = 0\n   \
            num failed checkers = 1\n   RS set = 0\n   reloaded = 0\n   Tracked Files\n     \
            tf, weight 3 reverse\n   Tracked BFDs\n     bf\n";
        assert!(text.contains(end), "{text}");
        let file = " [10.77.1.200]:tcp:80 -> [10.77.1.21]:tcp:80\n   Enabled = yes\n   Up = yes\n   \
            Has run = yes\n   Current weight = -9\n   Log all failures = no\n   \
            Keepalive method = FILE_CHECK\n     Tracked file = tf\n     Reloaded = No\n\
            ------< Checker track files >------\n Track file = tf\n   File = /run/tf\n   \
            Status = 3\n   Weight = 2\n   Tracking instances :\n     \
            [10.77.1.200]:tcp:80 -> [10.77.1.21]:tcp:80, weight 3 reverse\n\
            ------< Checker track BFDs >------\n Checker Track BFD = bf\n   Tracking RS :\n   \
            [10.77.1.21]:tcp:80\n";
        assert!(text.ends_with(file), "{text}");
    }
}
