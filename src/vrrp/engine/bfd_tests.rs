//! Tracked BFD sessions.

use super::*;
use crate::core::config::model::track::Tracked;

fn tracked(effect: TrackEffect) -> Vec<Tracked> {
    vec![Tracked { name: "B".into(), effect }]
}

fn told(rig: &mut Rig, up: bool) {
    rig.input(Input::Bfd { name: "B".into(), up });
}

fn grouped(own: Vec<Tracked>, group: Vec<Tracked>, tracking_weight: bool) -> VrrpConfig {
    let second = Instance { vrid: Vrid::new(52).unwrap(), ..instance("W", 100) };
    VrrpConfig {
        instances: vec![
            Arc::new(instance("V", 100).with(|options| options.track_bfd = own)),
            Arc::new(second),
        ],
        sync_groups: vec![SyncGroup {
            name: "G".into(),
            members: vec!["V".into(), "W".into()],
            track_bfd: group,
            tracking_weight,
            ..SyncGroup::default()
        }],
        ..VrrpConfig::default()
    }
}

#[test]
fn a_lost_session_without_weight_is_a_fault_and_its_return_ends_it() {
    let mut rig = Rig::new(vec![
        instance("V", 100).with(|options| options.track_bfd = tracked(TrackEffect::Fault)),
    ]);
    rig.run(Interval::from_secs(2));
    assert_eq!(rig.state(), State::Init, "it is told when it has had its time to come up");
    told(&mut rig, true);
    assert_eq!(rig.state(), State::Backup);
    rig.run(Interval::from_secs(10));
    assert_eq!(rig.state(), State::Master);
    rig.forget();
    told(&mut rig, false);
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Fault, vec![0]));
    assert!(rig.lines.contains(&"(V) fault: BFD session B".to_owned()), "{:?}", rig.lines);
    told(&mut rig, true);
    assert_eq!(rig.state(), State::Backup);
}

#[test]
fn a_session_that_is_down_at_the_start_is_a_fault_unless_reversed() {
    for (effect, state) in
        [(TrackEffect::Fault, State::Fault), (TrackEffect::FaultWhenGood, State::Backup)]
    {
        let track_bfd = tracked(effect);
        let mut rig =
            Rig::new(vec![instance("V", 100).with(|options| options.track_bfd = track_bfd)]);
        told(&mut rig, false);
        assert_eq!(rig.state(), state, "{effect:?}");
    }
}

#[test]
fn a_weighted_session_moves_the_priority() {
    for (weight, up, down) in [(50, 150, 100), (-60, 100, 40)] {
        let track_bfd = tracked(TrackEffect::Weight(weight));
        let mut rig =
            Rig::new(vec![instance("V", 100).with(|options| options.track_bfd = track_bfd)]);
        told(&mut rig, true);
        rig.run(Interval::from_secs(10));
        assert_eq!(rig.priorities_sent().last(), Some(&up));
        told(&mut rig, false);
        rig.run(Interval::from_secs(2));
        assert_eq!((rig.state(), rig.priorities_sent().last()), (State::Master, Some(&down)));
    }
}

#[test]
fn a_session_of_a_group_faults_every_member() {
    for config in [
        grouped(Vec::new(), tracked(TrackEffect::Fault), false),
        grouped(tracked(TrackEffect::Fault), Vec::new(), false),
    ] {
        let mut rig = Rig::with(config);
        told(&mut rig, true);
        rig.run(Interval::from_secs(10));
        assert!(rig.engine.routers().all(|router| router.state == State::Master));
        told(&mut rig, false);
        assert!(rig.engine.routers().all(|router| router.state == State::Fault));
        told(&mut rig, true);
        assert!(rig.engine.routers().all(|router| router.state == State::Backup));
    }
}

#[test]
fn a_member_has_weights_of_its_own_only_where_the_group_says_so() {
    let priority = |config| {
        let mut rig = Rig::with(config);
        told(&mut rig, false);
        let priorities: Vec<_> = rig.engine.routers().map(|router| router.priority.get()).collect();
        priorities
    };
    let weight = || tracked(TrackEffect::Weight(-10));
    assert_eq!(priority(grouped(weight(), Vec::new(), false)), [100, 100]);
    assert_eq!(priority(grouped(weight(), Vec::new(), true)), [90, 100]);
    assert_eq!(priority(grouped(Vec::new(), weight(), false)), [90, 90]);
}

#[test]
fn a_process_after_a_dead_master_goes_on_until_it_is_told_otherwise() {
    let track_bfd = tracked(TrackEffect::Fault);
    let config = VrrpConfig {
        instances: vec![Arc::new(instance("V", 100).with(|options| options.track_bfd = track_bfd))],
        ..VrrpConfig::default()
    };
    let mut rig = Rig::after(&["V"], config);
    assert_eq!(rig.state(), State::Master);
    told(&mut rig, false);
    assert_eq!(rig.state(), State::Fault);
}

#[test]
fn a_reload_that_adds_a_session_interrupts_nobody() {
    let mut rig = Rig::master(instance("V", 100));
    let track_bfd = tracked(TrackEffect::Fault);
    let with = VrrpConfig {
        instances: vec![Arc::new(instance("V", 100).with(|options| options.track_bfd = track_bfd))],
        ..VrrpConfig::default()
    };
    rig.input(Input::Reconfigure(Box::new((Global::default(), with.clone()))));
    rig.input(Input::Start);
    rig.run(Interval::from_secs(5));
    assert_eq!(rig.state(), State::Master);
    told(&mut rig, false);
    assert_eq!(rig.state(), State::Fault);
    let without =
        VrrpConfig { instances: vec![Arc::new(instance("V", 100))], ..VrrpConfig::default() };
    rig.input(Input::Reconfigure(Box::new((Global::default(), without))));
    rig.input(Input::Start);
    assert_eq!(rig.state(), State::Backup, "nothing is tracked any more");
    rig.input(Input::Reconfigure(Box::new((Global::default(), with))));
    rig.input(Input::Start);
    rig.run(Interval::from_secs(10));
    assert_eq!(rig.state(), State::Master, "what was known long ago does not count");
}
