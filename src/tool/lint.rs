//! What is allowed, but probably not meant. Each rule has a code that stays the same.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::check::event::ServiceName;
use crate::core::config::model::Config;
use crate::core::config::model::check::VirtualServer;
use crate::core::config::model::vrrp::{InitialState, Instance, SyncGroup, TrackEffect, Transport};
use crate::core::config::tree::{Statement, Tree};
use crate::core::diagnostics::{Diagnostic, Severity, Span};
use crate::core::time::Interval;

/// Bytes of `auth_pass` that count.
const PASSWORD: usize = 8;

/// Everything that may be said about a configuration and its tree.
pub fn lint(config: &Config, tree: &Tree) -> Vec<Diagnostic> {
    let mut lint = Lint { places: places(tree), found: Vec::new() };
    for instance in &config.vrrp.instances {
        lint.instance(instance, config);
    }
    lint.unused(config);
    for service in &config.check.virtual_servers {
        lint.service(service);
    }
    lint.passwords(&tree.statements);
    lint.found
}

/// Root blocks by keyword and name.
type Places = BTreeMap<(String, String), Span>;

fn places(tree: &Tree) -> Places {
    tree.statements
        .iter()
        .map(|statement| {
            let name: Vec<&str> = statement.arguments().iter().map(|token| &*token.text).collect();
            ((statement.keyword().to_owned(), name.join(" ")), statement.span)
        })
        .collect()
}

struct Lint {
    places: Places,
    found: Vec<Diagnostic>,
}

impl Lint {
    fn tell(&mut self, code: &'static str, keyword: &str, name: &str, message: String, help: &str) {
        let place = self.places.get(&(keyword.to_owned(), name.to_owned())).copied();
        self.found.push(Diagnostic {
            code,
            severity: Severity::Warning,
            span: place,
            message,
            help: Some(help.to_owned()),
            related: Vec::new(),
        });
    }

    fn instance(&mut self, instance: &Instance, config: &Config) {
        let name = &instance.name;
        let mut tell = |code, message, help: &str| {
            self.tell(code, "vrrp_instance", name, message, help);
        };
        if instance.initial_state == InitialState::Master
            && !instance.priority.is_owner()
            && instance.priority.get() <= 100
        {
            tell(
                "master-low-priority",
                format!(
                    "({name}) state MASTER decides nothing; its priority {} does",
                    instance.priority
                ),
                "give the router that should be master the highest priority",
            );
        }
        if let Transport::Unicast { peers, .. } = &instance.transport {
            if instance.source.is_none() {
                tell(
                    "unicast-source",
                    format!("({name}) unicast without unicast_src_ip: the address may change"),
                    "write the address that the peers have in their unicast_peer",
                );
            }
            if peers.is_empty() {
                tell(
                    "unicast-alone",
                    format!("({name}) has no peer: it will always be master"),
                    "list the other routers in unicast_peer",
                );
            }
        }
        let group = config.vrrp.sync_groups.iter().find(|group| group.members.contains(name));
        if let Some(text) = weights(instance, group) {
            tell(
                "weights-out-of-range",
                format!("({name}) {text}"),
                "priorities are kept within 1..254: choose weights that stay inside",
            );
        }
        if instance.advert_interval >= Interval::from_secs(10) {
            tell(
                "slow-adverts",
                format!(
                    "({name}) a backup notices after {} s that its master is gone",
                    instance.advert_interval * u64::from(instance.down_timer_adverts)
                ),
                "advert_int 1 is usual",
            );
        }
    }

    fn unused(&mut self, config: &Config) {
        let vrrp = &config.vrrp;
        let instances = || vrrp.instances.iter();
        let groups = || vrrp.sync_groups.iter();
        let scripts: BTreeSet<&str> = instances()
            .flat_map(|found| &found.track_scripts)
            .chain(groups().flat_map(|group| &group.track_scripts))
            .map(|tracked| tracked.name.as_str())
            .collect();
        for script in vrrp.scripts.iter().filter(|found| !scripts.contains(found.name.as_str())) {
            self.unused_one("vrrp_script", &script.name);
        }
        let processes: BTreeSet<&str> = instances()
            .flat_map(|found| &found.track_processes)
            .chain(groups().flat_map(|group| &group.track_processes))
            .map(|tracked| tracked.name.as_str())
            .collect();
        for process in vrrp.processes.iter().filter(|p| !processes.contains(p.name.as_str())) {
            self.unused_one("vrrp_track_process", &process.name);
        }
        let servers = config.check.virtual_servers.iter().flat_map(|found| &found.real_servers);
        let sessions: BTreeSet<&str> = instances()
            .flat_map(|found| &found.track_bfd)
            .chain(groups().flat_map(|group| &group.track_bfd))
            .map(|tracked| tracked.name.as_str())
            .chain(
                servers
                    .flat_map(|server| &server.extras.bfd_checks)
                    .map(|check| check.name.as_str()),
            )
            .collect();
        for session in config.bfd.iter().filter(|found| !sessions.contains(found.name.as_str())) {
            self.unused_one("bfd_instance", &session.name);
        }
        for script in &vrrp.scripts {
            if !script.timeout.is_zero() && script.timeout > script.interval {
                let name = &script.name;
                self.tell(
                    "script-timeout",
                    "vrrp_script",
                    name,
                    format!(
                        "{name} may run for {} s but is due every {} s",
                        script.timeout, script.interval
                    ),
                    "make the timeout shorter than the interval",
                );
            }
        }
        let used: BTreeSet<String> = config
            .check
            .virtual_servers
            .iter()
            .map(|service| ServiceName::of(&service.target).0)
            .collect();
        for group in &config.check.groups {
            let named = format!("[{}]:", group.name);
            if !used.iter().any(|name| name.starts_with(&named)) {
                self.unused_one("virtual_server_group", &group.name);
            }
        }
    }

    fn unused_one(&mut self, keyword: &str, name: &str) {
        let message = format!("{keyword} {name} is used nowhere");
        self.tell("unused", keyword, name, message, "remove it, or track it");
    }

    fn service(&mut self, service: &VirtualServer) {
        let name = ServiceName::of(&service.target);
        // The line of the block has the words as they were written.
        let written = self
            .places
            .keys()
            .filter(|(keyword, _)| keyword == "virtual_server")
            .find(|(_, words)| same_service(words, &name.0))
            .map(|(_, words)| words.clone())
            .unwrap_or_default();
        let mut tell = |code, message: String, help: &str| {
            self.tell(code, "virtual_server", &written, message, help);
        };
        if let Some(sorry) = &service.sorry_server {
            let all_stay = service.real_servers.iter().all(|server| server.inhibit_on_failure);
            if all_stay && !service.real_servers.is_empty() && service.persistence.is_some() {
                tell(
                    "sorry-inhibit",
                    format!(
                        "{name}: with inhibit_on_failure and persistence, clients stay with a dead server instead of going to {}",
                        sorry.address
                    ),
                    "set expire_nodest_conn, or leave inhibit_on_failure out",
                );
            }
        }
        for server in &service.real_servers {
            let checked_otherwise =
                !(server.extras.file_checks.is_empty() && server.extras.bfd_checks.is_empty());
            if server.checkers.is_empty() && !checked_otherwise {
                tell(
                    "never-checked",
                    format!("{name}: nobody looks after {}, it is never taken out", server.address),
                    "add a check, TCP_CHECK for instance",
                );
            }
            for checker in &server.checkers {
                let timeout = checker.probe.connect_timeout();
                if timeout > checker.delay_loop {
                    tell(
                        "check-timeout",
                        format!(
                            "{name}: a check of {} may take {timeout} s but is due every {} s",
                            server.address, checker.delay_loop
                        ),
                        "make the timeout shorter than delay_loop",
                    );
                }
            }
        }
    }

    fn passwords(&mut self, statements: &[Statement]) {
        let deep = statements
            .iter()
            .filter(|statement| statement.keyword() == "vrrp_instance")
            .flat_map(Statement::children)
            .filter(|statement| statement.keyword() == "authentication")
            .flat_map(Statement::children)
            .filter(|statement| statement.keyword() == "auth_pass");
        for statement in deep {
            let Some(password) = statement.arguments().first() else { continue };
            if password.text.len() > PASSWORD {
                let message = format!("only the first {PASSWORD} bytes of auth_pass count");
                let found =
                    Diagnostic::new(Severity::Warning, "long-password", password.span, message)
                        .with_help("a longer password is not a safer one here");
                self.found.push(found);
            }
        }
    }
}

/// Whether the words of a `virtual_server` line mean the service of this name.
fn same_service(words: &str, name: &str) -> bool {
    let words: Vec<&str> = words.split(' ').collect();
    match words.as_slice() {
        ["fwmark", mark, ..] => name == format!("FWM {mark}"),
        ["group", group, ..] => name.starts_with(&format!("[{group}]:")),
        [address, port] => {
            name.starts_with(&bracketed(address)) && name.ends_with(&format!(":{port}"))
        }
        [address] => name.starts_with(&bracketed(address)),
        _ => false,
    }
}

/// The beginning of a service's name, however its address was written.
fn bracketed(written: &str) -> String {
    written
        .parse::<IpAddr>()
        .map_or_else(|_| format!("[{written}]:"), |address| format!("[{address}]:"))
}

/// What is wrong with the weights of an instance, at their best and at their worst.
fn weights(instance: &Instance, group: Option<&SyncGroup>) -> Option<String> {
    if instance.priority.is_owner() {
        return None;
    }
    let own = group.is_none_or(|group| group.tracking_weight);
    let scripts = instance.track_scripts.iter().filter(|_| own).map(|tracked| tracked.effect);
    let links = instance.track_interfaces.iter().filter(|_| own).map(|tracked| tracked.effect);
    let processes = instance.track_processes.iter().filter(|_| own).map(|tracked| tracked.effect);
    let (mut best, mut worst) = (0i32, 0i32);
    let sessions = instance.track_bfd.iter().filter(|_| own).map(|tracked| tracked.effect);
    for effect in scripts.chain(links).chain(processes).chain(sessions) {
        match effect {
            TrackEffect::Weight(weight) if weight > 0 => best += i32::from(weight),
            TrackEffect::Weight(weight) => worst += i32::from(weight),
            TrackEffect::Fault | TrackEffect::FaultWhenGood => {}
        }
    }
    let base = i32::from(instance.priority.get());
    if base + best > 254 {
        Some(format!("its priority would be {} when all is well", base + best))
    } else if base + worst < 1 {
        Some(format!("its priority would be {} when all has failed", base + worst))
    } else {
        None
    }
}

/// Rules that exist, for the manual page.
pub const RULES: &[(&str, &str)] = &[
    ("master-low-priority", "state MASTER on a router of low priority"),
    ("unicast-source", "unicast without a source address"),
    ("unicast-alone", "unicast without peers"),
    ("weights-out-of-range", "weights that bring the priority out of 1..254"),
    ("slow-adverts", "an advert interval of ten seconds and more"),
    ("unused", "scripts, processes, BFD sessions and groups that nothing uses"),
    ("script-timeout", "a script that may run longer than its interval"),
    ("sorry-inhibit", "a sorry server that persistent clients do not reach"),
    ("never-checked", "a server without any check"),
    ("check-timeout", "a check that may take longer than its interval"),
    ("long-password", "an auth_pass of more than eight bytes"),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::parse;
    use crate::core::config::source::SourceSet;

    fn codes(text: &str) -> BTreeSet<&'static str> {
        let sources = SourceSet::from_text("a.conf", text.as_bytes());
        let found = lint(&compile(&sources).config, &parse(&sources).tree);
        for one in &found {
            assert!(RULES.iter().any(|(code, _)| *code == one.code), "{}", one.code);
            assert!(one.span.is_some(), "{one:?} has no place");
        }
        found.iter().map(|one| one.code).collect()
    }

    fn instance(body: &str) -> String {
        format!(
            "vrrp_instance V {{\ninterface eth0\nvirtual_router_id 51\npriority 150\n{body}\n\
             virtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        )
    }

    fn service(body: &str, server: &str) -> String {
        format!(
            "virtual_server 10.0.0.1 80 {{\nlb_algo rr\nlb_kind NAT\ndelay_loop 6\n{body}\n\
             real_server 10.0.1.1 80 {{\n{server}\n}}\n}}\n"
        )
    }

    #[test]
    fn what_is_as_it_should_be_is_not_spoken_of() {
        let good = instance(
            "state BACKUP\nnopreempt\nunicast_src_ip 10.0.0.8\nunicast_peer {\n10.0.0.9\n}\n\
             authentication {\nauth_type PASS\nauth_pass 12345678\n}\n\
             track_script {\nS weight -20\n}",
        );
        let script = "vrrp_script S {\nscript /bin/true\ninterval 2\ntimeout 1\n}\n";
        assert_eq!(codes(&format!("{script}{good}")), BTreeSet::new());
        assert_eq!(
            codes(&service("quorum 1", "TCP_CHECK {\nconnect_timeout 3\n}")),
            BTreeSet::new()
        );
        let session = "bfd_instance B {\nneighbor_ip 10.0.1.1\n}\n";
        let text = format!("{session}{}", service("", "BFD_CHECK {\nname B\n}"));
        assert_eq!(codes(&text), BTreeSet::new());
        let file = "track_file F {\nfile /tmp/f\n}\n";
        let text = format!("{file}{}", service("", "FILE_CHECK {\ntrack_file F\n}"));
        assert_eq!(codes(&text), BTreeSet::new());
    }

    #[test]
    fn each_rule_finds_what_it_is_for() {
        let cases = [
            ("master-low-priority", instance("state MASTER").replace("150", "90")),
            ("unicast-source", instance("unicast_peer {\n10.0.0.9\n}")),
            (
                "weights-out-of-range",
                format!(
                    "vrrp_script S {{\nscript /bin/true\n}}\n{}",
                    instance("track_script {\nS weight -200\n}")
                ),
            ),
            ("slow-adverts", instance("advert_int 20")),
            ("unused", "vrrp_script S {\nscript /bin/true\n}\n".to_owned()),
            (
                "script-timeout",
                "vrrp_script S {\nscript /bin/true\ninterval 1\ntimeout 5\n}\n".to_owned(),
            ),
            ("never-checked", service("", "weight 1")),
            (
                "never-checked",
                service("", "weight 1")
                    .replace("10.0.0.1", "2001:DB8:0::1")
                    .replace("10.0.1.1", "2001:db8::2"),
            ),
            ("check-timeout", service("", "TCP_CHECK {\nconnect_timeout 30\n}")),
            ("long-password", instance("authentication {\nauth_type PASS\nauth_pass 123456789\n}")),
            (
                "sorry-inhibit",
                service(
                    "persistence_timeout 50\nsorry_server 10.0.9.9 80",
                    "inhibit_on_failure\nTCP_CHECK {\n}",
                ),
            ),
        ];
        let missed: Vec<&str> = cases
            .iter()
            .filter(|(code, text)| !codes(text).contains(code))
            .map(|(code, _)| *code)
            .collect();
        assert!(missed.is_empty(), "{missed:?}");
        let shown: BTreeSet<&str> = cases.iter().map(|(code, _)| *code).collect();
        let all: BTreeSet<&str> = RULES.iter().map(|(code, _)| *code).collect();
        // A unicast block without peers is refused before the linter sees it.
        assert_eq!(all.difference(&shown).copied().collect::<Vec<_>>(), ["unicast-alone"]);
    }
}
