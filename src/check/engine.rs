//! All services and their checkers: results of probes and reloads in; probes to start, scripts to
//! run and the desired table out. Pure: it owns no clock, socket or file.

mod agenda;
mod certificates;
mod drain;
mod files;
mod probing;
mod reload;
mod sessions;
mod sharing;
mod slow_start;
mod suspension;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use self::agenda::Agenda;
pub use self::certificates::Warning;
pub use self::drain::{Leaving, Live};
use self::probing::Probing;
use self::reload::Known;
use self::sessions::Presumed;
use self::sharing::Sharing;
use self::slow_start::Ramp;
use super::event::{
    Alert, Change, Event, Importance, Names, ServiceName, What, endpoint, protocol_of, up_or_down,
};
use super::health::{Health, Memory};
use super::marks::Marks;
use super::virtual_server::{self, ServerView};
use super::wish::{self, Wish};
use crate::core::config::model::Script;
use crate::core::config::model::check::{
    CheckConfig, Checker, GivenUp, Probe, RealServer, Target, VirtualServer,
};
use crate::core::netlink::nftables::marking::Range;
use crate::core::shared::Shared;
use crate::core::time::{Interval, TimerTable, Timestamp};
use crate::ipvs::model::{DestinationKey, ServiceKey, Table};

/// Within this time the first probes of servers that seem dead are spread.
const SOON: Interval = Interval::from_secs(1);

/// Names one checker of one server of one service, for as long as it is configured.
pub type CheckerId = u64;

/// What a probe found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All well; a script may ask for a weight.
    Success {
        /// In keepalived's words.
        text: String,
        /// From `misc_dynamic`, or an agent.
        weight: Option<Wish>,
        /// Of a certificate that ends soon.
        warning: Option<String>,
    },
    /// Not well.
    Failure {
        /// In keepalived's words.
        text: String,
        /// What it does not say: the error beneath.
        cause: Option<String>,
    },
}

/// What happens to the engine.
#[derive(Debug, Clone)]
pub enum Input {
    /// A probe has left the queue: its time counts from now on.
    Started {
        /// Whose.
        id: CheckerId,
    },
    /// A probe has ended.
    Finished {
        /// Whose.
        id: CheckerId,
        /// How.
        outcome: Outcome,
    },
    /// All addresses of this host. Until they are told, nothing is suspended.
    Addresses(BTreeSet<IpAddr>),
    /// This host has got an address.
    AddressAdded(IpAddr),
    /// This host has lost an address.
    AddressRemoved(IpAddr),
    /// A `track_file` has this number now.
    FileChanged {
        /// Its name.
        name: String,
        /// The number.
        value: i64,
    },
    /// A BFD session is up or not.
    SessionChanged {
        /// Name of the `bfd_instance`.
        name: String,
        /// Whether it is.
        up: bool,
    },
    /// How many connections the [`CheckEngine::draining`] services have.
    Connections(Live),
    /// A reload.
    Reconfigure(Box<CheckConfig>),
    /// The process ends.
    Shutdown,
}

/// What the engine wants done, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// Ask a server.
    StartProbe {
        /// For whom.
        id: CheckerId,
        /// What to do: its probe.
        checker: Shared<Checker>,
        /// Which url of an HTTP probe.
        url: usize,
    },
    /// Its result does not matter any more.
    CancelProbe(CheckerId),
    /// Run a script; those of one object in order.
    RunScript {
        /// Whose order.
        object: String,
        /// What.
        script: Shared<Script>,
    },
    /// Write a line to the FIFOs.
    Line(String),
    /// Send a mail.
    Mail(Alert),
    /// Tell managers (SNMP).
    Changed(Box<Change>),
    /// Log a line.
    Log(Event),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum TimerKind {
    /// A server that is back gets more of its weight.
    Ramp,
    /// A server on its way out has had its time.
    Drain,
}

/// A checker with its memory.
#[derive(Debug, Clone)]
pub struct CheckerState {
    /// Its name.
    pub id: CheckerId,
    /// Its configuration.
    pub config: Shared<Checker>,
    /// What it has seen.
    pub memory: Memory,
    /// Weight that its script or agent asked for.
    pub weight: Option<Wish>,
    /// Of a certificate.
    pub warning: Option<Box<Warning>>,
    /// What its last probe found wrong; `None` after a success.
    pub fault: Option<String>,
    probing: Probing,
    /// When its next probe begins.
    due: Option<Timestamp>,
}

/// A server with its checkers.
#[derive(Debug, Clone)]
pub struct ServerState {
    /// Its configuration.
    pub config: Shared<RealServer>,
    /// Its checkers.
    pub checkers: Vec<CheckerState>,
    /// Whether it was up when last looked at.
    pub up: bool,
    /// No `FILE_CHECK` takes it out.
    files_allow: bool,
    /// What `FILE_CHECK`s add to its weight.
    moved_by_files: i64,
    /// No `BFD_CHECK` takes it out.
    sessions_allow: bool,
    /// What sessions count as that are not known yet.
    presumed: Presumed,
    /// It has come back, and has not its whole weight yet.
    ramp: Option<Ramp>,
}

impl ServerState {
    fn is_up(&self) -> bool {
        self.files_allow
            && self.sessions_allow
            && self.checkers.iter().all(|checker| checker.memory.health.is_up())
    }

    /// The configured weight, moved by what each script asked for.
    pub fn weight(&self) -> u32 {
        let wishes = self.checkers.iter().filter_map(|checker| checker.weight);
        wish::weight(self.config.weight, wishes, self.moved_by_files)
    }
}

/// A service with its servers.
#[derive(Debug, Clone)]
pub struct ServiceState {
    /// Its configuration.
    pub config: Shared<VirtualServer>,
    /// Its servers, in the order of the file.
    pub servers: Vec<ServerState>,
    /// Whether there is enough to serve with.
    pub quorum: bool,
    /// The kernel's services.
    pub keys: Vec<ServiceKey>,
    /// `ha_suspend`, and none of its addresses is on this host: no probes until one is.
    pub suspended: bool,
    /// Servers that a reload has taken out, as long as they have connections.
    pub leaving: Vec<Leaving>,
    /// As in FIFOs and mails: the services of one group are numbered.
    told_as: String,
}

impl ServiceState {
    fn views(&self) -> Vec<ServerView> {
        self.servers
            .iter()
            .map(|server| ServerView { up: server.up, weight: server.weight() })
            .collect()
    }

    /// As the table sees them.
    fn views_now(&self) -> Vec<ServerView> {
        let view = |server: &ServerState| ServerView { up: server.up, weight: server.weight_now() };
        self.servers.iter().map(view).collect()
    }

    /// `VS`, for the FIFOs and by mail, with the words of the mail.
    fn tell(&self, words: &str, total: u64) -> Vec<Output> {
        let (name, state) = (&self.told_as, up_or_down(self.quorum));
        let mut outputs = vec![
            Output::Line(format!("VS {name} {state}\n")),
            self.changed(What::Quorum(self.quorum)),
        ];
        if self.config.smtp_alert {
            let (quorum, hysteresis) = (self.config.quorum, self.config.hysteresis);
            let sum = u64::from(quorum) + u64::from(hysteresis);
            outputs.push(Output::Mail(Alert {
                subject: format!("Virtualserver {name} - {state}"),
                body: format!("{words} {quorum}+{hysteresis}={sum} <= {total}"),
                one_check: false,
            }));
        }
        outputs
    }

    /// How it begins; with `servers` also those that begin as up.
    fn tell_start(&self, servers: bool) -> Vec<Output> {
        let mut outputs = Vec::new();
        for server in self.servers.iter().filter(|server| servers && server.up) {
            outputs.push(self.server_line(&server.config, true));
            outputs.push(self.changed(What::Server(server.config.clone(), true)));
            if let Some(script) = &server.config.notify_up {
                let object = self.name().0;
                outputs.push(Output::RunScript { object, script: script.clone() });
            }
        }
        let total = virtual_server::live_weight(&self.views());
        let words =
            if self.quorum { "Starting with quorum up" } else { "Starting with quorum down" };
        outputs.extend(self.tell(words, total));
        outputs
    }

    /// What managers are told.
    fn changed(&self, what: What) -> Output {
        let servers_up = self.servers.iter().filter(|server| server.up).count();
        Output::Changed(Box::new(Change { service: self.config.clone(), servers_up, what }))
    }

    /// `RS`, for the FIFOs.
    fn server_line(&self, server: &RealServer, up: bool) -> Output {
        let (server, state) = (self.server_name(server), up_or_down(up));
        Output::Line(format!("RS {server} {} {state}\n", self.told_as))
    }

    /// A server by mail, if it is to be told of.
    fn server_mail(
        &self,
        server: &RealServer,
        up: bool,
        words: &str,
        one_check: bool,
    ) -> Option<Output> {
        let (name, state) = (self.server_name(server), up_or_down(up));
        let subject = format!("Realserver {name} of virtual server {} - {state}", self.told_as);
        let alert = Alert { subject, body: words.to_owned(), one_check };
        server.smtp_alert.then_some(Output::Mail(alert))
    }

    /// As in logs.
    pub fn name(&self) -> ServiceName {
        ServiceName::of(&self.config.target)
    }

    /// As in logs.
    pub fn server_name(&self, server: &RealServer) -> String {
        endpoint(server.address, protocol_of(&self.config.target))
    }
}

/// A service, one of its servers, one of that server's checkers.
type Place = (usize, usize, usize);

/// Where each checker stands, in the order of their names: one piece of memory, made anew by each
/// reload.
#[derive(Debug, Clone, Default)]
struct Places(Vec<(CheckerId, Place)>);

impl Places {
    fn get(&self, id: CheckerId) -> Option<Place> {
        // Until a reload has made gaps, a name says where it stands.
        let (first, _) = self.0.first()?;
        let guess = usize::try_from(id.checked_sub(*first)?).ok()?;
        if let Some((found, place)) = self.0.get(guess)
            && *found == id
        {
            return Some(*place);
        }
        let found = self.0.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.0.get(found).map(|(_, place)| *place)
    }
}

/// Where the desired table may differ from what it was.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Changes {
    /// Nowhere.
    #[default]
    Nothing,
    /// In what these services (places in [`CheckEngine::services`]) have there.
    Services(BTreeSet<usize>),
    /// Anywhere.
    All,
}

impl Changes {
    fn add(&mut self, place: usize) {
        match self {
            Self::Nothing => *self = Self::Services(BTreeSet::from([place])),
            Self::Services(places) => {
                places.insert(place);
            }
            Self::All => {}
        }
    }
}

/// All services.
#[derive(Debug, Clone)]
pub struct CheckEngine {
    services: Vec<ServiceState>,
    places: Places,
    agenda: Agenda,
    /// Of what happens seldom.
    timers: TimerTable<(CheckerId, TimerKind)>,
    /// Where identical checks share probes.
    sharing: Option<Sharing>,
    /// When probes that have lost their time are looked for; `None` while none is under way.
    next_sweep: Option<Timestamp>,
    outputs: VecDeque<Output>,
    /// New checkers that the log has not told of.
    unannounced: VecDeque<CheckerId>,
    next_id: CheckerId,
    seed: u64,
    changes: Changes,
    /// Some key is of two services, and the later one counts.
    keys_are_shared: bool,
    /// Of groups that the kernel knows by one.
    marks: Marks,
    /// Packets that are to get them.
    marked: BTreeSet<Range>,
    /// Addresses of this host, once they are known.
    local: Option<BTreeSet<IpAddr>>,
    /// Numbers in files, once they are known.
    files: BTreeMap<String, i64>,
    /// BFD sessions, once they are known: whether they are up.
    sessions: BTreeMap<String, bool>,
}

impl CheckEngine {
    /// Begins with what the kernel has: a server that is missing from a service that is there was
    /// taken out by a process before this one, and stays out until it has answered.
    pub fn new(now: Timestamp, config: &CheckConfig, adopted: &Table, seed: u64) -> Self {
        let mut engine = Self {
            services: Vec::new(),
            places: Places::default(),
            agenda: Agenda::default(),
            timers: TimerTable::new(),
            sharing: None,
            next_sweep: None,
            outputs: VecDeque::new(),
            unannounced: VecDeque::new(),
            next_id: 0,
            seed,
            changes: Changes::All,
            keys_are_shared: false,
            marks: Marks::default(),
            marked: BTreeSet::new(),
            local: None,
            files: BTreeMap::new(),
            sessions: BTreeMap::new(),
        };
        engine.mark_groups(config);
        for service in &config.virtual_servers {
            let state = engine.new_service(now, service, config, adopted, &Known::new());
            engine.services.push(state);
        }
        engine.index();
        engine.share(config.shared_checks);
        engine.announce_checkers(0);
        engine
    }

    /// Tells the FIFOs, and by mail, how everything begins; with `servers` (`rs_init_notifies`) also
    /// of servers that begin as up.
    pub fn tell_start(&mut self, servers: bool) {
        let outputs = self.services.iter().flat_map(|service| service.tell_start(servers));
        self.outputs.extend(outputs);
    }

    /// What happened, at `now`.
    pub fn handle(&mut self, now: Timestamp, input: Input) {
        match input {
            Input::Started { id } => self.started(now, id),
            Input::Finished { id, outcome } => self.finished(now, id, &outcome),
            Input::Addresses(local) => self.set_local(now, local),
            Input::AddressAdded(address) => self.add_local(now, address),
            Input::AddressRemoved(address) => self.remove_local(now, address),
            Input::Connections(live) => self.counted(&live),
            Input::FileChanged { name, value } => self.file_changed(name, value),
            Input::SessionChanged { name, up } => self.session_changed(now, name, up),
            Input::Reconfigure(config) => self.reconfigure(now, &config),
            Input::Shutdown => self.shutdown(),
        }
        self.tidy_agenda();
    }

    /// Carries out what is due at `now`.
    pub fn handle_timeout(&mut self, now: Timestamp) {
        loop {
            let timer = self.timers.next().map(|(at, (id, _))| (at, *id));
            match self.next_probe().filter(|(at, _)| *at <= now) {
                Some((at, id)) if timer.is_none_or(|timer| (at, id) <= timer) => {
                    self.pop_probe();
                    self.start_probe(at, id);
                }
                Some(_) | None => match self.timers.pop_due(now) {
                    Some((_, (id, TimerKind::Ramp))) => self.step_ramp(id),
                    Some((_, (id, TimerKind::Drain))) => self.left(id, "its time is over"),
                    None => break,
                },
            }
        }
        if self.next_sweep.is_some_and(|at| at <= now) {
            self.sweep(now);
        }
        self.tidy_agenda();
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let timer = self.timers.next().map(|(at, _)| at);
        let probe = self.next_probe().map(|(at, _)| at);
        timer.into_iter().chain(probe).chain(self.next_sweep).min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front().or_else(|| self.announcement())
    }

    /// The table that follows from what is known now.
    pub fn desired(&self) -> Table {
        table_of(self.services.iter())
    }

    /// The part of it that these services have.
    pub fn desired_of(&self, places: &BTreeSet<usize>) -> Table {
        table_of(places.iter().filter_map(|place| self.services.get(*place)))
    }

    /// Where the table may have changed since this was last asked.
    pub fn take_changes(&mut self) -> Changes {
        match std::mem::take(&mut self.changes) {
            Changes::Services(_) if self.keys_are_shared => Changes::All,
            changes => changes,
        }
    }

    /// For dumps.
    pub fn services(&self) -> &[ServiceState] {
        &self.services
    }

    /// Whether a BFD session is up, if that is known.
    pub fn session(&self, name: &str) -> Option<bool> {
        self.sessions.get(name).copied()
    }

    /// Which packets are to be marked for the services of groups.
    pub fn marked(&self) -> &BTreeSet<Range> {
        &self.marked
    }

    // ---- configuration

    fn mark_groups(&mut self, config: &CheckConfig) {
        self.marks.assign(config);
        self.marked = self.marks.marked(config);
    }

    fn new_service(
        &mut self,
        now: Timestamp,
        config: &Shared<VirtualServer>,
        all: &CheckConfig,
        adopted: &Table,
        known: &Known,
    ) -> ServiceState {
        let keys = virtual_server::service_keys(config, all, &self.marks);
        let there = keys.iter().find_map(|key| adopted.get(key));
        let servers: Vec<ServerState> = config
            .real_servers
            .iter()
            .map(|server| {
                let serving = there.map(|entry| {
                    let same = |key: &DestinationKey| key.address == server.address.ip();
                    entry
                        .destinations
                        .iter()
                        .any(|(key, found)| same(key) && (found.weight > 0 || server.weight == 0))
                });
                self.new_server(now, server, serving, known)
            })
            .collect();
        let mut service = ServiceState {
            config: config.clone(),
            servers,
            quorum: !config.alpha,
            keys,
            suspended: false,
            leaving: Vec::new(),
            told_as: String::new(),
        };
        let total = virtual_server::live_weight(&service.views());
        service.quorum = virtual_server::has_quorum(&service.config, total, service.quorum);
        service
    }

    fn new_server(
        &mut self,
        now: Timestamp,
        config: &Shared<RealServer>,
        serving: Option<bool>,
        known: &Known,
    ) -> ServerState {
        let serves = serving.unwrap_or(true);
        let checkers = config
            .checkers
            .iter()
            .map(|checker| {
                let health = match Health::initial(checker) {
                    Health::Unproved { up } => Health::Unproved { up: up && serves },
                    health @ (Health::Up { .. } | Health::Down) => health,
                };
                let Some((memory, weight)) = known.get(&(config.address, checker.clone())) else {
                    return self.new_checker(now, checker, health);
                };
                let new = self.new_checker(now, checker, memory.health);
                CheckerState { memory: *memory, weight: *weight, ..new }
            })
            .collect();
        let mut server = ServerState {
            config: config.clone(),
            checkers,
            up: true,
            files_allow: true,
            moved_by_files: 0,
            sessions_allow: true,
            presumed: Presumed::New { serving },
            ramp: None,
        };
        server.take_sessions(|name| self.session(name));
        server.up = server.is_up();
        server
    }

    fn new_checker(
        &mut self,
        now: Timestamp,
        config: &Shared<Checker>,
        health: Health,
    ) -> CheckerState {
        let id = self.next_id;
        self.next_id += 1;
        let spread = if health.is_up() { config.warmup } else { config.warmup.min(SOON) };
        let first = now + spread.fraction(self.chance(id), u64::from(u32::MAX));
        CheckerState {
            id,
            config: config.clone(),
            memory: Memory::new(health),
            weight: None,
            warning: None,
            fault: None,
            probing: Probing::No,
            due: Some(first),
        }
    }

    /// A number below 2^32 that differs from checker to checker (the finaliser of SplitMix64).
    fn chance(&self, id: CheckerId) -> u64 {
        let mut mixed = self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 32
    }

    fn index(&mut self) {
        let mut groups: BTreeMap<String, usize> = BTreeMap::new();
        for service in &mut self.services {
            service.told_as = match &service.config.target {
                Target::Group { name, .. } => {
                    let number = groups.entry(name.clone()).or_default();
                    *number += 1;
                    format!("[{name}]:{}", *number - 1)
                }
                Target::Address { .. } | Target::Fwmark { .. } => service.name().0,
            };
        }
        let mut keys = BTreeSet::new();
        let mut all_keys = self.services.iter().flat_map(|service| &service.keys);
        self.keys_are_shared = !all_keys.all(|key| keys.insert(*key));
        let mut places = Vec::with_capacity(self.places.0.len());
        for (service, state) in self.services.iter().enumerate() {
            for (server, state) in state.servers.iter().enumerate() {
                for (checker, state) in state.checkers.iter().enumerate() {
                    places.push((state.id, (service, server, checker)));
                }
            }
        }
        places.sort_unstable();
        self.places = Places(places);
        self.fill_agenda();
    }

    /// Has the log told of the checkers from this one on.
    fn announce_checkers(&mut self, first: CheckerId) {
        let active = self.services.iter().filter(|service| !service.suspended);
        let checkers = active.flat_map(|service| &service.servers).flat_map(|s| &s.checkers);
        let new = checkers.map(|checker| checker.id).filter(|id| *id >= first);
        self.unannounced.extend(new);
    }

    /// There may be very many: each line is made when it is asked for.
    fn announcement(&mut self) -> Option<Output> {
        let Names { server, service } = loop {
            let Some(id) = self.unannounced.pop_front() else {
                // Of a start with tens of thousands.
                self.unannounced.shrink_to_fit();
                return None;
            };
            if let Some(names) = self.names(id) {
                break names;
            }
        };
        let text = format!("Activating healthchecker for service {server} for VS {service}");
        Some(Output::Log(Event { importance: Importance::Normal, text, cause: None }))
    }

    fn forget(&mut self, server: &ServerState) {
        for checker in &server.checkers {
            self.drop_checker(checker);
        }
    }

    fn drop_checker(&mut self, checker: &CheckerState) {
        self.timers.cancel(&(checker.id, TimerKind::Ramp));
        if checker.probing != Probing::No {
            self.outputs.push_back(Output::CancelProbe(checker.id));
        }
    }

    fn shutdown(&mut self) {
        let services = std::mem::take(&mut self.services);
        for service in &services {
            if service.config.omega {
                self.retire(service, "Shutting down");
            } else {
                service.servers.iter().for_each(|server| self.forget(server));
            }
        }
        self.places = Places::default();
    }

    /// A service goes away: its servers are told, then that there is no quorum any more.
    fn retire(&mut self, service: &ServiceState, words: &str) {
        for server in &service.servers {
            self.forget(server);
            self.outputs.extend(gone(service, server, words));
        }
        if service.quorum {
            self.outputs.push_back(Output::Line(format!("VS {} DOWN\n", service.told_as)));
            self.outputs.push_back(service.changed(What::Quorum(false)));
            if let Some(script) = service.config.quorum_down.clone() {
                let object = service.name().0;
                self.outputs.push_back(Output::RunScript { object, script });
            }
        }
    }

    // ---- probes

    fn checker(&mut self, id: CheckerId) -> Option<&mut CheckerState> {
        let (service, server, checker) = self.places.get(id)?;
        self.services.get_mut(service)?.servers.get_mut(server)?.checkers.get_mut(checker)
    }

    /// Whether the server of this checker is up.
    fn serves(&self, id: CheckerId) -> bool {
        let found = self
            .places
            .get(id)
            .and_then(|(service, server, _)| self.services.get(service)?.servers.get(server));
        found.is_some_and(|server| server.up)
    }

    fn names(&self, id: CheckerId) -> Option<Names> {
        let (service, server, _) = self.places.get(id)?;
        let service = self.services.get(service)?;
        let server = service.server_name(&service.servers.get(server)?.config);
        Some(Names { server, service: service.name().0 })
    }

    fn finished(&mut self, now: Timestamp, id: CheckerId, outcome: &Outcome) {
        let Some(checker) = self.checker(id) else { return };
        // A result that comes after the checker was given up does not count twice.
        let probing = std::mem::replace(&mut checker.probing, Probing::No);
        if probing == Probing::No {
            return;
        }
        let url = checker.memory.url;
        self.concluded(now, id, probing, outcome);
        self.share_result(now, id, url, probing, outcome);
    }

    /// Draws the conclusions of a result for one checker.
    fn concluded(&mut self, now: Timestamp, id: CheckerId, probing: Probing, outcome: &Outcome) {
        let Some((service, ..)) = self.places.get(id) else { return };
        let Some(checker) = self.checker(id) else { return };
        let before = checker.memory.health;
        let mut reweighed = false;
        let (success, text, cause) = match outcome {
            Outcome::Success { text, weight, .. } => {
                // Exit status 0 asks for the configured weight again.
                reweighed = *weight != checker.weight;
                checker.weight = *weight;
                checker.fault = None;
                (true, text, None)
            }
            Outcome::Failure { text, cause } => {
                checker.fault = Some(match cause {
                    Some(cause) => format!("{text} ({cause})"),
                    None => text.clone(),
                });
                (false, text, cause.clone())
            }
        };
        let config = checker.config.clone();
        let wait = checker.memory.result(now, &config, success);
        let after = checker.memory.health;
        let due = probing.next(now, wait);
        checker.due = Some(due);
        self.agenda.push(due, id);
        let told = before.is_up() != after.is_up()
            || (matches!(before, Health::Unproved { .. }) && !text.is_empty());
        let importance = match (told, success) {
            (true, true) => Importance::Normal,
            (true, false) => Importance::Warning,
            (false, false) if config.log_all_failures => Importance::Warning,
            (false, true | false) => Importance::Detail,
        };
        let used_up = matches!((before, after), (Health::Up { failures: 1.. }, Health::Down));
        let (given_up, retry) = (config.probe.given_up(), config.retry);
        if !text.is_empty() && (told || !success) {
            let text = match given_up {
                GivenUp::Suffix if used_up => format!("{text} after {retry} retries"),
                GivenUp::Suffix | GivenUp::Line(_) | GivenUp::LineOf(_) | GivenUp::Nothing => {
                    text.clone()
                }
            };
            self.outputs.push_back(Output::Log(Event { importance, text, cause }));
        }
        if used_up && let Some(Names { server, service }) = self.names(id) {
            match given_up {
                GivenUp::Line(kind) => {
                    let text = format!("{kind} on service {server} failed after {retry} retries.");
                    self.log(Importance::Warning, text);
                }
                GivenUp::LineOf(kind) => {
                    let text = format!(
                        "{kind} on service {server} of {service} failed after {retry} retries."
                    );
                    self.log(Importance::Warning, text);
                }
                GivenUp::Suffix | GivenUp::Nothing => {}
            }
        }
        if reweighed {
            self.changes.add(service);
        }
        if let Outcome::Success { warning, .. } = outcome {
            self.warned(now, id, warning.as_ref());
        }
        if before.is_up() == after.is_up() && !reweighed {
            return;
        }
        if before.is_up() != after.is_up() {
            self.mail_check(id, &config.probe, outcome);
        }
        let served = self.serves(id);
        self.settle(service);
        if !served && self.serves(id) {
            self.begin_ramp(now, id);
        }
    }

    /// Draws the conclusions of a change within a service: servers, quorum, scripts, words.
    fn settle(&mut self, place: usize) {
        let mut outputs = Vec::new();
        let Some(service) = self.services.get_mut(place) else { return };
        let name = service.name();
        let protocol = protocol_of(&service.config.target);
        let mut changed = Vec::new();
        for server in &mut service.servers {
            let up = server.is_up();
            if std::mem::replace(&mut server.up, up) == up {
                continue;
            }
            self.changes.add(place);
            let server_name = endpoint(server.config.address, protocol);
            let (verb, script) = match (up, server.config.inhibit_on_failure) {
                (true, false) => ("Adding service", &server.config.notify_up),
                (true, true) => ("Enabling service", &server.config.notify_up),
                (false, false) => ("Removing service", &server.config.notify_down),
                (false, true) => ("Disabling service", &server.config.notify_down),
            };
            let preposition = match (up, server.config.inhibit_on_failure) {
                (true, false) => "to",
                (false, false) => "from",
                (_, true) => "of",
            };
            let text = format!("{verb} {server_name} {preposition} VS {name}");
            let importance = if up { Importance::Normal } else { Importance::Warning };
            outputs.push(Output::Log(Event { importance, text, cause: None }));
            if let Some(script) = script {
                let object = name.0.clone();
                outputs.push(Output::RunScript { object, script: script.clone() });
            }
            let state = up_or_down(up);
            let line = format!("RS {server_name} {} {state}\n", service.told_as);
            outputs.push(Output::Line(line));
            changed.push(What::Server(server.config.clone(), up));
        }
        outputs.extend(changed.into_iter().map(|what| service.changed(what)));
        let total = virtual_server::live_weight(&service.views());
        let quorum = virtual_server::has_quorum(&service.config, total, service.quorum);
        if std::mem::replace(&mut service.quorum, quorum) != quorum {
            self.changes.add(place);
            outputs.extend(quorum_changed(service, total));
        }
        self.outputs.extend(outputs);
    }

    fn log(&mut self, importance: Importance, text: String) {
        self.outputs.push_back(Output::Log(Event { importance, text, cause: None }));
    }
}

fn table_of<'a>(services: impl Iterator<Item = &'a ServiceState>) -> Table {
    let mut table = Table::new();
    for service in services {
        let views = service.views_now();
        for key in &service.keys {
            let mut entry = virtual_server::entry(&service.config, key, &views, service.quorum);
            for leaving in &service.leaving {
                virtual_server::keep_without_weight(&mut entry, key, &leaving.config);
            }
            table.insert(*key, entry);
        }
    }
    table
}

/// A server that is up goes away with its service, or out of it.
fn gone(service: &ServiceState, server: &ServerState, words: &str) -> Vec<Output> {
    if !server.up {
        return Vec::new();
    }
    let config = &server.config;
    let object = service.name().0;
    let script = config.notify_down.clone().map(|script| Output::RunScript { object, script });
    let mail = service.server_mail(config, false, words, false);
    let told =
        [service.server_line(config, false), service.changed(What::Server(config.clone(), false))];
    script.into_iter().chain(told).chain(mail).collect()
}

fn quorum_changed(service: &ServiceState, total: u64) -> Vec<Output> {
    let name = service.name();
    let (quorum, hysteresis) = (service.config.quorum, service.config.hysteresis);
    let protocol = protocol_of(&service.config.target);
    let sorry = service.config.sorry_server.as_ref().map(|sorry| endpoint(sorry.address, protocol));
    let (importance, mut lines, script) = if service.quorum {
        let sum = u64::from(quorum) + u64::from(hysteresis);
        let line = format!("Gained quorum {quorum}+{hysteresis}={sum} <= {total} for VS {name}");
        let sorry = sorry.map(|sorry| format!("Removing sorry server {sorry} from VS {name}"));
        (Importance::Normal, vec![Some(line), sorry], &service.config.quorum_up)
    } else {
        let difference = quorum.saturating_sub(hysteresis);
        let line =
            format!("Lost quorum {quorum}-{hysteresis}={difference} > {total} for VS {name}");
        let sorry = sorry.map(|sorry| format!("Adding sorry server {sorry} to VS {name}"));
        (Importance::Warning, vec![Some(line), sorry], &service.config.quorum_down)
    };
    let mut outputs: Vec<Output> = lines
        .drain(..)
        .flatten()
        .map(|text| Output::Log(Event { importance, text, cause: None }))
        .collect();
    if let Some(script) = script {
        outputs.push(Output::RunScript { object: name.0, script: script.clone() });
    }
    outputs
        .extend(service.tell(if service.quorum { "Gained quorum" } else { "Lost quorum" }, total));
    outputs
}

#[cfg(test)]
#[path = "engine_tests.rs"]
pub(crate) mod tests;
