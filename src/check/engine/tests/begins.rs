//! What a start and a new service begin with.

use super::*;

fn script(name: &str) -> Shared<Script> {
    Script { words: vec![name.into()], user: None }.into()
}

/// Of two servers of one host only one was in the table.
#[test]
fn a_server_that_served_before_a_crash_is_known_by_its_port_too() {
    let mut service = service(2);
    service.real_servers[1] = {
        let mut other = server(1);
        other.address = ([10, 1, 0, 1], 81).into();
        other.into()
    };
    let config = config(vec![service]);
    let mut table = Rig::new(&config).engine.desired();
    let entry = table.values_mut().next().unwrap();
    assert_eq!(entry.destinations.len(), 2);
    entry.destinations.pop_last();
    let rig = Rig::adopting(&config, &table);
    let up: Vec<bool> = rig.engine.services()[0].servers.iter().map(|server| server.up).collect();
    assert_eq!(up, [true, false]);
}

#[test]
fn a_port_that_a_direct_route_does_not_carry_is_not_looked_for() {
    let mut service = service(1);
    service.target = Target::Fwmark { mark: 7, family: Family::Inet };
    service.real_servers[0].forwarding = Forwarding::DirectRouting;
    service.alpha = true;
    service.real_servers[0].checkers[0].alpha = true;
    let config = config(vec![service]);
    let mut rig = Rig::new(&config);
    rig.run(15);
    let rig = Rig::adopting(&config, &rig.engine.desired());
    assert_eq!(rig.weights(), [(1, 1)]);
}

/// The first server is the sorry server too.
fn with_twin() -> CheckConfig {
    let mut service = service(2);
    service.alpha = true;
    service.sorry_server = Some(SorryServer {
        address: service.real_servers[0].address,
        forwarding: Forwarding::Masquerade,
        inhibit: false,
    });
    for server in &mut service.real_servers {
        server.checkers[0].alpha = true;
    }
    config(vec![service])
}

#[test]
fn the_sorry_server_that_stood_in_before_a_crash_is_no_server_that_served() {
    let config = with_twin();
    let mut rig = Rig::new(&config);
    rig.dead.extend([1, 2]);
    rig.run(30);
    assert_eq!(rig.weights(), [(1, 1)], "as the sorry server");
    let next = Rig::adopting(&config, &rig.engine.desired());
    assert!(!next.engine.services()[0].servers[0].up && !next.engine.services()[0].quorum);
    assert_eq!(next.weights(), [(1, 1)]);
    rig.dead.clear();
    rig.run(30);
    let next = Rig::adopting(&config, &rig.engine.desired());
    assert!(next.engine.services()[0].servers.iter().all(|server| server.up));
    assert!(next.engine.services()[0].quorum);
}

fn with_file() -> VirtualServer {
    let mut service = service(1);
    service.real_servers[0].extras.file_checks =
        vec![FileCheck { file: "f".into(), effect: FileCheckEffect::DownUnlessZero }];
    service.real_servers[0].extras.notify_down = Some(script("server down"));
    (service.quorum_up, service.quorum_down) = (Some(script("up")), Some(script("down")));
    service
}

#[test]
fn a_server_that_its_file_keeps_out_begins_without_its_quorum() {
    for (value, told) in [(0, vec!["up"]), (1, vec![])] {
        let mut rig = Rig::new(&config(vec![with_file()]));
        rig.engine.begin_with_files([("f".to_owned(), value)]);
        rig.engine.tell_start(false);
        rig.run(20);
        assert_eq!(rig.scripts, told);
        assert_eq!(rig.weights().is_empty(), value == 1);
        // The tracker tells it once more.
        rig.engine.handle(rig.now, Input::FileChanged { name: "f".into(), value });
        rig.run(0);
        assert_eq!(rig.scripts, told);
        rig.engine.handle(rig.now, Input::FileChanged { name: "f".into(), value: 0 });
        rig.run(0);
        assert_eq!(rig.scripts.last().unwrap(), "up");
    }
}

#[test]
fn a_service_that_a_reload_brings_knows_its_file() {
    let mut rig = Rig::new(&config(vec![]));
    rig.engine.handle(rig.now, Input::FileChanged { name: "f".into(), value: 1 });
    rig.engine.handle(rig.now, Input::Reconfigure(Box::new(config(vec![with_file()]))));
    assert_eq!(rig.weights(), []);
    rig.run(20);
    assert_eq!(rig.scripts, [] as [&str; 0]);
}

/// As keepalived 2.2.7 (asked): what was presumed is told of when the session says it.
#[test]
fn a_server_that_waits_for_its_session_is_told_of_when_that_is_down() {
    let mut service = service(1);
    service.alpha = true;
    let server = &mut service.real_servers[0];
    server.checkers.clear();
    server.extras.bfd_checks = vec![BfdCheck { name: "B".into(), alpha: true }];
    server.extras.notify_down = Some(script("server down"));
    server.extras.notify_up = Some(script("server up"));
    let mut rig = Rig::new(&config(vec![service]));
    rig.engine.tell_start(false);
    rig.run(0);
    assert!(rig.scripts.is_empty() && rig.told.is_empty());
    for (up, told) in [(false, "server down"), (false, ""), (true, "server up"), (true, "")] {
        rig.scripts.clear();
        rig.engine.handle(rig.now, Input::SessionChanged { name: "B".into(), up });
        rig.run(0);
        assert_eq!(rig.scripts.concat(), told);
    }
    let down = "RS [10.1.0.1]:tcp:80 [10.0.0.1]:tcp:80 DOWN\n";
    assert_eq!(rig.told.iter().filter(|line| *line == down).count(), 1, "{:?}", rig.told);
}
