//! Faults that users of keepalived met in VRRP, as tests of ours; `tests/known_faults.rs` says which.

use super::*;
use crate::core::config::model::track::{FileEffect, TrackedFile};
use proptest::prelude::*;

fn of(instances: Vec<Instance>) -> VrrpConfig {
    let instances = instances.into_iter().map(Arc::new).collect();
    VrrpConfig { instances, ..VrrpConfig::default() }
}

fn second() -> Instance {
    Instance { vrid: Vrid::new(52).unwrap(), ..instance("W", 100) }
}

#[test]
fn a_reload_at_any_moment_of_the_startup_delay_neither_shortens_it_nor_leaves_anyone_behind() {
    let delayed = |seconds| {
        let mut global = Global::default();
        global.vrrp.startup_delay = Interval::from_secs(seconds);
        global
    };
    let changes: [fn() -> Vec<Instance>; 4] = [
        || vec![instance("V", 100)],
        || vec![instance("V", 100), second()],
        || vec![second()],
        || vec![Instance { advert_interval: Interval::from_secs(2), ..instance("V", 100) }],
    ];
    for millis in (0..20_000).step_by(500) {
        for (which, change) in changes.iter().enumerate() {
            for after in [20, 0, 60] {
                let mut rig = Rig::new(Vec::new());
                let config = of(vec![instance("V", 100)]);
                rig.engine = VrrpEngine::new(rig.now, delayed(20), config);
                rig.link(LinkState::Up);
                rig.input(Input::Start);
                rig.run(ms(millis));
                let reload = Box::new((delayed(after), of(change())));
                rig.input(Input::Reconfigure(reload));
                rig.input(Input::Start);
                rig.run(ms(20_000 - millis) - ms(1));
                assert!(rig.sent.is_empty() && rig.announced.is_empty(), "{which} at {millis} ms");
                assert!(rig.engine.routers().all(|router| router.state != State::Master));
                rig.run(Interval::from_secs(10));
                let masters = rig.engine.routers().filter(|found| found.state == State::Master);
                assert_eq!(masters.count(), change().len(), "{which} at {millis} ms");
            }
        }
    }
}

#[test]
fn losing_another_prefix_of_the_same_address_is_not_losing_it() {
    let mut rig = Rig::master(instance("V", 100));
    let ours = rig.engine.desired().into_iter().next().unwrap();
    let mut other = ours.clone();
    Arc::make_mut(&mut other.address).prefix = 24;
    rig.input(Input::AddressesLost(vec![other]));
    assert!(!rig.lines.iter().any(|line| line.contains("removed")), "{:?}", rig.lines);
    assert_eq!(rig.state(), State::Master);
    rig.input(Input::AddressesLost(vec![ours]));
    assert!(rig.lines.iter().any(|line| line.contains("removed by someone else")));
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Master, vec![]));
}

#[test]
fn whoever_skips_the_list_of_addresses_looks_at_the_rest_all_the_same() {
    let mut rig = Rig::new(vec![Instance { skip_check_adv_addr: true, ..instance("V", 100) }]);
    rig.receive(150);
    let good = carried(&rig.advert(200));
    for bad in [
        ReceivedPacket { ttl: 1, ..good.clone() },
        ReceivedPacket { destination: OWN.into(), ..good.clone() },
    ] {
        rig.input(Input::Packet(bad));
    }
    assert_eq!(rig.statistics().advert_rcvd, 1);
    let peer = UnicastPeer { address: [10, 0, 0, 30].into(), min_ttl: None, max_ttl: None };
    let mut rig = Rig::new(vec![Instance {
        skip_check_adv_addr: true,
        transport: Transport::Unicast { peers: vec![peer], ttl: 255, check_source: true },
        ..instance("V", 100)
    }]);
    rig.input(Input::Packet(ReceivedPacket { destination: OWN.into(), ..good }));
    assert_eq!((rig.statistics().advert_rcvd, rig.statistics().source_err), (0, 1));
}

#[test]
fn packets_of_others_do_not_make_an_old_line_be_told_again() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    rig.receive(200);
    let mut spoofed = carried(&rig.advert(254));
    spoofed.ttl = 1;
    rig.forget();
    for _ in 0..50 {
        rig.input(Input::Packet(spoofed.clone()));
        // The master, which is all right.
        rig.receive(200);
        // Somebody else, with another fault.
        let mut other = spoofed.clone();
        other.ttl = 255;
        other.payload[6] ^= 1;
        rig.input(Input::Packet(other));
        rig.run(ms(500));
    }
    assert_eq!(rig.lines.len(), 2, "{:?}", rig.lines);
}

#[test]
fn of_two_owners_one_is_left_whoever_begins_and_both_are_told_once() {
    let owner = Instance { initial_state: InitialState::Master, ..instance("V", 255) };
    let mut rig = Rig::new(vec![owner]);
    assert_eq!(rig.state(), State::Master);
    for _ in 0..10 {
        // Its address is higher than ours.
        rig.receive(255);
        rig.run(ms(1000));
    }
    assert_eq!(rig.state(), State::Backup);
    let told = rig.lines.iter().filter(|line| line.contains("both configured as address owner"));
    assert_eq!(told.count(), 1);
}

#[derive(Debug, Clone)]
enum Happens {
    Link(u8),
    Script(bool),
    File(i64),
    Deaf(bool),
    Advert(u8),
    Time(u64),
    Reload,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0..3u8).prop_map(Happens::Link),
        any::<bool>().prop_map(Happens::Script),
        (-1..2i64).prop_map(Happens::File),
        any::<bool>().prop_map(Happens::Deaf),
        (1..255u8).prop_map(Happens::Advert),
        (1..5000u64).prop_map(Happens::Time),
        Just(Happens::Reload),
    ]
}

proptest! {
    /// keepalived counted the reasons for FAULT, and the count drifted.
    #[test]
    fn a_router_is_in_fault_when_there_is_a_reason_now_and_only_then(
        life in prop::collection::vec(happens(), 1..60),
    ) {
        let tracking = || {
            let mut tracking = instance("V", 100);
            let effect = TrackEffect::Fault;
            tracking.track_scripts.push(TrackedScript { name: "s".into(), effect });
            let effect = FileEffect::FaultUnlessZero;
            tracking.track_files.push(TrackedFile { name: "f".into(), effect });
            tracking
        };
        let config = || VrrpConfig { scripts: vec![script("s")], ..of(vec![tracking()]) };
        let mut rig = Rig::with(config());
        rig.input(Input::Script { name: "s".into(), good: true });
        rig.input(Input::File { name: "f".into(), value: 0 });
        let (mut up, mut good, mut value, mut deaf) = (true, true, 0, false);
        for event in life {
            match event {
                Happens::Link(state) => {
                    up = state == 0;
                    rig.link([LinkState::Up, LinkState::Down, LinkState::Absent][usize::from(state)]);
                }
                Happens::Script(now) => {
                    good = now;
                    rig.input(Input::Script { name: "s".into(), good });
                }
                Happens::File(now) => {
                    value = now;
                    rig.input(Input::File { name: "f".into(), value });
                }
                Happens::Deaf(now) => {
                    deaf = now;
                    let name = SocketName::of(&instance("V", 100));
                    rig.input(Input::Deaf(deaf.then_some(name).into_iter().collect()));
                }
                Happens::Advert(priority) => rig.receive(priority),
                Happens::Time(millis) => rig.run(ms(millis)),
                Happens::Reload => {
                    let config = Box::new((Global::default(), config()));
                    rig.input(Input::Reconfigure(config));
                }
            }
            let reason = !up || !good || value != 0 || deaf;
            prop_assert_eq!(rig.state() == State::Fault, reason, "{:?}", event);
        }
        rig.link(LinkState::Up);
        rig.input(Input::Script { name: "s".into(), good: true });
        rig.input(Input::File { name: "f".into(), value: 0 });
        rig.input(Input::Deaf(BTreeSet::new()));
        rig.run(Interval::from_secs(10));
        prop_assert_eq!(rig.state(), State::Master);
    }
}
