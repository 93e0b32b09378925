//! The engine with a driven clock.

use std::collections::BTreeSet;

use super::*;
use crate::core::config::model::Family;
use crate::core::config::model::check::{
    BfdCheck, Connect, FileCheck, FileCheckEffect, Forwarding, Protocol, Scheduler, SmtpProbe,
    SorryServer, Target, Thresholds, UdpProbe,
};

pub(crate) fn tcp_checker() -> Checker {
    let connect = Connect {
        destination: ([10, 1, 0, 1], 80).into(),
        source: None,
        interface: None,
        fwmark: 0,
        timeout: Interval::from_secs(5),
    };
    Checker {
        probe: Probe::Tcp(connect),
        delay_loop: Interval::from_secs(10),
        retry: 1,
        delay_before_retry: Interval::from_secs(1),
        warmup: Interval::from_secs(10),
        alpha: false,
        log_all_failures: false,
        rise: 1,
        reentry: Interval::ZERO,
    }
}

fn server(last: u8) -> RealServer {
    let mut checker = tcp_checker();
    if let Probe::Tcp(connect) = &mut checker.probe {
        connect.destination = ([10, 1, 0, last], 80).into();
    }
    RealServer {
        address: ([10, 1, 0, last], 80).into(),
        weight: 1,
        forwarding: Forwarding::Masquerade,
        inhibit_on_failure: false,
        thresholds: Thresholds::default(),
        notify_up: None,
        notify_down: None,
        smtp_alert: true,
        snmp_name: None,
        checkers: vec![checker.into()],
        slow_start: Interval::ZERO,
        drain_time: Interval::ZERO,
        file_checks: Vec::new(),
        bfd_checks: Vec::new(),
        defaults: Shared::default(),
    }
}

pub(crate) fn service(servers: u8) -> VirtualServer {
    VirtualServer {
        target: Target::Address { address: ([10, 0, 0, 1], 80).into(), protocol: Protocol::Tcp },
        scheduler: Scheduler { name: "rr".into(), flags: 0 },
        one_packet: false,
        forwarding: Forwarding::Masquerade,
        persistence: None,
        quorum: 1,
        hysteresis: 0,
        quorum_up: None,
        quorum_down: None,
        sorry_server: None,
        alpha: false,
        omega: false,
        ha_suspend: false,
        smtp_alert: false,
        snmp_name: None,
        real_servers: (1..=servers).map(server).map(Shared::from).collect(),
        defaults: Shared::default(),
    }
}

fn config(services: Vec<VirtualServer>) -> CheckConfig {
    CheckConfig {
        virtual_servers: services.into_iter().map(Shared::from).collect(),
        ..CheckConfig::default()
    }
}

/// An engine, its clock, and servers that answer or not.
struct Rig {
    engine: CheckEngine,
    now: Timestamp,
    dead: BTreeSet<u8>,
    silent: BTreeSet<u8>,
    queued: BTreeSet<u8>,
    lines: Vec<String>,
    scripts: Vec<String>,
    /// Lines of the FIFOs, and subjects and bodies of mails.
    told: Vec<String>,
    probes: usize,
}

impl Rig {
    fn new(config: &CheckConfig) -> Self {
        Self::adopting(config, &Table::new())
    }

    fn adopting(config: &CheckConfig, table: &Table) -> Self {
        let engine = CheckEngine::new(Timestamp::ZERO, config, table, 7);
        Self {
            engine,
            now: Timestamp::ZERO,
            dead: BTreeSet::new(),
            silent: BTreeSet::new(),
            queued: BTreeSet::new(),
            lines: Vec::new(),
            scripts: Vec::new(),
            told: Vec::new(),
            probes: 0,
        }
    }

    fn run(&mut self, seconds: u64) {
        let end = self.now + Interval::from_secs(seconds);
        loop {
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::StartProbe { id, checker, .. } => {
                        self.probes += 1;
                        self.answer(id, &checker.probe);
                    }
                    Output::Log(event) => self.lines.push(event.text),
                    Output::RunScript { script, .. } => self.scripts.push(script.words[0].clone()),
                    Output::Line(line) => self.told.push(line),
                    Output::Mail(alert) => {
                        self.told.push(format!("{}: {}", alert.subject, alert.body));
                    }
                    Output::CancelProbe(_) | Output::Changed(_) => {}
                }
            }
            match self.engine.poll_timeout() {
                Some(at) if at <= end => {
                    self.now = at.max(self.now);
                    self.engine.handle_timeout(self.now);
                }
                Some(_) | None => break,
            }
        }
        self.now = end;
    }

    fn answer(&mut self, id: CheckerId, probe: &Probe) {
        let Probe::Tcp(connect) = probe else { panic!("{probe:?}") };
        let std::net::IpAddr::V4(address) = connect.destination.ip() else { panic!() };
        let last = address.octets()[3];
        if self.queued.contains(&last) {
            return;
        }
        self.engine.handle(self.now, Input::Started { id });
        if self.silent.contains(&last) {
            return;
        }
        let outcome = if self.dead.contains(&last) {
            Outcome::Failure { text: "failed".into(), cause: None }
        } else {
            Outcome::Success { text: "succeeded".into(), weight: None, warning: None }
        };
        self.engine.handle(self.now, Input::Finished { id, outcome });
    }

    fn weights(&self) -> Vec<(u8, u32)> {
        let table = self.engine.desired();
        let Some(entry) = table.values().next() else { return Vec::new() };
        entry
            .destinations
            .iter()
            .map(|(key, found)| {
                let std::net::IpAddr::V4(address) = key.address else { panic!() };
                (address.octets()[3], found.weight)
            })
            .collect()
    }
}

#[test]
fn servers_serve_from_the_start_and_a_dead_one_is_out_after_its_first_probe() {
    let mut rig = Rig::new(&config(vec![service(3)]));
    assert_eq!(rig.weights(), [(1, 1), (2, 1), (3, 1)]);
    rig.dead.insert(2);
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 1), (3, 1)]);
    assert!(
        rig.lines.contains(&"Removing service [10.1.0.2]:tcp:80 from VS [10.0.0.1]:tcp:80".into())
    );
}

#[test]
fn fifos_and_mails_are_told_of_servers_and_of_the_quorum() {
    let target = Target::Group { name: "web".into(), protocol: Protocol::Tcp };
    let group = |alert| VirtualServer { target: target.clone(), smtp_alert: alert, ..service(1) };
    let mut second = group(true);
    second.real_servers = vec![server(2).into()];
    let mut rig = Rig::new(&config(vec![group(false), second]));
    rig.engine.tell_start(true);
    rig.run(15);
    assert_eq!(
        rig.told,
        [
            "RS [10.1.0.1]:tcp:80 [web]:0 UP\n",
            "VS [web]:0 UP\n",
            "RS [10.1.0.2]:tcp:80 [web]:1 UP\n",
            "VS [web]:1 UP\n",
            "Virtualserver [web]:1 - UP: Starting with quorum up 1+0=1 <= 1",
        ]
    );
    rig.told.clear();
    rig.dead.insert(2);
    rig.run(15);
    assert_eq!(
        rig.told,
        [
            "Realserver [10.1.0.2]:tcp:80 of virtual server [web]:1 - DOWN: TCP CHECK failed on service",
            "RS [10.1.0.2]:tcp:80 [web]:1 DOWN\n",
            "VS [web]:1 DOWN\n",
            "Virtualserver [web]:1 - DOWN: Lost quorum 1+0=1 <= 0",
        ]
    );
    rig.told.clear();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![group(false)]))));
    rig.run(0);
    assert_eq!(rig.told, [] as [&str; 0], "what is down already has nothing to tell");
}

#[test]
fn a_second_checker_that_fails_is_mailed_as_one_check() {
    let mut both = service(1);
    let mut checker = tcp_checker();
    if let Probe::Tcp(connect) = &mut checker.probe {
        connect.destination = ([10, 1, 0, 9], 80).into();
    }
    both.real_servers[0].checkers.push(checker.into());
    let mut rig = Rig::new(&config(vec![both]));
    rig.run(15);
    rig.dead.extend([1, 9]);
    rig.run(15);
    let mails = rig.told.iter().filter(|told| told.starts_with("Realserver")).count();
    let lines = rig.told.iter().filter(|told| told.starts_with("RS")).count();
    assert_eq!((mails, lines), (2, 1), "{:?}", rig.told);
}

#[test]
fn a_proved_server_needs_its_retries_to_go_and_one_success_to_come_back() {
    let mut rig = Rig::new(&config(vec![service(2)]));
    rig.run(30);
    rig.dead.insert(1);
    // One interval until the next probe, one retry a second later.
    rig.run(12);
    assert_eq!(rig.weights(), [(2, 1)]);
    rig.dead.clear();
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
}

#[test]
fn a_probe_that_never_reports_counts_as_failed() {
    let mut rig = Rig::new(&config(vec![service(2)]));
    rig.run(15);
    rig.silent.insert(1);
    rig.run(60);
    assert_eq!(rig.weights(), [(2, 1)]);
    rig.silent.clear();
    rig.run(30);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
}

#[test]
fn a_probe_that_waits_for_its_turn_is_not_a_failed_one() {
    let mut rig = Rig::new(&config(vec![service(2)]));
    rig.run(15);
    rig.queued.insert(1);
    rig.run(600);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
}

#[test]
fn a_service_that_a_reload_removes_tells_its_scripts() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    let mut gone = service(3);
    gone.quorum_down = script("quorum down");
    for (server, name) in gone.real_servers.iter_mut().zip(["one", "two", "three"]) {
        server.notify_down = script(name);
    }
    let mut rig = Rig::new(&config(vec![gone]));
    rig.dead.insert(2);
    rig.run(15);
    rig.scripts.clear();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![]))));
    rig.run(60);
    assert_eq!(rig.scripts, ["one", "three", "quorum down"]);
    assert_eq!(rig.engine.desired(), Table::new());
}

#[test]
fn alpha_servers_wait_for_their_first_success() {
    let mut service = service(1);
    service.alpha = true;
    service.real_servers[0].checkers[0].alpha = true;
    let mut rig = Rig::new(&config(vec![service]));
    assert_eq!(rig.weights(), []);
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 1)]);
    assert!(
        rig.lines.iter().any(|line| line.starts_with("Gained quorum 1+0=1 <= 1")),
        "{:?}",
        rig.lines
    );
}

#[test]
fn losing_the_quorum_brings_the_sorry_server_and_the_scripts_in_order() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    let mut service = service(2);
    service.quorum = 2;
    service.quorum_up = script("up");
    service.quorum_down = script("down");
    service.real_servers[0].notify_down = script("server down");
    service.real_servers[0].notify_up = script("server up");
    service.sorry_server = Some(SorryServer {
        address: ([10, 1, 0, 99], 80).into(),
        forwarding: Forwarding::Masquerade,
        inhibit: false,
    });
    let mut rig = Rig::new(&config(vec![service]));
    rig.dead.insert(1);
    rig.run(11);
    assert_eq!(rig.weights(), [(99, 1)]);
    rig.dead.clear();
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
    assert_eq!(rig.scripts, ["server down", "down", "server up", "up"]);
}

#[test]
fn an_unchanged_reload_in_another_order_changes_nothing_and_asks_nobody() {
    let before = config(vec![service(3)]);
    let mut rig = Rig::new(&before);
    rig.dead.insert(2);
    rig.run(30);
    let (desired, probes, lines) = (rig.engine.desired(), rig.probes, rig.lines.len());
    let mut after = before.clone();
    after.virtual_servers[0].real_servers.reverse();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(after)));
    rig.run(0);
    assert_eq!(rig.engine.desired(), desired, "the dead server stays out");
    assert_eq!((rig.probes, rig.lines.len()), (probes, lines));
}

#[test]
fn a_changed_checker_neither_revives_a_dead_server_nor_takes_a_living_one_out() {
    let before = config(vec![service(2)]);
    let mut rig = Rig::new(&before);
    rig.dead.insert(2);
    rig.run(30);
    let mut after = before.clone();
    for server in &mut after.virtual_servers[0].real_servers {
        server.checkers[0].delay_loop = Interval::from_secs(7);
    }
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(after)));
    assert_eq!(rig.weights(), [(1, 1)]);
    rig.run(20);
    assert_eq!(rig.weights(), [(1, 1)]);
}

#[test]
fn reload_adds_removes_and_reweighs() {
    let before = config(vec![service(2)]);
    let mut rig = Rig::new(&before);
    rig.run(20);
    let mut after = config(vec![service(3)]);
    after.virtual_servers[0].real_servers.remove(0);
    after.virtual_servers[0].real_servers[0].weight = 9;
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(after)));
    assert_eq!(rig.weights(), [(2, 9), (3, 1)]);
}

#[test]
fn a_server_that_a_predecessor_took_out_stays_out_until_it_answers() {
    let config = config(vec![service(2)]);
    let whole = CheckEngine::new(Timestamp::ZERO, &config, &Table::new(), 7).desired();
    let mut table = whole.clone();
    for entry in table.values_mut() {
        entry.destinations.pop_last();
    }
    let mut rig = Rig::adopting(&config, &table);
    assert_eq!(rig.weights(), [(1, 1)]);
    rig.run(2);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)], "it is asked soon, not after the whole warm-up");
    assert_eq!(rig.engine.desired(), whole);
}

#[test]
fn first_probes_are_spread_over_the_warm_up() {
    let mut service = service(200);
    for server in &mut service.real_servers {
        server.checkers[0].warmup = Interval::from_secs(10);
    }
    let mut rig = Rig::new(&config(vec![service]));
    let mut counts = Vec::new();
    for _ in 0..10 {
        let before = rig.probes;
        rig.run(1);
        counts.push(rig.probes - before);
    }
    assert!(counts.iter().all(|count| (5..60).contains(count)), "{counts:?}");
}

#[test]
fn a_dynamic_weight_is_recomputed_never_added_up() {
    let mut rig = Rig::new(&config(vec![service(1)]));
    rig.run(0);
    for weight in [50, 50, 7, 0] {
        let id = 0;
        rig.engine.handle_timeout(rig.now + Interval::from_secs(3600));
        let outcome = Outcome::Success {
            text: String::new(),
            weight: Some(Wish::Weight(weight)),
            warning: None,
        };
        rig.engine.handle(rig.now, Input::Finished { id, outcome });
        assert_eq!(rig.weights(), [(1, weight)]);
    }
}

#[test]
fn a_server_that_goes_is_spoken_of_in_keepaliveds_words() {
    let mut rig = Rig::new(&config(vec![service(1)]));
    rig.run(15);
    rig.lines.clear();
    rig.dead.insert(1);
    rig.run(30);
    assert_eq!(
        rig.lines.iter().filter(|line| !line.starts_with("failed")).collect::<Vec<_>>(),
        [
            "TCP_CHECK on service [10.1.0.1]:tcp:80 failed after 1 retries.",
            "Removing service [10.1.0.1]:tcp:80 from VS [10.0.0.1]:tcp:80",
            "Lost quorum 1-0=1 > 0 for VS [10.0.0.1]:tcp:80",
        ]
    );
}

/// Lines about used-up retries of a checker of another kind.
fn last_words(probe: impl FnOnce(Connect) -> Probe) -> Vec<String> {
    let mut service = service(1);
    let Probe::Tcp(connect) = service.real_servers[0].checkers[0].probe.clone() else { panic!() };
    service.real_servers[0].checkers[0].probe = probe(connect);
    let mut engine = CheckEngine::new(Timestamp::ZERO, &config(vec![service]), &Table::new(), 7);
    let mut now = Timestamp::ZERO;
    let mut results = [true, false, false].into_iter();
    let mut lines = Vec::new();
    while let Some(at) = engine.poll_timeout() {
        now = at.max(now);
        engine.handle_timeout(now);
        while let Some(output) = engine.poll_output() {
            match output {
                Output::StartProbe { id, .. } => {
                    let Some(success) = results.next() else { return lines };
                    let text = if success { "good" } else { "bad" }.to_owned();
                    let outcome = if success {
                        Outcome::Success { text, weight: None, warning: None }
                    } else {
                        Outcome::Failure { text, cause: None }
                    };
                    engine.handle(now, Input::Finished { id, outcome });
                }
                Output::Log(event) if event.importance == Importance::Warning => {
                    lines.push(event.text);
                }
                Output::Log(_)
                | Output::CancelProbe(_)
                | Output::RunScript { .. }
                | Output::Changed(_)
                | Output::Line(_)
                | Output::Mail(_) => {}
            }
        }
    }
    lines
}

#[test]
fn each_kind_of_check_tells_used_up_retries_as_keepalived_does() {
    let smtp = |connect| Probe::Smtp(SmtpProbe { connect, helo: "x".into() }.into());
    assert_eq!(last_words(smtp)[0], "bad after 1 retries");
    let udp = |connect| Probe::Udp(UdpProbe { connect, payload: None, reply: None }.into());
    let lines = last_words(udp);
    assert_eq!(
        lines[..2],
        ["bad", "UDP_CHECK on service [10.1.0.1]:tcp:80 failed after 1 retries."]
    );
    assert_eq!(
        last_words(Probe::Ping)[1],
        "ICMP CHECK on service [10.1.0.1]:tcp:80 of [10.0.0.1]:tcp:80 failed after 1 retries."
    );
}

#[test]
fn a_service_whose_address_is_elsewhere_is_not_probed_and_keeps_its_state() {
    let suspending = |servers| VirtualServer { ha_suspend: true, ..service(servers) };
    let mut rig = Rig::new(&config(vec![suspending(2)]));
    rig.run(15);
    rig.dead.insert(2);
    rig.run(30);
    let probed = rig.probes;
    assert!(probed > 0, "until the addresses are known, all services are probed");
    assert_eq!(rig.weights(), [(1, 1)]);
    rig.lines.clear();
    let other = IpAddr::from([10, 9, 9, 9]);
    rig.engine.handle(rig.now, Input::Addresses([other].into()));
    rig.dead.clear();
    rig.dead.insert(1);
    rig.run(3600);
    assert_eq!(rig.probes, probed, "suspended");
    assert_eq!(rig.weights(), [(1, 1)], "what was known stays");
    let line = "healthchecker for service [10.1.0.1]:tcp:80 for VS [10.0.0.1]:tcp:80";
    assert_eq!(rig.lines[0], format!("Suspending {line}"));
    // A reload that brings a server does not wake anything, nor does another address.
    let changed = config(vec![suspending(3)]);
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(changed)));
    rig.engine.handle(rig.now, Input::AddressAdded([10, 0, 0, 2].into()));
    rig.run(3600);
    assert_eq!(rig.probes, probed);
    rig.lines.clear();
    rig.engine.handle(rig.now, Input::AddressAdded([10, 0, 0, 1].into()));
    rig.run(2);
    assert_eq!(rig.lines[0], format!("Activating {line}"));
    assert!(rig.probes >= probed + 3, "all of them are asked soon");
    rig.run(30);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
    let probed = rig.probes;
    rig.engine.handle(rig.now, Input::AddressRemoved([10, 0, 0, 1].into()));
    rig.run(3600);
    assert_eq!(rig.probes, probed);
    // Without the word, the address does not matter.
    let changed = config(vec![service(3)]);
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(changed)));
    rig.run(30);
    assert!(rig.probes > probed);
}

#[test]
fn a_service_of_marks_has_no_address_to_wait_for() {
    let target = Target::Fwmark { mark: 1, family: Family::Inet };
    let marked = VirtualServer { target, ha_suspend: true, ..service(1) };
    let mut rig = Rig::new(&config(vec![marked]));
    rig.engine.handle(rig.now, Input::Addresses(BTreeSet::new()));
    rig.run(30);
    assert!(rig.probes > 0);
}

#[test]
fn a_number_in_a_file_moves_a_weight_and_takes_a_server_out_and_in() {
    let mut service = service(2);
    service.real_servers[0].weight = 10;
    service.real_servers[0].file_checks =
        vec![FileCheck { file: "f".into(), effect: FileCheckEffect::Times(2) }];
    service.real_servers[1].file_checks =
        vec![FileCheck { file: "g".into(), effect: FileCheckEffect::DownIfZero }];
    let mut rig = Rig::new(&config(vec![service.clone()]));
    rig.run(15);
    assert_eq!(rig.weights(), [(1, 10), (2, 1)], "unread files say nothing");
    for (name, value, weights) in [
        ("f", 5, vec![(1, 20), (2, 1)]),
        ("f", -5, vec![(1, 0), (2, 1)]),
        ("g", 0, vec![(1, 0)]),
        ("f", -40_000, vec![]),
        ("g", 1, vec![(2, 1)]),
        ("f", 0, vec![(1, 10), (2, 1)]),
    ] {
        let name = name.to_owned();
        rig.engine.handle(rig.now, Input::FileChanged { name, value });
        assert_eq!(rig.weights(), weights);
    }
    // What is known stays known over a reload.
    rig.engine.handle(rig.now, Input::FileChanged { name: "g".into(), value: 0 });
    service.real_servers[0].weight = 3;
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![service]))));
    assert_eq!(rig.weights(), [(1, 3)]);
}

fn with_sessions(alpha: bool) -> VirtualServer {
    let mut service = service(3);
    for place in 0..2 {
        let check = BfdCheck { name: format!("B{}", place + 1), alpha };
        service.real_servers[place].bfd_checks = vec![check];
    }
    service
}

fn session(rig: &mut Rig, name: &str, up: bool) {
    rig.engine.handle(rig.now, Input::SessionChanged { name: name.into(), up });
    rig.run(0);
}

#[test]
fn a_bfd_session_takes_its_servers_out_and_in_at_once() {
    let mut rig = Rig::new(&config(vec![with_sessions(false)]));
    rig.run(15);
    assert_eq!(rig.weights(), [(1, 1), (2, 1), (3, 1)], "up until something else is told");
    session(&mut rig, "B1", false);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
    session(&mut rig, "B2", true);
    session(&mut rig, "other", false);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
    for line in [
        "BFD check of [B1] RS([10.1.0.1]:tcp:80) is DOWN",
        "Removing service [10.1.0.1]:tcp:80 from VS [10.0.0.1]:tcp:80",
    ] {
        assert!(rig.lines.contains(&line.to_owned()), "{line}");
    }
    assert!(!rig.lines.iter().any(|line| line.contains("[B2]")), "that is no news");
    let mail = "Realserver [10.1.0.1]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN: \
                BFD CHECK failed on service";
    assert!(rig.told.contains(&mail.to_owned()), "{:?}", rig.told);
    session(&mut rig, "B1", true);
    assert_eq!(rig.weights(), [(1, 1), (2, 1), (3, 1)]);
    // The other checks have their say too.
    rig.dead.insert(1);
    rig.run(15);
    session(&mut rig, "B1", true);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
}

#[test]
fn with_alpha_a_server_waits_for_its_session() {
    let mut rig = Rig::new(&config(vec![with_sessions(true)]));
    rig.run(15);
    assert_eq!(rig.weights(), [(3, 1)]);
    session(&mut rig, "B1", false);
    session(&mut rig, "B2", true);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)]);
    let line = "BFD check of [B2] RS([10.1.0.2]:tcp:80) is UP".to_owned();
    assert!(rig.lines.contains(&line), "{:?}", rig.lines);
}

#[test]
fn a_new_process_keeps_in_and_out_what_sessions_had_before_it() {
    for alpha in [false, true] {
        let before = config(vec![with_sessions(alpha)]);
        let mut rig = Rig::new(&before);
        rig.run(15);
        session(&mut rig, "B1", false);
        session(&mut rig, "B2", true);
        let table = rig.engine.desired();
        let mut rig = Rig::adopting(&before, &table);
        assert_eq!(rig.weights(), [(2, 1), (3, 1)], "nobody has said that it is back");
        rig.run(15);
        session(&mut rig, "B1", true);
        session(&mut rig, "B2", true);
        assert_eq!(rig.weights(), [(1, 1), (2, 1), (3, 1)]);
    }
}

#[test]
fn a_reload_keeps_what_is_known_of_sessions_and_presumes_nothing_of_new_ones() {
    let mut rig = Rig::new(&config(vec![with_sessions(false)]));
    rig.run(15);
    session(&mut rig, "B1", false);
    session(&mut rig, "B2", true);
    let mut changed = with_sessions(false);
    changed.real_servers[0].weight = 3;
    changed.real_servers[2].bfd_checks = vec![BfdCheck { name: "B3".into(), alpha: true }];
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![changed.clone()]))));
    rig.run(0);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)], "the third one serves, and goes on");
    session(&mut rig, "B3", false);
    assert_eq!(rig.weights(), [(2, 1)]);
    session(&mut rig, "B1", true);
    assert_eq!(rig.weights(), [(1, 3), (2, 1)]);
    for server in &mut changed.real_servers {
        server.bfd_checks.clear();
    }
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![changed]))));
    assert_eq!(rig.weights(), [(1, 3), (2, 1), (3, 1)], "nothing is followed any more");
    assert_eq!(rig.engine.session("B1"), None);
}

#[test]
fn a_server_that_flaps_stays_out_until_it_has_been_well_for_its_reentry_time() {
    let mut service = service(2);
    let checker = &mut service.real_servers[0].checkers[0];
    (checker.rise, checker.reentry) = (2, Interval::from_secs(60));
    let mut rig = Rig::new(&config(vec![service]));
    rig.run(30);
    for _ in 0..5 {
        rig.dead.insert(1);
        rig.run(25);
        assert_eq!(rig.weights(), [(2, 1)]);
        rig.dead.clear();
        rig.run(35);
        assert_eq!(rig.weights(), [(2, 1)], "well, but not for long enough");
    }
    rig.run(50);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
}

#[test]
fn a_server_that_is_back_gets_its_weight_in_steps_and_counts_whole_for_the_quorum() {
    let mut service = service(2);
    service.quorum = 30;
    for server in &mut service.real_servers {
        server.weight = 20;
        server.slow_start = Interval::from_secs(100);
    }
    let before = config(vec![service]);
    let mut rig = Rig::new(&before);
    assert_eq!(rig.weights(), [(1, 20), (2, 20)], "nobody has come back at the start");
    rig.run(30);
    rig.dead.insert(1);
    rig.run(30);
    assert_eq!(rig.weights(), [(2, 20)]);
    rig.dead.clear();
    rig.lines.clear();
    let mut seen = BTreeSet::new();
    for _ in 0..120 {
        rig.run(1);
        seen.extend(rig.weights().iter().filter(|(last, _)| *last == 1).map(|(_, weight)| *weight));
    }
    assert_eq!(seen, (1..=10).map(|step| step * 2).collect());
    let gained = rig.lines.iter().filter(|line| line.starts_with("Gained quorum")).count();
    assert_eq!(gained, 1, "{:?}", rig.lines);
}

#[test]
fn a_reload_neither_ends_nor_freezes_a_slow_start() {
    let mut service = service(1);
    service.real_servers[0].weight = 10;
    service.real_servers[0].slow_start = Interval::from_secs(100);
    let before = config(vec![service]);
    for (length, at_once) in [(100, 1), (200, 10)] {
        let mut rig = Rig::new(&before);
        rig.dead.insert(1);
        rig.run(30);
        rig.dead.clear();
        while rig.weights().is_empty() {
            rig.run(1);
        }
        let mut after = before.clone();
        after.virtual_servers[0].real_servers[0].slow_start = Interval::from_secs(length);
        after.virtual_servers[0].quorum = 2;
        rig.engine.handle(rig.now, Input::Reconfigure(Box::new(after)));
        assert_eq!(rig.weights(), [(1, at_once)]);
        // Down in the middle, and up again: from the beginning.
        rig.run(35);
        rig.dead.insert(1);
        rig.run(15);
        assert_eq!(rig.weights(), []);
        rig.dead.clear();
        while rig.weights().is_empty() {
            rig.run(1);
        }
        assert_eq!(rig.weights(), [(1, 1)]);
        rig.run(length + 1);
        assert_eq!(rig.weights(), [(1, 10)]);
    }
}

#[test]
fn a_check_that_we_made_late_makes_up_for_it_and_a_slow_server_gets_its_whole_wait() {
    let at = |millis| Timestamp::ZERO + Interval::from_millis(millis);
    let wait = Interval::from_millis(1000);
    let asking = |since| Probing::Asking { due: at(5000), since: at(since) };
    assert_eq!(asking(5000).next(at(5001), wait), at(6000));
    assert_eq!(asking(5300).next(at(5310), wait), at(6000), "late by us");
    assert_eq!(asking(5000).next(at(5600), wait), at(6600), "slow");
    assert_eq!(asking(5300).next(at(5900), wait), at(6600), "both");
    assert_eq!(asking(9000).next(at(9001), wait), at(9501), "not all at once");
    assert_eq!(Probing::Waiting { due: at(5000) }.next(at(5200), wait), at(6000));
}

#[test]
fn a_certificate_that_ends_soon_is_told_of_once_a_day_and_takes_no_server_out() {
    let mut rig = Rig::new(&config(vec![service(1)]));
    rig.run(30);
    let ends = |rig: &mut Rig, words: Option<&str>| {
        let id = rig.engine.services()[0].servers[0].checkers[0].id;
        let checker = rig.engine.checker(id).unwrap();
        checker.probing = Probing::Waiting { due: rig.now };
        let text = "succeeded".to_owned();
        let outcome = Outcome::Success { text, weight: None, warning: words.map(str::to_owned) };
        rig.lines.clear();
        rig.engine.handle(rig.now, Input::Finished { id, outcome });
        rig.run(0);
        rig.lines.iter().filter(|line| line.contains("certificate")).count()
    };
    let five = "its certificate ends in 5 days";
    assert_eq!(ends(&mut rig, Some(five)), 1);
    assert_eq!(rig.lines, ["Server [10.1.0.1]:tcp:80 of VS [10.0.0.1]:tcp:80: ".to_owned() + five]);
    assert_eq!(ends(&mut rig, Some(five)), 0, "not at each probe");
    assert!(crate::check::status::data(&rig.engine).contains(five));
    assert_eq!(ends(&mut rig, None), 0);
    assert!(!crate::check::status::data(&rig.engine).contains(five));
    assert_eq!(ends(&mut rig, Some(five)), 0, "nor when another url has a good one");
    rig.run(86_400);
    assert_eq!(ends(&mut rig, Some("its certificate ends in 4 days")), 1);
    assert_eq!(rig.weights(), [(1, 1)]);
}

#[test]
fn what_an_agent_asks_for_is_worked_out_from_its_last_answer() {
    let mut service = service(2);
    service.real_servers[0].weight = 10;
    let mut rig = Rig::new(&config(vec![service]));
    rig.run(30);
    let mut says = |weight| {
        let id = rig.engine.services()[0].servers[0].checkers[0].id;
        rig.engine.checker(id).unwrap().probing = Probing::Waiting { due: rig.now };
        let outcome = Outcome::Success { text: String::new(), weight, warning: None };
        rig.engine.handle(rig.now, Input::Finished { id, outcome });
        rig.weights()[0].1
    };
    for _ in 0..3 {
        assert_eq!(says(Some(Wish::Percent(50))), 5, "of the configured weight, each time");
    }
    assert_eq!(says(Some(Wish::Weight(30))), 30);
    assert_eq!(says(Some(Wish::Drain)), 0);
    assert_eq!(says(None), 10);
}

/// Three services of the same servers, checked alike.
fn alike() -> CheckConfig {
    let services = (1..=3).map(|last| {
        let target =
            Target::Address { address: ([10, 0, 0, last], 80).into(), protocol: Protocol::Tcp };
        VirtualServer { target, ..service(2) }
    });
    CheckConfig { shared_checks: true, ..config(services.collect()) }
}

#[test]
fn identical_checks_of_one_server_share_probes_and_results() {
    let mut rig = Rig::new(&alike());
    rig.run(100);
    let (probes, saved) = (rig.probes, rig.engine.saved_probes().unwrap());
    assert!((14..=26).contains(&probes), "two servers, not six checks: {probes}");
    assert_eq!(saved, 2 * u64::try_from(probes).unwrap(), "each counted for two others");
    let up = |rig: &Rig| -> Vec<bool> {
        let servers = rig.engine.services().iter().flat_map(|found| &found.servers);
        servers.map(|server| server.up).collect()
    };
    assert_eq!(up(&rig), [true; 6]);
    rig.dead.insert(1);
    rig.run(25);
    assert_eq!(up(&rig), [false, true, false, true, false, true]);
    rig.dead.remove(&1);
    rig.run(25);
    assert_eq!(up(&rig), [true; 6]);
    assert!(crate::check::status::data(&rig.engine).contains("probes saved"));
}

#[test]
fn a_check_that_a_reload_changes_asks_for_itself_and_one_whose_asker_is_gone_does_too() {
    let mut rig = Rig::new(&alike());
    rig.run(30);
    let mut changed = alike();
    for server in &mut changed.virtual_servers[1].real_servers {
        server.checkers[0].retry = 7;
    }
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(changed)));
    let before = rig.probes;
    rig.run(100);
    let probes = rig.probes - before;
    assert!((32..=52).contains(&probes), "two servers, each in two ways: {probes}");
    // The asker is silent and then taken away by a reload.
    rig.silent.insert(1);
    rig.run(11);
    let mut fewer = alike();
    let asker = rig
        .engine
        .services()
        .iter()
        .position(|found| found.servers[0].checkers[0].probing != Probing::No);
    fewer.virtual_servers.remove(asker.unwrap());
    rig.silent.clear();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(fewer)));
    let before = rig.probes;
    rig.run(40);
    assert!(rig.probes > before, "the others go on");
    let mut alone = alike();
    alone.shared_checks = false;
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(alone)));
    let before = rig.probes;
    rig.run(100);
    assert!(rig.probes - before >= 48, "each for itself: {}", rig.probes - before);
    assert_eq!(rig.engine.saved_probes(), None);
}

#[test]
fn what_there_are_tens_of_thousands_of_stays_small() {
    // Its configuration, its state, the state of its server.
    assert!(size_of::<Checker>() <= 160);
    assert!(size_of::<CheckerState>() <= 144);
    assert!(size_of::<ServerState>() <= 80);
}
