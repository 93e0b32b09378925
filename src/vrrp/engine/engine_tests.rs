//! The engine with a driven clock; each test of a conformance item is named after it.

use super::*;
use crate::core::config::model::Script;
use crate::core::config::model::vrrp::{
    NotifyScripts, Preemption, Priority, TrackEffect, TrackScript, TrackedInterface, TrackedScript,
    Transport, UnicastPeer, VirtualAddress, Vrid, VrrpVersion,
};
use crate::core::time::Interval;
use crate::vrrp::packet::advert::{self, Advert, ChecksumForm};

pub(crate) fn instance(name: &str, priority: u8) -> Instance {
    let defaults = Global::default().vrrp;
    let address = VirtualAddress {
        interface: Some("eth0".into()),
        ..VirtualAddress::new([10, 0, 0, 100].into(), 32)
    };
    Instance {
        name: name.into(),
        interface: Some("eth0".into()),
        vrid: Vrid::new(51).unwrap(),
        priority: Priority::new(priority),
        transport: Transport::Multicast { group: defaults.multicast4.into() },
        addresses: vec![address.into()],
        ..Instance::default()
    }
    .with(|options| options.garp = defaults.garp)
}

fn script(name: &str) -> TrackScript {
    TrackScript {
        name: name.into(),
        script: Script { words: vec!["/bin/true".into()], user: None },
        interval: Interval::from_secs(1),
        timeout: Interval::from_secs(1),
        effect: TrackEffect::Fault,
        rise: 1,
        fall: 1,
        init_fail: false,
    }
}

const OWN: [u8; 4] = [10, 0, 0, 10];

fn own(address: [u8; 4]) -> OwnAddresses {
    OwnAddresses { inet: Some(address.into()), inet6: None }
}

const PEER: [u8; 4] = [10, 0, 0, 20];
const GROUP: [u8; 4] = [224, 0, 0, 18];

/// One engine, its clock, and a kernel that does as it is told.
struct Rig {
    engine: VrrpEngine,
    now: Timestamp,
    sent: Vec<(Timestamp, Transmit)>,
    announced: Vec<(Timestamp, DesiredAddress)>,
    notices: Vec<Notice>,
    lines: Vec<String>,
}

impl Rig {
    fn new(instances: Vec<Instance>) -> Self {
        let instances = instances.into_iter().map(Arc::new).collect();
        Self::with(VrrpConfig { instances, ..VrrpConfig::default() })
    }

    fn with(config: VrrpConfig) -> Self {
        Self::after(&[], config)
    }

    /// After a process that was master of `masters`.
    fn after(masters: &[&str], config: VrrpConfig) -> Self {
        let engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
        let mut rig = Self {
            engine,
            now: Timestamp::ZERO,
            sent: Vec::new(),
            announced: Vec::new(),
            notices: Vec::new(),
            lines: Vec::new(),
        };
        let masters = masters.iter().map(|name| (*name).to_owned()).collect();
        rig.engine.handle(Timestamp::ZERO, Input::Resume(masters));
        rig.link(LinkState::Up);
        rig.input(Input::Start);
        rig
    }

    fn master(instance: Instance) -> Self {
        let mut rig = Self::new(vec![instance]);
        rig.run(Interval::from_secs(200));
        assert_eq!(rig.state(), State::Master);
        rig.forget();
        rig
    }

    fn forget(&mut self) {
        self.sent.clear();
        self.announced.clear();
        self.notices.clear();
        self.lines.clear();
    }

    fn link(&mut self, state: LinkState) {
        self.input(Input::Link { interface: "eth0".into(), state, own: own(OWN) });
    }

    fn input(&mut self, input: Input) {
        self.engine.handle(self.now, input);
        self.pump();
    }

    fn pump(&mut self) {
        for _ in 0..4 {
            while let Some(output) = self.engine.poll_output() {
                match output {
                    Output::Transmit(advert) => self.sent.push((self.now, advert)),
                    Output::Announce(address) => self.announced.push((self.now, address)),
                    Output::Notify(notice) => self.notices.push(notice),
                    Output::Log(event) => self.lines.push(event.to_string()),
                }
            }
            let there: Vec<_> = self.engine.desired().into_iter().collect();
            self.engine.handle(self.now, Input::AddressesPresent(there));
        }
    }

    fn run(&mut self, length: Interval) {
        let end = self.now + length;
        while let Some(deadline) = self.engine.poll_timeout().filter(|found| found.at <= end) {
            self.now = self.now.max(deadline.at);
            self.engine.handle_timeout(self.now);
            self.pump();
        }
        self.now = end;
    }

    fn state(&self) -> State {
        self.engine.routers().next().unwrap().state
    }

    fn statistics(&self) -> Statistics {
        self.engine.routers().next().unwrap().statistics.clone()
    }

    fn advert(&self, priority: u8) -> Advert {
        let instance = &self.engine.routers().next().unwrap().instance;
        Advert {
            version: instance.version,
            vrid: 51,
            priority: Priority::new(priority),
            interval: instance.advert_interval,
            addresses: instance.addresses.iter().map(|found| found.address).collect(),
            authentication: (0, [0; 8]),
        }
    }

    fn receive(&mut self, priority: u8) {
        let packet = carried(&self.advert(priority));
        self.input(Input::Packet(packet));
    }

    /// When the state next becomes `state`, from now on; nothing arrives meanwhile.
    fn time_until(&mut self, state: State) -> Interval {
        let from = self.now;
        for _ in 0..10_000 {
            if self.state() == state {
                return self.now.since(from);
            }
            let at = self.engine.poll_timeout().expect("a timer must be armed").at;
            self.run(at.since(self.now));
        }
        panic!("never {state:?}");
    }

    fn priorities_sent(&self) -> Vec<u8> {
        self.sent.iter().map(|(_, sent)| sent.payload[2]).collect()
    }
}

/// As it comes from the peer.
fn carried(advert: &Advert) -> ReceivedPacket {
    let form = match advert.version {
        VrrpVersion::V2 => ChecksumForm::Message,
        VrrpVersion::V3 => ChecksumForm::PseudoHeader,
    };
    ReceivedPacket {
        sealed: None,
        interface: Some("eth0".into()),
        source: PEER.into(),
        destination: GROUP.into(),
        ttl: 255,
        payload: advert::emit(advert, form, PEER.into(), GROUP.into()),
    }
}

fn ms(milliseconds: u64) -> Interval {
    Interval::from_millis(milliseconds)
}

#[test]
fn v_111_a_router_is_silent_for_the_master_down_interval() {
    for state in [InitialState::Backup, InitialState::Master] {
        let mut rig = Rig::new(vec![Instance { initial_state: state, ..instance("V", 100) }]);
        assert_eq!(rig.state(), State::Backup);
        rig.run(Interval::from_micros(3_609_374));
        assert!(rig.sent.is_empty());
        rig.run(Interval::from_micros(1));
        assert_eq!(rig.state(), State::Master);
        assert_eq!(rig.priorities_sent(), [100]);
    }
}

#[test]
fn v_110_and_v_131_an_owner_is_master_at_once_and_preempts() {
    let owner = Instance { initial_state: InitialState::Master, ..instance("V", 255) };
    let rig = Rig::new(vec![owner]);
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Master, vec![255]));
    let never = Instance { preemption: Preemption::Never, ..instance("V", 255) };
    let mut rig = Rig::new(vec![never]);
    for _ in 0..10 {
        rig.receive(200);
        rig.run(ms(500));
    }
    assert_eq!(rig.state(), State::Master);
}

#[test]
fn v_126_and_v_176_the_advert_leaves_first_and_announcements_only_for_what_is_there() {
    let config =
        VrrpConfig { instances: vec![Arc::new(instance("V", 100))], ..VrrpConfig::default() };
    let mut engine = VrrpEngine::new(Timestamp::ZERO, Global::default(), config);
    let link = Input::Link { interface: "eth0".into(), state: LinkState::Up, own: own(OWN) };
    engine.handle(Timestamp::ZERO, link);
    engine.handle(Timestamp::ZERO, Input::Start);
    let at = engine.poll_timeout().unwrap().at;
    engine.handle_timeout(at);
    let mut kinds = Vec::new();
    while let Some(output) = engine.poll_output() {
        kinds.push(match output {
            Output::Transmit(_) => "advert",
            Output::Announce(_) => "announcement",
            Output::Notify(_) | Output::Log(_) => continue,
        });
    }
    assert_eq!(kinds, ["advert"]);
    let there: Vec<_> = engine.desired().into_iter().collect();
    assert_eq!(there.len(), 1);
    engine.handle(at, Input::AddressesPresent(there));
    let announced = std::iter::from_fn(|| engine.poll_output())
        .filter(|output| matches!(output, Output::Announce(_)))
        .count();
    assert_eq!(announced, 5);
}

#[test]
fn addresses_that_come_in_parts_are_each_announced_when_they_are_there() {
    let mut held = instance("V", 100);
    held.addresses =
        (1..=3).map(|last| VirtualAddress::new([10, 9, 0, last].into(), 32).into()).collect();
    held.garp.repeat = 1;
    let mut rig = Rig::master(held);
    let all: Vec<_> = rig.engine.desired().into_iter().collect();
    rig.engine.handle(rig.now, Input::AddressesGone(all.clone()));
    let mut come = |part: &[DesiredAddress]| -> Vec<DesiredAddress> {
        rig.engine.handle(rig.now, Input::AddressesPresent(part.to_vec()));
        let outputs = std::iter::from_fn(|| rig.engine.poll_output());
        outputs
            .filter_map(|output| match output {
                Output::Announce(address) => Some(address),
                Output::Transmit(_) | Output::Notify(_) | Output::Log(_) => None,
            })
            .collect()
    };
    assert_eq!(come(&all[..2]), all[..2]);
    assert_eq!(come(&all[2..]), all[2..]);
    assert_eq!(come(&all), []);
}

#[test]
fn v_150_and_v_098_adverts_come_each_interval_without_drift() {
    let mut rig = Rig::master(instance("V", 100));
    for _ in 0..100 {
        // The loop wakes late, each time by another bit.
        let at = rig.engine.poll_timeout().unwrap().at;
        rig.run(at.since(rig.now) + Interval::from_micros(700));
        rig.now += Interval::from_micros(37);
    }
    let times: Vec<_> = rig.sent.iter().map(|(at, _)| at.as_nanos()).collect();
    let span = times.last().unwrap() - times[0];
    assert_eq!(span / 1_000_000_000, times.len() as u64 - 1);
}

#[test]
fn v_096_and_v_127_priority_zero_shortens_the_wait_to_the_skew() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    rig.receive(200);
    rig.receive(0);
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.time_until(State::Master).as_micros(), 609_375);
}

#[test]
fn v_097_and_v_129_a_discarded_lower_advert_does_not_touch_the_timer() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    let started = rig.now;
    while rig.state() == State::Backup {
        rig.run(ms(100));
        if rig.state() == State::Backup {
            rig.receive(50);
        }
    }
    let took = rig.now.since(started);
    assert!(took <= ms(3700), "{took}");
}

#[test]
fn v_128_equal_priority_keeps_a_backup_quiet_whatever_the_address() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    for _ in 0..20 {
        rig.receive(100);
        rig.run(ms(1000));
    }
    assert_eq!(rig.state(), State::Backup);
}

#[test]
fn v_130_nopreempt_stays_quiet_while_a_lower_master_speaks() {
    let never = Instance { preemption: Preemption::Never, ..instance("V", 200) };
    let mut rig = Rig::new(vec![never]);
    for _ in 0..20 {
        rig.receive(50);
        rig.run(ms(1000));
    }
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.time_until(State::Master).as_millis(), 3218 - 1000);
}

#[test]
fn v_132_preempt_delay_waits_from_the_start_and_from_the_first_lower_advert() {
    let delayed =
        Instance { preemption: Preemption::After(Interval::from_secs(10)), ..instance("V", 200) };
    let mut rig = Rig::new(vec![delayed]);
    let mut seconds = 0;
    while rig.state() == State::Backup {
        rig.receive(50);
        rig.run(ms(1000));
        seconds += 1;
        assert!(seconds < 60);
    }
    assert!((12..=15).contains(&seconds), "{seconds}");
}

#[test]
fn v_149_and_v_125_a_master_resigns_at_the_end_and_a_backup_is_silent() {
    let mut rig = Rig::master(instance("V", 100));
    rig.input(Input::Shutdown);
    assert_eq!(rig.priorities_sent(), [0]);
    assert!(rig.engine.desired().is_empty());
    assert_eq!(rig.statistics().pri_zero_sent, 1);
    let mut rig = Rig::new(vec![instance("V", 100)]);
    rig.input(Input::Shutdown);
    assert!(rig.sent.is_empty());
    assert!(rig.engine.poll_timeout().is_none_or(|found| found.at > rig.now));
}

#[test]
fn v_151_a_master_answers_priority_zero_at_once() {
    let mut rig = Rig::master(instance("V", 100));
    rig.run(ms(300));
    rig.forget();
    rig.receive(0);
    assert_eq!(rig.priorities_sent(), [100]);
    rig.forget();
    rig.run(ms(999));
    assert!(rig.sent.is_empty(), "the advert timer began anew");
}

#[test]
fn v_152_a_master_yields_to_a_higher_priority_and_gives_the_addresses_up() {
    let mut rig = Rig::master(instance("V", 100));
    rig.receive(200);
    assert_eq!(rig.state(), State::Backup);
    assert!(rig.engine.desired().is_empty());
    assert!(rig.lines.contains(
        &"(V) Master received advert from 10.0.0.20 with higher priority 200, ours 100".into()
    ));
    assert_eq!(rig.time_until(State::Master).as_micros(), 3_609_375);
}

#[test]
fn v_153_the_higher_address_wins_a_tie_as_a_number() {
    for (address, peer, yields) in
        [([10, 0, 0, 9], [10, 0, 0, 10], true), ([10, 0, 0, 200], [10, 0, 0, 30], false)]
    {
        let mut rig = Rig::master(instance("V", 100));
        let own = own(address);
        rig.input(Input::Link { interface: "eth0".into(), state: LinkState::Up, own });
        let advert = rig.advert(100);
        let payload = advert::emit(&advert, ChecksumForm::Message, peer.into(), GROUP.into());
        let packet = ReceivedPacket { source: peer.into(), payload, ..carried(&advert) };
        rig.input(Input::Packet(packet));
        assert_eq!(rig.state() == State::Backup, yields);
    }
}

#[test]
fn v_154_a_lower_advert_is_answered_unless_told_otherwise() {
    for silent in [false, true] {
        let mut rig =
            Rig::master(Instance { lower_priority_no_advert: silent, ..instance("V", 100) });
        rig.run(ms(400));
        rig.forget();
        rig.receive(50);
        assert_eq!(rig.state(), State::Master);
        assert_eq!(rig.sent.len(), usize::from(!silent));
        assert_eq!(rig.announced.len(), 5, "garp_lower_prio_repeat");
    }
}

#[test]
fn v_155_one_more_advert_before_yielding_when_asked_for() {
    let mut rig = Rig::master(Instance { higher_priority_send_advert: true, ..instance("V", 100) });
    rig.receive(200);
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Backup, vec![100]));
}

#[test]
fn v_156_of_two_owners_one_yields() {
    let owner = Instance { initial_state: InitialState::Master, ..instance("V", 255) };
    let mut rig = Rig::new(vec![owner]);
    rig.receive(255);
    assert_eq!(rig.state(), State::Backup, "the peer's address is higher");
    assert!(rig.lines.iter().any(|line| line.contains("CONFIGURATION ERROR")));
}

#[test]
fn v_079_an_advert_from_our_own_address_changes_nothing() {
    let mut rig = Rig::master(instance("V", 100));
    let advert = rig.advert(100);
    let payload = advert::emit(&advert, ChecksumForm::Message, OWN.into(), GROUP.into());
    for _ in 0..5 {
        let packet =
            ReceivedPacket { source: OWN.into(), payload: payload.clone(), ..carried(&advert) };
        rig.input(Input::Packet(packet));
    }
    assert_eq!(rig.state(), State::Master);
    let told = rig.lines.iter().filter(|line| line.contains("with our IP address")).count();
    assert_eq!(told, 1);
}

/// Each variation of a good advert of priority 254 that must be refused, with its counter.
fn hostile(rig: &Rig) -> Vec<(&'static str, ReceivedPacket)> {
    let good = carried(&rig.advert(254));
    let mut list = Vec::new();
    for ttl in [254, 64, 1, 0] {
        list.push(("ttl", ReceivedPacket { ttl, ..good.clone() }));
    }
    let bytes = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut packet = good.clone();
        change(&mut packet.payload);
        packet
    };
    list.push(("checksum", bytes(&|payload| payload[6] ^= 1)));
    list.push(("type", bytes(&|payload| payload[0] = payload[0] & 0xf0 | 2)));
    list.push((
        "length",
        bytes(&|payload| {
            payload.pop();
        }),
    ));
    list.push(("version", bytes(&|payload| payload[0] ^= 0x10)));
    list.push(("vrid", bytes(&|payload| payload[1] = 52)));
    list.push(("empty", bytes(&|payload| payload.clear())));
    let interface = Some("eth1".into());
    list.push(("interface", ReceivedPacket { interface, ..good.clone() }));
    list.push(("destination", ReceivedPacket { destination: OWN.into(), ..good }));
    let mut changed = rig.advert(254);
    match changed.version {
        VrrpVersion::V2 => {
            changed.interval = Interval::from_secs(2);
            list.push(("interval", carried(&changed)));
            let mut authenticated = rig.advert(254);
            authenticated.authentication = (1, *b"1111\0\0\0\0");
            list.push(("authentication type", carried(&authenticated)));
            authenticated.authentication = (7, [0; 8]);
            list.push(("unknown authentication", carried(&authenticated)));
        }
        VrrpVersion::V3 => {
            changed.interval = Interval::ZERO;
            list.push(("interval zero", carried(&changed)));
            let mut empty = rig.advert(254);
            empty.addresses.clear();
            list.push(("no address", carried(&empty)));
        }
    }
    list
}

#[test]
fn v_005_and_v_031_and_v_034_and_v_060_and_v_061_and_v_066_and_v_068_and_v_069_and_v_071_and_v_076_each_is_discarded_and_counted()
 {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        let count = hostile(&Rig::master(Instance { version, ..instance("V", 100) })).len();
        assert!(count > 12);
        for place in 0..count {
            let mut rig = Rig::master(Instance { version, ..instance("V", 100) });
            let (name, packet) = hostile(&rig).swap_remove(place);
            rig.input(Input::Packet(packet));
            assert_eq!(rig.state(), State::Master, "{name}");
            let counters = rig.statistics();
            let mut before = Statistics::default();
            (before.advert_sent, before.become_master) = (counters.advert_sent, 1);
            let counted = counters != before || rig.engine.unknown_vrid_count() == 1;
            assert!(counted, "{name}: {counters:?}");
            assert_eq!(counters.advert_rcvd, 0, "{name}");
        }
    }
}

#[test]
fn a_router_that_can_neither_send_nor_hear_is_no_master() {
    let mut rig = Rig::master(instance("V", 100));
    let socket =
        SocketName { interface: Some("eth0".into()), family: Family::Inet, authenticated: false };
    rig.input(Input::Deaf(BTreeSet::from([socket])));
    assert_eq!(rig.state(), State::Fault);
    rig.input(Input::Deaf(BTreeSet::new()));
    assert_eq!(rig.state(), State::Backup);
}

#[test]
fn v_080_a_rejected_packet_touches_no_timer_of_a_master() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        let count = hostile(&Rig::master(Instance { version, ..instance("V", 100) })).len();
        for place in 0..count {
            let mut rig = Rig::master(Instance { version, ..instance("V", 100) });
            let (name, packet) = hostile(&rig).swap_remove(place);
            let before = rig.now;
            for _ in 0..50 {
                rig.run(ms(300));
                rig.input(Input::Packet(packet.clone()));
                assert_eq!(rig.state(), State::Master, "{name}");
            }
            let expected = rig.now.since(before).as_secs();
            let sent = rig.sent.len() as u64;
            assert!((expected - 1..=expected + 1).contains(&sent), "{name}: {sent} of {expected}");
        }
    }
}

#[test]
fn v_080_a_rejected_packet_touches_no_timer_of_a_backup() {
    for version in [VrrpVersion::V2, VrrpVersion::V3] {
        let count = hostile(&Rig::new(vec![Instance { version, ..instance("V", 100) }])).len();
        for place in 0..count {
            let mut rig = Rig::new(vec![Instance { version, ..instance("V", 100) }]);
            let (name, packet) = hostile(&rig).swap_remove(place);
            let deadline = rig.engine.poll_timeout().unwrap().at;
            for _ in 0..13 {
                rig.run(ms(300));
                if rig.state() == State::Backup {
                    rig.input(Input::Packet(packet.clone()));
                }
            }
            assert_eq!(rig.state(), State::Master, "{name}");
            assert_eq!(rig.engine.routers().next().unwrap().since, Some(deadline), "{name}");
        }
    }
}

#[test]
fn v_075_a_flood_of_bad_packets_is_counted_and_told_once() {
    let mut rig = Rig::master(instance("V", 100));
    let mut packet = carried(&rig.advert(254));
    packet.ttl = 1;
    for _ in 0..1000 {
        rig.input(Input::Packet(packet.clone()));
    }
    assert_eq!(rig.statistics().ip_ttl_err, 1000);
    assert_eq!(rig.lines.len(), 1, "{:?}", rig.lines);
}

#[test]
fn v_032_and_v_030_the_password_must_fit_in_all_eight_bytes() {
    let with = Instance {
        authentication: Authentication::Password(*b"1111\0\0\0\0"),
        ..instance("V", 100)
    };
    for (data, accepted) in
        [(*b"1111\0\0\0\0", true), (*b"1111\0\0\0x", false), (*b"1112\0\0\0\0", false)]
    {
        let mut rig = Rig::master(with.clone());
        let mut advert = rig.advert(254);
        advert.authentication = (1, data);
        rig.input(Input::Packet(carried(&advert)));
        assert_eq!(rig.state() == State::Backup, accepted);
        assert_eq!(rig.statistics().auth_failure, u64::from(!accepted));
    }
    let rig = Rig::master(with);
    let mut rig = rig;
    rig.receive(254);
    assert_eq!(rig.statistics().authtype_mismatch, 1);
}

#[test]
fn v_028_junk_in_an_unused_authentication_field_is_ignored() {
    let mut rig = Rig::master(instance("V", 100));
    let mut advert = rig.advert(254);
    advert.authentication = (0, *b"junkjunk");
    rig.input(Input::Packet(carried(&advert)));
    assert_eq!(rig.state(), State::Backup);
}

#[test]
fn v_067_an_owner_processes_adverts_unless_it_is_to_ignore_them() {
    for (ignores, accepted) in [(false, 1), (true, 0)] {
        let owner = Instance { owner_ignores_adverts: ignores, ..instance("V", 255) };
        let mut rig = Rig::master(owner);
        rig.receive(254);
        assert_eq!(rig.statistics().advert_rcvd, accepted);
        assert_eq!(rig.statistics().ignored, 1 - accepted);
    }
}

#[test]
fn v_072_v_093_and_v_094_version_3_learns_the_interval_of_its_master() {
    let mut rig = Rig::new(vec![Instance { version: VrrpVersion::V3, ..instance("V", 100) }]);
    for (centis, down) in [(20, 721_875), (300, 10_828_125), (100, 3_609_375)] {
        let mut advert = rig.advert(200);
        advert.interval = Interval::from_centis(centis);
        rig.input(Input::Packet(carried(&advert)));
        assert_eq!(rig.state(), State::Backup);
        let at = rig.engine.poll_timeout().unwrap().at;
        assert_eq!(at.since(rig.now).as_micros(), down);
    }
}

#[test]
fn v_095_a_master_keeps_its_own_interval() {
    let mut rig = Rig::new(vec![Instance { version: VrrpVersion::V3, ..instance("V", 100) }]);
    let mut advert = rig.advert(200);
    advert.interval = Interval::from_centis(20);
    rig.input(Input::Packet(carried(&advert)));
    rig.time_until(State::Master);
    rig.forget();
    rig.run(Interval::from_secs(5));
    assert_eq!(rig.sent.len(), 5);
    let centis = u16::from_be_bytes([rig.sent[0].1.payload[4], rig.sent[0].1.payload[5]]);
    assert_eq!(centis, 100);
}

#[test]
fn v_112_version_3_begins_with_its_own_interval() {
    let mut fast = Instance { version: VrrpVersion::V3, ..instance("V", 100) };
    fast.advert_interval = Interval::from_centis(10);
    let mut rig = Rig::new(vec![fast]);
    assert_eq!(rig.time_until(State::Master).as_micros(), 360_937);
}

#[test]
fn v_073_and_v_074_another_list_of_addresses_is_told_and_counted_but_believed() {
    let mut rig = Rig::new(vec![instance("V", 100)]);
    let mut advert = rig.advert(200);
    advert.addresses = vec![[10, 0, 0, 77].into()];
    rig.input(Input::Packet(carried(&advert)));
    assert_eq!(rig.statistics().addr_list_err, 1);
    assert_eq!(rig.statistics().advert_rcvd, 1);
    assert_eq!(rig.engine.routers().next().unwrap().master.unwrap().priority.get(), 200);
}

#[test]
fn v_077_unicast_takes_adverts_of_its_peers_within_their_ttl_limits() {
    let unicast = Instance {
        transport: Transport::Unicast {
            peers: vec![UnicastPeer { address: PEER.into(), min_ttl: Some(250), max_ttl: None }],
            ttl: 255,
            check_source: true,
        },
        ..instance("V", 100)
    };
    for (source, ttl, accepted) in
        [(PEER, 255, true), (PEER, 249, false), ([10, 0, 0, 30], 255, false)]
    {
        let mut rig = Rig::master(unicast.clone());
        let advert = rig.advert(200);
        let payload = advert::emit(&advert, ChecksumForm::Message, source.into(), OWN.into());
        let packet = ReceivedPacket {
            source: source.into(),
            destination: OWN.into(),
            ttl,
            payload,
            ..carried(&advert)
        };
        rig.input(Input::Packet(packet));
        assert_eq!(rig.state() == State::Backup, accepted);
    }
}

#[test]
fn v_226_unicast_adverts_go_to_each_peer_with_the_configured_ttl() {
    let peers = [[10, 0, 0, 20], [10, 0, 0, 30]].map(|peer| UnicastPeer {
        address: peer.into(),
        min_ttl: None,
        max_ttl: None,
    });
    let transport = Transport::Unicast { peers: peers.to_vec(), ttl: 64, check_source: false };
    let mut rig = Rig::master(Instance { transport, ..instance("V", 100) });
    rig.run(ms(1000));
    let to: Vec<_> = rig.sent.iter().map(|(_, sent)| (sent.destination, sent.ttl)).collect();
    assert_eq!(to, peers.map(|peer| (peer.address, 64)));
}

#[test]
fn v_220_a_fault_resigns_and_recovery_goes_through_backup() {
    let mut rig = Rig::master(instance("V", 100));
    rig.link(LinkState::Down);
    assert_eq!(rig.state(), State::Fault);
    assert_eq!(rig.priorities_sent(), [0]);
    assert!(rig.engine.desired().is_empty());
    rig.run(Interval::from_secs(60));
    assert_eq!(rig.priorities_sent(), [0], "silent in FAULT");
    rig.link(LinkState::Up);
    assert_eq!(rig.state(), State::Backup);
    assert_eq!(rig.time_until(State::Master).as_micros(), 3_609_375);
    let states: Vec<_> = rig.notices.iter().map(|notice| notice.state).collect();
    assert_eq!(states, ["FAULT", "BACKUP", "MASTER"]);
}

#[test]
fn v_221_and_v_224_a_tracked_script_moves_the_priority_of_the_next_advert() {
    let tracked = TrackedScript { name: "chk".into(), effect: TrackEffect::Weight(-60) };
    let mut rig =
        Rig::master(instance("V", 100).with(|options| options.track_scripts = vec![tracked]));
    rig.input(Input::Script { name: "chk".into(), good: false });
    assert!(rig.lines.contains(&"(V) Changing effective priority from 100 to 40".into()));
    rig.run(ms(1000));
    assert_eq!(rig.priorities_sent(), [40]);
    rig.input(Input::Script { name: "chk".into(), good: true });
    rig.run(ms(1000));
    assert_eq!(rig.priorities_sent(), [40, 100]);
}

#[test]
fn v_220_a_script_without_weight_holds_the_start_and_faults_while_bad() {
    let tracked = TrackedScript { name: "chk".into(), effect: TrackEffect::Fault };
    let other = Instance { vrid: Vrid::new(52).unwrap(), ..instance("W", 100) };
    let held = instance("V", 100).with(|options| options.track_scripts = vec![tracked]);
    for alone in [true, false] {
        let instances = if alone { vec![held.clone()] } else { vec![held.clone(), other.clone()] };
        let mut rig = Rig::new(instances);
        assert_eq!(rig.state(), State::Init);
        rig.run(Interval::from_secs(10));
        assert_eq!(rig.state(), State::Init, "no result yet");
        rig.input(Input::Script { name: "chk".into(), good: false });
        assert_eq!(rig.state(), State::Fault);
        rig.input(Input::Script { name: "chk".into(), good: true });
        assert_eq!(rig.state(), State::Backup);
    }
}

#[test]
fn v_220_a_tracked_interface_faults_or_weighs() {
    let track = |effect| vec![TrackedInterface { name: "eth1".into(), effect }];
    let up = |rig: &mut Rig, state| {
        rig.input(Input::Link { interface: "eth1".into(), state, own: OwnAddresses::default() });
    };
    let mut rig = Rig::new(vec![
        instance("V", 100).with(|options| options.track_interfaces = track(TrackEffect::Fault)),
    ]);
    assert_eq!(rig.state(), State::Fault);
    up(&mut rig, LinkState::Up);
    assert_eq!(rig.state(), State::Backup);
    let mut rig = Rig::new(vec![
        instance("V", 100)
            .with(|options| options.track_interfaces = track(TrackEffect::Weight(20))),
    ]);
    up(&mut rig, LinkState::Up);
    assert_eq!(rig.engine.routers().next().unwrap().priority.get(), 120);
    // One that an address is on counts as a fault, and its weight for nothing.
    let needs = instance("V", 100).with(|options| {
        options.track_interfaces = track(TrackEffect::Weight(20));
        options.needed_interfaces = vec!["eth1".into()];
    });
    let mut rig = Rig::new(vec![needs]);
    assert_eq!(rig.state(), State::Fault);
    up(&mut rig, LinkState::Up);
    assert_eq!(
        (rig.state(), rig.engine.routers().next().unwrap().priority.get()),
        (State::Backup, 100)
    );
}

fn group() -> VrrpConfig {
    let second = Instance {
        vrid: Vrid::new(52).unwrap(),
        interface: Some("eth1".into()),
        ..instance("W", 100)
    };
    VrrpConfig {
        instances: vec![Arc::new(instance("V", 100)), Arc::new(second)],
        sync_groups: vec![SyncGroup {
            name: "G".into(),
            members: vec!["V".into(), "W".into()],
            notify: NotifyScripts {
                any: Some(Script { words: vec!["notify".into()], user: None }.into()),
                ..NotifyScripts::default()
            },
            ..SyncGroup::default()
        }],
        ..VrrpConfig::default()
    }
}

/// Started, with a `vrrp_startup_delay`.
fn delayed_by_20_s() -> Rig {
    let mut global = Global::default();
    global.vrrp.startup_delay = Interval::from_secs(20);
    let config =
        VrrpConfig { instances: vec![Arc::new(instance("V", 100))], ..VrrpConfig::default() };
    let mut rig = Rig::new(vec![]);
    rig.engine = VrrpEngine::new(rig.now, global, config);
    rig.link(LinkState::Up);
    rig.input(Input::Start);
    rig
}

#[test]
fn v_225_nothing_is_elected_before_the_startup_delay_has_passed() {
    let mut rig = delayed_by_20_s();
    // It says so: scripts, and readers of FIFOs, wait for their first word.
    assert_eq!((rig.state(), rig.notices.len()), (State::Backup, 1));
    rig.link(LinkState::Down);
    rig.link(LinkState::Up);
    rig.receive(0);
    assert_eq!(rig.time_until(State::Master).as_micros(), 23_609_375);
}

#[test]
fn an_unchanged_reload_says_and_changes_nothing() {
    for priority in [100, 255] {
        let mut rig = Rig::master(instance("V", priority));
        let (desired, timer) = (rig.engine.desired(), rig.engine.poll_timeout());
        let config = VrrpConfig {
            instances: vec![Arc::new(instance("V", priority))],
            ..VrrpConfig::default()
        };
        rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
        rig.input(Input::Start);
        assert_eq!((rig.engine.desired(), rig.engine.poll_timeout()), (desired, timer));
        assert!(rig.sent.is_empty() && rig.notices.is_empty() && rig.lines.is_empty());
        assert!(rig.announced.is_empty());
    }
}

#[test]
fn v_229_a_reload_changes_addresses_without_leaving_master() {
    let mut rig = Rig::master(instance("V", 100));
    let mut changed = instance("V", 100);
    let mut second = changed.addresses[0].clone();
    Arc::make_mut(&mut second).address = [10, 0, 0, 101].into();
    changed.addresses.push(second);
    let config = VrrpConfig { instances: vec![Arc::new(changed)], ..VrrpConfig::default() };
    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
    assert_eq!(rig.state(), State::Master);
    assert_eq!(rig.engine.desired().len(), 2);
    let announced: BTreeSet<_> =
        rig.announced.iter().map(|(_, found)| found.address.address).collect();
    assert_eq!(announced, BTreeSet::from([[10, 0, 0, 101].into()]), "only the new one");
    assert!(rig.notices.is_empty());
    assert_eq!(rig.statistics().become_master, 1);
}

#[test]
fn an_instance_that_a_reload_removes_resigns_and_is_told_of() {
    let mut with_script = instance("V", 100);
    with_script.notify.any = Some(Script { words: vec!["n".into()], user: None }.into());
    let mut rig = Rig::master(with_script);
    rig.input(Input::Reconfigure(Box::new((Global::default(), VrrpConfig::default()))));
    assert_eq!(rig.priorities_sent(), [0]);
    assert!(rig.engine.desired().is_empty());
    assert_eq!(rig.notices.iter().map(|notice| notice.state).collect::<Vec<_>>(), ["FAULT"]);
    assert!(rig.engine.poll_timeout().is_none());
}

#[test]
fn an_address_that_someone_else_removes_comes_back_at_once_and_is_announced_anew() {
    let mut rig = Rig::master(instance("V", 100));
    let lost: Vec<_> = rig.engine.desired().into_iter().collect();
    let before = rig.announced.len();
    rig.engine.take_changes();
    rig.input(Input::AddressesLost(lost.clone()));
    assert_eq!((rig.state(), rig.priorities_sent()), (State::Master, vec![]));
    let changes = rig.engine.take_changes();
    assert!(matches!(changes, Changes::Addresses(_)), "the kernel is to be asked: {changes:?}");
    rig.input(Input::AddressesPresent(lost));
    assert!(rig.announced.len() > before);
}

#[test]
fn an_address_that_is_removed_again_and_again_is_left_to_others_for_longer_and_longer() {
    let mut rig = Rig::master(instance("V", 100));
    let lost: Vec<_> = rig.engine.desired().into_iter().collect();
    let lose = |rig: &mut Rig| {
        rig.run(ms(1000));
        rig.input(Input::AddressesPresent(lost.clone()));
        rig.sent.clear();
        rig.input(Input::AddressesLost(lost.clone()));
        rig.state()
    };
    assert_eq!((0..3).map(|_| lose(&mut rig)).collect::<Vec<_>>(), [State::Master; 3]);
    for doubling in 0..3 {
        assert_eq!(lose(&mut rig), State::Backup);
        assert_eq!(rig.priorities_sent(), [0]);
        assert_eq!(rig.time_until(State::Master).as_micros(), 609_375 << doubling);
    }
}

#[test]
fn the_engine_survives_any_input_in_any_order() {
    use proptest::prelude::*;
    let step = (0u8..8, any::<u8>(), prop::collection::vec(any::<u8>(), 0..40), 0u64..4000);
    proptest!(ProptestConfig::with_cases(300), |(steps in prop::collection::vec(step, 1..60))| {
        let mut rig = Rig::with(group());
        for (kind, byte, bytes, wait) in steps {
            match kind {
                0 => rig.receive(byte),
                1 => {
                    let packet = ReceivedPacket { payload: bytes, ..carried(&rig.advert(1)) };
                    rig.input(Input::Packet(packet));
                }
                2 => rig.link(if byte < 128 { LinkState::Down } else { LinkState::Up }),
                3 => {
                    let state = if byte < 128 { LinkState::Absent } else { LinkState::Up };
                    let inet = (byte % 3 > 0).then(|| [10, 1, 0, 10].into());
                    let own = OwnAddresses { inet, inet6: None };
                    rig.input(Input::Link { interface: "eth1".into(), state, own });
                }
                4 => {
                    let lost = rig.engine.configured().into_iter().collect();
                    rig.input(Input::AddressesLost(lost));
                }
                5 => {
                    let mut config = group();
                    Arc::make_mut(&mut config.instances[0]).priority = Priority::new(byte.max(1));
                    config.instances.truncate(1 + usize::from(byte % 2));
                    rig.input(Input::Reconfigure(Box::new((Global::default(), config))));
                    rig.input(Input::Start);
                }
                _ => rig.run(ms(wait)),
            }
            // Whoever is not master wants nothing of the kernel; whoever is, has a timer.
            for router in rig.engine.routers() {
                prop_assert_eq!(router.state == State::Master, !router.desired().is_empty());
                if matches!(router.state, State::Master | State::Backup) {
                    prop_assert!(rig.engine.timer_of(&router.instance.name).is_some());
                }
                if router.state == State::Master || router.state == State::Backup {
                    prop_assert!(router.faults.is_empty());
                }
            }
        }
    });
}

#[path = "continuity_tests.rs"]
mod continuity;

#[path = "group_tests.rs"]
mod groups;

#[path = "telling_tests.rs"]
mod telling;

#[path = "words_tests.rs"]
mod words_of_the_dialect;

#[path = "rival_tests.rs"]
mod rivals;

#[path = "bfd_tests.rs"]
mod bfd;

#[path = "hmac_tests.rs"]
mod keyed_trailers;

#[path = "known_fault_tests.rs"]
mod known_faults;
