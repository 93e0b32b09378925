//! What a configuration makes: services, servers and checkers, how they begin and how they go.

use std::collections::{BTreeMap, BTreeSet};

use super::pairing::Former;
use super::reload::Known;
use super::sessions::Presumed;
use super::words::gone;
use super::{
    Changes, CheckEngine, CheckerId, CheckerState, Output, Places, Probing, SOON, ServerState,
    ServiceState, TimerKind,
};
use crate::check::event::About;
use crate::check::health::{Health, Memory};
use crate::check::places::Pace;
use crate::check::virtual_server;
use crate::core::config::model::check::{
    CheckConfig, Checker, RealServer, SorryServer, Target, VirtualServer,
};
use crate::core::shared::Shared;
use crate::core::time::Timestamp;
use crate::ipvs::model::{Entry, ServiceKey, Table};

/// What a service may begin with.
pub(super) struct Begins<'a> {
    /// The table that a process before this one has left.
    pub adopted: &'a Table,
    /// What is known of servers, whichever service they are of.
    pub known: &'a Known,
    /// Servers that come from another service of the same target.
    pub servers: Vec<ServerState>,
}

/// Whether a server has its part in the table that a process before this one has left. Where it is
/// the sorry server too, what may be the sorry server's own entry (of weight 1, while no real server
/// has a weight) says nothing for it.
fn serves(config: &VirtualServer, server: &RealServer, key: &ServiceKey, entry: &Entry) -> bool {
    let found = |server: &RealServer| {
        let there = virtual_server::destination_key(key, server.address, server.forwarding);
        Some((there, entry.destinations.get(&there)?.weight))
    };
    let Some((there, weight)) = found(server) else { return false };
    let apologises = |sorry: &SorryServer| {
        let others = config.real_servers.iter().filter_map(|server| found(server));
        virtual_server::destination_key(key, sorry.address, sorry.forwarding) == there
            && weight <= 1
            && !others.into_iter().any(|(other, weight)| other != there && weight > 0)
    };
    (weight > 0 || server.weight == 0) && !config.sorry_server.as_ref().is_some_and(apologises)
}

impl ServerState {
    /// Is what its checks say, and nobody has heard of it yet.
    fn begin(&mut self) {
        self.up = self.is_up();
        self.untold = !self.up;
    }
}

impl ServiceState {
    /// A new service must gain its quorum; one that a process before this one served with had it.
    fn begin_quorum(&mut self) {
        let served = self.servers.iter().any(ServerState::was_serving);
        let total = virtual_server::live_weight(&self.views());
        self.quorum = virtual_server::has_quorum(&self.config, total, served);
    }
}

impl CheckEngine {
    /// Numbers in files as they are at the start, before anybody is told how everything begins.
    pub fn begin_with_files(&mut self, files: impl IntoIterator<Item = (String, i64)>) {
        self.files.extend(files);
        let files = &self.files;
        for service in &mut self.services {
            for server in &mut service.servers {
                server.take_files(|name| files.get(name).copied());
                server.begin();
            }
            service.begin_quorum();
        }
        self.changes = Changes::All;
    }

    pub(super) fn mark_groups(&mut self, config: &CheckConfig) {
        self.marks.assign(config);
        self.marked = self.marks.marked(config);
    }

    pub(super) fn new_service(
        &mut self,
        now: Timestamp,
        config: &Shared<VirtualServer>,
        all: &CheckConfig,
        begins: Begins,
    ) -> ServiceState {
        let Begins { adopted, known, servers } = begins;
        let keys = virtual_server::service_keys(config, all, &self.marks);
        let there = keys.iter().find_map(|key| Some((key, adopted.get(key)?)));
        let mut moved = Former::new(servers, |server| server.config.address);
        let servers: Vec<ServerState> = config
            .real_servers
            .iter()
            .map(|server| match moved.take(&server.address) {
                Some(before) => self.carry_server(now, before, server),
                None => {
                    let serving = there.map(|(key, entry)| serves(config, server, key, entry));
                    self.new_server(now, server, serving, known)
                }
            })
            .collect();
        let mut service = ServiceState {
            config: config.clone(),
            servers,
            quorum: false,
            keys,
            suspended: false,
            leaving: Vec::new(),
            told_as: String::new(),
        };
        service.begin_quorum();
        service
    }

    pub(super) fn new_server(
        &mut self,
        now: Timestamp,
        config: &Shared<RealServer>,
        serving: Option<bool>,
        known: &Known,
    ) -> ServerState {
        let checkers = config
            .checkers
            .iter()
            .map(|checker| {
                // What a process before this one has left in the table had been proved to it.
                let health = match serving {
                    Some(up) => Health::Unproved { up },
                    None => Health::initial(checker),
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
            session_is_down: false,
            presumed: Presumed::New { serving },
            untold: false,
            ramp: None,
        };
        server.take_files(|name| self.files.get(name).copied());
        server.take_sessions(|name| self.session(name));
        server.begin();
        server
    }

    pub(super) fn new_checker(
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
            warnings: None,
            trouble: None,
            pace: Pace::Slow,
            probing: Probing::No,
            due: Some(first),
        }
    }

    /// A number below 2^32 that differs from checker to checker (the finaliser of SplitMix64).
    pub(super) fn chance(&self, id: CheckerId) -> u64 {
        let mut mixed = self.seed ^ id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 32
    }

    pub(super) fn index(&mut self) {
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

    pub(super) fn forget(&mut self, server: &ServerState) {
        for checker in &server.checkers {
            self.drop_checker(checker);
        }
    }

    pub(super) fn drop_checker(&mut self, checker: &CheckerState) {
        self.timers.cancel(&(checker.id, TimerKind::Ramp));
        if checker.probing != Probing::No {
            self.outputs.push_back(Output::CancelProbe(checker.id));
        }
    }

    pub(super) fn shutdown(&mut self) {
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
    pub(super) fn retire(&mut self, service: &ServiceState, words: &str) {
        for server in &service.servers {
            self.forget(server);
            self.outputs.extend(gone(service, server, words));
        }
        if service.quorum {
            let lost = ServiceState { quorum: false, ..service.clone() };
            self.outputs.extend(lost.tell("Lost quorum", 0));
            if let Some(script) = service.config.quorum_down.clone() {
                let object = service.name().0;
                let about = About::Service;
                self.outputs.push_back(Output::RunScript { object, about, script });
            }
        }
    }
}
