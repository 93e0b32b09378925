//! Adverts with the trailer of `auth_hmac`: who is believed, and what clocks that step do.

use super::*;
use crate::core::config::model::hmac::{
    HmacAuthentication, HmacKey, HmacMode, HmacSecret, ReplayProtection,
};
use crate::vrrp::packet::hmac::{LENGTH, Stamp};

const ONE: [u8; 32] = [b'1'; 32];
const TWO: [u8; 32] = [b'2'; 32];
/// Some day in 2026.
const TODAY: u64 = 1_790_000_000;
const WINDOW: u64 = 5;

fn keyed(priority: u8) -> Instance {
    let key = |id, secret: [u8; 32]| HmacKey { id, secret: HmacSecret::Bytes(secret.to_vec()) };
    let hmac = HmacAuthentication {
        keys: vec![key(1, ONE), key(2, TWO)],
        active_key: 1,
        window: Interval::from_secs(WINDOW),
        replay: ReplayProtection::Time,
        mode: HmacMode::Enforce,
    };
    instance("V", priority).with(|options| options.hmac = Some(hmac))
}

fn changed(mut instance: Instance, change: impl FnOnce(&mut HmacAuthentication)) -> Instance {
    change(instance.hmac.as_mut().unwrap());
    instance
}

fn alone(instance: Instance) -> VrrpConfig {
    VrrpConfig { instances: vec![Arc::new(instance)], ..VrrpConfig::default() }
}

/// A node of a small network: an engine, and a wall clock that may be wrong.
struct Node {
    engine: VrrpEngine,
    address: IpAddr,
    /// What its clock adds to the right time, in seconds.
    error: i64,
    lines: Vec<String>,
}

/// Nodes whose packets arrive at once, and the right time.
struct Net {
    nodes: Vec<Node>,
    now: Timestamp,
    /// Everything that was sent, by whom.
    sent: Vec<(usize, ReceivedPacket)>,
}

impl Net {
    fn new(instances: Vec<Instance>) -> Self {
        let mut net = Self { nodes: Vec::new(), now: Timestamp::ZERO, sent: Vec::new() };
        for (place, instance) in (1..).zip(instances) {
            let address: IpAddr = match instance.family {
                Family::Inet => [10, 0, 0, place].into(),
                Family::Inet6 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(place)].into(),
            };
            let engine = VrrpEngine::new(net.now, Global::default(), alone(instance));
            net.nodes.push(Node { engine, address, error: 0, lines: Vec::new() });
        }
        for place in 0..net.nodes.len() {
            net.begin(place);
        }
        net
    }

    /// As a process begins.
    fn begin(&mut self, place: usize) {
        let address = self.nodes[place].address;
        let own = OwnAddresses {
            inet: Some(address).filter(IpAddr::is_ipv4),
            inet6: Some(address).filter(IpAddr::is_ipv6),
        };
        let link = Input::Link { interface: "eth0".into(), state: LinkState::Up, own };
        self.input(place, link);
        self.input(place, Input::Start);
    }

    /// Another process in its place, which knows what that one has left.
    fn respawn(&mut self, place: usize, instance: Instance) {
        let last = self.nodes[place].engine.last_stamp();
        self.nodes[place].engine = VrrpEngine::new(self.now, Global::default(), alone(instance));
        if let Some(last) = last {
            self.input(place, Input::LastStamp(last));
        }
        self.begin(place);
    }

    fn wall(&self, place: usize) -> Interval {
        let right = i64::try_from(TODAY).unwrap() + self.nodes[place].error;
        Interval::from_secs(u64::try_from(right).unwrap()) + self.now.since(Timestamp::ZERO)
    }

    fn input(&mut self, place: usize, input: Input) {
        let wall = self.wall(place);
        let node = &mut self.nodes[place];
        node.engine.handle(self.now, Input::WallClock(wall));
        node.engine.handle(self.now, input);
        self.pump(place);
    }

    fn pump(&mut self, place: usize) {
        let mut packets = Vec::new();
        let node = &mut self.nodes[place];
        while let Some(output) = node.engine.poll_output() {
            match output {
                Output::Transmit(advert) => packets.push(ReceivedPacket {
                    interface: Some("eth0".into()),
                    source: advert.source,
                    destination: advert.destination,
                    ttl: 255,
                    sealed: None,
                    payload: advert.payload,
                }),
                Output::Log(event) => node.lines.push(event.to_string()),
                Output::Announce(_) | Output::Notify(_) => {}
            }
        }
        for packet in packets {
            self.sent.push((place, packet.clone()));
            for to in 0..self.nodes.len() {
                let meant = packet.destination.is_multicast()
                    || packet.destination == self.nodes[to].address;
                if to != place && meant {
                    self.input(to, Input::Packet(packet.clone()));
                }
            }
        }
    }

    fn run(&mut self, length: Interval) {
        let end = self.now + length;
        loop {
            let timers = self.nodes.iter().enumerate();
            let next =
                timers.filter_map(|(place, node)| Some((node.engine.poll_timeout()?.at, place)));
            let Some((at, place)) = next.min().filter(|(at, _)| *at <= end) else { break };
            self.now = self.now.max(at);
            let wall = self.wall(place);
            let node = &mut self.nodes[place];
            node.engine.handle(self.now, Input::WallClock(wall));
            node.engine.handle_timeout(self.now);
            self.pump(place);
        }
        self.now = end;
    }

    fn masters(&self) -> Vec<usize> {
        let is_master = |place: &usize| self.nodes[*place].engine.is_master("V");
        (0..self.nodes.len()).filter(is_master).collect()
    }

    /// How long it takes until one node is master, and stays so for ten seconds.
    fn time_to_one_master(&mut self) -> Interval {
        let began = self.now;
        let mut one_since = None;
        for _ in 0..4000 {
            if self.masters().len() == 1 {
                let since = *one_since.get_or_insert(self.now);
                if self.now.since(since) >= Interval::from_secs(10) {
                    return since.since(began);
                }
            } else {
                one_since = None;
            }
            self.run(ms(50));
        }
        panic!("never one master for long: {:?}", self.masters());
    }

    fn statistics(&self, place: usize) -> Statistics {
        self.nodes[place].engine.routers().next().unwrap().statistics.clone()
    }

    /// The last advert that a node has sent.
    fn last_of(&self, place: usize) -> ReceivedPacket {
        let mut all = self.sent.iter().rev();
        all.find(|(from, _)| *from == place).map(|(_, packet)| packet.clone()).unwrap()
    }

    fn logged(&self, place: usize, what: &str) -> usize {
        self.nodes[place].lines.iter().filter(|line| line.contains(what)).count()
    }
}

fn unicast(instance: Instance, peers: &[u8]) -> Instance {
    let address = |n: u8| -> IpAddr {
        match instance.family {
            Family::Inet => [10, 0, 0, n].into(),
            Family::Inet6 => [0xfe80, 0, 0, 0, 0, 0, 0, u16::from(n)].into(),
        }
    };
    let peer = |n: &u8| UnicastPeer { address: address(*n), min_ttl: None, max_ttl: None };
    let peers = peers.iter().map(peer).collect();
    Instance { transport: Transport::Unicast { peers, ttl: 64, check_source: false }, ..instance }
}

fn version3(instance: Instance) -> Instance {
    Instance { version: VrrpVersion::V3, ..instance }
}

fn ipv6(instance: Instance) -> Instance {
    let address = VirtualAddress {
        interface: Some("eth0".into()),
        ..VirtualAddress::new("fe80::100".parse().unwrap(), 64)
    };
    let transport = Transport::Multicast { group: "ff02::12".parse().unwrap() };
    let family = Family::Inet6;
    version3(Instance { family, transport, addresses: vec![address.into()], ..instance })
}

type Shape = fn(Instance, &[u8]) -> Instance;
const SHAPES: &[Shape] = &[
    |instance, _| instance,
    |instance, _| version3(instance),
    |instance, _| ipv6(instance),
    unicast,
    |instance, peers| unicast(version3(instance), peers),
    |instance, peers| unicast(ipv6(instance), peers),
];

#[test]
fn v_036_routers_with_the_same_keys_believe_one_another_in_every_way_of_travelling() {
    for (place, shape) in SHAPES.iter().enumerate() {
        let mut net = Net::new(vec![shape(keyed(100), &[2]), shape(keyed(150), &[1])]);
        net.run(Interval::from_secs(30));
        assert_eq!(net.masters(), [1], "shape {place}");
        let heard = net.statistics(0);
        assert!(heard.advert_rcvd > 20, "shape {place}: {heard:?}");
        let counters = [heard.auth_ext_missing, heard.auth_ext_invalid_hmac, heard.auth_ext_replay];
        assert_eq!((counters, heard.checksum_err), ([0; 3], 0), "shape {place}");
        // Padding of a frame is cut off by the socket; behind a trailer there is none.
        let mut longer = net.last_of(1);
        longer.payload.extend([0; 2]);
        net.run(Interval::from_secs(1));
        net.input(0, Input::Packet(longer));
        assert_eq!(net.statistics(0).auth_ext_missing, 1);
    }
}

#[test]
fn one_advert_to_several_peers_has_one_trailer() {
    let mut net = Net::new(vec![unicast(keyed(150), &[2, 3]), unicast(keyed(100), &[1, 3])]);
    net.run(Interval::from_secs(10));
    let to = |n: u8| {
        let adverts = net.sent.iter().filter(|(from, packet)| {
            *from == 0 && packet.destination == IpAddr::from([10, 0, 0, n])
        });
        adverts.map(|(_, packet)| packet.payload.clone()).collect::<Vec<_>>()
    };
    assert!(to(2).len() > 5);
    assert_eq!(to(2), to(3));
}

/// What a router that is alone in its network would send at `now` or little later.
fn advert_of(address: IpAddr, instance: Instance, now: Timestamp) -> ReceivedPacket {
    let mut net = Net::new(vec![instance]);
    net.nodes[0].address = address;
    net.begin(0);
    net.run(now.since(Timestamp::ZERO) + ms(1000));
    net.last_of(0)
}

#[test]
fn each_fault_of_a_trailer_has_its_counter_its_line_and_no_effect() {
    let mut net = Net::new(vec![keyed(100), keyed(50)]);
    net.run(Interval::from_secs(10));
    assert_eq!(net.masters(), [0]);
    let good = advert_of(net.nodes[1].address, keyed(200), net.now);
    net.run(ms(10));
    let from = good.payload.len() - LENGTH;
    let altered = |at: usize, value: u8| {
        let mut packet = good.clone();
        packet.payload[at] = value;
        packet
    };
    let missing = ReceivedPacket { payload: good.payload[..from].to_vec(), ..good.clone() };
    let mut old = good.clone();
    old.payload[from + 4..from + 8].copy_from_slice(&(1_700_000_000u32).to_be_bytes());
    let cases = [
        (missing, "no authentication trailer"),
        (altered(from, 2), "malformed authentication trailer"),
        (altered(from + 1, 3), "unknown authentication key 3"),
        (altered(from + 1, 2), "invalid authentication HMAC"),
        (old, "stale authentication trailer"),
    ];
    for (packet, line) in cases {
        for _ in 0..3 {
            net.input(0, Input::Packet(packet.clone()));
        }
        assert_eq!(net.logged(0, line), 1, "{line}: {:?}", net.nodes[0].lines);
    }
    let count = net.statistics(0);
    assert_eq!(
        [
            count.auth_ext_missing,
            count.auth_ext_malformed,
            count.auth_ext_unknown_key,
            count.auth_ext_invalid_hmac,
            count.auth_ext_stale,
            count.auth_ext_replay
        ],
        [3, 3, 3, 3, 3, 0]
    );
    assert_eq!(net.masters(), [0]);
    // The good one is believed once.
    net.input(0, Input::Packet(good.clone()));
    assert_eq!(net.masters(), Vec::<usize>::new());
    net.input(0, Input::Packet(good));
    assert_eq!(net.statistics(0).auth_ext_replay, 1);
    assert_eq!(net.logged(0, "replayed authentication trailer"), 1);
}

#[test]
fn a_forged_or_damaged_advert_moves_no_mark() {
    let mut net = Net::new(vec![keyed(100), keyed(150)]);
    net.run(Interval::from_secs(10));
    // Stamped later than anything that the master will send for some time, but not by it.
    let mut forged = net.last_of(1);
    let from = forged.payload.len() - LENGTH;
    forged.payload[from + 11] ^= 0xff;
    net.input(0, Input::Packet(forged));
    assert_eq!(net.statistics(0).auth_ext_invalid_hmac, 1);
    // The checksum is not in the HMAC: somebody may hold an advert up and pass a damaged one on.
    let next = advert_of(net.nodes[1].address, keyed(150), net.now);
    let mut damaged = next.clone();
    damaged.payload[6] ^= 1;
    net.input(0, Input::Packet(damaged));
    assert_eq!(net.statistics(0).checksum_err, 1);
    net.input(0, Input::Packet(next));
    assert_eq!(net.statistics(0).auth_ext_replay, 0, "the right one is still good");
}

#[test]
fn adverts_without_a_trailer_are_believed_while_a_cluster_moves_over() {
    for mode in [HmacMode::Permissive, HmacMode::ReceiveOnly] {
        let with = |priority| changed(keyed(priority), |hmac| hmac.mode = mode);
        let mut net = Net::new(vec![with(100), instance("V", 150)]);
        net.run(Interval::from_secs(20));
        // The old one cannot read trailers: it must not be sent any.
        assert_eq!(net.masters(), [1]);
        assert!(net.statistics(0).auth_ext_missing > 10);
        assert_eq!(net.logged(0, "without an authentication trailer"), 1);
        let trailers =
            net.sent.iter().filter(|(from, packet)| *from == 0 && packet.payload.len() > 12 + 8);
        if mode == HmacMode::ReceiveOnly {
            assert_eq!(trailers.count(), 0);
        }
        // What is there must be right, though.
        let mut net = Net::new(vec![
            with(100),
            changed(keyed(150), |hmac| {
                hmac.keys[0].secret = HmacSecret::Bytes(vec![b'x'; 32]);
            }),
        ]);
        net.run(Interval::from_secs(20));
        assert_eq!(net.masters(), [0, 1]);
        assert!(net.statistics(0).auth_ext_invalid_hmac > 10);
        let told = net.logged(0, "invalid authentication HMAC");
        assert_eq!(told, 2, "once as backup, once as master");
    }
    // Two of them that do not sign believe one another.
    let quiet = |priority| changed(keyed(priority), |hmac| hmac.mode = HmacMode::ReceiveOnly);
    let mut net = Net::new(vec![quiet(100), quiet(150)]);
    net.run(Interval::from_secs(20));
    assert_eq!(net.masters(), [1]);
}

#[test]
fn keys_rotate_by_reloads_one_node_after_the_other_with_one_master_throughout() {
    let with = |priority, known: &[u8], active| {
        changed(keyed(priority), |hmac| {
            hmac.keys.retain(|key| known.contains(&key.id));
            hmac.active_key = active;
        })
    };
    let mut net = Net::new([100, 150, 120].map(|priority| with(priority, &[1], 1)).to_vec());
    net.run(Interval::from_secs(10));
    let priorities = [100, 150, 120];
    let stages: [(&[u8], u8); 3] = [(&[1, 2], 1), (&[1, 2], 2), (&[2], 2)];
    for (known, active) in stages {
        for (place, priority) in priorities.into_iter().enumerate() {
            let config = Box::new((Global::default(), alone(with(priority, known, active))));
            net.input(place, Input::Reconfigure(config));
            for _ in 0..30 {
                net.run(ms(100));
                assert_eq!(net.masters(), [1]);
            }
        }
    }
    for place in 0..3 {
        let count = net.statistics(place);
        assert_eq!(count.auth_ext_unknown_key + count.auth_ext_replay, 0, "{count:?}");
        assert_eq!(net.statistics(place).become_master, u64::from(place == 1));
    }
}

#[test]
fn a_unicast_advert_is_believed_of_configured_peers_only() {
    let mut net = Net::new(vec![unicast(keyed(100), &[3]), unicast(keyed(150), &[1])]);
    net.run(Interval::from_secs(20));
    assert_eq!(net.masters(), [0, 1]);
    assert!(net.statistics(0).source_err > 10);
}

#[test]
fn a_router_without_its_active_key_is_in_fault_until_it_is_there() {
    let unread = |hmac: &mut HmacAuthentication| {
        hmac.keys[0].secret = HmacSecret::File("/nonexistent".into());
    };
    let mut net = Net::new(vec![changed(keyed(200), unread), keyed(100)]);
    net.run(Interval::from_secs(10));
    assert_eq!(net.masters(), [1]);
    assert_eq!(net.logged(0, "Entering FAULT STATE"), 1);
    let config = Box::new((Global::default(), alone(keyed(200))));
    net.input(0, Input::Reconfigure(config));
    net.run(Interval::from_secs(10));
    assert_eq!(net.masters(), [0]);
}

const HOURS: [i64; 8] = [-86_400, -36_000, -3600, -60, 60, 3600, 36_000, 86_400];

#[test]
fn wrong_clocks_that_are_set_right_leave_one_master_within_two_windows() {
    // What keepalived got wrong twice (1b0e8c11, 10d8ff6b): a corrected clock, and two masters for good.
    let bound = Interval::from_secs(2 * WINDOW) + Interval::from_secs(4);
    for (which, other) in [(0, 1), (1, 0)] {
        for step in HOURS {
            let mut net = Net::new(vec![keyed(100), keyed(150)]);
            net.nodes[which].error = step;
            net.run(Interval::from_secs(30));
            assert_eq!(net.masters(), [0, 1], "their clocks are {step} s apart");
            net.nodes[which].error = 0;
            let took = net.time_to_one_master();
            assert!(took <= bound, "step {step} of {which}: {took}");
            assert_eq!(net.masters(), [1]);
            // Both by the same, one after the other.
            net.nodes[which].error = step;
            net.run(Interval::from_secs(2));
            net.nodes[other].error = step;
            let took = net.time_to_one_master();
            assert!(took <= bound, "then both by {step}, {which} first: {took}");
            assert_eq!(net.masters(), [1]);
        }
    }
}

/// What may happen to a node, by number.
fn disturb(net: &mut Net, place: usize, what: u8, step: i64, priority: u8) {
    match what {
        0..=2 => net.nodes[place].error = step,
        3 => net.respawn(place, keyed(priority)),
        4 => {
            // Another machine in its place, which knows nothing.
            net.nodes[place].engine =
                VrrpEngine::new(net.now, Global::default(), alone(keyed(priority)));
            net.begin(place);
        }
        5 => {
            let active = |hmac: &mut HmacAuthentication| hmac.active_key = 2;
            let config = Box::new((Global::default(), alone(changed(keyed(priority), active))));
            net.input(place, Input::Reconfigure(config));
        }
        _ => {
            let old = net.sent[net.sent.len() / 2].1.clone();
            net.input(place, Input::Packet(old));
        }
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(60))]
    #[test]
    fn whatever_clocks_processes_keys_and_replays_do_one_master_is_left_when_clocks_are_right(
        life in proptest::collection::vec((0..3usize, 0..7u8, 0..12usize, 0..9000u64), 1..25),
    ) {
        let priorities = [100, 150, 120];
        let steps = [-86_400, -3600, -60, -9, -5, -2, 0, 2, 5, 9, 3600, 86_400];
        let mut net = Net::new(priorities.map(keyed).to_vec());
        net.run(Interval::from_secs(10));
        for (place, what, step, wait) in life {
            disturb(&mut net, place, what, steps[step], priorities[place]);
            net.run(ms(wait));
        }
        net.nodes.iter_mut().for_each(|node| node.error = 0);
        net.run(Interval::from_secs(2 * WINDOW) + Interval::from_secs(8));
        proptest::prop_assert_eq!(net.masters(), [1]);
        let began = net.statistics(1).become_master;
        net.run(Interval::from_secs(20));
        proptest::prop_assert_eq!(net.masters(), [1]);
        proptest::prop_assert_eq!(net.statistics(1).become_master, began);
    }
}

#[test]
fn a_step_within_the_window_or_little_more_is_over_within_two_windows() {
    let bound = Interval::from_secs(2 * WINDOW) + Interval::from_secs(4);
    for which in [0, 1] {
        for before in -5..=5i64 {
            for after in -5..=5i64 {
                let mut net = Net::new(vec![keyed(100), keyed(150)]);
                net.nodes[which].error = before;
                net.run(Interval::from_secs(20));
                net.nodes[which].error = after;
                let took = net.time_to_one_master();
                assert!(took <= bound, "from {before} to {after}: {took}");
                assert_eq!(net.masters(), [1], "from {before} to {after}");
                let near = before.abs() <= 4 && after.abs() <= 4 && before - after <= 5;
                if near {
                    let became = net.statistics(0).become_master;
                    assert_eq!(became, 0, "from {before} to {after}: nobody noticed");
                }
            }
        }
    }
}

#[test]
fn with_growing_numbers_only_no_clock_matters_while_the_processes_live() {
    let monotonic =
        |priority| changed(keyed(priority), |hmac| hmac.replay = ReplayProtection::Monotonic);
    for which in [0, 1] {
        for step in HOURS {
            let mut net = Net::new(vec![monotonic(100), monotonic(150)]);
            net.run(Interval::from_secs(10));
            net.nodes[which].error = step;
            net.run(Interval::from_secs(20));
            net.nodes[which].error = 0;
            net.run(Interval::from_secs(20));
            assert_eq!(net.masters(), [1]);
            assert_eq!(net.statistics(0).become_master, 0, "step {step} of {which}");
            assert_eq!(net.statistics(0).auth_ext_replay, 0);
        }
    }
}

#[test]
fn a_new_process_goes_on_from_the_stamps_of_the_dead_one() {
    for replay in [ReplayProtection::Time, ReplayProtection::Monotonic] {
        let with = |priority| changed(keyed(priority), |hmac| hmac.replay = replay);
        let mut net = Net::new(vec![with(100), with(150)]);
        net.nodes[1].error = 4;
        net.run(Interval::from_secs(20));
        // Set right by less than the window: it counts on from its last stamp, and dies.
        net.nodes[1].error = 0;
        net.run(ms(1500));
        net.respawn(1, with(150));
        net.run(ms(3600));
        assert_eq!(net.masters(), [1], "master again by its patience, and believed");
        assert_eq!(net.statistics(0).auth_ext_replay, 0);
        assert_eq!(net.statistics(0).become_master, 0);
    }
}

#[test]
fn a_reload_forgets_neither_stamps_nor_marks() {
    let mut net = Net::new(vec![keyed(100), keyed(150)]);
    net.run(Interval::from_secs(10));
    let captured = net.last_of(1);
    for place in 0..2 {
        let mut other = keyed([100, 150][place]);
        other.skip_check_adv_addr = true;
        net.input(place, Input::Reconfigure(Box::new((Global::default(), alone(other)))));
    }
    net.input(0, Input::Packet(captured));
    assert_eq!(net.statistics(0).auth_ext_replay, 1);
    // An instance that goes and comes back at once is not one that replays.
    let nothing = Box::new((Global::default(), VrrpConfig::default()));
    net.nodes[1].error = -4;
    net.input(1, Input::Reconfigure(nothing));
    net.input(1, Input::Reconfigure(Box::new((Global::default(), alone(keyed(150))))));
    net.input(1, Input::Start);
    net.run(Interval::from_secs(10));
    assert_eq!(net.masters(), [1]);
    assert_eq!(net.statistics(0).auth_ext_replay, 1);
}

#[test]
fn clocks_that_drift_apart_are_told_before_adverts_are_dropped() {
    let mut net = Net::new(vec![keyed(100), keyed(150)]);
    net.nodes[1].error = 3;
    net.run(Interval::from_secs(20));
    assert_eq!(net.logged(0, "the clock of 10.0.0.2 is 3 s ahead of ours"), 1);
    assert_eq!(net.masters(), [1]);
}

#[test]
fn stamps_that_were_sent_are_never_sent_again() {
    for replay in [ReplayProtection::Time, ReplayProtection::Monotonic] {
        let mut net = Net::new(vec![changed(keyed(100), |hmac| hmac.replay = replay)]);
        for error in [0, 2, -2, 4, 1, -3] {
            net.nodes[0].error = error;
            net.run(ms(2300));
        }
        let stamps: Vec<Stamp> = net
            .sent
            .iter()
            .map(|(_, packet)| {
                let trailer = packet.payload.last_chunk::<LENGTH>().unwrap();
                Stamp::from_bits(u64::from_be_bytes(trailer[4..12].try_into().unwrap()))
            })
            .collect();
        assert!(stamps.len() > 8);
        let grow = stamps.windows(2).all(|pair| pair[1].is_after(pair[0]));
        assert!(grow, "{replay:?}");
    }
}
