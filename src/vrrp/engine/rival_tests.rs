//! A second master beside a better one.

use super::*;

fn told(rig: &Rig, what: &str) -> usize {
    rig.lines.iter().filter(|line| line.contains(what)).count()
}

#[test]
fn one_advert_of_an_outgoing_master_is_no_rival() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    let wait = rig.time_until(State::Master);
    assert!(!wait.is_zero());
    rig.receive(90);
    let router = rig.engine.routers().next().unwrap();
    assert_eq!((router.statistics.rivals, router.statistics.rival_adverts), (0, 0));
}

#[test]
fn a_second_master_is_told_once_counted_and_answered_by_announcements_when_it_is_silent() {
    let mut rig = Rig::master(instance("V", 100));
    for _ in 0..4 {
        rig.receive(90);
        rig.run(Interval::from_secs(1));
    }
    assert_eq!(rig.state(), State::Master);
    assert_eq!(told(&rig, "RIVAL: 10.0.0.20 sends adverts too, with priority 90, ours 100"), 1);
    let router = rig.engine.routers().next().unwrap();
    assert_eq!((router.statistics.rivals, router.statistics.rival_adverts), (1, 4));
    assert!(router.rival.is_some());
    rig.run(Interval::from_millis(1900));
    rig.announced.clear();
    rig.run(Interval::from_millis(200));
    assert_eq!(told(&rig, "rival 10.0.0.20 is silent after 4 adverts"), 1);
    assert_eq!(rig.announced.len(), 5, "one burst, as of a new master");
    assert!(rig.engine.routers().next().unwrap().rival.is_none());
    // The next one is another.
    rig.receive(90);
    assert_eq!(rig.engine.routers().next().unwrap().statistics.rivals, 2);
}

#[test]
fn a_rival_that_wins_in_the_end_is_forgotten() {
    let mut rig = Rig::master(instance("V", 100));
    rig.receive(90);
    rig.receive(200);
    assert_eq!(rig.state(), State::Backup);
    assert!(rig.engine.routers().next().unwrap().rival.is_none());
    rig.forget();
    for _ in 0..10 {
        rig.receive(200);
        rig.run(Interval::from_secs(1));
    }
    assert_eq!((rig.announced.len(), told(&rig, "rival")), (0, 0));
}

#[test]
fn a_router_that_announces_nothing_for_lower_adverts_announces_nothing_after_a_rival() {
    let mut strict = instance("V", 100);
    strict.garp.lower_priority_repeat = 0;
    let mut rig = Rig::master(strict);
    rig.receive(90);
    rig.run(Interval::from_secs(8));
    assert_eq!((rig.announced.len(), told(&rig, "is silent after 1 adverts")), (0, 1));
}

#[test]
fn a_host_with_our_own_address_is_a_rival() {
    let mut rig = Rig::master(instance("V", 100));
    let mut packet = carried(&rig.advert(100));
    packet.source = OWN.into();
    packet.payload =
        advert::emit(&rig.advert(100), ChecksumForm::Message, OWN.into(), GROUP.into());
    rig.input(Input::Packet(packet));
    assert_eq!(rig.state(), State::Master);
    assert_eq!(rig.engine.routers().next().unwrap().statistics.rivals, 1);
}
