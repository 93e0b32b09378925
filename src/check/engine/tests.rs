//! The engine with a driven clock.

mod begins;
mod lacks;
mod options;
mod pairs;

use std::collections::BTreeSet;

use super::*;
use crate::core::config::model::Family;
use crate::core::config::model::check::{
    BfdCheck, Connect, FileCheck, FileCheckEffect, Forwarding, Protocol, Scheduler, SmtpProbe,
    SorryServer, Target, Thresholds, UdpProbe,
};
use crate::core::seldom::Seldom;

pub(crate) fn tcp_checker() -> Checker {
    let connect = Connect {
        destination: ([10, 1, 0, 1], 80).into(),
        timeout: Interval::from_secs(5),
        options: Seldom::default(),
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
        smtp_alert: true,
        checkers: vec![checker.into()],
        extras: Seldom::default(),
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
    /// Servers that this host cannot ask.
    out_of_reach: BTreeSet<u8>,
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
            out_of_reach: BTreeSet::new(),
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
        let outcome = if self.out_of_reach.contains(&last) {
            Outcome::Unasked { why: "no file is left".into() }
        } else if self.dead.contains(&last) {
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
    rig.told.clear();
    rig.dead.remove(&9);
    rig.run(15);
    let mail = "Realserver [10.1.0.1]:tcp:80 of virtual server [10.0.0.1]:tcp:80 - DOWN: TCP CHECK succeed on service";
    assert_eq!(rig.told, [mail], "the other check keeps the server down (keepalived 2.2.7, asked)");
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
fn what_came_while_the_process_did_not_run_counts() {
    let mut once = service(2);
    for server in &mut once.real_servers {
        let mut changed = (**server).clone();
        let checker = (*changed.checkers[0]).clone();
        changed.checkers = vec![Checker { retry: 0, ..checker }.into()];
        *server = changed.into();
    }
    let mut rig = Rig::new(&config(vec![once]));
    rig.run(15);
    rig.silent.extend([1, 2]);
    rig.run(11);
    let asking: Vec<CheckerId> = rig.engine.services()[0]
        .servers
        .iter()
        .map(|server| &server.checkers[0])
        .filter(|checker| matches!(checker.probing, Probing::Asking { .. }))
        .map(|checker| checker.id)
        .collect();
    assert_eq!(asking.len(), 2);
    // The machine sleeps; timers come before what was received.
    rig.now += Interval::from_secs(300);
    rig.engine.handle_timeout(rig.now);
    let text = String::new();
    let outcome = Outcome::Success { text, weight: None, warning: None };
    rig.engine.handle(rig.now, Input::Finished { id: asking[0], outcome });
    rig.run(1);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
    rig.silent.remove(&1);
    rig.run(20);
    assert_eq!(rig.weights(), [(1, 1)], "the other one is still given up");
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
    gone.smtp_alert = true;
    for (server, name) in gone.real_servers.iter_mut().zip(["one", "two", "three"]) {
        server.extras.notify_down = script(name);
    }
    let mut rig = Rig::new(&config(vec![gone]));
    rig.dead.insert(2);
    rig.run(15);
    rig.scripts.clear();
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![]))));
    rig.run(60);
    assert_eq!(rig.scripts, ["one", "three", "quorum down"]);
    let mail = "Virtualserver [10.0.0.1]:tcp:80 - DOWN: Lost quorum 1+0=1 <= 0".to_owned();
    assert!(rig.told.contains(&mail), "{:?}", rig.told);
    assert_eq!(rig.engine.desired(), Table::new());
}

#[test]
fn two_services_of_one_address_serve_with_the_servers_of_both() {
    let mut second = service(2);
    second.real_servers.remove(0);
    let mut rig = Rig::new(&config(vec![service(1), second]));
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
    rig.run(15);
    rig.dead.insert(2);
    rig.run(30);
    assert_eq!(rig.engine.take_changes(), Changes::All);
    assert_eq!(rig.weights(), [(1, 1)]);
    let reload = Input::Reconfigure(Box::new(config(vec![service(1)])));
    rig.engine.handle(rig.now, reload);
    assert_eq!(rig.weights(), [(1, 1)]);
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
fn an_alpha_server_that_served_before_the_process_died_goes_on() {
    let mut service = service(2);
    service.alpha = true;
    for server in &mut service.real_servers {
        server.checkers[0].alpha = true;
    }
    let config = config(vec![service]);
    let mut rig = Rig::new(&config);
    rig.dead.insert(2);
    rig.run(11);
    let mut rig = Rig::adopting(&config, &rig.engine.desired());
    assert_eq!(rig.weights(), [(1, 1)]);
    rig.dead.extend([1, 2]);
    rig.run(11);
    assert_eq!(rig.weights(), []);
}

#[test]
fn losing_the_quorum_brings_the_sorry_server_and_the_scripts_in_order() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    let mut service = service(2);
    service.quorum = 2;
    service.quorum_up = script("up");
    service.quorum_down = script("down");
    service.real_servers[0].extras.notify_down = script("server down");
    service.real_servers[0].extras.notify_up = script("server up");
    service.sorry_server = Some(SorryServer {
        address: ([10, 1, 0, 99], 80).into(),
        forwarding: Forwarding::Masquerade,
        inhibit: false,
    });
    let mut rig = Rig::new(&config(vec![service]));
    rig.dead.insert(1);
    rig.run(11);
    assert_eq!(rig.weights(), [(99, 1)]);
    let told = |rig: &Rig, line: &str| rig.lines.contains(&format!("{line} VS [10.0.0.1]:tcp:80"));
    assert!(told(&rig, "Removing alive servers from the pool for"), "{:?}", rig.lines);
    rig.dead.clear();
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 1), (2, 1)]);
    assert!(told(&rig, "Adding alive servers to the pool for"), "{:?}", rig.lines);
    assert_eq!(rig.scripts, ["server down", "down", "server up", "up"]);
}

/// A `quorum_up` that puts an anycast address on this host must run at the start too (keepalived
/// 2.2.7, asked).
#[test]
fn a_service_that_begins_with_its_quorum_runs_its_script() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    let scripted = || {
        let mut service = service(2);
        (service.quorum_up, service.quorum_down) = (script("up"), script("down"));
        service
    };
    let mut rig = Rig::new(&config(vec![scripted()]));
    rig.engine.tell_start(false);
    rig.run(0);
    assert_eq!(
        (rig.scripts.as_slice(), rig.told.as_slice()),
        (&["up".into()][..], &["VS [10.0.0.1]:tcp:80 UP\n".into()][..])
    );
    assert!(rig.lines.contains(&"Gained quorum 1+0=1 <= 2 for VS [10.0.0.1]:tcp:80".into()));
    let mut more = scripted();
    more.target = Target::Address { address: ([10, 0, 0, 2], 80).into(), protocol: Protocol::Tcp };
    let both = config(vec![scripted(), more]);
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(both)));
    rig.run(0);
    assert_eq!(rig.scripts, ["up", "up"], "one that a reload brings too, and only that");
}

/// As keepalived 2.2.7: without quorum, a service is told of when it has somebody to apologise.
#[test]
fn a_service_that_begins_without_quorum_is_told_of_if_it_has_a_sorry_server() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    for sorry in [false, true] {
        let mut service = service(1);
        service.alpha = true;
        service.real_servers[0].checkers[0].alpha = true;
        service.quorum_down = script("down");
        service.sorry_server = sorry.then(|| SorryServer {
            address: ([10, 1, 0, 99], 80).into(),
            forwarding: Forwarding::Masquerade,
            inhibit: false,
        });
        let mut rig = Rig::new(&config(vec![service]));
        rig.engine.tell_start(false);
        rig.run(0);
        let told = if sorry { vec!["VS [10.0.0.1]:tcp:80 DOWN\n".to_owned()] } else { vec![] };
        assert_eq!((rig.scripts.len(), &rig.told), (told.len(), &told));
        let line = "Starting with quorum down 1-0=1 > 0 for VS [10.0.0.1]:tcp:80".to_owned();
        assert_eq!(rig.lines.contains(&line), sorry);
    }
}

#[test]
fn a_new_service_must_gain_its_quorum_and_one_that_served_has_it() {
    let mut service = service(2);
    (service.quorum, service.hysteresis) = (2, 1);
    let before = config(vec![service]);
    let rig = Rig::new(&before);
    assert!(!rig.engine.services()[0].quorum, "2 of 2 + 1");
    let rig = Rig::adopting(&before, &rig.engine.desired());
    assert!(rig.engine.services()[0].quorum, "what a process before this one served with");
}

#[test]
fn a_server_that_begins_as_down_is_told_of_once_when_that_is_proved() {
    let script = |name: &str| Some(Script { words: vec![name.into()], user: None }.into());
    let mut service = service(2);
    service.alpha = true;
    for (server, name) in service.real_servers.iter_mut().zip(["one", "two"]) {
        server.checkers[0].alpha = true;
        server.extras.notify_down = script(name);
    }
    let mut rig = Rig::new(&config(vec![service]));
    rig.dead.insert(2);
    rig.run(60);
    assert_eq!(rig.scripts, ["two"]);
    let down = "RS [10.1.0.2]:tcp:80 [10.0.0.1]:tcp:80 DOWN\n".to_owned();
    assert_eq!(rig.told.iter().filter(|line| **line == down).count(), 1, "{:?}", rig.told);
    assert!(!rig.lines.iter().any(|line| line.contains("Removing service")), "{:?}", rig.lines);
    rig.dead.clear();
    rig.run(15);
    rig.dead.insert(2);
    rig.run(30);
    assert_eq!(rig.scripts, ["two", "two"]);
}

#[test]
fn a_sorry_server_does_not_end_the_connections_of_the_living_that_are_inhibited() {
    let mut service = service(2);
    service.quorum = 2;
    for server in &mut service.real_servers {
        server.inhibit_on_failure = true;
    }
    service.sorry_server = Some(SorryServer {
        address: ([10, 1, 0, 99], 80).into(),
        forwarding: Forwarding::Masquerade,
        inhibit: false,
    });
    let mut rig = Rig::new(&config(vec![service]));
    rig.dead.insert(1);
    rig.run(11);
    assert_eq!(rig.weights(), [(1, 0), (2, 0), (99, 1)]);
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
fn what_there_are_tens_of_thousands_of_stays_small() {
    // Its configuration, its state, the state of its server.
    assert!(size_of::<Checker>() <= 160);
    assert!(size_of::<CheckerState>() <= 144);
    assert!(size_of::<ServerState>() <= 80);
}
