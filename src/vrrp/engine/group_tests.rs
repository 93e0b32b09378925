//! Sync groups: when all of them move.

use super::*;

#[test]
fn v_222_a_sync_group_moves_as_one() {
    let mut rig = Rig::with(group());
    let eth1 = |state| Input::Link { interface: "eth1".into(), state, own: own([10, 1, 0, 10]) };
    let states =
        |rig: &Rig| -> Vec<State> { rig.engine.routers().map(|router| router.state).collect() };
    assert_eq!(states(&rig), [State::Fault, State::Fault], "eth1 is not there");
    rig.input(eth1(LinkState::Up));
    assert_eq!(states(&rig), [State::Backup, State::Backup]);
    rig.run(Interval::from_secs(4));
    assert_eq!(states(&rig), [State::Master, State::Master]);
    rig.receive(200);
    assert_eq!(states(&rig), [State::Backup, State::Backup]);
    rig.run(Interval::from_secs(4));
    rig.input(eth1(LinkState::Down));
    assert_eq!(states(&rig), [State::Fault, State::Fault]);
    rig.input(eth1(LinkState::Up));
    rig.run(Interval::from_secs(4));
    assert_eq!(states(&rig), [State::Master, State::Master]);
    let told: Vec<_> = rig
        .notices
        .iter()
        .filter(|notice| notice.subject == Subject::Group)
        .map(|notice| notice.state)
        .collect();
    assert_eq!(
        told,
        ["FAULT", "BACKUP", "MASTER", "BACKUP", "MASTER", "FAULT", "BACKUP", "MASTER"]
    );
    assert!(rig.lines.contains(&"VRRP_Group(G) Syncing instances to MASTER state".into()));
}

/// Two routers in a group, of which the first has just heard a better master.
fn group_of_which_one_hears_a_master() -> Rig {
    that_hears(group())
}

fn that_hears(config: VrrpConfig) -> Rig {
    let mut rig = Rig::with(config);
    let eth1 =
        Input::Link { interface: "eth1".into(), state: LinkState::Up, own: own([10, 1, 0, 10]) };
    rig.input(eth1);
    rig.receive(200);
    rig
}

#[test]
fn a_member_that_hears_its_master_keeps_its_group_back() {
    // The other one asks every 3.6 seconds: at any moment of the silence that follows, by turns.
    for seconds in 18..25 {
        let mut rig = group_of_which_one_hears_a_master();
        for _ in 0..seconds {
            rig.run(Interval::from_secs(1));
            rig.receive(200);
        }
        // keepalived waits too: else all would be masters until the next advert, every few seconds.
        assert!(rig.engine.routers().all(|router| router.state == State::Backup));
        assert!(rig.sent.is_empty() && rig.announced.is_empty());
        // Its master is gone as well: the other one has waited for long enough.
        let silence = rig.time_until(State::Master);
        assert_eq!(silence.as_micros(), 3_609_375, "after {seconds} s");
        assert!(rig.engine.routers().all(|router| router.state == State::Master));
    }
}

#[test]
fn a_group_whose_master_dies_waits_for_its_first_member_only() {
    // The other one heard its last advert so long before, and has missed two since; by a master whose
    // clock is slow, or that dies between the adverts of the two, more than an interval before.
    for before in [900, 1_010] {
        let mut rig = group_of_which_one_hears_a_master();
        rig.run(ms(before));
        rig.receive(200);
        let rest = 3_609_375 - before * 1_000;
        assert_eq!(rig.time_until(State::Master).as_micros(), rest);
    }
    // Where one or two adverts are all that is waited for, nobody is ahead of the last one.
    let mut config = group();
    for instance in &mut config.instances {
        Arc::make_mut(instance).down_timer_adverts = 2;
    }
    let mut rig = that_hears(config);
    rig.run(ms(900));
    rig.receive(200);
    assert_eq!(rig.time_until(State::Master).as_micros(), 2_609_375);
}

/// What the first one hears, as the second one hears it from its own master.
fn on_the_other_link(rig: &Rig, priority: u8) -> Input {
    let second = rig.engine.routers().last().unwrap().instance.clone();
    let mut advert = rig.advert(priority);
    advert.vrid = 52;
    advert.addresses = second.addresses.iter().map(|found| found.address).collect();
    Input::Packet(ReceivedPacket { interface: Some("eth1".into()), ..carried(&advert) })
}

fn both_hear(rig: &mut Rig, priority: u8) {
    rig.receive(priority);
    rig.input(on_the_other_link(rig, priority));
}

fn are(rig: &Rig, state: State) -> bool {
    rig.engine.routers().all(|router| router.state == state)
}

#[test]
fn a_master_that_stops_is_followed_after_the_skew() {
    let mut rig = group_of_which_one_hears_a_master();
    both_hear(&mut rig, 200);
    rig.run(ms(500));
    both_hear(&mut rig, 0);
    assert_eq!(rig.time_until(State::Master).as_micros(), 609_375);
    assert!(are(&rig, State::Master));
}

#[test]
fn a_master_that_resigns_on_one_link_and_is_silent_on_the_other_is_followed_on_all() {
    // One advert of the other link does not come: 1 + 1/16 s and the skew.
    let mut rig = group_of_which_one_hears_a_master();
    both_hear(&mut rig, 200);
    rig.run(ms(500));
    rig.receive(0);
    assert_eq!(rig.time_until(State::Master).as_micros(), 1_062_500 + 609_375 - 500_000);
    assert!(are(&rig, State::Master));
    let timeouts = rig.lines.iter().filter(|line| line.contains("Receive advertisement timeout"));
    assert_eq!(timeouts.count(), 1);
}

#[test]
fn a_master_that_resigns_on_one_link_and_goes_on_on_the_other_stays() {
    // A reload there has taken one member out.
    let mut rig = group_of_which_one_hears_a_master();
    both_hear(&mut rig, 200);
    rig.run(ms(500));
    rig.receive(0);
    rig.run(ms(500));
    for _ in 0..20 {
        rig.input(on_the_other_link(&rig, 200));
        // One lost advert is not enough any more.
        rig.run(Interval::from_secs(2));
        assert!(are(&rig, State::Backup) && rig.sent.is_empty());
    }
    rig.input(on_the_other_link(&rig, 0));
    assert_eq!(rig.time_until(State::Master).as_micros(), 609_375);
    assert!(are(&rig, State::Master));
}
