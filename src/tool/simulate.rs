//! `config simulate`: the nodes of a cluster, run in one process with the engine that the daemon runs,
//! on a network that loses nothing. Each node, link and tracked script fails once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::compare::{Node, routers};
use super::{Answer, EXIT_FOUND, EXIT_OK, Trouble, compiled};
use crate::core::config::model::global::Global;
use crate::core::config::model::hmac::HmacAuthentication;
use crate::core::config::model::vrrp::{Instance, Preemption, VrrpConfig};
use crate::core::time::{Interval, Timestamp};
use crate::vrrp::engine::{
    Changes, Input, LinkState, Output, OwnAddresses, ReceivedPacket, Transmit, VrrpEngine,
};
use crate::vrrp::event::State;

/// How long a packet travels.
const TRAVEL: Interval = Interval::from_micros(200);
/// Shorter than this, nobody notices two masters: their adverts are on their way.
const UNNOTICED: Interval = Interval::from_millis(5);

/// `FILE FILE...`: one of each node.
pub fn run(words: &[&str]) -> Answer {
    if words.len() < 2 {
        return Err(Trouble::Usage("simulate needs the files of two nodes or more".to_owned()));
    }
    let mut files = Vec::new();
    for word in words {
        if files.iter().any(|file: &File| file.name == *word) {
            return Err(Trouble::Usage(format!("{word} is named twice: one file of each node")));
        }
        let config = compiled(word)?.config;
        files.push(File { name: (*word).to_owned(), global: config.global, vrrp: config.vrrp });
    }
    let report = simulate(&files);
    let status = if report.problems == 0 { EXIT_OK } else { EXIT_FOUND };
    Ok((report.text, status))
}

/// The configuration of one node.
#[derive(Debug, Clone)]
pub struct File {
    /// Its name in what is said.
    pub name: String,
    /// Defaults.
    pub global: Global,
    /// Its virtual routers.
    pub vrrp: VrrpConfig,
}

/// What came out.
#[derive(Debug, Default)]
pub struct Report {
    /// For people.
    pub text: String,
    /// Single failures after which a virtual router has no master, or two.
    pub problems: usize,
}

/// Something that happens to one node.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Failure {
    PowerLoss,
    OrderlyStop,
    Link(String),
    Script(String),
    Bfd(String),
}

impl Failure {
    fn of(&self, file: &str) -> String {
        match self {
            Self::PowerLoss => format!("{file} loses its power"),
            Self::OrderlyStop => format!("{file} stops in order"),
            Self::Link(interface) => format!("{interface} of {file} goes down"),
            Self::Script(script) => format!("the script {script} fails on {file}"),
            Self::Bfd(session) => format!("the BFD session {session} of {file} is lost"),
        }
    }
}

/// Lets each thing fail that is there.
pub fn simulate(files: &[File]) -> Report {
    let mut report = Report::default();
    let patience = patience(files);
    let mut cluster = Cluster::new(files);
    cluster.run(patience);
    let _ = writeln!(report.text, "At rest:");
    for router in 0..cluster.routers.len() {
        let masters = cluster.masters(router);
        let first = cluster.changes[router].iter().find(|(_, masters)| !masters.is_empty());
        let since = first.map_or(Interval::ZERO, |(at, _)| at.since(cluster.begin));
        let name = cluster.routers[router].name.clone();
        report.problems += usize::from(masters.len() != 1);
        let who = match masters.as_slice() {
            [] => "NOBODY is master".to_owned(),
            [one] => {
                let priority = cluster.priority(router, *one);
                format!("{} is master, priority {priority}, after {since} s", files[*one].name)
            }
            several => format!("TWO MASTERS: {}", cluster.names(several)),
        };
        let _ = writeln!(report.text, "  {name}: {who}");
    }
    for place in 0..files.len() {
        for failure in failures(&files[place]) {
            fail(files, place, &failure, patience, &mut report);
        }
    }
    report
}

/// What can fail on a node.
fn failures(file: &File) -> Vec<Failure> {
    let instances = || file.vrrp.instances.iter();
    let links: BTreeSet<&str> = instances().flat_map(|instance| physical(instance)).collect();
    let used = |name: &str| {
        let by_group = file.vrrp.sync_groups.iter().flat_map(|group| &group.track_scripts);
        let by_instance = instances().flat_map(|instance| &instance.track_scripts);
        by_instance.chain(by_group).any(|tracked| tracked.name == name)
    };
    let scripts = file.vrrp.scripts.iter().map(|script| &script.name).filter(|name| used(name));
    [Failure::PowerLoss, Failure::OrderlyStop]
        .into_iter()
        .chain(links.into_iter().map(|name| Failure::Link(name.to_owned())))
        .chain(scripts.cloned().map(Failure::Script))
        .chain(tracked_sessions(&file.vrrp).into_iter().map(Failure::Bfd))
        .collect()
}

fn tracked_sessions(config: &VrrpConfig) -> BTreeSet<String> {
    let own = config.instances.iter().flat_map(|instance| &instance.track_bfd);
    let grouped = config.sync_groups.iter().flat_map(|group| &group.track_bfd);
    own.chain(grouped).map(|tracked| tracked.name.clone()).collect()
}

/// Interfaces that are there without the daemon.
fn physical(instance: &Instance) -> impl Iterator<Item = &str> {
    let tracked = instance.track_interfaces.iter().map(|tracked| tracked.name.as_str());
    let needed = instance.needed_interfaces.iter().map(String::as_str);
    instance.interface.as_deref().into_iter().chain(tracked).chain(needed)
}

/// Long enough for everything to have happened.
fn patience(files: &[File]) -> Interval {
    let instances = files.iter().flat_map(|file| &file.vrrp.instances);
    let longest = instances
        .map(|instance| {
            let delay = match instance.preemption {
                Preemption::After(delay) => delay,
                Preemption::Never => Interval::ZERO,
            };
            let adverts = u64::from(instance.down_timer_adverts) + 2;
            instance.advert_interval * adverts * 2 + delay + Interval::from_secs(10)
        })
        .max()
        .unwrap_or_default();
    let start = files.iter().map(|file| file.global.vrrp.startup_delay).max().unwrap_or_default();
    longest + start
}

fn fail(files: &[File], place: usize, failure: &Failure, patience: Interval, report: &mut Report) {
    let mut cluster = Cluster::new(files);
    cluster.run(patience);
    let before: Vec<Vec<usize>> =
        (0..cluster.routers.len()).map(|router| cluster.masters(router)).collect();
    cluster.begin = cluster.now;
    cluster.changes.iter_mut().for_each(Vec::clear);
    cluster.happen(place, failure);
    cluster.run(patience);
    let after: Vec<String> = (0..cluster.routers.len())
        .filter(|router| before[*router].contains(&place))
        .map(|router| {
            let (words, bad) = cluster.outcome(router, &before[router]);
            report.problems += usize::from(bad);
            format!("  {}: {words}", cluster.routers[router].name)
        })
        .collect();
    if after.is_empty() {
        // It was not master of anything: only what it does to others is worth a word.
        let moved =
            (0..cluster.routers.len()).any(|router| cluster.masters(router) != before[router]);
        if !moved {
            return;
        }
    }
    let repaired = cluster.now;
    cluster.repair(place, failure);
    cluster.run(patience);
    let _ = writeln!(report.text, "{}:", failure.of(&files[place].name));
    for line in after {
        let _ = writeln!(report.text, "{line}");
    }
    for (router, masters_before) in before.iter().enumerate() {
        let name = cluster.routers[router].name.clone();
        let masters = cluster.masters(router);
        if masters_before.contains(&place) && masters.len() == 1 {
            let last = cluster.changes[router].last().filter(|(at, _)| *at >= repaired);
            let when = last
                .map_or_else(String::new, |(at, _)| format!(", after {} s", at.since(repaired)));
            let _ = writeln!(
                report.text,
                "  {name}: {} once it is repaired{when}",
                cluster.names(&masters)
            );
        } else if masters.len() != 1 {
            report.problems += 1;
            let _ = writeln!(
                report.text,
                "  {name}: NOT ONE MASTER once it is repaired: {}",
                cluster.names(&masters)
            );
        }
    }
}

/// A virtual router with its instances: node and name.
struct VirtualRouter {
    name: String,
    members: Vec<(usize, String)>,
}

struct Host {
    engine: Option<VrrpEngine>,
    down: BTreeSet<String>,
}

struct Cluster<'a> {
    files: &'a [File],
    routers: Vec<VirtualRouter>,
    hosts: Vec<Host>,
    now: Timestamp,
    begin: Timestamp,
    flights: BTreeMap<(Timestamp, u64), (usize, ReceivedPacket)>,
    sequence: u64,
    /// Of each router: who was master from when on.
    changes: Vec<Vec<(Timestamp, Vec<usize>)>>,
}

impl<'a> Cluster<'a> {
    fn new(files: &'a [File]) -> Self {
        let nodes: Vec<Node> = files
            .iter()
            .map(|file| Node { file: file.name.clone(), vrrp: file.vrrp.clone() })
            .collect();
        let routers: Vec<_> = routers(&nodes)
            .into_values()
            .map(|members| {
                let place = |name: &str| files.iter().position(|file| file.name == name);
                let members: Vec<(usize, String)> = members
                    .iter()
                    .filter_map(|member| Some((place(member.file)?, member.instance.name.clone())))
                    .collect();
                let name = members.first().map_or_else(String::new, |(_, name)| name.clone());
                VirtualRouter { name, members }
            })
            .filter(|router| !router.members.is_empty())
            .collect();
        let now = Timestamp::ZERO + Interval::from_secs(1);
        let mut cluster = Self {
            files,
            changes: routers.iter().map(|_| Vec::new()).collect(),
            routers,
            hosts: Vec::new(),
            now,
            begin: now,
            flights: BTreeMap::new(),
            sequence: 0,
        };
        for _ in files {
            cluster.hosts.push(Host { engine: None, down: BTreeSet::new() });
        }
        for place in 0..files.len() {
            cluster.boot(place);
        }
        cluster
    }

    fn boot(&mut self, place: usize) {
        let file = &self.files[place];
        let mut config = file.vrrp.clone();
        for instance in &mut config.instances {
            if instance.hmac.is_some() {
                Arc::make_mut(instance).hmac.iter_mut().for_each(HmacAuthentication::assume_keys);
            }
        }
        let engine = VrrpEngine::new(self.now, file.global.clone(), config);
        self.hosts[place] = Host { engine: Some(engine), down: BTreeSet::new() };
        let links: BTreeSet<String> = file
            .vrrp
            .instances
            .iter()
            .flat_map(|instance| {
                let made = [instance.advert_interface(), instance.address_interface()];
                physical(instance).chain(made.into_iter().flatten()).map(str::to_owned)
            })
            .collect();
        for link in links {
            self.tell_link(place, &link);
        }
        for script in &file.vrrp.scripts {
            self.input(place, Input::Script { name: script.name.clone(), good: true });
        }
        for process in &file.vrrp.processes {
            self.input(place, Input::Process { name: process.name.clone(), good: true });
        }
        for session in tracked_sessions(&file.vrrp) {
            self.input(place, Input::Bfd { name: session, up: true });
        }
        self.input(place, Input::Start);
    }

    fn tell_link(&mut self, place: usize, interface: &str) {
        let up = !self.hosts[place].down.contains(interface);
        let state = if up { LinkState::Up } else { LinkState::Down };
        // Which address does not matter, but for that of several equals the higher one wins.
        let number = u16::try_from(place + 1).unwrap_or(u16::MAX);
        let [high, low] = number.to_be_bytes();
        let own = OwnAddresses {
            inet: Some(IpAddr::V4(Ipv4Addr::new(10, 255, high, low))),
            inet6: Some(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, number))),
        };
        self.input(place, Input::Link { interface: interface.to_owned(), state, own });
    }

    fn happen(&mut self, place: usize, failure: &Failure) {
        match failure {
            Failure::PowerLoss => self.hosts[place].engine = None,
            Failure::OrderlyStop => {
                self.input(place, Input::Shutdown);
                self.hosts[place].engine = None;
            }
            Failure::Link(interface) => {
                self.hosts[place].down.insert(interface.clone());
                self.tell_links_over(place, interface);
            }
            Failure::Script(name) => {
                self.input(place, Input::Script { name: name.clone(), good: false });
            }
            Failure::Bfd(name) => {
                self.input(place, Input::Bfd { name: name.clone(), up: false });
            }
        }
        self.note();
    }

    fn repair(&mut self, place: usize, failure: &Failure) {
        match failure {
            Failure::PowerLoss | Failure::OrderlyStop => self.boot(place),
            Failure::Link(interface) => {
                self.hosts[place].down.remove(interface);
                self.tell_links_over(place, interface);
            }
            Failure::Script(name) => {
                self.input(place, Input::Script { name: name.clone(), good: true });
            }
            Failure::Bfd(name) => {
                self.input(place, Input::Bfd { name: name.clone(), up: true });
            }
        }
        self.note();
    }

    /// An interface, and the virtual ones over it, which share its fate.
    fn tell_links_over(&mut self, place: usize, interface: &str) {
        let instances = &self.files[place].vrrp.instances;
        let over: BTreeSet<String> = instances
            .iter()
            .filter(|instance| instance.interface.as_deref() == Some(interface))
            .filter_map(|instance| instance.address_interface().map(str::to_owned))
            .collect();
        let down = self.hosts[place].down.contains(interface);
        for name in over.iter().filter(|name| *name != interface) {
            if down {
                self.hosts[place].down.insert(name.clone());
            } else {
                self.hosts[place].down.remove(name);
            }
            self.tell_link(place, name);
        }
        self.tell_link(place, interface);
    }

    fn input(&mut self, place: usize, input: Input) {
        let now = self.now;
        if let Some(engine) = &mut self.hosts[place].engine {
            engine.handle(now, input);
        }
        self.settle(place);
    }

    /// Adverts onto the network; the kernel has at once what the engine wants.
    fn settle(&mut self, place: usize) {
        let Some(engine) = &mut self.hosts[place].engine else { return };
        if engine.take_changes() != Changes::Nothing {
            let present = engine.desired().into_iter().collect();
            engine.handle(self.now, Input::AddressesPresent(present));
        }
        let mut sent = Vec::new();
        while let Some(output) = engine.poll_output() {
            if let Output::Transmit(advert) = output {
                sent.push(advert);
            }
        }
        for advert in sent {
            self.spread(place, &advert);
        }
    }

    fn instance(&self, place: usize, name: &str) -> Option<&Instance> {
        let found = self.files[place].vrrp.instances.iter().find(|found| found.name == name);
        found.map(AsRef::as_ref)
    }

    fn spread(&mut self, from: usize, advert: &Transmit) {
        let Some(router) = self
            .routers
            .iter()
            .find(|router| router.members.contains(&(from, advert.instance.name.clone())))
        else {
            return;
        };
        let sealed = advert.socket.authenticated.then_some(advert.id);
        let down = |place: usize, interface: Option<&str>| {
            interface.is_some_and(|name| self.hosts[place].down.contains(name))
        };
        if down(from, advert.instance.advert_interface()) {
            return;
        }
        let mut arriving = Vec::new();
        for (to, name) in router.members.iter().filter(|(place, _)| *place != from) {
            let Some(instance) = self.instance(*to, name) else { continue };
            let interface = instance.advert_interface();
            let elsewhere = !advert.destination.is_multicast()
                && instance.source.is_some_and(|own| own != advert.destination);
            if !elsewhere && !down(*to, interface) {
                arriving.push((*to, interface.map(Arc::from)));
            }
        }
        for (to, interface) in arriving {
            let packet = ReceivedPacket {
                interface,
                source: advert.source,
                destination: advert.destination,
                ttl: advert.ttl,
                sealed,
                payload: advert.payload.clone(),
            };
            self.sequence += 1;
            self.flights.insert((self.now + TRAVEL, self.sequence), (to, packet));
        }
    }

    fn run(&mut self, length: Interval) {
        let end = self.now + length;
        loop {
            let engines = self.hosts.iter().filter_map(|host| host.engine.as_ref());
            let timers = engines.filter_map(|engine| Some(engine.poll_timeout()?.at));
            let flights = self.flights.keys().next().map(|(at, _)| *at);
            let Some(at) = timers.chain(flights).min().filter(|at| *at <= end) else { break };
            self.now = self.now.max(at);
            // Packets before timers, as in the daemon.
            while let Some(entry) =
                self.flights.first_entry().filter(|entry| entry.key().0 <= self.now)
            {
                let (to, packet) = entry.remove();
                self.input(to, Input::Packet(packet));
            }
            for place in 0..self.hosts.len() {
                let now = self.now;
                if let Some(engine) = &mut self.hosts[place].engine
                    && engine.poll_timeout().is_some_and(|deadline| deadline.at <= now)
                {
                    engine.handle_timeout(now);
                    self.settle(place);
                }
            }
            self.note();
        }
        self.now = end;
    }

    /// Notes who is master where, when that has changed.
    fn note(&mut self) {
        for router in 0..self.routers.len() {
            let masters = self.masters(router);
            let last = self.changes[router].last().map(|(_, masters)| masters);
            if last != Some(&masters) {
                self.changes[router].push((self.now, masters));
            }
        }
    }

    fn masters(&self, router: usize) -> Vec<usize> {
        let is_master = |place: usize, name: &str| {
            self.hosts[place].engine.as_ref().is_some_and(|engine| {
                engine
                    .routers()
                    .any(|found| found.instance.name == *name && found.state == State::Master)
            })
        };
        let members = self.routers[router].members.iter();
        members.filter(|(place, name)| is_master(*place, name)).map(|(place, _)| *place).collect()
    }

    fn priority(&self, router: usize, place: usize) -> u8 {
        let member = self.routers[router].members.iter().find(|(at, _)| *at == place);
        let engine = self.hosts[place].engine.as_ref();
        member
            .zip(engine)
            .and_then(|((_, name), engine)| {
                engine.routers().find(|found| found.instance.name == *name)
            })
            .map_or(0, |found| found.priority.get())
    }

    fn names(&self, places: &[usize]) -> String {
        let names: Vec<&str> =
            places.iter().map(|place| self.files[*place].name.as_str()).collect();
        if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") }
    }

    /// What has become of a router since the failure, and whether that is bad.
    fn outcome(&self, router: usize, before: &[usize]) -> (String, bool) {
        let masters = self.masters(router);
        let none = self.lasted(router, &|masters| masters.is_empty());
        let two = self.lasted(router, &|masters| masters.len() > 1);
        let mut words = match masters.as_slice() {
            [] => "NOBODY takes over".to_owned(),
            [one] if before == [*one] => format!("stays on {}", self.files[*one].name),
            [one] => format!("{} takes over", self.files[*one].name),
            several => format!("TWO MASTERS: {}", self.names(several)),
        };
        if masters.len() == 1 && !none.is_zero() {
            let _ = write!(words, ", {none} s without a master");
        }
        if masters.len() == 1 && two > UNNOTICED {
            let _ = write!(words, ", {two} s with two masters");
        }
        (words, masters.len() != 1)
    }

    /// How long it was so since the failure, to the end.
    fn lasted(&self, router: usize, so: &dyn Fn(&[usize]) -> bool) -> Interval {
        let changes = &self.changes[router];
        let ends = changes.iter().skip(1).map(|(at, _)| *at).chain([self.now]);
        let spans = changes.iter().zip(ends).filter(|((_, masters), _)| so(masters));
        spans.fold(Interval::ZERO, |sum, ((at, _), end)| sum + end.since(*at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::config::compile::compile;
    use crate::core::config::source::SourceSet;

    fn file(name: &str, body: &str) -> File {
        let text = format!(
            "vrrp_script chk {{\nscript /bin/true\n}}\nvrrp_instance V {{\ninterface eth0\n\
             virtual_router_id 5\nadvert_int 1\n{body}\nvirtual_ipaddress {{\n10.0.0.1\n}}\n}}\n"
        );
        let config = compile(&SourceSet::from_text(name, text)).config;
        File { name: name.to_owned(), global: config.global, vrrp: config.vrrp }
    }

    fn report(bodies: &[&str]) -> Report {
        let names = ["a", "b", "c"];
        let files: Vec<File> =
            bodies.iter().zip(names).map(|(body, name)| file(name, body)).collect();
        simulate(&files)
    }

    #[test]
    fn each_failure_is_told_with_its_takeover() {
        let found = report(&["priority 150", "priority 120", "priority 100"]);
        assert_eq!(found.problems, 0, "{}", found.text);
        // Three intervals and the skew of 120: the last advert was a moment before.
        for line in [
            "V: a is master, priority 150, after ",
            "a loses its power:\n  V: b takes over, ",
            "a stops in order:\n  V: b takes over, 0.53",
            "eth0 of a goes down:\n  V: b takes over, ",
            "V: a once it is repaired, after ",
        ] {
            assert!(found.text.contains(line), "{line}\n{}", found.text);
        }
        assert!(!found.text.contains("b loses its power"), "nothing happens then");
    }

    #[test]
    fn nodes_believe_one_another_when_their_keys_are_the_same() {
        let body = |priority, key| {
            format!("priority {priority}\nauth_hmac {{\nkey 1 {key}\nactive_key 1\n}}")
        };
        let (one, other) = ("0123456789abcdef0123456789abcdef", "fedcba9876543210fedcba9876543210");
        for key in [one, "file:/nonexistent/key"] {
            let found = report(&[&body(150, key), &body(100, key)]);
            assert!(found.text.contains("V: a is master, priority 150"), "{}", found.text);
            assert_eq!(found.problems, 0, "{}", found.text);
        }
        let found = report(&[&body(150, one), &body(100, other)]);
        assert!(found.text.contains("TWO MASTERS: "), "{}", found.text);
    }

    #[test]
    fn a_weight_that_is_too_small_leaves_the_master_where_the_script_fails() {
        let tracked = "track_script {\nchk weight -10\n}";
        let found = report(&[&format!("priority 150\n{tracked}"), "priority 100"]);
        assert!(
            found.text.contains("the script chk fails on a:\n  V: stays on a"),
            "{}",
            found.text
        );
        let tracked = "track_script {\nchk weight -60\n}";
        let found = report(&[&format!("priority 150\n{tracked}"), "priority 100"]);
        assert!(
            found.text.contains("the script chk fails on a:\n  V: b takes over"),
            "{}",
            found.text
        );
    }

    #[test]
    fn nobody_left_and_nodes_that_do_not_hear_one_another_are_problems() {
        let faulty = "track_script {\nchk\n}";
        let alone = report(&[&format!("priority 150\n{faulty}"), "priority 100\nversion 3"]);
        assert!(
            alone.problems > 0 && alone.text.contains("TWO MASTERS: a and b"),
            "{}",
            alone.text
        );
        let text = "unicast_src_ip 10.0.0.7\nunicast_peer {\n10.0.0.8\n}";
        let deaf = report(&[&format!("priority 150\n{text}"), "priority 100"]);
        assert!(deaf.problems > 0, "{}", deaf.text);
    }

    #[test]
    fn nopreempt_stays_where_it_is_after_the_repair() {
        let found = report(&[
            "state BACKUP\nnopreempt\npriority 150",
            "state BACKUP\nnopreempt\npriority 100",
        ]);
        assert_eq!(found.problems, 0, "{}", found.text);
        let text = "a loses its power:\n  V: b takes over";
        assert!(found.text.contains(text), "{}", found.text);
        assert!(found.text.contains("V: b once it is repaired\n"), "{}", found.text);
    }
}
