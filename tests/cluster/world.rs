//! The hosts, the networks between them, and true time. Each host is looked at only when something is
//! due for it.

use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

use steadfast::core::time::Interval;
use steadfast::vrrp::engine::{ReceivedPacket, Transmit};
use steadfast::vrrp::event::State;

use super::chance::Chance;
use super::node::{Clock, Letter, Lower, Node, Time};
use super::oracle::Oracle;
use super::plan::{Auth, LANS, Plan};

pub const MICRO: Time = 1_000;
pub const MILLI: Time = 1_000_000;

/// How long a process takes to wake when a timer is due or a packet is there, at most.
pub const LATENCY: Time = 60 * MICRO;

/// Something that will happen.
#[derive(Debug)]
enum Happening {
    Wake { node: usize, number: u64 },
    Arrive { to: usize, lan: usize, letter: Letter },
    Deed(Deed),
    Audit,
}

/// What is done to a node at a moment to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// The first result of the tracked script.
    Script(usize),
    /// The process is started after a death.
    Respawn(usize),
    /// The parent gives up for its dead child.
    Farewell(usize),
    Boot(usize),
}

struct Entry {
    at: Time,
    order: u64,
    what: Happening,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// How the networks behave.
#[derive(Debug, Clone)]
pub struct Network {
    /// Of 1000 packets.
    pub loss: u64,
    pub duplicates: u64,
    /// Packets overtake one another.
    pub reorders: bool,
    pub slowest: Time,
    /// By network and sender: the receivers that hear nothing, as bits.
    pub cut: Vec<[u8; LANS]>,
    /// The next adverts of this node are lost.
    pub swallow: Option<(usize, u32)>,
    last_arrival: Vec<Time>,
}

/// An advert with a trailer, for somebody who sends it again.
#[derive(Debug, Clone)]
pub struct Captured {
    pub sent: Time,
    pub from: usize,
    pub lan: usize,
    pub packet: ReceivedPacket,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    pub at: Time,
    pub node: usize,
    pub router: usize,
    pub master: bool,
}

pub struct World {
    pub plan: Plan,
    pub now: Time,
    pub nodes: Vec<Node>,
    pub network: Network,
    pub chance: Chance,
    pub oracle: Oracle,
    /// Who became master or ceased to be, since it was last cleared.
    pub changes: Vec<Change>,
    pub history: VecDeque<String>,
    /// Adverts with trailers that somebody has captured.
    pub captured: VecDeque<Captured>,
    pub verbose: bool,
    pub events: u64,
    /// Until then, deeds are planned.
    pub deeds_until: Time,
    heap: BinaryHeap<Reverse<Entry>>,
    order: u64,
}

/// Where a life went wrong: what is violated.
#[derive(Debug)]
pub struct Violation(pub String);

pub type Verdict = Result<(), Violation>;

pub fn fail<T>(words: String) -> Result<T, Violation> {
    Err(Violation(words))
}

const HISTORY: usize = 60;
const CAPTURED: usize = 40;

impl World {
    pub fn new(seed: u64, verbose: bool) -> Self {
        let mut chance = Chance::new(seed);
        let (plan, settings) = Plan::draw(&mut chance);
        let mut nodes = Vec::new();
        for (number, setting) in settings.into_iter().enumerate() {
            let drift = chance.between(0, plan.drift as u64 * 2) as i64 - plan.drift;
            let offset = 1_000_000_000 * chance.between(1, 100_000);
            let mut node = Node::new(number, Clock { ppm: drift, offset }, &plan, setting);
            node.logs = verbose.then(Vec::new);
            nodes.push(node);
        }
        let network = Network {
            loss: 0,
            duplicates: 0,
            reorders: false,
            slowest: 300 * MICRO,
            cut: vec![[0; LANS]; plan.nodes],
            swallow: None,
            last_arrival: vec![0; plan.nodes * plan.nodes],
        };
        let oracle = Oracle::new(&plan);
        let mut world = Self {
            plan,
            now: 1_000_000_000,
            nodes,
            network,
            chance,
            oracle,
            changes: Vec::new(),
            history: VecDeque::new(),
            captured: VecDeque::new(),
            verbose,
            events: 0,
            deeds_until: 0,
            heap: BinaryHeap::new(),
            order: 0,
        };
        if verbose {
            world.describe();
        }
        world.schedule_audit();
        world
    }

    fn describe(&mut self) {
        for node in &self.nodes {
            let text = self.plan.text(node.number, &node.setting);
            eprintln!("--- node {} (clock {:+} ppm)\n{text}", node.number, node.clock.ppm);
        }
    }

    pub fn note(&mut self, words: impl FnOnce() -> String) {
        let line = format!("{:>16.6} {}", self.now as f64 / 1e9, words());
        if self.verbose {
            eprintln!("{line}");
        }
        if self.history.len() == HISTORY {
            self.history.pop_front();
        }
        self.history.push_back(line);
    }

    fn push(&mut self, at: Time, what: Happening) {
        self.order += 1;
        self.heap.push(Reverse(Entry { at, order: self.order, what }));
    }

    pub fn later(&mut self, wait: Interval, deed: Deed) {
        let at = self.now + wait.as_nanos();
        self.deeds_until = self.deeds_until.max(at);
        self.push(at, Happening::Deed(deed));
    }

    fn schedule_audit(&mut self) {
        let wait = self.plan.longest.as_nanos() * 2;
        self.push(self.now + wait, Happening::Audit);
    }

    // ---- time

    pub fn run(&mut self, length: Interval) -> Verdict {
        let end = self.now + length.as_nanos();
        while self.heap.peek().is_some_and(|Reverse(entry)| entry.at <= end) {
            let Some(Reverse(entry)) = self.heap.pop() else { break };
            self.now = self.now.max(entry.at);
            self.events += 1;
            match entry.what {
                Happening::Wake { node, number } => {
                    let awaited = self.nodes[node].scheduled;
                    if awaited.is_some_and(|(_, awaited)| awaited == number) {
                        self.nodes[node].scheduled = None;
                        self.look_at(node)?;
                    }
                }
                Happening::Arrive { to, lan, letter } => self.arrive(to, lan, letter)?,
                Happening::Deed(deed) => self.act(deed)?,
                Happening::Audit => {
                    self.audit()?;
                    self.schedule_audit();
                }
            }
        }
        self.now = end;
        Ok(())
    }

    fn arrive(&mut self, to: usize, lan: usize, letter: Letter) -> Verdict {
        let node = &mut self.nodes[to];
        let open = node.engine.is_some() && node.health.links[lan] && !node.health.absent[lan];
        if !open || node.asleep {
            return Ok(());
        }
        node.deliver(self.now, letter);
        if node.is_awake(self.now) {
            return self.look_at(to);
        }
        // It waits to be read.
        self.reschedule(to);
        Ok(())
    }

    fn look_at(&mut self, place: usize) -> Verdict {
        let now = self.now;
        let node = &mut self.nodes[place];
        if node.engine.is_none() {
            return Ok(());
        }
        if node.paused_until > now {
            self.reschedule(place);
            return Ok(());
        }
        if node.asleep {
            node.asleep = false;
        }
        let sent = node.turn(now, &self.plan);
        self.after(place, &sent)
    }

    /// What a node said goes out, and what became of it is noted.
    pub fn after(&mut self, place: usize, sent: &[Transmit]) -> Verdict {
        for advert in sent {
            self.spread(place, advert);
        }
        if let Some(lines) = self.nodes[place].logs.as_mut().map(std::mem::take) {
            for line in lines {
                self.note(|| format!("node {place}: {line}"));
            }
        }
        if let Some(trouble) = self.nodes[place].take_trouble() {
            return fail(format!("node {place}: {trouble}"));
        }
        let masters = self.nodes[place].masters;
        let before = self.oracle.masters[place];
        if masters != before {
            self.changed(place, before, masters)?;
        }
        self.check_rivals()?;
        self.reschedule(place);
        Ok(())
    }

    fn changed(&mut self, place: usize, before: u8, masters: u8) -> Verdict {
        self.oracle.masters[place] = masters;
        for router in 0..self.plan.routers.len() {
            let bit = 1 << router;
            if (before ^ masters) & bit == 0 {
                continue;
            }
            let master = masters & bit != 0;
            let node = &mut self.nodes[place];
            node.moved[router] = node.clock.local(self.now);
            let change = Change { at: self.now, node: place, router, master };
            self.changes.push(change);
            self.note(|| {
                let what = if master { "becomes master" } else { "is no longer master" };
                format!("node {place} {what} of V{router}")
            });
            if master {
                self.check_takeover(place, router)?;
            }
        }
        self.check_group(place)
    }

    pub fn reschedule(&mut self, place: usize) {
        let Some(at) = self.nodes[place].deadline() else {
            self.nodes[place].scheduled = None;
            return;
        };
        if self.nodes[place].scheduled.is_some_and(|(then, _)| then == at) {
            return;
        }
        self.order += 1;
        let number = self.order;
        self.nodes[place].scheduled = Some((at, number));
        let latency = 1 + self.chance.below(LATENCY);
        self.push(at.max(self.now) + latency, Happening::Wake { node: place, number });
    }

    // ---- the network

    fn spread(&mut self, from: usize, advert: &Transmit) {
        let number = advert.instance.name.strip_prefix('V').and_then(|name| name.parse().ok());
        let Some(number): Option<usize> = number else { return };
        let lan = self.plan.routers[number].lan;
        self.nodes[from].sent[number] += 1;
        let health = &self.nodes[from].health;
        if !health.links[lan] || health.absent[lan] {
            return;
        }
        if let Some((node, left)) = self.network.swallow
            && node == from
        {
            self.network.swallow = (left > 1).then_some((node, left - 1));
            self.excuse_all(from);
            return;
        }
        let packet = ReceivedPacket {
            interface: advert.socket.interface.clone(),
            source: advert.source,
            destination: advert.destination,
            ttl: advert.ttl,
            sealed: advert.socket.authenticated.then_some(advert.id),
            payload: advert.payload.clone(),
        };
        if matches!(self.plan.routers[number].auth, Auth::Keyed(_)) {
            if self.captured.len() == CAPTURED {
                self.captured.pop_front();
            }
            let packet = packet.clone();
            self.captured.push_back(Captured { sent: self.now, from, lan, packet });
        }
        let letter =
            Letter { packet, arrived: self.now, again: None, genuine: Some((number, from)) };
        self.post(from, lan, &letter);
    }

    /// Puts a packet on a network.
    pub fn post(&mut self, from: usize, lan: usize, letter: &Letter) {
        let destination = letter.packet.destination;
        for to in 0..self.nodes.len() {
            if to == from || self.nodes[to].engine.is_none() {
                continue;
            }
            let (inet, inet6) = super::plan::own(to, lan);
            if !destination.is_multicast() && destination != inet && destination != inet6 {
                continue;
            }
            let cut = self.network.cut[from][lan] & (1 << to) != 0;
            if cut || self.chance.below(1000) < self.network.loss {
                self.oracle.excuse_pair(from, to, self.now);
                continue;
            }
            let copies = if self.chance.below(1000) < self.network.duplicates { 2 } else { 1 };
            for _ in 0..copies {
                let mut at = self.now + 30 * MICRO + self.chance.below(self.network.slowest);
                let lane = from * self.nodes.len() + to;
                if !self.network.reorders {
                    at = at.max(self.network.last_arrival[lane] + 1);
                }
                self.network.last_arrival[lane] = self.network.last_arrival[lane].max(at);
                self.push(at, Happening::Arrive { to, lan, letter: letter.clone() });
            }
        }
    }

    /// From now on, what this node does has an excuse.
    pub fn excuse(&mut self, place: usize) {
        self.oracle.excuse_node(place, self.now);
        let node = &mut self.nodes[place];
        node.steady = node.clock.local(self.now.max(node.paused_until));
        node.lower.fill(Lower::Unknown);
    }

    pub fn excuse_all(&mut self, from: usize) {
        for to in 0..self.nodes.len() {
            self.oracle.excuse_pair(from, to, self.now);
        }
    }

    // ---- deeds

    pub fn act(&mut self, deed: Deed) -> Verdict {
        match deed {
            Deed::Script(place) => {
                let now = self.nodes[place].clock.local(self.now);
                if !self.nodes[place].is_awake(self.now) {
                    if self.nodes[place].engine.is_some() {
                        self.later(Interval::from_millis(50), deed);
                    }
                    return Ok(());
                }
                let lower = self.nodes[place].lower.clone();
                self.excuse(place);
                let node = &mut self.nodes[place];
                node.lower = lower;
                node.script_known = true;
                let good = node.health.script;
                node.tell(now, steadfast::vrrp::engine::Input::Script { name: "s".into(), good });
                let sent = node.settle(self.now);
                self.after(place, &sent)
            }
            Deed::Boot(place) | Deed::Respawn(place) => {
                if self.nodes[place].engine.is_some() {
                    return Ok(());
                }
                let resumes = matches!(deed, Deed::Respawn(_));
                self.note(|| {
                    format!("node {place} {}", if resumes { "respawns" } else { "boots" })
                });
                self.excuse(place);
                let sent = self.nodes[place].start(self.now, resumes);
                self.check_start(place)?;
                let wait = Interval::from_millis(self.chance.between(1, 200));
                self.later(wait, Deed::Script(place));
                self.after(place, &sent)
            }
            Deed::Farewell(place) => {
                if self.nodes[place].engine.is_some() {
                    return Ok(());
                }
                self.note(|| format!("node {place}: its parent says farewell"));
                let sent = self.nodes[place].farewell(self.now);
                self.after(place, &sent)
            }
        }
    }

    /// The process of a node is gone.
    pub fn kill(&mut self, place: usize) -> Verdict {
        self.nodes[place].die();
        self.excuse(place);
        self.after(place, &[])
    }

    pub fn state(&self, place: usize, router: usize) -> Option<State> {
        let engine = self.nodes[place].engine.as_ref()?;
        let name = format!("V{router}");
        engine.routers().find(|found| found.instance.name == name).map(|found| found.state)
    }

    /// Who is master of a virtual router.
    pub fn masters(&self, router: usize) -> Vec<usize> {
        let all = 0..self.nodes.len();
        all.filter(|place| self.state(*place, router) == Some(State::Master)).collect()
    }
}
