//! The election: packets, timers, links and script results in; adverts, announcements and
//! notifications out. Pure: it owns no clock, socket or file.
//!
//! A transition changes the state of a router (or of every member of its sync group); what the
//! kernel should have follows from the states ([`VrrpEngine::desired`]).

mod addresses;
mod adverts;
mod debounce;
mod packets;
mod rival;
mod tracking;
mod transitions;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use self::debounce::Debounce;
pub use self::rival::Rival;
use super::desired::{self, DesiredAddress, RoutingEntry};
use super::event::{Event, EventKind, Notice, Reason, State, Subject};
use super::pacer::Pacer;
use super::packet::hmac::Stamp;
pub use super::router::ReceivedPacket;
use super::router::{Identity, Router, identity};
use super::statistics::Statistics;
use crate::core::config::model::Family;
use crate::core::config::model::global::Global;
use crate::core::config::model::vrrp::{
    Authentication, InitialState, Instance, Priority, SyncGroup, Transport, VrrpConfig,
};
use crate::core::time::{Interval, TimerTable, Timestamp};

/// Whether an interface can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// Up, with a carrier.
    Up,
    /// Down, or without a carrier.
    Down,
    /// There is no such interface.
    Absent,
}

/// The addresses of an interface that adverts come from: its primary IPv4 address, its link-local
/// IPv6 address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct OwnAddresses {
    /// IPv4.
    pub inet: Option<IpAddr>,
    /// IPv6.
    pub inet6: Option<IpAddr>,
}

impl OwnAddresses {
    /// The one of a family.
    pub const fn of(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::Inet => self.inet,
            Family::Inet6 => self.inet6,
        }
    }
}

/// A socket for adverts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SocketName {
    /// None for unicast on any.
    pub interface: Option<Arc<str>>,
    /// IPv4 or IPv6.
    pub family: Family,
    /// Behind an authentication header, which is a protocol of its own.
    pub authenticated: bool,
}

impl SocketName {
    /// Where the adverts of an instance travel.
    pub fn of(instance: &Instance) -> Self {
        let authenticated = match instance.authentication {
            Authentication::Header(_) => true,
            Authentication::None | Authentication::Password(_) => false,
        };
        let interface = instance.advert_interface().map(Arc::from);
        Self { interface, family: instance.family, authenticated }
    }
}

/// A source address that an instance wants to be there, and on which interface; on any when
/// absent.
pub type SourcePlace = (Option<String>, IpAddr);

/// Where the source address of an instance must be: with `track_src_ip` on its interface, with
/// unicast anywhere on this node, since peers answer to it. keepalived looks for the latter when it
/// starts, and never again.
pub fn tracked_source(instance: &Instance) -> Option<SourcePlace> {
    let source = instance.source?;
    match instance.transport {
        _ if instance.track_source => Some((instance.interface.clone(), source)),
        Transport::Unicast { .. } => Some((None, source)),
        Transport::Multicast { .. } => None,
    }
}

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// The time since 1970. Said before [`Self::Start`], and whenever adverts may be about to come or
    /// go: this clock may step. It numbers authentication headers and trailers, and nothing else.
    WallClock(Interval),
    /// Before [`Self::Start`]: the latest trailer that the process before this one has sent. Peers
    /// would call anything that is not after it a replay.
    LastStamp(Stamp),
    /// Before [`Self::Start`]: these routers were master until a moment ago, and no other router can
    /// have missed them yet. They go on.
    Resume(BTreeSet<String>),
    /// Everything that is known at the start has been told: routers may begin.
    Start,
    /// An advert arrived.
    Packet(ReceivedPacket),
    /// State of an interface, and its own addresses.
    Link {
        /// Which.
        interface: String,
        /// How it is.
        state: LinkState,
        /// None of them comes and goes with a virtual router.
        own: OwnAddresses,
    },
    /// The interfaces on which no adverts of a family can be sent or heard.
    Deaf(BTreeSet<SocketName>),
    /// The tracked source addresses ([`tracked_source`]) that this node does not have.
    MissingSources(BTreeSet<SourcePlace>),
    /// The kernel has these virtual addresses.
    AddressesPresent(Vec<DesiredAddress>),
    /// The kernel no longer has these virtual addresses, and it was not us.
    AddressesLost(Vec<DesiredAddress>),
    /// The kernel no longer has these virtual addresses, since their interface is gone.
    AddressesGone(Vec<DesiredAddress>),
    /// Routes and rules that somebody else removed.
    RoutingLost(Vec<RoutingEntry>),
    /// A tracked script is good or bad.
    Script {
        /// Its name.
        name: String,
        /// Whether it is good.
        good: bool,
    },
    /// The number in a tracked file.
    File {
        /// Name of the `track_file`.
        name: String,
        /// The number.
        value: i64,
    },
    /// A tracked process has its quorum or not.
    Process {
        /// Name of the `vrrp_track_process`.
        name: String,
        /// Whether there are as many as there should be.
        good: bool,
    },
    /// A tracked BFD session is up or not.
    Bfd {
        /// Name of the `bfd_instance`.
        name: String,
        /// Whether it is.
        up: bool,
    },
    /// A reload is about to take the sockets and interfaces of all other routers away.
    Keep(BTreeSet<Identity>),
    /// A reload.
    Reconfigure(Box<(Global, VrrpConfig)>),
    /// Count from zero.
    ClearStatistics,
    /// The process ends.
    Shutdown,
}

/// An advert to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// Whose.
    pub instance: Arc<Instance>,
    /// Which socket.
    pub socket: SocketName,
    /// For the IP header.
    pub source: IpAddr,
    /// For the IP header.
    pub destination: IpAddr,
    /// For the IP header.
    pub ttl: u8,
    /// For the IP header; 0 where it does not matter.
    pub id: u16,
    /// What follows the IP header.
    pub payload: Vec<u8>,
}

/// What the engine wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Send an advert.
    Transmit(Transmit),
    /// Announce an address (gratuitous ARP).
    Announce(DesiredAddress),
    /// Run scripts.
    Notify(Notice),
    /// Log a line.
    Log(Event),
}

/// Why a timer is armed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum TimerKind {
    /// Backup: the master is silent.
    MasterDown,
    /// Master: the next advert.
    Advert,
    /// Master: announcements.
    Announce,
    /// Master: a rival is silent.
    Rival,
}

/// The next moment that matters, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What for.
    pub why: Awaited,
}

/// What a deadline is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Awaited {
    /// The master has been silent for too long: this router takes over.
    MasterDown,
    /// An advert is due.
    Advert,
    /// Announcements are due.
    Announcement,
    /// A rival has been silent.
    Rival,
    /// `garp_interval` and its like have passed.
    Pace,
    /// `vrrp_startup_delay` has passed.
    Startup,
    /// The delay of an interface has passed.
    Link,
}

/// The time since 1970 when it was last told; it goes on from there.
#[derive(Debug, Clone, Copy, Default)]
struct WallClock {
    read: Timestamp,
    since_1970: Interval,
}

impl WallClock {
    fn at(&self, now: Timestamp) -> Interval {
        self.since_1970 + now.since(self.read)
    }
}

/// Timers that go off before their outputs are carried out.
const TIMERS_AT_ONCE: usize = 16;

/// Room that an empty queue of outputs keeps.
const IDLE_QUEUE: usize = 64;

type RouterId = u32;

/// The routers of an interface and family by their number, and whether they are unicast.
type Numbers = BTreeMap<(u8, bool), RouterId>;

/// The virtual addresses that may have to come or go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Changes {
    /// All are as they were.
    Nothing,
    /// Only these, each of one router, and whether the kernel should have it.
    Addresses(Vec<(DesiredAddress, bool)>),
    /// Any of them.
    Everything,
}

/// The routers that became master, or ceased to be.
#[derive(Debug)]
enum Moved {
    Routers(BTreeSet<RouterId>),
    Everything,
}

impl Default for Moved {
    fn default() -> Self {
        Self::Routers(BTreeSet::new())
    }
}

impl Moved {
    fn insert(&mut self, id: RouterId) {
        match self {
            Self::Routers(ids) => {
                ids.insert(id);
            }
            Self::Everything => {}
        }
    }
}

/// All virtual routers of this host.
#[derive(Debug)]
pub struct VrrpEngine {
    global: Global,
    groups: Vec<SyncGroup>,
    routers: BTreeMap<RouterId, Router>,
    /// Whose an advert is: by interface and family first.
    by_identity: BTreeMap<(Option<Arc<str>>, Family), Numbers>,
    next_id: RouterId,
    timers: TimerTable<(RouterId, TimerKind)>,
    pacer: Pacer,
    links: Debounce,
    /// The addresses of interfaces.
    own: BTreeMap<String, OwnAddresses>,
    deaf: BTreeSet<SocketName>,
    missing_sources: BTreeSet<SourcePlace>,
    scripts: BTreeMap<String, bool>,
    initially_bad: BTreeSet<String>,
    files: BTreeMap<String, i64>,
    processes: BTreeMap<String, bool>,
    sessions: BTreeMap<String, bool>,
    group_states: BTreeMap<String, State>,
    outputs: VecDeque<Output>,
    startup_until: Option<Timestamp>,
    unknown_vrid: u64,
    /// Whose unknown routers have been told.
    unknown_told: BTreeSet<(IpAddr, u8)>,
    moved: Moved,
    /// Addresses that several routers have, by the name of their interface.
    shared: BTreeSet<(Arc<str>, IpAddr, u8)>,
    /// Masters that the kernel may not have given all their addresses yet.
    awaiting: BTreeSet<RouterId>,
    masters_changed: bool,
    resuming: BTreeSet<String>,
    clock: WallClock,
    /// The latest trailer of all routers.
    last_stamp: Option<Stamp>,
    started: bool,
    stopped: bool,
}

impl VrrpEngine {
    /// An engine that waits for [`Input::Start`].
    pub fn new(now: Timestamp, global: Global, config: VrrpConfig) -> Self {
        let delay = global.vrrp.startup_delay;
        let mut engine = Self {
            global,
            groups: Vec::new(),
            routers: BTreeMap::new(),
            by_identity: BTreeMap::new(),
            next_id: 0,
            timers: TimerTable::new(),
            pacer: Pacer::default(),
            links: Debounce::default(),
            own: BTreeMap::new(),
            deaf: BTreeSet::new(),
            missing_sources: BTreeSet::new(),
            scripts: BTreeMap::new(),
            initially_bad: BTreeSet::new(),
            files: BTreeMap::new(),
            processes: BTreeMap::new(),
            sessions: BTreeMap::new(),
            group_states: BTreeMap::new(),
            outputs: VecDeque::new(),
            startup_until: (!delay.is_zero()).then(|| now + delay),
            unknown_vrid: 0,
            unknown_told: BTreeSet::new(),
            moved: Moved::Everything,
            shared: BTreeSet::new(),
            awaiting: BTreeSet::new(),
            masters_changed: true,
            resuming: BTreeSet::new(),
            clock: WallClock::default(),
            last_stamp: None,
            started: false,
            stopped: false,
        };
        engine.links.set(now, &config);
        engine.take_config(config);
        engine
    }

    /// What happened, at `now`. Cannot fail: what is wrong is counted and told.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::WallClock(since_1970) => self.clock = WallClock { read: now, since_1970 },
            Input::LastStamp(stamp) => {
                self.last_stamp = Some(stamp);
                for router in self.routers.values_mut() {
                    router.stamp = Some(stamp);
                }
            }
            Input::Resume(names) => {
                if !names.is_empty() {
                    self.startup_until = None;
                }
                for router in self.routers.values_mut() {
                    router.resumed = names.contains(&router.instance.name);
                }
                self.resuming = names;
            }
            Input::Start => self.start(now),
            Input::Packet(packet) => self.receive(now, &packet),
            Input::Link { interface, state, own } => {
                if let Some(delay) = self.links.seen(now, &interface, state) {
                    self.log(
                        &interface,
                        EventKind::LinkChangeWaits { up: state == LinkState::Up, delay },
                        None,
                    );
                }
                self.own.insert(interface, own);
                self.review(now);
            }
            Input::Deaf(deaf) => {
                if deaf != self.deaf {
                    self.deaf = deaf;
                    self.review(now);
                }
            }
            Input::MissingSources(missing) => {
                if missing != self.missing_sources {
                    self.missing_sources = missing;
                    self.review(now);
                }
            }
            Input::AddressesPresent(addresses) => self.handle_present(now, &addresses),
            Input::AddressesLost(addresses) => self.handle_lost(now, &addresses),
            Input::AddressesGone(addresses) => {
                self.forget(&addresses);
            }
            Input::RoutingLost(entries) => self.handle_routing_lost(now, &entries),
            Input::Script { name, good } => {
                self.scripts.insert(name, good);
                self.review(now);
            }
            Input::File { name, value } => {
                self.files.insert(name, value);
                self.review(now);
            }
            Input::Process { name, good } => {
                self.processes.insert(name, good);
                self.review(now);
            }
            Input::Bfd { name, up } => {
                self.sessions.insert(name, up);
                self.review(now);
            }
            Input::Keep(kept) => self.retire(now, &kept),
            Input::Reconfigure(config) => self.reconfigure(now, *config),
            Input::ClearStatistics => {
                for router in self.routers.values_mut() {
                    router.statistics = Statistics::default();
                }
            }
            Input::Shutdown => self.shutdown(now),
        }
    }

    /// [`Input::Packet`], by one that is used again.
    pub fn receive(&mut self, now: Timestamp, packet: &ReceivedPacket) {
        if !self.stopped {
            self.handle_packet(now, packet);
        }
    }

    /// Carries out what is due at `now`; when that is much, a part of it, so that its first adverts
    /// leave before the last ones are made. [`Self::poll_timeout`] says whether there is more.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.startup_until.is_some_and(|until| until <= now) {
            self.startup_until = None;
            self.start(now);
        }
        if self.links.due(now) {
            self.review(now);
        }
        for _ in 0..TIMERS_AT_ONCE {
            let Some((due, (id, kind))) = self.timers.pop_due(now) else { break };
            match kind {
                TimerKind::MasterDown => self.master_is_down(now, due, id),
                TimerKind::Advert => self.advert_due(now, due, id),
                TimerKind::Announce => self.announce_due(now, id),
                TimerKind::Rival => self.rival_gone(now, id),
            }
        }
        while let Some(announcement) = self.pacer.pop(now) {
            self.outputs.push_back(Output::Announce(announcement));
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Deadline> {
        let timer = self.timers.next().map(|(at, (_, kind))| Deadline {
            at,
            why: match kind {
                TimerKind::MasterDown => Awaited::MasterDown,
                TimerKind::Advert => Awaited::Advert,
                TimerKind::Announce => Awaited::Announcement,
                TimerKind::Rival => Awaited::Rival,
            },
        });
        let pace = self.pacer.next().map(|at| Deadline { at, why: Awaited::Pace });
        let startup = self.startup_until.map(|at| Deadline { at, why: Awaited::Startup });
        let link = self.links.next().map(|at| Deadline { at, why: Awaited::Link });
        [timer, pace, startup, link].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front();
        if output.is_none() {
            // Many routers that move at once leave a large empty queue behind.
            self.outputs.shrink_to(IDLE_QUEUE);
        }
        output
    }

    /// The virtual addresses that the kernel should have.
    pub fn desired(&self) -> BTreeSet<DesiredAddress> {
        self.routers.values().flat_map(Router::desired).collect()
    }

    /// Those of them that traffic is not accepted for.
    pub fn refused(&self) -> BTreeSet<DesiredAddress> {
        let refusing = self.routers.values().filter(|router| !router.instance.accept);
        refusing.flat_map(Router::desired).collect()
    }

    /// The routes and rules that the kernel should have, in the order of the file.
    pub fn desired_routing(&self) -> impl Iterator<Item = RoutingEntry> + '_ {
        let masters = self.routers.values().filter(|router| router.state == State::Master);
        masters.flat_map(|router| desired::routing(&router.instance))
    }

    /// How [`Self::desired`] and [`Self::configured`] may differ from when this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        let ids = match std::mem::take(&mut self.moved) {
            Moved::Everything => return Changes::Everything,
            Moved::Routers(ids) => ids,
        };
        let mut addresses = Vec::new();
        for router in ids.iter().filter_map(|id| self.routers.get(id)) {
            if router.addresses.iter().any(|address| self.shared.contains(&address.place())) {
                return Changes::Everything;
            }
            let held = router.state == State::Master;
            addresses.extend(router.addresses.iter().map(|address| (address.clone(), held)));
        }
        if ids.is_empty() { Changes::Nothing } else { Changes::Addresses(addresses) }
    }

    /// The names of the masters, when they may have changed since this was last asked.
    pub fn take_masters(&mut self) -> Option<Vec<String>> {
        let masters = || {
            let masters = self.routers.values().filter(|router| router.state == State::Master);
            masters.map(|router| router.instance.name.clone()).collect()
        };
        std::mem::take(&mut self.masters_changed).then(masters)
    }

    /// The latest trailer that was sent, for the process after this one.
    pub fn last_stamp(&self) -> Option<Stamp> {
        self.last_stamp
    }

    /// Whether the router of this name is master.
    pub fn is_master(&self, name: &str) -> bool {
        let router = self.id_of(name).and_then(|id| self.routers.get(&id));
        router.is_some_and(|router| router.state == State::Master)
    }

    /// Every virtual address of the configuration, held or not.
    pub fn configured(&self) -> BTreeSet<DesiredAddress> {
        self.routers.values().flat_map(|router| router.addresses.iter().cloned()).collect()
    }

    /// For dumps, in the order of the file.
    pub fn routers(&self) -> impl Iterator<Item = &Router> {
        self.routers.values()
    }

    /// When the master down timer or the advert timer of a router goes off.
    pub fn timer_of(&self, name: &str) -> Option<Timestamp> {
        let id = self.id_of(name)?;
        let timer = |kind| self.timers.get(&(id, kind));
        timer(TimerKind::MasterDown).or_else(|| timer(TimerKind::Advert))
    }

    /// Where every router and group is, as it would be notified.
    pub fn states(&self) -> Vec<Notice> {
        let notice = |subject, name: &str, state: State, priority| Notice {
            subject,
            name: name.to_owned(),
            state: state.name(),
            priority,
            script: None,
            any: None,
            mail: false,
        };
        let routers = self.routers.values().filter(|router| router.state != State::Init);
        let routers = routers.map(|router| {
            notice(Subject::Instance, &router.instance.name, router.state, router.priority)
        });
        let groups = self
            .group_states
            .iter()
            .map(|(name, state)| notice(Subject::Group, name, *state, Priority::RESIGN));
        routers.chain(groups).collect()
    }

    /// Adverts for virtual routers that are not configured.
    pub fn unknown_vrid_count(&self) -> u64 {
        self.unknown_vrid
    }

    /// The results of tracked scripts, by name.
    pub fn script_results(&self) -> &BTreeMap<String, bool> {
        &self.scripts
    }

    /// The BFD sessions that have been told of, by name.
    pub fn bfd_states(&self) -> &BTreeMap<String, bool> {
        &self.sessions
    }

    /// Where sync groups are, by name; those that are nowhere yet are missing.
    pub fn group_states(&self) -> &BTreeMap<String, State> {
        &self.group_states
    }

    // ---- configuration

    fn take_config(&mut self, config: VrrpConfig) {
        self.moved = Moved::Everything;
        self.pacer.configure(&config);
        self.initially_bad = config
            .scripts
            .iter()
            .filter(|script| script.init_fail)
            .map(|script| script.name.clone())
            .collect();
        self.groups = config.sync_groups;
        let own = config.instances.iter().flat_map(|instance| &instance.track_bfd);
        let grouped = self.groups.iter().flat_map(|group| &group.track_bfd);
        let used: BTreeSet<&str> = own.chain(grouped).map(|found| found.name.as_str()).collect();
        // One that is tracked again later is told anew.
        self.sessions.retain(|name, _| used.contains(name.as_str()));
        let known: BTreeSet<&str> =
            config.scripts.iter().map(|script| script.name.as_str()).collect();
        self.scripts.retain(|name, _| known.contains(name.as_str()));
        let mut old: BTreeMap<_, _> = std::mem::take(&mut self.routers)
            .into_iter()
            .map(|(id, router)| (router.identity(), (id, router)))
            .collect();
        for instance in config.instances {
            match old.remove(&identity(&instance)) {
                Some((id, mut router)) => {
                    router.set_instance(instance);
                    self.routers.insert(id, router);
                }
                None => {
                    let id = self.next_id;
                    self.next_id += 1;
                    let mut router = Router::new(instance);
                    // It may be one that was removed a moment ago.
                    router.stamp = self.last_stamp;
                    self.routers.insert(id, router);
                }
            }
        }
        // Built anew, the table has no empty places.
        self.routers = std::mem::take(&mut self.routers).into_iter().collect();
        let mut names = BTreeSet::new();
        self.routers.values_mut().for_each(|router| router.make_compact(&mut names));
        let mut seen = BTreeSet::new();
        let all = self.routers.values().flat_map(|router| &router.addresses);
        self.shared =
            all.map(DesiredAddress::place).filter(|place| !seen.insert(place.clone())).collect();
        self.awaiting = self.routers.keys().copied().collect();
        for router in self.routers.values_mut() {
            router.old_group = self.global.vrrp.multicast4;
        }
        self.by_identity.clear();
        for (id, router) in &self.routers {
            let (interface, family, vrid, unicast) = router.identity();
            let numbers = self.by_identity.entry((interface, family)).or_default();
            numbers.insert((vrid, unicast), *id);
        }
    }

    /// Routers that are not among `kept` resign, and are no more.
    fn retire(&mut self, now: Timestamp, kept: &BTreeSet<Identity>) {
        let all = self.routers.iter();
        let gone: Vec<RouterId> = all
            .filter(|(_, router)| !kept.contains(&router.identity()))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.remove(now, id);
        }
    }

    fn reconfigure(&mut self, now: Timestamp, (global, config): (Global, VrrpConfig)) {
        let kept: BTreeSet<_> = config.instances.iter().map(|found| identity(found)).collect();
        let before: BTreeMap<RouterId, Arc<Instance>> =
            self.routers.iter().map(|(id, router)| (*id, router.instance.clone())).collect();
        self.retire(now, &kept);
        let groups = self.memberships();
        self.global = global;
        self.links.set(now, &config);
        self.take_config(config);
        let changed: Vec<RouterId> = self
            .routers
            .iter()
            .filter(|(id, router)| before.get(id).is_some_and(|old| *old != router.instance))
            .map(|(id, _)| *id)
            .collect();
        let named = |group: &String| self.groups.iter().any(|found| found.name == *group);
        let stale: Vec<String> =
            self.group_states.keys().filter(|group| !named(group)).cloned().collect();
        for group in stale {
            self.group_states.remove(&group);
        }
        self.review(now);
        for id in changed {
            self.changed(now, id);
        }
        self.unite_groups(now, &groups);
    }

    /// A router goes on with another configuration.
    fn changed(&mut self, now: Timestamp, id: RouterId) {
        let from = self.waits_begin(now);
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let wanted: BTreeSet<_> = router.addresses.iter().cloned().collect();
        router.schedule.retain(&wanted);
        // A shorter `preempt_delay` counts at once, and so does none.
        let delay = router.preempt_delay();
        router.preempt_at = router.preempt_at.filter(|_| !delay.is_zero());
        router.preempt_at = router.preempt_at.map(|at| at.min(now + delay));
        match router.state {
            State::Master => {
                router.schedule.set_extra(now, extra_period(&router.instance));
                router.schedule.set_refresh(now, &router.instance.garp);
                self.send_advert(now, id, None);
                self.arm_advert(now, id);
                self.announce(now, id, Vec::new());
            }
            State::Backup => {
                // The old deadline stays when it is earlier: a reload must not delay a takeover.
                let at = from + router.master_down_interval();
                let key = (id, TimerKind::MasterDown);
                if self.timers.get(&key).is_none_or(|old| old > at) {
                    self.timers.set(key, at);
                }
            }
            State::Init | State::Fault => {}
        }
    }

    fn remove(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let was_master = router.state == State::Master;
        if was_master {
            self.resign(now, id);
        }
        self.disarm(id);
        self.moved = Moved::Everything;
        self.masters_changed = true;
        let Some(mut router) = self.routers.remove(&id) else {
            return;
        };
        let (interface, family, vrid, unicast) = router.identity();
        if let Some(numbers) = self.by_identity.get_mut(&(interface, family)) {
            numbers.remove(&(vrid, unicast));
        }
        if was_master {
            self.log(&router.instance.name, EventKind::RemovingAddresses, Some(Reason::Removed));
        }
        let scripts = &router.instance.notify;
        let (state, script) = match &scripts.deleted {
            Some(script) => ("DELETED", Some(script.clone())),
            None => ("FAULT", scripts.fault.clone()),
        };
        router.notified = None;
        let notice = Notice {
            subject: Subject::Instance,
            name: router.instance.name.clone(),
            state,
            priority: router.priority,
            script,
            any: scripts.any.clone(),
            mail: router.instance.smtp_alert,
        };
        self.outputs.push_back(Output::Notify(notice));
    }

    // ---- beginning and end

    fn start(&mut self, now: Timestamp) {
        // Until then a router is a backup at most, and nobody's timer goes off.
        let delayed = self.startup_until.is_some_and(|until| now < until);
        self.review(now);
        self.started = !delayed;
        let waiting: Vec<RouterId> = self
            .routers
            .iter()
            .filter(|(_, router)| router.state == State::Init)
            .filter(|(_, router)| {
                // What its scripts said a moment ago is good enough to go on.
                router.waiting_for.is_empty() || self.resuming.contains(&router.instance.name)
            })
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            if !delayed || !self.begins_as_master(id) {
                self.begin(now, id);
            }
        }
        self.resuming.clear();
    }

    /// Waits begin then: `vrrp_startup_delay` comes before them.
    fn waits_begin(&self, now: Timestamp) -> Timestamp {
        self.startup_until.map_or(now, |until| until.max(now))
    }

    fn begin(&mut self, now: Timestamp, id: RouterId) {
        let from = self.waits_begin(now);
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        if router.state != State::Init {
            return;
        }
        if let Some(fault) = router.faults.first().cloned() {
            router.since = Some(now);
            router.state = State::Fault;
            let name = router.instance.name.clone();
            let kind = EventKind::Entering { state: State::Fault, initial: true };
            self.log(&name, kind, Some(Reason::Fault(fault)));
            self.notify(id, State::Fault);
            self.group_state_changed(id);
            return;
        }
        let delay = router.preempt_delay();
        router.preempt_at = (!delay.is_zero()).then(|| from + delay);
        let router_name = router.instance.name.clone();
        if self.resuming.contains(&router_name) {
            self.enter_master(now, id, Reason::Resumed);
        } else if self.begins_as_master(id) {
            self.enter_master(now, id, Reason::Owner);
        } else if let Some(group) = self.group_that_is_master(id) {
            self.enter_master(now, id, Reason::Group(group));
        } else {
            self.enter_backup(now, id, Reason::Start, None);
        }
        self.group_state_changed(id);
    }

    /// The owner of its addresses does, and a sync group of owners.
    fn begins_as_master(&self, id: RouterId) -> bool {
        self.members(id).iter().all(|member| {
            self.routers.get(member).is_some_and(|router| {
                router.priority.is_owner()
                    && router.instance.initial_state == InitialState::Master
                    && router.faults.is_empty()
            })
        })
    }

    fn shutdown(&mut self, now: Timestamp) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        let masters: BTreeSet<RouterId> =
            ids.iter().copied().filter(|id| self.state_of(*id) == Some(State::Master)).collect();
        // Every resignation first: nothing may delay the others' takeover.
        for id in &masters {
            self.resign(now, *id);
        }
        for id in &ids {
            self.disarm(*id);
            let Some(router) = self.routers.get_mut(id) else {
                continue;
            };
            let begun = router.state != State::Init;
            router.state = State::Init;
            self.masters_changed = true;
            router.since = Some(now);
            let name = router.instance.name.clone();
            if masters.contains(id) {
                self.log(&name, EventKind::RemovingAddresses, Some(Reason::Shutdown));
            }
            if begun {
                self.notify_as(*id, "STOP");
            }
        }
        for group in self.groups.clone() {
            if self.group_states.contains_key(&group.name) {
                self.notify_group(&group, "STOP");
            }
        }
        self.pacer.retain(|_| false);
        self.moved = Moved::Everything;
        self.stopped = true;
    }
}

/// From one round on other interfaces to the next; zero for none (`garp_extra_if`).
fn extra_period(instance: &Instance) -> Interval {
    instance.extra_announcements.map_or(Interval::ZERO, |extra| extra.interval)
}

/// Whether the others still wait for a master whose process has been silent for so long, so that
/// another process can go on in its place. Its last advert is at most one interval older.
pub fn is_still_awaited(instance: &Instance, silent: Interval) -> bool {
    let adverts = u64::from(instance.down_timer_adverts.saturating_sub(1));
    silent < instance.advert_interval * adverts
}

#[cfg(test)]
#[path = "engine/engine_tests.rs"]
pub(crate) mod tests;
