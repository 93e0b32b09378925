//! Whole clusters in one process: the real engines on a virtual network, driven by a seed.
//!
//! Packets take time, get lost and arrive out of order; nodes crash, return, lose their link, are
//! cut off, pause, reload. The oracles: while the network is whole, two masters at once only for as
//! long as an advert travels; once things are quiet, one master, and the best of those alive; a
//! takeover within the protocol's bound; and the kernel of every node has what its engine wants.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use steadfast::core::config::compile::compile;
use steadfast::core::config::model::Config;
use steadfast::core::config::source::SourceSet;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::vrrp::desired::DesiredAddress;
use steadfast::vrrp::engine::{Input, LinkState, Output, OwnAddresses, ReceivedPacket, VrrpEngine};
use steadfast::vrrp::event::State;

/// A small generator; the same seed gives the same cluster life.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
    V2,
    V3,
    /// Version 3 with the trailer of `auth_hmac`, which knows the time.
    Keyed,
}

/// Of the trailers: how far clocks may be apart.
const WINDOW: Interval = Interval::from_secs(5);

struct Node {
    address: IpAddr,
    priority: u8,
    engine: Option<VrrpEngine>,
    kernel: BTreeSet<DesiredAddress>,
    /// Frozen until then: neither packets nor timers are looked at.
    paused_until: Timestamp,
    mailbox: Vec<ReceivedPacket>,
    link: bool,
    /// What its wall clock adds to the right time, in seconds.
    clock: i64,
}

struct Flight {
    to: usize,
    packet: ReceivedPacket,
}

struct Cluster {
    now: Timestamp,
    nodes: Vec<Node>,
    flights: BTreeMap<(Timestamp, u64), Flight>,
    sequence: u64,
    chance: Chance,
    loss_percent: u64,
    cut: BTreeSet<(usize, usize)>,
    protocol: Protocol,
    /// Since when there is more than one master, while the network is whole.
    split_since: Option<Timestamp>,
    whole_since: Timestamp,
    /// Since when all clocks are right.
    clocks_right: Timestamp,
}

fn configuration(protocol: Protocol, priority: u8) -> Config {
    let version = match protocol {
        Protocol::V2 => 2,
        Protocol::V3 | Protocol::Keyed => 3,
    };
    let keyed = match protocol {
        Protocol::V2 | Protocol::V3 => "",
        Protocol::Keyed => "auth_hmac {\nkey 1 0123456789abcdef0123456789abcdef\nactive_key 1\n}\n",
    };
    let text = format!(
        "vrrp_instance V {{\nversion {version}\ninterface eth0\nvirtual_router_id 7\n\
         priority {priority}\nadvert_int 1\n{keyed}virtual_ipaddress {{\n10.0.0.100\n}}\n}}\n"
    );
    let compiled = compile(&SourceSet::from_text("node.conf", text));
    assert!(compiled.refusal().is_none());
    compiled.config
}

fn ms(milliseconds: u64) -> Interval {
    Interval::from_millis(milliseconds)
}

impl Cluster {
    fn new(size: usize, protocol: Protocol, seed: u64) -> Self {
        let mut cluster = Self {
            now: Timestamp::ZERO + Interval::from_secs(1),
            nodes: Vec::new(),
            flights: BTreeMap::new(),
            sequence: 0,
            chance: Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            loss_percent: 0,
            cut: BTreeSet::new(),
            protocol,
            split_since: None,
            whole_since: Timestamp::ZERO,
            clocks_right: Timestamp::ZERO,
        };
        for place in 0..size {
            // Priorities of which two may be equal: then the address decides.
            let priority = 50 + 20 * u8::try_from(cluster.chance.below(8)).unwrap();
            cluster.nodes.push(Node {
                address: IpAddr::from([10, 0, 0, u8::try_from(place + 1).unwrap()]),
                priority,
                engine: None,
                kernel: BTreeSet::new(),
                paused_until: Timestamp::ZERO,
                mailbox: Vec::new(),
                link: true,
                clock: 0,
            });
        }
        for place in 0..size {
            cluster.boot(place);
        }
        cluster
    }

    fn boot(&mut self, place: usize) {
        let config = configuration(self.protocol, self.nodes[place].priority);
        let node = &mut self.nodes[place];
        node.kernel.clear();
        node.mailbox.clear();
        node.engine = Some(VrrpEngine::new(self.now, config.global, config.vrrp));
        self.tell_link(place);
        self.input(place, Input::Start);
    }

    fn tell_link(&mut self, place: usize) {
        let node = &self.nodes[place];
        let state = if node.link { LinkState::Up } else { LinkState::Down };
        let own = OwnAddresses { inet: Some(node.address), inet6: None };
        self.input(place, Input::Link { interface: "eth0".into(), state, own });
    }

    /// As the daemon does before packets and timers.
    fn tell_time(&mut self, place: usize) {
        let right = 1_790_000_000 + self.nodes[place].clock;
        let wall = Interval::from_secs(u64::try_from(right).unwrap());
        let wall = wall + self.now.since(Timestamp::ZERO);
        let now = self.now;
        if let Some(engine) = &mut self.nodes[place].engine {
            engine.handle(now, Input::WallClock(wall));
        }
    }

    fn input(&mut self, place: usize, input: Input) {
        let now = self.now;
        self.tell_time(place);
        if let Some(engine) = &mut self.nodes[place].engine {
            engine.handle(now, input);
        }
        self.settle(place);
    }

    /// Outputs onto the network, the kernel into line, as the daemon does it.
    fn settle(&mut self, place: usize) {
        for _ in 0..4 {
            let Some(engine) = &mut self.nodes[place].engine else { return };
            let mut sent = Vec::new();
            while let Some(output) = engine.poll_output() {
                if let Output::Transmit(advert) = output {
                    sent.push(advert);
                }
            }
            let desired = engine.desired();
            let node = &mut self.nodes[place];
            if node.kernel != desired {
                node.kernel.clone_from(&desired);
                let present = desired.into_iter().collect();
                let now = self.now;
                if let Some(engine) = &mut node.engine {
                    engine.handle(now, Input::AddressesPresent(present));
                }
            }
            for advert in sent {
                let packet = ReceivedPacket {
                    sealed: None,
                    interface: Some("eth0".into()),
                    source: advert.source,
                    destination: advert.destination,
                    ttl: 255,
                    payload: advert.payload,
                };
                self.spread(place, &packet);
            }
        }
    }

    fn spread(&mut self, from: usize, packet: &ReceivedPacket) {
        for to in 0..self.nodes.len() {
            let lost = self.chance.below(100) < self.loss_percent;
            let reachable = self.nodes[from].link && self.nodes[to].link;
            if to == from || lost || !reachable || self.cut.contains(&(from, to)) {
                continue;
            }
            let delay = Interval::from_micros(50 + self.chance.below(2000));
            self.sequence += 1;
            let key = (self.now + delay, self.sequence);
            self.flights.insert(key, Flight { to, packet: packet.clone() });
        }
    }

    fn next_event(&self) -> Option<Timestamp> {
        let timers = self.nodes.iter().filter_map(|node| {
            let at = node.engine.as_ref()?.poll_timeout()?.at;
            Some(at.max(node.paused_until))
        });
        let waiting =
            self.nodes.iter().filter(|node| !node.mailbox.is_empty()).map(|node| node.paused_until);
        let flights = self.flights.keys().next().map(|(at, _)| *at);
        timers.chain(waiting).chain(flights).min()
    }

    fn run(&mut self, length: Interval) {
        let end = self.now + length;
        while let Some(at) = self.next_event().filter(|at| *at <= end) {
            self.now = self.now.max(at);
            while let Some((key, _)) =
                self.flights.first_key_value().filter(|(key, _)| key.0 <= self.now)
            {
                let key = *key;
                if let Some(flight) = self.flights.remove(&key) {
                    self.nodes[flight.to].mailbox.push(flight.packet);
                }
            }
            for place in 0..self.nodes.len() {
                if self.nodes[place].paused_until > self.now {
                    continue;
                }
                // Packets before timers, as in the daemon.
                for packet in std::mem::take(&mut self.nodes[place].mailbox) {
                    self.input(place, Input::Packet(packet));
                }
                let now = self.now;
                self.tell_time(place);
                if let Some(engine) = &mut self.nodes[place].engine
                    && engine.poll_timeout().is_some_and(|deadline| deadline.at <= now)
                {
                    engine.handle_timeout(now);
                    self.settle(place);
                }
            }
            self.check_safety();
        }
        self.now = end;
    }

    fn masters(&self) -> Vec<usize> {
        let is_master = |node: &Node| {
            node.engine
                .as_ref()
                .is_some_and(|engine| engine.routers().any(|router| router.state == State::Master))
        };
        (0..self.nodes.len()).filter(|place| is_master(&self.nodes[*place])).collect()
    }

    fn is_whole(&self) -> bool {
        let awake = self.nodes.iter().all(|node| node.paused_until <= self.now);
        self.loss_percent == 0 && self.cut.is_empty() && awake && self.clocks_agree()
    }

    /// Clocks are right, and what wrong ones have left behind is over.
    fn clocks_agree(&self) -> bool {
        let right = self.nodes.iter().all(|node| node.clock == 0);
        let over = WINDOW * 2 + Interval::from_secs(4);
        self.protocol != Protocol::Keyed || (right && self.now.since(self.clocks_right) > over)
    }

    /// With a whole network, two masters last no longer than an advert interval: the better one's
    /// next advert ends it. (A node that returns from a pause or a partition needs one to be heard.)
    fn check_safety(&mut self) {
        if !self.is_whole() {
            self.split_since = None;
            self.whole_since = self.now;
            return;
        }
        if self.masters().len() < 2 {
            self.split_since = None;
            return;
        }
        let since = *self.split_since.get_or_insert(self.now);
        let lasts = self.now.since(since);
        assert!(lasts <= ms(1010), "two masters for {lasts} s: {:?}", self.masters());
        for node in &self.nodes {
            if let Some(engine) = &node.engine {
                assert_eq!(node.kernel, engine.desired());
            }
        }
    }

    /// Heals everything, waits, and expects the best living node to be the only master.
    fn check_liveness(&mut self) {
        self.loss_percent = 0;
        self.cut.clear();
        for place in 0..self.nodes.len() {
            self.nodes[place].paused_until = self.now;
            if !self.nodes[place].link {
                self.nodes[place].link = true;
                self.tell_link(place);
            }
        }
        let rivals = self.masters();
        if self.nodes.iter().any(|node| node.clock != 0) {
            self.clocks_right = self.now;
            for node in &mut self.nodes {
                node.clock = 0;
            }
        }
        if self.protocol == Protocol::Keyed {
            self.run(WINDOW * 2 + Interval::from_secs(4));
        }
        self.run(Interval::from_secs(10));
        let alive: Vec<usize> =
            (0..self.nodes.len()).filter(|place| self.nodes[*place].engine.is_some()).collect();
        let masters = self.masters();
        if alive.is_empty() {
            assert!(masters.is_empty());
            return;
        }
        assert_eq!(masters.len(), 1, "masters {masters:?} of {alive:?}");
        let best = alive.iter().map(|place| self.nodes[*place].priority).max().unwrap();
        assert_eq!(self.nodes[masters[0]].priority, best, "the best priority wins");
        // Of equal masters that meet again, the one of the higher address stays (section 6.4.3).
        // While trailers are not believed, others join in.
        let rivals = if self.protocol == Protocol::Keyed { Vec::new() } else { rivals };
        let best_rivals = rivals.iter().filter(|place| self.nodes[**place].priority == best);
        if let (Some(highest), true) = (best_rivals.clone().max(), best_rivals.count() > 1) {
            assert_eq!(masters, [*highest], "of {rivals:?} the higher address wins");
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let holds = !node.kernel.is_empty() && node.engine.is_some();
            assert_eq!(holds, masters.contains(&place), "the address is on the master only");
        }
    }

    fn disturb(&mut self) {
        let place = usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap();
        let kinds = if self.protocol == Protocol::Keyed { 11 } else { 9 };
        match self.chance.below(kinds) {
            0 => self.nodes[place].engine = None,
            1 if self.nodes[place].engine.is_none() => self.boot(place),
            2 => {
                self.nodes[place].link = !self.nodes[place].link;
                self.tell_link(place);
            }
            3 => {
                let length = Interval::from_millis(200 + self.chance.below(6000));
                self.nodes[place].paused_until = self.now + length;
            }
            4 => {
                let other = usize::try_from(self.chance.below(self.nodes.len() as u64)).unwrap();
                if other != place {
                    // One way only, half of the time.
                    self.cut.insert((place, other));
                    if self.chance.below(2) == 0 {
                        self.cut.insert((other, place));
                    }
                }
            }
            5 => self.cut.clear(),
            6 => self.loss_percent = self.chance.below(3) * 30,
            7 => {
                // A reload with the same text, at any instant, changes nothing.
                let config = configuration(self.protocol, self.nodes[place].priority);
                let before = self.nodes[place].engine.as_ref().map(VrrpEngine::desired);
                let input = Input::Reconfigure(Box::new((config.global, config.vrrp)));
                self.input(place, input);
                let after = self.nodes[place].engine.as_ref().map(VrrpEngine::desired);
                assert_eq!(before, after);
            }
            9 => {
                let steps = [-86_400, -3600, -60, -9, -3, 0, 3, 9, 60, 3600, 86_400];
                let step = usize::try_from(self.chance.below(steps.len() as u64)).unwrap();
                self.nodes[place].clock = steps[step];
                self.clocks_right = self.now;
            }
            10 => {
                // A process dies, and another one goes on with what it has left.
                let last = self.nodes[place].engine.as_ref().and_then(VrrpEngine::last_stamp);
                let config = configuration(self.protocol, self.nodes[place].priority);
                let engine = VrrpEngine::new(self.now, config.global, config.vrrp);
                self.nodes[place].engine = Some(engine);
                if let Some(last) = last {
                    self.input(place, Input::LastStamp(last));
                }
                self.tell_link(place);
                self.input(place, Input::Start);
            }
            _ => {
                // An orderly stop.
                self.input(place, Input::Shutdown);
                self.nodes[place].engine = None;
                self.nodes[place].kernel.clear();
            }
        }
    }
}

fn lives(size: usize, protocol: Protocol, seeds: u64) {
    for seed in 1..=seeds {
        let life = std::panic::AssertUnwindSafe(|| {
            let mut cluster = Cluster::new(size, protocol, seed);
            cluster.check_liveness();
            for _ in 0..6 {
                for _ in 0..=cluster.chance.below(3) {
                    cluster.disturb();
                    let wait = Interval::from_millis(cluster.chance.below(5000));
                    cluster.run(wait);
                }
                cluster.check_liveness();
            }
        });
        if let Err(fault) = std::panic::catch_unwind(life) {
            eprintln!("{size} nodes, {protocol:?}, seed {seed}");
            std::panic::resume_unwind(fault);
        }
    }
}

#[test]
fn two_nodes_live_through_anything_with_one_master_at_rest() {
    lives(2, Protocol::V2, 300);
    lives(2, Protocol::V3, 300);
}

#[test]
fn three_nodes_live_through_anything_with_one_master_at_rest() {
    lives(3, Protocol::V2, 300);
    lives(3, Protocol::V3, 300);
}

#[test]
fn five_nodes_live_through_anything_with_one_master_at_rest() {
    lives(5, Protocol::V2, 200);
    lives(5, Protocol::V3, 200);
}

#[test]
fn nodes_with_keyed_trailers_live_through_clocks_that_step_by_hours() {
    lives(2, Protocol::Keyed, 80);
    lives(3, Protocol::Keyed, 50);
}

#[test]
fn a_crash_is_followed_by_a_takeover_within_the_protocols_bound() {
    for size in [2, 3, 5] {
        for seed in 1..=100 {
            let mut cluster = Cluster::new(size, Protocol::V2, seed);
            cluster.check_liveness();
            let wait = Interval::from_millis(cluster.chance.below(1000));
            cluster.run(wait);
            let master = cluster.masters()[0];
            cluster.nodes[master].engine = None;
            let next = cluster
                .nodes
                .iter()
                .filter(|node| node.engine.is_some())
                .map(|node| node.priority)
                .max()
                .unwrap();
            let elections = |cluster: &Cluster| -> Vec<u64> {
                let count = |node: &Node| {
                    let engine = node.engine.as_ref()?;
                    Some(engine.routers().map(|router| router.statistics.become_master).sum())
                };
                cluster.nodes.iter().map(|node| count(node).unwrap_or(0)).collect()
            };
            let before = elections(&cluster);
            let skew = Interval::from_secs(1).fraction(256 - u64::from(next), 256);
            cluster.run(Interval::from_secs(3) + skew + ms(5));
            let masters = cluster.masters();
            assert!(!masters.is_empty(), "{size} nodes, seed {seed}");
            assert!(masters.iter().any(|place| cluster.nodes[*place].priority == next));
            // The skew is there so that only the best speaks up: one election for one failure.
            cluster.run(Interval::from_secs(5));
            for (place, (before, after)) in before.iter().zip(elections(&cluster)).enumerate() {
                let best = cluster.nodes[place].priority == next;
                assert!(after == *before || best, "{size} nodes, seed {seed}: {place} tried too");
            }
        }
    }
}
