//! What is told to the outside besides states.

use super::*;

#[test]
fn unknown_routers_are_told_once_each_and_only_when_asked_for() {
    let mut rig = Rig::master(instance("V", 100));
    let mut foreign = rig.advert(100);
    foreign.vrid = 77;
    let packet = carried(&foreign);
    rig.input(Input::Packet(packet.clone()));
    assert!(rig.lines.is_empty(), "{:?}", rig.lines);
    rig.engine.global.vrrp.log_unknown_vrids = true;
    for _ in 0..3 {
        rig.input(Input::Packet(packet.clone()));
    }
    assert_eq!(rig.lines, ["advert from 10.0.0.20 on eth0 for VRID 77, which is not ours"]);
    assert_eq!(rig.engine.unknown_vrid_count(), 4);
}

#[test]
fn lower_adverts_and_priorities_are_told_without_a_script_too() {
    let mut rig = Rig::master(instance("V", 100));
    rig.receive(50);
    let told: Vec<_> = rig.notices.iter().map(|notice| (notice.state, notice.mail)).collect();
    assert_eq!(told, [("MASTER_RX_LOWER_PRI", false)]);
    let mut tracking = instance("V", 100);
    tracking.notify_priority_changes = true;
    tracking.smtp_alert = true;
    let effect = TrackEffect::Weight(-10);
    tracking.track_scripts.push(TrackedScript { name: "s".into(), effect });
    let mut rig = Rig::master(tracking);
    rig.input(Input::Script { name: "s".into(), good: false });
    let told: Vec<_> = rig.notices.iter().map(|notice| (notice.state, notice.priority)).collect();
    assert_eq!(told, [("MASTER_PRIORITY", Priority::new(90))]);
    let states = rig.engine.states();
    assert_eq!(states.len(), 1);
    assert_eq!((states[0].state, states[0].priority), ("MASTER", Priority::new(90)));
    rig.forget();
    rig.input(Input::Shutdown);
    assert!(rig.notices.iter().all(|notice| notice.state == "STOP" && notice.mail));
}
