//! Every state that a service can come to: each result of each probe and each reload from each of
//! them, until nothing new is found. Beside the engine stands an oracle that knows only the state
//! that was reached, and says what the table must be.

use std::collections::{BTreeMap, VecDeque};

use steadfast::check::engine::{CheckEngine, Input, Outcome, ServiceState};
use steadfast::check::health::Health;
use steadfast::core::config::model::check::CheckConfig;
use steadfast::core::time::{Interval, Timestamp};
use steadfast::ipvs::fake;
use steadfast::ipvs::model::{Destination, DestinationKey, ServiceKey, Table};
use steadfast::ipvs::plan::plan;

use super::rig::read;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sorry {
    None,
    Plain,
    Inhibit,
    /// The first real server is the sorry server too.
    Twin,
}

/// One configuration of the model.
#[derive(Debug, Clone, Copy)]
struct Variant {
    weights: &'static [u32],
    sorry: Sorry,
    /// A bit for each server.
    inhibit: u32,
    quorum: u32,
    hysteresis: u32,
    alpha: bool,
    group: bool,
}

impl Variant {
    fn config(&self) -> CheckConfig {
        let head = if self.group { "group web" } else { "10.0.0.1 80" };
        let group = "virtual_server_group web {\n10.0.0.1 80\nfwmark 7\n}\n";
        let sorry = match self.sorry {
            Sorry::None => "",
            Sorry::Plain => "sorry_server 10.1.0.9 80",
            Sorry::Inhibit => "sorry_server 10.1.0.9 80\nsorry_server_inhibit",
            Sorry::Twin => "sorry_server 10.1.0.1 80",
        };
        let servers: Vec<String> = (1..)
            .zip(self.weights)
            .map(|(number, weight)| {
                let inhibit = if self.inhibits(number - 1) { "inhibit_on_failure" } else { "" };
                format!(
                    "real_server 10.1.0.{number} 80 {{\nweight {weight}\n{inhibit}\nTCP_CHECK {{\nretry 0\n}}\n}}\n"
                )
            })
            .collect();
        let servers = servers.concat();
        let (quorum, hysteresis) = (self.quorum, self.hysteresis);
        let alpha = if self.alpha { "alpha" } else { "" };
        let text = format!(
            "{group}virtual_server {head} {{\nlb_algo wrr\nlb_kind NAT\nprotocol TCP\n{alpha}\n\
             quorum {quorum}\nhysteresis {hysteresis}\n{sorry}\n{servers}}}\n"
        );
        let config = read(&text).config.check;
        assert_eq!(config.virtual_servers[0].quorum, quorum, "{text}");
        assert_eq!(config.virtual_servers[0].hysteresis, hysteresis);
        config
    }

    const fn inhibits(&self, server: u32) -> bool {
        self.inhibit >> server & 1 == 1
    }
}

/// All that a table may depend on: the variant, each checker's opinion, the quorum.
type State = (usize, Vec<(u8, bool)>, bool);

fn state(variant: usize, service: &ServiceState) -> State {
    let servers = service.servers.iter().map(|server| {
        let health = match server.checkers[0].memory.health {
            Health::Unproved { up: false } => 0,
            Health::Unproved { up: true } => 1,
            Health::Up { .. } => 2,
            Health::Down => 3,
        };
        (health, server.up)
    });
    (variant, servers.collect(), service.quorum)
}

/// What the table must be, from the rules in words: weights by the last number of the address.
fn oracle(variant: &Variant, (_, servers, quorum): &State) -> BTreeMap<u8, u32> {
    let apologise = !quorum && variant.sorry != Sorry::None;
    let mut table = BTreeMap::new();
    for ((number, weight), (health, _)) in (1..).zip(variant.weights).zip(servers) {
        let alive = [1, 2].contains(health);
        // The twin of the sorry server is removed as it is: a builder's rule, not the table's.
        let inhibit = variant.inhibits(u32::from(number) - 1);
        if alive && !apologise {
            table.insert(number, *weight);
        } else if inhibit {
            table.insert(number, 0);
        }
    }
    match (variant.sorry, apologise) {
        (Sorry::Twin, true) => drop(table.insert(1, 1)),
        (Sorry::Twin, false) if variant.inhibits(0) => drop(table.entry(1).or_insert(0)),
        (Sorry::Plain | Sorry::Inhibit, true) => drop(table.insert(9, 1)),
        (Sorry::Inhibit, false) => drop(table.insert(9, 0)),
        (Sorry::None | Sorry::Plain | Sorry::Twin, _) => {}
    }
    table
}

/// What must hold of the quorum, whatever it was before.
fn quorum_is_possible(variant: &Variant, (_, servers, quorum): &State) -> bool {
    let alive: u32 = variant
        .weights
        .iter()
        .zip(servers)
        .filter(|(_, (health, _))| [1, 2].contains(health))
        .map(|(weight, _)| weight)
        .sum();
    if *quorum {
        alive >= variant.quorum - variant.hysteresis
    } else {
        alive < variant.quorum + variant.hysteresis
    }
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    variants: usize,
    states: usize,
    steps: usize,
}

struct Search<'a> {
    variants: &'a [Variant],
    configs: Vec<CheckConfig>,
    tables: BTreeMap<State, Table>,
    ahead: VecDeque<(CheckEngine, State)>,
    counts: Counts,
}

impl Search<'_> {
    /// Takes a state in; checks it against the oracle, and against the same state found before.
    fn reach(&mut self, variant: usize, mut engine: CheckEngine, from: Option<&State>) {
        while engine.poll_output().is_some() {}
        let found = state(variant, &engine.services()[0]);
        let table = engine.desired();
        let why = || format!("{:?}\n{from:?} to {found:?}", self.variants[variant]);
        if let Some(known) = self.tables.get(&found) {
            assert_eq!(*known, table, "a table is a function of the state\n{}", why());
            return;
        }
        let shape = &self.variants[variant];
        let wanted = oracle(shape, &found);
        assert_eq!(table.len(), if shape.group { 2 } else { 1 }, "{}", why());
        for entry in table.values() {
            let weights: BTreeMap<u8, u32> = entry
                .destinations
                .iter()
                .map(|(key, found)| (last(&key.address), found.weight))
                .collect();
            assert_eq!(weights, wanted, "{}", why());
        }
        assert!(quorum_is_possible(shape, &found), "{}", why());
        for ((health, up), server) in found.1.iter().zip(&engine.services()[0].servers) {
            assert_eq!(*up, [1, 2].contains(health), "{}", why());
            assert_eq!(server.weight(), server.config.weight, "{}", why());
        }
        if let Some(before) = from.and_then(|from| self.tables.get(from)) {
            transition(before, &table, &why());
        }
        self.tables.insert(found.clone(), table);
        self.ahead.push_back((engine, found));
    }

    fn run(mut self) -> Counts {
        for variant in 0..self.variants.len() {
            let config = &self.configs[variant];
            let engine = CheckEngine::new(Timestamp::ZERO, config, &Table::new(), 3);
            self.reach(variant, engine, None);
        }
        let mut now = Timestamp::ZERO;
        while let Some((mut engine, from)) = self.ahead.pop_front() {
            now += Interval::from_secs(3600);
            engine.handle_timeout(now);
            let ids: Vec<_> =
                engine.services()[0].servers.iter().map(|server| server.checkers[0].id).collect();
            for id in ids {
                for outcome in [
                    Outcome::Success { text: String::new(), weight: None, warning: None },
                    Outcome::Failure { text: String::new(), cause: None },
                ] {
                    let mut next = engine.clone();
                    next.handle(now, Input::Finished { id, outcome });
                    self.counts.steps += 1;
                    self.reach(from.0, next, Some(&from));
                }
            }
            for variant in self.neighbours(from.0) {
                let mut next = engine.clone();
                let config = Box::new(self.configs[variant].clone());
                next.handle(now, Input::Reconfigure(config));
                self.counts.steps += 1;
                self.reach(variant, next, Some(&from));
            }
        }
        self.counts.variants = self.variants.len();
        self.counts.states = self.tables.len();
        self.counts
    }

    /// Variants that differ in one thing, the variant itself, and one that differs in most.
    fn neighbours(&self, from: usize) -> Vec<usize> {
        let own = self.variants[from];
        let differs = |other: &Variant| {
            usize::from(other.weights != own.weights)
                + usize::from(other.sorry != own.sorry)
                + usize::from(other.inhibit != own.inhibit)
                + usize::from((other.quorum, other.hysteresis) != (own.quorum, own.hysteresis))
                + usize::from(other.alpha != own.alpha)
                + usize::from(other.group != own.group)
        };
        let near = (0..self.variants.len()).filter(|place| differs(&self.variants[*place]) <= 1);
        near.chain([self.variants.len() - 1 - from]).collect()
    }
}

fn has(table: &Table, key: &ServiceKey, server: &DestinationKey) -> Option<Destination> {
    table.get(key)?.destinations.get(server).copied()
}

/// The kernel follows, and in no moment has a server that neither table has.
fn transition(before: &Table, after: &Table, why: &str) {
    let mut kernel = before.clone();
    let owned = before.keys().copied().collect::<std::collections::BTreeSet<_>>();
    for operation in plan(after, before, &owned) {
        fake::apply(&mut kernel, &operation).unwrap_or_else(|errno| panic!("{errno}: {why}"));
        for (key, entry) in &kernel {
            for (server, found) in &entry.destinations {
                let known = [has(before, key, server), has(after, key, server)];
                assert!(known.contains(&Some(*found)), "{server:?} {why}");
            }
        }
    }
    assert_eq!(kernel, *after, "{why}");
}

fn last(address: &std::net::IpAddr) -> u8 {
    address.to_string().rsplit('.').next().and_then(|last| last.parse().ok()).unwrap_or(0)
}

/// Every combination for some weights; a bit of `inhibits` for each choice of who is inhibited.
fn variants(
    weights: &[&'static [u32]],
    inhibits: &[u32],
    sorries: &[Sorry],
    groups: &[bool],
) -> Vec<Variant> {
    let mut found = Vec::new();
    for weights in weights {
        let total = weights.iter().sum::<u32>();
        for quorum in 1..=total {
            for hysteresis in 0..quorum {
                for sorry in sorries {
                    for inhibit in inhibits {
                        for alpha in [false, true] {
                            for group in groups {
                                // The builder gives a twin what its server has.
                                found.push(Variant {
                                    weights,
                                    sorry: *sorry,
                                    inhibit: *inhibit,
                                    quorum,
                                    hysteresis,
                                    alpha,
                                    group: *group,
                                });
                            }
                        }
                    }
                }
            }
        }
    }
    found
}

fn search(variants: &[Variant]) -> Counts {
    let configs = variants.iter().map(Variant::config).collect();
    let search = Search {
        variants,
        configs,
        tables: BTreeMap::new(),
        ahead: VecDeque::new(),
        counts: Counts::default(),
    };
    let counts = search.run();
    println!("{counts:?}");
    counts
}

const SORRIES: &[Sorry] = &[Sorry::None, Sorry::Plain, Sorry::Inhibit, Sorry::Twin];

#[test]
fn the_table_is_right_in_every_state_of_one_server() {
    let counts = search(&variants(&[&[1], &[3]], &[0, 1], SORRIES, &[false, true]));
    assert_eq!(counts.states, 1024, "{counts:?}");
}

#[test]
fn the_table_is_right_in_every_state_of_two_servers() {
    let counts = search(&variants(&[&[1, 1], &[2, 1]], &[0, 1, 3], SORRIES, &[false, true]));
    assert_eq!(counts.states, 8832, "{counts:?}");
}

#[test]
fn the_table_is_right_in_every_state_of_three_servers() {
    let sorries = &[Sorry::None, Sorry::Plain, Sorry::Twin];
    let counts = search(&variants(&[&[1, 1, 1], &[0, 2, 1]], &[0, 5], sorries, &[true]));
    assert_eq!(counts.states, 12192, "{counts:?}");
}
