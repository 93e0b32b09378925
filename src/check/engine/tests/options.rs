//! Options that most configurations do without: suspension, files, sessions, slow starts, agents, sharing.

use super::*;
use crate::core::config::model::check::{HttpProbe, HttpVersion, Url};

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
    service.real_servers[0].extras.file_checks =
        vec![FileCheck { file: "f".into(), effect: FileCheckEffect::Times(2) }];
    service.real_servers[1].extras.file_checks =
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
        service.real_servers[place].extras.bfd_checks = vec![check];
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
    changed.real_servers[2].extras.bfd_checks = vec![BfdCheck { name: "B3".into(), alpha: true }];
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![changed.clone()]))));
    rig.run(0);
    assert_eq!(rig.weights(), [(2, 1), (3, 1)], "the third one serves, and goes on");
    session(&mut rig, "B3", false);
    assert_eq!(rig.weights(), [(2, 1)]);
    session(&mut rig, "B1", true);
    assert_eq!(rig.weights(), [(1, 3), (2, 1)]);
    for server in &mut changed.real_servers {
        server.extras.bfd_checks.clear();
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
        server.extras.slow_start = Interval::from_secs(100);
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
    service.real_servers[0].extras.slow_start = Interval::from_secs(100);
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
        after.virtual_servers[0].real_servers[0].extras.slow_start = Interval::from_secs(length);
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
        let ending = |words: &str| Ending { certificate: "a".into(), words: words.into() };
        let outcome = Outcome::Success { text, weight: None, warning: words.map(ending) };
        rig.lines.clear();
        rig.engine.handle(rig.now, Input::Finished { id, outcome });
        rig.run(0);
        rig.lines.iter().filter(|line| line.contains("certificate")).count()
    };
    let five = "its certificate ends in 5 days";
    assert_eq!(ends(&mut rig, Some(five)), 1);
    assert_eq!(rig.lines, ["Server [10.1.0.1]:tcp:80 of VS [10.0.0.1]:tcp:80: ".to_owned() + five]);
    assert_eq!(ends(&mut rig, Some(five)), 0, "not at each probe");
    assert!(
        crate::check::status::data(&rig.engine, &crate::core::config::model::Config::default())
            .contains(five)
    );
    assert_eq!(ends(&mut rig, None), 0);
    assert!(
        !crate::check::status::data(&rig.engine, &crate::core::config::model::Config::default())
            .contains(five)
    );
    assert_eq!(ends(&mut rig, Some(five)), 0, "nor when another url has a good one");
    rig.run(86_400);
    assert_eq!(ends(&mut rig, Some("its certificate ends in 4 days")), 1);
    assert_eq!(rig.weights(), [(1, 1)]);
}

#[test]
fn each_certificate_of_several_urls_is_told_of() {
    let mut both = service(1);
    let url = |path: &str| Url {
        path: path.into(),
        virtualhost: None,
        digest: None,
        status: vec![(200, 299)],
        regex: None,
        orderly_close: false,
    };
    let mut changed = (*both.real_servers[0]).clone();
    let checker = (*changed.checkers[0]).clone();
    let Probe::Tcp(connect) = checker.probe.clone() else { panic!("{checker:?}") };
    let probe = Probe::Http(HttpProbe {
        connect,
        tls: None,
        version: HttpVersion::V1_1,
        urls: vec![url("/a"), url("/b"), url("/c")].into(),
        fast_recovery: false,
    });
    changed.checkers = vec![Checker { probe, ..checker }.into()];
    both.real_servers[0] = changed.into();
    let mut rig = Rig::new(&config(vec![both]));
    let mut told = Vec::new();
    // Two urls of hosts with a certificate each, and one of a host with the first one's.
    for (probe, certificate) in (0..9).zip(["a", "b", "a"].into_iter().cycle()) {
        let id = rig.engine.services()[0].servers[0].checkers[0].id;
        let checker = rig.engine.checker(id).unwrap();
        assert_eq!(checker.memory.url, probe % 3);
        checker.probing = Probing::Waiting { due: rig.now };
        let warning =
            Ending { certificate: certificate.into(), words: format!("{certificate} ends") };
        let text = String::new();
        let outcome = Outcome::Success { text, weight: None, warning: Some(warning) };
        rig.engine.handle(rig.now, Input::Finished { id, outcome });
        while let Some(output) = rig.engine.poll_output() {
            if let Output::Log(event) = output
                && event.text.ends_with("ends")
            {
                told.push(event.text.rsplit(": ").next().unwrap().to_owned());
            }
        }
    }
    assert_eq!(told, ["a ends", "b ends"]);
    let status =
        crate::check::status::data(&rig.engine, &crate::core::config::model::Config::default());
    assert!(status.contains("HTTP_GET: a ends") && status.contains("HTTP_GET: b ends"), "{status}");
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
    assert!(
        crate::check::status::data(&rig.engine, &crate::core::config::model::Config::default())
            .contains("probes saved")
    );
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
