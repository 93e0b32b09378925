//! The election: packets, timers, links and script results in; adverts, announcements and
//! notifications out. Pure: it owns no clock, socket or file.
//!
//! A transition changes the state of a router (or of every member of its sync group); what the
//! kernel should have follows from the states ([`VrrpEngine::desired`]).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use super::announce::Pacer;
use super::desired::{self, DesiredAddress};
use super::event::{Event, EventKind, Fault, Notice, Reason, State, Subject};
use super::packet::advert::{self, ChecksumForm};
use super::priority;
pub use super::router::ReceivedPacket;
use super::router::{Master, Router, identity};
use super::statistics::Statistics;
use crate::core::config::model::Family;
use crate::core::config::model::global::Global;
use crate::core::config::model::vrrp::{
    Authentication, InitialState, Instance, Priority, SyncGroup, TrackEffect, VrrpConfig,
    VrrpVersion,
};
use crate::core::time::{TimerTable, Timestamp};

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

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// Everything that is known at the start has been told: routers may begin.
    Start,
    /// An advert arrived.
    Packet(ReceivedPacket),
    /// State of an interface, and its own IPv4 address.
    Link {
        /// Which.
        interface: String,
        /// How it is.
        state: LinkState,
        /// None that comes and goes with a virtual router.
        primary: Option<IpAddr>,
    },
    /// The kernel has these virtual addresses.
    AddressesPresent(Vec<DesiredAddress>),
    /// The kernel no longer has these virtual addresses, and it was not us.
    AddressesLost(Vec<DesiredAddress>),
    /// A tracked script is good or bad.
    Script {
        /// Its name.
        name: String,
        /// Whether it is good.
        good: bool,
    },
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
    /// Name of the instance.
    pub instance: String,
    /// Which socket.
    pub interface: Option<String>,
    /// For the IP header.
    pub source: IpAddr,
    /// For the IP header.
    pub destination: IpAddr,
    /// For the IP header.
    pub ttl: u8,
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
}

/// The next moment that matters, and for what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deadline {
    /// When.
    pub at: Timestamp,
    /// What for, for people.
    pub why: &'static str,
}

type RouterId = u32;

/// All virtual routers of this host.
#[derive(Debug)]
pub struct VrrpEngine {
    global: Global,
    groups: Vec<SyncGroup>,
    routers: BTreeMap<RouterId, Router>,
    next_id: RouterId,
    timers: TimerTable<(RouterId, TimerKind)>,
    pacer: Pacer,
    links: BTreeMap<String, (LinkState, Option<IpAddr>)>,
    scripts: BTreeMap<String, bool>,
    initially_bad: BTreeSet<String>,
    group_states: BTreeMap<String, State>,
    outputs: VecDeque<Output>,
    startup_until: Option<Timestamp>,
    unknown_vrid: u64,
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
            next_id: 0,
            timers: TimerTable::new(),
            pacer: Pacer::default(),
            links: BTreeMap::new(),
            scripts: BTreeMap::new(),
            initially_bad: BTreeSet::new(),
            group_states: BTreeMap::new(),
            outputs: VecDeque::new(),
            startup_until: (!delay.is_zero()).then(|| now + delay),
            unknown_vrid: 0,
            stopped: false,
        };
        engine.take_config(config);
        engine
    }

    /// What happened, at `now`. Cannot fail: what is wrong is counted and told.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        if self.stopped {
            return;
        }
        match input {
            Input::Start => self.start(now),
            Input::Packet(packet) => self.handle_packet(now, &packet),
            Input::Link { interface, state, primary } => {
                self.links.insert(interface, (state, primary));
                self.review(now);
            }
            Input::AddressesPresent(addresses) => self.handle_present(now, &addresses),
            Input::AddressesLost(addresses) => self.handle_lost(now, &addresses),
            Input::Script { name, good } => {
                self.scripts.insert(name, good);
                self.review(now);
            }
            Input::Reconfigure(config) => self.reconfigure(now, *config),
            Input::ClearStatistics => {
                for router in self.routers.values_mut() {
                    router.statistics = Statistics::default();
                }
            }
            Input::Shutdown => self.shutdown(now),
        }
    }

    /// Carries out what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        if self.startup_until.is_some_and(|until| until <= now) {
            self.startup_until = None;
            self.start(now);
        }
        while let Some((due, (id, kind))) = self.timers.pop_due(now) {
            match kind {
                TimerKind::MasterDown => self.master_is_down(now, id),
                TimerKind::Advert => {
                    self.send_advert(id, None);
                    self.rearm_advert(now, due, id);
                }
                TimerKind::Announce => self.announce_due(now, id),
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
                TimerKind::MasterDown => "master down",
                TimerKind::Advert => "advert",
                TimerKind::Announce => "announcement",
            },
        });
        let pace = self.pacer.next().map(|at| Deadline { at, why: "paced announcement" });
        let startup = self.startup_until.map(|at| Deadline { at, why: "startup delay" });
        [timer, pace, startup].into_iter().flatten().min_by_key(|deadline| deadline.at)
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The virtual addresses that the kernel should have.
    pub fn desired(&self) -> BTreeSet<DesiredAddress> {
        self.routers.values().flat_map(Router::desired).collect()
    }

    /// Every virtual address of the configuration, held or not.
    pub fn configured(&self) -> BTreeSet<DesiredAddress> {
        self.routers.values().flat_map(|router| desired::addresses(&router.instance)).collect()
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

    /// Adverts for virtual routers that are not configured.
    pub fn unknown_vrid_count(&self) -> u64 {
        self.unknown_vrid
    }

    /// The results of tracked scripts, by name.
    pub fn script_results(&self) -> &BTreeMap<String, bool> {
        &self.scripts
    }

    // ---- configuration

    fn take_config(&mut self, config: VrrpConfig) {
        self.initially_bad = config
            .scripts
            .iter()
            .filter(|script| script.init_fail)
            .map(|script| script.name.clone())
            .collect();
        self.groups = config.sync_groups;
        let mut old: BTreeMap<_, _> = std::mem::take(&mut self.routers)
            .into_iter()
            .map(|(id, router)| (router.identity(), (id, router)))
            .collect();
        for instance in config.instances.into_iter().filter(is_runnable) {
            match old.remove(&identity(&instance)) {
                Some((id, mut router)) => {
                    router.instance = instance;
                    self.routers.insert(id, router);
                }
                None => {
                    let id = self.next_id;
                    self.next_id += 1;
                    self.routers.insert(id, Router::new(instance));
                }
            }
        }
        // What is left was removed.
        for (id, router) in old.into_values() {
            self.routers.insert(id, router);
        }
    }

    fn reconfigure(&mut self, now: Timestamp, (global, config): (Global, VrrpConfig)) {
        let kept: BTreeSet<_> =
            config.instances.iter().filter(|found| is_runnable(found)).map(identity).collect();
        let before: BTreeMap<RouterId, Instance> =
            self.routers.iter().map(|(id, router)| (*id, router.instance.clone())).collect();
        self.global = global;
        self.take_config(config);
        let gone: Vec<RouterId> = self
            .routers
            .iter()
            .filter(|(_, router)| !kept.contains(&router.identity()))
            .map(|(id, _)| *id)
            .collect();
        for id in gone {
            self.remove(now, id);
        }
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
    }

    /// A router goes on with another configuration.
    fn changed(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let wanted: BTreeSet<_> = desired::addresses(&router.instance).collect();
        router.schedule.retain(&wanted);
        match router.state {
            State::Master => {
                self.send_advert(id, None);
                self.arm_advert(now, id);
            }
            State::Backup => {
                // The old deadline stays when it is earlier: a reload must not delay a takeover.
                let at = now + router.master_down_interval();
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
            self.resign(id);
        }
        self.disarm(id);
        let Some(mut router) = self.routers.remove(&id) else {
            return;
        };
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
        };
        self.outputs.push_back(Output::Notify(notice));
        let _ = now;
    }

    // ---- beginning and end

    fn start(&mut self, now: Timestamp) {
        if self.startup_until.is_some_and(|until| now < until) {
            return;
        }
        self.review(now);
        let waiting: Vec<RouterId> = self
            .routers
            .iter()
            .filter(|(_, router)| router.state == State::Init && router.waiting_for.is_empty())
            .map(|(id, _)| *id)
            .collect();
        for id in waiting {
            self.begin(now, id);
        }
    }

    fn begin(&mut self, now: Timestamp, id: RouterId) {
        let members = self.members(id);
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
        router.preempt_at = (!delay.is_zero()).then(|| now + delay);
        let all_owners = members.iter().all(|member| {
            self.routers.get(member).is_some_and(|router| {
                router.priority.is_owner()
                    && router.instance.initial_state == InitialState::Master
                    && router.faults.is_empty()
            })
        });
        if all_owners {
            self.enter_master(now, id, Reason::Owner);
        } else {
            self.enter_backup(now, id, Reason::Start, None);
        }
        self.group_state_changed(id);
    }

    fn shutdown(&mut self, now: Timestamp) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        let masters: BTreeSet<RouterId> =
            ids.iter().copied().filter(|id| self.state_of(*id) == Some(State::Master)).collect();
        // Every resignation first: nothing may delay the others' takeover.
        for id in &masters {
            self.resign(*id);
        }
        for id in &ids {
            self.disarm(*id);
            let Some(router) = self.routers.get_mut(id) else {
                continue;
            };
            let begun = router.state != State::Init;
            router.state = State::Init;
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
        self.stopped = true;
    }

    // ---- packets

    fn handle_packet(&mut self, now: Timestamp, packet: &ReceivedPacket) {
        let Some(id) = self.router_of(packet) else {
            self.unknown_vrid += 1;
            return;
        };
        if self.startup_until.is_some() {
            return;
        }
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let (found, form) = match router.accept(packet) {
            Ok(accepted) => accepted,
            // A rejected advert touches a counter and nothing else: no timer above all (V-080).
            Err(rejection) => {
                router.statistics.count(rejection);
                if router.told.insert(kind_of(rejection)) {
                    let kind = EventKind::Rejected { from: packet.source, rejection };
                    self.log(&name, kind, None);
                }
                return;
            }
        };
        router.statistics.advert_rcvd += 1;
        if found.version == VrrpVersion::V3
            && packet.source.is_ipv4()
            && (form == ChecksumForm::Message) != router.instance.v3_checksum_as_v2
        {
            router.statistics.checksum_other_form += 1;
        }
        let resigns = found.priority == Priority::RESIGN;
        if resigns {
            router.statistics.pri_zero_rcvd += 1;
        }
        router.told.clear();
        let known = router.master.is_some_and(|master| master.address == packet.source);
        let skips = resigns || (router.instance.skip_check_adv_addr && known);
        if !skips && !router.same_addresses(&found) {
            router.statistics.addr_list_err += 1;
            if router.told.insert("address list") && !known {
                self.log(&name, EventKind::AddressListDiffers { from: packet.source }, None);
            }
        }
        match self.state_of(id) {
            Some(State::Backup) => self.backup_received(now, id, packet.source, &found),
            Some(State::Master) => self.master_received(now, id, packet.source, &found),
            Some(State::Init | State::Fault) | None => {}
        }
    }

    fn router_of(&self, packet: &ReceivedPacket) -> Option<RouterId> {
        let vrid = advert::vrid_of(&packet.payload)?;
        let family = Family::of(packet.source);
        let unicast = !packet.destination.is_multicast();
        let mut candidates = self.routers.iter().filter(|(_, router)| {
            router.instance.interface == packet.interface
                && router.instance.family == family
                && router.instance.vrid.get() == vrid
        });
        let first = candidates.next()?;
        // Multicast and unicast instances may share an interface and a number.
        let fits = |router: &Router| router.identity().3 == unicast;
        let best = if fits(first.1) {
            first
        } else {
            candidates.find(|(_, router)| fits(router)).unwrap_or(first)
        };
        Some(*best.0)
    }

    /// RFC 9568 section 6.4.2.
    fn backup_received(
        &mut self,
        now: Timestamp,
        id: RouterId,
        from: IpAddr,
        found: &advert::Advert,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        if found.priority == Priority::RESIGN {
            let at = now + router.skew();
            self.timers.set((id, TimerKind::MasterDown), at);
            self.log(&name, EventKind::ReceivedPriorityZero, None);
            return;
        }
        let lower = found.priority < router.priority;
        let delay = router.preempt_delay();
        if !lower {
            // Somebody better is there: a later, lower one starts the delay anew.
            router.preempt_at = None;
        } else if router.preempt_at.is_none() && !delay.is_zero() {
            router.preempt_at = Some(now + delay);
        }
        if !router.yields_to(found.priority, now) {
            let kind = EventKind::DiscardedLower { from, theirs: found.priority };
            if router.told.insert("lower priority") {
                self.log(&name, kind, None);
            }
            return;
        }
        let learned = router.instance.version == VrrpVersion::V3
            && router.master_interval() != found.interval;
        router.master =
            Some(Master { address: from, priority: found.priority, interval: found.interval });
        let at = now + router.master_down_interval();
        self.timers.set((id, TimerKind::MasterDown), at);
        if learned {
            self.log(&name, EventKind::IntervalLearned { from, interval: found.interval }, None);
        }
    }

    /// RFC 9568 section 6.4.3.
    fn master_received(
        &mut self,
        now: Timestamp,
        id: RouterId,
        from: IpAddr,
        found: &advert::Advert,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let ours = router.priority;
        if found.priority == Priority::RESIGN {
            self.send_advert(id, None);
            self.arm_advert(now, id);
            return;
        }
        let own = router.source();
        if own == Some(from) {
            // Two hosts with one address: no election can settle that (V-079).
            if router.told.insert("own address") {
                self.log(&name, EventKind::DuplicateAddress { from }, None);
            }
            return;
        }
        let higher_address = own.is_some_and(|own| from > own);
        let yields = found.priority > ours || (found.priority == ours && higher_address);
        if found.priority.is_owner() && ours.is_owner() && router.told.insert("two owners") {
            self.log(&name, EventKind::TwoOwners { from }, None);
        }
        if yields {
            let kind = if found.priority > ours {
                EventKind::HigherPriority { from, theirs: found.priority, ours }
            } else {
                EventKind::HigherAddress { from, priority: ours }
            };
            self.log(&name, kind, None);
            let Some(router) = self.routers.get(&id) else {
                return;
            };
            if router.instance.higher_priority_send_advert {
                self.send_advert(id, None);
            }
            let master =
                Master { address: from, priority: found.priority, interval: found.interval };
            self.leave_master(now, id, master);
            return;
        }
        let first =
            self.routers.get_mut(&id).is_some_and(|router| router.told.insert("lower priority"));
        if first {
            let kind = EventKind::LowerPriority { from, theirs: found.priority, ours };
            self.log(&name, kind, None);
        }
        self.lower_priority_seen(now, id);
    }

    fn leave_master(&mut self, now: Timestamp, id: RouterId, master: Master) {
        let reason = Reason::BetterMaster(master.address, master.priority);
        self.enter_backup(now, id, reason, Some(master));
        if let Some(group) = self.group_of(id) {
            self.log_group(&group.name, State::Backup);
            for member in self.members(id) {
                if member != id && self.state_of(member) == Some(State::Master) {
                    self.enter_backup(now, member, Reason::Group(group.name.clone()), None);
                }
            }
            self.group_state_changed(id);
        }
    }

    /// Answers a master that should not be one (RFC 9568 section 6.4.3; RFC 5798 stays silent).
    fn lower_priority_seen(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let silent = router.instance.lower_priority_no_advert;
        let garp = router.instance.garp;
        let announcements = router.schedule.lower_priority_seen(now, &garp);
        let script = router.instance.notify.master_rx_lower_priority.clone();
        let (name, priority) = (router.instance.name.clone(), router.priority);
        if !silent {
            self.send_advert(id, None);
            self.arm_advert(now, id);
        }
        self.announce(now, id, announcements);
        if script.is_some() {
            self.outputs.push_back(Output::Notify(Notice {
                subject: Subject::Instance,
                name,
                state: "MASTER_RX_LOWER_PRI",
                priority,
                script,
                any: None,
            }));
        }
    }

    // ---- transitions

    fn master_is_down(&mut self, now: Timestamp, id: RouterId) {
        if self.state_of(id) != Some(State::Backup) {
            return;
        }
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let name = router.instance.name.clone();
        let group = self.group_of(id);
        let members = self.members(id);
        if let Some(group) = &group {
            let able = members.iter().all(|member| {
                matches!(self.state_of(*member), Some(State::Backup | State::Master))
            });
            if !able {
                // The group cannot move yet: ask again after another interval.
                let at = now + router.master_down_interval();
                self.timers.set((id, TimerKind::MasterDown), at);
                return;
            }
            self.log(&name, EventKind::MasterTimeout, None);
            self.enter_master(now, id, Reason::MasterDown);
            self.log_group(&group.name, State::Master);
            for member in members {
                if self.state_of(member) == Some(State::Backup) {
                    self.enter_master(now, member, Reason::Group(group.name.clone()));
                }
            }
            self.group_state_changed(id);
        } else {
            self.log(&name, EventKind::MasterTimeout, None);
            self.enter_master(now, id, Reason::MasterDown);
        }
    }

    fn enter_master(&mut self, now: Timestamp, id: RouterId, reason: Reason) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        router.state = State::Master;
        router.since = Some(now);
        router.master = None;
        router.preempt_at = None;
        router.told.clear();
        router.statistics.become_master += 1;
        let name = router.instance.name.clone();
        self.timers.cancel(&(id, TimerKind::MasterDown));
        // First of all the advert; addresses and announcements follow.
        self.send_advert(id, None);
        self.arm_advert(now, id);
        self.log(&name, EventKind::Entering { state: State::Master, initial: false }, Some(reason));
        self.log(&name, EventKind::SettingAddresses, None);
        self.notify(id, State::Master);
    }

    fn enter_backup(
        &mut self,
        now: Timestamp,
        id: RouterId,
        reason: Reason,
        master: Option<Master>,
    ) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let (was, name) = (router.state, router.instance.name.clone());
        router.state = State::Backup;
        router.since = Some(now);
        router.master = master;
        router.told.clear();
        let at = now + router.master_down_interval();
        self.disarm(id);
        self.timers.set((id, TimerKind::MasterDown), at);
        let initial = was == State::Init;
        self.log(&name, EventKind::Entering { state: State::Backup, initial }, Some(reason));
        self.release(id, was, &name);
        self.notify(id, State::Backup);
    }

    fn enter_fault(&mut self, now: Timestamp, id: RouterId, reason: Reason) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let (was, name) = (router.state, router.instance.name.clone());
        if was == State::Master {
            self.resign(id);
        }
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        router.state = State::Fault;
        router.since = Some(now);
        router.master = None;
        self.disarm(id);
        self.log(&name, EventKind::Entering { state: State::Fault, initial: false }, Some(reason));
        self.release(id, was, &name);
        self.notify(id, State::Fault);
    }

    /// No longer master: nothing more is announced, and the addresses go.
    fn release(&mut self, id: RouterId, was: State, name: &str) {
        if was != State::Master {
            return;
        }
        if let Some(router) = self.routers.get_mut(&id) {
            router.schedule.clear();
            router.statistics.release_master += 1;
        }
        let held = self.desired();
        self.pacer.retain(|address| held.contains(address));
        self.log(name, EventKind::RemovingAddresses, None);
    }

    fn resign(&mut self, id: RouterId) {
        self.send_advert(id, Some(Priority::RESIGN));
        if let Some(router) = self.routers.get_mut(&id) {
            router.statistics.pri_zero_sent += 1;
            let name = router.instance.name.clone();
            self.log(&name, EventKind::SentPriorityZero, None);
        }
    }

    // ---- tracked objects

    /// Works out faults and priorities of all routers from what is known now, and acts on changes.
    fn review(&mut self, now: Timestamp) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        let mut own: BTreeMap<RouterId, BTreeSet<Fault>> = BTreeMap::new();
        for id in &ids {
            let (faults, waiting) = self.own_faults(*id);
            own.insert(*id, faults);
            if let Some(router) = self.routers.get_mut(id) {
                router.waiting_for = waiting;
                router.primary = router
                    .instance
                    .interface
                    .as_ref()
                    .and_then(|interface| self.links.get(interface))
                    .and_then(|(_, primary)| *primary);
            }
        }
        for id in &ids {
            let mut faults = own.get(id).cloned().unwrap_or_default();
            if let Some(group) = self.group_of(*id) {
                let others = self.members(*id);
                let broken = |member: &RouterId| {
                    member != id && own.get(member).is_some_and(|faults| !faults.is_empty())
                };
                if others.iter().any(broken) {
                    faults.insert(Fault::Group(group.name));
                }
            }
            self.set_faults(now, *id, &faults);
        }
        for id in &ids {
            self.set_priority(*id);
        }
        for id in ids {
            let ready = self.routers.get(&id).is_some_and(|router| {
                router.state == State::Init
                    && router.waiting_for.is_empty()
                    && router.since.is_none()
            });
            // A router that waited for a script begins as soon as that has spoken.
            if ready && self.any_begun() && self.startup_until.is_none() {
                self.begin(now, id);
            }
        }
    }

    fn any_begun(&self) -> bool {
        self.routers.values().any(|router| router.state != State::Init)
    }

    fn own_faults(&self, id: RouterId) -> (BTreeSet<Fault>, BTreeSet<String>) {
        let (mut faults, mut waiting) = (BTreeSet::new(), BTreeSet::new());
        let Some(router) = self.routers.get(&id) else {
            return (faults, waiting);
        };
        let instance = &router.instance;
        if let Some(interface) = &instance.interface {
            let link = self.links.get(interface);
            match link {
                None | Some((LinkState::Absent, _)) => {
                    faults.insert(Fault::InterfaceMissing(interface.clone()));
                }
                Some((LinkState::Down, _)) if !instance.dont_track_primary => {
                    faults.insert(Fault::InterfaceDown(interface.clone()));
                }
                Some((LinkState::Up | LinkState::Down, _)) => {}
            }
            let primary = link.and_then(|(_, primary)| *primary);
            if instance.source.is_none() && primary.is_none() {
                faults.insert(Fault::NoSource);
            }
        }
        let group = self.group_of(id);
        let group_links = group.iter().flat_map(|group| &group.track_interfaces);
        for tracked in instance.track_interfaces.iter().chain(group_links) {
            let good = self.link_is_up(&tracked.name);
            if priority::is_fault(tracked.effect, good) {
                faults.insert(Fault::InterfaceDown(tracked.name.clone()));
            }
        }
        let group_scripts = group.iter().flat_map(|group| &group.track_scripts);
        for tracked in instance.track_scripts.iter().chain(group_scripts) {
            match self.script_is_good(&tracked.name) {
                Some(good) if priority::is_fault(tracked.effect, good) => {
                    faults.insert(Fault::Script(tracked.name.clone()));
                }
                Some(_) => {}
                None => match tracked.effect {
                    TrackEffect::Fault | TrackEffect::FaultWhenGood => {
                        waiting.insert(tracked.name.clone());
                    }
                    TrackEffect::Weight(_) => {}
                },
            }
        }
        (faults, waiting)
    }

    fn link_is_up(&self, name: &str) -> bool {
        matches!(self.links.get(name), Some((LinkState::Up, _)))
    }

    fn script_is_good(&self, name: &str) -> Option<bool> {
        let initially = self.initially_bad.contains(name).then_some(false);
        self.scripts.get(name).copied().or(initially)
    }

    fn set_faults(&mut self, now: Timestamp, id: RouterId, faults: &BTreeSet<Fault>) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let old = std::mem::replace(&mut router.faults, faults.clone());
        let (state, name) = (router.state, router.instance.name.clone());
        if state == State::Init || old == *faults {
            return;
        }
        for fault in faults.difference(&old) {
            self.log(&name, EventKind::FaultFound(fault.clone()), None);
        }
        for fault in old.difference(faults) {
            self.log(&name, EventKind::FaultGone(fault.clone()), None);
        }
        match (state, faults.first()) {
            (State::Backup | State::Master, Some(fault)) => {
                self.enter_fault(now, id, Reason::Fault(fault.clone()));
                self.group_state_changed(id);
            }
            (State::Fault, None) => {
                self.enter_backup(now, id, Reason::Recovered, None);
                if let Some(router) = self.routers.get_mut(&id) {
                    let delay = router.preempt_delay();
                    router.preempt_at = (!delay.is_zero()).then(|| now + delay);
                }
                self.group_state_changed(id);
            }
            (State::Init | State::Fault, Some(_))
            | (State::Init | State::Backup | State::Master, None) => {}
        }
    }

    fn set_priority(&mut self, id: RouterId) {
        let group = self.group_of(id);
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let instance = &router.instance;
        let own = group.as_ref().is_none_or(|group| group.tracking_weight);
        let links = instance
            .track_interfaces
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_interfaces))
            .map(|tracked| (tracked.effect, Some(self.link_is_up(&tracked.name))));
        let scripts = instance
            .track_scripts
            .iter()
            .filter(|_| own)
            .chain(group.iter().flat_map(|group| &group.track_scripts))
            .map(|tracked| (tracked.effect, self.script_is_good(&tracked.name)));
        let new = priority::effective(instance.priority, links.chain(scripts));
        let (old, name) = (router.priority, instance.name.clone());
        let (state, tells) = (router.state, instance.notify_priority_changes);
        let any = instance.notify.any.clone();
        if old == new {
            return;
        }
        if let Some(router) = self.routers.get_mut(&id) {
            router.priority = new;
        }
        self.log(&name, EventKind::PriorityChanged { from: old, to: new }, None);
        let what = match state {
            State::Master => "MASTER_PRIORITY",
            State::Backup => "BACKUP_PRIORITY",
            State::Init | State::Fault => return,
        };
        if tells && any.is_some() {
            self.outputs.push_back(Output::Notify(Notice {
                subject: Subject::Instance,
                name,
                state: what,
                priority: new,
                script: None,
                any,
            }));
        }
    }

    // ---- addresses and announcements

    fn handle_present(&mut self, now: Timestamp, present: &[DesiredAddress]) {
        let present: BTreeSet<&DesiredAddress> = present.iter().collect();
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        for id in ids {
            let Some(router) = self.routers.get_mut(&id) else {
                continue;
            };
            if router.state != State::Master {
                continue;
            }
            let ours: Vec<DesiredAddress> = desired::addresses(&router.instance)
                .filter(|address| present.contains(address))
                .collect();
            let fresh: Vec<DesiredAddress> = ours
                .iter()
                .filter(|address| !router.schedule.is_confirmed(address))
                .cloned()
                .collect();
            let garp = router.instance.garp;
            let name = router.instance.name.clone();
            let announcements = router.schedule.appeared(now, &ours, &garp);
            for address in &fresh {
                let kind = EventKind::Announcing {
                    interface: address.interface.clone(),
                    address: address.address.address,
                };
                self.log(&name, kind, None);
            }
            self.announce(now, id, announcements);
        }
    }

    /// keepalived's way: say priority 0, wait a skew time, take it all back.
    fn handle_lost(&mut self, now: Timestamp, lost: &[DesiredAddress]) {
        let ids: Vec<RouterId> = self.routers.keys().copied().collect();
        for id in ids {
            let Some(router) = self.routers.get(&id) else {
                continue;
            };
            let missed = lost.iter().find(|address| {
                router.state == State::Master
                    && !address.address.no_track
                    && router.schedule.is_confirmed(address)
            });
            let Some(address) = missed.map(|address| address.address.address) else {
                continue;
            };
            let name = router.instance.name.clone();
            let group = self.group_of(id);
            self.log(&name, EventKind::AddressLost(address), None);
            for member in self.members(id) {
                if self.state_of(member) != Some(State::Master) {
                    continue;
                }
                self.resign(member);
                let reason = match &group {
                    Some(group) if member != id => Reason::Group(group.name.clone()),
                    Some(_) | None => Reason::AddressLost(address),
                };
                self.enter_backup(now, member, reason, None);
                if let Some(router) = self.routers.get(&member) {
                    let at = now + router.skew();
                    self.timers.set((member, TimerKind::MasterDown), at);
                }
            }
            self.group_state_changed(id);
        }
    }

    fn announce(&mut self, now: Timestamp, id: RouterId, announcements: Vec<DesiredAddress>) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let garp = router.instance.garp;
        let next = router.schedule.next();
        for announcement in announcements {
            let interval = match Family::of(announcement.address.address) {
                Family::Inet => garp.interval,
                Family::Inet6 => garp.gna_interval,
            };
            self.pacer.push(announcement, interval);
        }
        while let Some(announcement) = self.pacer.pop(now) {
            self.outputs.push_back(Output::Announce(announcement));
        }
        match next {
            Some(at) => self.timers.set((id, TimerKind::Announce), at),
            None => self.timers.cancel(&(id, TimerKind::Announce)),
        }
    }

    fn announce_due(&mut self, now: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let garp = router.instance.garp;
        let due = router.schedule.due(now, &garp);
        self.announce(now, id, due);
    }

    // ---- adverts and timers

    /// Sends an advert of the router's priority, or of the one given.
    fn send_advert(&mut self, id: RouterId, priority: Option<Priority>) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        let Some(source) = router.source() else {
            return;
        };
        let priority = priority.unwrap_or(router.priority);
        router.statistics.advert_sent += 1;
        for (destination, ttl) in router.destinations() {
            let payload = router.advert(priority, source, destination);
            self.outputs.push_back(Output::Transmit(Transmit {
                instance: router.instance.name.clone(),
                interface: router.instance.interface.clone(),
                source,
                destination,
                ttl,
                payload,
            }));
        }
    }

    fn arm_advert(&mut self, now: Timestamp, id: RouterId) {
        if let Some(router) = self.routers.get(&id) {
            let at = now + router.instance.advert_interval;
            self.timers.set((id, TimerKind::Advert), at);
        }
    }

    /// From deadline to deadline, so that adverts do not drift; after a long delay from now on, so
    /// that they do not come in a burst.
    fn rearm_advert(&mut self, now: Timestamp, due: Timestamp, id: RouterId) {
        let Some(router) = self.routers.get(&id) else {
            return;
        };
        let interval = router.instance.advert_interval;
        let next = due + interval;
        let at = if now.since(due) < interval { next } else { now + interval };
        self.timers.set((id, TimerKind::Advert), at);
    }

    fn disarm(&mut self, id: RouterId) {
        for kind in [TimerKind::MasterDown, TimerKind::Advert, TimerKind::Announce] {
            self.timers.cancel(&(id, kind));
        }
    }

    // ---- groups and words

    fn state_of(&self, id: RouterId) -> Option<State> {
        self.routers.get(&id).map(|router| router.state)
    }

    fn id_of(&self, name: &str) -> Option<RouterId> {
        self.routers.iter().find(|(_, router)| router.instance.name == name).map(|(id, _)| *id)
    }

    fn group_of(&self, id: RouterId) -> Option<SyncGroup> {
        let name = &self.routers.get(&id)?.instance.name;
        self.groups.iter().find(|group| group.members.contains(name)).cloned()
    }

    /// The members of the router's group; only itself without one.
    fn members(&self, id: RouterId) -> Vec<RouterId> {
        match self.group_of(id) {
            None => vec![id],
            Some(group) => group.members.iter().filter_map(|name| self.id_of(name)).collect(),
        }
    }

    fn log(&mut self, name: &str, kind: EventKind, reason: Option<Reason>) {
        self.outputs.push_back(Output::Log(Event { name: name.to_owned(), kind, reason }));
    }

    fn log_group(&mut self, name: &str, state: State) {
        self.log(name, EventKind::GroupSync(state), None);
    }

    /// Tells the outside of a state, once.
    fn notify(&mut self, id: RouterId, state: State) {
        self.notify_as(id, state.name());
    }

    fn notify_as(&mut self, id: RouterId, state: &'static str) {
        let Some(router) = self.routers.get_mut(&id) else {
            return;
        };
        if router.notified.replace(state) == Some(state) {
            return;
        }
        let scripts = &router.instance.notify;
        let script = match state {
            "MASTER" => scripts.master.clone(),
            "BACKUP" => scripts.backup.clone(),
            "FAULT" => scripts.fault.clone(),
            "STOP" => scripts.stop.clone(),
            _ => None,
        };
        let notice = Notice {
            subject: Subject::Instance,
            name: router.instance.name.clone(),
            state,
            priority: router.priority,
            script,
            any: scripts.any.clone(),
        };
        self.outputs.push_back(Output::Notify(notice));
    }

    /// The group is where all of its members are; a member in FAULT decides.
    fn group_state_changed(&mut self, id: RouterId) {
        let Some(group) = self.group_of(id) else {
            return;
        };
        let states: BTreeSet<State> =
            self.members(id).into_iter().filter_map(|member| self.state_of(member)).collect();
        let state = if states.contains(&State::Fault) {
            State::Fault
        } else if states.len() == 1 {
            states.first().copied().unwrap_or(State::Init)
        } else {
            return;
        };
        if state == State::Init
            || self.group_states.insert(group.name.clone(), state) == Some(state)
        {
            return;
        }
        if state == State::Fault {
            self.log_group(&group.name, State::Fault);
        }
        self.notify_group(&group, state.name());
    }

    fn notify_group(&mut self, group: &SyncGroup, state: &'static str) {
        let scripts = &group.notify;
        let script = match state {
            "MASTER" => scripts.master.clone(),
            "BACKUP" => scripts.backup.clone(),
            "FAULT" => scripts.fault.clone(),
            "STOP" => scripts.stop.clone(),
            _ => None,
        };
        self.outputs.push_back(Output::Notify(Notice {
            subject: Subject::Group,
            name: group.name.clone(),
            state,
            priority: Priority::RESIGN,
            script,
            any: scripts.any.clone(),
        }));
    }
}

/// Instances that this version can run; the others are told of by the config test.
pub fn is_runnable(instance: &Instance) -> bool {
    let unauthenticated = match instance.authentication {
        Authentication::None | Authentication::Password(_) => true,
        // Without the header its peers would not hear it, and there would be two masters.
        Authentication::Header(_) => false,
    };
    instance.family == Family::Inet && unauthenticated
}

fn kind_of(rejection: super::event::Rejection) -> &'static str {
    use super::event::Rejection as R;
    match rejection {
        R::Length => "length",
        R::Ttl(_) => "ttl",
        R::Version(_) => "version",
        R::Type => "type",
        R::Checksum => "checksum",
        R::UnknownAuthType(_) | R::AuthTypeMismatch => "authentication type",
        R::Password => "password",
        R::Interval(_) => "interval",
        R::Destination => "destination",
        R::NoAddress => "no address",
        R::Source => "source",
        R::Owner => "owner",
    }
}

#[cfg(test)]
#[path = "engine_tests.rs"]
pub(crate) mod tests;
