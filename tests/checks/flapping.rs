//! A day of flapping servers: the engine, the table and a kernel in memory, hour after hour, with
//! servers that die, stall and come back, probes that never end, reloads, a kernel that others
//! change and that refuses, and check processes that are killed.
//!
//! The oracle knows what each server truly does and since when, and what the file says. It does not
//! look into the engine. At any time a server that has been bad for longer than its check may take
//! has no traffic, and one that has been good for longer has its weight; when all have been what
//! they are for that long, the whole table is what the file and the truth give.
//!
//! One seed runs always; `STEADFAST_FLAP_SEEDS=N` runs N.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::IpAddr;

use steadfast::check::engine::{CheckEngine, CheckerId, Input, Outcome, Output};
use steadfast::check::kernel_table::{KernelTable, Look};
use steadfast::core::config::model::Family;
use steadfast::core::config::model::check::Probe;
use steadfast::core::config::model::global::Global;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::ipvs::model::{Destination, DestinationKey, Entry, ServiceKey, Table};

use super::rig::{Kernel, read};

const DAY: Interval = Interval::from_secs(24 * 3600);
/// As the daemon looks for changes of others.
const LOOK: Interval = Interval::from_secs(5);
/// After it, a probe that gives no result is given up.
const MARGIN: Interval = Interval::from_secs(5);
/// Hosts behind the services.
const HOSTS: u8 = 8;
const TIMEOUT: u64 = 2;

/// The generator of SplitMix64: the same seed, the same day.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit
    }

    fn one_in(&mut self, number: u64) -> bool {
        self.below(number) == 0
    }
}

/// What a host does to probes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Good,
    /// Refuses at once.
    Refuses,
    /// Until the probe's own limit.
    TimesOut,
    /// The probe is lost: no result at all.
    Swallows,
}

#[derive(Debug, Clone)]
struct Server {
    host: u8,
    weight: u32,
    inhibit: bool,
    retry: u64,
    between: u64,
    rise: u64,
    slow_start: u64,
}

impl Server {
    /// The longest time from a change to bad until the table must say so.
    fn to_fall(&self, delay: u64) -> Interval {
        let probe = Interval::from_secs(TIMEOUT) + MARGIN;
        Interval::from_secs(delay)
            + probe * (self.retry + 2)
            + Interval::from_secs(self.between) * self.retry
    }

    /// And from a change to good until it has its whole weight.
    fn to_rise(&self, delay: u64) -> Interval {
        let probe = Interval::from_secs(TIMEOUT) + MARGIN;
        let waits = Interval::from_secs(delay.max(self.between) + 1) * (self.rise + 1);
        probe + waits + Interval::from_secs(self.slow_start) + Interval::from_secs(1)
    }
}

#[derive(Debug, Clone)]
struct Service {
    /// `10.0.0.N`, or a group of that and a mark.
    number: u8,
    group: bool,
    delay: u64,
    quorum: u32,
    hysteresis: u32,
    sorry: bool,
    alpha: bool,
    servers: Vec<Server>,
}

impl Service {
    fn random(chance: &mut Chance, number: u8) -> Self {
        let mut hosts: BTreeSet<u8> = BTreeSet::new();
        for _ in 0..=chance.below(4) {
            hosts.insert(u8::try_from(chance.below(u64::from(HOSTS))).unwrap() + 1);
        }
        let servers: Vec<Server> = hosts
            .into_iter()
            .map(|host| Server {
                host,
                weight: u32::try_from(chance.below(3)).unwrap() + 1,
                inhibit: chance.one_in(3),
                retry: chance.below(3),
                between: chance.below(3) + 1,
                rise: if chance.one_in(4) { 3 } else { 1 },
                slow_start: if chance.one_in(4) { 20 } else { 0 },
            })
            .collect();
        let total = servers.iter().map(|server| u64::from(server.weight)).sum::<u64>();
        let quorum = u32::try_from(chance.below(total)).unwrap() + 1;
        let hysteresis = u32::try_from(chance.below(u64::from(quorum.min(2)))).unwrap();
        Self {
            number,
            group: chance.one_in(3),
            delay: chance.below(8) + 2,
            quorum,
            hysteresis,
            sorry: chance.one_in(2),
            alpha: chance.one_in(4),
            servers,
        }
    }

    fn keys(&self) -> Vec<ServiceKey> {
        let address = IpAddr::from([10, 0, 0, self.number]);
        let mut keys = vec![ServiceKey::Address { address, port: 80, protocol: 6 }];
        if self.group {
            let family = Family::Inet;
            keys.push(ServiceKey::Fwmark { mark: self.number.into(), family });
        }
        keys
    }

    fn text(&self) -> String {
        let Self { number, delay, quorum, hysteresis, .. } = self;
        let mut text = String::new();
        if self.group {
            writeln!(text, "virtual_server_group g{number} {{\n10.0.0.{number} 80\nfwmark {number}\n}}\nvirtual_server group g{number} {{").unwrap();
        } else {
            writeln!(text, "virtual_server 10.0.0.{number} 80 {{").unwrap();
        }
        writeln!(text, "lb_algo wrr\nlb_kind NAT\nprotocol TCP\ndelay_loop {delay}\nquorum {quorum}\nhysteresis {hysteresis}").unwrap();
        text.push_str(if self.sorry { "sorry_server 10.9.9.9 80\n" } else { "" });
        text.push_str(if self.alpha { "alpha\n" } else { "" });
        for server in &self.servers {
            let Server { host, weight, retry, between, rise, slow_start, .. } = server;
            let inhibit = if server.inhibit { "inhibit_on_failure\n" } else { "" };
            writeln!(text, "real_server 10.1.0.{host} 80 {{\nweight {weight}\n{inhibit}slow_start {slow_start}\nTCP_CHECK {{\nconnect_timeout {TIMEOUT}\nretry {retry}\ndelay_before_retry {between}\nrise {rise}\n}}\n}}").unwrap();
        }
        text.push_str("}\n");
        text
    }
}

/// A host: what it does, and since when.
#[derive(Debug, Clone, Copy)]
struct Host {
    truth: Truth,
    since: Timestamp,
}

impl Host {
    fn set(&mut self, now: Timestamp, truth: Truth) {
        if (truth == Truth::Good) != (self.truth == Truth::Good) {
            self.since = now;
        }
        self.truth = truth;
    }
}

#[derive(Debug, Default)]
struct Counts {
    probes: u64,
    changes: u64,
    reloads: u64,
    kills: u64,
    meddled: u64,
    looks: u64,
    rests: u64,
}

struct Day {
    chance: Chance,
    now: Timestamp,
    kernel: Kernel,
    table: KernelTable<Kernel>,
    engine: CheckEngine,
    services: Vec<Service>,
    hosts: BTreeMap<u8, Host>,
    /// Probes under way: when they end, whose, how.
    under_way: BTreeMap<(Timestamp, CheckerId), Outcome>,
    /// Nothing is promised of the time before: the last reload or start.
    begun: Timestamp,
    /// The last time that somebody meddled, or the kernel began to obey again.
    obedient: Timestamp,
    foreign: BTreeSet<ServiceKey>,
    counts: Counts,
}

fn text_of(services: &[Service]) -> String {
    services.iter().map(Service::text).collect()
}

impl Day {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed);
        let services: Vec<Service> =
            (1..=3).map(|number| Service::random(&mut chance, number)).collect();
        let kernel = Kernel::default();
        let table = KernelTable::take_over(kernel.clone(), &Global::default());
        let config = read(&text_of(&services)).config.check;
        let engine = CheckEngine::new(Timestamp::ZERO, &config, &Table::new(), seed);
        let host = Host { truth: Truth::Good, since: Timestamp::ZERO };
        Self {
            chance,
            now: Timestamp::ZERO,
            kernel,
            table,
            engine,
            services,
            hosts: (1..=HOSTS).map(|number| (number, host)).collect(),
            under_way: BTreeMap::new(),
            begun: Timestamp::ZERO,
            obedient: Timestamp::ZERO,
            foreign: BTreeSet::new(),
            counts: Counts::default(),
        }
    }

    /// Lives until `end`; every few seconds the daemon's look, and the oracle's.
    fn live(&mut self, end: Timestamp) {
        let mut look = self.now + LOOK;
        loop {
            let timer = self.engine.poll_timeout().unwrap_or(end);
            let probe = self.under_way.keys().next().map_or(end, |(at, _)| *at);
            let next = timer.min(probe).min(look).min(end).max(self.now);
            self.now = next;
            while let Some(entry) =
                self.under_way.first_entry().filter(|entry| entry.key().0 <= next)
            {
                let ((_, id), outcome) = entry.remove_entry();
                self.engine.handle(next, Input::Finished { id, outcome });
                self.settle();
            }
            self.engine.handle_timeout(next);
            self.settle();
            if look <= next {
                while self.table.look(|| self.engine.desired()) == Look::More {}
                self.judge();
                look = next + LOOK;
            }
            if next >= end {
                return;
            }
        }
    }

    fn settle(&mut self) {
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::StartProbe { id, checker, .. } => {
                    self.counts.probes += 1;
                    self.engine.handle(self.now, Input::Started { id });
                    let Probe::Tcp(connect) = &checker.probe else { panic!("{checker:?}") };
                    self.ask(id, last(&connect.destination.ip()));
                }
                Output::CancelProbe(id) => self.under_way.retain(|(_, other), _| *other != id),
                _ => {}
            }
        }
        self.table.follow(&mut self.engine);
    }

    fn ask(&mut self, id: CheckerId, host: u8) {
        let latency = Interval::from_millis(self.chance.below(200) + 1);
        let (success, wait) = match self.hosts[&host].truth {
            Truth::Good => (true, latency),
            Truth::Refuses => (false, latency),
            Truth::TimesOut => (false, Interval::from_secs(TIMEOUT)),
            Truth::Swallows => return,
        };
        let outcome = if success {
            Outcome::Success { text: String::new(), weight: None, warning: None }
        } else {
            Outcome::Failure { text: String::new(), cause: None }
        };
        self.under_way.insert((self.now + wait, id), outcome);
    }

    /// Something happens.
    fn blow(&mut self) {
        match self.chance.below(12) {
            0..=6 => {
                let number = u8::try_from(self.chance.below(u64::from(HOSTS))).unwrap() + 1;
                let truth = match self.chance.below(6) {
                    0 => Truth::Refuses,
                    1 => Truth::TimesOut,
                    2 => Truth::Swallows,
                    _ => Truth::Good,
                };
                self.counts.changes += 1;
                let now = self.now;
                self.hosts.get_mut(&number).unwrap().set(now, truth);
            }
            7 => self.reload(),
            8 if self.settled() => self.kill(),
            _ => self.meddle(),
        }
    }

    fn reload(&mut self) {
        self.counts.reloads += 1;
        let place = usize::try_from(self.chance.below(self.services.len() as u64)).unwrap();
        match self.chance.below(6) {
            0 if self.services.len() < 6 => {
                let used: BTreeSet<u8> = self.services.iter().map(|found| found.number).collect();
                let number = (1..=9).find(|number| !used.contains(number)).unwrap();
                let service = Service::random(&mut self.chance, number);
                self.services.insert(place, service);
            }
            1 if self.services.len() > 1 => drop(self.services.remove(place)),
            2 => self.services.reverse(),
            3 => {
                let number = self.services[place].number;
                self.services[place] = Service::random(&mut self.chance, number);
            }
            4 => self.services[place].sorry ^= true,
            _ => {}
        }
        let config = Box::new(read(&text_of(&self.services)).config.check);
        self.engine.handle(self.now, Input::Reconfigure(config));
        self.settle();
        self.begun = self.now;
    }

    /// Whether the kernel has taken all that it was told. A process that dies before cannot tell its
    /// successor which services were to go.
    fn settled(&self) -> bool {
        let kernel = self.kernel.0.borrow();
        let obeys = kernel.refuse.is_none() && kernel.unreadable == 0;
        obeys && self.now > self.obedient + LOOK * 2
    }

    /// Another process on the kernel that this one leaves.
    fn kill(&mut self) {
        self.counts.kills += 1;
        self.under_way.clear();
        let config = read(&text_of(&self.services)).config.check;
        self.table = KernelTable::take_over(self.kernel.clone(), &Global::default());
        let known = self.table.known().cloned().unwrap_or_default();
        let seed = self.chance.below(u64::MAX);
        self.engine = CheckEngine::new(self.now, &config, &known, seed);
        self.begun = self.now;
        self.settle();
    }

    /// Somebody else at the kernel, or the kernel itself.
    fn meddle(&mut self) {
        self.counts.meddled += 1;
        let service = usize::try_from(self.chance.below(self.services.len() as u64)).unwrap();
        let key = self.services[service].keys()[0];
        let mut kernel = self.kernel.0.borrow_mut();
        match self.chance.below(6) {
            0 => {
                kernel.table.clear();
                self.foreign.clear();
            }
            1 => {
                let mark = u32::try_from(self.chance.below(100)).unwrap() + 1000;
                let family = Family::Inet;
                let own = ServiceKey::Fwmark { mark, family };
                let Some(entry) = kernel.table.get(&key).cloned() else { return };
                kernel.table.insert(own, entry);
                self.foreign.insert(own);
            }
            2 => {
                let Some(entry) = kernel.table.get_mut(&key) else { return };
                let host = u8::try_from(self.chance.below(u64::from(HOSTS))).unwrap() + 1;
                let stranger = DestinationKey { address: [10, 1, 0, host].into(), port: 80 };
                let forwarding = None;
                let destination =
                    Destination { forwarding, weight: 7, upper_threshold: 0, lower_threshold: 0 };
                entry.destinations.insert(stranger, destination);
            }
            3 => {
                let Some(entry) = kernel.table.get_mut(&key) else { return };
                entry.destinations.clear();
            }
            4 => kernel.unreadable = 2,
            _ => kernel.refuse = Some(key),
        }
        self.obedient = self.now;
    }

    fn obey(&mut self) {
        let mut kernel = self.kernel.0.borrow_mut();
        kernel.refuse = None;
        kernel.unreadable = 0;
        drop(kernel);
        self.obedient = self.now;
    }

    // ---- the oracle

    /// Good or bad for long enough that the table must show it; `None` before.
    fn certain(&self, service: &Service, server: &Server) -> Option<bool> {
        let host = self.hosts[&server.host];
        let since = host.since.max(self.begun);
        let good = host.truth == Truth::Good;
        let limit =
            if good { server.to_rise(service.delay) } else { server.to_fall(service.delay) };
        // A first probe waits for its warm-up, which is the interval unless it is written.
        let limit = limit + Interval::from_secs(service.delay);
        (self.now.since(since) > limit).then_some(good)
    }

    fn judge(&mut self) {
        self.counts.looks += 1;
        let kernel = self.kernel.0.borrow();
        if kernel.refuse.is_some() || kernel.unreadable > 0 {
            return;
        }
        let mut all = true;
        for service in &self.services {
            for key in service.keys() {
                let why = || {
                    format!(
                        "at {} s: {service:?}\n{:?}",
                        self.now.as_nanos() / 1_000_000_000,
                        self.hosts
                    )
                };
                let entry =
                    kernel.table.get(&key).unwrap_or_else(|| panic!("no {key:?} {}", why()));
                all &= self.judge_service(service, entry, &why);
            }
        }
        if all {
            let ours: usize = self.services.iter().map(|service| service.keys().len()).sum();
            assert_eq!(
                kernel.table.len(),
                ours + self.foreign.len(),
                "services too many or too few"
            );
            self.counts.rests += 1;
        }
    }

    /// Whether all of the service was certain, and so its table judged as a whole.
    fn judge_service(&self, service: &Service, entry: &Entry, why: &dyn Fn() -> String) -> bool {
        let weights: BTreeMap<u8, u32> = entry
            .destinations
            .iter()
            .map(|(key, found)| (last(&key.address), found.weight))
            .collect();
        let known: Vec<_> =
            service.servers.iter().map(|server| (server, self.certain(service, server))).collect();
        for (server, _) in known.iter().filter(|(_, known)| *known == Some(false)) {
            let weight = weights.get(&server.host);
            let wanted = server.inhibit.then_some(&0);
            assert_eq!(weight, wanted, "10.1.0.{} is dead {weights:?} {}", server.host, why());
        }
        let sum = |wanted: &[Option<bool>]| -> u32 {
            known
                .iter()
                .filter(|(_, it)| wanted.contains(it))
                .map(|(server, _)| server.weight)
                .sum()
        };
        let (least, most) = (sum(&[Some(true)]), sum(&[Some(true), None]));
        let gains = service.quorum + service.hysteresis;
        let loses = service.quorum.saturating_sub(service.hysteresis).max(1);
        // Between the two it is as it was; either is right.
        let quorum = if least >= gains {
            true
        } else if most < loses {
            false
        } else {
            !weights.contains_key(&9)
        };
        for (server, _) in known.iter().filter(|(_, known)| *known == Some(true)) {
            let weight = weights.get(&server.host);
            let wanted = if quorum || !service.sorry {
                Some(&server.weight)
            } else {
                server.inhibit.then_some(&0)
            };
            assert_eq!(weight, wanted, "10.1.0.{} is well {weights:?} {}", server.host, why());
        }
        if known.iter().any(|(_, known)| known.is_none()) {
            return false;
        }
        let apologises = service.sorry && !quorum;
        let mut wanted: BTreeMap<u8, u32> = BTreeMap::new();
        for (server, known) in &known {
            match known {
                Some(true) if !apologises => drop(wanted.insert(server.host, server.weight)),
                Some(_) if server.inhibit => drop(wanted.insert(server.host, 0)),
                _ => {}
            }
        }
        if apologises {
            wanted.insert(9, 1);
        }
        assert_eq!(weights, wanted, "{}", why());
        true
    }
}

fn last(address: &IpAddr) -> u8 {
    match address {
        IpAddr::V4(address) => address.octets()[3],
        IpAddr::V6(_) => panic!("{address}"),
    }
}

fn day(seed: u64) -> Counts {
    let mut day = Day::new(seed);
    day.settle();
    let end = Timestamp::ZERO + DAY;
    while day.now < end {
        // A storm, and a calm after it that is long enough for everything to be certain.
        for _ in 0..=day.chance.below(12) {
            day.blow();
            let pause = Interval::from_millis(day.chance.below(9000));
            day.live(day.now + pause);
        }
        day.obey();
        let calm = Interval::from_secs(20 + day.chance.below(180));
        day.live(day.now + calm);
    }
    day.counts
}

#[test]
fn a_day_of_flapping_servers_leaves_the_table_true_at_every_rest() {
    let seeds = std::env::var("STEADFAST_FLAP_SEEDS").ok().and_then(|n| n.parse().ok());
    for seed in 1..=seeds.unwrap_or(1) {
        println!("seed {seed}");
        let counts = day(seed);
        println!("{counts:?}");
        assert!(counts.rests > 1000 && counts.probes > 50_000, "{counts:?}");
        assert!(counts.reloads > 50 && counts.kills > 20 && counts.meddled > 200, "{counts:?}");
    }
}
