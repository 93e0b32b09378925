//! All services and their checkers: results of probes and reloads in; probes to start, scripts to
//! run and the desired table out. Pure: it owns no clock, socket or file.
//!
//! What a configuration makes is in `making`, what results lead to in `results`, the words in `words`.

mod agenda;
mod certificates;
mod drain;
mod files;
mod lacks;
mod making;
mod pairing;
mod probing;
mod reload;
mod results;
mod sessions;
mod sharing;
mod slow_start;
mod suspension;
mod words;

use std::collections::{BTreeMap, BTreeSet, VecDeque, btree_map};
use std::net::IpAddr;

use self::agenda::Agenda;
pub use self::certificates::Ending;
use self::certificates::Warnings;
pub use self::drain::{Leaving, Live};
use self::lacks::Lacks;
use self::making::Begins;
use self::probing::Probing;
use self::reload::Known;
use self::sessions::Presumed;
use self::sharing::Sharing;
use self::slow_start::Ramp;
use super::event::{
    About, Alert, Change, Event, Importance, Names, ServiceName, endpoint, protocol_of,
};
use super::health::{Health, Memory};
use super::marks::Marks;
use super::places::Pace;
use super::virtual_server::{self, ServerView};
use super::wish::{self, Wish};
use crate::core::config::model::Script;
use crate::core::config::model::check::{CheckConfig, Checker, Probe, RealServer, VirtualServer};
use crate::core::netlink::nftables::marking::Range;
use crate::core::shared::Shared;
use crate::core::time::{Interval, TimerTable, Timestamp};
use crate::ipvs::model::{ServiceKey, Table};

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
        warning: Option<Ending>,
    },
    /// Not well.
    Failure {
        /// In keepalived's words.
        text: String,
        /// What it does not say: the error beneath.
        cause: Option<String>,
    },
    /// This host could not ask: nothing is known.
    Unasked {
        /// What it lacks.
        why: String,
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
        /// What it tells of.
        about: About,
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
    /// Of certificates.
    warnings: Option<Box<Warnings>>,
    trouble: Option<Box<Trouble>>,
    /// How long its last probe took.
    pace: Pace,
    probing: Probing,
    /// When its next probe begins.
    due: Option<Timestamp>,
}

/// What is not well; most have none.
#[derive(Debug, Clone, Default)]
struct Trouble {
    fault: Option<String>,
    unasked: Option<String>,
}

impl CheckerState {
    /// What its last probe found wrong; `None` after a success.
    pub fn fault(&self) -> Option<&str> {
        self.trouble.as_ref()?.fault.as_deref()
    }

    /// What there is to be told of its server's certificates.
    pub fn warnings(&self) -> BTreeSet<&str> {
        self.warnings.as_ref().map(|found| found.texts()).unwrap_or_default()
    }

    /// Why its last probe could not be made; `None` after a result.
    pub fn unasked(&self) -> Option<&str> {
        self.trouble.as_ref()?.unasked.as_deref()
    }
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
    /// A session has told that it is down.
    session_is_down: bool,
    /// What sessions count as that are not known yet.
    presumed: Presumed,
    /// It began as down, and nobody has heard of it yet.
    untold: bool,
    /// It has come back, and has not its whole weight yet.
    ramp: Option<Ramp>,
}

impl ServerState {
    fn is_up(&self) -> bool {
        self.files_allow
            && self.sessions_allow
            && self.checkers.iter().all(|checker| checker.memory.health.is_up())
    }

    /// Whether a check or a session has found it down that began as down; of a file that says so
    /// keepalived 2.2.7 tells nobody (asked).
    fn is_found_down(&self) -> bool {
        let down = |checker: &CheckerState| checker.memory.health == Health::Down;
        self.untold && (self.session_is_down || self.checkers.iter().any(down))
    }

    /// The configured weight, moved by what each script asked for.
    pub fn weight(&self) -> u32 {
        let wishes = self.checkers.iter().filter_map(|checker| checker.weight);
        wish::weight(self.config.weight, wishes, self.moved_by_files)
    }

    /// The same, which may be below zero, or above what the kernel takes.
    pub fn effective_weight(&self) -> i64 {
        let wishes = self.checkers.iter().filter_map(|checker| checker.weight);
        wish::sum(self.config.weight, wishes, self.moved_by_files)
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

    /// As in FIFOs, mails and the data file: `[group]:0` for the first service of a group.
    pub fn told_as(&self) -> &str {
        &self.told_as
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
    /// Probes that could not be made.
    lacks: Lacks,
    outputs: VecDeque<Output>,
    /// New checkers that the log has not told of.
    unannounced: VecDeque<CheckerId>,
    next_id: CheckerId,
    seed: u64,
    changes: Changes,
    /// Some key is of two services, whose servers are one table.
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
            lacks: Lacks::default(),
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
            let begins = Begins { adopted, known: &Known::new(), servers: Vec::new() };
            let state = engine.new_service(now, service, config, begins);
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
            match table.entry(*key) {
                btree_map::Entry::Vacant(place) => drop(place.insert(entry)),
                btree_map::Entry::Occupied(mut there) => there.get_mut().join(entry),
            }
        }
    }
    table
}

#[cfg(test)]
pub(crate) mod tests;
