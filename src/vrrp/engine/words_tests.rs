//! Words that an instance, its group or its interface may have.

use super::*;
use crate::core::config::model::link::InterfaceDelay;

fn delayed(down: u64, up: u64) -> VrrpConfig {
    let delay = InterfaceDelay { interface: "eth0".into(), down: ms(down), up: ms(up) };
    VrrpConfig {
        instances: vec![Arc::new(instance("V", 100))],
        interface_delays: vec![delay],
        ..VrrpConfig::default()
    }
}

#[test]
fn a_link_that_flaps_within_its_delays_moves_nobody() {
    let mut rig = Rig::with(delayed(1500, 500));
    rig.run(Interval::from_secs(10));
    rig.forget();
    for _ in 0..20 {
        rig.link(LinkState::Down);
        rig.run(ms(1499));
        rig.link(LinkState::Up);
        rig.run(ms(10));
    }
    assert_eq!((rig.state(), rig.statistics().release_master), (State::Master, 0));
    assert_eq!(rig.lines[0], "eth0 is down, which counts when it has lasted 1.5 s");
    rig.forget();
    rig.link(LinkState::Down);
    assert_eq!(rig.time_until(State::Fault), ms(1500));
    assert_eq!(rig.priorities_sent().last(), Some(&0));
    rig.link(LinkState::Up);
    assert_eq!(rig.time_until(State::Backup), ms(500));
    // Who is gone is gone at once.
    rig.link(LinkState::Absent);
    assert_eq!(rig.state(), State::Fault);
    rig.link(LinkState::Up);
    assert_eq!(rig.state(), State::Backup, "and its first time up counts at once");
}

#[test]
fn a_reload_in_the_middle_of_a_delay_keeps_or_ends_it() {
    let mut rig = Rig::with(delayed(1500, 0));
    rig.run(Interval::from_secs(10));
    rig.link(LinkState::Down);
    rig.run(ms(1000));
    let mut changed = delayed(1500, 0);
    Arc::make_mut(&mut changed.instances[0]).advert_interval = Interval::from_secs(2);
    rig.input(Input::Reconfigure(Box::new((Global::default(), changed))));
    assert_eq!(rig.time_until(State::Fault), ms(500));
    rig.link(LinkState::Up);
    rig.run(Interval::from_secs(10));
    rig.link(LinkState::Down);
    let without = VrrpConfig { interface_delays: Vec::new(), ..delayed(0, 0) };
    rig.input(Input::Reconfigure(Box::new((Global::default(), without))));
    assert_eq!(rig.time_until(State::Fault), Interval::ZERO);
}

#[test]
fn a_router_is_in_fault_while_its_source_address_is_missing() {
    let source = IpAddr::from([10, 0, 0, 10]);
    let tracked =
        |track_source| Instance { source: Some(source), track_source, ..instance("V", 100) };
    let missing = || Input::MissingSources(BTreeSet::from([(Some("eth0".into()), source)]));
    let mut rig = Rig::master(tracked(true));
    rig.input(missing());
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Fault, vec![0]));
    assert!(rig.lines.contains(&"(V) fault: the source address 10.0.0.10 is not there".to_owned()));
    rig.input(missing());
    rig.input(Input::MissingSources(BTreeSet::new()));
    assert_eq!(rig.state(), State::Backup);
    // Another one's address, and without the word.
    let other = Input::MissingSources(BTreeSet::from([(Some("eth1".into()), source)]));
    rig.input(other);
    assert_eq!(rig.state(), State::Backup);
    let mut rig = Rig::master(tracked(false));
    rig.input(missing());
    assert_eq!(rig.state(), State::Master);
}

/// A master whose clock jumps so far beyond the time of its next advert.
fn late(group: bool, late: Interval) -> Rig {
    let router = |name: &str, vrid| Instance {
        vrid: Vrid::new(vrid).unwrap(),
        preemption: Preemption::Never,
        timer_expired_backup: Some(Priority::new(200)),
        ..instance(name, 100)
    };
    let config = VrrpConfig {
        instances: vec![Arc::new(router("V", 51)), Arc::new(router("W", 52))],
        sync_groups: Vec::from_iter(group.then(|| SyncGroup {
            name: "G".into(),
            members: vec!["V".into(), "W".into()],
            ..SyncGroup::default()
        })),
        ..VrrpConfig::default()
    };
    let mut rig = Rig::with(config);
    rig.run(Interval::from_secs(10));
    assert!(rig.engine.routers().all(|router| router.state == State::Master));
    rig.forget();
    rig.now = rig.engine.timer_of("V").unwrap() + late;
    rig.engine.handle_timeout(rig.now);
    rig.pump();
    rig
}

#[test]
fn a_timer_so_late_that_a_rival_must_have_taken_over_makes_a_backup() {
    // Three adverts and the skew of priority 200, less the interval that had passed.
    let patience = Interval::from_micros(2_218_750);
    for group in [false, true] {
        let rig = late(group, patience);
        assert!(rig.engine.routers().all(|router| router.state == State::Backup));
        assert!(rig.sent.is_empty(), "a backup says nothing");
        assert!(rig.notices.iter().any(|notice| notice.state == "BACKUP"));
        let mut rig = late(group, patience - Interval::from_micros(1));
        assert!(rig.engine.routers().all(|router| router.state == State::Master), "it listens");
        let statistics = rig.statistics();
        assert_eq!(statistics.advert_late, 1);
        assert_eq!(statistics.advert_latest, patience - Interval::from_micros(1));
        rig.run(Interval::from_secs(5));
        assert_eq!(rig.statistics().advert_late, 1, "the others were in time");
    }
}
